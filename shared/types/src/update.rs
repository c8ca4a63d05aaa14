//! An update as the replicated state remembers it: what it was, never the numbers themselves.

use crate::Digest;
use serde::{Deserialize, Serialize};

/// An update that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Of its plaintext.
    pub digest: Digest,
    /// Its weight, at least 1.
    pub num_examples: u64,
    /// When it arrived, in milliseconds of collecting, all attempts of the round together. `None` where that does not tell
    /// how long its sender takes: it was started anew meanwhile, or had trained for an attempt before.
    pub arrived_ms: Option<u64>,
}
