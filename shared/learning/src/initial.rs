//! Version 0 of a model, derived alike by every peer.
//!
//! What it does not do: draw from the machine's own randomness, or use an operation whose last bit may differ
//! between architectures.

use crate::Task;
use crate::random::Random;

/// The weights that training of `task` starts from: He initialisation in its uniform form (He et al. 2015), bound
/// sqrt(6 / fan-in); biases are 0.
///
/// Every peer must derive the same bits from the same seed. So the draws are integers, each tensor has a sequence
/// of its own, and division, multiplication and square root are the only operations: IEEE 754 rounds them exactly.
pub fn initial_weights(task: &Task, seed: u64) -> Vec<f32> {
    let mut weights = Vec::with_capacity(task.num_params());
    for (position, tensor) in task.layout().0.iter().enumerate() {
        let count = tensor.shape.iter().product::<usize>();
        match tensor.shape.as_slice() {
            [_] => weights.resize(weights.len() + count, 0.0),
            [_, fan_in @ ..] => {
                let bound = (6.0 / fan_in.iter().product::<usize>() as f32).sqrt();
                let mut random = Random::new(seed, position as u64);
                weights.extend((0..count).map(|_| random.signed_unit() * bound));
            }
            [] => unreachable!("no layer has a tensor without dimensions"),
        }
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;
    use rafty_types::Digest;

    fn digest(weights: &[f32]) -> String {
        let bytes: Vec<u8> = weights.iter().flat_map(|weight| weight.to_le_bytes()).collect();
        Digest::of(&bytes).to_string()
    }

    #[test]
    fn version_0_never_changes() {
        let weights = initial_weights(&Task::digits_cnn(), 42);
        assert_eq!(digest(&weights), "b3ec3f856d738574175bb8bdec6b03d16669c165eac2075d701484c3f551d601");
        assert_ne!(weights, initial_weights(&Task::digits_cnn(), 43));
    }

    #[test]
    fn weights_fill_their_bound_and_biases_are_zero() {
        let task = Task::digits_mlp();
        let weights = initial_weights(&task, 1);
        let first = &weights[..784 * 64];
        let bound = (6.0f32 / 784.0).sqrt();
        assert!(first.iter().all(|weight| weight.abs() <= bound));
        assert!(first.iter().any(|weight| *weight > 0.99 * bound));
        assert!(first.iter().any(|weight| *weight < -0.99 * bound));
        assert!(weights[784 * 64..785 * 64].iter().all(|bias| *bias == 0.0));
    }
}
