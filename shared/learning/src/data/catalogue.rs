//! Which examples there are, which are duplicates, and which are held out.

use super::target::{Target, Targets};
use crate::Task;
use rafty_types::Digest;
use std::collections::HashSet;

/// Targets in order, and the positions on each side of the split.
pub(super) struct Catalogue {
    pub(super) targets: Targets,
    /// How many examples.
    pub(super) len: usize,
    pub(super) training: Vec<usize>,
    pub(super) holdout: Vec<usize>,
    pub(super) duplicates: usize,
}

/// Fills a [`Catalogue`]. The side of an example follows from its hash alone, so it never depends on the others.
pub(super) struct Cataloguing {
    catalogue: Catalogue,
    seen: HashSet<Digest>,
    holdout_percent: u32,
}

impl Cataloguing {
    pub(super) fn new(task: &Task) -> Self {
        let targets = Targets::none_of(task);
        let catalogue =
            Catalogue { targets, len: 0, training: Vec::new(), holdout: Vec::new(), duplicates: 0 };
        Self { catalogue, seen: HashSet::new(), holdout_percent: task.holdout_percent }
    }

    /// Takes the next example in and says `true`, or counts it as a duplicate and says `false`.
    pub(super) fn admit(&mut self, mut example: Vec<u8>, target: Target) -> bool {
        example.extend(target.bytes());
        let digest = Digest::of(&example);
        let catalogue = &mut self.catalogue;
        if !self.seen.insert(digest) {
            catalogue.duplicates += 1;
            return false;
        }
        let draw = u32::from_le_bytes([digest.0[0], digest.0[1], digest.0[2], digest.0[3]]) % 100;
        let held_out = draw < self.holdout_percent;
        let side = if held_out { &mut catalogue.holdout } else { &mut catalogue.training };
        side.push(catalogue.len);
        catalogue.targets.push(target);
        catalogue.len += 1;
        true
    }

    pub(super) fn finish(self) -> Catalogue {
        self.catalogue
    }
}
