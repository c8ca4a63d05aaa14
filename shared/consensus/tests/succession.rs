//! Who comes after whom: over any comings, goings and absences, tenures are dealt out fairly.

use proptest::collection::vec;
use proptest::prelude::*;
use rafty_consensus::{Candidate, CurrentTenure, TenureAction, TenureKeeper, TenureView, Travel};
use rafty_types::{MemberId, Tenure, Term, Time};
use std::collections::BTreeMap;
use std::time::Duration;

const LASTS: Duration = Duration::from_secs(5);
/// Members that never leave, so that there is always a successor.
const STAYING: u64 = 2;

/// What happens between two tenures.
#[derive(Clone, Copy, Debug)]
enum Change {
    Nothing,
    /// A newcomer begins with what the member that served least has served.
    Comes,
    /// This one leaves, if it may.
    Leaves(usize),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => Just(Change::Nothing),
        1 => Just(Change::Comes),
        1 => any::<usize>().prop_map(Change::Leaves),
    ]
}

/// Members with the tenures they have served, by the rule of the roster.
struct Members {
    served: BTreeMap<MemberId, u64>,
    newest: u64,
    leader: MemberId,
    tenures: u64,
}

impl Members {
    fn new(count: u64) -> Self {
        let served = (1..=count).map(|id| (MemberId(id), 0)).collect();
        Self { served, newest: count, leader: MemberId(1), tenures: 0 }
    }

    fn changes(&mut self, change: Change) {
        match change {
            Change::Nothing => {}
            Change::Comes => {
                self.newest += 1;
                let least = self.served.values().min().copied().unwrap_or(0);
                self.served.insert(MemberId(self.newest), least);
            }
            Change::Leaves(which) => {
                let leaving = self.served.keys().copied().filter(|id| *id != self.leader && id.0 > STAYING);
                let leaving: Vec<_> = leaving.collect();
                if !leaving.is_empty() {
                    self.served.remove(&leaving[which % leaving.len()]);
                }
            }
        }
    }

    fn candidates(&self) -> Vec<Candidate> {
        let others = self.served.iter().filter(|(id, _)| **id != self.leader);
        let candidate = |(member, tenures): (&MemberId, &u64)| Candidate {
            member: *member,
            may_lead: true,
            tenures: *tenures,
            caught_up: true,
            alive: true,
        };
        // The order in which they are listed must not matter.
        others.map(candidate).rev().collect()
    }

    /// The leader serves its tenure to the end, and names its successor.
    fn serve(&mut self) -> MemberId {
        self.tenures += 1;
        *self.served.get_mut(&self.leader).expect("the leader is a member") += 1;
        let mut view = TenureView {
            me: self.leader,
            leader: true,
            term: Term(self.tenures),
            may_lead: true,
            committed_in_term: true,
            key_ready: true,
            current: None,
            in_round: false,
            failed_attempts: 0,
            seats_change: false,
            pending_membership: false,
            transferring: false,
            travel: Travel::Stays,
            candidates: self.candidates(),
            tenure: LASTS,
            grace: Duration::ZERO,
            election_timeout: Duration::from_millis(300),
        };
        let mut keeper = TenureKeeper::new();
        assert_eq!(keeper.step(Time::ZERO, &view), Some(TenureAction::Begin));
        let (tenure, holder, term) = (Tenure(self.tenures), self.leader, view.term);
        view.current = Some(CurrentTenure { tenure, holder, term });
        assert_eq!(keeper.step(Time::ZERO, &view), None);
        match keeper.step(Time::ZERO + LASTS, &view) {
            Some(TenureAction::HandOver { to }) => to,
            other => panic!("{other:?} instead of a hand-over"),
        }
    }

    /// How far apart the most and the least served are.
    fn spread(&self) -> u64 {
        let served = || self.served.values().copied();
        served().max().unwrap_or(0) - served().min().unwrap_or(0)
    }
}

/// Jain's index: 1 when all have the same, 1/n when one has all (Jain, Chiu and Hawe 1984).
fn jain(shares: &[u64]) -> f64 {
    let sum: u64 = shares.iter().sum();
    let squares: u64 = shares.iter().map(|share| share * share).sum();
    (sum * sum) as f64 / (shares.len() as u64 * squares.max(1)) as f64
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whoever_served_least_is_next_and_nobody_falls_behind(count in STAYING..9, changes in vec(change(), 1..120)) {
        let mut members = Members::new(count);
        for change in changes {
            members.changes(change);
            let next = members.serve();
            let others = members.served.iter().filter(|(id, _)| **id != members.leader);
            let least = others.map(|(id, served)| (*served, *id)).min().map(|(_, id)| id);
            prop_assert_eq!(Some(next), least, "the fewest tenures, ties by id");
            members.leader = next;
            prop_assert!(members.spread() <= 1, "{:?}", members.served);
        }
    }

    #[test]
    fn once_nobody_comes_or_goes_all_serve_alike(count in STAYING..9, changes in vec(change(), 0..60)) {
        let mut members = Members::new(count);
        for change in changes {
            members.changes(change);
            members.leader = members.serve();
        }
        let before = members.served.clone();
        for _ in 0..10 * before.len() {
            members.leader = members.serve();
        }
        let shares: Vec<_> = members.served.iter().map(|(id, served)| served - before[id]).collect();
        prop_assert!(jain(&shares) > 0.98, "{:?}", shares);
    }
}
