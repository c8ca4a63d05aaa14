//! What a member trains with.

use rafty_learning::TrainControl;
use rafty_types::{MAX_EXAMPLES, Metrics, RestCause, RunSpec, is_weight};

/// A participant's contribution to one round.
#[derive(Clone, Debug)]
pub struct Contribution {
    /// The weights after local training, in the task's layout.
    pub weights: Vec<f32>,
    /// How many examples they were trained on; their weight. 1 to [`MAX_EXAMPLES`].
    pub num_examples: u64,
    /// How good the base was on the local holdout, and the training loss. At most [`MAX_EXAMPLES`] are held out.
    pub metrics: Metrics,
}

impl Contribution {
    /// Whether an aggregator accepts such numbers: it is better told here than refused there.
    ///
    /// # Errors
    /// What is wrong with them, in words.
    pub(crate) fn check(&self) -> Result<(), String> {
        let Self { num_examples, metrics: Metrics { examples, correct, .. }, .. } = *self;
        if !is_weight(num_examples) {
            return Err(format!(
                "training counted {num_examples} examples, and an update stands for 1 to {MAX_EXAMPLES}; nothing was sent; \
                 let it count larger units, such as texts instead of tokens"
            ));
        }
        if !self.metrics.are_of(1) {
            return Err(format!(
                "{correct} of {examples} held-out examples are said to be right, and at most {MAX_EXAMPLES} may be held \
                 out; nothing was sent; let it count larger units"
            ));
        }
        Ok(())
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_no_aggregator_accepts_are_told_where_they_are_made() {
        let said = |num_examples, examples, correct| {
            let metrics = Metrics { examples, correct, ..Metrics::default() };
            Contribution { weights: Vec::new(), num_examples, metrics }.check()
        };
        assert_eq!(said(1, 0, 0), Ok(()));
        assert_eq!(said(MAX_EXAMPLES, MAX_EXAMPLES, MAX_EXAMPLES), Ok(()));
        for num_examples in [0, MAX_EXAMPLES + 1, u64::MAX] {
            let why = said(num_examples, 0, 0).unwrap_err();
            assert!(why.contains(&format!("counted {num_examples} examples")), "{why}");
        }
        assert!(said(1, 5, 6).is_err() && said(1, MAX_EXAMPLES + 1, 6).is_err());
    }
}
