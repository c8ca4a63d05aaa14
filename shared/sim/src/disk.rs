//! One member's disk, as the storage crate promises it: batches are there whole and in order, or not at all; what was
//! synced stays; damage is told from what was written.
//!
//! That the real files keep this promise is for the tests of the storage crate and for those with real processes.

use crate::worker::Shelf;
use rafty_types::{Batch, Entry, HardState, Hello, Incarnations, Index, Snapshot};

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
    /// The starts that it remembers.
    pub incarnations: Incarnations,
    /// Its files are others than those that were made.
    pub looks_copied: bool,
    /// A bit of the log or the snapshot has flipped, or all of it is gone.
    pub damaged: bool,
}

impl Disk {
    /// The last entry, or the end of the snapshot.
    pub fn last(&self) -> Index {
        let last = self.entries.last().map_or(Index(0), |entry| entry.index);
        last.max(self.snapshot.meta.index)
    }

    /// What a copy of its log would say when it is started next.
    pub fn hello(&self) -> Hello {
        let starts = self.incarnations.clone().started(0).latest;
        Hello { starts, term: self.hard_state.term, last: self.last(), ..Hello::default() }
    }

    /// Takes a batch in.
    pub fn write(&mut self, batch: &Batch) {
        batch.write_to(&mut self.hard_state, &mut self.snapshot, &mut self.entries);
        if let Some(incarnations) = &batch.incarnations {
            self.incarnations.clone_from(incarnations);
        }
    }
}
