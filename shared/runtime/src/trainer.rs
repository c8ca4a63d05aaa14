//! What a member trains with.

use rafty_learning::TrainControl;
use rafty_types::{Metrics, RunSpec};

/// A participant's contribution to one round.
#[derive(Clone, Debug)]
pub struct Contribution {
    /// The weights after local training, in the task's layout.
    pub weights: Vec<f32>,
    /// How many examples they were trained on; their weight. At least 1.
    pub num_examples: u64,
    /// How good the base was on the local holdout, and the training loss.
    pub metrics: Metrics,
}

/// Trains a model on this device's data. Runs on a thread of its own with low priority.
pub trait Trainer: Send {
    /// Trains from `base`, the weights of the current version in the layout of `spec.task`. `None` when this device
    /// has no data for the task.
    ///
    /// # Errors
    /// In words, when the data cannot be read or training does not work out. It is tried again later.
    fn train(
        &mut self,
        spec: &RunSpec,
        base: &[f32],
        control: &dyn TrainControl,
    ) -> Result<Option<Contribution>, String>;
}
