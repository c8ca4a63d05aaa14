//! What voters say of their replicated state, to find a member whose state has diverged.

use crate::command::statement;
use crate::{Digest, Index, MemberId, SetId, Signature};
use serde::{Deserialize, Serialize};

/// A voter's digest of its state as of a mark, the index of a `TenureBegan`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateDigest {
    /// The index of the mark.
    pub mark: Index,
    /// Of the state with that entry applied and none after it.
    pub digest: Digest,
    /// By the voter's identity key, over [`state_digest_statement`].
    pub signature: Signature,
}

/// A [`StateDigest`] as a leader records it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedDigest {
    /// Whose.
    pub member: MemberId,
    /// Of its state.
    pub digest: Digest,
    /// By its identity key, over [`state_digest_statement`].
    pub signature: Signature,
}

/// The bytes a member signs for a [`StateDigest`].
pub fn state_digest_statement(set: SetId, member: MemberId, mark: Index, digest: Digest) -> Vec<u8> {
    statement(b"rafty state digest v1", &(set, member, mark, digest))
}
