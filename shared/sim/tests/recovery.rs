//! Sets that lose their majority and go on in a new epoch, twice each.

use rafty_sim::run::recover;

/// Seeds of the default run; `RAFTY_SEEDS` asks for more.
const SEEDS: u64 = 20;

#[test]
fn a_lost_majority_loses_nothing_that_the_survivor_had() {
    let seeds = std::env::var("RAFTY_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SEEDS);
    for seed in 0..seeds {
        if let Err(failure) = recover(seed) {
            panic!("seed {seed}: {}", failure.what);
        }
    }
}
