//! Random faults over many seeds: nothing is lost or doubled while they last, and all is well once they end.

use crate::founding::settings;
use crate::sim::{Sim, Weather, ms};
use rafty_node::{Answer, Input};
use rafty_types::{MemberId, Settings};
use std::ops::Range;

/// Faulty steps of a seed.
const STEPS: u64 = 120;
/// Longest pause between two, in milliseconds.
const PAUSE_MS: u64 = 250;
/// Rounds of the run under way.
const ROUNDS: u32 = 4;

/// The seeds of a test: `count` of them, or only the one in `RAFTY_SEED`.
pub(crate) fn seeds(count: u64) -> Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("RAFTY_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("RAFTY_SEEDS").unwrap_or(count),
    }
}

fn foul(sim: &mut Sim) -> Weather {
    let dice = &mut sim.dice;
    let mut span = |most: u64| (0, 1 + dice.below(most));
    Weather {
        latency: span(60),
        sync: span(120),
        work: span(600),
        key: span(2_000),
        bulk: span(400),
        drop: span(20).1,
        fail_work: span(15).1,
        busy: span(30).1,
    }
}

fn disturb(sim: &mut Sim, all: &[MemberId]) {
    let someone = sim.dice.pick(all).unwrap();
    let other = sim.dice.pick(all).unwrap();
    let runs = sim.members[&someone].process.is_some();
    match sim.dice.below(100) {
        0..45 if runs => {
            let burst = 1 + sim.dice.below(6);
            for _ in 0..burst {
                sim.write(someone, ms(2_000));
            }
        }
        45..60 if runs => {
            sim.read(someone);
        }
        60..66 => sim.kill(someone),
        66..80 => sim.start(someone),
        80..86 if someone != other => sim.cut(someone, other),
        86..91 => sim.cut.clear(),
        91..94 if runs => sim.say(someone, Input::Transfer(other)),
        94..97 if runs => {
            let retiring = sim.dice.percent(30);
            sim.say(someone, Input::Retire(retiring));
        }
        97..100 => sim.weather = foul(sim),
        _ => {}
    }
}

/// How many writes were acknowledged and how many rounds published while things went wrong.
fn storm(seed: u64) -> (usize, usize) {
    let settings = Settings { compact_after: 20, tail: 20, ..settings() };
    let mut sim = Sim::new("storms", seed, settings);
    let all = sim.found(3 + 2 * (seed % 2));
    sim.begin_run(ROUNDS);
    sim.weather = foul(&mut sim);
    for _ in 0..STEPS {
        disturb(&mut sim, &all);
        let pause = sim.dice.ms((0, PAUSE_MS));
        sim.run_for(pause);
    }
    let seen = (sim.checks.acknowledged.len(), sim.checks.published.len());
    recover(&mut sim, &all);
    seen
}

fn recover(sim: &mut Sim, all: &[MemberId]) {
    sim.heal();
    all.iter().for_each(|id| sim.say(*id, Input::Retire(false)));
    sim.run_until("an aggregator", ms(20_000), |sim| sim.aggregator().is_some());
    sim.run_for(ms(3_000));
    sim.run_until("an aggregator", ms(5_000), |sim| sim.aggregator().is_some());
    for id in all {
        let write = sim.write(*id, ms(5_000));
        let read = sim.read(*id);
        sim.run_until("answers", ms(6_000), |sim| {
            sim.answers.contains_key(&write) && sim.answers.contains_key(&read)
        });
        assert!(matches!(sim.answers[&write], Answer::User(..)), "{:?}", sim.answers[&write]);
    }
    sim.run_until("the run's end", ms(120_000), |sim| sim.all_have(ROUNDS.into()));
    sim.run_until("agreement", ms(5_000), Sim::agree);
    sim.published_once(ROUNDS.into());
    let digest = sim.node(all[0]).state().digest();
    for id in all {
        assert_eq!(sim.node(*id).state().digest(), digest);
        sim.checks.writes_are_kept(sim.node(*id));
    }
}

#[test]
fn storms_lose_nothing_double_nothing_and_pass() {
    let range = seeds(60);
    let count = (range.end - range.start) as usize;
    let (mut acknowledged, mut published) = (0, 0);
    for seed in range {
        let seen = storm(seed);
        acknowledged += seen.0;
        published += seen.1;
    }
    assert!(acknowledged > 5 * count && published > count / 2, "{acknowledged} writes, {published} rounds");
}
