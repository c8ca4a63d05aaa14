//! Members and the network between them, event by event in virtual time. All choices come from one seed.

use crate::checks::Checks;
use crate::dice::Dice;
use crate::member::{Member, Process};
use crate::witness::Witness;
use rafty_consensus::Role;
use rafty_node::{Answer, Input, Node, Output, Request, RequestId};
use rafty_rounds::{EnvelopeHandle, Work, WorkId, WorkResult};
use rafty_types::{ClusterId, EnvelopeHeader, Frame, MemberId, Message, PersistId, Settings, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Frames with more bytes of entries than this go by stream: they may be late, datagrams never are.
const DATAGRAM: usize = 1_000;
/// How long a loop is busy, in milliseconds.
const BUSY: (u64, u64) = (0, 8);
/// Ticks that a member may take at one instant.
const MAX_IDLE_TICKS: u32 = 50;

/// How unkind the world is: spans in milliseconds, chances in percent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    pub(crate) latency: (u64, u64),
    pub(crate) sync: (u64, u64),
    pub(crate) work: (u64, u64),
    pub(crate) key: (u64, u64),
    pub(crate) bulk: (u64, u64),
    pub(crate) drop: u64,
    pub(crate) fail_work: u64,
    /// How often a member's loop is busy when something happens: it takes it in a little later, with all that came since.
    pub(crate) busy: u64,
}

pub(crate) const FAIR: Weather = Weather {
    latency: (1, 3),
    sync: (1, 5),
    work: (5, 40),
    key: (100, 300),
    bulk: (3, 20),
    drop: 0,
    fail_work: 0,
    busy: 5,
};

enum Happening {
    Frame {
        from: MemberId,
        frame: Frame,
        stamp: Option<u64>,
    },
    Envelope {
        from: MemberId,
        envelope: EnvelopeHeader,
    },
    Snapshot {
        from: MemberId,
        message: Message,
        data: Arc<[u8]>,
    },
    SnapshotSent {
        to: MemberId,
        arrived: bool,
    },
    Synced(PersistId),
    Work {
        id: WorkId,
        work: Work,
    },
    Key,
    Unreachable(MemberId),
    /// The loop has time again.
    Free,
}

pub(crate) struct Sim {
    pub(crate) now: Time,
    pub(crate) members: BTreeMap<MemberId, Member>,
    pub(crate) dice: Dice,
    pub(crate) weather: Weather,
    /// Pairs that cannot hear each other, the lower id first.
    pub(crate) cut: BTreeSet<(MemberId, MemberId)>,
    pub(crate) checks: Checks,
    pub(crate) answers: BTreeMap<RequestId, Answer>,
    /// How often a command was forwarded.
    pub(crate) forwards: usize,
    pub(crate) settings: Settings,
    pub(crate) cluster: ClusterId,
    seed: u64,
    test: &'static str,
    /// What happens to whom, in which of its processes.
    agenda: BTreeMap<(Time, u64), (MemberId, u64, Happening)>,
    counter: u64,
}

impl Drop for Sim {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { seed, test, now, .. } = self;
            eprintln!("at {now}; replay: RAFTY_SEED={seed} cargo test -p rafty-node --test node {test}");
        }
    }
}

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

impl Sim {
    /// A world without members. `test` is named in the line that replays it.
    pub(crate) fn new(test: &'static str, seed: u64, settings: Settings) -> Self {
        settings.validate().expect("settings that members accept");
        Self {
            now: Time::ZERO,
            members: BTreeMap::new(),
            dice: Dice::new(seed),
            weather: FAIR,
            cut: BTreeSet::new(),
            checks: Checks::default(),
            answers: BTreeMap::new(),
            forwards: 0,
            settings,
            cluster: ClusterId([7; 16]),
            seed,
            test,
            agenda: BTreeMap::new(),
            counter: 0,
        }
    }

    pub(crate) fn start(&mut self, id: MemberId) {
        let member = self.members.get_mut(&id).expect("a member");
        member.start(self.now, &self.settings, &mut self.dice);
        self.checks.started(id);
    }

    /// Power loss. The others notice after a while, as connections do.
    pub(crate) fn kill(&mut self, id: MemberId) {
        self.members.get_mut(&id).expect("a member").kill(&mut self.dice);
        for other in self.running() {
            let after = self.dice.ms((10, 1_000));
            self.schedule(after, other, Happening::Unreachable(id));
        }
    }

    pub(crate) fn cut(&mut self, one: MemberId, other: MemberId) {
        self.cut.insert((one.min(other), one.max(other)));
    }

    /// Everything works again.
    pub(crate) fn heal(&mut self) {
        self.cut.clear();
        self.weather = FAIR;
        self.members.keys().copied().collect::<Vec<_>>().into_iter().for_each(|id| self.start(id));
    }

    // What a test asks of it.

    pub(crate) fn node(&self, id: MemberId) -> &Node<Witness> {
        &self.members[&id].process.as_ref().expect("it runs").node
    }

    pub(crate) fn running(&self) -> Vec<MemberId> {
        let running = self.members.values().filter(|member| member.process.is_some());
        running.map(|member| member.id).collect()
    }

    /// The leader of the highest term.
    pub(crate) fn leader(&self) -> Option<MemberId> {
        let leads = |id: &MemberId| self.node(*id).consensus().role() == Role::Leader;
        self.running().into_iter().filter(leads).max_by_key(|id| self.node(*id).consensus().term())
    }

    /// The leader, if its tenure is current.
    pub(crate) fn aggregator(&self) -> Option<MemberId> {
        let leader = self.leader()?;
        let node = self.node(leader);
        let tenure = node.state().control().tenure()?;
        (tenure.member == leader && tenure.term == node.consensus().term()).then_some(leader)
    }

    /// Whether all that run have the same state, and all of what is committed.
    pub(crate) fn agree(&self) -> bool {
        let Some(leader) = self.leader() else { return false };
        let commit = self.node(leader).consensus().last_index();
        self.running().into_iter().all(|id| self.node(id).state().applied() == commit)
    }

    pub(crate) fn ask(&mut self, id: MemberId, request: Request, within: Duration) -> RequestId {
        self.counter += 1;
        let name = RequestId(self.counter);
        let until = self.members[&id].process.as_ref().expect("it runs").local(self.now) + within;
        self.checks.asked(name, &request);
        self.say(id, Input::Request { id: name, request, until });
        name
    }

    // How it goes on.

    pub(crate) fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.step(end) {}
        self.now = end;
    }

    /// Runs until `done`, and fails when that takes longer than `limit`.
    pub(crate) fn run_until(&mut self, what: &str, limit: Duration, done: impl Fn(&Self) -> bool) {
        let end = self.now + limit;
        while !done(self) {
            assert!(self.step(end), "not within {limit:?}: {what}\n{}", self.report());
        }
    }

    pub(crate) fn report(&self) -> String {
        let line = |id: MemberId| {
            let status = self.node(id).status();
            format!(
                "{id}: {} of term {}, leader {:?}, commit {}, applied {}, tenure {:?}, waits for {}, run {:?}",
                status.role,
                status.term,
                status.leader,
                status.commit,
                status.applied,
                status.tenure,
                status.waiting_for,
                status.run,
            )
        };
        self.running().into_iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// One event or deadline, unless it lies beyond `end`.
    fn step(&mut self, end: Time) -> bool {
        let due = |member: &Member| Some((member.process.as_ref()?.due()?, member.id));
        let tick = self.members.values().filter_map(due).min();
        let event = self.agenda.first_key_value().map(|((at, _), _)| *at);
        match (event, tick) {
            (Some(at), tick) if at <= end && tick.is_none_or(|(tick, _)| at <= tick) => {
                self.now = self.now.max(at);
                let (_, (to, epoch, what)) = self.agenda.pop_first().expect("just seen");
                self.happen(to, epoch, what);
                true
            }
            (_, Some((at, id))) if at <= end => {
                self.tick(at, id);
                true
            }
            _ => false,
        }
    }

    fn tick(&mut self, at: Time, id: MemberId) {
        let process = self.members.get_mut(&id).expect("a member").process();
        process.idle_ticks = if process.ticked_at == Some(at) { process.idle_ticks + 1 } else { 0 };
        process.ticked_at = Some(at);
        assert!(process.idle_ticks < MAX_IDLE_TICKS, "member {id} wants the time again and again");
        self.now = self.now.max(at);
        self.say(id, Input::Tick);
    }

    fn schedule(&mut self, after: Duration, to: MemberId, what: Happening) {
        let Some(member) = self.members.get(&to) else { return };
        self.counter += 1;
        self.agenda.insert((self.now + after, self.counter), (to, member.epoch, what));
    }

    fn happen(&mut self, to: MemberId, epoch: u64, what: Happening) {
        let Some(member) = self.members.get_mut(&to).filter(|member| member.epoch == epoch) else { return };
        let Some(process) = &mut member.process else { return };
        match what {
            Happening::Frame { from, frame, stamp } => {
                let last = process.heard.entry(from).or_default();
                if stamp.is_some_and(|stamp| stamp < *last) || !process.roster.contains(&from) {
                    return;
                }
                *last = stamp.unwrap_or(*last);
                self.say(to, Input::Frame { from, frame });
            }
            Happening::Envelope { from, envelope: header } => {
                let handle = process.worker.name(header.clone());
                self.say(to, Input::Envelope { from, header, handle });
            }
            Happening::Snapshot { from, message, data } => {
                self.checks.snapshots += 1;
                self.say(to, Input::Snapshot { from, message, data });
            }
            Happening::SnapshotSent { to: other, arrived } => {
                self.say(to, Input::SnapshotSent { to: other, arrived });
            }
            Happening::Synced(id) => self.synced(to, id),
            Happening::Work { id, work } => self.work(to, id, work),
            Happening::Key => {
                let key = process.worker.make_key(self.cluster, to, &member.identity, epoch);
                self.say(to, Input::TenureKey(key));
            }
            Happening::Unreachable(other) => self.say(to, Input::Unreachable(other)),
            Happening::Free => {
                let inputs = std::mem::take(&mut process.inbox);
                self.take_in(to, inputs);
            }
        }
    }

    fn synced(&mut self, id: MemberId, persisted: PersistId) {
        let member = self.members.get_mut(&id).expect("a member");
        let process = member.process.as_mut().expect("it runs");
        let later = process.unsynced.split_off(&PersistId(persisted.0 + 1));
        let batches = std::mem::replace(&mut process.unsynced, later);
        let later = process.delayed.split_off(&PersistId(persisted.0 + 1));
        let frames = std::mem::replace(&mut process.delayed, later);
        batches.values().for_each(|batch| member.disk.write(batch));
        for (to, frame) in frames.into_values().flatten() {
            self.send(id, to, frame);
        }
        self.say(id, Input::Persisted(persisted));
    }

    fn work(&mut self, id: MemberId, order: WorkId, work: Work) {
        let deletes =
            matches!(work, Work::ForgetAttempt { .. } | Work::DropUpdate { .. } | Work::DropModels { .. });
        let member = self.members.get_mut(&id).expect("a member");
        let result = if !deletes && self.dice.percent(self.weather.fail_work) {
            WorkResult::Failed("the disk is full".into())
        } else {
            let process = member.process.as_mut().expect("it runs");
            process.worker.perform(id, &mut member.disk.shelf, work)
        };
        self.say(id, Input::WorkDone { id: order, result });
    }

    /// Tells a member what happened, and does what it says.
    pub(crate) fn say(&mut self, id: MemberId, input: Input) {
        let Some(process) = self.members.get_mut(&id).and_then(|member| member.process.as_mut()) else {
            return;
        };
        if !process.inbox.is_empty() {
            process.inbox.push(input);
        } else if self.dice.percent(self.weather.busy) {
            process.inbox.push(input);
            let after = self.dice.ms(BUSY);
            self.schedule(after, id, Happening::Free);
        } else {
            self.take_in(id, vec![input]);
        }
    }

    fn take_in(&mut self, id: MemberId, mut inputs: Vec<Input>) {
        while !inputs.is_empty() {
            let Some(process) = self.members.get_mut(&id).and_then(|member| member.process.as_mut()) else {
                return;
            };
            let outputs = process.node.handle_all(process.local(self.now), std::mem::take(&mut inputs));
            // What it answers must hold by what it has applied, so that is looked at first.
            self.checks.applied(id, &process.node);
            for output in outputs {
                inputs.extend(self.perform(id, output));
            }
        }
    }

    fn perform(&mut self, id: MemberId, output: Output) -> Option<Input> {
        match output {
            Output::Send { to, frame } => self.send(id, to, frame),
            Output::SendAfter(batch, to, frame) => {
                self.process(id)?.delayed.entry(batch).or_default().push((to, frame));
            }
            Output::Persist(batch_id, batch) => {
                let at = (self.now + self.dice.ms(self.weather.sync)).max(self.process(id)?.synced_at);
                let process = self.process(id)?;
                process.synced_at = at;
                process.unsynced.insert(batch_id, batch);
                self.schedule(at.saturating_since(self.now), id, Happening::Synced(batch_id));
            }
            Output::SendSnapshot { to, message, data } => self.send_snapshot(id, to, message, data),
            Output::Reply { id: request, answer } => {
                let node = &self.members[&id].process.as_ref()?.node;
                self.checks.answered(request, &answer, node);
                let before = self.answers.insert(request, answer);
                assert_eq!(before, None, "{request:?} was answered twice");
            }
            Output::Work { id: order, work } => {
                let after = self.dice.ms(self.weather.work);
                self.schedule(after, id, Happening::Work { id: order, work });
            }
            Output::MakeTenureKey => {
                let after = self.dice.ms(self.weather.key);
                self.schedule(after, id, Happening::Key);
            }
            Output::ForgetTenureKeys { except } => self.process(id)?.worker.forget_keys(except),
            Output::SendEnvelope { to, handle } => return self.send_envelope(id, &to, handle),
            Output::DropEnvelope(handle) => self.process(id)?.worker.drop_envelope(handle),
            Output::Roster(members) => {
                self.process(id)?.roster = members.iter().map(|member| member.id).collect();
            }
            // Nobody watches here.
            Output::UserApplied { .. } | Output::UserRestored => {}
            Output::Event(event) => self.checks.event(id, event, &self.members),
            Output::Halt(why) => {
                let member = self.members.get_mut(&id)?;
                member.halted = Some(why);
                member.kill(&mut self.dice);
            }
            Output::Dropped { from, reason } => self.checks.dropped.push((from, reason)),
        }
        None
    }

    fn process(&mut self, id: MemberId) -> Option<&mut Process> {
        self.members.get_mut(&id)?.process.as_mut()
    }

    // The network.

    /// Whether something sent now gets there.
    fn passes(&mut self, from: MemberId, to: MemberId) -> bool {
        let knows = |one: MemberId, other: MemberId| {
            let process = self.members.get(&one).and_then(|member| member.process.as_ref());
            process.is_some_and(|process| process.roster.contains(&other))
        };
        let open = knows(from, to) && knows(to, from) && !self.cut.contains(&(from.min(to), from.max(to)));
        open && !self.dice.percent(self.weather.drop)
    }

    fn send(&mut self, from: MemberId, to: MemberId, frame: Frame) {
        self.forwards += usize::from(matches!(frame, Frame::Forward { .. }));
        if !self.passes(from, to) {
            return;
        }
        let small = |message: &Message| {
            message.entries.iter().map(|entry| entry.payload.len()).sum::<usize>() <= DATAGRAM
        };
        let stamp = matches!(&frame, Frame::Raft(message) if small(message)).then_some(self.counter);
        let after = self.dice.ms(self.weather.latency);
        self.schedule(after, to, Happening::Frame { from, frame, stamp });
    }

    fn send_snapshot(&mut self, from: MemberId, to: MemberId, message: Message, data: Arc<[u8]>) {
        let (after, arrived) = (self.dice.ms(self.weather.bulk), self.passes(from, to));
        if arrived {
            self.schedule(after, to, Happening::Snapshot { from, message, data });
        }
        self.schedule(after + ms(1), from, Happening::SnapshotSent { to, arrived });
    }

    /// Sends an envelope; a copy for its sender comes back at once.
    fn send_envelope(&mut self, from: MemberId, to: &[MemberId], handle: EnvelopeHandle) -> Option<Input> {
        let header = self.process(from)?.worker.envelope(handle);
        for &to in to.iter().filter(|to| **to != from) {
            if self.passes(from, to) {
                let after = self.dice.ms(self.weather.bulk);
                self.schedule(after, to, Happening::Envelope { from, envelope: header.clone() });
            }
        }
        (to.contains(&from) && header.is_for(from)).then(|| {
            let handle = self.process(from).expect("it runs").worker.name(header.clone());
            Input::Envelope { from, header, handle }
        })
    }
}
