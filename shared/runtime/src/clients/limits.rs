//! How many clients, and how many bytes of theirs.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many files this process wants to be able to open.
const WANTED_FILES: u64 = 4_096;
/// How many of them are for other things than clients.
const OTHER_FILES: u64 = 256;

/// How many files clients may have open, once the system was asked for as many as it gives.
pub(super) fn files_to_spare() -> usize {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(WANTED_FILES).min(WANTED_FILES);
    if limit.current.is_some_and(|current| current < most) {
        limit.current = Some(most);
        // Without more, fewer clients are served.
        let _ = setrlimit(Resource::Nofile, limit);
    }
    let files = getrlimit(Resource::Nofile).current.unwrap_or(most);
    usize::try_from(files.saturating_sub(OTHER_FILES).max(1)).unwrap_or(usize::MAX)
}

/// Counts connections, in all and by address.
#[derive(Clone)]
pub(super) struct Doors {
    inside: Arc<Mutex<Inside>>,
    max: usize,
    max_of_address: usize,
    max_of_loopback: usize,
}

#[derive(Default)]
struct Inside {
    all: usize,
    by_address: BTreeMap<IpAddr, usize>,
}

/// A connection that counts as long as this is held.
pub(super) struct Place {
    inside: Arc<Mutex<Inside>>,
    address: IpAddr,
}

impl Doors {
    pub(super) fn new(max: usize, max_of_address: usize, max_of_loopback: usize) -> Self {
        Self { inside: Arc::default(), max, max_of_address, max_of_loopback }
    }

    /// Lets a connection of this address in, unless there are enough.
    pub(super) fn enter(&self, address: IpAddr) -> Option<Place> {
        let address = address.to_canonical();
        let most = if address.is_loopback() { self.max_of_loopback } else { self.max_of_address };
        let mut inside = lock(&self.inside);
        let of_address = inside.by_address.get(&address).copied().unwrap_or(0);
        if inside.all >= self.max || of_address >= most {
            return None;
        }
        inside.all += 1;
        inside.by_address.insert(address, of_address + 1);
        Some(Place { inside: self.inside.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = lock(&self.inside);
        inside.all -= 1;
        if let Some(count) = inside.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                inside.by_address.remove(&self.address);
            }
        }
    }
}

fn lock(inside: &Mutex<Inside>) -> MutexGuard<'_, Inside> {
    inside.lock().unwrap_or_else(PoisonError::into_inner)
}

/// So many bytes in all.
#[derive(Clone)]
pub(crate) struct Budget {
    taken: Arc<AtomicUsize>,
    max: usize,
}

/// A part of a budget; given back when dropped.
pub(crate) struct Share {
    budget: Budget,
    bytes: usize,
}

impl Budget {
    pub(crate) fn new(max: usize) -> Self {
        Self { taken: Arc::default(), max }
    }

    /// A share without bytes.
    pub(crate) fn nothing(&self) -> Share {
        Share { budget: self.clone(), bytes: 0 }
    }

    /// A share of so many bytes, if they are there.
    pub(crate) fn take(&self, bytes: usize) -> Option<Share> {
        let mut share = self.nothing();
        share.resize(bytes).then_some(share)
    }
}

impl Share {
    /// Makes it so large. `false`, and as it was, when the budget does not have that much.
    pub(crate) fn resize(&mut self, bytes: usize) -> bool {
        let grown = self.budget.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
            let rest = taken - self.bytes;
            Some(rest + bytes).filter(|sum| *sum <= self.budget.max || bytes <= self.bytes)
        });
        if grown.is_ok() {
            self.bytes = bytes;
        }
        grown.is_ok()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted_in_all_and_by_address_and_leave_no_trace() {
        let [near, far, other] =
            ["127.0.0.1", "192.0.2.7", "::ffff:192.0.2.7"].map(|ip| ip.parse::<IpAddr>().unwrap());
        let doors = Doors::new(5, 2, 4);
        let far_ones: Vec<_> = [far, other, far].map(|ip| doors.enter(ip)).into_iter().collect();
        assert!(far_ones[0].is_some() && far_ones[1].is_some() && far_ones[2].is_none());
        let near_ones: Vec<_> = (0..4).filter_map(|_| doors.enter(near)).collect();
        assert_eq!(near_ones.len(), 3, "five in all");
        drop((far_ones, near_ones));
        assert_eq!((0..5).filter_map(|_| doors.enter(near)).collect::<Vec<_>>().len(), 4);
        assert!(lock(&doors.inside).by_address.is_empty());
    }

    #[test]
    fn shares_grow_shrink_and_come_back() {
        let budget = Budget::new(10);
        let mut one = budget.take(6).unwrap();
        assert!(budget.take(5).is_none());
        let two = budget.take(4).unwrap();
        assert!(!one.resize(7) && one.resize(5) && one.resize(6));
        drop(two);
        assert!(one.resize(10) && budget.take(1).is_none());
        drop(one);
        assert!(budget.take(10).is_some());
    }
}
