//! The log in memory, as the engine reads it.
//!
//! It holds what the engine handed out to be written, synced or not, and gives it back on demand. It never touches
//! a disk: batches do that elsewhere, and `Boot` brings them back.

use crate::convert::{conf_state, engine_entry};
use raft::eraftpb::{self, HardState as EngineHardState};
use raft::{GetEntriesContext, RaftState, Storage, StorageError};
use rafty_types::{Entry, HardState, Index, MemberId, Snapshot};
use std::cell::Cell;
use std::collections::VecDeque;

/// What an entry weighs beside its payload when it is encoded: index, term, kind and length.
const ENTRY_OVERHEAD: u64 = 24;

/// Entries after `anchor`, and the newest snapshot, which stands at or after the anchor.
pub(crate) struct Log {
    /// Index and term of the entry before the first one.
    anchor: (u64, u64),
    entries: VecDeque<Entry>,
    bytes: u64,
    snapshot: Snapshot,
    /// The last hard state that was handed out to be written.
    pub(crate) hard_state: HardState,
    /// The hard state that the engine starts with.
    start: HardState,
    /// Most entries that one append takes from here.
    batch: usize,
    /// Set when a follower needs a newer snapshot than there is.
    wanted: Cell<bool>,
}

impl Log {
    /// `entries` follow `anchor` without a gap and reach at least to `snapshot`.
    pub(crate) fn new(
        anchor: (u64, u64),
        entries: VecDeque<Entry>,
        snapshot: Snapshot,
        hard_state: HardState,
        start: HardState,
        batch: usize,
    ) -> Self {
        let bytes = entries.iter().map(weight).sum();
        Self { anchor, entries, bytes, snapshot, hard_state, start, batch, wanted: Cell::new(false) }
    }

    pub(crate) fn first(&self) -> u64 {
        self.anchor.0 + 1
    }

    pub(crate) fn last(&self) -> u64 {
        self.anchor.0 + self.entries.len() as u64
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Whether a follower waits for a newer snapshot than there is.
    pub(crate) fn snapshot_wanted(&self) -> bool {
        self.wanted.get()
    }

    pub(crate) fn get(&self, index: u64) -> Option<&Entry> {
        let position = index.checked_sub(self.first())?;
        self.entries.get(usize::try_from(position).ok()?)
    }

    /// The entries after an index.
    pub(crate) fn after(&self, index: u64) -> impl Iterator<Item = &Entry> {
        let known = index.saturating_sub(self.anchor.0);
        self.entries.iter().skip(usize::try_from(known).unwrap_or(usize::MAX))
    }

    pub(crate) fn term_at(&self, index: u64) -> Option<u64> {
        if index == self.anchor.0 { Some(self.anchor.1) } else { self.get(index).map(|entry| entry.term.0) }
    }

    /// Cuts whatever stands at the first new entry's index or beyond, then appends.
    pub(crate) fn append(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        debug_assert!(first.index.0 > self.anchor.0 && first.index.0 <= self.last() + 1);
        while self.last() >= first.index.0 {
            let Some(cut) = self.entries.pop_back() else { break };
            self.bytes -= weight(&cut);
        }
        self.bytes += entries.iter().map(weight).sum::<u64>();
        self.entries.extend(entries.iter().cloned());
    }

    /// Replaces everything by a snapshot from the leader.
    pub(crate) fn install(&mut self, snapshot: Snapshot) {
        self.anchor = (snapshot.meta.index.0, snapshot.meta.term.0);
        self.entries.clear();
        self.bytes = 0;
        self.snapshot = snapshot;
    }

    /// Takes a snapshot of our own and drops the entries before `first_kept`.
    pub(crate) fn compact(&mut self, snapshot: Snapshot, first_kept: u64) {
        while self.first() < first_kept {
            let Some(dropped) = self.entries.pop_front() else { break };
            self.bytes -= weight(&dropped);
            self.anchor = (dropped.index.0, dropped.term.0);
        }
        self.snapshot = snapshot;
        self.wanted.set(false);
    }

    /// The lowest index such that the entries from it up to `end` weigh at most `bytes`.
    pub(crate) fn first_within(&self, end: u64, bytes: u64) -> u64 {
        let mut first = end + 1;
        let mut sum = 0;
        while first > self.first() {
            sum += self.get(first - 1).map_or(0, weight);
            if sum > bytes {
                break;
            }
            first -= 1;
        }
        first
    }
}

fn weight(entry: &Entry) -> u64 {
    entry.payload.len() as u64 + ENTRY_OVERHEAD
}

impl Storage for Log {
    fn initial_state(&self) -> raft::Result<RaftState> {
        let hard_state = EngineHardState {
            term: self.start.term.0,
            vote: self.start.voted_for.unwrap_or_default().0,
            commit: self.start.commit.0,
            ..EngineHardState::default()
        };
        Ok(RaftState { hard_state, conf_state: conf_state(&self.snapshot.meta.membership) })
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        context: GetEntriesContext,
    ) -> raft::Result<Vec<eraftpb::Entry>> {
        if low < self.first() {
            return Err(StorageError::Compacted.into());
        }
        if high > self.last() + 1 {
            return Err(StorageError::Unavailable.into());
        }
        // Only appends may be cut short by count; what is committed must come whole.
        let most = if context.can_async() { self.batch } else { usize::MAX };
        let limit = max_size.into().unwrap_or(u64::MAX);
        let mut size = 0u64;
        let range = self.entries.iter().skip((low - self.first()) as usize).take((high - low) as usize);
        let taken = range.take(most).enumerate().take_while(|(position, entry)| {
            size = size.saturating_add(weight(entry));
            *position == 0 || size <= limit
        });
        Ok(taken.map(|(_, entry)| engine_entry(entry)).collect())
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        match self.term_at(index) {
            Some(term) => Ok(term),
            None if index < self.anchor.0 => Err(StorageError::Compacted.into()),
            None => Err(StorageError::Unavailable.into()),
        }
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.first())
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, request_index: u64, to: u64) -> raft::Result<eraftpb::Snapshot> {
        let meta = &self.snapshot.meta;
        // A member that is not in the snapshot's membership would ignore it.
        let good = meta.index > Index(0)
            && meta.index.0 >= request_index
            && meta.index.0 >= self.anchor.0
            && meta.membership.contains(MemberId(to));
        if !good {
            self.wanted.set(true);
            return Err(StorageError::SnapshotTemporarilyUnavailable.into());
        }
        Ok(crate::convert::engine_snapshot(meta))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rafty_types::{Payload, Term};

    fn entry(index: u64, term: u64, len: usize) -> Entry {
        Entry { index: Index(index), term: Term(term), payload: Payload::Command(vec![1; len].into()) }
    }

    fn log(entries: &[Entry]) -> Log {
        let mut log = Log::new(
            (0, 0),
            VecDeque::new(),
            Snapshot::default(),
            HardState::default(),
            HardState::default(),
            2,
        );
        log.append(entries);
        log
    }

    #[test]
    fn appending_cuts_what_stands_there_and_keeps_count_of_bytes() {
        let mut log = log(&[entry(1, 1, 10), entry(2, 1, 10), entry(3, 1, 10)]);
        log.append(&[entry(2, 2, 1)]);
        assert_eq!((log.last(), log.len(), log.bytes()), (2, 2, 11 + 2 * ENTRY_OVERHEAD));
        assert_eq!((log.term_at(0), log.term_at(2), log.term_at(3)), (Some(0), Some(2), None));
    }

    #[test]
    fn compaction_remembers_the_term_before_the_first_entry() {
        let mut log = log(&[entry(1, 1, 1), entry(2, 3, 1), entry(3, 3, 1)]);
        log.compact(Snapshot::default(), 3);
        assert_eq!((log.first(), log.term_at(2), log.term_at(1)), (3, Some(3), None));
        assert_eq!(log.bytes(), 1 + ENTRY_OVERHEAD);
    }

    #[test]
    fn reads_are_bounded_by_bytes_and_always_give_one() {
        let log = log(&[entry(1, 1, 100), entry(2, 1, 100), entry(3, 1, 100)]);
        let read = |max| log.entries(1, 4, max, GetEntriesContext::empty(false)).unwrap().len();
        assert_eq!((read(1), read(2 * (100 + ENTRY_OVERHEAD)), read(u64::MAX)), (1, 2, 3));
        assert_eq!(log.entries(1, 4, None, GetEntriesContext::empty(true)).unwrap().len(), 2);
        assert_eq!(log.first_within(3, 2 * (100 + ENTRY_OVERHEAD)), 2);
        assert_eq!((log.first_within(3, 0), log.first_within(3, u64::MAX)), (4, 1));
    }
}
