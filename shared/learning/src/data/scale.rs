//! From the numbers of a file to the numbers a network sees.

use crate::Task;

/// (value / `divide_by` - mean) / std, with mean and std of the value's channel or feature.
pub(crate) struct Scale {
    divide_by: f32,
    mean: Vec<f32>,
    std: Vec<f32>,
    /// How many numbers one channel has; 1 for features.
    stride: usize,
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
        }
    }

    /// Appends one example's numbers to a batch.
    pub(crate) fn apply(&self, example: &[f32], batch: &mut Vec<f32>) {
        let channels = example.chunks(self.stride).zip(self.mean.iter().zip(&self.std));
        for (channel, (mean, std)) in channels {
            batch.extend(channel.iter().map(|value| (value / self.divide_by - mean) / std));
        }
    }
}
