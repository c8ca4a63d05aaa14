//! A participant that learns nothing: it gives back what it got, with a little noise.
//!
//! So a round costs what sealing, sending, opening and combining cost, and no training.

use rafty_agent::Failure;
use rafty_agent::member::{self, UpArgs};
use rafty_learning::TrainControl;
use rafty_runtime::{Contribution, HeldUp, Trainer};
use rafty_types::{Metrics, RunSpec};
use std::path::PathBuf;

/// Far below any bound on how far an update may go.
const AMPLITUDE: f32 = 1e-3;

struct Noise(u32);

impl Trainer for Noise {
    fn train(
        &mut self,
        _: &RunSpec,
        base: &[f32],
        _: &dyn TrainControl,
    ) -> Result<Option<Contribution>, HeldUp> {
        let weights = base.iter().map(|weight| weight + self.next()).collect();
        Ok(Some(Contribution { weights, num_examples: 1, metrics: Metrics::default() }))
    }
}

impl Noise {
    /// Between -[`AMPLITUDE`] and [`AMPLITUDE`], fast (xorshift, Marsaglia 2003).
    fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        (self.0 as f32 / u32::MAX as f32 * 2.0 - 1.0) * AMPLITUDE
    }
}

/// Is a member that gives noise until it is stopped.
pub(crate) fn stay(dir: PathBuf, args: &UpArgs) -> Result<(), Failure> {
    member::stay(dir, args, Some(Box::new(Noise(std::process::id() | 1))))
}
