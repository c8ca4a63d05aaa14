//! How much is done, with which random numbers, and what is left out here.

/// Says how many faults of a kind there are, instead of a few.
const FAULTS: &str = "RAFTY_FAULTS";
/// Repeats the choices of an earlier run. Their timing is the machine's.
const SEED: &str = "RAFTY_FAULTS_SEED";
/// Makes everything that would be skipped fail.
const REQUIRE_ALL: &str = "RAFTY_REQUIRE_ALL";

/// How many faults there are: `few` unless told otherwise.
pub(crate) fn faults(few: usize) -> usize {
    std::env::var(FAULTS).map_or(few, |many| many.parse().unwrap_or_else(|_| panic!("{FAULTS}: a number")))
}

/// Whether more than a few are wanted.
pub(crate) fn is_deep() -> bool {
    std::env::var_os(FAULTS).is_some()
}

/// Random choices; their seed is said, so that they can be made again.
pub(crate) fn choices() -> fastrand::Rng {
    let given =
        std::env::var(SEED).ok().map(|seed| seed.parse().unwrap_or_else(|_| panic!("{SEED}: a number")));
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    println!("{SEED}={seed}");
    fastrand::Rng::with_seed(seed)
}

/// Says why a test is left out; fails when nothing may be.
pub(crate) fn skip(why: &str) {
    assert!(std::env::var_os(REQUIRE_ALL).is_none(), "{REQUIRE_ALL} is set, but {why}");
    eprintln!("skipped: {why}");
}
