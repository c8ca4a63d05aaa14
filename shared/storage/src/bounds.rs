//! Where the log begins and ends, and which batches fit onto it. Pure: no disk.
//!
//! It does not judge terms of entries: that a log may be overwritten is Raft's to decide.

use rafty_types::{Batch, HardState, Index, Snapshot};

/// A batch that does not fit onto the log. It was not written, and the log can still be used: the fault is the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misuse {
    /// Entries are not consecutive.
    #[error("the entries of a batch are not consecutive")]
    Gap,
    /// The first entry neither follows the log nor replaces a part of it beyond the snapshot.
    #[error("entries from index {first} on do not fit onto a log of {snapshot} (snapshot) to {last}")]
    Misplaced {
        /// Of the first entry.
        first: Index,
        /// Of the snapshot.
        snapshot: Index,
        /// Of the last entry in the log.
        last: Index,
    },
    /// A snapshot to install stands for nothing, or for less than what is committed.
    #[error("a snapshot at {index} cannot replace a log that is committed up to {commit}")]
    Backwards {
        /// Of the snapshot.
        index: Index,
        /// What is committed.
        commit: Index,
    },
    /// A compaction reaches beyond the log, or drops entries that its snapshot does not contain.
    #[error("a compaction at {index} that keeps {first_kept} on does not fit onto a log that ends at {last}")]
    Overreaching {
        /// Of its snapshot.
        index: Index,
        /// The first entry it keeps.
        first_kept: Index,
        /// Of the last entry in the log.
        last: Index,
    },
    /// The term would go down, or the vote within a term change.
    #[error("the hard state would forget a term or a vote")]
    Forgetful,
    /// More would be committed than there is.
    #[error("the hard state says committed up to {commit}, but the log ends at {last}")]
    CommittedBeyond {
        /// What the hard state says.
        commit: Index,
        /// Of the last entry in the log.
        last: Index,
    },
}

/// Where the log begins and ends: a snapshot, entries `first..=last` with no gap between the two, and the hard state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// 0 without one.
    pub(crate) snapshot: Index,
    /// At most one beyond the snapshot. One beyond `last` when there are no entries.
    pub(crate) first: Index,
    /// At least the snapshot.
    pub(crate) last: Index,
    pub(crate) hard_state: HardState,
}

impl Bounds {
    /// After `batch`, if it fits.
    pub(crate) fn after(mut self, batch: &Batch) -> Result<Self, Misuse> {
        if let Some(snapshot) = &batch.install {
            self.install(snapshot)?;
        }
        self.append(batch)?;
        if let Some(hard_state) = batch.hard_state {
            self.remember(hard_state)?;
        }
        if self.hard_state.commit > self.last {
            return Err(Misuse::CommittedBeyond { commit: self.hard_state.commit, last: self.last });
        }
        self.compact(batch)?;
        Ok(self)
    }

    fn install(&mut self, snapshot: &Snapshot) -> Result<(), Misuse> {
        let index = snapshot.meta.index;
        let commit = self.hard_state.commit.max(self.snapshot);
        if index == Index(0) || index < commit {
            return Err(Misuse::Backwards { index, commit });
        }
        self.snapshot = index;
        self.first = index.next();
        self.last = index;
        // A snapshot holds committed entries only.
        self.hard_state.commit = index;
        Ok(())
    }

    fn append(&mut self, batch: &Batch) -> Result<(), Misuse> {
        let (Some(head), Some(tail)) = (batch.entries.first(), batch.entries.last()) else {
            return Ok(());
        };
        let consecutive =
            batch.entries.windows(2).all(|pair| pair[0].index.0.checked_add(1) == Some(pair[1].index.0));
        if !consecutive {
            return Err(Misuse::Gap);
        }
        if head.index <= self.snapshot || head.index > self.last.next() {
            return Err(Misuse::Misplaced { first: head.index, snapshot: self.snapshot, last: self.last });
        }
        self.last = tail.index;
        Ok(())
    }

    fn remember(&mut self, new: HardState) -> Result<(), Misuse> {
        let old = self.hard_state;
        let changes_vote = new.term == old.term && old.voted_for.is_some() && new.voted_for != old.voted_for;
        if new.term < old.term || changes_vote {
            return Err(Misuse::Forgetful);
        }
        self.hard_state = HardState { commit: new.commit.max(self.snapshot), ..new };
        Ok(())
    }

    fn compact(&mut self, batch: &Batch) -> Result<(), Misuse> {
        let Some(compaction) = &batch.compaction else {
            return Ok(());
        };
        let (index, first_kept) = (compaction.snapshot.meta.index, compaction.first_kept);
        if index < self.snapshot {
            // An installed snapshot has overtaken it.
            return Ok(());
        }
        if index == Index(0) || index > self.last || first_kept > index.next() {
            return Err(Misuse::Overreaching { index, first_kept, last: self.last });
        }
        self.snapshot = index;
        self.first = self.first.max(first_kept);
        self.hard_state.commit = self.hard_state.commit.max(index);
        Ok(())
    }
}
