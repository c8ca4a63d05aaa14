//! Bad links in user space: a relay in front of each member, whose address the member advertises as its own.
//!
//! Every datagram between two members goes through it, and gets lost, late, doubled or out of order as seeded choices
//! have it: for each direction of each two members the same numbers come in the same order. Newcomers and clients pass
//! unharmed. It does not look into datagrams, and knows nothing of bandwidth.

use crate::support::until;
use rafty_runtime::setup::free_port;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often a thread looks whether it is to end.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const LONGEST_DATAGRAM: usize = 65_536;
/// So many ports are tried for a front.
const TRIES: usize = 100;

/// What a link does to datagrams; chances are in 0..1.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Quality {
    pub(crate) lost: f64,
    pub(crate) doubled: f64,
    /// So many are held back for up to `hold`, so that later ones overtake them.
    pub(crate) held: f64,
    pub(crate) hold: Duration,
    pub(crate) delay: Duration,
}

/// What the links did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Done {
    sent: u64,
    lost: u64,
    doubled: u64,
    held: u64,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, lost, doubled, held } = self;
        write!(f, "{sent} datagrams: {lost} lost, {doubled} doubled, {held} held back")
    }
}

/// One direction between two members.
struct Link {
    rng: fastrand::Rng,
    done: Done,
}

/// A datagram on its way. Ordered by when it is due.
struct Parcel {
    due: Instant,
    number: u64,
    out: Arc<UdpSocket>,
    to: SocketAddr,
    bytes: Vec<u8>,
}

struct Shared {
    stop: AtomicBool,
    quality: Mutex<Quality>,
    /// Where members listen.
    members: Vec<SocketAddr>,
    links: BTreeMap<(usize, usize), Mutex<Link>>,
    post: Sender<Parcel>,
}

/// Where the relay of one member is met: by datagrams and by clients, on one port.
pub(crate) struct Front {
    datagrams: UdpSocket,
    clients: TcpListener,
}

impl Front {
    /// A port that is free for both. A process that another test begins holds a copy of every open socket until it has
    /// become its program, so a port that was found free may be taken for a moment.
    pub(crate) fn find() -> Self {
        let try_one = || -> std::io::Result<Self> {
            let datagrams = free_port(Ipv4Addr::LOCALHOST.into())?;
            let clients = TcpListener::bind(datagrams.local_addr()?)?;
            Ok(Self { datagrams, clients })
        };
        (0..TRIES).find_map(|_| try_one().ok()).expect("a free port")
    }

    pub(crate) fn at(&self) -> SocketAddr {
        self.datagrams.local_addr().expect("it is bound")
    }
}

/// The relays of all members.
pub(crate) struct Links {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Links {
    /// Relays from `fronts` to the members that listen at `members`, without a fault at first.
    pub(crate) fn lay(members: &[SocketAddr], fronts: Vec<Front>, rng: &mut fastrand::Rng) -> Self {
        let all = 0..members.len();
        let pairs = all.clone().flat_map(|from| all.clone().map(move |to| (from, to)));
        let links = pairs.map(|pair| (pair, Mutex::new(Link { rng: rng.fork(), done: Done::default() })));
        let (post, parcels) = channel();
        let (stop, quality) = (AtomicBool::new(false), Mutex::default());
        let shared =
            Arc::new(Shared { stop, quality, members: members.into(), links: links.collect(), post });
        let mut threads = vec![thread::spawn(move || deliver(&parcels))];
        for (at, front) in fronts.into_iter().enumerate() {
            let Front { datagrams, clients } = front;
            let (tcp, udp) = (shared.clone(), shared.clone());
            threads.push(thread::spawn(move || pass_clients(&tcp, &clients, at)));
            threads.push(thread::spawn(move || relay(&udp, &Arc::new(datagrams), at)));
        }
        Self { shared, threads }
    }

    /// From now on all links are so.
    pub(crate) fn become_so(&self, quality: Quality) {
        *self.shared.quality.lock().expect("nobody failed with it") = quality;
    }

    pub(crate) fn done(&self) -> Done {
        self.shared.links.values().fold(Done::default(), |all, link| {
            let one = link.lock().expect("nobody failed with it").done;
            Done {
                sent: all.sent + one.sent,
                lost: all.lost + one.lost,
                doubled: all.doubled + one.doubled,
                held: all.held + one.held,
            }
        })
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        // The thread that delivers ends with the last sender.
        for thread in self.threads.drain(1..) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// Sends a datagram from one member to another the way it fares. Who is no member fares well.
    fn send(
        &self,
        from: Option<usize>,
        to: Option<usize>,
        out: &Arc<UdpSocket>,
        address: SocketAddr,
        bytes: &[u8],
    ) {
        let link = from.zip(to).and_then(|pair| self.links.get(&pair));
        let delays = link.map_or(vec![Duration::ZERO], |link| {
            let quality = *self.quality.lock().expect("nobody failed with it");
            link.lock().expect("nobody failed with it").fare(quality)
        });
        for (number, delay) in (0..).zip(delays) {
            let (due, out, bytes) = (Instant::now() + delay, out.clone(), bytes.to_vec());
            let _ = self.post.send(Parcel { due, number, out, to: address, bytes });
        }
    }

    fn member_at(&self, address: SocketAddr) -> Option<usize> {
        self.members.iter().position(|member| *member == address)
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(SeqCst)
    }
}

impl Link {
    /// After how long each copy of a datagram arrives. The same numbers are drawn whatever the quality.
    fn fare(&mut self, quality: Quality) -> Vec<Duration> {
        let Self { rng, done } = self;
        let [lost, doubled, held, how_long, again] = [(); 5].map(|()| rng.f64());
        done.sent += 1;
        if lost < quality.lost {
            done.lost += 1;
            return Vec::new();
        }
        let mut copies = vec![quality.delay];
        if held < quality.held {
            done.held += 1;
            copies[0] += quality.hold.mul_f64(how_long);
        }
        if doubled < quality.doubled {
            done.doubled += 1;
            copies.push(quality.delay + quality.hold.mul_f64(again));
        }
        copies
    }
}

/// Takes what is sent to a member's front, and what the member answers, and posts it.
fn relay(shared: &Arc<Shared>, front: &Arc<UdpSocket>, at: usize) {
    let mut backs: BTreeMap<SocketAddr, Arc<UdpSocket>> = BTreeMap::new();
    let member = shared.members[at];
    receive(shared, front, |sender, bytes| {
        let back = backs.entry(sender).or_insert_with(|| {
            let back = Arc::new(UdpSocket::bind("127.0.0.1:0").expect("a socket"));
            let (shared, front, answers) = (shared.clone(), front.clone(), back.clone());
            thread::spawn(move || {
                let to = shared.member_at(sender);
                receive(&shared, &answers, |_, bytes| shared.send(Some(at), to, &front, sender, bytes));
            });
            back
        });
        shared.send(shared.member_at(sender), Some(at), back, member, bytes);
    });
}

fn receive(shared: &Shared, socket: &UdpSocket, mut take: impl FnMut(SocketAddr, &[u8])) {
    socket.set_read_timeout(Some(LOOK_EVERY)).expect("a socket");
    let mut bytes = vec![0; LONGEST_DATAGRAM];
    while shared.goes_on() {
        match socket.recv_from(&mut bytes) {
            Ok((len, sender)) => take(sender, &bytes[..len]),
            // A member that is killed has no socket: the system tells whoever sent to it.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
            }
        }
    }
}

/// Sends each parcel when it is due.
fn deliver(parcels: &Receiver<Parcel>) {
    let mut waiting: BinaryHeap<Reverse<Parcel>> = BinaryHeap::new();
    loop {
        let next = waiting
            .peek()
            .map_or(LOOK_EVERY, |Reverse(first)| first.due.saturating_duration_since(Instant::now()));
        match parcels.recv_timeout(next) {
            Ok(parcel) => waiting.push(Reverse(parcel)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        while waiting.peek().is_some_and(|Reverse(first)| first.due <= Instant::now()) {
            let Some(Reverse(Parcel { out, to, bytes, .. })) = waiting.pop() else { return };
            // What cannot be sent is lost.
            let _ = out.send_to(&bytes, to);
        }
    }
}

/// Passes connections of clients on: a member tells them that it is here.
fn pass_clients(shared: &Arc<Shared>, clients: &TcpListener, at: usize) {
    clients.set_nonblocking(true).expect("a socket");
    while shared.goes_on() {
        let Ok((client, _)) = clients.accept() else {
            thread::sleep(Duration::from_millis(2));
            continue;
        };
        let Ok(member) = TcpStream::connect(shared.members[at]) else { continue };
        client.set_nonblocking(false).expect("a socket");
        let (back_client, back_member) =
            (client.try_clone().expect("a file"), member.try_clone().expect("a file"));
        thread::spawn(move || copy(client, member));
        thread::spawn(move || copy(back_member, back_client));
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

impl Ord for Parcel {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

impl PartialOrd for Parcel {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Parcel {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Parcel {}

/// It does what it says: a check of the instrument.
#[test]
fn the_links_are_as_bad_as_they_say() {
    const COUNT: u16 = 2_000;
    let bind = || UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let (one, other, unused, front) = (bind(), bind(), Front::find(), Front::find());
    let (at, behind) = (front.at(), [one.local_addr().unwrap(), other.local_addr().unwrap()]);
    let links = Links::lay(&behind, vec![unused, front], &mut fastrand::Rng::with_seed(1));
    let delay = Duration::from_millis(30);
    links.become_so(Quality { lost: 0.05, doubled: 0.02, held: 0.05, hold: delay, delay });
    other.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let started = Instant::now();
    let reader = thread::spawn(move || {
        let mut bytes = [0; 2];
        let (mut seen, mut first) = (Vec::new(), None);
        while other.recv(&mut bytes).is_ok() {
            first.get_or_insert_with(|| started.elapsed());
            seen.push(u16::from_be_bytes(bytes));
        }
        (seen, first.expect("something arrives"))
    });
    for number in 0..COUNT {
        one.send_to(&number.to_be_bytes(), at).unwrap();
        if number % 50 == 0 {
            // Otherwise the system loses some, too.
            until("what was sent", || (links.done().sent == u64::from(number) + 1).then_some(()));
        }
    }
    let (seen, first) = reader.join().unwrap();
    let done = links.done();
    assert!(first >= delay, "{first:?}");
    assert_eq!(seen.len() as u64, done.sent - done.lost + done.doubled, "{done}");
    let near =
        |count: u64, percent: u64| count.abs_diff(u64::from(COUNT) * percent / 100) < u64::from(COUNT) / 50;
    assert!(near(done.lost, 5) && near(done.doubled, 2) && near(done.held, 5), "{done}");
    assert!(!seen.is_sorted(), "some were overtaken");
}
