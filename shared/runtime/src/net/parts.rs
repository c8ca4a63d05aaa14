//! Long envelopes of which a part has arrived: it waits in the spool for its sender to come back with the rest.

use super::Spool;
use rafty_types::{Digest, PeerKey};
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a part waits.
pub(super) const RESUME_WITHIN: Duration = Duration::from_secs(300);
/// Parts that wait, of one sender and of all together: as many as may come at once.
const MAX_OF_ONE: usize = super::transport::BULK_STREAMS as usize;
const MAX_PARTS: usize = super::INBOUND_BULK;

/// A file of the spool that is not full yet. It is discarded unless it is kept.
pub(super) struct Part {
    spool: Arc<dyn Spool>,
    handle: u64,
    pub(super) file: Arc<File>,
    /// Bytes it shall have.
    pub(super) total: u64,
    /// Bytes that are written, from its start.
    pub(super) arrived: u64,
    kept: bool,
}

impl Part {
    pub(super) fn new(spool: Arc<dyn Spool>, handle: u64, file: File, total: u64) -> Self {
        Self { spool, handle, file: Arc::new(file), total, arrived: 0, kept: false }
    }

    pub(super) fn handle(&self) -> u64 {
        self.handle
    }

    /// Somebody else discards it from now on.
    pub(super) fn hand_over(mut self) {
        self.kept = true;
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.kept {
            let (spool, handle) = (self.spool.clone(), self.handle);
            smol::unblock(move || spool.discard(handle)).detach();
        }
    }
}

/// The parts that wait, the oldest first.
#[derive(Default)]
pub(super) struct Parts(Mutex<Vec<Waiting>>);

struct Waiting {
    sender: PeerKey,
    name: Digest,
    part: Part,
    since: Instant,
}

impl Parts {
    /// The part that waits for this envelope, if one does.
    pub(super) fn take(&self, sender: PeerKey, name: Digest, total: u64) -> Option<Part> {
        let mut waiting = self.waiting();
        let is_it = |one: &Waiting| (one.sender, one.name, one.part.total) == (sender, name, total);
        let at = waiting.iter().position(is_it)?;
        Some(waiting.remove(at).part)
    }

    /// It waits from `now` on; the oldest of its sender, or of all, gives way when there are too many.
    pub(super) fn keep(&self, sender: PeerKey, name: Digest, part: Part, now: Instant) {
        let mut waiting = self.waiting();
        waiting.retain(|one| (one.sender, one.name) != (sender, name));
        let of_sender = waiting.iter().filter(|one| one.sender == sender).count();
        let gives_way = match of_sender >= MAX_OF_ONE {
            true => waiting.iter().position(|one| one.sender == sender),
            false => (waiting.len() >= MAX_PARTS).then_some(0),
        };
        gives_way.map(|at| waiting.remove(at));
        waiting.push(Waiting { sender, name, part, since: now });
    }

    /// Drops those that have waited for long enough.
    pub(super) fn forget_old(&self, now: Instant) {
        self.waiting().retain(|one| now.duration_since(one.since) < RESUME_WITHIN);
    }

    /// Drops all; tells whether there were any.
    pub(super) fn forget_all(&self) -> bool {
        !std::mem::take(&mut *self.waiting()).is_empty()
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use rafty_types::MemberId;
    use std::io;

    struct Nowhere;

    impl Spool for Nowhere {
        fn wants(&self, _from: MemberId, _header: &[u8], _len: u64) -> bool {
            true
        }

        fn create(&self, _: u64) -> io::Result<(u64, File)> {
            Ok((0, tempfile::tempfile()?))
        }

        fn discard(&self, _: u64) {}
    }

    /// A part of so many bytes, in no spool.
    pub(in super::super) fn part_of(total: u64, handle: u64) -> Part {
        Part::new(Arc::new(Nowhere), handle, tempfile::tempfile().unwrap(), total)
    }

    fn part(handle: u64) -> Part {
        part_of(10, handle)
    }

    #[test]
    fn a_part_waits_for_its_sender_and_envelope_and_not_for_ever() {
        let (parts, now, one, other) = (Parts::default(), Instant::now(), PeerKey([1; 32]), PeerKey([2; 32]));
        let name = Digest::of(b"a");
        parts.keep(one, name, part(1), now);
        assert!(parts.take(other, name, 10).is_none() && parts.take(one, name, 11).is_none());
        assert!(parts.take(one, Digest::of(b"b"), 10).is_none());
        assert_eq!(parts.take(one, name, 10).map(|part| part.handle()), Some(1));
        assert!(parts.take(one, name, 10).is_none());
        parts.keep(one, name, part(2), now);
        parts.forget_old(now + RESUME_WITHIN / 2);
        parts.keep(one, name, part(3), now + RESUME_WITHIN / 2);
        parts.forget_old(now + RESUME_WITHIN);
        assert_eq!(parts.take(one, name, 10).map(|part| part.handle()), Some(3));
        assert!(!parts.forget_all());
    }

    #[test]
    fn few_wait_and_nobody_takes_the_places_of_others() {
        let (parts, now) = (Parts::default(), Instant::now());
        let name = |number: u8| Digest::of(&[number]);
        parts.keep(PeerKey([1; 32]), name(0), part(0), now);
        (1..100).for_each(|number| parts.keep(PeerKey([2; 32]), name(number), part(0), now));
        assert!(parts.take(PeerKey([1; 32]), name(0), 10).is_some());
        assert!(parts.take(PeerKey([2; 32]), name(97), 10).is_none());
        assert!(parts.take(PeerKey([2; 32]), name(98), 10).is_some());
        (0..100).for_each(|number| parts.keep(PeerKey([number; 32]), name(number), part(0), now));
        assert_eq!(parts.waiting().len(), MAX_PARTS);
    }
}
