//! Rounds of large models over links of 64 kbit/s.

use rafty_sim::run::over_slow_links;

/// Seeds of the default run; `RAFTY_SEEDS` asks for more.
const SEEDS: u64 = 10;

#[test]
fn rounds_are_published_over_slow_links_and_no_leader_is_lost() {
    let seeds = std::env::var("RAFTY_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SEEDS);

    for seed in 0..seeds {
        match over_slow_links(seed) {
            Ok(lasted) => println!("seed {seed}: three rounds in {} s", lasted.as_secs()),
            Err(failure) => panic!("seed {seed}: {}", failure.what),
        }
    }
}
