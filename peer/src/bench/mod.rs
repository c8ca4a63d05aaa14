//! `rafty bench`: measurements with real processes.
//!
//! What is measured is a whole peer set on this machine; nothing is simulated.

mod absences;
pub(crate) mod distributed;
pub(crate) mod election;
mod figures;
mod load;
pub(crate) mod local;
mod machine;
pub(crate) mod noise;
mod plot;
pub(crate) mod rounds;
mod samples;
mod spread;
mod usage;

use rafty_agent::{Failure, output};
use tempfile::TempDir;
use usage::Usage;

/// Where a benchmark's members live while it lasts.
fn folder() -> Result<TempDir, Failure> {
    let folder = tempfile::Builder::new().prefix("rafty-").tempdir();
    folder.map_err(|error| Failure::failed(format!("no directory for the benchmark: {error}")))
}

/// Prints what was measured: one object, or lines for people.
fn print(measured: &(impl serde::Serialize + std::fmt::Display), json: bool) -> Result<(), Failure> {
    if json {
        output::json(serde_json::to_string(measured).expect("numbers always encode"))
    } else {
        output::lines(measured.to_string().lines())
    }
}

/// The word that makes this program an agent of a benchmark.
pub(crate) const AS_NOISE: &str = "up-with-noise";
