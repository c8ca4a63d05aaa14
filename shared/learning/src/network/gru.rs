//! A gated recurrent unit (Cho et al. 2014), unrolled over the length of its input, with PyTorch's equations:
//!
//! ```text
//! r = σ(W_ir x + b_ir + W_hr h + b_hr)        z = σ(W_iz x + b_iz + W_hz h + b_hz)
//! n = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn))        h ← (1 - z) ⊙ n + z ⊙ h
//! ```
//!
//! What it does not do: stack layers, or read backwards.

use crate::task::GATES;
use burn::tensor::{Tensor, activation};

/// The tensors of one unit: W_ih `[3 hidden, channels]`, W_hh `[3 hidden, hidden]` and a bias `[3 hidden]` each.
pub(super) struct Gru {
    pub(super) input_weight: Tensor<2>,
    pub(super) state_weight: Tensor<2>,
    pub(super) input_bias: Tensor<1>,
    pub(super) state_bias: Tensor<1>,
}

impl Gru {
    /// The state `[batch, hidden]` after each step of `x`, which is `[batch, channels, length]`.
    pub(super) fn states(self, x: Tensor<3>) -> Vec<Tensor<2>> {
        let [count, channels, length] = x.dims();
        let [rows, hidden] = self.state_weight.dims();
        // What the input gives to all gates of all steps is one product, ordered so that a step is one piece.
        let steps = x.permute([2, 0, 1]).reshape([length * count, channels]);
        let inputs = steps.matmul(self.input_weight.transpose()) + self.input_bias.reshape([1, rows]);
        let state_weight = self.state_weight.transpose();
        let state_bias = self.state_bias.reshape([1, rows]);
        let mut states: Vec<Tensor<2>> = Vec::with_capacity(length);
        for input in pieces(inputs, length) {
            let before = match states.last() {
                Some(state) => state.clone(),
                None => Tensor::zeros([count, hidden], &input.device()),
            };
            let recurrent = before.clone().matmul(state_weight.clone()) + state_bias.clone();
            let [reset_input, update_input, new_input] = gates(input, hidden);
            let [reset, update, new] = gates(recurrent, hidden);
            let reset = activation::sigmoid(reset_input + reset);
            let update = activation::sigmoid(update_input + update);
            let new = activation::tanh(new_input + reset * new);
            states.push(new.clone() + update * (before - new));
        }
        states
    }
}

/// `x` cut into `count` pieces along its first dimension, by halves: the gradient of each cut is as large as what was
/// cut, so cutting one after another would take time by the square of `count`.
fn pieces(x: Tensor<2>, count: usize) -> Vec<Tensor<2>> {
    if count == 1 {
        return vec![x];
    }
    let (rows, first) = (x.dims()[0], count / 2);
    let cut = rows / count * first;
    let mut all = pieces(x.clone().narrow(0, 0, cut), first);
    all.extend(pieces(x.narrow(0, cut, rows - cut), count - first));
    all
}

fn gates(x: Tensor<2>, hidden: usize) -> [Tensor<2>; GATES] {
    std::array::from_fn(|gate| x.clone().narrow(1, gate * hidden, hidden))
}
