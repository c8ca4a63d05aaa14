//! Trains on this device's data.
//!
//! The data is read when a task first needs it and again when the task changes, and stays here: what leaves is a
//! [`Contribution`]. It does not decide when to train, and it does not keep weights.

use rafty_learning::{DataSet, Task, TrainControl, train};
use rafty_runtime::{Contribution, Trainer};
use rafty_types::RunSpec;
use std::path::PathBuf;

/// Trains on the examples in one folder or file.
pub struct DeviceTrainer {
    path: PathBuf,
    loaded: Option<Loaded>,
}

/// A task, as text and as read, and the examples as it wants them.
struct Loaded {
    text: String,
    task: Task,
    data: DataSet,
}

impl DeviceTrainer {
    /// For the examples at `path`, which is read later.
    pub fn new(path: PathBuf) -> Self {
        Self { path, loaded: None }
    }

    fn load(&mut self, text: &str) -> Result<&Loaded, String> {
        if self.loaded.as_ref().is_none_or(|loaded| loaded.text != text) {
            let task = Task::from_toml(text).map_err(|error| error.to_string())?;
            let data = DataSet::open(&self.path, &task).map_err(|error| error.to_string())?;
            self.loaded = Some(Loaded { text: text.into(), task, data });
        }
        self.loaded.as_ref().ok_or_else(|| "no task is loaded".into())
    }
}

impl Trainer for DeviceTrainer {
    fn train(
        &mut self,
        spec: &RunSpec,
        base: &[f32],
        control: &dyn TrainControl,
    ) -> Result<Option<Contribution>, String> {
        let loaded = self.load(&spec.task)?;
        if loaded.data.training().is_empty() {
            return Ok(None);
        }
        let seed = order_seed(spec.seed, base);
        let trained =
            train(&loaded.task, base, &loaded.data, seed, control).map_err(|error| error.to_string())?;
        Ok(Some(Contribution {
            weights: trained.weights,
            num_examples: trained.num_examples,
            metrics: trained.holdout,
        }))
    }
}

/// Another order of examples for every version, and the same when a round is trained once more (FNV-1a).
fn order_seed(seed: u64, base: &[f32]) -> u64 {
    const PRIME: u64 = 0x0000_0100_0000_01B3;
    base.iter().fold(seed, |hash, weight| (hash ^ u64::from(weight.to_bits())).wrapping_mul(PRIME))
}
