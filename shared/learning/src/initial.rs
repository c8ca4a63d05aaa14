//! Version 0 of a model, derived alike by every peer.
//!
//! What it does not do: draw from the machine's own randomness, or use an operation whose last bit may differ
//! between architectures.

use crate::random::Random;
use crate::task::tensors;
use crate::{Layer, Task};

/// The weights that training of `task` starts from: He initialisation in its uniform form (He et al. 2015), bound
/// sqrt(6 / fan-in), with biases of 0; for a GRU PyTorch's, where every number has bound 1 / sqrt(hidden).
///
/// Every peer must derive the same bits from the same seed. So the draws are integers, each tensor has a sequence
/// of its own, and division, multiplication and square root are the only operations: IEEE 754 rounds them exactly.
pub fn initial_weights(task: &Task, seed: u64) -> Vec<f32> {
    let mut weights = Vec::with_capacity(task.num_params());
    for (position, (layer, tensor)) in tensors(task).into_iter().enumerate() {
        let count = tensor.shape.iter().product::<usize>();
        match bound(layer, &tensor.shape) {
            None => weights.resize(weights.len() + count, 0.0),
            Some(bound) => {
                let mut random = Random::new(seed, position as u64);
                weights.extend((0..count).map(|_| random.signed_unit() * bound));
            }
        }
    }
    weights
}

/// How far from 0 the numbers of a tensor may lie. `None` for those that start as 0.
fn bound(layer: &Layer, shape: &[usize]) -> Option<f32> {
    match (layer, shape) {
        (Layer::Gru { hidden, .. }, _) => Some((1.0 / *hidden as f32).sqrt()),
        (_, [_, fan_in @ ..]) if !fan_in.is_empty() => {
            Some((6.0 / fan_in.iter().product::<usize>() as f32).sqrt())
        }
        _ => None,
    }
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

    #[test]
    fn a_recurrent_layer_starts_as_in_pytorch() {
        let layers = vec![Layer::Gru { hidden: 16, sequence: false }, Layer::Linear { out: 10 }];
        let task = Task { input: vec![3, 5], layers, ..Task::digits_mlp() };
        let weights = initial_weights(&task, 42);
        let unit = &weights[..3 * 16 * (3 + 16 + 2)];
        assert!(unit.iter().all(|weight| weight.abs() <= 0.25 && *weight != 0.0), "biases are drawn too");
        assert!(unit.iter().any(|weight| *weight > 0.24) && unit.iter().any(|weight| *weight < -0.24));
        assert_eq!(digest(&weights), "2df940c7769897801a7ae2bb1af6da89563b0e70320e83bf8b36c5db8b81328d");
    }
}
