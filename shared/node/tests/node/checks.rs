//! What must hold at every step of every run.

use crate::member::Member;
use crate::witness::{Witness, once};
use crate::worker::model_of;
use rafty_dictionary::EntryResult;
use rafty_node::{Answer, Event, Node, Request, RequestId, RoundLine};
use rafty_types::{Attempt, Command, Digest, Index, MemberId, Round, RunId, Term};
use std::collections::{BTreeMap, BTreeSet};

/// What was seen so far, to compare with.
#[derive(Default)]
pub(crate) struct Checks {
    /// The state after each index.
    states: BTreeMap<Index, Digest>,
    last_applied: BTreeMap<MemberId, Index>,
    leaders: BTreeMap<Term, MemberId>,
    pub(crate) published: BTreeMap<(RunId, Round), RoundLine>,
    /// Whose updates counted in which attempt.
    pub(crate) accepted: BTreeMap<(Round, Attempt), BTreeSet<(MemberId, Digest)>>,
    pub(crate) failed_attempts: usize,
    /// Writes by request, each of a key of its own.
    writes: BTreeMap<RequestId, Vec<u8>>,
    /// Keys whose write was acknowledged, in that order.
    pub(crate) acknowledged: Vec<Vec<u8>>,
    /// Keys whose write was said to have changed nothing.
    pub(crate) denied: Vec<Vec<u8>>,
    /// How many writes had been acknowledged when a read was asked for.
    reads: BTreeMap<RequestId, usize>,
    pub(crate) handed_over: usize,
    pub(crate) snapshots: usize,
    /// What members dropped as senseless.
    pub(crate) dropped: Vec<(MemberId, String)>,
}

impl Checks {
    pub(crate) fn started(&mut self, id: MemberId) {
        self.last_applied.remove(&id);
    }

    /// At the same index everyone has the same state, and a state has no broken rule.
    pub(crate) fn applied(&mut self, id: MemberId, node: &Node<Witness>) {
        let applied = node.state().applied();
        if self.last_applied.insert(id, applied) == Some(applied) {
            return;
        }
        let digest = node.state().digest();
        let known = *self.states.entry(applied).or_insert(digest);
        assert_eq!(digest, known, "member {id} has another state at index {applied}");
        assert_eq!(node.state().broken_invariant(), None);
    }

    pub(crate) fn asked(&mut self, request: RequestId, what: &Request) {
        match what {
            Request::Read => {
                self.reads.insert(request, self.acknowledged.len());
            }
            Request::Commit { command: Command::User(bytes), .. }
            | Request::CommitHere { command: Command::User(bytes), .. } => {
                // Only writes of keys that are used once are followed.
                if let Some(key) = once(bytes) {
                    self.writes.insert(request, key);
                }
            }
            Request::Commit { .. } | Request::CommitHere { .. } => {}
        }
    }

    pub(crate) fn answered(&mut self, request: RequestId, answer: &Answer, node: &Node<Witness>) {
        let key = self.writes.get(&request).cloned();
        match answer {
            Answer::User(result, _) => {
                let done = EntryResult::decode(result) == Some(EntryResult::Done);
                self.acknowledged.extend(key.filter(|_| done));
            }
            Answer::Readable(_) => {
                let before = self.reads[&request];
                let missing =
                    self.acknowledged[..before].iter().find(|key| node.state().user().0.get(key).is_none());
                assert_eq!(missing, None, "a read does not see a write that was acknowledged before it");
            }
            Answer::NoLeader | Answer::Busy | Answer::Redirect(_) => self.denied.extend(key),
            Answer::Control(..) | Answer::ChangePending | Answer::Unknown => {}
        }
    }

    /// Everything that was acknowledged is there, and nothing that was denied.
    pub(crate) fn writes_are_kept(&self, node: &Node<Witness>) {
        let there = |key: &&Vec<u8>| node.state().user().0.get(key).is_some();
        let words = |key: &Vec<u8>| String::from_utf8_lossy(key).into_owned();
        assert_eq!(
            self.acknowledged.iter().find(|key| !there(key)).map(words),
            None,
            "an acknowledged write is lost"
        );
        assert_eq!(self.denied.iter().find(there).map(words), None, "a denied write is there");
    }

    pub(crate) fn event(&mut self, id: MemberId, event: Event, members: &BTreeMap<MemberId, Member>) {
        match event {
            Event::Role { role, term, .. } if role == "leader" => {
                let leader = *self.leaders.entry(term).or_insert(id);
                assert_eq!(leader, id, "term {term} has two leaders");
            }
            Event::HandingOver { .. } => self.handed_over += 1,
            Event::UpdateAccepted { round, attempt, participant, digest, .. } => {
                self.accepted.entry((round, attempt)).or_default().insert((participant, digest));
            }
            Event::RoundFailed { .. } => self.failed_attempts += 1,
            Event::RoundPublished { run, round } => self.published(run, *round, members),
            _ => {}
        }
    }

    /// A round is published once, of what was accepted, and its model cannot be lost.
    fn published(&mut self, run: RunId, line: RoundLine, members: &BTreeMap<MemberId, Member>) {
        let key = (run, line.round);
        if let Some(known) = self.published.get(&key) {
            return assert_eq!(*known, line, "round {} was published twice", line.round);
        }
        let counted: BTreeMap<_, _> = line.counted.iter().map(|(id, digest, _)| (*id, *digest)).collect();
        let accepted = self.accepted.get(&(line.round, line.attempts)).cloned().unwrap_or_default();
        let foreign = counted.iter().find(|(id, digest)| !accepted.contains(&(**id, **digest)));
        assert_eq!(foreign, None, "round {} counts what was not accepted", line.round);
        assert_eq!(line.model, model_of(counted.iter()), "counted is not what was combined");
        let voters: Vec<_> = voters(members);
        let holders = voters.iter().filter(|id| members[id].disk.shelf.models.contains(&line.model)).count();
        assert!(2 * holders > voters.len(), "the model of round {} can be lost", line.round);
        self.published.insert(key, line);
    }
}

fn voters(members: &BTreeMap<MemberId, Member>) -> Vec<MemberId> {
    let newest = members
        .values()
        .filter_map(|member| Some(&member.process.as_ref()?.node))
        .max_by_key(|node| node.state().applied());
    let seats = newest.map(|node| node.state().control().desired_voters()).unwrap_or_default();
    seats.into_iter().filter(|id| members.contains_key(id)).collect()
}
