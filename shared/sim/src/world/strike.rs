//! Faults, when their time has come.

use super::{Turn, World, ms};
use crate::faults::{Fault, Who};
use crate::member::{Device, Member};
use crate::observer::rotted;
use crate::rates::FaultRates;
use crate::tally::{Evil, Sometimes};
use crate::{network::Network, rng::SimRng};
use rafty_node::Input;
use rafty_types::{ControlCommand, Index, MemberId, MemberKind};
use std::collections::BTreeSet;
use std::time::Duration;

/// After how long a device is made sound again, and how.
type Mend = (Duration, fn(&mut Device));

/// Training takes so many times as long as a tenure and its grace, when it is slow.
const SLOW_TIMES: u32 = 10;
/// When somebody brings a member back whose state has diverged, in milliseconds.
const COMES_BACK_AFTER: (u64, u64) = (0, 10_000);
/// When a device that dies in every round does so, in milliseconds from its opening.
const DIES_AFTER: (u64, u64) = (0, 3_000);

impl World {
    pub(super) fn strike(&mut self, fault: Fault) {
        self.trace.note(self.now, || format!("{fault:?}"));
        match fault {
            Fault::Crash { who, lasts } => self.crash(who, lasts),
            Fault::CrashAll { lasts } => self.crash_all(lasts),
            Fault::Pause { who, lasts, asleep } => self.pause(who, lasts, asleep),
            Fault::Partition { sides, lasts } => self.partition(sides, lasts),
            Fault::OneWay { from, to, lasts } => self.one_way(from, to, lasts),
            Fault::Deaf { who, hears, lasts } => self.deafen(who, hears, lasts),
            Fault::FaultRates { seed, lasts } => self.weather_turns(seed, lasts),
            Fault::Transfer { from, to } => {
                if let (Some(from), Some(to)) = (self.who(from), self.who(to)) {
                    self.tally.evil(Evil::Transfer);
                    self.say(from, Input::Transfer(to));
                }
            }
            Fault::Retire { who, lasts } => self.retire(who, lasts),
            Fault::Flip { who, down } => self.damage(who, down, Evil::Flip),
            Fault::Wipe { who, down } => self.damage(who, down, Evil::Wipe),
            Fault::Backup => self.back_up(),
            Fault::PutBack { who, which, raw, down } => self.put_back(who, which, raw, down),
            Fault::Twin { who, which, raw, lasts } => self.start_twin(who, which, raw, lasts),
            Fault::Rot { who, down } => self.rot(who, down),
            Fault::Join { at } => self.newcomer_joins(at),
            Fault::Revoke { at, who } => self.revoke(at, who),
            Fault::StopRun { at } => self.stop_run(at),
            Fault::Move { who, away } => self.moves(who, away),
            Fault::MoveAll { away } => self.move_all(away),
            Fault::Rebind { who } => self.rebind(who),
            Fault::SlowLink { who, bytes_per_ms, lasts } => {
                let Some(id) = self.who(who) else { return };
                self.link_is_slow(id, bytes_per_ms, lasts);
            }
            Fault::SlowLinks { bytes_per_ms, lasts } => self.links_are_slow(bytes_per_ms, lasts),
            Fault::Knocks { at, times } => self.strangers_knock(at, times),
            Fault::Forges { who, seed } => self.lies(who, seed),
            device => self.device(device),
        }
    }

    /// What befalls a device without stopping it.
    fn device(&mut self, fault: Fault) {
        match fault {
            Fault::ClockRate { who, rate, lasts } => self.clock_goes(who, rate, lasts),
            Fault::WallJump { who, ms } => {
                let strike = |device: &mut Device| device.wall_wrong_ms = ms;
                self.for_device(Evil::WallJump, who, None, strike);
            }
            Fault::SlowDisk { who, times, lasts } => {
                let mend: Mend = (lasts, |device| device.slow_disk = 1);
                self.for_device(Evil::SlowDisk, who, Some(mend), |device| device.slow_disk = times);
            }
            Fault::DiskError { who, lasts } => {
                let until = self.now + lasts;
                let strike =
                    |device: &mut Device| device.disk_fails_until = device.disk_fails_until.max(until);
                self.for_device(Evil::DiskError, who, None, strike);
            }
            Fault::SlowTraining { who, lasts } => {
                let longer = (self.settings.tenure + self.settings.grace) * SLOW_TIMES;
                let mend: Mend = (lasts, |device| device.slow_training = Duration::ZERO);
                let strike = |device: &mut Device| device.slow_training = longer;
                self.for_device(Evil::SlowTraining, who, Some(mend), strike);
            }
            Fault::Lie { who, flaw, lasts } => {
                let mend: Mend = (lasts, |device| device.lies = None);
                self.for_device(Evil::Lie, who, Some(mend), |device| device.lies = Some(flaw));
            }
            Fault::Replay { who, lasts } => {
                let mend: Mend = (lasts, |device| device.replays = false);
                self.for_device(Evil::Replay, who, Some(mend), |device| device.replays = true);
            }
            Fault::DiesInRounds { who, down, lasts } => {
                let mend: Mend = (lasts, |device| device.dies_in_rounds = None);
                let strike = |device: &mut Device| device.dies_in_rounds = Some(down);
                self.for_device(Evil::DiesInRound, who, Some(mend), strike);
            }
            Fault::Withholds { who, lasts } => {
                let mend: Mend = (lasts, |device| device.withholds = false);
                self.for_device(Evil::Withheld, who, Some(mend), |device| device.withholds = true);
            }
            other => unreachable!("{other:?} has its own way"),
        }
    }

    /// Does something to a device, and undoes it after a while.
    fn for_device(&mut self, evil: Evil, who: Who, mend: Option<Mend>, strike: impl FnOnce(&mut Device)) {
        let Some(id) = self.who(who) else { return };
        self.tally.evil(evil);
        strike(&mut self.members.get_mut(&id).expect("it runs").device);
        if let Some((lasts, mend)) = mend {
            self.later(lasts, Turn::Mends(id, mend));
        }
    }

    fn clock_goes(&mut self, who: Who, rate: u64, lasts: Duration) {
        let Some(id) = self.who(who) else { return };
        self.tally.evil(Evil::ClockRate);
        self.set_clock(id, rate);
        self.later(lasts, Turn::ClockIsRight(id));
    }

    pub(super) fn set_clock(&mut self, id: MemberId, rate: u64) {
        let now = self.now;
        let Some(member) = self.members.get_mut(&id) else { return };
        member.device.clock_rate = rate;
        if let Some(process) = &mut member.process {
            process.clock.set_rate(now, rate);
        }
        self.note_due(id);
    }

    /// All links carry no more than this for a while.
    pub fn links_are_slow(&mut self, bytes_per_ms: u64, lasts: Duration) {
        for id in self.members.keys().copied().collect::<Vec<_>>() {
            self.link_is_slow(id, bytes_per_ms, lasts);
        }
    }

    fn link_is_slow(&mut self, id: MemberId, bytes_per_ms: u64, lasts: Duration) {
        self.tally.evil(Evil::SlowLink);
        self.links.slow_down(id, bytes_per_ms, self.now, self.now + lasts);
    }

    /// Whom a fault hits: a running member.
    pub(super) fn who(&mut self, who: Who) -> Option<MemberId> {
        let running = self.running();
        match who {
            Who::Leader => self.leader().or(running.first().copied()),
            Who::Some(number) => running.get((number % running.len().max(1) as u64) as usize).copied(),
        }
    }

    fn crash(&mut self, who: Who, lasts: Duration) {
        let Some(id) = self.who(who) else { return };
        self.tally.evil(Evil::Crash);
        self.kill(id);
        self.start_later(lasts, id);
        if self.running().len() == 1 {
            self.tally.saw(Sometimes::LoneSurvivor);
        }
    }

    /// A round has opened for a member that dies in every one.
    pub(super) fn dies_in_round(&mut self, id: MemberId) {
        let down = self.members[&id].device.dies_in_rounds;
        if let Some(down) = down.filter(|_| !self.restarts.contains(&id)) {
            let after = self.rng.ms(DIES_AFTER);
            self.later(after, Turn::Dies(id, self.members[&id].epoch, down));
        }
    }

    pub(super) fn dies(&mut self, id: MemberId, epoch: u64, down: Duration) {
        let member = self.members.get(&id).filter(|member| member.epoch == epoch);
        if self.runs(id) && member.is_some_and(|member| member.device.dies_in_rounds.is_some()) {
            self.tally.evil(Evil::DiesInRound);
            self.kill(id);
            self.start_later(down, id);
        }
    }

    fn crash_all(&mut self, lasts: Duration) {
        self.tally.evil(Evil::CrashAll);
        for id in self.running() {
            self.kill(id);
            let after = lasts + self.rng.ms((0, 2_000));
            self.start_later(after, id);
        }
    }

    fn pause(&mut self, who: Who, lasts: Duration, asleep: bool) {
        let Some(id) = self.who(who) else { return };
        let now = self.now;
        let Some(process) = self.members.get_mut(&id).and_then(|member| member.process.as_mut()) else {
            return;
        };
        if process.paused.is_none() {
            process.paused = Some((now, asleep));
            self.note_due(id);
            self.tally.evil(if asleep { Evil::Sleep } else { Evil::Pause });
            self.later(lasts, Turn::Resumes(id));
        }
    }

    fn partition(&mut self, sides: u64, lasts: Duration) {
        let everyone: Vec<_> = self.members.keys().copied().collect();
        let is_left = |position: &usize| sides >> (position % 64) & 1 == 1;
        let (left, right): (Vec<_>, Vec<_>) = (0..everyone.len()).partition(is_left);
        let name = |side: Vec<usize>| side.into_iter().map(|at| everyone[at]).collect::<Vec<_>>();
        let (left, right) = (name(left), name(right));
        if left.is_empty() || right.is_empty() {
            return;
        }
        self.tally.evil(Evil::Partition);
        self.network.part(&left, &right);
        let ways = Network::ways(&left, &right).chain(Network::ways(&right, &left)).collect();
        self.later(lasts, Turn::Opens(ways));
    }

    fn one_way(&mut self, from: Who, to: Who, lasts: Duration) {
        if let (Some(from), Some(to)) = (self.who(from), self.who(to))
            && from != to
        {
            self.tally.evil(Evil::OneWay);
            self.network.close(from, to);
            self.later(lasts, Turn::Opens(vec![(from, to)]));
        }
    }

    fn deafen(&mut self, who: Who, hears: bool, lasts: Duration) {
        let Some(id) = self.who(who) else { return };
        self.tally.evil(Evil::OneWay);
        let others: Vec<_> = self.members.keys().copied().filter(|other| *other != id).collect();
        let ways: Vec<_> =
            others.iter().map(|other| if hears { (id, *other) } else { (*other, id) }).collect();
        ways.iter().for_each(|(from, to)| self.network.close(*from, *to));
        self.later(lasts, Turn::Opens(ways));
    }

    fn weather_turns(&mut self, seed: u64, lasts: Duration) {
        self.tally.evil(Evil::Foul);
        self.rates = FaultRates::foul(&mut SimRng::new(seed, 1));
        self.later(lasts, Turn::Clears);
    }

    fn retire(&mut self, who: Who, lasts: Duration) {
        let Some(id) = self.who(who) else { return };
        self.tally.evil(Evil::Retire);
        self.say(id, Input::Retire(true));
        self.later(lasts, Turn::LeadsAgain(id));
    }

    /// A member's log is damaged or gone. It is never done to so many that a majority is without its memory: no
    /// system could keep a promise then.
    fn damage(&mut self, who: Who, down: Duration, evil: Evil) {
        let Some(id) = self.who(who) else { return };
        if self.can_spare(id) {
            self.lose_disk(id, down, evil);
        }
    }

    /// A member dies, its log is damaged or all of its disk gone, and it enrols again after a while.
    pub fn lose_disk(&mut self, id: MemberId, down: Duration, evil: Evil) {
        self.end_twin(id);
        self.tally.evil(evil);
        self.kill(id);
        self.members.get_mut(&id).expect("a member").disk.damaged = true;
        if evil == Evil::Wipe {
            self.members.get_mut(&id).expect("a member").disk.shelf = Default::default();
        }
        self.later(down, Turn::ReEnrols(id));
    }

    /// A value in a member's snapshot changes.
    fn rot(&mut self, who: Who, down: Duration) {
        let Some(id) = self.who(who) else { return };
        let empty = self.members[&id].disk.snapshot.data.is_empty();
        if !self.can_spare(id) || empty || self.twins.contains_key(&id) {
            return;
        }
        self.tally.evil(Evil::Rot);
        self.kill(id);
        // Each rots in its own way.
        let rot = u8::try_from(self.tally.count(Evil::Rot)).unwrap_or(u8::MAX);
        let snapshot = &mut self.members.get_mut(&id).expect("a member").disk.snapshot;
        snapshot.data = rotted(snapshot.data.clone(), rot);
        self.start_later(down, id);
    }

    /// A member has ended because its state has diverged, and comes back under another id.
    pub(super) fn stops_diverged(&mut self, id: MemberId) {
        self.tally.saw(Sometimes::Diverged);
        let down = self.rng.ms(COMES_BACK_AFTER);
        self.lose_disk(id, down, Evil::JoinedAnew);
    }

    /// Whether somebody else holds the newest model, too.
    fn has_another_holder(&self, id: MemberId) -> bool {
        let newest = self.running().into_iter().max_by_key(|id| self.node(*id).state().applied());
        let run = newest.and_then(|id| self.node(id).state().control().runs().values().next_back());
        let Some(model) = run.and_then(|run| run.model) else { return true };
        let holds = |member: &Member| member.id != id && member.disk.shelf.models.contains(&model);
        let stays = |member: &Member| member.halted.is_none() && !self.sent_away.contains(&member.id);
        self.members.values().any(|member| stays(member) && holds(member))
    }

    /// Whether all that were away can still hear who votes: of a voter that they know, or of a laptop, if those know it; or
    /// of two others, where no voter that they know is left to answer, and none that was sent away answers in its place.
    fn are_still_told(&self, lost: &impl Fn(&MemberId) -> bool) -> bool {
        let left: BTreeSet<_> = self.members.keys().copied().filter(|id| !lost(id)).collect();
        let committed = self.running().iter().map(|id| self.node(*id).consensus().commit()).max();
        let has_all = |id: &MemberId| Some(self.members[id].disk.last()) >= committed;
        let mut told: BTreeSet<_> = left.iter().copied().filter(has_all).collect();
        let hears = |id: &MemberId, told: &BTreeSet<MemberId>| {
            let mut answer = self.members.values().filter(|other| other.halted.is_none() && other.id != *id);
            let has_told = |knows: fn(&Self, MemberId, MemberId) -> bool| {
                told.iter().any(|other| knows(self, *id, *other))
            };
            has_told(Self::knows_as_laptop)
                || has_told(Self::knows_as_voter)
                || told.len() >= 2 && !answer.any(|other| self.may_know_as_voter(*id, other.id))
        };
        loop {
            let more: Vec<_> = left.difference(&told).copied().filter(|id| hears(id, &told)).collect();
            if more.is_empty() {
                return told == left;
            }
            told.extend(more);
        }
    }

    /// Whether a member's state has another one as a laptop. What does not run is taken to know none.
    fn knows_as_laptop(&self, id: MemberId, other: MemberId) -> bool {
        self.runs(id) && self.node(id).is_laptop(other)
    }

    /// Whether a majority of every voter set in force, or on its way, has its disks when this one is lost, and somebody
    /// the newest model. Whoever is lost counts even without a seat, since it may be given one before anybody misses
    /// it; whoever is to be sent away counts as lost.
    pub(super) fn can_spare(&self, id: MemberId) -> bool {
        // A copy beside its original speaks in its name.
        let damaged =
            |id: &MemberId| self.twins.contains_key(id) || self.members.get(id).is_none_or(Member::forgot);
        let ended = |id: &MemberId| self.members.get(id).is_none_or(|member| member.halted.is_some());
        let waits = |id: &MemberId| damaged(id) && !ended(id);
        let gone: BTreeSet<_> = self.members.keys().copied().filter(waits).chain([id]).collect();
        // Who came back without its log has its seat at once, and holds nothing for a while.
        let empty = |id: &MemberId| self.members.get(id).is_some_and(|member| member.disk.last() == Index(0));
        let lost = |other: &MemberId| {
            gone.contains(other) || self.sent_away.contains(other) || damaged(other) || empty(other)
        };
        let spares = |voters: &[MemberId]| {
            let all: BTreeSet<_> = voters.iter().chain(&gone).collect();
            voters.is_empty() || 2 * all.iter().filter(|voter| lost(voter)).count() < all.len()
        };
        let desired =
            |id: &MemberId| self.node(*id).state().control().desired_voters().into_iter().collect::<Vec<_>>();
        // A newcomer that is the only one running does not know who votes.
        let known = |id: &MemberId| !self.node(*id).consensus().membership().voters.is_empty();
        self.has_another_holder(id)
            && self.leaves_nobody_alone(id)
            && self.are_still_told(&lost)
            && self.running().iter().any(known)
            && self.running().iter().all(|other| {
                let membership = self.node(*other).consensus().membership();
                spares(&membership.voters) && spares(&membership.voters_outgoing) && spares(&desired(other))
            })
    }

    fn revoke(&mut self, at: Who, who: Who) {
        let (Some(at), Some(whom)) = (self.who(at), self.who(who)) else { return };
        let Some(at) = self.operator(at) else { return };
        let members = self.node(at).state().control().members().len();
        if members > 3 && self.can_spare(whom) && self.leaves_a_laptop(at, whom) {
            self.tally.evil(Evil::Revoke);
            if self.leader() == Some(whom) {
                self.tally.saw(Sometimes::LeaderRevoked);
            }
            self.sent_away.insert(whom);
            self.control(at, ControlCommand::Revoke { member: whom });
        }
    }

    /// Whether somebody can still give orders when a member is sent away.
    fn leaves_a_laptop(&self, at: MemberId, whom: MemberId) -> bool {
        let members = self.node(at).state().control().members().values();
        // Who was admitted and never heard of it is in the roster, and nowhere else.
        let exists = |id| self.members.get(&id).is_some_and(|member| member.halted.is_none());
        let stays = |id: MemberId| id != whom && exists(id) && !self.sent_away.contains(&id);
        self.devices == 0 || members.filter(|one| stays(one.id)).any(|one| one.role == MemberKind::Operator)
    }

    fn stop_run(&mut self, at: Who) {
        let Some(at) = self.who(at).and_then(|at| self.operator(at)) else { return };
        let Some(run) = self.node(at).state().control().active_run().map(|run| run.id) else { return };
        self.tally.evil(Evil::StopRun);
        self.control(at, ControlCommand::RunStopped { run });
    }

    /// The longest that members are given to settle once everything works again.
    pub fn patience(&self) -> Duration {
        (self.settings.tenure + self.settings.grace) * 8 + self.settings.election_max * 20 + ms(30_000)
    }
}
