//! One seed from beginning to end: a peer set is founded, the world turns on it, everything heals, and all must be well.
//!
//! What a seed brings is drawn before it begins ([`Plan`]), so that a failing one can be told again with less.

use crate::faults::{self, Planned};
use crate::rng::SimRng;
use crate::tally::{Sometimes, Tally};
use crate::world::{Finding, World, ms};
use rafty_dictionary::RunStatus;
use rafty_node::{Answer, Input};
use rafty_types::{ControlResult, MemberId, MemberKind, Round, RunId, Settings, Time};
use std::time::Duration;

/// How long the world is unkind.
const TROUBLE: Duration = Duration::from_secs(260);
/// How long a run lasts at least, all in all.
const AT_LEAST: Duration = Duration::from_secs(300);
/// By then whoever was removed has ended, where those that it reaches refuse it.
const REMOVED_END_WITHIN: Duration = ms(70_000);
/// The world is looked at from outside so often.
const LOOKED_AT: Duration = ms(1_000);
/// Rounds of a run in the time of trouble, and of the one after healing.
const ROUNDS: u32 = 12;
const LAST_ROUNDS: u32 = 2;
/// In so many seeds of a hundred participants are absent from rounds. Those have long first deadlines, so that it shows
/// who is waited for in vain.
const ABSENCES_CHANCE: u64 = 30;
/// In so many seeds of a hundred states rot on their disks.
const ROTS_CHANCE: u64 = 30;
/// In so many seeds of a hundred devices move.
const MOVES_CHANCE: u64 = 30;
/// In so many seeds of a hundred there are devices beside the laptops, among newcomers too.
const DEVICES_CHANCE: u64 = 40;
/// In so many seeds of a hundred links are slow now and then.
const SLOW_LINKS_CHANCE: u64 = 30;
/// In so many seeds of a hundred members lie.
const LIES_CHANCE: u64 = 30;
/// Chances in a hundred that a member of such a seed is a device.
const DEVICE_CHANCE: (u64, u64) = (20, 90);
const LONG_DEADLINE: (u64, u64) = (1_000, 60_000);

/// Times that are short enough for seconds of virtual time.
pub fn short_times() -> Settings {
    Settings {
        heartbeat: ms(50),
        election_min: ms(200),
        election_max: ms(400),
        tenure: ms(3_000),
        grace: ms(1_500),
        replace_after: ms(10_000),
        first_deadline: ms(2_000),
        announce_every: ms(1_000),
        ..Settings::default()
    }
}

/// What a seed brings.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its number.
    pub seed: u64,
    /// How many members there are at first.
    pub members: u64,
    /// The chance in a hundred that each but the founder is a device, and each newcomer.
    pub devices: u64,
    /// Their settings.
    pub settings: Settings,
    /// How many clients.
    pub clients: usize,
    /// Whether one of them writes values of 1 MiB.
    pub big_values: bool,
    /// Whether frames pass through their bytes.
    pub through_bytes: bool,
    /// What helps members that have lost each other; `None` where nobody moves.
    pub finding: Option<Finding>,
    /// The faults, in order.
    pub faults: Vec<Planned>,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Everything that happened, in one number.
    pub digest: u64,
    /// The time that passed.
    pub simulated: Duration,
    /// Faults and rare states.
    pub tally: Tally,
    /// Writes acknowledged.
    pub acknowledged: usize,
    /// Rounds published.
    pub published: usize,
    /// Registers whose history was judged.
    pub registers: usize,
    /// Terms that had a leader.
    pub terms: usize,
}

impl Plan {
    /// The plan of a seed, of so many members if that is said.
    pub fn draw(seed: u64, members: Option<u64>) -> Self {
        let mut rng = SimRng::new(seed, 2);
        let drawn = match rng.below(100) {
            0..10 => 1 + rng.below(2),
            10..45 => 3,
            45..80 => 5,
            80..90 => 4,
            90..97 => 6 + rng.below(4),
            _ => 10 + rng.below(6),
        };
        let mut settings = settings(&mut rng);
        let start = Time::since_start(ms(2_000));
        let clients = 1 + rng.below(4) as usize;
        let big_values = rng.percent(3);
        let through_bytes = rng.percent(10);
        let end = Time::since_start(TROUBLE);
        let mut faults = faults::draw(&mut rng, start, end);
        let mut rng = SimRng::new(seed, 3);
        if rng.percent(ABSENCES_CHANCE) {
            settings.first_deadline = rng.ms(LONG_DEADLINE);
            faults.extend(faults::draw_absences(&mut rng, end));
            faults.sort_by_key(|planned| planned.at);
        }
        let mut rng = SimRng::new(seed, 4);
        if rng.percent(ROTS_CHANCE) {
            faults.extend(faults::draw_rots(&mut rng, end));
            faults.sort_by_key(|planned| planned.at);
        }
        let mut rng = SimRng::new(seed, 5);
        let devices = if rng.percent(DEVICES_CHANCE) { rng.between(DEVICE_CHANCE) } else { 0 };
        let mut rng = SimRng::new(seed, 7);
        let finding = rng.percent(MOVES_CHANCE).then(|| match rng.below(3) {
            0 => Finding::Announcements,
            1 => Finding::Names,
            _ => Finding::Person,
        });
        if let Some(finding) = finding {
            faults.extend(faults::draw_moves(&mut rng, finding != Finding::Person, end));
            faults.sort_by_key(|planned| planned.at);
        }
        let mut rng = SimRng::new(seed, 8);
        if rng.percent(SLOW_LINKS_CHANCE) {
            faults.extend(faults::draw_slow_links(&mut rng, end));
            faults.sort_by_key(|planned| planned.at);
        }
        let mut rng = SimRng::new(seed, 10);
        if rng.percent(LIES_CHANCE) {
            faults.extend(faults::draw_lies(&mut rng, end));
            faults.sort_by_key(|planned| planned.at);
        }
        let members = members.unwrap_or(drawn);
        Self { seed, members, devices, settings, clients, big_values, through_bytes, finding, faults }
    }

    /// The same with copies of members beside their originals again and again.
    pub fn with_twins(mut self) -> Self {
        let mut rng = SimRng::new(self.seed, 9);
        self.faults.extend(faults::draw_twins(&mut rng, Time::since_start(TROUBLE)));
        self.faults.sort_by_key(|planned| planned.at);
        self
    }
}

fn settings(rng: &mut SimRng) -> Settings {
    let heartbeat = 20 + rng.below(100);
    let election_min = heartbeat * 2 + 1 + rng.below(300);
    let tenure = 1_000 + rng.below(15_000);
    Settings {
        heartbeat: ms(heartbeat),
        election_min: ms(election_min.max(50)),
        election_max: ms(election_min.max(50) + heartbeat + rng.below(400)),
        target_voters: rng.between((3, 7)) as u32,
        max_members: 31,
        tenure: ms(tenure),
        grace: ms(rng.below(tenure)),
        replace_after: ms(10_000 + rng.below(30_000)),
        compact_after: 5 + rng.below(100),
        tail: 1 + rng.below(100),
        append_batch: 1 + rng.below(100) as u32,
        first_deadline: ms(1_000 + rng.below(5_000)),
        quorum_percent: 30 + rng.below(50) as u32,
        announce_every: ms(1_000 + rng.below(3_000)),
        ..Settings::default()
    }
}

/// Tells a plan to its end.
///
/// # Panics
/// When something does not hold: with its name.
pub fn tell(plan: &Plan, world: &mut World) -> Outcome {
    let everyone = found(plan, world);
    world.through_bytes = plan.through_bytes;
    world.add_clients(plan.clients, plan.big_values);
    for planned in &plan.faults {
        world.plan(planned.at, planned.fault.clone());
    }
    trouble(world);
    healing(world, &everyone);
    world.run_for(AT_LEAST.saturating_sub(world.now.elapsed()));
    Outcome {
        digest: world.digest(),
        simulated: world.now.elapsed(),
        tally: world.tally.clone(),
        acknowledged: world.invariants.clients.acknowledged.len(),
        published: world.invariants.rounds.published.len(),
        registers: world.history.judged(),
        terms: world.invariants.logs.terms_led(),
    }
}

/// The members at first. Who is a device does not depend on what happens, so that a plan without some of its faults has
/// the same members.
fn found(plan: &Plan, world: &mut World) -> Vec<MemberId> {
    let mut rng = SimRng::new(plan.seed, 6);
    let mut role = || if rng.percent(plan.devices) { MemberKind::Agent } else { MemberKind::Operator };
    let roles: Vec<_> =
        (0..plan.members).map(|number| if number == 0 { MemberKind::Operator } else { role() }).collect();
    (world.devices, world.finding) = (plan.devices, plan.finding);
    world.found_for_clients(&roles)
}

/// A world for a plan.
pub fn world(plan: &Plan) -> World {
    World::new(plan.seed, plan.settings.clone())
}

fn trouble(world: &mut World) {
    let end = Time::since_start(TROUBLE);
    while world.now < end {
        world.run_for(LOOKED_AT);
        world.silent_ones_are_not_waited_for();
        world.rests_end_when_their_cause_has_gone();
        keep_runs_going(world, ROUNDS);
        histories_are_linearizable(world, false);
    }
}

/// There is always a run, as far as the leader knows.
fn keep_runs_going(world: &mut World, rounds: u32) {
    if let Some(leader) = world.aggregator()
        && world.node(leader).state().control().active_run().is_none()
        && let Some(at) = world.operator(leader)
    {
        world.submit(at, rounds);
    }
}

/// Linearizability of each key's history.
fn histories_are_linearizable(world: &mut World, all: bool) {
    if let Some((register, history)) = world.history.judge(all) {
        let line = |operation: &_| format!("  {operation:?}\n");
        let history: String = history.iter().map(line).collect();
        panic!("linearizability: nothing explains register {register}:\n{history}");
    }
}

/// Everything works again: within a bounded time there is an aggregator, everybody writes and reads, the rounds go on,
/// a new run comes to its end, hand-overs are fair, and all states are equal.
fn healing(world: &mut World, everyone: &[MemberId]) {
    world.heal();
    let patience = world.patience();
    everyone.iter().for_each(|id| world.say(*id, Input::Retire(false)));
    world.run_until("nobody is without its log", patience, |world| {
        world.members.values().all(|member| !member.disk.damaged)
    });
    for id in world.running() {
        world.say(id, Input::Retire(false));
    }
    world.run_until("an aggregator", patience, |world| world.aggregator().is_some());
    let before = newest_round(world);
    world.run_until("a round goes on", patience * 3, |world| no_run(world) || newest_round(world) > before);
    world.clients_leave();
    world.switch_off_the_forgotten();
    histories_are_linearizable(world, true);
    everybody_writes_and_reads(world, patience);
    a_run_comes_to_its_end(world, patience);
    // Whoever was removed, and does not reach all whom it knew, doubts that for a minute.
    world.run_until("agreement", patience.max(REMOVED_END_WITHIN), |world| world.agree());
    let World { invariants, members, .. } = world;
    invariants.at_rest(members);
    what_became_of_the_unknown(world);
}

fn what_became_of_the_unknown(world: &mut World) {
    let Some(id) = world.leader() else { return };
    let World { invariants, members, tally, .. } = world;
    let Some(process) = &members[&id].process else { return };
    for key in &invariants.clients.unknown {
        let done = process.node.state().user().entries.get(key).is_some();
        tally.saw(if done { Sometimes::UnknownDone } else { Sometimes::UnknownNotDone });
    }
}

fn no_run(world: &World) -> bool {
    world.aggregator().is_some_and(|id| world.node(id).state().control().active_run().is_none())
}

fn newest_round(world: &World) -> Option<(RunId, Round)> {
    world.invariants.rounds.published.last_key_value().map(|(key, _)| *key)
}

fn everybody_writes_and_reads(world: &mut World, patience: Duration) {
    for id in world.running() {
        let tried = world.now;
        loop {
            // Whoever was sent away may still be about to end.
            if !world.runs(id) || !is_member(world, id) {
                break;
            }
            let (write, read) = (world.write(id, ms(5_000)), world.read(id));
            world.run_until("answers", ms(12_000), |world| {
                !world.runs(id) || world.answers.contains_key(&write) && world.answers.contains_key(&read)
            });
            let done =
                |answer: Option<&Answer>| matches!(answer, Some(Answer::User(..) | Answer::Readable(_)));
            if done(world.answers.get(&write)) && done(world.answers.get(&read)) {
                break;
            }
            let late = world.now.saturating_since(tried) > patience;
            assert!(
                !late,
                "liveness: {id} cannot write and read: {:?}\n{}",
                world.answers.get(&write),
                world.report()
            );
        }
    }
}

fn is_member(world: &World, id: MemberId) -> bool {
    let leader = world.leader().unwrap_or(id);
    world.runs(leader) && world.node(leader).state().control().member(id).is_some()
}

/// The run that was submitted by way of `at`, which may end before it is answered: somebody brings it back with another
/// state. Where leadership changes on the way, it asks again.
fn submitted_run(world: &mut World, at: Option<MemberId>, patience: Duration) -> Option<RunId> {
    let Some(at) = at else {
        world.run_for(LOOKED_AT);
        return None;
    };
    let submitted = world.submit(at, LAST_ROUNDS);
    let answered = move |world: &World| world.answers.contains_key(&submitted);
    world.run_until("a run is submitted", patience, |world| answered(world) || !world.runs(at));
    if let Some(Answer::Control(ControlResult::Done, index)) = world.answers.get(&submitted) {
        return Some(RunId(index.0));
    }
    world.run_for(LOOKED_AT);
    None
}

fn the_run_under_way_comes_to_its_end(world: &mut World, patience: Duration) {
    let begun = world.now;
    while !no_run(world) {
        assert!(
            world.now.saturating_since(begun) < patience * (3 * ROUNDS),
            "liveness: the run does not come to its end\n{}",
            world.report()
        );
        world.run_for(LOOKED_AT);
    }
}

fn a_run_comes_to_its_end(world: &mut World, patience: Duration) {
    the_run_under_way_comes_to_its_end(world, patience);
    let laptop = |world: &World| world.aggregator().and_then(|leader| world.operator(leader));
    // The only one may be coming back with another state, after its own had rotted.
    world.run_until("a laptop runs", patience, |world| laptop(world).is_some());
    let mut begun = world.now;
    let run = loop {
        if let Some(run) = submitted_run(world, laptop(world), patience) {
            break run;
        }
        // What was asked for while faults came may have been heard only now.
        if !no_run(world) {
            the_run_under_way_comes_to_its_end(world, patience);
            begun = world.now;
        }
        let late = world.now.saturating_since(begun) > patience * 2;
        assert!(!late, "liveness: no laptop can submit a run\n{}", world.report());
    };
    world.run_until("the last run's end", patience * (3 * LAST_ROUNDS), |world| has_finished(world, run));
    // What was asked for while faults came may be heard even after that.
    loop {
        the_run_under_way_comes_to_its_end(world, patience);
        world.run_until("everybody has the newest model", patience, |world| {
            !no_run(world) || all_have_the_newest_model(world)
        });
        if no_run(world) {
            return;
        }
    }
}

fn has_finished(world: &World, run: RunId) -> bool {
    world.aggregator().is_some_and(|id| {
        let runs = world.node(id).state().control().runs();
        runs.get(&run).is_some_and(|run| run.status == RunStatus::Finished)
    })
}

fn all_have_the_newest_model(world: &World) -> bool {
    world.aggregator().is_some_and(|id| {
        let newest = world.node(id).state().control().runs().values().next_back();
        newest.is_some_and(|run| world.all_have(run.version.0))
    })
}
