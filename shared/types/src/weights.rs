//! How a flat vector of weights is read as named tensors.

use serde::{Deserialize, Serialize};

/// One tensor of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorSpec {
    /// The name, as PyTorch would name it: `conv1.weight`.
    pub name: String,
    /// The sizes of its dimensions, outermost first.
    pub shape: Vec<usize>,
}

impl TensorSpec {
    /// How many numbers it holds. `None` when that does not fit in a `usize`.
    pub fn checked_len(&self) -> Option<usize> {
        self.shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size))
    }
}

/// The tensors of a model, in the order in which they lie one behind another in a flat `Vec<f32>`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout(pub Vec<TensorSpec>);

impl Layout {
    /// How many numbers the whole model holds. `None` when that does not fit in a `usize`.
    pub fn checked_len(&self) -> Option<usize> {
        self.0.iter().try_fold(0usize, |sum, tensor| sum.checked_add(tensor.checked_len()?))
    }
}
