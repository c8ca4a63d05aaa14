//! Members, the network between them and the people who use them, event by event in virtual time.
//!
//! All choices come from one seed. The world decides nothing for a member: it brings what happens to it and does what
//! it says, as the shipping shell does.

mod asking;
mod backups;
mod clients;
mod false_envelopes;
mod false_voices;
mod founding;
mod happening;
mod lies;
mod perform;
mod strike;
mod transfers;
mod twins;
mod ways;

pub use clients::Client;
pub use false_envelopes::FALSE_BODY;
pub use founding::LONG_MS;
pub use happening::Happening;
pub use lies::{FORGED, FORGED_PLACE, FORGED_TOKEN};
pub use transfers::InParts;
use twins::Twin;
pub use ways::{Finding, Way};

use crate::agenda::Agenda;
use crate::faults::Fault;
use crate::history::History;
use crate::invariants::{Invariants, elapsed_time_is_real};
use crate::links::Links;
use crate::member::{Device, Member, Process, RIGHT, SOUND};
use crate::network::Network;
use crate::rates::{FAIR, FaultRates};
use crate::rng::SimRng;
use crate::tally::{Evil, Sometimes, Tally};
use crate::trace::Trace;
use rafty_node::{Answer, Input, RequestId};
use rafty_types::{ClusterId, Enrolment, Index, MemberId, MemberKind, SetId, Settings, Term, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a loop is busy, in milliseconds.
const BUSY: (u64, u64) = (0, 8);
/// Ticks that a member may take at one instant.
const MAX_IDLE_TICKS: u32 = 50;
/// As long as that without a leader is worth a note.
const LONG_WITHOUT_LEADER: Duration = ms(10_000);

/// Something happens to the world.
enum Turn {
    Strikes(Fault),
    Starts(MemberId),
    Arrives(MemberId),
    Resumes(MemberId),
    Opens(Vec<(MemberId, MemberId)>),
    Clears,
    Mends(MemberId, fn(&mut Device)),
    ClockIsRight(MemberId),
    LeadsAgain(MemberId),
    ReEnrols(MemberId),
    Dies(MemberId, u64, Duration),
    JoinsAnew(MemberId),
    Alternates(MemberId),
    TwinEnds(MemberId),
    ClientWakes(usize),
    ClientGivesUp(usize, RequestId),
}

enum Event {
    Member(MemberId, u64, Box<Happening>),
    World(Turn),
}

/// Who waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PendingReply {
    /// The script.
    Script,
    /// A simulated client.
    Client(usize),
    /// A member that lost its log.
    ReEnrols(MemberId),
    /// A newcomer.
    Newcomer(usize),
}

/// Everything there is.
pub struct World {
    /// The world's time.
    pub now: Time,
    /// Everybody that ever was a member, halted ones too.
    pub members: BTreeMap<MemberId, Member>,
    /// All choices.
    pub rng: SimRng,
    /// The fault rates now.
    pub rates: FaultRates,
    /// Which ways are closed.
    pub network: Network,
    /// Which links are slow.
    pub links: Links,
    /// What must hold.
    pub invariants: Invariants,
    /// What happened.
    pub tally: Tally,
    /// The answers that scripts wait for.
    pub answers: BTreeMap<RequestId, Answer>,
    /// How often a command was forwarded.
    pub forwards: usize,
    /// Snapshots that arrived.
    pub snapshots: usize,
    /// What members dropped as senseless.
    pub dropped: Vec<(MemberId, String)>,
    /// Settings of the peer set.
    pub settings: Settings,
    /// Its id and epoch.
    pub set: SetId,
    /// Who uses the dictionary.
    pub clients: Vec<Client>,
    /// What they did to registers.
    pub history: History,
    /// What is told of it.
    pub trace: Trace,
    /// Frames pass through their bytes.
    pub through_bytes: bool,
    /// The chance in a hundred that a newcomer is a device.
    pub devices: u64,
    /// What helps members that have lost each other; `None` where nobody moves, and nobody need be found.
    pub finding: Option<Finding>,
    /// How often somebody came to another address.
    moves: u32,
    /// Whether everything works again for good.
    healed: bool,
    /// Whom each request was asked, as member and process, and who waits for its answer.
    waiting: BTreeMap<RequestId, ((MemberId, u64), PendingReply)>,
    newcomers: Vec<Option<founding::Newcomer>>,
    restarts: BTreeSet<MemberId>,
    /// Whom somebody wanted to be sent away.
    sent_away: BTreeSet<MemberId>,
    agenda: Agenda<Event>,
    /// When running members must be told the time next.
    due: BTreeMap<MemberId, Time>,
    counter: u64,
    digest: u64,
    leaderless_since: Option<Time>,
    /// Members with higher ids came later.
    founded_at: Index,
    /// How much time had passed for the peer set when this world began, in milliseconds.
    elapsed_before_ms: u64,
    /// Members of which two run.
    twins: BTreeMap<MemberId, Twin>,
    /// The one member that names terms far ahead.
    names_far_terms: Option<MemberId>,
    /// What liars keep of members that wanted to come back.
    kept_returns: Vec<Enrolment>,
    /// The copy of a lone voter asks, and until when nothing strikes.
    calm: Option<(MemberId, Time)>,
    /// Whether a member's outputs are being done.
    performing: bool,
}

/// So many milliseconds.
pub const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

impl World {
    /// A world without members.
    pub fn new(seed: u64, settings: Settings) -> Self {
        settings.validate().expect("settings that members accept");
        // All members of a set check the same signatures.
        rafty_types::verify_cache::enable();
        Self {
            now: Time::ZERO,
            members: BTreeMap::new(),
            rng: SimRng::new(seed, 0),
            rates: FAIR,
            network: Network::default(),
            links: Links::default(),
            invariants: Invariants::default(),
            tally: Tally::default(),
            answers: BTreeMap::new(),
            forwards: 0,
            snapshots: 0,
            dropped: Vec::new(),
            settings,
            set: SetId::first(ClusterId([7; 16])),
            clients: Vec::new(),
            history: History::default(),
            trace: Trace::default(),
            through_bytes: false,
            devices: 0,
            finding: None,
            moves: 0,
            healed: false,
            waiting: BTreeMap::new(),
            newcomers: Vec::new(),
            restarts: BTreeSet::new(),
            sent_away: BTreeSet::new(),
            agenda: Agenda::default(),
            due: BTreeMap::new(),
            counter: 0,
            digest: 0,
            leaderless_since: None,
            founded_at: Index(0),
            elapsed_before_ms: 0,
            twins: BTreeMap::new(),
            names_far_terms: None,
            kept_returns: Vec::new(),
            calm: None,
            performing: false,
        }
    }

    /// Everything that happened, in one number: the same for the same seed.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// Starts a member, unless it runs.
    pub fn start(&mut self, id: MemberId) {
        let Some(member) = self.members.get_mut(&id) else { return };
        if member.disk.incarnations.diverged.is_some() && !member.disk.damaged && member.halted.is_none() {
            return self.stops_diverged(id);
        }
        let names = self.finding == Some(Finding::Names);
        if member.start(self.now, &self.settings, names, &mut self.rng) {
            self.invariants.started(id, member.process());
            for other in self.members.values_mut().filter_map(|member| member.process.as_mut()) {
                // Nothing that comes half-way is known to the process that starts.
                other.is_dialled_by(id);
            }
            self.note_due(id);
            self.trace.note(self.now, || format!("{id} starts"));
            let first = self.rng.ms((0, 1_000));
            self.schedule(first, id, Happening::LooksAround);
        }
    }

    /// Power loss. The others notice after a while, as connections do.
    pub fn kill(&mut self, id: MemberId) {
        let Some(member) = self.members.get(&id) else { return };
        let epoch = member.epoch;
        self.sent_in_parts_breaks(id, |_| true);
        let (arrived, lost) = self.members.get_mut(&id).expect("a member").kill(&mut self.rng);
        self.due.remove(&id);
        arrived.iter().for_each(|batch| self.invariants.logs.synced(id, batch));
        (0..lost).for_each(|_| self.tally.evil(Evil::Unsynced));
        self.trace.note(self.now, || format!("{id} loses power, and {lost} batches with it"));
        for other in self.running() {
            let after = self.rng.ms((10, 1_000));
            self.schedule(after, other, Happening::Unreachable(id));
        }
        self.requests_are_lost(id, epoch);
    }

    /// Closes the ways between two members.
    pub fn cut(&mut self, one: MemberId, other: MemberId) {
        self.network.part(&[one], &[other]);
    }

    /// Everything works again.
    pub fn heal(&mut self) {
        self.network.heal();
        self.links.heal();
        (self.rates, self.healed) = (FAIR, true);
        self.twins.keys().copied().collect::<Vec<_>>().into_iter().for_each(|id| self.end_twin(id));
        for id in self.members.keys().copied().collect::<Vec<_>>() {
            self.resume(id);
            let member = self.members.get_mut(&id).expect("a member");
            (member.device, member.away) = (SOUND, false);
            self.set_clock(id, RIGHT);
            self.start_unless_unfindable(id);
        }
    }

    // How it goes on.

    /// Runs for a while.
    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.step(end) {}
        self.now = end;
    }

    /// Runs until `done`.
    ///
    /// # Panics
    /// When that takes longer than `limit`.
    pub fn run_until(&mut self, what: &str, limit: Duration, done: impl Fn(&Self) -> bool) {
        let end = self.now + limit;
        while !done(self) {
            assert!(self.step(end), "liveness: not within {limit:?}: {what}\n{}", self.report());
        }
    }

    /// One event or deadline, unless it lies beyond `end`.
    fn step(&mut self, end: Time) -> bool {
        let tick = self.due.iter().map(|(id, at)| (*at, *id)).min();
        let event = self.agenda.next_at();
        match (event, tick) {
            (Some(at), tick) if at <= end && tick.is_none_or(|(tick, _)| at <= tick) => {
                self.now = self.now.max(at);
                match self.agenda.take_next().expect("just seen") {
                    Event::Member(to, epoch, what) => self.happen(to, epoch, *what),
                    Event::World(turn) => self.turn(turn),
                }
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
        self.now = self.now.max(at);
        let process = self.members.get_mut(&id).expect("a member").process();
        process.idle_ticks = if process.ticked_at == Some(at) { process.idle_ticks + 1 } else { 0 };
        process.ticked_at = Some(at);
        assert!(process.idle_ticks < MAX_IDLE_TICKS, "no spin: member {id} wants the time again and again");
        self.say(id, Input::Tick);
    }

    fn schedule(&mut self, after: Duration, to: MemberId, what: Happening) {
        let Some(member) = self.members.get(&to) else { return };
        self.counter += 1;
        let event = Event::Member(to, member.epoch, Box::new(what));
        self.agenda.plan(self.now + after, self.counter, event);
    }

    fn later(&mut self, after: Duration, turn: Turn) {
        self.counter += 1;
        self.agenda.plan(self.now + after, self.counter, Event::World(turn));
    }

    /// Lets a fault strike at its time.
    pub fn plan(&mut self, at: Time, fault: Fault) {
        self.later(at.saturating_since(self.now), Turn::Strikes(fault));
    }

    fn turn(&mut self, turn: Turn) {
        match turn {
            Turn::Strikes(_) if self.is_calm() => {}
            Turn::Strikes(fault) => self.strike(fault),
            Turn::Starts(id) => {
                self.restarts.remove(&id);
                self.start_unless_unfindable(id);
            }
            Turn::Arrives(id) => self.arrives(id),
            Turn::Resumes(id) => self.resume(id),
            Turn::Opens(ways) => ways.into_iter().for_each(|(from, to)| self.network.open(from, to)),
            Turn::Clears => self.rates = FAIR,
            Turn::Mends(id, mend) => {
                self.members.get_mut(&id).into_iter().for_each(|member| mend(&mut member.device));
            }
            Turn::ClockIsRight(id) => self.set_clock(id, RIGHT),
            Turn::LeadsAgain(id) => self.say(id, Input::Retire(false)),
            Turn::ReEnrols(id) => self.re_enrol(id, id),
            Turn::Dies(id, epoch, down) => self.dies(id, epoch, down),
            Turn::JoinsAnew(id) => self.joins_anew(id),
            Turn::Alternates(id) => self.next_turn(id),
            Turn::TwinEnds(id) => self.end_twin(id),
            Turn::ClientWakes(client) => self.client_wakes(client),
            Turn::ClientGivesUp(client, request) => self.client_gives_up(client, request),
        }
    }

    /// Tells a member what happened, and does what it says.
    pub fn say(&mut self, id: MemberId, input: Input) {
        let Some(process) = self.members.get_mut(&id).and_then(|member| member.process.as_mut()) else {
            return;
        };
        if !process.inbox.is_empty() || process.paused.is_some() {
            process.inbox.push(input);
        } else if self.performing {
            // What a member says may lead to something for it or another; that waits until all is done.
            process.inbox.push(input);
            self.note_due(id);
            self.schedule(Duration::ZERO, id, Happening::Free);
        } else if self.rng.percent(self.rates.busy) {
            process.inbox.push(input);
            self.note_due(id);
            let after = self.rng.ms(BUSY);
            self.schedule(after, id, Happening::Free);
        } else {
            self.accept(id, vec![input]);
        }
    }

    fn accept(&mut self, id: MemberId, mut inputs: Vec<Input>) {
        while !inputs.is_empty() {
            let Some(process) = self.members.get_mut(&id).and_then(|member| member.process.as_mut()) else {
                return;
            };
            self.trace.inputs(self.now, id, &inputs);
            let outputs = process.node.handle_all(process.local(self.now), std::mem::take(&mut inputs));
            self.note_due(id);
            self.mix(id.0, outputs.len() as u64);
            self.performing = true;
            for output in outputs {
                inputs.extend(self.perform(id, output));
            }
            self.performing = false;
            self.look_at(id);
        }
    }

    /// Finds when a member must be told the time next.
    fn note_due(&mut self, id: MemberId) {
        match self.members.get(&id).and_then(|member| member.process.as_ref()?.due()) {
            Some(at) => self.due.insert(id, at),
            None => self.due.remove(&id),
        };
    }

    /// Checks what can be seen of a member now.
    fn look_at(&mut self, id: MemberId) {
        let Some(process) = self.members.get_mut(&id).and_then(|member| member.process.as_mut()) else {
            return;
        };
        note_seats(process, self.founded_at, &mut self.tally);
        let (led, was_joint, term) =
            (process.seen.led, process.seen.membership.is_joint(), process.seen.term);
        self.invariants.stepped(id, process);
        elapsed_time_is_real(self.now, self.elapsed_before_ms, id, process);
        if led == process.seen.led {
            return;
        }
        if led {
            self.note_lost_leader(id, term, was_joint);
        }
        let (since, nobody) = (self.leaderless_since.take(), self.leader().is_none());
        self.leaderless_since = since.or(nobody.then_some(self.now)).filter(|_| nobody);
        if since.is_some_and(|since| self.now.saturating_since(since) > LONG_WITHOUT_LEADER) {
            self.tally.saw(Sometimes::QuorumLost);
        }
    }

    /// A member does not lead any more.
    fn note_lost_leader(&mut self, id: MemberId, term: Term, was_joint: bool) {
        let process = self.members.get_mut(&id).expect("a member").process();
        let tenure = process.node.state().control().tenure().map(|tenure| tenure.term);
        if process.handed_over != Some(term) {
            self.tally.saw(Sometimes::LeaderOverthrown);
        }
        if tenure < Some(term) {
            self.tally.saw(Sometimes::TermWithoutTenure);
        }
        if was_joint {
            self.tally.saw(Sometimes::JointLeaderLost);
        }
    }

    fn mix(&mut self, what: u64, more: u64) {
        let seen = self.now.elapsed().as_nanos() as u64 ^ what.rotate_left(48) ^ more.rotate_left(32);
        self.digest = (self.digest.rotate_left(5) ^ seen).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

/// Notes a leader's view of who came to vote and who does not any more.
fn note_seats(process: &Process, founded_at: Index, tally: &mut Tally) {
    let (before, now) = (&process.seen.membership, process.node.consensus().membership());
    if !process.seen.led || before.voters == now.voters {
        return;
    }
    let control = process.node.state().control();
    let came = now.voters.iter().filter(|id| !before.voters.contains(id));
    let (came, gone): (Vec<_>, Vec<_>) =
        (came.collect(), before.voters.iter().filter(|id| !now.voters.contains(id)).collect());
    if came.iter().any(|id| id.0 > founded_at.0) {
        tally.saw(Sometimes::NewcomerVotes);
    }
    let has_role = |ids: &[&MemberId], role| {
        ids.iter().any(|id| control.member(**id).is_some_and(|member| member.role == role))
    };
    if has_role(&came, MemberKind::Agent) {
        tally.saw(Sometimes::DeviceVotes);
    }
    if has_role(&came, MemberKind::Operator) && has_role(&gone, MemberKind::Agent) {
        tally.saw(Sometimes::SeatToLaptop);
    }
    let learns = |id: &&&MemberId| control.member(***id).is_some();
    if let (false, Some(gone)) = (came.is_empty(), gone.iter().find(learns)) {
        let silent = control.silent_since_ms(**gone).is_some();
        tally.saw(if silent { Sometimes::VoterReplaced } else { Sometimes::SeatRotated });
    }
}
