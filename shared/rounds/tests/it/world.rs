//! Members, a log that all apply in the same order, a network and virtual time. Every random choice comes from one seed.

use crate::shell::{Data, Envelope, Shell};
use crate::state::{MemberRecord, State, spec, with_view};
use crate::story;
use rafty_rounds::{Boot, EnvelopeHandle, Input, Output, ProposalId, Rounds, Work, WorkId, WorkResult};
use rafty_types::{ControlCommand, Frame, MemberId, MemberKind, Settings, Time, Version};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How many events a world may take before it counts as stuck in a loop.
const MAX_EVENTS: usize = 400_000;

/// How unkind the world is. All times in milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct FaultRates {
    pub(crate) latency: (u64, u64),
    pub(crate) work: (u64, u64),
    /// Chances in percent.
    pub(crate) lose: u64,
    pub(crate) repeat: u64,
    pub(crate) lose_proposal: u64,
    pub(crate) fail_work: u64,
}

/// Nothing is lost; everything takes one millisecond.
pub(crate) const FAIR: FaultRates =
    FaultRates { latency: (1, 1), work: (1, 1), lose: 0, repeat: 0, lose_proposal: 0, fail_work: 0 };

pub(crate) struct Member {
    pub(crate) rounds: Rounds,
    pub(crate) shell: Shell,
    pub(crate) state: State,
    applied: usize,
    /// Counts the processes; 0 while none runs.
    pub(crate) process: u32,
    processes: u32,
    /// The process and log length at which this member last became leader.
    leads: Option<u32>,
}

#[derive(Clone)]
enum Happening {
    Frame { from: MemberId, frame: Frame },
    Envelope { from: MemberId, envelope: Envelope },
    Work { process: u32, id: WorkId, work: Work },
    Lost { process: u32, id: ProposalId },
    Apply,
}

struct Entry {
    origin: MemberId,
    command: ControlCommand,
    proposal: Option<(u32, ProposalId)>,
}

pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) rates: FaultRates,
    pub(crate) members: BTreeMap<MemberId, Member>,
    pub(crate) leader: Option<MemberId>,
    /// The state of a reader that is never behind.
    pub(crate) truth: State,
    /// What is thrown away on its way, by the test's own rule.
    pub(crate) censor: fn(MemberId, MemberId, &Frame) -> bool,
    pub(crate) story: Vec<String>,
    /// Who announced a model, and when.
    pub(crate) announced: Vec<(MemberId, Time)>,
    pub(crate) training_ms: BTreeMap<MemberId, u64>,
    /// The transport asks whether an envelope is of use before it takes it.
    pub(crate) heads_are_judged: bool,
    /// When a member that does not run was killed.
    stopped: BTreeMap<MemberId, Time>,
    /// When each member was started last.
    started: BTreeMap<MemberId, Time>,
    log: Vec<Entry>,
    agenda: BTreeMap<(Time, u64), (MemberId, Happening)>,
    scheduled: u64,
    seed: u64,
}

pub(crate) fn id(number: u64) -> MemberId {
    MemberId(number)
}

impl World {
    /// A world of agents that may all lead and vote, numbered from 1.
    pub(crate) fn new(seed: u64, data: &[Data]) -> Self {
        let roster = (1..).zip(data).map(|(number, _)| record(number, MemberKind::Agent, true)).collect();
        let settings = Settings { announce_every: Duration::from_secs(2), ..Settings::default() };
        let truth = State { index: 0, tenure: None, run: None, members: roster, settings };
        let mut world = Self {
            now: Time::ZERO + Duration::from_secs(1),
            rates: FAIR,
            members: BTreeMap::new(),
            leader: None,
            truth,
            censor: |_, _, _| false,
            story: Vec::new(),
            announced: Vec::new(),
            training_ms: BTreeMap::new(),
            heads_are_judged: true,
            stopped: BTreeMap::new(),
            started: BTreeMap::new(),
            log: Vec::new(),
            agenda: BTreeMap::new(),
            scheduled: 0,
            seed,
        };
        for (number, data) in (1..).zip(data) {
            world.settle(id(number), *data);
        }
        world
    }

    fn settle(&mut self, me: MemberId, data: Data) {
        let state = State { index: 0, tenure: None, run: None, ..self.truth.clone() };
        let member = Member {
            rounds: Rounds::default(),
            shell: Shell::new(me, data),
            state,
            applied: 0,
            process: 0,
            processes: 0,
            leads: None,
        };
        self.members.insert(me, member);
        self.start(me);
    }

    /// A newcomer that has the roster's next number; it starts from a snapshot.
    pub(crate) fn join(&mut self, role: MemberKind, may_lead: bool, data: Data) -> MemberId {
        let number = 1 + self.truth.members.last().map_or(0, |member| member.id.0);
        let newcomer = record(number, role, may_lead);
        self.truth.members.push(newcomer.clone());
        for member in self.members.values_mut() {
            member.state.members.push(newcomer.clone());
        }
        self.settle(id(number), data);
        id(number)
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn draw(&mut self, low: u64, high: u64) -> u64 {
        self.seed = self.seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        low + (z ^ (z >> 31)) % (high - low + 1)
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        percent > 0 && self.draw(1, 100) <= percent
    }

    fn schedule(&mut self, after_ms: u64, to: MemberId, what: Happening) {
        self.scheduled += 1;
        let at = self.now + Duration::from_millis(after_ms);
        self.agenda.insert((at, self.scheduled), (to, what));
    }

    // What a test does to the world.

    /// Makes `leader` aggregator, as an election or a transfer would.
    pub(crate) fn begin_tenure(&mut self, leader: MemberId) {
        self.leader = Some(leader);
        let member = self.members.get_mut(&leader).expect("a member");
        member.leads = Some(member.process);
        let rsa_public = format!("tenure key of {leader} at {}", self.log.len()).into_bytes();
        self.append(leader, ControlCommand::TenureBegan { member: leader, rsa_public }, None);
    }

    pub(crate) fn submit(&mut self, rounds: u32) {
        self.append(id(1), ControlCommand::RunSubmitted(spec(rounds)), None);
    }

    pub(crate) fn revoke(&mut self, member: MemberId) {
        self.append(id(1), ControlCommand::Revoke { member }, None);
    }

    pub(crate) fn roll_back(&mut self, version: Version) {
        let run = self.truth.run.as_ref().expect("a run").id;
        self.append(id(1), ControlCommand::RolledBack { run, version }, None);
    }

    pub(crate) fn kill(&mut self, me: MemberId) {
        let member = self.members.get_mut(&me).expect("a member");
        member.process = 0;
        member.leads = None;
        member.shell.lose_memory();
        self.stopped.insert(me, self.now);
        self.leader.take_if(|leader| *leader == me);
        self.everyone_sees();
    }

    pub(crate) fn start(&mut self, me: MemberId) {
        let member = self.members.get_mut(&me).expect("a member");
        member.processes += 1;
        member.process = member.processes;
        let held = member.shell.disk.models.iter().copied().collect();
        let pending = member.shell.disk.pending;
        member.rounds = Rounds::new(Boot { pending, held, trains: true });
        self.started.insert(me, self.now);
        self.everyone_sees();
    }

    pub(crate) fn say(&mut self, to: MemberId, input: Input) {
        self.handle(to, input);
    }

    /// Lets an envelope of `from` arrive, as a network or an enemy would.
    pub(crate) fn deliver(&mut self, from: MemberId, to: MemberId, envelope: Envelope) {
        self.schedule(0, to, Happening::Envelope { from, envelope });
    }

    pub(crate) fn run_for(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        self.run(end, |_| false);
        self.now = end;
    }

    /// Runs until `holds`, and fails when it does not come true within `ms`.
    pub(crate) fn run_until(&mut self, ms: u64, holds: impl Fn(&Self) -> bool) {
        let end = self.now + Duration::from_millis(ms);
        assert!(self.run(end, holds), "it did not come true within {ms} ms:\n{}", self.report());
    }

    pub(crate) fn report(&self) -> String {
        let waits: Vec<_> =
            self.running().iter().map(|me| format!("{me}: {}", self.waiting_for(*me))).collect();
        format!("{}\nstory:\n{}\nrun: {:?}", waits.join("\n"), self.story.join("\n"), self.truth.run)
    }

    // What a test asks of it.

    pub(crate) fn published(&self) -> usize {
        self.truth.run.as_ref().map_or(0, |run| run.published.len())
    }

    pub(crate) fn waiting_for(&self, me: MemberId) -> String {
        self.look(me, |view, rounds| rounds.waiting_for(view, self.now))
    }

    pub(crate) fn at_boundary(&self, me: MemberId) -> bool {
        self.look(me, |view, rounds| rounds.at_boundary(view))
    }

    fn look<T>(&self, me: MemberId, ask: impl FnOnce(&rafty_rounds::View<'_>, &Rounds) -> T) -> T {
        let member = &self.members[&me];
        let (silent, runs_for) = (self.silent(), self.runs_for());
        with_view(&member.state, me, self.is_mine(me), &silent, &runs_for, |view| ask(view, &member.rounds))
    }

    pub(crate) fn running(&self) -> BTreeSet<MemberId> {
        self.members.iter().filter(|(_, member)| member.process != 0).map(|(id, _)| *id).collect()
    }

    /// Who does not run, and for how long.
    fn silent(&self) -> BTreeMap<MemberId, Duration> {
        let stopped = self.members.iter().filter(|(_, member)| member.process == 0);
        let since =
            |id| self.stopped.get(id).map_or(Duration::MAX, |since| self.now.saturating_since(*since));
        stopped.map(|(id, _)| (*id, since(id))).collect()
    }

    fn runs_for(&self) -> BTreeMap<MemberId, Duration> {
        self.started.iter().map(|(id, since)| (*id, self.now.saturating_since(*since))).collect()
    }

    // How it goes round.

    fn run(&mut self, end: Time, holds: impl Fn(&Self) -> bool) -> bool {
        for _ in 0..MAX_EVENTS {
            if holds(self) {
                return true;
            }
            let due = self.members.iter().filter(|(_, member)| member.process != 0);
            let tick = due.filter_map(|(id, member)| Some((member.rounds.deadline()?, *id))).min();
            let event = self.agenda.first_key_value().map(|((at, _), _)| *at);
            match (event, tick) {
                (Some(at), tick) if at <= end && tick.is_none_or(|(tick, _)| at <= tick) => {
                    self.now = at;
                    let (_, (to, what)) = self.agenda.pop_first().expect("just seen");
                    self.happen(to, what);
                }
                (_, Some((tick, to))) if tick <= end => {
                    self.now = tick;
                    self.handle(to, Input::Tick);
                }
                _ => return false,
            }
        }
        panic!("the world goes round and round:\n{}", self.report());
    }

    fn happen(&mut self, to: MemberId, what: Happening) {
        let process = self.members[&to].process;
        match what {
            _ if process == 0 => {}
            Happening::Apply => self.apply(to),
            Happening::Frame { from, frame } => self.handle(to, Input::Frame { from, frame }),
            Happening::Envelope { from, envelope } => {
                let (label, for_me) = (envelope.label.clone(), envelope.recipients.contains(&to));
                let is_judged = for_me && self.heads_are_judged;
                if is_judged && !self.look(to, |view, rounds| rounds.would_take(view, from, &label)) {
                    return;
                }
                let handle = self.members.get_mut(&to).expect("a member").shell.spool(envelope);
                self.handle(to, Input::Envelope { from, label, for_me, handle });
            }
            Happening::Work { process: of, id, work } if of == process => self.work(to, id, work),
            Happening::Lost { process: of, id } if of == process => {
                self.handle(to, Input::ProposalLost { id })
            }
            Happening::Work { .. } | Happening::Lost { .. } => {}
        }
    }

    fn append(&mut self, origin: MemberId, command: ControlCommand, proposal: Option<(u32, ProposalId)>) {
        if let Err(why) = self.truth.apply(origin, &command) {
            self.story.push(format!("log: {} of {origin} rejected: {why}", story::command(&command)));
        } else {
            self.story.push(format!("log: {}", story::command(&command)));
            self.check_publication(&command);
        }
        self.log.push(Entry { origin, command, proposal });
        self.everyone_sees();
    }

    /// A version that is committed must be on the disks of a majority of voters, and be made of what it counts.
    fn check_publication(&self, command: &ControlCommand) {
        let ControlCommand::RoundPublished(publication) = command else { return };
        let voters: Vec<_> = self.truth.members.iter().filter(|member| member.seat).collect();
        let holds =
            |voter: &&&MemberRecord| self.members[&voter.id].shell.disk.models.contains(&publication.model);
        assert!(voters.iter().filter(holds).count() * 2 > voters.len(), "{publication:?} can be lost");
        let counted = publication.counted.iter().map(|(member, digest)| (member, digest));
        assert_eq!(publication.model, crate::shell::model_of(counted), "counted is not what was combined");
    }

    /// Everyone learns of new entries or of members that came or went, each in its own time.
    fn everyone_sees(&mut self) {
        for to in self.running() {
            let (low, high) = self.rates.latency;
            let after = if self.leader == Some(to) { 0 } else { self.draw(low, high) };
            self.schedule(after, to, Happening::Apply);
        }
    }

    fn apply(&mut self, me: MemberId) {
        let mut rejected = Vec::new();
        let member = self.members.get_mut(&me).expect("a member");
        for entry in &self.log[member.applied..] {
            let result = member.state.apply(entry.origin, &entry.command);
            if let (Err(why), Some((process, id))) = (result, entry.proposal)
                && (entry.origin, process) == (me, member.process)
            {
                rejected.push(Input::ProposalRejected { id, why });
            }
        }
        member.applied = self.log.len();
        rejected.into_iter().for_each(|input| self.handle(me, input));
        self.handle(me, Input::Applied);
    }

    fn is_mine(&self, me: MemberId) -> bool {
        let member = &self.members[&me];
        self.leader == Some(me) && member.leads == Some(member.process)
    }

    fn handle(&mut self, me: MemberId, input: Input) {
        let (mine, silent, runs_for, now) = (self.is_mine(me), self.silent(), self.runs_for(), self.now);
        let Some(member) = self.members.get_mut(&me).filter(|member| member.process != 0) else { return };
        let Member { rounds, state, .. } = member;
        let outputs = with_view(state, me, mine, &silent, &runs_for, |view| rounds.handle(now, view, input));
        assert!(rounds.deadline().is_none_or(|at| at > now), "member {me} has a deadline that has passed");
        outputs.into_iter().for_each(|output| self.perform(me, output));
    }

    fn perform(&mut self, me: MemberId, output: Output) {
        match output {
            Output::Propose { id, command } => self.propose(me, id, *command),
            Output::Work { id, work } => self.order(me, id, *work),
            Output::Broadcast { envelope } => {
                self.members.keys().copied().collect::<Vec<_>>().into_iter().for_each(|to| {
                    self.send(me, to, envelope);
                });
            }
            Output::SendTo { member, envelope } => self.send(me, member, envelope),
            Output::Frame { to, frame } => {
                if matches!(frame, Frame::Announce { .. }) {
                    self.announced.push((me, self.now));
                }
                let everyone = || self.members.keys().copied().collect();
                let receivers: Vec<_> = to.map_or_else(everyone, |to| vec![to]);
                receivers.into_iter().for_each(|to| self.send_frame(me, to, &frame));
            }
            Output::DropEnvelope(handle) | Output::WithdrawEnvelope(handle) => {
                self.members.get_mut(&me).expect("a member").shell.drop_envelope(handle);
            }
            Output::Event(event) => self.story.extend(story::event(me, &event)),
        }
    }

    fn propose(&mut self, me: MemberId, id: ProposalId, command: ControlCommand) {
        let process = self.members[&me].process;
        if self.leader == Some(me) && !self.chance(self.rates.lose_proposal) {
            self.append(me, command, Some((process, id)));
        } else {
            self.schedule(1, me, Happening::Lost { process, id });
        }
    }

    /// A worker takes an order; it may overtake others.
    fn order(&mut self, me: MemberId, id: WorkId, work: Work) {
        let (low, high) = self.rates.work;
        let slow = self.training_ms.get(&me).filter(|_| matches!(work, Work::Train { .. })).copied();
        let after = slow.unwrap_or_else(|| self.draw(low, high));
        let member = self.members.get_mut(&me).expect("a member");
        if matches!(work, Work::Train { .. }) {
            member.shell.training = Some(id);
        }
        let process = member.process;
        self.schedule(after, me, Happening::Work { process, id, work });
    }

    fn work(&mut self, me: MemberId, order: WorkId, work: Work) {
        let training = &mut self.members.get_mut(&me).expect("a member").shell.training;
        match work {
            Work::Train { .. } if *training != Some(order) => return, // it was stopped
            Work::Train { .. } => *training = None,
            Work::StopTraining { order: stopped } if *training == Some(stopped) => {
                *training = None;
                let result = WorkResult::Failed("training was cancelled".into());
                self.handle(me, Input::WorkDone { order: stopped, result });
            }
            _ => {}
        }
        let deletes =
            matches!(work, Work::ForgetAttempt { .. } | Work::DropUpdate { .. } | Work::DropModels { .. });
        let result = if self.chance(self.rates.fail_work) && !deletes {
            WorkResult::Failed("the disk is full".into())
        } else {
            self.members.get_mut(&me).expect("a member").shell.perform(work)
        };
        self.handle(me, Input::WorkDone { order, result });
    }

    fn send(&mut self, from: MemberId, to: MemberId, handle: EnvelopeHandle) {
        let envelope =
            self.members[&from].shell.spool.get(&handle).expect("sent before it was dropped").clone();
        for after in self.copies(from, to) {
            self.schedule(after, to, Happening::Envelope { from, envelope: envelope.clone() });
        }
    }

    fn send_frame(&mut self, from: MemberId, to: MemberId, frame: &Frame) {
        if (self.censor)(from, to, frame) {
            return;
        }
        for after in self.copies(from, to) {
            self.schedule(after, to, Happening::Frame { from, frame: frame.clone() });
        }
    }

    /// After how long each copy of a message arrives; none when it is lost.
    fn copies(&mut self, from: MemberId, to: MemberId) -> Vec<u64> {
        if from == to {
            return vec![0];
        }
        let (low, high) = self.rates.latency;
        let copies = match (self.chance(self.rates.lose), self.chance(self.rates.repeat)) {
            (true, _) => 0,
            (false, true) => 2,
            (false, false) => 1,
        };
        (0..copies).map(|_| self.draw(low, high)).collect()
    }
}

/// A key of its own for each number; nobody has the other half.
pub(crate) fn rsa_key(number: u64) -> Vec<u8> {
    let mut modulus = [0xff; 256];
    modulus[1..9].copy_from_slice(&number.to_be_bytes());
    rafty_types::rsa_public_der(&modulus)
}

fn record(number: u64, role: MemberKind, may_lead: bool) -> MemberRecord {
    MemberRecord { id: id(number), role, may_lead, seat: may_lead, key: rsa_key(number) }
}
