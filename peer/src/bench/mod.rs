//! `rafty bench`: measurements with real processes.
//!
//! What is measured is a whole peer set on this machine; nothing is simulated.

mod load;
pub(crate) mod local;
pub(crate) mod noise;
pub(crate) mod rounds;

/// The word that makes this program an agent of a benchmark.
pub(crate) const AS_NOISE: &str = "up-with-noise";
