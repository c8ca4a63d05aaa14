//! Peers over UDP: QUIC with both keys proved, one connection per direction and purpose.
//!
//! Every member *dials* every other and sends on the connection it dialled; it receives on those it accepted. So each
//! direction heals by itself, whoever restarted. What goes how:
//!
//! | what | how |
//! |---|---|
//! | a Raft message or a hello that fits | datagram, stamped; taken once, never late |
//! | every other frame | the connection's one control stream, in order; oldest dropped when the queue is full |
//! | envelopes, snapshots | a connection of their own, one stream per item, answered when taken |
//! | a newcomer's statement | the join protocol, without a key in the roster |
//!
//! One long control stream rather than one stream per frame: it keeps order and needs one grant. The grant is also the
//! welcome: the accepting side allows no stream before it has looked the caller up, so a caller knows that it was let
//! in when it can open one, and nothing of a stranger is ever read.
//!
//! All bounds are constants beside what they bound. Everything that is not let through is counted by [`DropReason`].
//!
//! Nothing here promises delivery: who needs an answer waits for it and asks again. Nothing here checks envelopes or
//! judges messages, beyond that a Raft message comes from whom it names.

mod bulk_connection;
mod bulk_receive;
mod bulk_send;
mod callers;
mod counters;
mod dial;
mod inbound;
mod joining;
mod link;
mod names;
mod pace;
mod parts;
mod probe;
mod queue;
mod roster;
mod snapshots;
mod socket;
#[cfg(test)]
mod tests;
mod tls;
mod transport;
mod turns;
mod units;
mod yielding;

pub use bulk_send::{BulkBody, Delivery};
pub use counters::DropReason;
pub use joining::{JoinDecision, JoinError, Responder, reach};
pub(crate) use pace::FEWEST_PACKETS;
pub use probe::{Path, probe};
pub use roster::RosterPeer;
pub(crate) use tls::provider as tls_provider;

use counters::Counters;
use inbound::Inbound;
use link::Link;
use quinn::{Endpoint, ServerConfig, VarInt};
use rafty_rounds::Arrival;
use rafty_types::{Enrolment, Epoch, Frame, MemberId, Message, PeerKey, SetId};
use rafty_wire::encode_frame;
use roster::Roster;
use smol::channel::{Receiver, RecvError, Sender, bounded};
use smol::lock::Semaphore;
use smol::{Executor, Timer, future};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tls::Identity;
use zeroize::Zeroizing;

/// Datagram frames that wait to be looked at.
const URGENT_EVENTS: usize = 1024;
/// Stream frames, envelopes and snapshots that wait to be looked at. Few: they may be long, and who sends them waits.
const OTHER_EVENTS: usize = 16;
/// Bulk items received at once, from all members together.
const INBOUND_BULK: usize = 8;
/// Bulk items sent at once, to all members together.
const OUTBOUND_BULK: usize = 8;
/// Addresses at which one member is looked for beside those that are known.
const MAX_SIGHTINGS: usize = 4;

/// Why a connection was closed, as the other end sees it.
#[derive(Clone, Copy)]
enum Close {
    Done = 0,
    NotAdmitted = 1,
    Superseded = 2,
    Malformed = 3,
    Busy = 4,
    OtherEpoch = 5,
    Silent = 6,
}

impl Close {
    fn code(self) -> VarInt {
        VarInt::from_u32(self as u32)
    }
}

/// What a peer needs to be on the network.
pub struct NetConfig {
    /// Where to listen, UDP.
    pub listen: SocketAddr,
    /// The peer set and its epoch: connections of another are not let in.
    pub set: SetId,
    /// The public half of the identity.
    pub key: PeerKey,
    /// The identity as PKCS#8 DER.
    pub pkcs8: Zeroizing<Vec<u8>>,
}

/// An address at which members may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The first 16 bytes of the BLAKE3 of the member's key; without it, any member may be there.
    pub key_hash: Option<[u8; 16]>,
    /// Where.
    pub address: SocketAddr,
}

/// Where received envelopes go while they arrive. Called on worker threads, where blocking is fine.
pub trait Spool: Send + Sync + 'static {
    /// Whether an envelope of `from` with this encoded header, unchecked, and a body of `len` bytes is of use. Nothing of the
    /// body is read before.
    fn wants(&self, from: MemberId, header: &[u8], len: u64) -> bool;

    /// A new, empty file for `len` bytes and the handle by which it will be known.
    ///
    /// # Errors
    /// Whatever keeps the file from being made; the envelope is refused then.
    fn create(&self, len: u64) -> io::Result<(u64, File)>;

    /// The envelope never became whole: the file can go.
    fn discard(&self, handle: u64);
}

/// What comes from the network.
#[derive(Debug)]
pub enum NetEvent {
    /// A frame from a member; a Raft message names the same sender.
    Frame {
        /// From whom, by the key of the connection.
        from: MemberId,
        /// The frame.
        frame: Frame,
    },
    /// An envelope, whole and written to its spool file (not synced).
    Envelope {
        /// Who handed it over; who sealed it stands in the header.
        from: MemberId,
        /// The encoded signed header, unchecked.
        header: Vec<u8>,
        /// The spool file of the ciphertext.
        handle: u64,
        /// Length of the ciphertext in bytes.
        len: u64,
    },
    /// A snapshot, whole; its digest was checked.
    Snapshot {
        /// From whom; the message names the same sender.
        from: MemberId,
        /// The engine's message, with the metadata.
        message: Message,
        /// The state.
        data: Arc<[u8]>,
    },
    /// We can send to this member now.
    Connected(MemberId),
    /// We cannot send to this member any more; it is being dialled again.
    Disconnected(MemberId),
    /// This member was reached and does not let us in: we are not in its roster. It is tried again.
    Refused(MemberId),
    /// This member is in another epoch of the peer set: neither of us lets the other in.
    OtherEpoch {
        /// Whose epoch it is, by the key it proved.
        member: MemberId,
        /// Its epoch.
        epoch: Epoch,
    },
    /// A long envelope begins to arrive, or came to a halt half-way.
    Arrival {
        /// Who sends it.
        from: MemberId,
        /// The encoded signed header, unchecked.
        header: Vec<u8>,
        /// Which of the two.
        arrival: Arrival,
    },
    /// What this member sends cannot be kept on the disk here. It is sent again.
    NotSpooled {
        /// Who sends it.
        from: MemberId,
        /// What the disk says.
        why: String,
    },
    /// A newcomer's statement, made for the connection it came by. Whoever takes the event answers within
    /// 30 seconds, or the newcomer is told to try again.
    Join {
        /// The statement; its signatures are unchecked.
        enrolment: Enrolment,
        /// Where the answer goes.
        reply: Sender<JoinDecision>,
    },
}

/// Where events come out. Must be emptied steadily: while it is full, streams wait and datagrams are dropped.
#[derive(Debug)]
pub struct NetEvents {
    urgent: Receiver<NetEvent>,
    other: Receiver<NetEvent>,
}

impl NetEvents {
    /// The next event. Frames that came as datagrams never wait behind long ones.
    ///
    /// # Errors
    /// When the network was closed.
    pub async fn recv(&self) -> Result<NetEvent, RecvError> {
        future::race(self.urgent.recv(), self.other.recv()).await
    }

    /// The next event, if there is one already.
    pub(crate) fn try_recv(&self) -> Option<NetEvent> {
        self.urgent.try_recv().or_else(|_| self.other.try_recv()).ok()
    }
}

/// How it goes with one member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerStats {
    /// Round-trip time of the connection we send on; `None` without one.
    pub rtt: Option<Duration>,
    /// QUIC packets sent on that connection.
    pub sent: u64,
    /// How many of them were lost.
    pub lost: u64,
    /// Whether transfers between the two are slow.
    pub slow: bool,
}

/// How it goes with all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetStats {
    /// By member.
    pub peers: BTreeMap<MemberId, PeerStats>,
    /// What did not get through, since the start, by reason.
    pub drops: BTreeMap<DropReason, u64>,
}

/// The network of one peer. A handle: clones are the same network. It lives on the executor it was bound to and ends
/// with it, or by [`close`](Self::close).
#[derive(Clone)]
pub struct Net(Arc<Inner>);

struct Inner {
    executor: Weak<Executor<'static>>,
    endpoint: Endpoint,
    identity: Identity,
    server_name: String,
    set: SetId,
    slow_server: Arc<ServerConfig>,
    roster: Arc<Roster>,
    links: Mutex<BTreeMap<MemberId, Link>>,
    inbound: Inbound,
    spool: Arc<dyn Spool>,
    counters: Arc<Counters>,
    urgent: Sender<NetEvent>,
    other: Sender<NetEvent>,
    outbound_bulk: Semaphore,
    /// How often somebody said where members may be.
    looks: AtomicUsize,
    /// Over a slow network one bulk item goes at a time.
    narrow: Semaphore,
}

impl Net {
    /// Opens the UDP socket and starts to listen. No member is let in before [`set_roster`](Self::set_roster).
    ///
    /// # Errors
    /// When the identity does not hold or the socket cannot be opened; nothing was started then.
    pub fn bind(
        executor: &Arc<Executor<'static>>,
        config: &NetConfig,
        spool: Arc<dyn Spool>,
    ) -> io::Result<(Self, NetEvents)> {
        let identity = Identity::new(&config.pkcs8, config.key)?;
        let (roster, counters) = (Arc::new(Roster::default()), Arc::new(Counters::default()));
        let crypto = tls::accepting(&identity, roster.clone(), counters.clone()).map_err(io::Error::other)?;
        let server = transport::accepting(crypto);
        let slow_server = Arc::new(transport::accepting_slowly(&server));
        let endpoint = transport::endpoint(executor, config.listen, Some(&config.pkcs8), Some(server))?;
        let (urgent, urgent_events) = bounded(URGENT_EVENTS);
        let (other, other_events) = bounded(OTHER_EVENTS);
        let net = Self(Arc::new(Inner {
            executor: Arc::downgrade(executor),
            endpoint,
            identity,
            server_name: names::of_set(config.set),
            set: config.set,
            slow_server,
            roster,
            links: Mutex::default(),
            inbound: Inbound::new(INBOUND_BULK),
            spool,
            counters,
            urgent,
            other,
            outbound_bulk: Semaphore::new(OUTBOUND_BULK),
            looks: AtomicUsize::new(0),
            narrow: Semaphore::new(1),
        }));
        net.0.spawn(inbound::accept(net.0.clone()));
        Ok((net, NetEvents { urgent: urgent_events, other: other_events }))
    }

    /// Where the socket listens.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.endpoint.local_addr()
    }

    /// From now on these are the members, and `me` is ourselves (in `peers` or not). Dials whoever is new, closes all
    /// connections of keys that are not among them any more.
    pub fn set_roster(&self, me: MemberId, peers: &[RosterPeer]) {
        self.0.roster.set(me, peers);
        self.0.inbound.close_strangers(&self.0.roster);
        let mut links = self.0.links();
        links.retain(|id, link| peers.iter().any(|peer| peer.id == *id && peer.key == link.key()));
        for peer in peers.iter().filter(|peer| peer.id != me) {
            match links.get(&peer.id) {
                Some(link) => link.moved_to(&peer.addresses),
                None => drop(links.insert(peer.id, Link::start(&self.0, peer))),
            }
        }
    }

    /// From now on snapshots are taken of this member only, the leader that is followed; of nobody before.
    pub fn follow(&self, leader: Option<MemberId>) {
        self.0.inbound.follow(leader);
    }

    /// Members may be at these addresses: they are tried beside those that are known. A proved key decides who is there.
    pub fn look_at(&self, sightings: &[Sighting]) {
        let look = self.0.looks.fetch_add(1, Ordering::Relaxed);
        for link in self.0.links().values() {
            let hash = rafty_seal::short_hash(&link.key());
            let may_be = |sighting: &&Sighting| sighting.key_hash.is_none_or(|key_hash| key_hash == hash);
            let at: BTreeSet<_> = sightings.iter().filter(may_be).map(|sighting| sighting.address).collect();
            link.may_be_at(some_of(&at.into_iter().collect::<Vec<_>>(), look));
        }
    }

    /// Whether transfers to this member are slow.
    pub fn is_slow(&self, member: MemberId) -> bool {
        let known = self.0.links().get(&member).map(Link::slow);
        known.is_some_and(|known| self.0.is_slow(known))
    }

    /// Whether a member has this key.
    pub fn knows(&self, key: &PeerKey) -> bool {
        self.0.roster.member(*key).is_some()
    }

    /// Where each member was reached last, or heard from, by its key.
    pub fn last_seen(&self) -> BTreeMap<PeerKey, SocketAddr> {
        self.0.links().values().filter_map(|link| Some((link.key(), link.last_seen()?))).collect()
    }

    /// Sends `frame` to `to`, or drops and counts it. Never waits. What is repeated and fits goes as a datagram, all else by
    /// the control stream; only what is not Raft's waits for a connection.
    pub fn send(&self, to: MemberId, frame: &Frame) {
        let Ok(bytes) = encode_frame(frame) else {
            return self.0.counters.count(DropReason::TooLong);
        };
        match self.0.links().get(&to) {
            Some(link) => link.send(frame, bytes, &self.0.counters),
            None => self.0.counters.count(DropReason::NotConnected),
        }
    }

    /// Sends an envelope to `to`: its encoded signed header (at most 64 KiB) and its ciphertext (at most 512 MiB).
    /// Never waits; what becomes of it is what [`Delivery`] tells.
    pub fn send_envelope(&self, to: MemberId, header: Vec<u8>, body: BulkBody) -> Delivery {
        self.send_bulk(to, bulk_send::Item::Envelope { header, body })
    }

    /// Sends a snapshot to `to`: the engine's message with the metadata, and the state beside it, at most
    /// [`MAX_SNAPSHOT_LEN`](rafty_wire::MAX_SNAPSHOT_LEN) bytes.
    /// Never waits; what becomes of it is what [`Delivery`] tells.
    pub fn send_snapshot(&self, to: MemberId, message: Message, data: Arc<[u8]>) -> Delivery {
        self.send_bulk(to, bulk_send::Item::Snapshot { message: Box::new(message), data })
    }

    fn send_bulk(&self, to: MemberId, item: bulk_send::Item) -> Delivery {
        match self.0.links().get(&to) {
            Some(link) => link.send_bulk(item, &self.0.counters),
            None => {
                self.0.counters.count(DropReason::NotConnected);
                Delivery::failed()
            }
        }
    }

    /// How it goes.
    pub fn stats(&self) -> NetStats {
        let slow_network = self.0.is_on_a_slow_network();
        let peers = self.0.links().iter().map(|(id, link)| (*id, link.stats(slow_network))).collect();
        NetStats { peers, drops: self.0.counters.read() }
    }

    /// Closes all connections and the socket. Others see it at once and dial until we are back.
    pub fn close(&self) {
        self.0.links().clear();
        self.0.endpoint.close(Close::Done.code(), b"");
        self.0.urgent.close();
        self.0.other.close();
    }
}

/// Those that are tried at this look, others at the next: strangers may say any number, and one of them may be right.
fn some_of(addresses: &[SocketAddr], look: usize) -> Vec<SocketAddr> {
    let begin = look.wrapping_mul(MAX_SIGHTINGS) % addresses.len().max(1);
    addresses.iter().cycle().skip(begin).take(MAX_SIGHTINGS.min(addresses.len())).copied().collect()
}

impl Inner {
    fn links(&self) -> MutexGuard<'_, BTreeMap<MemberId, Link>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a way is slow of which this is known; one of which nothing is known is like the others.
    fn is_slow(&self, known: Option<bool>) -> bool {
        known.unwrap_or_else(|| self.is_on_a_slow_network())
    }

    /// How many members do not let us in now.
    fn unreached(&self) -> usize {
        self.links().values().filter(|link| !link.is_open()).count()
    }

    fn is_on_a_slow_network(&self) -> bool {
        pace::are_all_slow(self.links().values().map(Link::slow))
    }

    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        if let Some(executor) = self.executor.upgrade() {
            executor.spawn(future).detach();
        }
    }
}

/// What `future` gives, unless it takes longer than `limit`.
async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    let late = async {
        Timer::after(limit).await;
        None
    };
    future::or(async { Some(future.await) }, late).await
}
