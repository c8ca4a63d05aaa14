//! Five members whose links carry 64 kbit/s each way, and a run whose model takes a link for most of a minute.

use crate::faults::SLOWEST_LINK;
use crate::tally::Sometimes;
use crate::world::World;
use rafty_types::Settings;
use std::time::Duration;

/// A model of 100,000 weights.
const MODEL_LEN: u64 = 400_000;
const ROUNDS: u32 = 3;
/// How long a round may take. Each link carries four copies of updates and of models in it, at least.
const ROUND_WITHIN: Duration = Duration::from_secs(900);
/// Until transports have found that links are slow, and timeouts are as long as that needs, leaders may be lost.
const FOUND_WITHIN: Duration = Duration::from_secs(60);
/// Longer than all of it lasts.
const FOR_GOOD: Duration = Duration::from_secs(100_000);
/// When links become slow, in milliseconds from the submission of the run.
const SLOW_AFTER: (u64, u64) = (0, 3_000);

/// Tells the story of this seed. Returns how long the rounds took.
///
/// # Panics
/// With the property that did not hold.
pub fn tell(seed: u64) -> Duration {
    let mut world = World::new(seed, Settings::default());
    world.found(5);
    world.rates.model_len = MODEL_LEN;
    world.begin_run(ROUNDS);
    let after = world.rng.ms(SLOW_AFTER);
    world.run_for(after);
    let begun = world.now;
    world.links_are_slow(SLOWEST_LINK, FOR_GOOD);
    world.run_for(FOUND_WITHIN);
    world.run_until("a tenure over slow links", FOUND_WITHIN, |world| world.aggregator().is_some());
    let before = world.tally.seen(Sometimes::LeaderOverthrown);
    let rounds = u64::from(ROUNDS);
    world.run_until("rounds over slow links", ROUND_WITHIN * ROUNDS, |world| world.all_have(rounds));
    let lost = world.tally.seen(Sometimes::LeaderOverthrown) - before;
    assert!(lost == 0, "leaders stay over slow links: {lost} were lost");
    assert!(world.tally.seen(Sometimes::SentInParts) > 0, "envelopes go over slow links part by part");
    world.now.saturating_since(begun)
}
