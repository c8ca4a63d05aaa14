//! Several networks in one process, each on an executor and a thread of its own, over real UDP on loopback.

mod admission;
mod bulk;
mod figures;
mod frames;
mod join;

use super::dial::client;
use super::tls::{Expected, Identity, Lane};
use super::*;
use quinn::Connection;
use rafty_types::{ClusterId, Index, MessageKind, Round, RunId, Term};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Instant;
use tempfile::TempDir;

/// Long enough for a busy machine; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);
/// The header of an envelope that is of no use.
const UNWANTED: &[u8] = b"of no use";
const CLUSTER: ClusterId = ClusterId([7; 16]);

/// A thread that runs an executor until it is stopped.
struct Runner {
    executor: Arc<Executor<'static>>,
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Runner {
    fn start() -> Self {
        let executor = Arc::new(Executor::new());
        let (stop, stopped) = bounded::<()>(1);
        let running = executor.clone();
        let thread = std::thread::spawn(move || {
            let _ = smol::block_on(running.run(stopped.recv()));
        });
        Self { executor, stop, thread }
    }

    fn stop(self) {
        self.stop.close();
        self.thread.join().unwrap();
    }
}

/// Spool files in a temporary folder.
struct Folder {
    dir: TempDir,
    next: Mutex<u64>,
    discarded: Mutex<BTreeSet<u64>>,
}

impl Folder {
    fn path(&self, handle: u64) -> PathBuf {
        self.dir.path().join(handle.to_string())
    }
}

impl Spool for Folder {
    fn wants(&self, _from: MemberId, header: &[u8], _len: u64) -> bool {
        header != UNWANTED
    }

    fn create(&self, _len: u64) -> io::Result<(u64, File)> {
        let mut next = self.next.lock().unwrap();
        *next += 1;
        Ok((*next, File::options().read(true).write(true).create_new(true).open(self.path(*next))?))
    }

    fn discard(&self, handle: u64) {
        std::fs::remove_file(self.path(handle)).unwrap();
        self.discarded.lock().unwrap().insert(handle);
    }
}

/// One peer, numbered; its key is made from the number.
struct Host {
    number: u8,
    net: Net,
    events: NetEvents,
    spool: Arc<Folder>,
    runner: Runner,
}

impl Host {
    fn start(number: u8) -> Self {
        Self::start_at(number, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    fn start_at(number: u8, listen: SocketAddr) -> Self {
        Self::start_as(number, listen, SetId::first(CLUSTER))
    }

    fn start_in(number: u8, set: SetId) -> Self {
        Self::start_as(number, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), set)
    }

    fn start_as(number: u8, listen: SocketAddr, set: SetId) -> Self {
        let runner = Runner::start();
        let spool = Arc::new(Folder {
            dir: TempDir::new().unwrap(),
            next: Mutex::default(),
            discarded: Mutex::default(),
        });
        let config = NetConfig { listen, set, key: key(number), pkcs8: pkcs8(number) };
        let (net, events) = Net::bind(&runner.executor, &config, spool.clone()).unwrap();
        Self { number, net, events, spool, runner }
    }

    fn id(&self) -> MemberId {
        MemberId(self.number.into())
    }

    fn address(&self) -> SocketAddr {
        self.net.local_addr().unwrap()
    }

    fn as_peer(&self) -> RosterPeer {
        RosterPeer { id: self.id(), key: key(self.number), addresses: vec![self.address()] }
    }

    fn knows(&self, others: &[&Host]) {
        let peers: Vec<_> = others.iter().map(|host| host.as_peer()).collect();
        self.net.set_roster(self.id(), &peers);
    }

    /// The first thing that `wanted` finds in the events from now on.
    #[track_caller]
    fn expect<T>(&self, mut wanted: impl FnMut(NetEvent) -> Option<T>) -> T {
        let found = async {
            loop {
                if let Some(found) = wanted(self.events.recv().await.expect("the network is open")) {
                    return found;
                }
            }
        };
        smol::block_on(within(PATIENCE, found)).expect("in time")
    }

    #[track_caller]
    fn expect_connected(&self, to: &Host) {
        let to = to.id();
        self.expect(|event| matches!(event, NetEvent::Connected(id) if id == to).then_some(()));
    }

    #[track_caller]
    fn expect_frame(&self) -> (MemberId, Frame) {
        self.expect(|event| match event {
            NetEvent::Frame { from, frame } => Some((from, frame)),
            _ => None,
        })
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.net.stats().drops.get(&reason).copied().unwrap_or(0)
    }

    #[track_caller]
    fn expect_dropped(&self, reason: DropReason, count: u64) {
        eventually(|| self.dropped(reason) >= count);
    }

    /// Ends all at once, without a word to anybody.
    fn kill(self) -> SocketAddr {
        let address = self.address();
        self.runner.stop();
        address
    }
}

/// Two members that can send to each other.
fn pair() -> (Host, Host) {
    let (one, two) = (Host::start(1), Host::start(2));
    one.knows(&[&one, &two]);
    two.knows(&[&one, &two]);
    one.expect_connected(&two);
    two.expect_connected(&one);
    (one, two)
}

/// Waits for what there is no event for.
#[track_caller]
fn eventually(mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "not in time");
        std::thread::yield_now();
    }
}

fn identity(number: u8) -> rafty_seal::Identity {
    rafty_seal::Identity::from_secret_bytes(&[number; 32])
}

fn key(number: u8) -> PeerKey {
    identity(number).key()
}

fn pkcs8(number: u8) -> Zeroizing<Vec<u8>> {
    identity(number).to_pkcs8_der()
}

/// A caller made by hand: on the protocol, but not bound by our manners.
struct Caller {
    endpoint: Endpoint,
    connection: Connection,
    runner: Runner,
}

impl Caller {
    fn call(host: &Host, as_number: Option<u8>, lane: Lane) -> Self {
        Self::call_set(host, as_number, lane, SetId::first(CLUSTER))
    }

    fn call_set(host: &Host, as_number: Option<u8>, lane: Lane, set: SetId) -> Self {
        let runner = Runner::start();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let endpoint = transport::endpoint(&runner.executor, any, None, None).unwrap();
        let identity = as_number.map(|number| Identity::new(&pkcs8(number), key(number)).unwrap());
        let bounds = Arc::new(if lane == Lane::Join { transport::join() } else { transport::peer() });
        let config = client(identity.as_ref(), lane, Expected::Key(key(host.number)), bounds).unwrap();
        let connecting = endpoint.connect_with(config, host.address(), &names::of_set(set)).unwrap();
        let connection = smol::block_on(connecting).unwrap();
        Self { endpoint, connection, runner }
    }

    /// How the host hangs up.
    #[track_caller]
    fn expect_closed(&self) -> quinn::ConnectionError {
        smol::block_on(within(PATIENCE, self.connection.closed())).expect("in time")
    }

    #[track_caller]
    fn expect_closed_with(&self, why: Close) {
        match self.expect_closed() {
            quinn::ConnectionError::ApplicationClosed(close) => assert_eq!(close.error_code, why.code()),
            other => panic!("{other}"),
        }
    }

    fn hang_up(self) {
        self.connection.close(Close::Done.code(), b"");
        smol::block_on(self.endpoint.wait_idle());
        self.runner.stop();
    }
}

fn heartbeat(from: &Host, to: &Host, commit: u64) -> Frame {
    Frame::Raft(Box::new(message(from.id(), to.id(), MessageKind::Heartbeat, commit)))
}

fn message(from: MemberId, to: MemberId, kind: MessageKind, commit: u64) -> Message {
    Message {
        kind,
        to,
        from,
        term: Term(1),
        log_term: Term(0),
        index: Index(0),
        entries: vec![],
        commit: Index(commit),
        commit_term: Term(0),
        snapshot: None,
        request_snapshot: Index(0),
        reject: false,
        reject_hint: Index(0),
        context: vec![],
        priority: 0,
    }
}

fn progress(round: u64) -> Frame {
    let progress = rafty_types::Progress::Sending;
    Frame::Progress { run: RunId(1), round: Round(round), progress }
}

/// Bytes that do not repeat, so that a lost or swapped piece shows.
fn bytes(len: usize) -> Arc<[u8]> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(b"test").finalize_xof().fill(&mut bytes);
    bytes.into()
}
