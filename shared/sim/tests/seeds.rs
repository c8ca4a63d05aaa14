//! Seeds: those that failed once, some more each time, and that one seed is one run.

use rafty_sim::run::{listen, run};
use rafty_sim::story::Plan;

/// Seeds that every test run tells, beside those that failed once.
const SEEDS: u64 = 12;

#[test]
fn seeds_that_failed_once_and_some_others_are_well() {
    let failed =
        include_str!("regressions.txt").lines().map(|line| line.split('#').next().unwrap_or("").trim());
    let failed = failed.filter(|line| !line.is_empty()).map(|line| line.parse().expect("a seed"));
    for seed in failed.chain(0..SEEDS) {
        if let Err(failure) = run(&Plan::draw(seed, None)) {
            panic!(
                "seed {seed}: {}\nreplay: cargo run --release -p rafty-sim -- --replay {seed} --trace",
                failure.what
            );
        }
    }
}

#[test]
fn the_same_seed_is_the_same_run_whether_somebody_listens_or_not() {
    let plan = Plan::draw(3, None);
    let one = run(&plan).expect("it is well");
    let (two, story) = listen(&plan);
    assert_eq!(one.digest, two.expect("it is well").digest);
    assert!(story.len() > 1_000, "there is a story to tell: {} lines", story.len());
    let other = run(&Plan::draw(4, None)).expect("it is well");
    assert_ne!(one.digest, other.digest);
}

#[test]
fn a_plan_is_the_same_each_time_it_is_drawn() {
    let (one, two) = (Plan::draw(9, None), Plan::draw(9, None));
    assert_eq!((one.faults.len(), &one.faults, one.settings), (two.faults.len(), &two.faults, two.settings));
    assert_eq!(Plan::draw(9, Some(31)).members, 31);
}
