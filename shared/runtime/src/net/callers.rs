//! How many handshakes each address has under way: one that stalls all of its own leaves room for others.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bits of an IPv6 address that one caller cannot choose.
const NETWORK: u128 = !0 << 64;

#[derive(Clone, Debug, Default)]
pub(super) struct Callers(Arc<Mutex<BTreeMap<IpAddr, usize>>>);

/// One handshake under way.
#[derive(Debug)]
pub(super) struct HandshakePermit {
    callers: Callers,
    of: IpAddr,
}

impl Callers {
    /// A place for one more of this address, unless it has `most` already.
    pub(super) fn admit(&self, address: IpAddr, most: usize) -> Option<HandshakePermit> {
        let of = network(address);
        let mut under_way = self.under_way();
        let count = under_way.entry(of).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(HandshakePermit { callers: self.clone(), of })
    }

    fn under_way(&self) -> MutexGuard<'_, BTreeMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for HandshakePermit {
    fn drop(&mut self) {
        let mut under_way = self.callers.under_way();
        if let Some(count) = under_way.get_mut(&self.of) {
            *count -= 1;
            if *count == 0 {
                under_way.remove(&self.of);
            }
        }
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_leaves_room_for_others_and_gives_its_places_back() {
        let callers = Callers::default();
        let of = |text: &str| callers.admit(text.parse().unwrap(), 2);
        let places = [of("192.0.2.1"), of("::ffff:192.0.2.1")];
        assert!(places.iter().all(Option::is_some) && of("192.0.2.1").is_none());
        assert!(of("192.0.2.2").is_some(), "another one");
        let of_a_network = [of("2001:db8::1"), of("2001:db8::2")];
        assert!(of("2001:db8::3").is_none(), "one caller has many addresses");
        assert!(of("2001:db8:0:1::3").is_some());
        drop((places, of_a_network));
        assert!(of("192.0.2.1").is_some());
        assert!(callers.under_way().is_empty(), "nothing is kept of who has gone");
    }
}
