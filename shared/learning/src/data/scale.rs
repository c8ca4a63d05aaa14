//! From the numbers of a file to the numbers a network sees.

use crate::{Normalise, Task};

/// A channel that varies less than this does not move.
const MIN_STD: f64 = 1e-6;

/// (value / `divide_by` - mean) / std, with mean and std of the value's channel or feature; then, where the task wants
/// it, each channel of the example is centred and stretched by its own mean and deviation.
pub(crate) struct Scale {
    divide_by: f32,
    mean: Vec<f32>,
    std: Vec<f32>,
    /// How many numbers one channel has; 1 for features.
    stride: usize,
    per_channel: bool,
}

impl Scale {
    pub(crate) fn of(task: &Task) -> Self {
        let channels = task.input[0];
        let each = |numbers: &[f32], otherwise: f32| match numbers {
            [] => vec![otherwise; channels],
            [one] => vec![*one; channels],
            all => all.to_vec(),
        };
        Self {
            divide_by: task.data.divide_by,
            mean: each(&task.data.mean, 0.0),
            std: each(&task.data.std, 1.0),
            stride: task.example_len() / channels,
            per_channel: task.data.window.is_some_and(|window| window.normalise == Normalise::PerChannel),
        }
    }

    /// Appends one example's numbers to a batch.
    pub(crate) fn apply(&self, example: &[f32], batch: &mut Vec<f32>) {
        let channels = example.chunks(self.stride).zip(self.mean.iter().zip(&self.std));
        for (channel, (mean, std)) in channels {
            let start = batch.len();
            batch.extend(channel.iter().map(|value| (value / self.divide_by - mean) / std));
            if self.per_channel {
                normalise(&mut batch[start..]);
            }
        }
    }
}

/// To mean 0 and standard deviation 1; all to 0 when they do not differ.
fn normalise(channel: &mut [f32]) {
    let count = channel.len() as f64;
    let mean = channel.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
    let variance = channel.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>() / count;
    let std = variance.sqrt();
    for value in channel {
        *value = if std < MIN_STD { 0.0 } else { ((f64::from(*value) - mean) / std) as f32 };
    }
}
