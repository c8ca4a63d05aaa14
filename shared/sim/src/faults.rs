//! Which faults a seed brings, and when: drawn before the run begins, so that single ones can be left out.
//!
//! Whom a fault hits is a raw number here; the world resolves it when the time comes.

use crate::member::WALL_MS;
use crate::rng::SimRng;
use crate::worker::{FLAWS, Flaw};
use rafty_types::Time;
use std::time::Duration;

/// Whom it hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Whoever leads then.
    Leader,
    /// Somebody: this number modulo how many there are.
    Some(u64),
}

/// A fault. Times are lengths; what has one ends by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the fields say it: whom it hits, how long it lasts, and by how much
pub enum Fault {
    /// Power loss: what was not synced may be lost.
    Crash { who: Who, lasts: Duration },
    /// Power loss of everybody.
    CrashAll { lasts: Duration },
    /// The process stands still; with `asleep` its monotonic clock does, too.
    Pause { who: Who, lasts: Duration, asleep: bool },
    /// The members fall into two groups that do not hear each other; each bit of `sides` is a member.
    Partition { sides: u64, lasts: Duration },
    /// One does not hear the other.
    OneWay { from: Who, to: Who, lasts: Duration },
    /// Nobody hears this member, or it hears nobody.
    Deaf { who: Who, hears: bool, lasts: Duration },
    /// The fault rates change.
    FaultRates { seed: u64, lasts: Duration },
    /// The monotonic clock goes at another rate; a million is right.
    ClockRate { who: Who, rate: u64, lasts: Duration },
    /// The wall clock is set: it is wrong by so much from now on.
    WallJump { who: Who, ms: i64 },
    /// Syncs take so many times as long.
    SlowDisk { who: Who, times: u32, lasts: Duration },
    /// Nothing can be written: full, or an error on sync.
    DiskError { who: Who, lasts: Duration },
    /// A bit of the stored log or snapshot flips; it shows at the next start.
    Flip { who: Who, down: Duration },
    /// The log is gone, the identity is not.
    Wipe { who: Who, down: Duration },
    /// Somebody copies everybody's log.
    Backup,
    /// A copy of a member's log is put back: the files, or with `raw` the whole disk, so that nothing of it looks copied.
    PutBack { who: Who, which: u64, raw: bool, down: Duration },
    /// A copy of a member's log is started beside it, with the same identity.
    Twin { who: Who, which: u64, raw: bool, lasts: Duration },
    /// A value in the stored snapshot changes, and its checksum fits: nothing but a comparison with others shows it.
    Rot { who: Who, down: Duration },
    /// Somebody is told to hand over to somebody.
    Transfer { from: Who, to: Who },
    /// Somebody is told to lead no more than it must.
    Retire { who: Who, lasts: Duration },
    /// A newcomer joins by token.
    Join { at: Who },
    /// Somebody is sent away.
    Revoke { at: Who, who: Who },
    /// Training takes so much longer.
    SlowTraining { who: Who, lasts: Duration },
    /// What a participant trains has this flaw.
    Lie { who: Who, flaw: Flaw, lasts: Duration },
    /// A participant sends its envelopes twice, the second time much later.
    Replay { who: Who, lasts: Duration },
    /// The run is stopped; another is submitted.
    StopRun { at: Who },
    /// A device loses power in every round, some time after it opened, and starts again after `down`.
    DiesInRounds { who: Who, down: Duration, lasts: Duration },
    /// A participant trains and says so, and none of its updates leaves it.
    Withholds { who: Who, lasts: Duration },
    /// A device leaves its network and comes back at another address.
    Move { who: Who, away: Duration },
    /// All devices do: another router.
    MoveAll { away: Duration },
    /// What a device sends comes from another port.
    Rebind { who: Who },
    /// A device's link carries no more than this.
    SlowLink { who: Who, bytes_per_ms: u64, lasts: Duration },
    /// All links do.
    SlowLinks { bytes_per_ms: u64, lasts: Duration },
    /// Strangers knock so often, with tokens that nobody knows.
    Knocks { at: Who, times: u32 },
    /// A member says in another's name what that one never said, or repeats what it did.
    Forges { who: Who, seed: u64 },
}

/// A fault and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// When it strikes.
    pub at: Time,
    /// What strikes.
    pub fault: Fault,
}

/// How many kinds of faults can be drawn.
const KINDS: u64 = 22;
/// Kinds that a seed brings: this many chances in a hundred each, so that few seeds are alike.
const KIND_CHANCE: u64 = 45;
/// Pauses between faults, in milliseconds: a burst now and then, calm between.
const BURST: (u64, u64) = (20, 1_500);
const CALM: (u64, u64) = (2_000, 15_000);
const BURST_CHANCE: u64 = 70;

/// The faults of a seed until `end`.
pub fn draw(rng: &mut SimRng, start: Time, end: Time) -> Vec<Planned> {
    let kinds: Vec<u64> = (0..KINDS).filter(|_| rng.percent(KIND_CHANCE)).collect();
    let mut plan = vec![Planned { at: start, fault: Fault::Backup }];
    let mut at = start;
    loop {
        let span = if rng.percent(BURST_CHANCE) { BURST } else { CALM };
        at = at + rng.ms(span);
        if at >= end {
            return plan;
        }
        if let Some(kind) = rng.pick(&kinds) {
            plan.push(Planned { at, fault: fault(kind, rng) });
        }
    }
}

/// Pauses between states that rot, in milliseconds.
const BETWEEN_ROTS: (u64, u64) = (20_000, 150_000);

/// States that rot, until `end`.
pub fn draw_rots(rng: &mut SimRng, end: Time) -> Vec<Planned> {
    let first = rng.ms(BETWEEN_ROTS);
    let rot = |rng: &mut SimRng| Fault::Rot { who: anyone(rng), down: rng.ms(DOWN) };
    again_and_again(rng, first, BETWEEN_ROTS, end, rot)
}

/// How long participants are absent from rounds, each time, and how long one is down in each of them, in milliseconds.
const ABSENCE: (u64, u64) = (10_000, 120_000);
const DOWN: (u64, u64) = (500, 30_000);
/// Pauses between such faults, in milliseconds.
const BETWEEN_ABSENCES: (u64, u64) = (5_000, 60_000);

/// Participants that are absent from rounds, from the first round on until `end`.
pub fn draw_absences(rng: &mut SimRng, end: Time) -> Vec<Planned> {
    let first = rng.ms((0, 2_000));
    again_and_again(rng, first, BETWEEN_ABSENCES, end, |rng| {
        let (who, lasts) = (anyone(rng), rng.ms(ABSENCE));
        match rng.percent(50) {
            true => Fault::DiesInRounds { who, down: rng.ms(DOWN), lasts },
            false => Fault::Withholds { who, lasts },
        }
    })
}

/// Pauses between copies that are started beside their originals, and how long they run, in milliseconds.
const BETWEEN_TWINS: (u64, u64) = (1_000, 8_000);
const TWIN_LASTS: (u64, u64) = (1_000, 12_000);

/// Copies of members beside their originals again and again, until `end`.
pub fn draw_twins(rng: &mut SimRng, end: Time) -> Vec<Planned> {
    let first = rng.ms(BETWEEN_TWINS);
    again_and_again(rng, first, BETWEEN_TWINS, end, |rng| match rng.percent(20) {
        true => Fault::Backup,
        false => Fault::Twin {
            who: anyone(rng),
            which: rng.roll(),
            raw: rng.percent(50),
            lasts: rng.ms(TWIN_LASTS),
        },
    })
}

/// Pauses between moves, in milliseconds.
const BETWEEN_MOVES: (u64, u64) = (2_000, 40_000);
/// How often strangers knock one after the other.
const KNOCKS: (u64, u64) = (50, 600);

/// Moves, until `end`; with `all`, of everybody at once, too.
pub fn draw_moves(rng: &mut SimRng, all: bool, end: Time) -> Vec<Planned> {
    let first = rng.ms(BETWEEN_MOVES);
    again_and_again(rng, first, BETWEEN_MOVES, end, |rng| {
        let away = if rng.percent(50) { Duration::ZERO } else { lasts(rng) };
        let who = anyone(rng);
        match rng.below(10) {
            0..5 => Fault::Move { who, away },
            5..7 => Fault::Rebind { who },
            7..9 if all => Fault::MoveAll { away },
            7..9 => Fault::Move { who, away },
            _ => Fault::Knocks { at: who, times: rng.between(KNOCKS) as u32 },
        }
    })
}

/// 64 kbit/s.
pub const SLOWEST_LINK: u64 = 8;
/// What slow links carry, in bytes a millisecond, and for how long they do, in milliseconds.
const SLOW_LINK: (u64, u64) = (SLOWEST_LINK, 80);
const SLOW_LINK_LASTS: (u64, u64) = (5_000, 90_000);
/// Pauses between such links, in milliseconds.
const BETWEEN_SLOW_LINKS: (u64, u64) = (2_000, 60_000);

/// Links that are slow, until `end`.
pub fn draw_slow_links(rng: &mut SimRng, end: Time) -> Vec<Planned> {
    let first = rng.ms(BETWEEN_SLOW_LINKS);
    again_and_again(rng, first, BETWEEN_SLOW_LINKS, end, |rng| {
        let (who, bytes_per_ms, lasts) = (anyone(rng), rng.between(SLOW_LINK), rng.ms(SLOW_LINK_LASTS));
        match rng.percent(20) {
            true => Fault::SlowLinks { bytes_per_ms, lasts },
            false => Fault::SlowLink { who, bytes_per_ms, lasts },
        }
    })
}

/// Pauses between lies, in milliseconds.
const BETWEEN_LIES: (u64, u64) = (50, 2_000);

/// Members that lie, until `end`.
pub fn draw_lies(rng: &mut SimRng, end: Time) -> Vec<Planned> {
    let first = rng.ms(BETWEEN_LIES);
    let forges = |rng: &mut SimRng| Fault::Forges { who: anyone(rng), seed: rng.roll() };
    again_and_again(rng, first, BETWEEN_LIES, end, forges)
}

/// Faults of one kind, the first after a while and the others after pauses between these, in milliseconds, until `end`.
fn again_and_again(
    rng: &mut SimRng,
    first: Duration,
    pauses: (u64, u64),
    end: Time,
    draw: impl Fn(&mut SimRng) -> Fault,
) -> Vec<Planned> {
    let mut plan = Vec::new();
    let mut at = Time::ZERO + first;
    while at < end {
        plan.push(Planned { at, fault: draw(rng) });
        at = at + rng.ms(pauses);
    }
    plan
}

/// Rates of monotonic clocks; a million is right.
const SLOWEST_CLOCK: u64 = 700_000;
/// The fastest one.
pub const FASTEST_CLOCK: u64 = 1_400_000;

fn fault(kind: u64, rng: &mut SimRng) -> Fault {
    let (who, other) = (anyone(rng), anyone(rng));
    let lasts = lasts(rng);
    let yes = rng.percent(50);
    match kind {
        0 => Fault::Crash { who, lasts },
        1 if rng.percent(20) => Fault::CrashAll { lasts },
        1 => Fault::Crash { who, lasts: lasts / 4 },
        2 => Fault::Pause { who, lasts, asleep: yes },
        3 => Fault::Partition { sides: rng.roll(), lasts },
        4 => Fault::OneWay { from: who, to: other, lasts },
        5 => Fault::Deaf { who, hears: yes, lasts },
        6 => Fault::FaultRates { seed: rng.roll(), lasts: lasts * 2 },
        7 => Fault::ClockRate {
            who,
            rate: SLOWEST_CLOCK + rng.below(FASTEST_CLOCK - SLOWEST_CLOCK),
            lasts: lasts * 4,
        },
        8 => Fault::WallJump { who, ms: wall_jump(rng) },
        9 => Fault::SlowDisk { who, times: 2 + rng.below(60) as u32, lasts },
        10 => Fault::DiskError { who, lasts },
        11 => Fault::Flip { who, down: lasts },
        12 => Fault::Wipe { who, down: lasts },
        13 => Fault::Transfer { from: who, to: other },
        14 => Fault::Retire { who, lasts },
        15 => Fault::Join { at: who },
        16 => Fault::Revoke { at: who, who: other },
        17 => Fault::SlowTraining { who, lasts: lasts * 2 },
        18 => {
            let flaw = FLAWS[rng.below(FLAWS.len() as u64) as usize];
            Fault::Lie { who, flaw, lasts: lasts * 2 }
        }
        19 => Fault::Replay { who, lasts: lasts * 2 },
        20 => Fault::StopRun { at: who },
        _ if rng.percent(40) => Fault::Backup,
        _ if rng.percent(40) => Fault::Twin { who, which: rng.roll(), raw: yes, lasts: lasts * 4 },
        _ => Fault::PutBack { who, which: rng.roll(), raw: yes, down: lasts },
    }
}

/// A wall clock is an hour off, begins at 1970 again, is 20 years ahead, or is put right.
fn wall_jump(rng: &mut SimRng) -> i64 {
    match rng.below(4) {
        0 => rng.below(7_200_000) as i64 - 3_600_000,
        1 => -(WALL_MS as i64),
        2 => 20 * 365 * 86_400_000,
        _ => 0,
    }
}

fn anyone(rng: &mut SimRng) -> Who {
    if rng.percent(30) { Who::Leader } else { Who::Some(rng.roll()) }
}

/// Mostly short, seldom long.
fn lasts(rng: &mut SimRng) -> Duration {
    let span = match rng.below(10) {
        0..5 => (50, 1_000),
        5..9 => (500, 6_000),
        _ => (5_000, 30_000),
    };
    rng.ms(span)
}
