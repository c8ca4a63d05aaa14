//! The way to one member: what waits for it, the connection we dialled, and who keeps dialling.

use super::bulk_connection::BulkConnection;
use super::bulk_send::{self, Delivery};
use super::counters::{Counters, DropReason};
use super::dial::{Manner, dial, pause};
use super::pace::{self, Pace};
use super::queue::FrameQueue;
use super::roster::RosterPeer;
use super::tls::Lane;
use super::{Close, Inner, NetEvent, PeerStats, names, within};
use bytes::Bytes;
use quinn::{Connection, ConnectionError, SendStream, TransportErrorCode};
use rafty_node::Whereabouts;
use rafty_types::{Epoch, Frame, MemberId, PeerKey};
use rafty_wire::{MAX_DATAGRAM_LEN, STAMP_LEN, Stamp};
use smol::channel::{Receiver, Sender, bounded};
use smol::{Task, Timer, future};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bulk items that wait for one member, beside those under way.
const BULK_QUEUE: usize = 16;
/// How long the other end may take to let us in after the handshake.
const LET_IN: Duration = Duration::from_secs(2);
/// A connection younger than this is not doubted when its member dials us.
const FRESH: Duration = Duration::from_secs(2);
/// The same two over a slow way, and how soon it is dialled again at a ring.
const SLOW_LET_IN: Duration = Duration::from_secs(10);
const SLOW_RING: Duration = Duration::from_secs(1);
const SLOW_FRESH: Duration = Duration::from_secs(15);
/// How TLS says that a key is not let in (RFC 8446 §6, `access_denied`).
const ACCESS_DENIED: u8 = 49;

/// A member, and the tasks that keep the way to it open. Dropping it closes the way.
pub(super) struct Link {
    way: Arc<Way>,
    bulk: Sender<bulk_send::Order>,
    _tasks: Vec<Task<()>>,
}

/// What the tasks of a link share.
pub(super) struct Way {
    pub(super) id: MemberId,
    pub(super) key: PeerKey,
    whereabouts: Mutex<Whereabouts>,
    queue: FrameQueue,
    path: Mutex<Option<Path>>,
    ring: Sender<()>,
    rung: Receiver<()>,
    /// The member was seen at another address since our connection was made.
    moved: AtomicBool,
    pace: Mutex<Pace>,
    /// At the last handshake between the two, whose packets are long.
    round_trip: Mutex<Option<Duration>>,
    /// Over a slow way one transfer goes at a time.
    pub(super) narrow: smol::lock::Semaphore,
    pub(super) bulk: BulkConnection,
}

/// A connection that we dialled and were let in on.
struct Path {
    connection: Connection,
    stamp: Stamp,
}

impl Link {
    /// Starts to dial `peer`.
    pub(super) fn start(net: &Arc<Inner>, peer: &RosterPeer) -> Self {
        let (ring, rung) = bounded(1);
        let way = Arc::new(Way {
            id: peer.id,
            key: peer.key,
            whereabouts: Mutex::default(),
            queue: FrameQueue::new(),
            path: Mutex::default(),
            ring,
            rung,
            moved: AtomicBool::new(false),
            pace: Mutex::default(),
            round_trip: Mutex::default(),
            narrow: smol::lock::Semaphore::new(1),
            bulk: BulkConnection::default(),
        });
        lock(&way.whereabouts).committed_at(&peer.addresses);
        let (bulk, orders) = bounded(BULK_QUEUE);
        let mut tasks = vec![];
        if let Some(executor) = net.executor.upgrade() {
            tasks.push(executor.spawn(keep_open(net.clone(), way.clone())));
            for _ in 0..super::transport::BULK_STREAMS {
                tasks.push(executor.spawn(bulk_send::serve(net.clone(), way.clone(), orders.clone())));
            }
        }
        Self { way, bulk, _tasks: tasks }
    }

    /// Whose it is.
    pub(super) fn key(&self) -> PeerKey {
        self.way.key
    }

    /// From now on the member is looked for here.
    pub(super) fn moved_to(&self, addresses: &[SocketAddr]) {
        lock(&self.way.whereabouts).committed_at(addresses);
    }

    /// The member may be here, too. Forgotten when it is reached.
    pub(super) fn may_be_at(&self, sighted: Vec<SocketAddr>) {
        lock(&self.way.whereabouts).sighted_at(sighted);
        if lock(&self.way.path).is_none() {
            let _ = self.way.ring.try_send(());
        }
    }

    /// Where the member was reached last, or heard from.
    pub(super) fn last_seen(&self) -> Option<SocketAddr> {
        lock(&self.way.whereabouts).last_seen()
    }

    /// The member just dialled us: it is alive, and may have forgotten what we dialled before.
    pub(super) fn called(&self, connection: &Connection) {
        *lock(&self.way.round_trip) = Some(connection.rtt());
        self.heard_from(connection.remote_address());
    }

    fn heard_from(&self, address: SocketAddr) {
        lock(&self.way.whereabouts).seen_at(address);
        let _ = self.way.ring.try_send(());
    }

    /// Whether the member lets us in.
    pub(super) fn is_open(&self) -> bool {
        lock(&self.way.path).is_some()
    }

    /// The bulk connection, if there is one that nobody is dialling just now.
    pub(super) fn bulk_connection(&self) -> Option<Connection> {
        self.way.bulk.now()
    }

    /// What the member sends comes from `address` now, over a connection that it dialled when it was elsewhere: ours still
    /// leads to where it was.
    pub(super) fn seen_at(&self, address: SocketAddr) {
        self.way.moved.store(true, Ordering::Relaxed);
        self.heard_from(address);
    }

    /// Sends a frame, which is `bytes`, or drops and counts it. Raft's go now or never.
    pub(super) fn send(&self, frame: &Frame, bytes: Vec<u8>, counters: &Counters) {
        if frame.is_repeated() {
            match self.way.send_now(&bytes, counters) {
                Sent::Done => return,
                Sent::NotConnected if matches!(frame, Frame::Raft(_)) => {
                    return counters.count(DropReason::NotConnected);
                }
                Sent::NotConnected | Sent::TooLong => {}
            }
        }
        counters.add(DropReason::QueueFull, self.way.queue.push(Bytes::from(bytes)));
    }

    /// Queues a bulk item, or drops and counts it.
    pub(super) fn send_bulk(&self, item: bulk_send::Item, counters: &Counters) -> Delivery {
        let (order, delivery) = bulk_send::Order::new(item);
        if self.bulk.try_send(order).is_err() {
            counters.count(DropReason::BulkQueueFull);
        }
        delivery
    }

    /// So many bytes came from the member in one transfer.
    pub(super) fn note_transfer(&self, bytes: u64, time: Duration) {
        self.way.note_transfer(bytes, time);
    }

    /// A transfer from the member is slow now.
    pub(super) fn note_slow(&self) {
        self.way.note_slow();
    }

    /// Whether the way is slow, as far as anything tells.
    pub(super) fn slow(&self) -> Option<bool> {
        self.way.slow()
    }

    /// How it goes with the member.
    pub(super) fn stats(&self, slow_network: bool) -> PeerStats {
        lock(&self.way.path).as_ref().map_or_else(PeerStats::default, |path| {
            let stats = path.connection.stats().path;
            let slow = self.slow().unwrap_or(slow_network);
            PeerStats { rtt: Some(stats.rtt), sent: stats.sent_packets, lost: stats.lost_packets, slow }
        })
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.way.set_path(None, Close::Done);
        if let Some(bulk) = self.way.bulk.now() {
            bulk.close(Close::Done.code(), b"");
        }
    }
}

/// What became of a datagram.
enum Sent {
    Done,
    NotConnected,
    TooLong,
}

impl Way {
    /// Where to look for the member, the likeliest first.
    pub(super) fn candidates(&self) -> Vec<SocketAddr> {
        lock(&self.whereabouts).candidates()
    }

    /// The stamp is drawn and the datagram queued under one lock: their order is the same.
    fn send_now(&self, frame: &[u8], counters: &Counters) -> Sent {
        let mut path = lock(&self.path);
        let Some(Path { connection, stamp }) = path.as_mut() else {
            return Sent::NotConnected;
        };
        let room = connection.max_datagram_size().map_or(0, |room| room.min(MAX_DATAGRAM_LEN));
        if frame.len() + STAMP_LEN > room {
            return Sent::TooLong;
        }
        if connection.datagram_send_buffer_space() < frame.len() + STAMP_LEN {
            counters.count(DropReason::DatagramBufferFull);
        }
        match connection.send_datagram(Bytes::from(stamp.seal(frame))) {
            Ok(()) => Sent::Done,
            Err(quinn::SendDatagramError::TooLarge) => Sent::TooLong,
            Err(_) => Sent::NotConnected,
        }
    }

    /// So many bytes took so long in one transfer.
    pub(super) fn note_transfer(&self, bytes: u64, time: Duration) {
        if let Some(slow) = pace::of_whole(bytes, time) {
            lock(&self.pace).transferred(slow);
        }
    }

    /// Whether the way is slow, as far as anything tells.
    pub(super) fn slow(&self) -> Option<bool> {
        lock(&self.pace).slow(Instant::now())
    }

    /// A transfer between the two is slow now.
    pub(super) fn note_slow(&self) {
        lock(&self.pace).transferred(true);
    }

    /// How long the last handshake between the two says that an answer takes.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        *lock(&self.round_trip)
    }

    fn set_path(&self, connection: Option<Connection>, why: Close) {
        let path = connection.map(|connection| Path { connection, stamp: Stamp::default() });
        if let Some(old) = std::mem::replace(&mut *lock(&self.path), path) {
            old.connection.close(why.code(), b"");
        }
    }

    async fn rung(&self) {
        // The way owns both ends, so the bell never closes.
        let _ = self.rung.recv().await;
    }
}

/// Dials, sends until the connection is over, and dials again, for as long as the link lives.
async fn keep_open(net: Arc<Inner>, way: Arc<Way>) {
    let mut failures = 0u32;
    loop {
        failures = match reach(&net, &way, failures).await {
            Reached::LetIn(connection, control) => {
                lock(&way.whereabouts).reached_at(connection.remote_address());
                *lock(&way.round_trip) = Some(connection.rtt());
                let since = Instant::now();
                send_on(&net, &way, connection, control).await;
                if since.elapsed() > FRESH { 0 } else { failures.saturating_add(1) }
            }
            Reached::Nobody => failures.saturating_add(1),
            Reached::Refused => {
                let _ = net.other.send(NetEvent::Refused(way.id)).await;
                failures.saturating_add(1)
            }
            Reached::OtherEpoch(epoch) => {
                let _ = net.other.send(NetEvent::OtherEpoch { member: way.id, epoch }).await;
                failures.saturating_add(1)
            }
            Reached::Rung => 0,
        };
        let slow = net.is_slow(way.slow());
        let pause = async {
            Timer::after(pause(failures, slow, net.unreached())).await;
        };
        if slow {
            // A member that comes back rings; over a slow way that is no reason for one handshake after the other.
            Timer::after(SLOW_RING).await;
        }
        future::or(way.rung(), pause).await;
    }
}

enum Reached {
    LetIn(Connection, SendStream),
    Nobody,
    /// The member answered, and does not let us in.
    Refused,
    /// The member answered, and is in this other epoch.
    OtherEpoch(Epoch),
    Rung,
}

/// Whether the other end knows us not, or not any more, or is in another epoch. It proved who it is before it says so.
fn refusal(error: &ConnectionError) -> Option<Reached> {
    match error {
        ConnectionError::ConnectionClosed(close)
            if close.error_code == TransportErrorCode::crypto(ACCESS_DENIED) =>
        {
            Some(Reached::Refused)
        }
        ConnectionError::ApplicationClosed(close) if close.error_code == Close::NotAdmitted.code() => {
            Some(Reached::Refused)
        }
        ConnectionError::ApplicationClosed(close) if close.error_code == Close::OtherEpoch.code() => {
            let epoch = std::str::from_utf8(&close.reason).ok().and_then(names::epoch_in);
            epoch.map(Reached::OtherEpoch)
        }
        _ => None,
    }
}

/// One try at all addresses. When the member failed to answer before and now rings, the try is given up for a new one:
/// what it sent into the void is repeated at growing intervals, and the next may be far off. Never twice in a row, or
/// two members could keep interrupting each other.
async fn reach(net: &Inner, way: &Way, failures: u32) -> Reached {
    let slow = net.is_slow(way.slow());
    let manner = Manner::after(failures, slow, way.round_trip());
    let let_in = if manner.slow { SLOW_LET_IN } else { LET_IN };
    let dialled = async {
        let connection = dial(net, way.key, Lane::Peer, &way.candidates(), manner).await?;
        // The first stream is granted when we were let in.
        match within(let_in, connection.open_uni()).await? {
            Ok(control) => Some(Reached::LetIn(connection, control)),
            Err(error) => refusal(&error),
        }
    };
    let dialled = async { dialled.await.unwrap_or(Reached::Nobody) };
    if failures == 0 || slow {
        return dialled.await;
    }
    let rung = async {
        way.rung().await;
        Reached::Rung
    };
    future::or(dialled, rung).await
}

/// Everything between being let in and being cut off.
async fn send_on(net: &Inner, way: &Way, connection: Connection, control: SendStream) {
    way.moved.store(false, Ordering::Relaxed);
    way.set_path(Some(connection.clone()), Close::Done);
    let _ = net.other.send(NetEvent::Connected(way.id)).await;
    let over = async {
        connection.closed().await;
    };
    let watched = watch_answers(way, &connection);
    future::or(future::or(over, watched), future::or(doubted(net, way), write_frames(way, control))).await;
    way.set_path(None, Close::Superseded);
    let _ = net.other.send(NetEvent::Disconnected(way.id)).await;
}

/// Returns when the member was seen elsewhere, or dialled us anew long after we dialled it: it may have restarted, and a
/// fresh connection costs one round trip where a dead one costs seconds.
async fn doubted(net: &Inner, way: &Way) {
    let since = Instant::now();
    loop {
        way.rung().await;
        let fresh = if net.is_slow(way.slow()) { SLOW_FRESH } else { FRESH };
        if way.moved.load(Ordering::Relaxed) || since.elapsed() > fresh {
            return;
        }
    }
}

/// Looks how long answers take. Never returns.
async fn watch_answers(way: &Way, connection: &Connection) {
    loop {
        Timer::after(pace::ANSWERS_JUDGED_EVERY).await;
        let path = connection.stats().path;
        lock(&way.pace).answered(path.rtt, path.sent_packets, Instant::now());
    }
}

async fn write_frames(way: &Way, mut control: SendStream) {
    while control.write_chunk(way.queue.pop().await).await.is_ok() {}
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
