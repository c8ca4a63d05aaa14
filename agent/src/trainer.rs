//! Trains on this device's data.
//!
//! The data is read when a task first needs it and again when it or the task has changed, and stays here: what leaves is a
//! [`Contribution`]. It does not decide when to train, and it does not keep weights.

use crate::device::Device;
use crate::limits::{Gently, Limits};
use rafty_learning::{DataSet, Stamp, Task, TrainControl, TrainError, train};
use rafty_runtime::{Contribution, LogLevel, Trainer, log};
use rafty_types::RunSpec;
use std::path::PathBuf;

/// Trains on the examples in one folder or file.
pub struct DeviceTrainer {
    path: PathBuf,
    limits: Limits,
    device: Device,
    loaded: Option<Loaded>,
}

/// A task, as text and as read, and the examples as it wants them, as they were at one time.
struct Loaded {
    text: String,
    task: Task,
    stamp: Stamp,
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

    /// Reads the examples unless they were read for this task and have not changed since.
    fn load(&mut self, text: &str, task: Task) -> Result<&Loaded, String> {
        let stamp = DataSet::stamp(&self.path).map_err(|error| error.to_string())?;
        if self.loaded.as_ref().is_none_or(|loaded| loaded.text != text || loaded.stamp != stamp) {
            // The old ones go first: there may not be room for both.
            self.loaded = None;
            let data = DataSet::open(&self.path, &task).map_err(|error| error.to_string())?;
            if data.report().refused > 0 {
                log(LogLevel::Warning, &format!("{}: {}", self.path.display(), data.report()));
            }
            self.loaded = Some(Loaded { text: text.into(), task, stamp, data });
        }
        self.loaded.as_ref().ok_or_else(|| "no task is loaded".into())
    }
}

/// The round goes on without this device; the next one asks it again.
fn sits_out<T>(why: &str) -> Option<T> {
    log(LogLevel::Info, &format!("this device does not train in this round: {why}"));
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
        let task = Task::from_toml(&spec.task).map_err(|error| error.to_string())?;
        let (limits, device) = (self.limits.clone(), self.device.clone());
        let loaded = self.load(&spec.task, task)?;
        // The examples are in memory now, so what is left is what training may take.
        if let Some(why) = limits.too_large(loaded.task.training_bytes(), &device) {
            return Ok(sits_out(&why));
        }
        if loaded.data.training().is_empty() {
            return Ok(None);
        }
        let seed = order_seed(spec.seed, base);
        let gently = Gently::new(&limits, &device, control);
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
