//! Who belongs: consulted by every handshake and for every frame.

use rafty_types::{MemberId, PeerKey};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{PoisonError, RwLock};

/// A member as the network needs to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterPeer {
    /// Its id.
    pub id: MemberId,
    /// Its identity.
    pub key: PeerKey,
    /// Where it may be found, tried in this order.
    pub addresses: Vec<SocketAddr>,
}

/// The members, by key.
#[derive(Debug, Default)]
pub(super) struct Roster(RwLock<Members>);

#[derive(Debug, Default)]
struct Members {
    me: MemberId,
    by_key: BTreeMap<PeerKey, MemberId>,
}

impl Roster {
    /// From now on these are the members.
    pub(super) fn set(&self, me: MemberId, peers: &[RosterPeer]) {
        let by_key = peers.iter().map(|peer| (peer.key, peer.id)).collect();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Members { me, by_key };
    }

    /// The member with this key, now.
    pub(super) fn member(&self, key: PeerKey) -> Option<MemberId> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).by_key.get(&key).copied()
    }

    /// Our own id, now.
    pub(super) fn me(&self) -> MemberId {
        self.0.read().unwrap_or_else(PoisonError::into_inner).me
    }
}
