//! Connections that others dial: who is let in, and what is read from them.

use super::callers::{Callers, HandshakePermit};
use super::counters::DropReason;
use super::link::Link;
use super::parts::Parts;
use super::roster::Roster;
use super::snapshots::Snapshots;
use super::tls::{Lane, key_of};
use super::units::{self, UnitError};
use super::{Close, Inner, NetEvent, bulk_receive, joining, names, transport, turns, within};
use quinn::crypto::rustls::HandshakeData;
use quinn::{Connection, Incoming, RecvStream, VarInt};
use rafty_node::RemoteAddress;
use rafty_types::{ClusterId, Epoch, Frame, MemberId, PeerKey};
use rafty_wire::{Decoded, MAX_FRAME_LEN, Newest, WireError, decode_frame, decode_frame_body, open_datagram};
use rustls::pki_types::CertificateDer;
use smol::Timer;
use smol::channel::TrySendError;
use smol::future;
use smol::lock::{Semaphore, SemaphoreGuardArc};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Handshakes under way at once.
const MAX_HANDSHAKES: usize = 32;
/// Handshakes under way at once with one address, behind which there may be a room full of devices.
const MAX_HANDSHAKES_OF_ONE: usize = 24;
/// From so many on, callers must first show that their address is their own.
const BUSY_HANDSHAKES: usize = 8;
/// How long a handshake may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(12);
/// A handshake whose packets take longer was slow.
const SLOW_ROUND_TRIP: Duration = Duration::from_millis(200);
/// How often is looked whether a member's packets come from elsewhere.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long half a snapshot waits for its sender to come back.
const RESUME_WITHIN: Duration = Duration::from_secs(60);

/// The connections that were let in, and what bounds them.
pub(super) struct Inbound {
    connections: Mutex<BTreeMap<(PeerKey, Lane), Connection>>,
    handshakes: Arc<Semaphore>,
    easy_handshakes: Arc<Semaphore>,
    callers: Callers,
    pub(super) bulk: Semaphore,
    /// On a slow network one bulk item comes at a time.
    pub(super) narrow: Semaphore,
    pub(super) snapshots: Snapshots,
    /// Whose snapshots are taken.
    leader: Mutex<Option<MemberId>>,
    pub(super) parts: Parts,
    pub(super) joins: joining::Gate,
    /// The last handshake took long, or too long.
    handshakes_are_slow: AtomicBool,
}

impl Inbound {
    /// Nobody, and at most `bulk` bulk items at once.
    pub(super) fn new(bulk: usize) -> Self {
        Self {
            connections: Mutex::default(),
            handshakes: Arc::new(Semaphore::new(MAX_HANDSHAKES)),
            easy_handshakes: Arc::new(Semaphore::new(BUSY_HANDSHAKES)),
            callers: Callers::default(),
            bulk: Semaphore::new(bulk),
            narrow: Semaphore::new(1),
            snapshots: Snapshots::default(),
            leader: Mutex::default(),
            parts: Parts::default(),
            joins: joining::Gate::default(),
            handshakes_are_slow: AtomicBool::new(false),
        }
    }

    /// From now on only this member's snapshots are taken.
    pub(super) fn follow(&self, leader: Option<MemberId>) {
        *self.leader.lock().unwrap_or_else(PoisonError::into_inner) = leader;
    }

    pub(super) fn follows(&self, member: MemberId) -> bool {
        *self.leader.lock().unwrap_or_else(PoisonError::into_inner) == Some(member)
    }

    /// Closes all connections of keys outside `roster`.
    pub(super) fn close_strangers(&self, roster: &Roster) {
        self.connections().retain(|(key, _), connection| {
            let stays = roster.member(*key).is_some();
            if !stays {
                connection.close(Close::NotAdmitted.code(), b"");
            }
            stays
        });
    }

    /// Keeps `connection`, instead of an older one for the same: what the older one still holds would only come late.
    fn keep(&self, key: PeerKey, lane: Lane, connection: &Connection) {
        if let Some(old) = self.connections().insert((key, lane), connection.clone()) {
            old.close(Close::Superseded.code(), b"");
        }
    }

    /// Forgets `connection` unless a newer one took its place; tells whether it did.
    fn forget(&self, key: PeerKey, lane: Lane, connection: &Connection) -> bool {
        let mut connections = self.connections();
        let is_it =
            connections.get(&(key, lane)).is_some_and(|kept| kept.stable_id() == connection.stable_id());
        if is_it {
            connections.remove(&(key, lane));
        }
        is_it
    }

    fn connections(&self) -> MutexGuard<'_, BTreeMap<(PeerKey, Lane), Connection>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes calls for as long as the endpoint lives.
pub(super) async fn accept(net: Arc<Inner>) {
    while let Some(incoming) = net.endpoint.accept().await {
        let easy = net.inbound.easy_handshakes.try_acquire_arc();
        if easy.is_none() && !incoming.remote_address_validated() {
            // It proves its address by calling again; a sender with a borrowed one never will.
            let _ = incoming.retry();
            continue;
        }
        let place = net.inbound.callers.admit(incoming.remote_address().ip(), MAX_HANDSHAKES_OF_ONE);
        match place.zip(easy.or_else(|| net.inbound.handshakes.try_acquire_arc())) {
            Some(admitted) => net.spawn(take(net.clone(), incoming, admitted)),
            None => {
                net.counters.count(DropReason::Busy);
                incoming.refuse();
            }
        }
    }
}

/// One call, from handshake to hang-up.
async fn take(net: Arc<Inner>, incoming: Incoming, admitted: (HandshakePermit, SemaphoreGuardArc)) {
    let Some(connection) = shake_hands(&net, incoming).await else { return };
    drop(admitted);
    let (lane, epoch) = called(&connection, net.set.cluster);
    let same_epoch = epoch == Some(net.set.epoch);
    match (lane, caller(&connection)) {
        (Some(Lane::Peer | Lane::Bulk), Some(key)) if !same_epoch => {
            other_epoch(&net, key, epoch, &connection)
        }
        (Some(lane @ (Lane::Peer | Lane::Bulk)), Some(key)) => serve(&net, lane, key, connection).await,
        (Some(Lane::Join), None) => joining::answer(&net, connection).await,
        _ => {
            net.counters.count(DropReason::NotAdmitted);
            connection.close(Close::NotAdmitted.code(), b"");
        }
    }
}

/// Over a slow way an answer is repeated less soon: it would only wait behind the first one.
async fn shake_hands(net: &Inner, incoming: Incoming) -> Option<Connection> {
    let were_slow = &net.inbound.handshakes_are_slow;
    let slow = net.is_on_a_slow_network() || were_slow.load(Ordering::Relaxed);
    let accepted = match slow {
        true => incoming.accept_with(net.slow_server.clone()),
        false => incoming.accept(),
    };
    let connected = within(HANDSHAKE_WITHIN, accepted.ok()?).await;
    let took_long =
        connected.as_ref().is_none_or(|it| it.as_ref().is_ok_and(|it| it.rtt() > SLOW_ROUND_TRIP));
    were_slow.store(took_long, Ordering::Relaxed);
    connected?.ok()
}

/// What the caller wants, if it means this peer set, and in which epoch it believes the set to be.
fn called(connection: &Connection, cluster: ClusterId) -> (Option<Lane>, Option<Epoch>) {
    let called = || {
        let data = connection.handshake_data()?.downcast::<HandshakeData>().ok()?;
        let epoch = names::read(data.server_name.as_deref()?, cluster)?;
        Some((Lane::of(&data.protocol?)?, epoch))
    };
    called().map_or((None, None), |(lane, epoch)| (Some(lane), epoch))
}

/// Sends a member of another epoch away: it is told this one, and here it is known that it came.
fn other_epoch(net: &Inner, key: PeerKey, epoch: Option<Epoch>, connection: &Connection) {
    net.counters.count(DropReason::OtherEpoch);
    connection.close(Close::OtherEpoch.code(), names::of_epoch(net.set.epoch).as_bytes());
    if let (Some(member), Some(epoch)) = (net.roster.member(key), epoch) {
        // It comes again; while the queue is full nobody need hear of it.
        let _ = net.other.try_send(NetEvent::OtherEpoch { member, epoch });
    }
}

/// The key the caller proved, if it showed one.
fn caller(connection: &Connection) -> Option<PeerKey> {
    let shown = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    key_of(shown.first()?)
}

/// Lets a member in, reads what it sends, and lets it go.
async fn serve(net: &Arc<Inner>, lane: Lane, key: PeerKey, connection: Connection) {
    // Kept first, looked up second: a change of the roster in between closes it either way.
    net.inbound.keep(key, lane, &connection);
    match net.roster.member(key) {
        Some(member) if lane == Lane::Peer => {
            connection.set_max_concurrent_uni_streams(VarInt::from_u32(1));
            if let Some(link) = net.links().get(&member) {
                link.called(&connection);
                doubt_bulk(net, link);
            }
            let reads =
                future::or(read_datagrams(net, key, &connection), read_control(net, key, &connection));
            future::or(reads, watch_address(net, key, &connection)).await;
        }
        Some(_) => {
            connection.set_max_concurrent_bi_streams(VarInt::from_u32(transport::BULK_STREAMS));
            bulk_receive::serve(net, key, &connection).await;
        }
        None => net.counters.count(DropReason::NotInRoster),
    }
    connection.close(Close::Done.code(), b"");
    if net.inbound.forget(key, lane, &connection) && lane == Lane::Bulk {
        forget_snapshot_later(net, key);
    }
}

/// A member that dials anew, or is elsewhere, may not hear our bulk connection any more. One over which something moves it
/// does; over a slow way an answer may take longer than a look.
fn doubt_bulk(net: &Inner, link: &Link) {
    let doubted = link.bulk_connection().filter(|_| link.slow() != Some(true));
    let Some(bulk) = doubted else { return };
    net.spawn(async move {
        if turns::is_silent(&bulk).await {
            bulk.close(Close::Superseded.code(), b"");
        }
    });
}

/// Half a snapshot waits a while for its sender to come back with the rest.
fn forget_snapshot_later(net: &Arc<Inner>, key: PeerKey) {
    let Some(half) = net.inbound.snapshots.half(key) else { return };
    let later = net.clone();
    net.spawn(async move {
        Timer::after(RESUME_WITHIN).await;
        if later.inbound.snapshots.half(key) == Some(half) {
            later.inbound.snapshots.forget(key);
        }
    });
}

/// Looks where a member's packets come from: its connection follows it to another address or port without a word (RFC 9000
/// §9), and ours to it does not. Never returns.
async fn watch_address(net: &Inner, key: PeerKey, connection: &Connection) {
    let mut remote = RemoteAddress::new(connection.remote_address());
    loop {
        Timer::after(LOOK_EVERY).await;
        let address = connection.remote_address();
        let (member, links) = (net.roster.member(key), net.links());
        let Some(link) = member.as_ref().and_then(|member| links.get(member)) else { continue };
        let in_vain_at = link.last_seen().filter(|_| !link.is_open());
        if remote.moves_to(address, in_vain_at) {
            link.seen_at(address);
            doubt_bulk(net, link);
        }
    }
}

async fn read_datagrams(net: &Inner, key: PeerKey, connection: &Connection) {
    let mut newest = Newest::default();
    while let Ok(datagram) = connection.read_datagram().await {
        let decoded = open_datagram(&datagram).and_then(|(stamp, bytes)| match newest.is_fresh(stamp) {
            true => decode_frame(bytes).map(Some),
            false => Ok(None),
        });
        let Some(event) = judge(net, key, decoded) else { continue };
        if let Err(TrySendError::Full(_)) = net.urgent.try_send(event) {
            net.counters.count(DropReason::EventsFull);
        }
    }
}

async fn read_control(net: &Inner, key: PeerKey, connection: &Connection) {
    while let Ok(mut stream) = connection.accept_uni().await {
        if let Err(UnitError::Wire(_)) = read_frames(net, key, &mut stream).await {
            // Where the next frame starts is unknown.
            net.counters.count(DropReason::Malformed);
            return connection.close(Close::Malformed.code(), b"");
        }
    }
}

async fn read_frames(net: &Inner, key: PeerKey, stream: &mut RecvStream) -> Result<(), UnitError> {
    loop {
        let (header, body) = units::read(stream, MAX_FRAME_LEN).await?;
        if let Some(event) = judge(net, key, decode_frame_body(header, &body).map(Some))
            && net.other.send(event).await.is_err()
        {
            return Err(UnitError::Ended);
        }
    }
}

/// The event that `decoded` (`None`: a stale datagram) makes, unless it is dropped and counted.
fn judge(net: &Inner, key: PeerKey, decoded: Result<Option<Decoded>, WireError>) -> Option<NetEvent> {
    let reason = match (decoded, net.roster.member(key)) {
        (_, None) => DropReason::NotInRoster,
        (Err(_), _) => DropReason::Malformed,
        (Ok(None), _) => DropReason::StaleDatagram,
        (Ok(Some(Decoded::Unknown(_))), _) => DropReason::UnknownType,
        (Ok(Some(Decoded::Frame(frame))), Some(from)) => match is_between(&frame, from, net.roster.me()) {
            true => return Some(NetEvent::Frame { from, frame }),
            false => DropReason::WrongSender,
        },
    };
    net.counters.count(reason);
    None
}

fn is_between(frame: &Frame, from: MemberId, me: MemberId) -> bool {
    match frame {
        Frame::Raft(message) => message.from == from && message.to == me,
        _ => true,
    }
}
