//! What must hold after every step, whatever the network and the disks do.

use rafty_types::{Entry, HardState, Index, MemberId, Message, MessageKind, Snapshot, Term};
use std::collections::BTreeMap;

/// What all members together have shown so far.
#[derive(Default)]
pub(crate) struct Oracle {
    pub(crate) leaders: BTreeMap<Term, MemberId>,
    pub(crate) committed: BTreeMap<Index, Entry>,
    pub(crate) digests: BTreeMap<Index, u64>,
}

/// What a member's disk holds.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    pub(crate) hard_state: HardState,
    pub(crate) snapshot: Snapshot,
    pub(crate) entries: Vec<Entry>,
}

impl Disk {
    pub(crate) fn last(&self) -> Index {
        self.entries.last().map_or(self.snapshot.meta.index, |entry| entry.index)
    }
}

/// At most one leader in a term.
pub(crate) fn election_safety(oracle: &mut Oracle, term: Term, leader: MemberId) {
    let first = *oracle.leaders.entry(term).or_insert(leader);
    assert_eq!(first, leader, "two leaders in term {term}");
}

/// A leader has everything that was committed before its term.
pub(crate) fn leader_completeness(oracle: &Oracle, term: Term, disk: &Disk) {
    if oracle.leaders.range(term.next()..).next().is_some() {
        return;
    }
    for (index, entry) in oracle.committed.range(disk.snapshot.meta.index.next()..) {
        let own = disk.entries.iter().find(|own| own.index == *index);
        assert_eq!(own, Some(entry), "the leader of term {term} lacks a committed entry");
    }
}

/// A leader never cuts its own log: each batch begins where the one before ended.
pub(crate) fn leader_append_only(last: Index, entries: &[Entry]) {
    if let Some(first) = entries.first() {
        assert_eq!(first.index, last.next(), "a leader overwrote its own log");
    }
}

/// Two logs that agree on an entry's index and term agree on everything before.
pub(crate) fn log_matching(one: &Disk, other: &Disk) {
    let mut theirs = other.entries.iter().rev().peekable();
    let mut agreed = false;
    for own in one.entries.iter().rev() {
        while theirs.next_if(|entry| entry.index > own.index).is_some() {}
        let Some(entry) = theirs.next_if(|entry| entry.index == own.index) else { continue };
        assert!(!agreed || own == entry, "logs differ at {} before an entry they share", own.index);
        if own.term == entry.term {
            assert_eq!(own, entry, "one index and term, two entries");
            agreed = true;
        }
    }
}

/// What is committed at an index is the same everywhere and for ever.
pub(crate) fn state_machine_safety(oracle: &mut Oracle, entry: &Entry) {
    let first = oracle.committed.entry(entry.index).or_insert_with(|| entry.clone());
    assert_eq!(first, entry, "two entries committed at {}", entry.index);
}

/// The state after an index is the same everywhere.
pub(crate) fn same_state(oracle: &mut Oracle, index: Index, digest: u64) {
    let first = *oracle.digests.entry(index).or_insert(digest);
    assert_eq!(first, digest, "two states after {index}");
}

/// Entries are handed out one after another, each once.
pub(crate) fn applied_in_order(applied: Index, entry: &Entry) {
    assert_eq!(entry.index, applied.next(), "an entry was left out or came twice");
}

/// Whatever a message promises is on the sender's disk when it leaves.
pub(crate) fn promises_are_synced(disk: &Disk, message: &Message) {
    let (kept, vote) = (disk.hard_state, disk.hard_state.voted_for);
    match message.kind {
        MessageKind::AppendResponse if !message.reject => {
            assert!(message.index <= disk.last(), "{:?} acknowledges what is not synced", message.from);
        }
        MessageKind::RequestVoteResponse if !message.reject => {
            assert!(kept.term > message.term || (kept.term == message.term && vote == Some(message.to)));
        }
        MessageKind::RequestVote => {
            assert!(kept.term > message.term || (kept.term == message.term && vote == Some(message.from)));
        }
        MessageKind::Append => {
            assert!(kept.term >= message.term, "a leader replicates in a term it may forget")
        }
        _ => {}
    }
}

/// A read sees everything that was committed when it was asked.
pub(crate) fn reads_are_linearizable(committed_when_asked: Index, read_at: Index) {
    assert!(read_at >= committed_when_asked, "a read at {read_at} misses {committed_when_asked}");
}
