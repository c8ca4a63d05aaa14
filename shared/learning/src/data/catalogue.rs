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

/// Fills a [`Catalogue`]. The side of an example follows from its hash, so it never depends on the others.
pub(super) struct Cataloguing {
    catalogue: Catalogue,
    seen: HashSet<Digest>,
    holdout_percent: u32,
}

/// Of the split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Training = 0,
    Holdout = 1,
}

impl Side {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Training => Self::Holdout,
            Self::Holdout => Self::Training,
        }
    }
}

impl Cataloguing {
    pub(super) fn new(task: &Task) -> Self {
        let targets = Targets::none_of(task);
        let catalogue =
            Catalogue { targets, len: 0, training: Vec::new(), holdout: Vec::new(), duplicates: 0 };
        Self { catalogue, seen: HashSet::new(), holdout_percent: task.holdout_percent }
    }

    /// Takes the next example in and says `true`, or counts it as a duplicate and says `false`. It goes to `side`, or
    /// to its own.
    pub(super) fn admit(&mut self, example: Vec<u8>, target: Target, side: Option<Side>) -> bool {
        let digest = digest(example, &target);
        if !self.seen.insert(digest) {
            self.catalogue.duplicates += 1;
            return false;
        }
        let side = side.unwrap_or_else(|| self.side(digest));
        let catalogue = &mut self.catalogue;
        match side {
            Side::Training => catalogue.training.push(catalogue.len),
            Side::Holdout => catalogue.holdout.push(catalogue.len),
        }
        catalogue.targets.push(target);
        catalogue.len += 1;
        true
    }

    /// The side that an example has by itself.
    pub(super) fn side_of(&self, example: &[u8], target: &Target) -> Side {
        self.side(digest(example.to_vec(), target))
    }

    fn side(&self, digest: Digest) -> Side {
        let draw = u32::from_le_bytes([digest.0[0], digest.0[1], digest.0[2], digest.0[3]]) % 100;
        if draw < self.holdout_percent { Side::Holdout } else { Side::Training }
    }

    /// How many examples were taken in.
    pub(super) fn len(&self) -> usize {
        self.catalogue.len
    }

    pub(super) fn finish(self) -> Catalogue {
        self.catalogue
    }
}

fn digest(mut example: Vec<u8>, target: &Target) -> Digest {
    example.extend(target.bytes());
    Digest::of(&example)
}
