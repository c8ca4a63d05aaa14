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
        let mut partial = match offset {
            0 => Partial::new(digest, total),
            _ => before.filter(|partial| partial.is_at(digest, total, offset))?,
        };
        let end = offset.checked_add(chunk.len() as u64)?;
        if end > total || total > MAX_SNAPSHOT_LEN || (chunk.is_empty() && total > 0) {
            return None;
        }
        let held: u64 = partials.values().map(|partial| partial.data.len() as u64).sum();
        if held + end > MAX_SNAPSHOT_LEN {
            // What waits for others to come back gives way to what comes.
            partials.clear();
        }
        partial.data.extend_from_slice(chunk);
        partial.hasher.update(chunk);
        if end < total {
            partials.insert(sender, partial);
            return Some(Added::Part);
        }
        let whole = *partial.hasher.finalize().as_bytes() == digest.0;
        if whole {
            // Nobody needs the half of another snapshot now.
            partials.clear();
        }
        whole.then_some(Added::Whole(partial.data))
    }

    /// What of a snapshot waits for the rest from `sender`: which, and how many bytes.
    pub(super) fn half(&self, sender: PeerKey) -> Option<(Digest, u64)> {
        let partials = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        partials.get(&sender).map(|partial| (partial.digest, partial.data.len() as u64))
    }

    /// How much of this snapshot has arrived from `sender`, in bytes from its start.
    pub(super) fn arrived(&self, sender: PeerKey, digest: Digest, total: u64) -> u64 {
        let partials = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = partials.get(&sender).filter(|partial| (partial.digest, partial.total) == (digest, total));
        same.map_or(0, |partial| partial.data.len() as u64)
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
        assert_eq!(snapshots.add(OTHER, digest, 6, 2, b"cd"), Some(Added::Part));
        assert_eq!(snapshots.add(SENDER, digest, 6, 3, b"def"), Some(Added::Whole(b"abcdef".to_vec())));
        assert_eq!(snapshots.half(OTHER), None, "one is enough");
    }

    #[test]
    fn what_has_arrived_is_known_by_sender_and_snapshot() {
        let (snapshots, digest) = (Snapshots::default(), Digest::of(b"abcdef"));
        snapshots.add(SENDER, digest, 6, 0, b"abcd");
        assert_eq!(snapshots.arrived(SENDER, digest, 6), 4);
        assert_eq!(snapshots.arrived(SENDER, Digest::of(b"other"), 6), 0);
        assert_eq!(snapshots.arrived(OTHER, digest, 6), 0);
        assert_eq!(snapshots.add(SENDER, digest, 6, 4, b"ef"), Some(Added::Whole(b"abcdef".to_vec())));
        assert_eq!(snapshots.arrived(SENDER, digest, 6), 0);
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
