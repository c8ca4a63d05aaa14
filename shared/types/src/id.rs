//! Numbers that must never be mixed up, each its own type.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The number after this one. Saturates: 2^64 is never reached by counting.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// A member's Raft id: the index of the entry that enrolled it. Never reused; never 0.
    MemberId
}
number! {
    /// Raft's election number.
    Term
}
number! {
    /// A position in the replicated log. The first entry has index 1.
    Index
}
number! {
    /// The fixed time for which one leader is aggregator, named by the index of its `TenureBegan` entry.
    /// It is the fencing token of everything an aggregator does.
    Tenure
}
number! {
    /// One training job, named by the index of its `RunSubmitted` entry.
    RunId
}
number! {
    /// One collect, aggregate, publish cycle of a run, counted from 1.
    Round
}
number! {
    /// Which try of a round this is, counted from 1: a new tenure starts the next attempt.
    Attempt
}
number! {
    /// A committed global model of a run. Version 0 is derived from the run's seed, version n is published by round n.
    Version
}
number! {
    /// A client's session, named by the index of its `SessionOpened` entry.
    SessionId
}
number! {
    /// The position of a command within its session, counted from 1.
    Serial
}

/// Names one peer set for life. Drawn at random by `init`; two clusters never share frames or envelopes.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClusterId(#[serde(with = "crate::hex")] pub [u8; 16]);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(6).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterId({self})")
    }
}
