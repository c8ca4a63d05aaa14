//! The kinds of layers.
//!
//! What it does not do: say which shapes they take; that is `shape`.

use serde::{Deserialize, Serialize};

/// A layer. Its tensors, if it has any, are named by its position: `0.weight`, `0.bias`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Layer {
    /// y = x Wᵗ + b, on flat input.
    Linear {
        /// Numbers that come out.
        out: usize,
    },
    /// Convolution over `[channels, height, width]` with a square kernel.
    Conv2d {
        /// Channels that come out.
        out: usize,
        /// Side of the kernel.
        kernel: usize,
        /// Step between positions of the kernel.
        #[serde(default = "default_stride", skip_serializing_if = "is_default_stride")]
        stride: usize,
        /// Zeros added at each border.
        #[serde(default, skip_serializing_if = "is_default_padding")]
        padding: usize,
    },
    /// The largest of each square of `size` by `size`; a rest at the border is left out.
    MaxPool {
        /// Side and step of the square.
        size: usize,
    },
    /// Convolution over `[channels, length]`.
    Conv1d {
        /// Channels that come out.
        out: usize,
        /// Length of the kernel.
        kernel: usize,
        /// Step between positions of the kernel.
        #[serde(default = "default_stride", skip_serializing_if = "is_default_stride")]
        stride: usize,
        /// Zeros added at each end.
        #[serde(default, skip_serializing_if = "is_default_padding")]
        padding: usize,
    },
    /// The largest of each `size` neighbours in `[channels, length]`; a rest at the end is left out.
    MaxPool1d {
        /// How many neighbours, and the step.
        size: usize,
    },
    /// A gated recurrent unit over `[channels, length]`, read along the length from a state of zeros, with the
    /// equations, gate order (reset, update, new) and tensors of PyTorch's `nn.GRU`: `0.weight_ih_l0`,
    /// `0.weight_hh_l0`, `0.bias_ih_l0`, `0.bias_hh_l0`.
    Gru {
        /// Numbers of its state.
        hidden: usize,
        /// Whether the state after every step comes out, `[hidden, length]`, or the last one, `[hidden]`.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        sequence: bool,
    },
    /// The mean of each channel: `[channels, length]` or `[channels, height, width]` to `[channels]`.
    GlobalAverage,
    /// max(x, 0).
    Relu,
    /// Any shape to `[features]`.
    Flatten,
    /// While training, sets each number to 0 with chance `p` and scales the others up.
    Dropout {
        /// The chance.
        p: f32,
    },
}

impl Layer {
    /// What TOML calls it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Linear { .. } => "linear",
            Self::Conv2d { .. } => "conv2d",
            Self::MaxPool { .. } => "max_pool",
            Self::Conv1d { .. } => "conv1d",
            Self::MaxPool1d { .. } => "max_pool1d",
            Self::Gru { .. } => "gru",
            Self::GlobalAverage => "global_average",
            Self::Relu => "relu",
            Self::Flatten => "flatten",
            Self::Dropout { .. } => "dropout",
        }
    }
}

fn default_stride() -> usize {
    1
}
fn is_default_stride(stride: &usize) -> bool {
    *stride == default_stride()
}
fn is_default_padding(padding: &usize) -> bool {
    *padding == 0
}
