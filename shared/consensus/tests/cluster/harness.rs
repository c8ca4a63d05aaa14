//! Members, their disks and the network between them, all in virtual time from one seed.

use crate::invariants::{self, Disk, Oracle};
use rafty_consensus::{Boot, Config, Consensus, Input, Output, Proposal, Refused, Role, next_change};
use rafty_types::{
    Batch, Entry, Index, MemberId, Membership, Message, MessageKind, Payload, PersistId, Settings, Snapshot,
    SnapshotMeta, Term, Time,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Applied entries after which a member compacts.
const COMPACT_AFTER: usize = 40;

/// Draws for the network and the scripts; SplitMix64 like the machine's own, but another stream.
pub(crate) struct SimRng(u64);

impl SimRng {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }

    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        if from.is_empty() { None } else { Some(from[self.below(from.len() as u64) as usize]) }
    }
}

/// What goes wrong between members and below them.
#[derive(Clone, Copy, Default)]
pub(crate) struct Faults {
    pub(crate) drop_percent: u64,
    pub(crate) duplicate_percent: u64,
    pub(crate) max_delay_ms: u64,
    pub(crate) max_sync_ms: u64,
    pub(crate) snapshot_ms: u64,
}

pub(crate) struct Member {
    pub(crate) disk: Disk,
    pub(crate) running: Option<Running>,
    epoch: u64,
}

pub(crate) struct Running {
    pub(crate) machine: Consensus,
    queue: BTreeMap<PersistId, Batch>,
    after: Vec<(PersistId, Message)>,
    pub(crate) applied: Index,
    pub(crate) digest: u64,
    synced_at: Time,
    led: Option<(Term, Index)>,
}

enum Event {
    Deliver(Box<Message>, Option<Arc<[u8]>>),
    Synced { member: MemberId, epoch: u64, id: PersistId },
    Reported { member: MemberId, to: MemberId, ok: bool },
}

pub(crate) struct Net {
    pub(crate) now: Time,
    pub(crate) members: BTreeMap<MemberId, Member>,
    pub(crate) oracle: Oracle,
    pub(crate) rng: SimRng,
    pub(crate) faults: Faults,
    /// Pairs that cannot hear each other.
    pub(crate) cut: BTreeSet<(MemberId, MemberId)>,
    pub(crate) ready_reads: BTreeMap<u64, Index>,
    pub(crate) failed_reads: BTreeSet<u64>,
    pub(crate) proposed: BTreeMap<u64, (Index, Term)>,
    pub(crate) dropped: BTreeSet<u64>,
    pub(crate) refused: u64,
    pub(crate) snapshots_sent: u64,
    /// Every output in words, when wanted: two runs of one seed must agree on it.
    pub(crate) transcript: Option<u64>,
    asked: BTreeMap<u64, Index>,
    events: BTreeMap<(Time, u64), Event>,
    counter: u64,
    seed: u64,
    config: Config,
}

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) fn id(id: u64) -> MemberId {
    MemberId(id)
}

/// FNV-1a, so that the transcript does not depend on anybody's hasher.
fn mix(mut hash: u64, bytes: &[u8]) -> u64 {
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash
}

impl Net {
    /// Members 1 to `voters`, founded with a snapshot at index 1.
    pub(crate) fn new(seed: u64, voters: u64) -> Self {
        let settings = Settings { tail: 10, append_batch: 7, ..Settings::default() };
        let mut net = Self {
            now: Time::ZERO,
            members: BTreeMap::new(),
            oracle: Oracle::default(),
            rng: SimRng(seed),
            faults: Faults { max_delay_ms: 3, max_sync_ms: 3, ..Faults::default() },
            cut: BTreeSet::new(),
            ready_reads: BTreeMap::new(),
            failed_reads: BTreeSet::new(),
            proposed: BTreeMap::new(),
            dropped: BTreeSet::new(),
            refused: 0,
            snapshots_sent: 0,
            transcript: None,
            asked: BTreeMap::new(),
            events: BTreeMap::new(),
            counter: 0,
            seed,
            config: Config::from_settings(&settings),
        };
        let membership = Membership { voters: (1..=voters).map(id).collect(), ..Membership::default() };
        let meta = SnapshotMeta { index: Index(1), term: Term(1), membership };
        let founding = Snapshot { meta, data: 0u64.to_le_bytes().as_slice().into() };
        for member in 1..=voters {
            net.add(id(member), Disk { snapshot: founding.clone(), ..Disk::default() });
        }
        net
    }

    /// A newcomer with an empty disk.
    pub(crate) fn newcomer(&mut self, member: MemberId) {
        self.add(member, Disk::default());
    }

    fn add(&mut self, member: MemberId, disk: Disk) {
        self.members.insert(member, Member { disk, running: None, epoch: 0 });
        self.restart(member);
    }

    pub(crate) fn restart(&mut self, member: MemberId) {
        let seed = self.seed ^ member.0.wrapping_mul(0x0001_0000_0001) ^ (self.members[&member].epoch << 48);
        let stopped = self.members.get_mut(&member).unwrap();
        if stopped.running.is_some() {
            return;
        }
        stopped.epoch += 1;
        let disk = stopped.disk.clone();
        let digest = disk.snapshot.data.as_ref().try_into().map_or(0, u64::from_le_bytes);
        let (applied, snapshot) = (disk.snapshot.meta.index, disk.snapshot);
        let boot = Boot {
            id: member,
            hard_state: disk.hard_state,
            snapshot,
            entries: disk.entries,
            abstains: false,
        };
        let machine = Consensus::new(self.config.clone(), boot, seed, self.now).expect("the disk is whole");
        stopped.running = Some(Running {
            machine,
            queue: BTreeMap::new(),
            after: Vec::new(),
            applied,
            digest,
            synced_at: self.now,
            led: None,
        });
    }

    /// Power loss: of what was on its way to the disk, only a first part may have arrived.
    pub(crate) fn crash(&mut self, member: MemberId) {
        let Some(running) = self.members.get_mut(&member).unwrap().running.take() else { return };
        let arrived = self.rng.below(running.queue.len() as u64 + 1) as usize;
        for (_, batch) in running.queue.into_iter().take(arrived) {
            self.write(member, &batch);
        }
    }

    pub(crate) fn machine(&self, member: MemberId) -> &Consensus {
        &self.members[&member].running.as_ref().expect("it runs").machine
    }

    pub(crate) fn running(&self) -> Vec<MemberId> {
        self.members
            .iter()
            .filter(|(_, member)| member.running.is_some())
            .map(|(member, _)| *member)
            .collect()
    }

    /// The leader of the highest term.
    pub(crate) fn leader(&self) -> Option<MemberId> {
        let leads = |member: &MemberId| self.machine(*member).role() == Role::Leader;
        self.running().into_iter().filter(leads).max_by_key(|member| self.machine(*member).term())
    }

    pub(crate) fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.step(end) {}
        self.now = end;
    }

    /// Runs until `done`, and fails when that takes longer than `limit`.
    pub(crate) fn run_until(&mut self, what: &str, limit: Duration, done: impl Fn(&Self) -> bool) {
        let end = self.now + limit;
        while !done(self) {
            assert!(self.step(end), "not within {limit:?}: {what}");
        }
    }

    pub(crate) fn elect(&mut self) -> MemberId {
        let settled = |net: &Self| net.leader().is_some_and(|leader| net.machine(leader).committed_in_term());
        self.run_until("a leader", ms(5_000), settled);
        self.leader().unwrap()
    }

    /// One event or deadline, unless it lies beyond `end`.
    fn step(&mut self, end: Time) -> bool {
        let due = |member: &MemberId| self.machine(*member).deadline().map(|at| (at, *member));
        let tick = self.running().iter().filter_map(due).min();
        let event = self.events.keys().next().copied();
        let tick_first = match (tick, event) {
            (Some((at, _)), Some((event_at, _))) => at < event_at,
            (tick, _) => tick.is_some(),
        };
        let Some(at) = (if tick_first { tick.map(|(at, _)| at) } else { event.map(|(at, _)| at) }) else {
            return false;
        };
        if at > end {
            return false;
        }
        self.now = self.now.max(at);
        if tick_first {
            self.input(tick.unwrap().1, Input::Tick);
        } else {
            let event = self.events.pop_first().unwrap().1;
            self.event(event);
        }
        true
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Deliver(message, None) => self.input(message.to, Input::Message(message)),
            Event::Deliver(message, Some(data)) => {
                self.input(message.to, Input::SnapshotArrived { message, data });
            }
            Event::Reported { member, to, ok } => self.input(member, Input::SnapshotSent { to, ok }),
            Event::Synced { member, epoch, id } => {
                let Some(stored) = self.members.get_mut(&member).filter(|stored| stored.epoch == epoch)
                else {
                    return;
                };
                let Some(running) = &mut stored.running else { return };
                let later = running.queue.split_off(&PersistId(id.0 + 1));
                let synced = std::mem::replace(&mut running.queue, later);
                let (now, wait): (Vec<_>, _) = running.after.drain(..).partition(|(after, _)| *after <= id);
                running.after = wait;
                synced.values().for_each(|batch| self.write(member, batch));
                self.check_logs(member);
                now.into_iter().for_each(|(_, message)| self.send(message));
                self.input(member, Input::Persisted(id));
            }
        }
    }

    fn write(&mut self, member: MemberId, batch: &Batch) {
        let disk = &mut self.members.get_mut(&member).unwrap().disk;
        batch.write_to(&mut disk.hard_state, &mut disk.snapshot, &mut disk.entries);
    }

    fn check_logs(&self, member: MemberId) {
        let disk = &self.members[&member].disk;
        self.members.values().for_each(|other| invariants::log_matching(disk, &other.disk));
    }

    pub(crate) fn propose(&mut self, member: MemberId, request: u64) {
        let data = format!("command {request}").into_bytes();
        self.input(member, Input::Propose(vec![Proposal { request, data: data.into() }]));
    }

    pub(crate) fn read(&mut self, member: MemberId, request: u64) {
        let committed = self.oracle.committed.keys().next_back().copied().unwrap_or_default();
        self.asked.insert(request, committed);
        self.input(member, Input::Read { request });
    }

    /// Asks the leader for the next step towards these voters and learners.
    pub(crate) fn reconcile(&mut self, voters: &BTreeSet<MemberId>, learners: &BTreeSet<MemberId>) {
        let Some(leader) = self.leader() else { return };
        let machine = self.machine(leader);
        if machine.has_pending_membership() {
            return;
        }
        if let Some(change) = next_change(voters, learners, machine.membership(), leader) {
            self.input(leader, Input::Change(change));
        }
    }

    pub(crate) fn input(&mut self, member: MemberId, input: Input) {
        let Some(running) = self.members.get_mut(&member).and_then(|member| member.running.as_mut()) else {
            return;
        };
        let outputs = running.machine.handle(self.now, input);
        if let Some(transcript) = &mut self.transcript {
            *transcript = mix(*transcript, format!("{} {member} {outputs:?}", self.now).as_bytes());
        }
        outputs.into_iter().for_each(|output| self.output(member, output));
        self.compact(member);
    }

    fn output(&mut self, member: MemberId, output: Output) {
        match output {
            Output::Send(message) => self.send(*message),
            Output::SendAfter(id, message) => self.of(member).after.push((id, *message)),
            Output::Persist(id, batch) => self.persist(member, id, *batch),
            Output::SendSnapshot { message, snapshot } => self.send_snapshot(*message, snapshot),
            Output::Restore(snapshot) => {
                let running = self.of(member);
                running.applied = snapshot.meta.index;
                running.digest = u64::from_le_bytes(snapshot.data.as_ref().try_into().unwrap());
                let digest = running.digest;
                invariants::same_state(&mut self.oracle, snapshot.meta.index, digest);
            }
            Output::Committed(entries) => entries.iter().for_each(|entry| self.apply(member, entry)),
            Output::Proposed { request, index, term } => {
                self.proposed.insert(request, (index, term));
            }
            Output::Dropped { request } => {
                self.dropped.insert(request);
            }
            Output::ReadReady { request, index } => {
                invariants::reads_are_linearizable(self.asked[&request], index);
                self.ready_reads.insert(request, index);
            }
            Output::ReadFailed { request } => {
                self.failed_reads.insert(request);
            }
            Output::RoleChanged { role, term, .. } => self.role_changed(member, role, term),
            Output::MembershipChanged(_) => {}
            Output::Refused { from, why } => {
                self.refused += 1;
                if from.is_some() && why == Refused::NoVoice {
                    self.tell_who_votes(member);
                }
            }
        }
    }

    /// A member is answered who votes by one that it reaches.
    fn tell_who_votes(&mut self, member: MemberId) {
        let running = self.running().into_iter();
        let reached = running.filter(|other| *other != member && !self.is_cut(member, *other));
        let Some(by) = reached.max_by_key(|other| self.machine(*other).applied()) else { return };
        let (index, term) = (self.machine(by).applied(), self.machine(by).term());
        let voters = self.machine(by).voters().into_iter().collect();
        self.input(member, Input::VotersTold { by, index, term, voters });
    }

    fn of(&mut self, member: MemberId) -> &mut Running {
        self.members.get_mut(&member).unwrap().running.as_mut().expect("it runs")
    }

    fn role_changed(&mut self, member: MemberId, role: Role, term: Term) {
        let disk = self.members[&member].disk.clone();
        if role == Role::Leader {
            invariants::election_safety(&mut self.oracle, term, member);
            invariants::leader_completeness(&self.oracle, term, &disk);
        }
        self.of(member).led = (role == Role::Leader).then(|| (term, disk.last()));
    }

    fn persist(&mut self, member: MemberId, id: PersistId, batch: Batch) {
        let delay = ms(self.rng.below(self.faults.max_sync_ms + 1));
        let now = self.now;
        let stored = self.members.get_mut(&member).unwrap();
        let running = stored.running.as_mut().expect("it runs");
        if let Some((_, last)) = &mut running.led {
            invariants::leader_append_only(*last, &batch.entries);
            *last = batch.entries.last().map_or(*last, |entry| entry.index);
        }
        running.synced_at = running.synced_at.max(now + delay);
        running.queue.insert(id, batch);
        let (at, epoch) = (running.synced_at, stored.epoch);
        self.schedule(at, Event::Synced { member, epoch, id });
    }

    fn apply(&mut self, member: MemberId, entry: &Entry) {
        invariants::state_machine_safety(&mut self.oracle, entry);
        let running = self.of(member);
        invariants::applied_in_order(running.applied, entry);
        running.applied = entry.index;
        if let Payload::Command(data) = &entry.payload {
            running.digest = mix(running.digest, data);
        }
        let digest = running.digest;
        invariants::same_state(&mut self.oracle, entry.index, digest);
    }

    fn compact(&mut self, member: MemberId) {
        let running = self.of(member);
        let machine = &running.machine;
        let applied_since = machine.applied().0 - machine.snapshot().index.0;
        let wanted = machine.snapshot_wanted() || machine.log_len() > COMPACT_AFTER;
        if wanted && applied_since > 0 {
            let (meta, data) = (machine.applied_meta(), running.digest.to_le_bytes().as_slice().into());
            self.input(member, Input::Compact { meta, data });
        }
    }

    fn is_cut(&self, one: MemberId, other: MemberId) -> bool {
        self.cut.contains(&(one.min(other), one.max(other)))
    }

    fn send(&mut self, message: Message) {
        if let Some(sender) = self.members.get(&message.from) {
            invariants::promises_are_synced(&sender.disk, &message);
        }
        if self.is_cut(message.from, message.to) || self.rng.percent(self.faults.drop_percent) {
            return;
        }
        let copies = 1 + u64::from(self.rng.percent(self.faults.duplicate_percent));
        for _ in 0..copies {
            let at = self.now + ms(1 + self.rng.below(self.faults.max_delay_ms + 1));
            self.schedule(at, Event::Deliver(Box::new(message.clone()), None));
        }
    }

    fn send_snapshot(&mut self, message: Message, snapshot: Snapshot) {
        assert_eq!(message.kind, MessageKind::Snapshot);
        assert_eq!(message.snapshot.as_ref(), Some(&snapshot.meta));
        self.snapshots_sent += 1;
        let (member, to) = (message.from, message.to);
        let at = self.now + ms(5 + self.faults.snapshot_ms + self.rng.below(50));
        let ok = !self.is_cut(member, to) && !self.rng.percent(self.faults.drop_percent);
        if ok {
            self.schedule(at, Event::Deliver(Box::new(message), Some(snapshot.data)));
        }
        self.schedule(at + ms(2), Event::Reported { member, to, ok });
    }

    fn schedule(&mut self, at: Time, event: Event) {
        self.counter += 1;
        self.events.insert((at, self.counter), event);
    }

    /// The network and the disks behave from now on, and everybody runs.
    pub(crate) fn heal(&mut self) {
        self.faults = Faults { max_delay_ms: 3, max_sync_ms: 3, ..Faults::default() };
        self.cut.clear();
        let all: Vec<_> = self.members.keys().copied().collect();
        all.into_iter().for_each(|member| self.restart(member));
    }

    /// Whether everybody in the leader's membership has applied all of its log.
    pub(crate) fn agrees(&self) -> bool {
        let Some(leader) = self.leader() else { return false };
        let leading = self.machine(leader);
        let all = leading.membership().all();
        let done = |member: &MemberId| {
            let running = self.members[member].running.as_ref();
            running.is_some_and(|running| {
                running.applied == leading.last_index() && running.machine.leader() == Some(leader)
            })
        };
        !leading.membership().is_joint() && all.iter().all(done)
    }
}
