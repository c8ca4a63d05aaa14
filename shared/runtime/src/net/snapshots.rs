//! The snapshot that arrives in chunks, in a file of the spool: one at a time, since only the leader's is taken.

use super::parts::Part;
use rafty_types::{Digest, PeerKey};
use rafty_wire::MAX_SNAPSHOT_LEN;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What has arrived so far, if anything has.
#[derive(Default)]
pub(super) struct Snapshots(Mutex<Option<Partial>>);

/// A snapshot that is not whole yet.
pub(super) struct Partial {
    sender: PeerKey,
    digest: Digest,
    part: Part,
    hasher: Box<blake3::Hasher>,
}

/// What a chunk makes of a snapshot.
pub(super) enum Added {
    /// More is to come.
    Part(Partial),
    /// This was the last.
    Whole(Arc<[u8]>),
    /// This was the last, and it is not what its sender said.
    Damaged,
}

/// Whether a chunk of `len` bytes that starts at `offset` can be one of a snapshot of `total`.
pub(super) fn is_chunk(total: u64, offset: u64, len: u64) -> bool {
    let fits = offset.checked_add(len).is_some_and(|end| end <= total);
    fits && total <= MAX_SNAPSHOT_LEN && (len > 0 || total == 0)
}

impl Partial {
    /// One that begins; its bytes go to `part`.
    pub(super) fn new(sender: PeerKey, digest: Digest, part: Part) -> Self {
        Self { sender, digest, part, hasher: Box::default() }
    }

    /// Appends a chunk. Blocks.
    ///
    /// # Errors
    /// The disk failed; what had arrived is gone.
    pub(super) fn add(mut self, chunk: &[u8]) -> io::Result<Added> {
        self.part.file.write_all_at(chunk, self.part.arrived)?;
        self.part.arrived += chunk.len() as u64;
        self.hasher.update(chunk);
        if self.part.arrived < self.part.total {
            return Ok(Added::Part(self));
        }
        if *self.hasher.finalize().as_bytes() != self.digest.0 {
            return Ok(Added::Damaged);
        }
        let mut whole = vec![0; usize::try_from(self.part.total).map_err(io::Error::other)?];
        self.part.file.read_exact_at(&mut whole, 0)?;
        Ok(Added::Whole(whole.into()))
    }

    fn is_of(&self, sender: PeerKey, digest: Digest, total: u64) -> bool {
        (self.sender, self.digest, self.part.total) == (sender, digest, total)
    }
}

impl Snapshots {
    /// Takes out what goes on at `offset`. Anything else than that is dropped: it will not go on.
    pub(super) fn take(&self, sender: PeerKey, digest: Digest, total: u64, offset: u64) -> Option<Partial> {
        let partial = self.partial().take()?;
        let goes_on = partial.is_of(sender, digest, total) && partial.part.arrived == offset;
        goes_on.then_some(partial)
    }

    /// More of it is to come.
    pub(super) fn keep(&self, partial: Partial) {
        *self.partial() = Some(partial);
    }

    /// What of a snapshot waits for the rest from `sender`: which, and how many bytes.
    pub(super) fn half(&self, sender: PeerKey) -> Option<(Digest, u64)> {
        let partial = self.partial();
        let half = partial.as_ref().filter(|partial| partial.sender == sender)?;
        Some((half.digest, half.part.arrived))
    }

    /// How much of this snapshot has arrived from `sender`, in bytes from its start.
    pub(super) fn arrived(&self, sender: PeerKey, digest: Digest, total: u64) -> u64 {
        let partial = self.partial();
        let same = partial.as_ref().filter(|partial| partial.is_of(sender, digest, total));
        same.map_or(0, |partial| partial.part.arrived)
    }

    /// Drops what has arrived from `sender`.
    pub(super) fn forget(&self, sender: PeerKey) {
        self.partial().take_if(|partial| partial.sender == sender);
    }

    fn partial(&self) -> MutexGuard<'_, Option<Partial>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::parts::tests::part_of;
    use super::*;

    const SENDER: PeerKey = PeerKey([1; 32]);
    const OTHER: PeerKey = PeerKey([2; 32]);

    fn begin(sender: PeerKey, digest: Digest, total: u64) -> Partial {
        Partial::new(sender, digest, part_of(total, 0))
    }

    fn part(added: io::Result<Added>) -> Partial {
        let Ok(Added::Part(partial)) = added else { panic!("more was to come") };
        partial
    }

    #[test]
    fn chunks_in_order_make_a_snapshot() {
        let (snapshots, digest) = (Snapshots::default(), Digest::of(b"abcdef"));
        snapshots.keep(part(begin(SENDER, digest, 6).add(b"abc")));
        assert_eq!((snapshots.arrived(SENDER, digest, 6), snapshots.half(SENDER)), (3, Some((digest, 3))));
        assert_eq!((snapshots.arrived(OTHER, digest, 6), snapshots.half(OTHER)), (0, None));
        let half = snapshots.take(SENDER, digest, 6, 3).expect("it goes on");
        assert!(matches!(half.add(b"def"), Ok(Added::Whole(whole)) if *whole == *b"abcdef"));
        assert_eq!(snapshots.arrived(SENDER, digest, 6), 0);
        assert!(
            matches!(begin(SENDER, Digest::of(b""), 0).add(b""), Ok(Added::Whole(whole)) if whole.is_empty())
        );
    }

    #[test]
    fn what_does_not_go_on_is_dropped() {
        let (snapshots, digest) = (Snapshots::default(), Digest::of(b"abcdef"));
        let goes_on = |(sender, digest, total, offset)| {
            snapshots.keep(part(begin(SENDER, Digest::of(b"abcdef"), 6).add(b"abc")));
            let goes_on = snapshots.take(sender, digest, total, offset).is_some();
            assert_eq!(snapshots.half(SENDER), None);
            goes_on
        };
        assert!(goes_on((SENDER, digest, 6, 3)));
        for other in [
            (SENDER, digest, 6, 4),
            (SENDER, digest, 7, 3),
            (SENDER, Digest::of(b"b"), 6, 3),
            (OTHER, digest, 6, 3),
        ] {
            assert!(!goes_on(other), "{other:?}");
        }
        snapshots.keep(part(begin(SENDER, digest, 6).add(b"abc")));
        snapshots.forget(OTHER);
        assert!(snapshots.half(SENDER).is_some());
        snapshots.forget(SENDER);
        assert!(snapshots.take(SENDER, digest, 6, 3).is_none());
        assert!(matches!(part(begin(SENDER, digest, 6).add(b"abc")).add(b"dex"), Ok(Added::Damaged)));
    }

    #[test]
    fn chunks_lie_within_a_snapshot_that_is_not_too_long() {
        assert!(is_chunk(6, 0, 6) && is_chunk(6, 3, 3) && is_chunk(0, 0, 0));
        assert!(!is_chunk(6, 3, 4) && !is_chunk(6, u64::MAX, 1) && !is_chunk(6, 3, 0));
        assert!(is_chunk(MAX_SNAPSHOT_LEN, 0, 1) && !is_chunk(MAX_SNAPSHOT_LEN + 1, 0, 1));
    }
}
