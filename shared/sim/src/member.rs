//! One member: its disk, which outlives it, and its process, which does not.

use crate::clock::Clock;
use crate::disk::Disk;
use crate::observer::{Observer, rot_of};
use crate::rates::FaultRates;
use crate::rng::SimRng;
use crate::terms::Terms;
use crate::worker::{Flaw, Worker};
use crate::world::{Happening, InParts, Way};
use rafty_consensus::Role;
use rafty_node::{Boot, Input, Knocks, Node, Search, Silence, UnderWay};
use rafty_rounds::EnvelopeHandle;
use rafty_seal::Identity;
use rafty_types::{Batch, Frame, Index, MemberId, Membership, PeerKey, PersistId, Settings, Term, Time};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The wall clock when the simulation starts, in milliseconds since 1970.
pub const WALL_MS: u64 = 1_700_000_000_000;
/// A clock that is right: local nanoseconds in a million.
pub const RIGHT: u64 = 1_000_000;

/// Processes of a copy beside its original are counted from here on: events name a process by member and number.
pub const FIRST_OF_TWIN: u64 = 1 << 32;

/// A device and what is on it.
pub struct Member {
    /// Its Raft id.
    pub id: MemberId,
    /// Its keys.
    pub identity: Identity,
    /// Whether it has data.
    pub trains: bool,
    /// What survives a crash.
    pub disk: Disk,
    /// Copies of it, made earlier.
    pub backups: Vec<Disk>,
    /// One of these was put back as a whole disk, and not noticed yet.
    pub put_back: bool,
    /// Up to where a copy of it, which was switched off, held the log in its name.
    pub held_by_copy: Index,
    /// What does not.
    pub process: Option<Process>,
    /// Counts the processes.
    pub epoch: u64,
    /// Why it ended for good.
    pub halted: Option<String>,
    /// Whom it knows before it knows the roster.
    pub told: Vec<rafty_types::Member>,
    /// How it is treated.
    pub device: Device,
    /// Where it is, for others, when it is on a network.
    pub place: SocketAddr,
    /// Whether it is on none.
    pub away: bool,
    /// The name that leads to it.
    pub name: String,
    /// Where it saw others last, and what their names are: files of its own.
    pub last_seen: BTreeMap<PeerKey, SocketAddr>,
    /// See `last_seen`.
    pub last_named: BTreeMap<PeerKey, String>,
}

/// How a device behaves.
#[derive(Clone, Copy, Debug)]
pub struct Device {
    /// Local nanoseconds in a million of the world's.
    pub clock_rate: u64,
    /// By how much the wall clock is wrong, in milliseconds.
    pub wall_wrong_ms: i64,
    /// How many times as long a sync takes.
    pub slow_disk: u32,
    /// Until when nothing can be written.
    pub disk_fails_until: Time,
    /// How long training takes beside what the fault rates say.
    pub slow_training: Duration,
    /// Whether envelopes are sent twice.
    pub replays: bool,
    /// What is wrong with whatever is trained.
    pub lies: Option<Flaw>,
    /// Whether it loses power in every round, and for how long.
    pub dies_in_rounds: Option<Duration>,
    /// Whether its updates stay with it.
    pub withholds: bool,
}

/// A device as it should be.
pub const SOUND: Device = Device {
    clock_rate: RIGHT,
    wall_wrong_ms: 0,
    slow_disk: 1,
    disk_fails_until: Time::ZERO,
    slow_training: Duration::ZERO,
    replays: false,
    lies: None,
    dies_in_rounds: None,
    withholds: false,
};

/// A running member.
pub struct Process {
    /// The code under test.
    pub node: Node<Observer>,
    /// The monotonic clock.
    pub clock: Clock,
    /// Its workers.
    pub worker: Worker,
    /// Whom the transport lets in, by what a connection proves, and what this member calls them.
    pub roster: BTreeMap<PeerKey, MemberId>,
    /// Where those are, as far as the peer set knows.
    pub known_places: BTreeMap<PeerKey, Vec<SocketAddr>>,
    /// On their way to the disk.
    pub unsynced: BTreeMap<PersistId, Box<Batch>>,
    /// What waits for a sync.
    pub delayed: BTreeMap<PersistId, Vec<(MemberId, Frame)>>,
    /// When the disk has done all that it was given.
    pub synced_at: Time,
    /// When the heavy worker has done all that it was given.
    pub worked_at: Time,
    /// Whether a worker brings its state into bytes.
    pub takes_snapshot: bool,
    /// Whether a worker reads a snapshot.
    pub reads_snapshot: bool,
    /// Whether a worker digests its state as of a mark.
    pub digests_state: bool,
    /// The newest datagram of each sender.
    pub heard: BTreeMap<PeerKey, u64>,
    /// The last time it was told the time.
    pub ticked_at: Option<Time>,
    /// Ticks since then for the same deadline.
    pub idle_ticks: u32,
    /// What happened while its loop is busy.
    pub inbox: Vec<Input>,
    /// Since when it stands still, and whether its clock does.
    pub paused: Option<(Time, bool)>,
    /// What happened to it since.
    pub held: Vec<Happening>,
    /// How often in a row nobody let it in.
    pub refused: u32,
    /// Whether it was told that its disk fails.
    pub in_trouble: bool,
    /// The last term in which it handed over.
    pub handed_over: Option<Term>,
    /// What stands in its log.
    pub terms: Terms,
    /// What was seen of it last.
    pub seen: Seen,
    /// Its ways to other devices.
    pub ways: BTreeMap<PeerKey, Way>,
    /// When it looks for them.
    pub search: Search<String>,
    /// How often it looked around.
    pub looks: u32,
    /// Who knocks at it.
    pub knocks: Knocks,
    /// To whom each envelope is under way.
    pub under_way: BTreeMap<EnvelopeHandle, UnderWay>,
    /// What it sends over slow links.
    pub in_parts: BTreeMap<(EnvelopeHandle, MemberId), InParts>,
    /// Transfers whose other end is gone, and since when.
    pub stalled: BTreeMap<(EnvelopeHandle, MemberId), (Silence, Time)>,
}

/// Where a device is at first.
pub fn home(number: u64) -> SocketAddr {
    ([10, 0, 0, (number % 250) as u8], 7_000).into()
}

/// What was seen of a member last.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Its term.
    pub term: Term,
    /// Whether it led.
    pub led: bool,
    /// Its membership.
    pub membership: Membership,
    /// How far it had applied.
    pub applied: Index,
    /// How far it knew of what is committed.
    pub commit: Index,
}

impl Member {
    /// A device with nothing running.
    pub fn new(id: MemberId, identity: Identity, told: Vec<rafty_types::Member>, disk: Disk) -> Self {
        Self {
            id,
            identity,
            trains: true,
            disk,
            backups: Vec::new(),
            put_back: false,
            held_by_copy: Index(0),
            process: None,
            epoch: 0,
            halted: None,
            told,
            device: SOUND,
            place: home(id.0),
            away: false,
            name: format!("member-{id}.sim:7000"),
            last_seen: BTreeMap::new(),
            last_named: BTreeMap::new(),
        }
    }

    /// Starts from what the disk holds. `false` when it runs already or cannot.
    /// `named` ones advertise their names.
    pub fn start(&mut self, now: Time, settings: &Settings, named: bool, rng: &mut SimRng) -> bool {
        let unusable = self.disk.damaged || self.disk.incarnations.diverged.is_some();
        if self.process.is_some() || self.halted.is_some() || unusable {
            return false;
        }
        self.epoch += 1;
        let disk = self.disk.clone();
        let terms = Terms::of(&disk);
        let boot = Boot {
            advertised_name: named.then(|| self.name.clone()),
            me: self.id,
            hard_state: disk.hard_state,
            snapshot: disk.snapshot,
            entries: disk.entries,
            pending_update: disk.shelf.pending,
            held: disk.shelf.models,
            wall_ms: self.wall_ms(now),
            settings: settings.clone(),
            told: self.told.clone(),
            trains: self.trains,
            incarnations: disk.incarnations,
            suspected: disk.looks_copied,
            address: Some(self.place),
            signer: Arc::new(Identity::from_secret_bytes(&self.identity.to_secret_bytes())),
            seed: rng.roll(),
        };
        let node = Node::new(boot, Observer::default(), Time::ZERO).expect("a sound disk makes a member");
        self.process = Some(Process {
            node,
            clock: Clock::started(now, self.device.clock_rate),
            worker: Worker::default(),
            roster: self.told.iter().map(|member| (member.key, member.id)).collect(),
            known_places: self.told.iter().map(|member| (member.key, member.addresses.clone())).collect(),
            unsynced: BTreeMap::new(),
            delayed: BTreeMap::new(),
            synced_at: now,
            worked_at: now,
            takes_snapshot: false,
            reads_snapshot: false,
            digests_state: false,
            heard: BTreeMap::new(),
            ticked_at: None,
            idle_ticks: 0,
            inbox: Vec::new(),
            paused: None,
            held: Vec::new(),
            refused: 0,
            in_trouble: false,
            handed_over: None,
            terms,
            seen: Seen::default(),
            ways: BTreeMap::new(),
            search: Search::default(),
            looks: 0,
            knocks: Knocks::default(),
            under_way: BTreeMap::new(),
            in_parts: BTreeMap::new(),
            stalled: BTreeMap::new(),
        });
        true
    }

    /// Whether it runs, or will, on an older copy of its disk.
    pub fn has_copied_disk(&self) -> bool {
        self.put_back || self.disk.looks_copied
    }

    /// Whether its disk may have forgotten what was promised on it.
    pub fn forgot(&self) -> bool {
        let outdated = self.process.as_ref().is_some_and(|process| process.node.is_outdated());
        self.disk.damaged
            || self.has_copied_disk()
            || self.disk.last() < self.held_by_copy
            || self.disk.incarnations.outdated
            || outdated
            // It loses its log when it stops.
            || self.is_rotten()
    }

    /// Whether its state differs from the one that its log leads to.
    pub fn is_rotten(&self) -> bool {
        let stored = || rot_of(&self.disk.snapshot.data);
        self.process.as_ref().map_or_else(stored, |process| process.node.state().user().rot) != 0
    }

    /// Whether it is a copy that runs beside its original.
    pub fn is_twin(&self) -> bool {
        self.epoch >= FIRST_OF_TWIN
    }

    /// What its wall clock shows.
    pub fn wall_ms(&self, now: Time) -> u64 {
        let passed = u64::try_from(now.elapsed().as_millis()).unwrap_or(u64::MAX);
        (WALL_MS + passed).saturating_add_signed(self.device.wall_wrong_ms)
    }

    /// Power loss: of what was on its way to the disk only a first part may have arrived. Returns that, and how many
    /// batches have not.
    pub fn kill(&mut self, rng: &mut SimRng) -> (Vec<Box<Batch>>, usize) {
        let Some(process) = self.process.take() else { return (Vec::new(), 0) };
        let arrived = rng.below(process.unsynced.len() as u64 + 1) as usize;
        let lost = process.unsynced.len() - arrived;
        let arrived: Vec<_> = process.unsynced.into_values().take(arrived).collect();
        arrived.iter().for_each(|batch| self.disk.write(batch));
        (arrived, lost)
    }

    /// The process, which is known to run.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("it runs")
    }

    /// When a sync that begins now is over.
    pub fn sync_until(&mut self, now: Time, rates: &FaultRates, rng: &mut SimRng) -> Time {
        let takes = rng.ms(rates.sync) * self.device.slow_disk;
        let from = now.max(self.device.disk_fails_until);
        let process = self.process();
        process.synced_at = (from + takes).max(process.synced_at);
        process.synced_at
    }
}

impl Process {
    /// The member's own clock.
    pub fn local(&self, now: Time) -> Time {
        self.clock.read(now)
    }

    /// A member dials this one anew: what this one believed to be under way to it is not. Says what breaks off half-way.
    pub fn is_dialled_by(&mut self, id: MemberId) -> Vec<InParts> {
        let broken: Vec<_> = self.in_parts.extract_if(.., |(_, to), _| *to == id).collect();
        let lost = self.stalled.keys().filter(|(_, to)| *to == id).chain(broken.iter().map(|(lost, _)| lost));
        let lost: Vec<_> = lost.copied().collect();
        lost.into_iter().for_each(|(handle, to)| self.transfer_ends(handle, to));
        broken.into_iter().map(|(_, in_parts)| in_parts).collect()
    }

    /// An envelope has arrived, or was given up.
    pub fn transfer_ends(&mut self, handle: EnvelopeHandle, to: MemberId) {
        self.stalled.remove(&(handle, to));
        self.in_parts.remove(&(handle, to));
        self.under_way.get_mut(&handle).into_iter().for_each(|under_way| under_way.end(to));
    }

    /// Remembers what can be seen of it now.
    pub fn note_seen(&mut self) {
        let consensus = self.node.consensus();
        self.seen.term = consensus.term();
        self.seen.led = consensus.role() == Role::Leader;
        self.seen.applied = consensus.applied();
        self.seen.commit = consensus.commit();
        if self.seen.membership != *consensus.membership() {
            self.seen.membership.clone_from(consensus.membership());
        }
    }

    /// When it must be told the time next. Neither a busy loop nor one that stands still looks at the time.
    pub fn due(&self) -> Option<Time> {
        let looks = self.inbox.is_empty() && self.paused.is_none();
        self.node.deadline().filter(|_| looks).map(|at| self.clock.when(at))
    }
}
