//! Snapshots that arrive in chunks.

use rafty_types::{Digest, PeerKey};
use rafty_wire::MAX_SNAPSHOT_LEN;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// What has arrived so far: at most one snapshot from each sender, and together no more than the longest one may be.
#[derive(Debug, Default)]
pub(super) struct Snapshots(Mutex<BTreeMap<PeerKey, Partial>>);

#[derive(Debug)]
struct Partial {
    digest: Digest,
    total: u64,
    data: Vec<u8>,
    hasher: blake3::Hasher,
}

impl Partial {
    fn new(digest: Digest, total: u64) -> Self {
        Self { digest, total, data: vec![], hasher: blake3::Hasher::new() }
    }

    fn is_at(&self, digest: Digest, total: u64, offset: u64) -> bool {
        self.digest == digest && self.total == total && self.data.len() as u64 == offset
    }
}

/// What a chunk that fits makes of a snapshot.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// More is to come.
    Part,
    /// This was the last.
    Whole(Vec<u8>),
}

impl Snapshots {
    /// Appends `chunk`, which starts at `offset` of the snapshot with this `digest` and `total` length. A chunk at 0
    /// starts anew. `None` when the chunk does not fit: then what was there of the snapshot is gone.
    pub(super) fn add(
        &self,
        sender: PeerKey,
        digest: Digest,
        total: u64,
        offset: u64,
        chunk: &[u8],
    ) -> Option<Added> {
        let mut partials = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = partials.remove(&sender);
        let held: u64 = partials.values().map(|partial| partial.data.len() as u64).sum();
        let mut partial = match offset {
            0 => Partial::new(digest, total),
            _ => before.filter(|partial| partial.is_at(digest, total, offset))?,
        };
        let end = offset.checked_add(chunk.len() as u64)?;
        if end > total || held + end > MAX_SNAPSHOT_LEN || (chunk.is_empty() && total > 0) {
            return None;
        }
        partial.data.extend_from_slice(chunk);
        partial.hasher.update(chunk);
        if end < total {
            partials.insert(sender, partial);
            return Some(Added::Part);
        }
        (*partial.hasher.finalize().as_bytes() == digest.0).then_some(Added::Whole(partial.data))
    }

    /// Drops what has arrived from `sender`.
    pub(super) fn forget(&self, sender: PeerKey) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&sender);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENDER: PeerKey = PeerKey([1; 32]);
    const OTHER: PeerKey = PeerKey([2; 32]);

    #[test]
    fn chunks_in_order_make_a_snapshot_and_senders_do_not_mix() {
        let (snapshots, digest) = (Snapshots::default(), Digest::of(b"abcdef"));
        assert_eq!(snapshots.add(SENDER, digest, 6, 0, b"abc"), Some(Added::Part));
        assert_eq!(snapshots.add(OTHER, digest, 6, 0, b"ab"), Some(Added::Part));
        assert_eq!(snapshots.add(SENDER, digest, 6, 3, b"def"), Some(Added::Whole(b"abcdef".to_vec())));
        assert_eq!(snapshots.add(OTHER, digest, 6, 2, b"cdef"), Some(Added::Whole(b"abcdef".to_vec())));
    }

    #[test]
    fn an_empty_snapshot_is_whole_at_once() {
        assert_eq!(Snapshots::default().add(SENDER, Digest::of(b""), 0, 0, b""), Some(Added::Whole(vec![])));
    }

    #[test]
    fn a_gap_a_wrong_digest_and_a_forgotten_start_are_refused() {
        let (snapshots, digest) = (Snapshots::default(), Digest::of(b"abcdef"));
        snapshots.add(SENDER, digest, 6, 0, b"abc");
        assert_eq!(snapshots.add(SENDER, digest, 6, 4, b"ef"), None);
        snapshots.add(SENDER, digest, 6, 0, b"abc");
        assert_eq!(snapshots.add(SENDER, digest, 6, 3, b"dex"), None);
        snapshots.add(SENDER, digest, 6, 0, b"abc");
        assert_eq!(snapshots.add(SENDER, digest, 6, 3, b"defg"), None);
        snapshots.add(SENDER, digest, 6, 0, b"abc");
        snapshots.forget(SENDER);
        assert_eq!(snapshots.add(SENDER, digest, 6, 3, b"def"), None);
    }
}
