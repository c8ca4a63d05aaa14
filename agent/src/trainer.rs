//! Trains on this device's data.
//!
//! The data is read when a task first needs it and again when the task changes, and stays here: what leaves is a
//! [`Contribution`]. It does not decide when to train, and it does not keep weights.

use crate::device::Device;
use crate::limits::{Gently, Limits};
use rafty_learning::{DataSet, Task, TrainControl, TrainError, train};
use rafty_runtime::{Contribution, Trainer};
use rafty_types::RunSpec;
use std::path::PathBuf;

/// Trains on the examples in one folder or file.
pub struct DeviceTrainer {
    path: PathBuf,
    limits: Limits,
    device: Device,
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
        Self { path, limits: Limits::default(), device: Device::default(), loaded: None }
    }

    /// Training no more than `limits` allow.
    pub fn within(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    fn load(&mut self, text: &str) -> Result<(), String> {
        if self.loaded.as_ref().is_none_or(|loaded| loaded.text != text) {
            let task = Task::from_toml(text).map_err(|error| error.to_string())?;
            let data = DataSet::open(&self.path, &task).map_err(|error| error.to_string())?;
            self.loaded = Some(Loaded { text: text.into(), task, data });
        }
        Ok(())
    }
}

/// The round goes on without this device; the next one asks it again.
fn sits_out<T>(why: &str) -> Option<T> {
    eprintln!("this device does not train in this round: {why}");
    None
}

impl Trainer for DeviceTrainer {
    fn train(
        &mut self,
        spec: &RunSpec,
        base: &[f32],
        control: &dyn TrainControl,
    ) -> Result<Option<Contribution>, String> {
        if let Some(why) = self.limits.forbid(&self.device) {
            return Ok(sits_out(&why));
        }
        self.load(&spec.task)?;
        let Some(loaded) = &self.loaded else { return Err("no task is loaded".into()) };
        if loaded.data.training().is_empty() {
            return Ok(None);
        }
        if let Some(why) = self.limits.too_large(0, &self.device) {
            return Ok(sits_out(&why));
        }
        let seed = order_seed(spec.seed, base);
        let gently = Gently::new(&self.limits, &self.device, control);
        let trained = match train(&loaded.task, base, &loaded.data, seed, &gently) {
            Err(TrainError::Cancelled) if gently.was_forbidden() => {
                return Ok(sits_out("it must not go on, see train_when"));
            }
            trained => trained.map_err(|error| error.to_string())?,
        };
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
