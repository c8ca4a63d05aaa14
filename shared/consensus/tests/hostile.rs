//! Type-correct messages of every kind with every kind of value, thrown at members in every role. None may panic,
//! whatever it says; what is impossible is refused.

use rafty_consensus::{Boot, Config, Consensus, Input, Output, Proposal, Role};
use rafty_types::{
    Entry, HardState, Index, MemberId, Membership, MembershipChange, MembershipStep, Message, MessageKind,
    Payload, PersistId, Settings, Snapshot, SnapshotMeta, Term, Time,
};
use std::collections::BTreeSet;
use std::time::Duration;

/// Members under attack in a usual run.
const SEEDS: u64 = 300;
/// Messages for each.
const MESSAGES: u32 = 300;

struct Replay(u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("replay: RAFTY_SEED={} cargo test -p rafty-consensus --test hostile", self.0);
        }
    }
}

/// One member and what it is waiting for.
struct Target {
    machine: Consensus,
    now: Time,
    rng: u64,
    newest_batch: u64,
    refused: BTreeSet<String>,
    /// One in how many numbers is an edge. A term at the edge ends all that is plausible, so most seeds have few.
    edges: u64,
}

impl Target {
    fn roll(&mut self) -> u64 {
        self.rng = self.rng.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.rng;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z ^ (z >> 29)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }

    /// Mostly close to `centre`, sometimes at the edges of what a number can be.
    fn number(&mut self, centre: u64) -> u64 {
        match self.below(self.edges) {
            0 => 0,
            1 => 1 << 60,
            2 => (1 << 60) + 1,
            3 => u64::MAX,
            _ => centre.saturating_add(self.below(5)).saturating_sub(2),
        }
    }

    fn member(&mut self) -> MemberId {
        match self.below(60) {
            0 => MemberId(0),
            1 => MemberId(u64::MAX),
            roll => MemberId(1 + roll % 6),
        }
    }

    fn members(&mut self, most: u64) -> Vec<MemberId> {
        let count = self.below(most + 1);
        let members: BTreeSet<_> = (0..count).map(|_| self.member()).collect();
        let mut members: Vec<_> = members.into_iter().collect();
        if self.below(40) == 0 {
            members.reverse();
        }
        members
    }

    fn membership(&mut self) -> Membership {
        let joint = if self.below(3) == 0 { 3 } else { 0 };
        Membership {
            voters: self.members(4),
            learners: self.members(2),
            voters_outgoing: self.members(joint),
            learners_next: self.members(joint / 3),
        }
    }

    fn payload(&mut self) -> Payload {
        match self.below(12) {
            0..3 => Payload::Empty,
            3..5 => {
                let steps = (0..self.below(4)).map(|_| match self.below(3) {
                    0 => MembershipStep::AddVoter(self.member()),
                    1 => MembershipStep::AddLearner(self.member()),
                    _ => MembershipStep::Remove(self.member()),
                });
                Payload::Membership(MembershipChange { steps: steps.collect() })
            }
            5 => Payload::Command([].into()),
            _ => Payload::Command(vec![1; 1 + self.below(40) as usize].into()),
        }
    }

    fn entries(&mut self, after: u64, term: u64) -> Vec<Entry> {
        let skewed = self.below(10) == 0;
        let count = self.below(5);
        (1..=count)
            .map(|n| Entry {
                index: Index(if skewed { self.number(after) } else { after.wrapping_add(n) }),
                term: Term(if self.below(8) == 0 { self.number(term) } else { term }),
                payload: self.payload(),
            })
            .collect()
    }

    fn context(&mut self) -> Vec<u8> {
        match self.below(10) {
            0..4 => Vec::new(),
            4 => b"CampaignTransfer".to_vec(),
            5 => vec![7; 33],
            roll => vec![u8::try_from(roll).unwrap(); 24],
        }
    }

    /// Sets what belongs to `kind` more often than what does not.
    fn message(&mut self, kind: MessageKind) -> Message {
        let (term, last) = (self.machine.term().0, self.machine.last_index().0);
        let stray = |target: &mut Self| target.below(40) == 0;
        let term = if kind == MessageKind::ReadIndex { 0 } else { self.number(term) };
        let index = self.number(last);
        let entries =
            if kind == MessageKind::Append || stray(self) { self.entries(index, term) } else { Vec::new() };
        let with_snapshot = kind == MessageKind::Snapshot || stray(self);
        Message {
            kind,
            to: if stray(self) { self.member() } else { MemberId(1) },
            from: self.member(),
            term: Term(term),
            log_term: Term(if index == 0 && !stray(self) { 0 } else { self.number(term) }),
            index: Index(index),
            entries,
            commit: Index(self.number(last)),
            commit_term: Term(self.number(term)),
            snapshot: with_snapshot.then(|| SnapshotMeta {
                index: Index(self.number(last.saturating_add(2))),
                term: Term(self.number(term)),
                membership: self.membership(),
            }),
            request_snapshot: Index(if stray(self) { self.number(last) } else { 0 }),
            reject: self.below(3) == 0,
            reject_hint: Index(self.number(last)),
            context: self.context(),
            priority: if stray(self) { i64::MIN } else { 0 },
        }
    }

    fn handle(&mut self, input: Input) {
        self.now = self.now + Duration::from_micros(self.rng % 3_000);
        let outputs = self.machine.handle(self.now, input);
        for output in outputs {
            match output {
                Output::Persist(id, _) => self.newest_batch = id.0,
                Output::Refused { why, .. } => {
                    self.refused.insert(format!("{why:?}"));
                }
                Output::Send(message) | Output::SendAfter(_, message) => self.answer(&message),
                _ => {}
            }
        }
    }

    /// Grants votes, so that the target comes to lead as well.
    fn answer(&mut self, message: &Message) {
        let kind = match message.kind {
            MessageKind::RequestVote => MessageKind::RequestVoteResponse,
            MessageKind::RequestPreVote => MessageKind::RequestPreVoteResponse,
            _ => return,
        };
        if self.below(3) == 0 {
            return;
        }
        let (to, from) = (message.from, message.to);
        let grant = Message { kind, to, from, context: Vec::new(), ..message.clone() };
        self.handle(Input::Message(Box::new(grant)));
    }

    fn act(&mut self) {
        let request = self.roll();
        let input = match self.below(16) {
            0 => {
                let data = |len: u64| Proposal { request, data: vec![1; len as usize].into() };
                Input::Propose((0..self.below(4)).map(|_| data(self.below(20))).collect())
            }
            1 => Input::Read { request },
            2 => Input::Unreachable(self.member()),
            3 => Input::SnapshotSent { to: self.member(), ok: self.below(2) == 0 },
            4 => Input::Compact { meta: self.machine.applied_meta(), data: [1].into() },
            5 => Input::Change(MembershipChange {
                steps: vec![
                    MembershipStep::AddLearner(self.member()),
                    MembershipStep::AddVoter(self.member()),
                ],
            }),
            6 => Input::Transfer { to: self.member() },
            7 => Input::AbortTransfer,
            8 if self.below(4) == 0 => Input::StepDown,
            9 => Input::Persisted(PersistId(self.below(self.newest_batch + 2))),
            10..13 => Input::Persisted(PersistId(self.newest_batch)),
            _ => Input::Tick,
        };
        self.handle(input);
    }
}

fn target(seed: u64) -> Target {
    let of = |ids: &[u64]| ids.iter().copied().map(MemberId).collect::<Vec<_>>();
    let membership = match seed % 4 {
        0 => Membership::default(),
        1 => Membership { voters: of(&[1]), learners: of(&[2]), ..Membership::default() },
        2 => Membership { voters: of(&[1, 2, 3]), learners: of(&[4]), ..Membership::default() },
        _ => Membership {
            voters: of(&[1, 2, 3]),
            voters_outgoing: of(&[2, 3, 4]),
            learners_next: of(&[4]),
            ..Membership::default()
        },
    };
    let founded = !membership.voters.is_empty();
    let (index, term) = if founded { (Index(5), Term(2)) } else { (Index(0), Term(0)) };
    let entry = |index| Entry { index: Index(index), term: Term(2), payload: Payload::Empty };
    let boot = Boot {
        id: MemberId(1),
        hard_state: HardState { term, voted_for: None, commit: index },
        snapshot: Snapshot { meta: SnapshotMeta { index, term, membership }, data: [].into() },
        entries: if founded { (4..9).map(entry).collect() } else { Vec::new() },
        ..Boot::default()
    };
    let config = Config::from_settings(&Settings { tail: 4, append_batch: 3, ..Settings::default() });
    let machine = Consensus::new(config, boot, seed, Time::ZERO).unwrap();
    let edges = if seed.is_multiple_of(5) { 40 } else { 4_000 };
    Target { machine, now: Time::ZERO, rng: seed, newest_batch: 0, refused: BTreeSet::new(), edges }
}

#[test]
fn no_message_of_any_kind_panics_in_any_role() {
    let chosen = std::env::var("RAFTY_SEED").ok().and_then(|seed| seed.parse().ok());
    let count = std::env::var("RAFTY_SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(SEEDS);
    let (mut roles, mut refused) = (BTreeSet::new(), BTreeSet::new());
    for seed in chosen.map_or(0..count, |seed: u64| seed..seed + 1) {
        let _replay = Replay(seed);
        let mut target = target(seed);
        for _ in 0..MESSAGES {
            let kind = MessageKind::ALL[target.below(MessageKind::ALL.len() as u64) as usize];
            let message = target.message(kind);
            let snapshot = kind == MessageKind::Snapshot && target.below(20) > 0;
            target.handle(match snapshot {
                true => Input::SnapshotArrived { message: Box::new(message), data: [1; 8].into() },
                false => Input::Message(Box::new(message)),
            });
            (0..target.below(6)).for_each(|_| target.act());
            roles.insert(target.machine.role());
        }
        refused.append(&mut target.refused);
    }
    if chosen.is_none() {
        assert_eq!(roles.len(), [Role::Follower, Role::Candidate, Role::Leader].len());
        assert!(refused.len() > 14, "too little was tried: {refused:?}");
    }
}
