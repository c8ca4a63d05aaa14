//! A member's word that it wants a command, signed by it.
//!
//! What a leader proposes stands in the log in the name that the leader gives, and a leader may lie. What an operator decides
//! and what a member says of itself counts by that member's own signature instead, and once.

use crate::command::statement;
use crate::{ControlCommand, Index, MemberId, PeerKey, SetId, Signature};
use serde::{Deserialize, Serialize};
use std::fmt::Debug;

/// Numbers what one member issues. None is used twice: starts are counted on the disk before anything is said in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IssueSerial {
    /// The member's incarnation.
    pub incarnation: u64,
    /// Counts from 1 within it.
    pub count: u64,
}

/// That a member issues a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issue {
    /// Who.
    pub by: MemberId,
    /// Its number for it.
    pub serial: IssueSerial,
    /// The last entry that the member had applied.
    pub seen: Index,
    /// What time it was then for the peer set, as far as the member could tell, in milliseconds.
    pub seen_ms: u64,
    /// By its identity key, over all this, the peer set with its epoch, and the command. In an entry of log format 2: what
    /// was signed there.
    pub signature: Signature,
}

impl Issue {
    /// The issue with its signature.
    #[must_use]
    pub fn signed(self, signer: &dyn Sign, set: SetId, command: &ControlCommand) -> Self {
        Self { signature: signer.sign(&self.to_bytes(set, command)), ..self }
    }

    /// Whether the holder of `key` issued this command in this peer set and epoch.
    pub fn is_by(&self, key: &PeerKey, set: SetId, command: &ControlCommand) -> bool {
        key.verify(&self.to_bytes(set, command), &self.signature)
    }

    fn to_bytes(&self, set: SetId, command: &ControlCommand) -> Vec<u8> {
        let Self { by, serial, seen, seen_ms, signature: _ } = self;
        statement(b"rafty issue v1", &(set, by, serial, seen, seen_ms, command))
    }
}

/// Who can sign in a member's name.
pub trait Sign: Send + Sync + Debug {
    /// The signature over `statement`.
    fn sign(&self, statement: &[u8]) -> Signature;
}
