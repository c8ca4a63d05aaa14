//! What a peer set replicates for its users: the dictionary, or a machine of their own.
//!
//! The control part (members, tenures, runs) is there in any case; this is about the other half only.

use rafty_dictionary::Entries;
use rafty_types::StateMachine;

/// Said to whoever wants the dictionary where there is none.
pub(crate) const NO_DICTIONARY: &str = "this peer set has a machine of its own instead of the dictionary";

/// A state machine that a member can run for its users.
///
/// Clients reach it by `command` and `query` over the client port, in bytes that only they and the machine understand.
/// Every member of a peer set must run the same.
pub trait UserMachine: StateMachine {
    /// Answers a question about the state. Any bytes must be handled; nothing may change.
    fn query(&self, query: &[u8]) -> Vec<u8>;

    /// The dictionary, if it is one: then it has the dictionary's own requests, too.
    fn dictionary(&self) -> Option<&Entries> {
        None
    }
}

impl UserMachine for Entries {
    /// The value of the key that the question is; nothing when there is none.
    fn query(&self, key: &[u8]) -> Vec<u8> {
        self.get(key).map(<[u8]>::to_vec).unwrap_or_default()
    }

    fn dictionary(&self) -> Option<&Entries> {
        Some(self)
    }
}
