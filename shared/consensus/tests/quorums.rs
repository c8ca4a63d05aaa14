//! Whose votes and acknowledgements suffice, for any membership, joint or not: a majority of each half and nothing less,
//! so that of two sets that suffice some member is always in both.

use proptest::prelude::*;
use rafty_consensus::{Boot, Config, Consensus, Input, Output, Proposal, Role};
use rafty_types::{
    HardState, Index, MemberId, Membership, Message, MessageKind, Settings, Snapshot, SnapshotMeta, Term,
    Time,
};
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

const ME: MemberId = MemberId(1);
/// Members that there may be.
const MOST: u64 = 7;
/// Ticks after which an election must have been tried.
const TICKS: u32 = 60;

type Members = BTreeSet<MemberId>;

fn members(bits: u8) -> Members {
    (0..MOST).filter(|at| bits >> at & 1 > 0).map(|at| MemberId(at + 1)).collect()
}

/// Two halves, the second mostly empty, of which at least the first has somebody, and `ME` is in one.
fn halves() -> impl Strategy<Value = (Members, Members)> {
    let drawn = (1u8..128, prop_oneof![Just(0u8), 1u8..128]);
    drawn
        .prop_map(|(voters, outgoing)| (members(voters), members(outgoing)))
        .prop_filter("a member that votes", |(voters, outgoing)| {
            voters.contains(&ME) || outgoing.contains(&ME)
        })
}

fn is_majority(half: &Members, of: &Members) -> bool {
    half.is_empty() || 2 * half.intersection(of).count() > half.len()
}

fn suffices((voters, outgoing): &(Members, Members), agreeing: &Members) -> bool {
    is_majority(voters, agreeing) && is_majority(outgoing, agreeing)
}

/// A member on a disk that is synced at once, and what the others answer it.
struct Candidate {
    machine: Consensus,
    now: Time,
    /// Who votes for it.
    voting: Members,
    /// Who takes what it appends.
    appending: Members,
    committed: Index,
}

impl Candidate {
    fn new((voters, outgoing): &(Members, Members), voting: Members, appending: Members) -> Self {
        let list = |members: &Members| members.iter().copied().collect();
        let (voters, voters_outgoing) = (list(voters), list(outgoing));
        let membership = Membership { voters, voters_outgoing, ..Membership::default() };
        let meta = SnapshotMeta { index: Index(5), term: Term(2), membership };
        let boot = Boot {
            id: ME,
            hard_state: HardState { term: Term(2), voted_for: None, commit: Index(5) },
            snapshot: Snapshot { meta, data: [].into() },
            entries: Vec::new(),
            ..Boot::default()
        };
        let config = Config::from_settings(&Settings::default());
        let machine = Consensus::new(config, boot, 7, Time::ZERO).expect("a sound disk");
        Self { machine, now: Time::ZERO, voting, appending, committed: Index(5) }
    }

    /// Time goes on until it leads, or has had every chance to.
    fn stands(&mut self) {
        for _ in 0..TICKS {
            self.now = self.now + Duration::from_millis(10);
            self.take(Input::Tick);
            if self.machine.role() == Role::Leader {
                return;
            }
        }
    }

    fn take(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for output in self.machine.handle(self.now, input) {
                match output {
                    Output::Persist(id, _) => inputs.push_back(Input::Persisted(id)),
                    Output::Committed(entries) => self.committed = entries.last().unwrap().index,
                    Output::Send(message) | Output::SendAfter(_, message) => {
                        inputs.extend(self.answer(*message).map(|answer| Input::Message(Box::new(answer))));
                    }
                    _ => {}
                }
            }
        }
    }

    fn answer(&self, message: Message) -> Option<Message> {
        let (to, from) = (message.from, message.to);
        let last = message.entries.last().map_or(message.index, |entry| entry.index);
        let (kind, index, agrees) = match message.kind {
            MessageKind::RequestVote => (MessageKind::RequestVoteResponse, Index(0), &self.voting),
            MessageKind::RequestPreVote => (MessageKind::RequestPreVoteResponse, Index(0), &self.voting),
            MessageKind::Append => (MessageKind::AppendResponse, last, &self.appending),
            _ => return None,
        };
        let blank = Message { log_term: Term(0), entries: Vec::new(), context: Vec::new(), ..message };
        agrees.contains(&from).then_some(Message { kind, to, from, index, ..blank })
    }
}

fn wins(halves: &(Members, Members), voting: &Members) -> bool {
    let mut candidate = Candidate::new(halves, voting.clone(), Members::new());
    candidate.stands();
    candidate.machine.role() == Role::Leader
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_leads_with_a_majority_of_each_half_and_with_nothing_less(halves in halves(), bits in 0u8..128) {
        let mut voting = members(bits);
        voting.insert(ME);
        prop_assert_eq!(wins(&halves, &voting), suffices(&halves, &voting));
    }

    #[test]
    fn of_two_sets_that_elect_some_member_is_in_both(halves in halves(), one in 0u8..128, other in 0u8..128) {
        // Who is not asked for a vote cannot be what they share; the candidate's own vote is its own.
        let [one, other] = [one, other].map(|bits| {
            let mut voting = members(bits);
            voting.insert(ME);
            voting
        });
        if wins(&halves, &one) && wins(&halves, &other) {
            for half in [&halves.0, &halves.1] {
                let shared = half.iter().any(|member| one.contains(member) && other.contains(member));
                prop_assert!(half.is_empty() || shared);
            }
        }
    }

    #[test]
    fn an_entry_is_committed_by_a_majority_of_each_half_and_by_nothing_less(halves in halves(), bits in 0u8..128) {
        // Outside the new half, it would leave with the first entry that is committed.
        prop_assume!(halves.0.contains(&ME));
        let mut appending = members(bits);
        let mut leader = Candidate::new(&halves, members(127), appending.clone());
        leader.stands();
        prop_assert_eq!(leader.machine.role(), Role::Leader);
        leader.take(Input::Propose(vec![Proposal { request: 1, data: [1].into() }]));
        appending.insert(ME);
        let last = leader.machine.last_index();
        prop_assert_eq!(leader.committed == last, suffices(&halves, &appending), "{:?} of {:?}", leader.committed, last);
        prop_assert!(leader.committed == last || leader.committed == Index(5));
    }
}
