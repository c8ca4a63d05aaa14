//! Trains on this device's data.
//!
//! The data is read when a task first needs it and again when it or the task has changed, and stays here: what leaves is a
//! [`Contribution`]. It does not decide when to train, and it does not keep weights.

use crate::device::Device;
use crate::limits::{Limits, Throttle};
use rafty_learning::{DataSet, Stamp, Task, TrainControl, TrainError, train};
use rafty_runtime::{Contribution, HeldUp, LogLevel, Trainer, log};
use rafty_types::{RestCause, RunSpec};
use std::path::PathBuf;

/// Trains on the examples in one folder or file.
pub struct DeviceTrainer {
    path: PathBuf,
    limits: Limits,
    device: Device,
    loaded: Option<Loaded>,
    /// What held the last training up.
    hold: Option<Hold>,
}

/// What keeps this device from training, as far as it can be looked at.
enum Hold {
    /// It must not train now.
    Conditions,
    /// So many bytes of memory are needed.
    Memory(u64),
    /// The data, as it was then; none when it could not be reached.
    Data(Option<Stamp>),
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
        Self { path, limits: Limits::default(), device: Device::default(), loaded: None, hold: None }
    }

    /// Training no more than `limits` allow.
    pub fn within(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Reads the examples unless they were read for this task and have not changed since.
    fn load(&mut self, text: &str, task: Task) -> Result<&Loaded, HeldUp> {
        self.hold = Some(Hold::Data(None));
        let unusable = |error| HeldUp::by(RestCause::Data, error);
        let stamp = DataSet::stamp(&self.path).map_err(unusable)?;
        self.hold = Some(Hold::Data(Some(stamp)));
        if self.loaded.as_ref().is_none_or(|loaded| loaded.text != text || loaded.stamp != stamp) {
            // The old ones go first: there may not be room for both.
            self.loaded = None;
            let data = DataSet::open(&self.path, &task).map_err(unusable)?;
            if data.report().refused > 0 {
                let report = data.report().to_string();
                report.lines().for_each(|line| {
                    log(LogLevel::Warning, &format!("{}: {line}", self.path.display()));
                });
            }
            self.loaded = Some(Loaded { text: text.into(), task, stamp, data });
        }
        self.loaded.as_ref().ok_or_else(|| "no task is loaded".to_string().into())
    }
}

impl Trainer for DeviceTrainer {
    fn train(
        &mut self,
        spec: &RunSpec,
        base: &[f32],
        control: &dyn TrainControl,
    ) -> Result<Option<Contribution>, HeldUp> {
        if let Some(why) = self.limits.forbid(&self.device) {
            self.hold = Some(Hold::Conditions);
            return Err(HeldUp::by(RestCause::Conditions, why));
        }
        let task = Task::from_toml(&spec.task).map_err(|error| error.to_string())?;
        let (limits, device) = (self.limits.clone(), self.device.clone());
        let needed = self.load(&spec.task, task)?.task.training_bytes();
        // The examples are in memory now, so what is left is what training may take.
        if let Some(why) = limits.too_large(needed, &device) {
            self.hold = Some(Hold::Memory(needed));
            return Err(HeldUp::by(RestCause::Memory, why));
        }
        let Some(loaded) = self.loaded.as_ref().filter(|loaded| !loaded.data.training().is_empty()) else {
            return Ok(None);
        };
        let seed = order_seed(spec.seed, base);
        let throttle = Throttle::new(&limits, &device, control);
        let trained = match train(&loaded.task, base, &loaded.data, seed, &throttle) {
            Err(TrainError::Cancelled) if throttle.was_forbidden() => {
                self.hold = Some(Hold::Conditions);
                return Err(HeldUp::by(RestCause::Conditions, "it must not go on, see train_when"));
            }
            trained => trained.map_err(|error| error.to_string())?,
        };
        self.hold = None;
        Ok(Some(Contribution {
            weights: trained.weights,
            num_examples: trained.num_examples,
            metrics: trained.holdout,
        }))
    }

    fn can_train_again(&mut self) -> bool {
        match &self.hold {
            Some(Hold::Conditions) => self.limits.forbid(&self.device).is_none(),
            Some(Hold::Memory(needed)) => self.limits.too_large(*needed, &self.device).is_none(),
            Some(Hold::Data(before)) => {
                DataSet::stamp(&self.path).is_ok_and(|now| Some(&now) != before.as_ref())
            }
            None => true,
        }
    }
}

/// Another order of examples for every version, and the same when a round is trained once more (FNV-1a).
fn order_seed(seed: u64, base: &[f32]) -> u64 {
    const PRIME: u64 = 0x0000_0100_0000_01B3;
    base.iter().fold(seed, |hash, weight| (hash ^ u64::from(weight.to_bits())).wrapping_mul(PRIME))
}
