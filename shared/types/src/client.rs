//! A client of the dictionary, as the replicated state knows it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Whoever may use the dictionary from another machine: enough to check its token, not enough to make one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientRecord {
    /// For people; at most [`MAX_NAME_LEN`](crate::MAX_NAME_LEN) bytes.
    pub name: String,
    /// By which a client says who it is before it shows its token.
    pub id: [u8; 16],
    /// What the token's secret hashes to.
    pub stored_key: [u8; 32],
    /// By which a member proves to the client that it knows this record. Derived from the same secret, one way.
    pub server_key: [u8; 32],
    /// Whether it may only read.
    pub read_only: bool,
    /// When it expires by leader-stamped time, in milliseconds since 1970.
    pub expires_ms: u64,
}

impl fmt::Debug for ClientRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, read_only, expires_ms, .. } = self;
        let mut shown = f.debug_struct("ClientRecord");
        shown.field("name", name).field("read_only", read_only).field("expires_ms", expires_ms);
        shown.finish_non_exhaustive()
    }
}
