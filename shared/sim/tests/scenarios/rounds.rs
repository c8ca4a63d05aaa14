//! Runs: round after round, published once each, whatever happens to the aggregator.

use crate::{Scene, seeds, settings};
use rafty_sim::world::{World, ms};

/// Every round up to `rounds` was published once, in order, by everybody's account.
pub(crate) fn published_once(world: &World, rounds: u64) {
    for id in world.running() {
        let run = *world.node(id).state().control().runs().keys().next_back().expect("a run");
        let log = world.node(id).run_log(run);
        let numbers: Vec<_> = log.iter().map(|line| line.round.0).collect();
        assert_eq!(numbers, (1..=rounds).collect::<Vec<_>>(), "by member {id}");
    }
    assert_eq!(world.invariants.rounds.published.len() as u64, rounds);
}

#[test]
fn a_run_of_several_rounds_counts_every_update_and_ends_alike_everywhere() {
    let mut sim = Scene::new("several_rounds", 5, settings());
    let all = sim.found(3);
    sim.begin_run(6);
    sim.run_until("six rounds", ms(60_000), |sim| sim.all_have(6));
    sim.run_until("agreement", ms(2_000), World::agree);
    published_once(&sim, 6);
    for ((run, _), line) in &sim.invariants.rounds.published {
        assert_eq!(line.counted.iter().map(|(id, ..)| *id).collect::<Vec<_>>(), all, "{line:?}");
        let accepted = &sim.invariants.rounds.accepted[&(*run, line.round, line.attempts)];
        assert_eq!(line.counted.len(), accepted.len());
        assert_eq!(line.refused, []);
    }
    sim.run_for(ms(5_000));
    for id in all {
        let process = sim.members[&id].process.as_ref().unwrap();
        assert_eq!(process.worker.spooled(), 0, "member {id} keeps envelopes that nobody needs");
        assert_eq!(sim.members[&id].disk.shelf.pending, None);
    }
    assert_eq!(sim.dropped, []);
}

/// The aggregator is killed some time after the first update was accepted. Returns the attempt that was published.
fn kill_the_aggregator(seed: u64) -> Option<u64> {
    let mut sim = Scene::new("killed_aggregator", seed, settings());
    let all = sim.found(3);
    sim.begin_run(2);
    let open = |sim: &World| {
        let node = sim.node(sim.aggregator()?);
        let open = node.state().control().active_run()?.open.clone()?;
        (!open.accepted.is_empty()).then_some(open.round)
    };
    sim.run_until("an accepted update", ms(20_000), |sim| open(sim).is_some());
    let (round, victim) = (open(&sim).unwrap(), sim.aggregator().unwrap());
    let later = sim.rng.ms((0, 120));
    sim.run_for(later);
    let before = sim.invariants.rounds.published.len();
    sim.kill(victim);
    let published_before = before == 1;
    let restart_after = sim.rng.ms((0, 4_000));
    if sim.rng.percent(50) {
        sim.run_for(restart_after);
        sim.start(victim);
    }
    sim.run_until("that round", ms(40_000), |sim| {
        sim.invariants.rounds.published.len() > usize::from(published_before)
    });
    sim.start(victim);
    sim.run_until("the run's end", ms(40_000), |sim| sim.all_have(2));
    sim.run_until("agreement", ms(2_000), World::agree);
    assert_eq!(sim.running(), all);
    published_once(&sim, 2);
    if published_before {
        return None;
    }
    let (_, line) = sim.invariants.rounds.published.iter().find(|((_, of), _)| *of == round).unwrap();
    Some(line.attempts.0)
}

#[test]
fn a_killed_aggregator_costs_time_but_no_round() {
    let attempts: Vec<_> = seeds(40).filter_map(kill_the_aggregator).collect();
    let again = attempts.iter().filter(|attempt| **attempt > 1).count();
    assert!(2 * again > attempts.len(), "the kills come too late to show anything: {attempts:?}");
}
