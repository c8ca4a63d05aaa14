//! A member runs: its directory is opened, its parts are started, and the loop goes until it ends.

use crate::address::{own_address, watch_address};
use crate::clients::{self, CALLS, ClientDesk, client_addresses};
use crate::copies::{self, looks_copied};
use crate::deadline_timer::DeadlineTimer;
use crate::envelopes::Envelopes;
use crate::host_port::HostPort;
use crate::log_writer::{LogLevel, flush_log, log};
use crate::machine::UserMachine;
use crate::measure::measure_links;
use crate::member::{MEMBER_FILE, MODELS, MemberError, MemberFile, Secrets, load};
use crate::member_status::MemberStatus;
use crate::narrate::Narrator;
use crate::net::{Net, NetConfig, NetEvents};
use crate::offers::Inbox;
use crate::operator::listener::OperatorListener;
use crate::operator::{EnvelopeCounts, wall_ms};
use crate::persist::{Persister, Unsynced};
use crate::rejoin::{RejoinError, re_enrol};
use crate::seek::{self, Lookout, Seeker};
use crate::setup::{free_port, write_member};
use crate::shell::{Ended, LoopEvent, QUEUE, Shell, roster_peer};
use crate::state_worker::{DigestCache, StateWorker};
use crate::trainer::Trainer;
use crate::upkeep::Lateness;
use crate::watchdog::{Supervisor, Watchdog};
use crate::watchers::Watchers;
use crate::work::{TenureKeys, WorkerContext, Workers};
use rafty_dictionary::Entries;
use rafty_node::{Boot, Knocks, Node};
use rafty_seal::Identity;
use rafty_storage::{Blobs, DataDir, Log, OpenError, Origin, PendingUpdate, Recovered, Spool};
use rafty_types::Time;
use rand_core::Rng;
use smol::Executor;
use smol::channel::{Sender, bounded};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// How long a member that ends waits for its farewell to go out.
const SAY_GOODBYE: std::time::Duration = std::time::Duration::from_millis(30);
/// How many roster notes may wait to be written.
const ROSTER_NOTES: usize = 64;
/// How many bytes of envelopes may be in transit at once.
const MAX_SPOOL_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// A member to run.
pub struct Running {
    /// Its directory.
    pub dir: PathBuf,
    /// What it trains with; none when it has no data.
    pub trainer: Option<Box<dyn Trainer>>,
    /// Whether it tells its events on stderr.
    pub quiet: bool,
    /// Where its training data is from now on; as before when not given. Only written down: what trains on it is `trainer`.
    pub data: Option<PathBuf>,
    /// Where it listens from now on; as before when not given.
    pub listen: Option<SocketAddr>,
    /// Where others reach it from now on; as before when not given.
    pub advertise: Option<HostPort>,
    /// Where it serves clients of other machines from now on, under the port number it listens on; as before when not
    /// given, and at first nowhere. A loopback address ends it.
    pub clients: Option<IpAddr>,
    /// Whether its directory was moved here from another file system, and no other copy of it was used since: then its
    /// files are taken for the original.
    pub moved: bool,
    /// Ends the member, cleanly, when something is received or the channel closes; for programs that start members
    /// themselves. Signals end it in any case.
    pub stop: Option<std::sync::mpsc::Receiver<()>>,
    /// Whom its loop gives signs of life.
    pub supervisor: Option<Supervisor>,
    /// Who looks for the others while it hears no leader.
    pub lookout: Option<Lookout>,
}

impl Running {
    /// The member in `dir`, which does not train, until a signal ends it.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            trainer: None,
            quiet: false,
            data: None,
            listen: None,
            advertise: None,
            clients: None,
            moved: false,
            stop: None,
            supervisor: None,
            lookout: None,
        }
    }
}

/// A member did not run, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum UpError {
    /// The directory.
    #[error(transparent)]
    Member(#[from] MemberError),
    /// The disk.
    #[error("cannot use {dir}: {why}")]
    Disk {
        /// The directory.
        dir: PathBuf,
        /// Why.
        why: String,
    },
    /// The log is lost or damaged, and this member could not enrol again.
    #[error("{0}, but it could not: {1}; nothing was changed; start other members and try again")]
    NotRejoined(String, Box<RejoinError>),
    /// The log is damaged and looks like a copy: enrolling again would push the original out.
    #[error(
        "{0}, but the directory looks like a copy, and the original may be running; nothing was changed; if it \
         is not, `rejoin` brings this one back instead of it"
    )]
    DamagedCopy(String),
    /// The log does not make a member.
    #[error(transparent)]
    Start(#[from] rafty_node::StartError),
    /// The UDP port.
    #[error(
        "cannot listen on {address}: {source}; nothing was changed; is the member already running, or another program on this port?"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The TCP port for clients.
    #[error(
        "cannot listen for clients on TCP {address}: {source}; nothing was changed; stop the program that has this port"
    )]
    ClientPort {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The operator's socket.
    #[error("cannot open the operator's socket: {0}; nothing was changed")]
    Socket(String),
    /// A thread or a signal handler.
    #[error("the system refused: {0}; nothing was changed")]
    System(#[from] std::io::Error),
    /// The peer set does not have it any more.
    #[error(
        "{0}: this member was removed from the peer set; its data is untouched; to come back, join with a new token \
         in another --dir"
    )]
    Removed(String),
    /// Its state differs from that of a majority.
    #[error("this member ended: {0}")]
    Diverged(String),
    /// It had to end.
    #[error("this member ended: {0}")]
    Halted(String),
}

/// Runs a member of a peer set with the dictionary until it is stopped: by a signal, by the operator, or because it was
/// removed.
///
/// # Errors
/// See [`UpError`].
pub fn up(running: Running) -> Result<(), UpError> {
    up_with(running, Entries::default())
}

/// Runs a member of a peer set with another machine. `machine` is in its initial state, the one it was
/// [founded](crate::setup::found_with) with.
///
/// # Errors
/// See [`UpError`].
pub fn up_with(running: Running, machine: impl UserMachine) -> Result<(), UpError> {
    let executor = Arc::new(Executor::new());
    let shell = assemble(&executor, running, machine)?;
    let net = shell.net.clone();
    let run = async {
        let ended = shell.run().await;
        // Others notice at once, instead of after their idle time.
        net.close();
        smol::Timer::after(SAY_GOODBYE).await;
        ended
    };
    let ended = smol::block_on(executor.run(run));
    flush_log();
    match ended {
        Ended::Stopped => Ok(()),
        Ended::Removed(why) => Err(UpError::Removed(why)),
        Ended::Diverged(why) => Err(UpError::Diverged(why)),
        Ended::Halted(why) => Err(UpError::Halted(why)),
    }
}

/// What the arguments of a start change for good; `None` keeps what was.
struct Changed {
    data: Option<PathBuf>,
    listen: Option<SocketAddr>,
    advertise: Option<HostPort>,
    clients: Option<IpAddr>,
}

impl Changed {
    fn write_into(self, member: &mut MemberFile) {
        member.listen = self.listen.unwrap_or(member.listen);
        member.advertise = self.advertise.or(member.advertise.take());
        member.clients = self.clients.or(member.clients);
        member.data = self.data.or(member.data.take());
    }
}

fn assemble<U: UserMachine>(
    executor: &Arc<Executor<'static>>,
    running: Running,
    machine: U,
) -> Result<Shell<U>, UpError> {
    let Running { dir: path, trainer, quiet, stop, supervisor, .. } = running;
    let changed = Changed {
        data: running.data,
        listen: running.listen,
        advertise: running.advertise,
        clients: running.clients,
    };
    let disk = |error: &dyn std::fmt::Display| UpError::Disk { dir: path.clone(), why: error.to_string() };
    if !path.join(MEMBER_FILE).exists() {
        // Opening a directory would make it.
        return Err(MemberError::NotMember(path).into());
    }
    let dir = Arc::new(DataDir::open(&path).map_err(|error| disk(&error))?);
    let (mut member, secrets) = load(&dir)?;
    let (log, recovered) = open_log(&dir, &mut member, &secrets)?;
    let suspected = looks_copied(&dir, &member, running.moved)?;
    let log_dir = dir.log();
    let models = Blobs::open(&dir.file(MODELS)).map_err(|error| disk(&error))?;
    let updates = Blobs::open(&dir.file("updates")).map_err(|error| disk(&error))?;
    let spool = Arc::new(Spool::open(&dir.spool(), MAX_SPOOL_BYTES).map_err(|error| disk(&error))?);

    let before = member.clone();
    changed.write_into(&mut member);
    member.listen = with_port(member.listen)?;
    let boot = boot(&member, &secrets, recovered, &dir, &models)?;
    let boot = Boot { suspected, trains: trainer.is_some(), ..boot };
    let node = Node::new(boot, machine, Time::ZERO)?;
    copies::forget_anomaly(&dir);
    if node.state().control().initialised() {
        // A recovery may have been cut off before it wrote its note.
        member.epoch = Some(node.state().control().set().epoch);
    }

    let started = Instant::now();
    let (loop_back, events) = bounded(QUEUE);
    let (net, net_events) = listen(executor, &member, &secrets, Inbox::new(&spool, &loop_back))?;
    let (calls, client_calls) = bounded(CALLS);
    let addresses = client_addresses(net.local_addr().unwrap_or(member.listen), member.clients);
    let certificate = clients::open(executor, &addresses, calls)
        .map_err(|(address, source)| UpError::ClientPort { address, source })?;
    if member != before {
        write_member(&dir, &member).map_err(|error| disk(&error))?;
    }
    let member_status = admit_known_members(&node, &net, &member);
    let last_seen = seek::read(&dir);
    let dir_for_notes = dir.clone();
    let context = Arc::new(WorkerContext {
        me: member.member,
        set: member.set(),
        secrets,
        dir,
        models,
        updates,
        spool,
        tenure_keys: TenureKeys::default(),
        accumulators: std::sync::Mutex::default(),
    });
    let listener = OperatorListener::open(executor, &path, loop_back.clone())?;
    let persister = Persister::start(log, log_dir, say(&loop_back, LoopEvent::Synced))?;
    let workers = Workers::start(context.clone(), trainer, say(&loop_back, LoopEvent::Reported))?;
    let state_worker = StateWorker::start(say(&loop_back, LoopEvent::StateDone))?;
    stop_on_signals(executor, loop_back.clone())?;
    measure_links(executor, net.clone(), loop_back.clone());
    watch_address(executor, member.clone(), loop_back.clone());
    stop.map_or(Ok(()), |stop| stop_when_told(stop, &loop_back))?;
    let narrator = Narrator::new(member.member, quiet);
    Ok(Shell {
        executor: executor.clone(),
        started,
        me: member.member,
        roster_notes: note_rosters(executor, dir_for_notes),
        member,
        node,
        net,
        net_events,
        events,
        loop_back,
        persister,
        unsynced: Unsynced::default(),
        disk_hangs: false,
        workers,
        state_worker,
        digests: DigestCache::default(),
        context,
        narrator,
        watchers: Watchers::default(),
        _operator_listener: listener,
        client_calls,
        clients: ClientDesk::new(certificate),
        envelopes: Envelopes::default(),
        envelope_counts: EnvelopeCounts::default(),
        member_status,
        delayed: BTreeMap::new(),
        requests: BTreeMap::new(),
        knocks: Knocks::default(),
        seeker: Seeker::new(running.lookout, &last_seen),
        last_request: 0,
        trouble: None,
        other_epochs: BTreeMap::new(),
        stopping: None,
        timer: DeadlineTimer::default(),
        watchdog: Watchdog::new(supervisor),
        lateness: Lateness::default(),
    })
}

/// Until a newcomer has a state, the network lets in those whom it was told of when it joined.
fn admit_known_members<U: UserMachine>(node: &Node<U>, net: &Net, member: &MemberFile) -> MemberStatus {
    let mut member_status = MemberStatus::default();
    if !node.state().control().initialised() {
        let peers: Vec<_> = member.members.iter().map(roster_peer).collect();
        net.set_roster(member.member, &peers);
        member_status.known(member.member, &peers);
    }
    member_status
}

/// The log; or a new one and a new id, when it is lost or damaged: this member never votes with such a log.
fn open_log(dir: &DataDir, member: &mut MemberFile, secrets: &Secrets) -> Result<(Log, Recovered), UpError> {
    let failed =
        |error: &dyn std::fmt::Display| UpError::Disk { dir: dir.root().into(), why: error.to_string() };
    match Log::open(&dir.log()) {
        Err(error @ OpenError::Damaged { .. }) if matches!(Log::origin(&dir.log()), Ok(Origin::Copied)) => {
            Err(UpError::DamagedCopy(error.to_string()))
        }
        Err(error @ (OpenError::Damaged { .. } | OpenError::Missing(_))) => {
            log(LogLevel::Warning, &format!("{error}: enrolling again"));
            *member = re_enrol(dir, member, secrets)
                .map_err(|why| UpError::NotRejoined(error.to_string(), Box::new(why)))?;
            dir.set_log_aside().map_err(|error| failed(&error))?;
            Log::create(&dir.log()).map_err(|error| failed(&error))?;
            Log::open(&dir.log()).map_err(|error| failed(&error))
        }
        opened => opened.map_err(|error| failed(&error)),
    }
}

/// The port that a member listens on is told to others: when any will do, one is found and kept.
fn with_port(listen: SocketAddr) -> Result<SocketAddr, UpError> {
    if listen.port() != 0 {
        return Ok(listen);
    }
    let found = free_port(listen.ip()).and_then(|socket| socket.local_addr());
    found.map_err(|source| UpError::Listen { address: listen, source })
}

fn listen(
    executor: &Arc<Executor<'static>>,
    member: &MemberFile,
    secrets: &Secrets,
    inbox: Inbox,
) -> Result<(Net, NetEvents), UpError> {
    let config = NetConfig {
        listen: member.listen,
        set: member.set(),
        key: secrets.identity.key(),
        pkcs8: secrets.identity.to_pkcs8_der(),
    };
    Net::bind(executor, &config, Arc::new(inbox))
        .map_err(|source| UpError::Listen { address: member.listen, source })
}

/// What a member that does not train starts from.
fn boot(
    member: &MemberFile,
    secrets: &Secrets,
    recovered: Recovered,
    dir: &DataDir,
    models: &Blobs,
) -> Result<Boot, UpError> {
    let identity = Identity::from_secret_bytes(&secrets.identity.to_secret_bytes());
    let failed =
        |error: &dyn std::fmt::Display| UpError::Disk { dir: dir.root().into(), why: error.to_string() };
    Ok(Boot {
        me: member.member,
        hard_state: recovered.hard_state,
        snapshot: recovered.snapshot,
        entries: recovered.entries,
        pending_update: pending(dir),
        held: held(models).map_err(|error| failed(&error))?,
        wall_ms: wall_ms(),
        settings: member.settings.clone(),
        told: member.members.clone(),
        trains: false,
        incarnations: recovered.incarnations,
        suspected: false,
        address: address_at_start(member),
        advertised_name: advertised_name(member),
        signer: Arc::new(identity),
        seed: crate::random::rng().next_u64(),
    })
}

/// Where this member is, unless somebody would have to be asked for that, which may take long.
fn address_at_start(member: &MemberFile) -> Option<SocketAddr> {
    match &member.advertise {
        Some(advertised) => advertised.fixed(),
        None => own_address(member),
    }
}

/// What others shall ask for anew, when it is a name.
fn advertised_name(member: &MemberFile) -> Option<String> {
    let name = member.advertise.as_ref().filter(|at| at.fixed().is_none());
    name.map(ToString::to_string)
}

/// The note on an update whose round may still be open. A damaged one only costs training again.
fn pending(dir: &DataDir) -> Option<rafty_rounds::PendingUpdate> {
    let PendingUpdate { run, round, base, update, num_examples } = PendingUpdate::load(dir).ok().flatten()?;
    Some(rafty_rounds::PendingUpdate { run, round, base, update, num_examples })
}

/// The models on the disk, oldest first.
fn held(models: &Blobs) -> Result<Vec<rafty_types::Digest>, rafty_storage::DiskError> {
    let mut held = models.digests()?;
    held.sort_by_key(|digest| std::fs::metadata(models.path(*digest)).and_then(|file| file.modified()).ok());
    Ok(held)
}

/// Keeps the note of who the others are and where they listen, off the loop: a member whose log is lost finds them by it.
fn note_rosters(executor: &Arc<Executor<'static>>, dir: Arc<DataDir>) -> Sender<MemberFile> {
    let (notes, to_write) = bounded::<MemberFile>(ROSTER_NOTES);
    let write = async move {
        while let Ok(note) = to_write.recv().await {
            let dir = dir.clone();
            // An older note is good enough until the next change.
            let _ = smol::unblock(move || write_member(&dir, &note)).await;
        }
    };
    executor.spawn(write).detach();
    notes
}

/// Brings what a thread says to the loop. Blocks the thread, never the loop, when too much waits.
fn say<T, F>(loop_back: &Sender<LoopEvent>, as_event: F) -> impl Fn(T) + Clone + use<T, F>
where
    F: Fn(T) -> LoopEvent + Clone,
{
    let loop_back = loop_back.clone();
    move |what| {
        // Closed only when the loop has ended.
        let _ = loop_back.send_blocking(as_event(what));
    }
}

fn stop_when_told(stop: std::sync::mpsc::Receiver<()>, loop_back: &Sender<LoopEvent>) -> std::io::Result<()> {
    let stopped = say(loop_back, |()| LoopEvent::Stop);
    let wait = move || {
        let _ = stop.recv();
        stopped(());
    };
    std::thread::Builder::new().name("rafty-stop".into()).spawn(wait).map(drop)
}

fn stop_on_signals(executor: &Arc<Executor<'static>>, loop_back: Sender<LoopEvent>) -> Result<(), UpError> {
    use async_signal::{Signal, Signals};
    let mut signals = Signals::new([Signal::Term, Signal::Int])?;
    crate::interrupt::member_runs();
    let wait = async move {
        use smol::stream::StreamExt;
        while signals.next().await.is_some() {
            let _ = loop_back.send(LoopEvent::Stop).await;
        }
    };
    executor.spawn(wait).detach();
    Ok(())
}
