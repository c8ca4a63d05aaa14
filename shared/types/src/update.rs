//! An update as the replicated state remembers it: what it was, never the numbers themselves.

use crate::{Digest, Mutation, planted};
use serde::{Deserialize, Serialize};

/// Most examples that one update may stand for, and that one member may have held out.
pub const MAX_EXAMPLES: u64 = 1_000_000_000;

/// Whether an update may weigh so many examples.
pub fn is_weight(num_examples: u64) -> bool {
    (1..=MAX_EXAMPLES).contains(&num_examples) || planted(Mutation::WeightsUnchecked)
}

/// An update that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Of its plaintext.
    pub digest: Digest,
    /// Its weight, 1 to [`MAX_EXAMPLES`].
    pub num_examples: u64,
    /// When it arrived, in milliseconds of collecting, all attempts of the round together. `None` where that does not tell
    /// how long its sender takes: it was started anew meanwhile, or had trained for an attempt before.
    pub arrived_ms: Option<u64>,
}
