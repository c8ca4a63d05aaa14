//! How much memory a task takes while it is trained.
//!
//! What it does not do: count the examples, see [`DataSet::memory`](crate::DataSet::memory), or the program itself.

use super::shape::{GATES, each_layer};
use super::{Layer, Optimiser, Task};

/// Bytes of a number.
const NUMBER: u64 = 4;
/// Numbers that a recurrent layer keeps for each gate of each number of its state at each step: two products, their
/// sums and what comes of them, with most of the gradients. As measured.
const STEP_VALUES: u64 = 7;
/// Bytes that the first training takes whatever the task: pages of the program, and room of the allocator.
const FIXED: u64 = 4_000_000;

impl Task {
    /// About how many bytes one training takes at its peak, beyond the examples: the base and the trained weights,
    /// gradients, what the optimiser remembers, and what one batch leaves in every layer until its gradient has come
    /// back. Measured peaks lie within a factor of 1.5 of it (a test holds that); give a device some room.
    pub fn training_bytes(&self) -> u64 {
        let weights = self.num_params() as u64;
        let largest = self.layout().0.iter().map(|tensor| tensor.shape.iter().product::<usize>()).max();
        // The base, the weights in training, their gradients, what is remembered; and copies of the tensor that changes.
        let remembered = match self.optimiser {
            Optimiser::Sgd { .. } => 1,
            Optimiser::Adam { .. } => 2,
        };
        let of_weights = (3 + remembered) * weights + 3 * largest.unwrap_or(0) as u64;
        let of_batch = self.batch_size as u64 * self.example_values();
        FIXED + NUMBER * (of_weights + of_batch)
    }

    /// Numbers that one example leaves behind on its way there and back.
    fn example_values(&self) -> u64 {
        let input = 3 * self.example_len() as u64;
        each_layer(self).iter().map(|(layer, from, to)| layer_values(layer, from, to)).sum::<u64>() + input
    }
}

/// What comes out of a layer and its gradient, and what the layer works with.
fn layer_values(layer: &Layer, from: &[usize], to: &[usize]) -> u64 {
    let count = |shape: &[usize]| shape.iter().product::<usize>() as u64;
    let out = 2 * count(to);
    match layer {
        Layer::Flatten => 0,
        Layer::Gru { hidden, .. } => out + STEP_VALUES * (GATES * hidden * from[1]) as u64,
        Layer::Conv2d { .. } | Layer::Conv1d { .. } => out + count(from),
        _ => out,
    }
}
