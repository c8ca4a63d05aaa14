//! Why a participant does not train at the moment, and for how long at most.
//!
//! What another member says of itself is its word: it is cut to these bounds when it comes in.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Longest reason, in characters; the rest is cut.
pub const MAX_REST_REASON_LEN: usize = 200;
/// Longest rest, in milliseconds (a day); a longer one counts as this.
pub const MAX_REST_MS: u64 = 86_400_000;

/// What keeps a participant from training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestCause {
    /// There is no data for the task, or it cannot be read.
    Data,
    /// The disk is full.
    DiskFull,
    /// Training needs more memory than there is, or than it may take.
    Memory,
    /// It must not train now: the hour, the temperature, the battery.
    Conditions,
    /// Training itself failed.
    Training,
}

impl RestCause {
    /// Whether the cause is a state of the device, which can be looked at without training.
    pub fn is_on_device(self) -> bool {
        self != Self::Training
    }
}

impl fmt::Display for RestCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Data => "no usable data",
            Self::DiskFull => "the disk is full",
            Self::Memory => "not enough memory",
            Self::Conditions => "it must not train now",
            Self::Training => "training failed",
        })
    }
}

/// A participant does not train now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rest {
    /// What keeps it from training.
    pub cause: RestCause,
    /// In words.
    pub reason: String,
    /// After how long it tries again at the latest, in milliseconds.
    pub for_ms: u64,
}

impl Rest {
    /// With the reason and the time cut to their bounds.
    pub fn new(cause: RestCause, reason: &str, lasts: Duration) -> Self {
        let reason = reason.chars().take(MAX_REST_REASON_LEN).collect();
        let for_ms = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX).min(MAX_REST_MS);
        Self { cause, reason, for_ms }
    }

    /// The same within its bounds, whatever another member said.
    pub fn bounded(self) -> Self {
        Self::new(self.cause, &self.reason, Duration::from_millis(self.for_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_liar_says_of_itself_is_cut() {
        let lie = Rest { cause: RestCause::Data, reason: "é".repeat(100_000), for_ms: u64::MAX };
        let rest = lie.bounded();
        assert_eq!((rest.reason.chars().count(), rest.for_ms), (MAX_REST_REASON_LEN, MAX_REST_MS));
    }
}
