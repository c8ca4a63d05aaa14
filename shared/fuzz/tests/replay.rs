//! Every seed, and every input that ever failed, goes through its target. Needs no fuzzer.

use rafty_fuzz::{TARGETS, seeds};
use std::path::Path;

#[test]
fn no_seed_fails_and_each_target_has_some() {
    let seeds = seeds::all();
    for (target, _) in TARGETS {
        assert!(seeds.iter().any(|seed| seed.target == *target), "{target} has no seed");
    }
    for seed in seeds {
        eprintln!("{}/{}", seed.target, seed.name);
        let (_, target) = TARGETS.iter().find(|(name, _)| *name == seed.target).expect("a seed names its target");
        target(&seed.bytes);
    }
}

#[test]
fn nothing_that_failed_once_fails_again() {
    let regressions = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    for (name, target) in TARGETS {
        let Ok(files) = std::fs::read_dir(regressions.join(name)) else { continue };
        for file in files {
            let path = file.expect("the folder can be read").path();
            eprintln!("{}", path.display());
            target(&std::fs::read(path).expect("the file can be read"));
        }
    }
}
