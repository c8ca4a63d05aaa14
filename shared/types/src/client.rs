//! A client of the dictionary, as the replicated state knows it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Names a client by its token: [`ClientRecord::id`].
pub type ClientId = [u8; 16];

/// Whoever may use the dictionary from another machine: enough to check its token, not enough to make one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientRecord {
    /// For people; at most [`MAX_NAME_LEN`](crate::MAX_NAME_LEN) bytes.
    pub name: String,
    /// By which a client says who it is before it shows its token.
    pub id: ClientId,
    /// What the token's secret hashes to.
    pub stored_key: [u8; 32],
    /// By which a member proves to the client that it knows this record. Derived from the same secret, one way.
    pub server_key: [u8; 32],
    /// Whether it may only read.
    pub read_only: bool,
    /// How long it is good after it was created, in milliseconds of the peer set's time. In an entry that is stamped
    /// [`Stamp::Wall`](crate::Stamp::Wall): until when, in milliseconds since 1970.
    pub ttl_ms: u64,
}

impl fmt::Debug for ClientRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, read_only, ttl_ms, .. } = self;
        let mut shown = f.debug_struct("ClientRecord");
        shown.field("name", name).field("read_only", read_only).field("ttl_ms", ttl_ms);
        shown.finish_non_exhaustive()
    }
}
