//! How many clients, and how many bytes of theirs.

use crate::clients::{MAX_CONNECTIONS, MAX_OF_ADDRESS, MAX_OF_LOOPBACK, MAX_REMOTE, is_local};
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
pub(super) struct ConnectionLimit {
    inside: Arc<Mutex<Inside>>,
    max: usize,
}

#[derive(Default)]
struct Inside {
    all: usize,
    remote: usize,
    by_address: BTreeMap<IpAddr, usize>,
}

/// A connection that counts as long as this is held.
pub(super) struct ConnectionPermit {
    inside: Arc<Mutex<Inside>>,
    address: IpAddr,
}

impl ConnectionLimit {
    /// At most `max` in all; of that, a part for all other machines, for each of them, and for this one.
    pub(super) fn new(max: usize) -> Self {
        Self { inside: Arc::default(), max }
    }

    /// Lets a connection of this address in, unless there are enough.
    pub(super) fn enter(&self, address: IpAddr) -> Option<ConnectionPermit> {
        let address = address.to_canonical();
        let local = is_local(address);
        let share = |of: usize| (self.max * of / MAX_CONNECTIONS).max(1);
        let most = share(if local { MAX_OF_LOOPBACK } else { MAX_OF_ADDRESS });
        let mut inside = lock(&self.inside);
        let of_address = inside.by_address.get(&address).copied().unwrap_or(0);
        let too_many_remote = !local && inside.remote >= share(MAX_REMOTE);
        if inside.all >= self.max || of_address >= most || too_many_remote {
            return None;
        }
        inside.all += 1;
        inside.remote += usize::from(!local);
        inside.by_address.insert(address, of_address + 1);
        Some(ConnectionPermit { inside: self.inside.clone(), address })
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut inside = lock(&self.inside);
        inside.all -= 1;
        inside.remote -= usize::from(!is_local(self.address));
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
pub(crate) struct BytePermit {
    budget: Budget,
    bytes: usize,
}

impl Budget {
    pub(crate) fn new(max: usize) -> Self {
        Self { taken: Arc::default(), max }
    }

    /// A share without bytes.
    pub(crate) fn nothing(&self) -> BytePermit {
        BytePermit { budget: self.clone(), bytes: 0 }
    }

    /// A share of so many bytes, if they are there.
    pub(crate) fn take(&self, bytes: usize) -> Option<BytePermit> {
        let mut share = self.nothing();
        share.resize(bytes).then_some(share)
    }
}

impl BytePermit {
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

impl Drop for BytePermit {
    fn drop(&mut self) {
        self.budget.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(limit: &ConnectionLimit, ip: &str, times: usize) -> Vec<ConnectionPermit> {
        (0..times).filter_map(|_| limit.enter(ip.parse().unwrap())).collect()
    }

    #[test]
    fn connections_are_counted_in_all_and_by_address_and_leave_no_trace() {
        let limit = ConnectionLimit::new(16);
        let one = [enter(&limit, "192.0.2.7", 3), enter(&limit, "::ffff:192.0.2.7", 3)];
        assert_eq!(one.each_ref().map(Vec::len), [3, 1], "a quarter for one address, however it is written");
        let others = ["192.0.2.8", "2001:db8::1", "2001:db8::2"].map(|ip| enter(&limit, ip, 16));
        assert_eq!(others.each_ref().map(Vec::len), [4, 4, 0], "three quarters for all other machines");
        assert_eq!(enter(&limit, "127.0.0.1", 16).len(), 4, "the rest is kept for this one");
        drop((one, others));
        let local = enter(&limit, "::1", 16);
        assert_eq!((local.len(), enter(&limit, "192.0.2.7", 16).len()), (12, 4));
        drop(local);
        let inside = lock(&limit.inside);
        assert!(inside.by_address.is_empty() && inside.all == 0 && inside.remote == 0);
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
