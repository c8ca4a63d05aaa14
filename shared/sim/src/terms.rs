//! What stands in a member's log, by term: enough to compare logs, little enough to keep for everyone.

use crate::disk::Disk;
use rafty_types::{Batch, Entry, Index, Term};
use std::collections::VecDeque;

/// The terms of a log's entries after the anchor.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    anchor: (Index, Term),
    terms: VecDeque<Term>,
}

impl Terms {
    /// Of what a disk holds.
    pub fn of(disk: &Disk) -> Self {
        let meta = &disk.snapshot.meta;
        let mut terms = Self { anchor: (meta.index, meta.term), terms: VecDeque::new() };
        terms.append(&disk.entries);
        terms
    }

    /// The last entry.
    pub fn last(&self) -> Index {
        Index(self.anchor.0.0 + self.terms.len() as u64)
    }

    /// The term of the entry at `index`; `None` when it is not here, or no more.
    pub fn at(&self, index: Index) -> Option<Term> {
        if index == self.anchor.0 {
            return Some(self.anchor.1);
        }
        let position = usize::try_from(index.0.checked_sub(self.anchor.0.0 + 1)?).ok()?;
        self.terms.get(position).copied()
    }

    /// Whether the entry is here or covered by the snapshot before the log.
    pub fn has(&self, index: Index, term: Term) -> bool {
        index < self.anchor.0 || self.at(index) == Some(term)
    }

    /// Takes over what a batch writes.
    pub fn write(&mut self, batch: &Batch) {
        if let Some(snapshot) = &batch.install {
            *self = Self { anchor: (snapshot.meta.index, snapshot.meta.term), terms: VecDeque::new() };
        }
        self.append(&batch.entries);
        if let Some(compaction) = &batch.compaction {
            self.drop_before(compaction.first_kept);
        }
    }

    fn append(&mut self, entries: &[Entry]) {
        for entry in entries.iter().filter(|entry| entry.index > self.anchor.0) {
            let position = (entry.index.0 - self.anchor.0.0 - 1) as usize;
            self.terms.truncate(position);
            self.terms.push_back(entry.term);
        }
    }

    fn drop_before(&mut self, first: Index) {
        while self.anchor.0.next() < first
            && let Some(term) = self.terms.pop_front()
        {
            self.anchor = (self.anchor.0.next(), term);
        }
    }
}
