//! Random faults over many seeds.

use std::ops::Range;

/// The seeds of a test: `count` of them, or only the one in `RAFTY_SEED`.
pub(crate) fn seeds(count: u64) -> Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("RAFTY_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("RAFTY_SEEDS").unwrap_or(count),
    }
}
