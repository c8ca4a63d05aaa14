//! Clients that write and read through the client library all the time, and write down what they were told.
//!
//! Each writer counts up a register of its own, leaves entries that must stay, and makes others that it removes again:
//! with sessions, where each change counts once however often it was sent, and without, where none is sent twice.
//! Readers know at any time what a register may hold. It does not cause faults.

use crate::support::until;
use rafty_client::blocking::{ClusterClient, DistributedDict};
use rafty_client::{Ask, ClientError, Consistency, Limits};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

const WRITERS: usize = 3;
/// A step of a writer is a change of its register; every so many steps there is more.
const CYCLE: u64 = 8;
/// Long enough for any election under faults; what takes longer is a change of unknown outcome.
const PATIENCE: Duration = Duration::from_secs(10);
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// So short that a client who has no more is denied, or left in doubt, in many an election.
const IMPATIENCE: Duration = Duration::from_millis(400);
/// Between two steps of a writer, so that processors are left for the members.
const BREATH: Duration = Duration::from_millis(5);

/// How clients reach the members.
#[derive(Clone)]
pub(crate) struct Way {
    pub(crate) members: Vec<String>,
    pub(crate) token: Option<String>,
}

impl Way {
    /// A client that knows all members.
    pub(crate) fn to_all(&self) -> ClusterClient {
        self.client_of(&self.members, PATIENCE)
    }

    /// A client that knows but one member.
    pub(crate) fn to(&self, member: usize, patience: Duration) -> ClusterClient {
        self.client_of(&self.members[member..=member], patience)
    }

    fn client_of(&self, members: &[String], patience: Duration) -> ClusterClient {
        let answer_within = ANSWER_WITHIN.min(patience);
        let limits = Limits { patience, answer_within, tries: 64, ..Limits::default() };
        let client = ClusterClient::with_limits(members, limits).expect("addresses");
        match &self.token {
            Some(token) => client.with_token(token).expect("a token"),
            None => client,
        }
    }
}

/// What a client knows of an entry that is not changed any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It was acknowledged, and nothing else was asked.
    There(u64),
    /// It was denied, or its removal was acknowledged.
    Absent,
    Unknown,
}

/// What clients were told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) acknowledged: u64,
    pub(crate) unknown: u64,
    pub(crate) denied: u64,
    pub(crate) reads: u64,
    /// Reads that got no answer.
    pub(crate) unread: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acknowledged, unknown, denied, reads, unread } = self;
        write!(
            f,
            "writes: {acknowledged} acknowledged, {unknown} unknown, {denied} denied; \
             reads: {reads} answered, {unread} not"
        )
    }
}

/// What a register may hold.
#[derive(Default)]
struct Register {
    /// The last value that was sent.
    attempted: AtomicU64,
    /// The last value that was acknowledged or read: none before it may be read again,
    settled: AtomicU64,
    /// except these, which may take effect at any time.
    unknown: Mutex<BTreeSet<u64>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    acknowledged: AtomicU64,
    registers: Vec<Register>,
    fates: Mutex<BTreeMap<String, Fate>>,
    tally: Mutex<Tally>,
}

impl Shared {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().expect("nobody failed with it")
    }

    /// Notes what became of a change; whether it was acknowledged, or none when that is unknown.
    fn noted<T>(&self, result: Result<T, ClientError>) -> Result<Option<T>, ()> {
        let mut tally = self.tally();
        match result {
            Ok(value) => {
                tally.acknowledged += 1;
                self.acknowledged.fetch_add(1, SeqCst);
                Ok(Some(value))
            }
            Err(ClientError::UnknownOutcome(_)) => {
                tally.unknown += 1;
                Err(())
            }
            Err(ClientError::Unreachable(_) | ClientError::NoLeader(_) | ClientError::Refused { .. }) => {
                tally.denied += 1;
                Ok(None)
            }
            Err(error) => panic!("not a word on the outcome: {error}"),
        }
    }

    fn settle(&self, key: String, fate: Fate) {
        self.fates.lock().expect("nobody failed with it").insert(key, fate);
    }
}

/// Clients at work.
pub(crate) struct Load {
    shared: Arc<Shared>,
    way: Way,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    pub(crate) fn start(way: Way) -> Self {
        let registers = (0..WRITERS).map(|_| Register::default()).collect();
        let shared = Arc::new(Shared { registers, ..Shared::default() });
        let mut threads = Vec::new();
        for at in 0..WRITERS {
            let (way, shared) = (way.clone(), shared.clone());
            threads.push(std::thread::spawn(move || Writer::new(&way, &shared, at).run()));
        }
        let (readers_way, readers_shared) = (way.clone(), shared.clone());
        threads.push(std::thread::spawn(move || read(&readers_way, &readers_shared)));
        Self { shared, way, threads }
    }

    pub(crate) fn way(&self) -> &Way {
        &self.way
    }

    /// Waits until so many more changes were acknowledged.
    pub(crate) fn goes_on(&mut self, more: u64) {
        let enough = self.shared.acknowledged.load(SeqCst) + more;
        until("acknowledgements", || {
            if let Some(ended) = self.threads.iter().position(JoinHandle::is_finished) {
                self.threads.swap_remove(ended).join().expect("a client saw what must not be");
            }
            (self.shared.acknowledged.load(SeqCst) >= enough).then_some(())
        });
    }

    /// Ends the clients; what they were told.
    pub(crate) fn finish(self) -> Record {
        self.shared.stop.store(true, SeqCst);
        for thread in self.threads {
            thread.join().expect("a client saw what must not be");
        }
        Record { shared: self.shared, way: self.way }
    }
}

/// One client that writes.
struct Writer<'a> {
    shared: &'a Shared,
    at: usize,
    /// Each change counts once.
    entries: DistributedDict,
    /// No change is sent twice, and none is waited for long.
    without_session: DistributedDict,
}

impl<'a> Writer<'a> {
    fn new(way: &Way, shared: &'a Shared, at: usize) -> Self {
        let entries = DistributedDict::over(way.to_all());
        let mut without_session = DistributedDict::over(way.client_of(&way.members, IMPATIENCE));
        without_session.set_sessions(false);
        Self { shared, at, entries, without_session }
    }

    fn run(mut self) {
        for step in 1.. {
            self.count_up(step);
            match step % CYCLE {
                0 => self.leave(format!("kept-{}-{step}", self.at), step, true),
                2 => self.leave(format!("once-{}-{step}", self.at), step, false),
                4 => self.make_and_remove(format!("brief-{}-{step}", self.at), step),
                _ => {}
            }
            if self.shared.stop.load(SeqCst) {
                return;
            }
            std::thread::sleep(BREATH);
        }
    }

    fn count_up(&mut self, value: u64) {
        let register = &self.shared.registers[self.at];
        let mut unknown = register.unknown.lock().expect("nobody failed with it");
        // Until it is known: a reader that sees it is right in any case.
        unknown.insert(value);
        drop(unknown);
        register.attempted.store(value, SeqCst);
        match self.shared.noted(self.entries.insert(register_key(self.at), &value)) {
            Ok(Some(())) => {
                register.settled.fetch_max(value, SeqCst);
                register.unknown.lock().expect("nobody failed with it").remove(&value);
            }
            // Nobody may ever read it.
            Ok(None) => {
                register.unknown.lock().expect("nobody failed with it").remove(&value);
            }
            Err(()) => {}
        }
    }

    fn leave(&mut self, key: String, value: u64, with_session: bool) {
        let entries = if with_session { &mut self.entries } else { &mut self.without_session };
        let fate = match self.shared.noted(entries.insert(&*key, &value)) {
            Ok(Some(())) => Fate::There(value),
            Ok(None) => Fate::Absent,
            Err(()) => Fate::Unknown,
        };
        self.shared.settle(key, fate);
    }

    /// Were one of the two to count twice, the removal would find nothing, or the entry come back.
    fn make_and_remove(&mut self, key: String, value: u64) {
        let made = self.shared.noted(self.entries.insert(&*key, &value));
        let removed = self.shared.noted(self.entries.remove(&key));
        let fate = match (made, removed) {
            (Ok(Some(())), Ok(Some(found))) => {
                assert!(found, "{key} was acknowledged, and then not there to be removed");
                Fate::Absent
            }
            (Ok(Some(())), Ok(None)) => Fate::There(value),
            (Ok(None), Ok(Some(found))) => {
                assert!(!found, "{key} was denied, and then there to be removed");
                Fate::Absent
            }
            (Ok(None), _) => Fate::Absent,
            // A change of unknown outcome may take effect after the removal.
            _ => Fate::Unknown,
        };
        self.shared.settle(key, fate);
    }
}

fn register_key(at: usize) -> String {
    format!("register-{at}")
}

/// Reads registers, linearizably, at whichever member the library asks.
fn read(way: &Way, shared: &Shared) {
    let client = way.to_all();
    while !shared.stop.load(SeqCst) {
        let at = fastrand::usize(..WRITERS);
        let register = &shared.registers[at];
        let (least, unknown) = (register.settled.load(SeqCst), register.unknown());
        let Ok(value) = client.get_value(&register_key(at), Consistency::Linearizable) else {
            shared.tally().unread += 1;
            continue;
        };
        shared.tally().reads += 1;
        let value = value.map_or(0, |value| value.decode::<u64>().expect("a number"));
        let most = register.attempted.load(SeqCst);
        let may_be = (least..=most).contains(&value) || unknown.contains(&value);
        assert!(may_be, "register {at} held {least} to {most}, or one of {unknown:?}: {value} was read");
        register.settled.fetch_max(value, SeqCst);
    }
}

impl Register {
    fn unknown(&self) -> BTreeSet<u64> {
        self.unknown.lock().expect("nobody failed with it").clone()
    }
}

/// What clients were told, all of it.
pub(crate) struct Record {
    shared: Arc<Shared>,
    way: Way,
}

impl Record {
    pub(crate) fn tally(&self) -> Tally {
        *self.shared.tally()
    }

    /// Every member holds what it must and nothing that it must not.
    pub(crate) fn holds(&self) {
        let fates = self.shared.fates.lock().expect("nobody failed with it");
        for (at, address) in self.way.members.iter().enumerate() {
            let entries = self.entries_at(at);
            for (key, fate) in &*fates {
                let there = entries.get(key);
                let right = match fate {
                    Fate::There(value) => there == Some(value),
                    Fate::Absent => there.is_none(),
                    Fate::Unknown => true,
                };
                assert!(right, "{key} at {address}: clients know {fate:?}, it holds {there:?}");
            }
            for (writer, register) in self.shared.registers.iter().enumerate() {
                let value = entries.get(&register_key(writer)).copied().unwrap_or_default();
                let (least, most) = (register.settled.load(SeqCst), register.attempted.load(SeqCst));
                let right = value == least || register.unknown().contains(&value);
                assert!(
                    right,
                    "register {writer} at {address}: {least} of {most} was settled, it holds {value}"
                );
            }
        }
    }

    fn entries_at(&self, at: usize) -> BTreeMap<String, u64> {
        let client = self.way.to(at, PATIENCE);
        let ask = Ask::Get { key: None, consistency: Consistency::Linearizable, framed: false };
        let reply = until("a linearizable read", || client.request(&ask).ok());
        let entries = rafty_wire::client::decode_entries(&reply).expect("entries");
        let number = |value: &[u8]| rafty_client::Value::from_bytes(value.to_vec()).ok()?.decode().ok();
        entries.into_iter().filter_map(|(key, value)| Some((key.to_string(), number(value)?))).collect()
    }
}
