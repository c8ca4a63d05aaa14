//! What a member trains with.

use rafty_learning::TrainControl;
use rafty_types::{Metrics, RestCause, RunSpec};

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

/// Why training did not come about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldUp {
    /// What keeps this device from training.
    pub cause: RestCause,
    /// In words.
    pub reason: String,
}

impl HeldUp {
    /// For a reason in words.
    pub fn by(cause: RestCause, reason: impl ToString) -> Self {
        Self { cause, reason: reason.to_string() }
    }
}

/// Training itself failed.
impl From<String> for HeldUp {
    fn from(reason: String) -> Self {
        Self { cause: RestCause::Training, reason }
    }
}

/// Trains a model on this device's data. Runs on a thread of its own with low priority.
pub trait Trainer: Send {
    /// Trains from `base`, the weights of the current version in the layout of `spec.task`. `None` when this device
    /// has no data for the task.
    ///
    /// # Errors
    /// What keeps this device from training. It is tried again later: for a cause that is on the device within a minute,
    /// and as soon as [`can_train_again`](Self::can_train_again) says so; otherwise after growing pauses.
    fn train(
        &mut self,
        spec: &RunSpec,
        base: &[f32],
        control: &dyn TrainControl,
    ) -> Result<Option<Contribution>, HeldUp>;

    /// Whether what held the last training up on this device, or kept it without data, has gone. It is asked every few
    /// seconds meanwhile and must cost little.
    fn can_train_again(&mut self) -> bool {
        false
    }
}
