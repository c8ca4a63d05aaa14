//! Raft messages at one member: what passes the checks must not make the engine panic, in any role, whatever came before.
//!
//! Who sends and to whom is not restricted here: the connection does that, and the machine checks it again.

use crate::choices::Choices;
use rafty_consensus::{Boot, Config, Consensus, Input, Link, Output, Proposal, Role};
use rafty_types::{
    Batch, Entry, HardState, Index, MemberId, Membership, Message, MessageKind, Payload, PersistId, Settings,
    Snapshot, SnapshotMeta, Term, Time,
};
use std::time::Duration;

const ME: MemberId = MemberId(1);

/// The first byte chooses the membership; then steps.
pub fn messages(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let Some(choice) = choices.next() else { return };
    let mut target = Target::new(choice);
    while let Some(step) = choices.next() {
        let input = target.input(step, &mut choices);
        target.handle(input);
    }
}

/// A member, and what it has said that must be true of all it says later.
struct Target {
    machine: Consensus,
    now: Time,
    newest_batch: u64,
    hard_state: HardState,
    committed: Index,
    /// Whether votes are granted to it as it asks for them.
    elected: bool,
}

impl Target {
    fn new(choice: u8) -> Self {
        let of = |ids: &[u64]| ids.iter().copied().map(MemberId).collect::<Vec<_>>();
        let membership = match choice % 4 {
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
        let hard_state = HardState { term, voted_for: None, commit: index };
        let boot = Boot {
            id: ME,
            hard_state,
            snapshot: Snapshot { meta: SnapshotMeta { index, term, membership }, data: [].into() },
            entries: if founded { (4..9).map(entry).collect() } else { Vec::new() },
            ..Boot::default()
        };
        let config = Config::from_settings(&Settings { tail: 4, append_batch: 3, ..Settings::default() });
        let machine = Consensus::new(config, boot, u64::from(choice), Time::ZERO).expect("a sound disk");
        let elected = choice & 4 > 0;
        Self { machine, now: Time::ZERO, newest_batch: 0, hard_state, committed: index, elected }
    }

    fn input(&mut self, step: u8, choices: &mut Choices<'_>) -> Input {
        let request = u64::from(step);
        match step % 32 {
            0..14 => {
                let message = message(&self.machine, MessageKind::ALL[usize::from(step % 32).min(12)], choices);
                match message.kind == MessageKind::Snapshot && choices.byte() > 8 {
                    true => Input::SnapshotArrived { message: Box::new(message), data: [1; 8].into() },
                    false => Input::Message(Box::new(message)),
                }
            }
            14..16 => {
                let data = |len: u8| Proposal { request, data: vec![1; usize::from(len)].into() };
                Input::Propose((0..choices.below(4)).map(|_| data(choices.byte())).collect())
            }
            16 => Input::Read { request },
            17 => Input::Unreachable(choices.member()),
            18 => Input::SnapshotSent { to: choices.member(), ok: choices.is() },
            19 => {
                let index = Index(choices.number(self.machine.applied().0));
                let meta = SnapshotMeta { index, ..self.machine.applied_meta() };
                Input::Compact { meta, data: [1].into() }
            }
            20 => Input::Change(choices.change()),
            21 => Input::Transfer { to: choices.member() },
            22 => Input::AbortTransfer,
            23 => Input::StepDown,
            24 => Input::Persisted(PersistId(choices.number(self.newest_batch))),
            25 => Input::Measured(vec![Link {
                member: choices.member(),
                rtt: Duration::from_millis(u64::from(choices.byte()) * 8),
                sent: choices.number(100),
                lost: choices.number(10),
                slow: choices.is(),
            }]),
            26..29 => Input::Persisted(PersistId(self.newest_batch)),
            29 => {
                self.now = self.now + Duration::from_millis(u64::from(choices.byte()) * 4);
                Input::Tick
            }
            _ => {
                self.now = self.now + Duration::from_millis(10);
                Input::Tick
            }
        }
    }

    fn handle(&mut self, input: Input) {
        let outputs = self.machine.handle(self.now, input);
        let mut grants = Vec::new();
        for output in &outputs {
            match output {
                Output::Persist(id, batch) => {
                    assert_eq!(id.0, self.newest_batch + 1, "batches are numbered one after another");
                    self.newest_batch = id.0;
                    self.remember(batch);
                }
                Output::Committed(entries) => self.commit(entries),
                Output::Restore(snapshot) => {
                    assert!(snapshot.meta.index > self.committed, "the applied state never goes back");
                    self.committed = snapshot.meta.index;
                }
                Output::Send(message) | Output::SendAfter(_, message) => {
                    assert_eq!(message.from, ME);
                    assert_ne!(message.to, ME, "nothing is sent to oneself");
                    grants.extend(self.elected.then(|| grant(message)).flatten());
                }
                _ => {}
            }
        }
        assert!(self.machine.commit() <= self.machine.last_index(), "what is committed is there");
        assert!(self.machine.role() != Role::Leader || self.machine.leader() == Some(ME));
        grants.into_iter().for_each(|message| self.handle(Input::Message(Box::new(message))));
    }

    /// A term never goes down, and a vote is never taken back.
    fn remember(&mut self, batch: &Batch) {
        let Some(new) = batch.hard_state else { return };
        let old = std::mem::replace(&mut self.hard_state, new);
        assert!(new.term >= old.term && new.commit >= old.commit, "{old:?} became {new:?}");
        let kept = new.term > old.term || old.voted_for.is_none() || old.voted_for == new.voted_for;
        assert!(kept, "{old:?} became {new:?}");
    }

    /// Entries are handed out one after another, each once.
    fn commit(&mut self, entries: &[Entry]) {
        for entry in entries {
            assert_eq!(entry.index, self.committed.next(), "entries are handed out in order");
            self.committed = entry.index;
        }
    }
}

/// The vote that a message asks for.
pub(crate) fn grant(message: &Message) -> Option<Message> {
    let kind = match message.kind {
        MessageKind::RequestVote => MessageKind::RequestVoteResponse,
        MessageKind::RequestPreVote => MessageKind::RequestPreVoteResponse,
        _ => return None,
    };
    let (to, from) = (message.from, message.to);
    Some(Message {
        kind,
        to,
        from,
        index: Index(0),
        log_term: Term(0),
        context: Vec::new(),
        ..message.clone()
    })
}

/// A message to `machine` whose numbers are near its own.
pub(crate) fn message(machine: &Consensus, kind: MessageKind, choices: &mut Choices<'_>) -> Message {
    let (term, last) = (machine.term().0, machine.last_index().0);
    let from = choices.member();
    // A byte of strays: fields that the kind does not have.
    let stray = choices.byte();
    let term = if kind == MessageKind::ReadIndex && stray & 1 == 0 { 0 } else { choices.number(term) };
    let index = choices.number(last);
    let log_term = if index == 0 { u64::from(stray & 2) } else { choices.number(term) };
    let entries =
        if kind == MessageKind::Append || stray & 4 > 0 { entries(index, term, choices) } else { Vec::new() };
    let with_snapshot = kind == MessageKind::Snapshot || stray & 8 > 0;
    let snapshot = with_snapshot.then(|| SnapshotMeta {
        index: Index(choices.number(last)),
        term: Term(choices.number(term)),
        membership: choices.membership(),
    });
    let context = match choices.below(4) {
        0 => b"CampaignTransfer".to_vec(),
        1 => vec![7; usize::from(choices.below(40))],
        _ if kind == MessageKind::ReadIndex => vec![7; 24],
        _ => Vec::new(),
    };
    Message {
        kind,
        to: if stray & 16 > 0 { choices.member() } else { ME },
        from,
        term: Term(term),
        log_term: Term(log_term),
        index: Index(index),
        entries,
        commit: Index(choices.number(last)),
        commit_term: Term(choices.number(term)),
        snapshot,
        request_snapshot: Index(if stray & 32 > 0 { choices.number(last) } else { 0 }),
        reject: choices.is(),
        reject_hint: Index(choices.number(last)),
        context,
        priority: if stray & 64 > 0 { -1 } else { 0 },
    }
}

fn entries(after: u64, term: u64, choices: &mut Choices<'_>) -> Vec<Entry> {
    let entry = |n: u8, choices: &mut Choices<'_>| {
        let skewed = choices.byte();
        let index = after.wrapping_add(u64::from(n));
        Entry {
            index: Index(if skewed == 255 { choices.number(after) } else { index }),
            term: Term(if skewed > 240 { choices.number(term) } else { term }),
            payload: choices.payload(),
        }
    };
    (1..=choices.below(6)).map(|n| entry(n, choices)).collect()
}
