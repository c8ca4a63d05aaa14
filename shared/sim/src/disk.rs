//! One member's disk, as the storage crate promises it: batches are there whole and in order, or not at all; what was
//! synced stays; damage is told from what was written.
//!
//! That the real files keep this promise is for the tests of the storage crate and for those with real processes.

use crate::worker::Shelf;
use rafty_types::{Batch, Entry, HardState, Index, Snapshot};

/// What survives the process.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    /// Term, vote and commit index.
    pub hard_state: HardState,
    /// The newest snapshot.
    pub snapshot: Snapshot,
    /// The log, in order.
    pub entries: Vec<Entry>,
    /// Models and updates.
    pub shelf: Shelf,
    /// A bit of the log or the snapshot has flipped, or all of it is gone.
    pub damaged: bool,
}

impl Disk {
    /// The last entry, or the end of the snapshot.
    pub fn last(&self) -> Index {
        let last = self.entries.last().map_or(Index(0), |entry| entry.index);
        last.max(self.snapshot.meta.index)
    }

    /// Takes a batch in.
    pub fn write(&mut self, batch: &Batch) {
        if let Some(snapshot) = &batch.install {
            self.snapshot = snapshot.clone();
            self.entries.clear();
        }
        if let Some(first) = batch.entries.first() {
            while self.entries.last().is_some_and(|last| last.index >= first.index) {
                self.entries.pop();
            }
            self.entries.extend(batch.entries.iter().cloned());
        }
        if let Some(hard_state) = batch.hard_state {
            self.hard_state = hard_state;
        }
        if let Some(compaction) = &batch.compaction {
            self.snapshot = compaction.snapshot.clone();
            let kept = self.entries.partition_point(|entry| entry.index < compaction.first_kept);
            self.entries.drain(..kept);
        }
    }
}
