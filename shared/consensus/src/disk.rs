//! What is on its way to the disk: which batch carries what, and what its arrival means.
//!
//! It writes nothing itself.

use rafty_types::{MemberId, Message, PersistId};
use std::collections::{BTreeMap, VecDeque};

/// What a batch carries that someone waits for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    /// The engine's number for it.
    pub(crate) ready: Option<u64>,
    /// The index of an installed snapshot.
    pub(crate) install: Option<u64>,
    /// Whether an election must wait for it: entries, a snapshot, a term or a vote.
    pub(crate) vital: bool,
    /// The term once it is written.
    pub(crate) term: u64,
}

/// Batches handed out and not reported back, oldest first.
#[derive(Debug)]
pub(crate) struct Unsynced {
    issued: u64,
    batches: VecDeque<(PersistId, Load)>,
    /// The highest term on the disk.
    pub(crate) term: u64,
    /// What was said last to each member, to be sent once a batch is synced.
    held: BTreeMap<MemberId, (PersistId, Message)>,
}

impl Unsynced {
    pub(crate) fn new(term: u64) -> Self {
        Self { issued: 0, batches: VecDeque::new(), term, held: BTreeMap::new() }
    }

    pub(crate) fn push(&mut self, load: Load) -> PersistId {
        self.issued += 1;
        let id = PersistId(self.issued);
        self.batches.push_back((id, load));
        id
    }

    /// The newest batch that is not synced yet.
    pub(crate) fn newest(&self) -> Option<PersistId> {
        self.batches.back().map(|(id, _)| *id)
    }

    pub(crate) fn len(&self) -> usize {
        self.batches.len()
    }

    /// Whether nothing is under way that an election must wait for.
    pub(crate) fn allows_election(&self) -> bool {
        self.batches.iter().all(|(_, load)| !load.vital)
    }

    /// Notes that `message` waits for a batch. False when the same one does already: a leader asks with every heartbeat,
    /// and a disk that hangs must not pile up answers.
    pub(crate) fn hold(&mut self, batch: PersistId, message: &Message) -> bool {
        let waits = |(held, same): &(PersistId, Message)| *held == batch && same == message;
        if self.held.get(&message.to).is_some_and(waits) {
            return false;
        }
        self.held.insert(message.to, (batch, message.clone()));
        true
    }

    /// Takes off the batches up to `id`, all of which are synced now. What is unknown or old changes nothing.
    pub(crate) fn synced(&mut self, id: PersistId) -> Option<Load> {
        if id.0 > self.issued {
            return None;
        }
        let mut sum: Option<Load> = None;
        while let Some((_, load)) = self.batches.pop_front_if(|(front, _)| *front <= id) {
            let before = sum.unwrap_or_default();
            sum = Some(Load {
                ready: load.ready.or(before.ready),
                install: load.install.or(before.install),
                vital: load.vital || before.vital,
                term: load.term.max(before.term),
            });
        }
        self.held.retain(|_, (batch, _)| *batch > id);
        self.term = self.term.max(sum.map_or(0, |load| load.term));
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_covers_what_came_before_and_old_or_unknown_ones_cover_nothing() {
        let mut unsynced = Unsynced::new(1);
        unsynced.push(Load { ready: Some(4), install: Some(9), vital: true, term: 1 });
        unsynced.push(Load { ready: None, term: 2, ..Load::default() });
        unsynced.push(Load { ready: Some(6), vital: true, term: 2, ..Load::default() });
        assert!(unsynced.synced(PersistId(7)).is_none());
        let load = unsynced.synced(PersistId(2)).unwrap();
        assert_eq!((load.ready, load.install, unsynced.term), (Some(4), Some(9), 2));
        assert!(unsynced.synced(PersistId(1)).is_none());
        assert!(!unsynced.allows_election());
        unsynced.synced(PersistId(3)).unwrap();
        assert_eq!((unsynced.newest(), unsynced.allows_election()), (None, true));
    }
}
