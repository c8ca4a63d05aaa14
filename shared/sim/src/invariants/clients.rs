//! What clients may rely on: nothing acknowledged is lost, nothing denied is there, nothing counts twice.

use crate::observer::{Observer, once};
use rafty_dictionary::EntryResult;
use rafty_node::{Answer, Node, Request, RequestId};
use rafty_types::{Command, Index, MemberId, Rejection, Serial, SessionId};
use std::collections::BTreeMap;

/// A linearizable read is compared with so many of the writes acknowledged last before it.
const LOOKED_BACK: usize = 50;

/// What was asked and answered.
#[derive(Default)]
pub struct Clients {
    /// Writes by request, each of a key of its own; with whether only this request can have written it.
    writes: BTreeMap<RequestId, (Vec<u8>, bool)>,
    /// Keys whose write was acknowledged, in that order.
    pub acknowledged: Vec<Vec<u8>>,
    /// Keys whose write was said to have changed nothing.
    pub denied: Vec<Vec<u8>>,
    /// Keys of writes whose outcome stayed unknown.
    pub unknown: Vec<Vec<u8>>,
    /// Commands of sessions by request.
    in_session: BTreeMap<RequestId, (SessionId, Serial)>,
    /// The answer that each command of a session got first.
    answers: BTreeMap<(SessionId, Serial), (Vec<u8>, Index)>,
    /// How many writes had been acknowledged when a read was asked for.
    reads: BTreeMap<RequestId, usize>,
    /// How far each member's state was at its last stale read.
    stale: BTreeMap<(MemberId, u64), Index>,
    /// What stale reads saw.
    seen: BTreeMap<(Vec<u8>, Index), Option<Vec<u8>>>,
}

impl Clients {
    /// Somebody asks for something.
    pub fn asked(&mut self, request: RequestId, what: &Request) {
        match what {
            Request::Read => {
                self.reads.insert(request, self.acknowledged.len());
            }
            Request::Commit { command: Command::User(bytes), session, .. }
            | Request::CommitHere { command: Command::User(bytes), session, .. } => {
                if let Some(place) = session {
                    self.in_session.insert(request, *place);
                }
                // Only writes of keys that are used once are followed.
                if let Some(key) = once(bytes) {
                    self.writes.insert(request, (key, session.is_none()));
                }
            }
            Request::Commit { .. } | Request::CommitHere { .. } => {}
        }
    }

    /// Somebody is answered.
    pub fn answered(&mut self, request: RequestId, answer: &Answer, node: &Node<Observer>) {
        let write = self.writes.remove(&request);
        self.sessions_are_exactly_once(request, answer);
        match answer {
            Answer::User(result, _) => {
                let done = EntryResult::decode(result) == Some(EntryResult::Done);
                self.acknowledged.extend(write.filter(|_| done).map(|(key, _)| key));
            }
            Answer::Readable(_) => self.a_read_sees_what_was_acknowledged_before(request, node),
            Answer::NoLeader | Answer::Busy | Answer::Redirect(_) => {
                self.denied.extend(write.filter(|(_, sole)| *sole).map(|(key, _)| key));
            }
            Answer::Unknown => self.unknown.extend(write.map(|(key, _)| key)),
            Answer::Control(..) | Answer::ChangePending => {}
        }
        self.reads.remove(&request);
    }

    /// Exactly once: however often a command of a session is asked for, it has one place in the log and one answer.
    fn sessions_are_exactly_once(&mut self, request: RequestId, answer: &Answer) {
        let (Some(place), Answer::User(result, index)) = (self.in_session.remove(&request), answer) else {
            return;
        };
        let answer = (result.clone(), *index);
        let known = self.answers.entry(place).or_insert_with(|| answer.clone());
        assert_eq!(*known, answer, "exactly once: command {place:?} was answered in two ways");
    }

    fn a_read_sees_what_was_acknowledged_before(&self, request: RequestId, node: &Node<Observer>) {
        let before = self.reads[&request];
        let recent = &self.acknowledged[before.saturating_sub(LOOKED_BACK)..before];
        let missing = recent.iter().find(|key| node.state().user().entries.get(key).is_none());
        let words = missing.map(|key| String::from_utf8_lossy(key).into_owned());
        assert_eq!(words, None, "linearizability: a read misses a write that was acknowledged before it");
    }

    /// Stale reads see a prefix that only grows: the state of one process never goes back, and at one index everybody
    /// sees the same.
    pub fn stale_reads_see_a_growing_prefix(
        &mut self,
        reader: (MemberId, u64),
        key: &[u8],
        node: &Node<Observer>,
    ) {
        let applied = node.state().applied();
        let before = self.stale.insert(reader, applied).unwrap_or_default();
        assert!(before <= applied, "stale reads: member {} went back from {before} to {applied}", reader.0);
        let value = node.state().user().entries.get(key).map(<[u8]>::to_vec);
        let known = self.seen.entry((key.to_vec(), applied)).or_insert_with(|| value.clone());
        assert_eq!(*known, value, "stale reads: member {} sees something else at {applied}", reader.0);
    }

    /// Sessions are their owners': nobody else continues, ends or crowds out a session of whoever keeps its token to itself.
    pub fn sessions_are_their_owners(why: &Rejection) {
        let anothers = matches!(why, Rejection::UnknownSession | Rejection::SerialReused);
        assert!(!anothers, "sessions are their owners': a client is told that {why}");
    }

    /// Newcomers are told by who knows them: whoever answers an enrolment has applied it, so that what it says of the
    /// others is not older.
    pub fn newcomers_are_told_by_who_knows_them(newcomer: MemberId, node: &Node<Observer>) {
        let applied = node.state().applied();
        assert!(
            applied.0 >= newcomer.0,
            "newcomers are told by who knows them: {newcomer} was not, at {applied}"
        );
    }

    /// Acknowledged writes are durable: everything that was acknowledged is there, and nothing that was denied.
    pub fn acknowledged_writes_are_durable(&self, node: &Node<Observer>) {
        let there = |key: &&Vec<u8>| node.state().user().entries.get(key).is_some();
        let words = |key: &Vec<u8>| String::from_utf8_lossy(key).into_owned();
        let lost = self.acknowledged.iter().find(|key| !there(key)).map(words);
        assert_eq!(lost, None, "acknowledged writes are durable: one is lost");
        let denied = self.denied.iter().find(there).map(words);
        assert_eq!(denied, None, "denied writes change nothing: one is there");
    }
}
