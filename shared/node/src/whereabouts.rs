//! Where another member is looked for, and where this one says that it is.
//!
//! What a member records about another is what it saw: QUIC follows a member to another address without a word (RFC 9000
//! §9), so that both ends of a connection may be elsewhere than when it was made.

use rafty_types::{Mutation, planted};
use std::net::SocketAddr;

/// Where one member may be found. None of it is believed: whoever answers there proves its key.
#[derive(Clone, Debug, Default)]
pub struct Whereabouts {
    committed: Vec<SocketAddr>,
    last_seen: Option<SocketAddr>,
    sighted: Vec<SocketAddr>,
}

impl Whereabouts {
    /// The replicated state says that it is here.
    pub fn committed_at(&mut self, addresses: &[SocketAddr]) {
        self.committed = addresses.to_vec();
    }

    /// Somebody says that it may be here, too. Forgotten when it is reached.
    pub fn sighted_at(&mut self, addresses: Vec<SocketAddr>) {
        self.sighted = addresses;
    }

    /// What it sends came from here.
    pub fn seen_at(&mut self, address: SocketAddr) {
        self.last_seen = Some(address);
    }

    /// It answered here.
    pub fn reached_at(&mut self, address: SocketAddr) {
        self.last_seen = Some(address);
        self.sighted.clear();
    }

    /// Where it was seen last, or reached.
    pub fn last_seen(&self) -> Option<SocketAddr> {
        self.last_seen
    }

    /// Where to look for it, the likeliest first, each once.
    pub fn candidates(&self) -> Vec<SocketAddr> {
        let mut candidates = Vec::new();
        for address in self.last_seen.iter().chain(&self.sighted).chain(&self.committed) {
            if !candidates.contains(address) {
                candidates.push(*address);
            }
        }
        candidates
    }
}

/// Where the other end of a connection is that it dialled.
#[derive(Clone, Copy, Debug)]
pub struct RemoteAddress(SocketAddr);

impl RemoteAddress {
    /// Of a connection that was just accepted.
    pub fn new(address: SocketAddr) -> Self {
        Self(address)
    }

    /// Whether it is to be looked for at `address`, where its packets come from now: it is elsewhere than it was, or was
    /// looked for in vain where something else with its key was seen last.
    pub fn moves_to(&mut self, address: SocketAddr, sought_in_vain_at: Option<SocketAddr>) -> bool {
        let is_missed = sought_in_vain_at.is_some_and(|sought| sought != address);
        let moves = (self.0 != address || is_missed) && !planted(Mutation::RemoteAddressLookedAtOnce);
        self.0 = address;
        moves
    }
}

/// Whether a member tells the others that it is at `own`, when the replicated state says `known` of it and `others` of them.
/// A loopback address only where all are on one machine: it is what a member has that is on no network at the moment, and
/// others would look for it on themselves.
pub fn is_worth_telling<'a>(
    own: SocketAddr,
    known: &[SocketAddr],
    others: impl IntoIterator<Item = &'a [SocketAddr]>,
) -> bool {
    if known == [own] || own.ip().is_unspecified() {
        return false;
    }
    let is_loopback = |address: &SocketAddr| address.ip().to_canonical().is_loopback();
    if !is_loopback(&own) || planted(Mutation::LoopbackCommitted) {
        return true;
    }
    let mut others = others.into_iter().peekable();
    others.peek().is_some() && others.all(|addresses| addresses.iter().all(is_loopback))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_member_is_looked_for_where_it_was_seen_then_where_it_may_be_then_where_it_ought_to() {
        let [old, seen, sighted] = ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"].map(at);
        let mut whereabouts = Whereabouts::default();
        whereabouts.committed_at(&[old]);
        assert_eq!(whereabouts.candidates(), [old]);
        whereabouts.sighted_at(vec![sighted, old]);
        whereabouts.seen_at(seen);
        assert_eq!(whereabouts.candidates(), [seen, sighted, old]);
        whereabouts.reached_at(sighted);
        assert_eq!(whereabouts.candidates(), [sighted, old]);
        assert_eq!(whereabouts.last_seen(), Some(sighted));
    }

    #[test]
    fn a_connection_shows_each_move_once() {
        let [one, other] = ["10.0.0.1:1", "10.0.0.1:2"].map(at);
        let mut remote = RemoteAddress::new(one);
        let mut moves_to = |address| remote.moves_to(address, None);
        assert!(!moves_to(one) && moves_to(other) && !moves_to(other) && moves_to(one));
    }

    #[test]
    fn whoever_is_sought_in_vain_is_where_its_own_connection_comes_from() {
        let [one, copy] = ["10.0.0.1:1", "10.0.0.2:1"].map(at);
        let mut remote = RemoteAddress::new(one);
        assert!(remote.moves_to(one, Some(copy)) && !remote.moves_to(one, Some(one)));
    }

    #[test]
    fn a_loopback_address_is_told_only_among_members_of_one_machine() {
        let [abroad, here, here_too] =
            [["10.0.0.1:1"], ["127.0.0.1:1"], ["[::ffff:127.0.0.1]:2"]].map(|all| all.map(at));
        let tells = |own: SocketAddr, others: &[&[SocketAddr]]| {
            is_worth_telling(own, &[at("10.0.0.9:9")], others.iter().copied())
        };
        assert!(tells(at("10.0.0.8:9"), &[&abroad]) && tells(at("10.0.0.8:9"), &[]));
        assert!(!tells(at("10.0.0.9:9"), &[&abroad]), "it is known");
        assert!(!tells(at("127.0.0.1:9"), &[&here, &abroad]) && !tells(at("[::1]:9"), &[&abroad]));
        assert!(!tells(at("127.0.0.1:9"), &[]), "there is nobody to tell");
        assert!(tells(at("127.0.0.1:9"), &[&here, &here_too]));
        assert!(!tells(at("0.0.0.0:9"), &[&abroad]));
    }
}
