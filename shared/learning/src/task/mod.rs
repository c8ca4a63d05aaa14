//! What is learned, as data: TOML that is submitted once and spread by the replicated state.
//!
//! Here are the words of a task and how they are read; [`shape`] follows shapes through the layers, [`fit`] makes a
//! task for given data. What it does not do: compute anything, or read data.

mod bounds;
mod builtin;
mod fit;
mod shape;
mod suggest;

pub use bounds::{MAX_CLASSES, MAX_LAYERS, MAX_PARAMS};

use rafty_types::{Layout, MAX_TASK_LEN};
use serde::{Deserialize, Serialize};

/// A learning task: data, architecture, loss, optimiser and local training settings.
///
/// The fields are those of its TOML form; [`Task::digits_cnn`] printed with [`Task::to_toml`] is an example. A task
/// made by hand is checked by [`Task::validate`]; the other functions of this crate expect a valid one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// A name for people, at most 64 bytes.
    pub name: String,
    /// The shape of one example: `[channels, height, width]` or `[features]`.
    pub input: Vec<usize>,
    /// How many classes there are; labels count from 0.
    pub classes: usize,
    /// What training makes small.
    pub loss: Loss,
    /// Examples in one step of the optimiser.
    #[serde(default = "default_batch_size")]
    pub batch_size: usize,
    /// Passes over the local examples in one round.
    #[serde(default = "default_local_epochs")]
    pub local_epochs: u32,
    /// Share of the local examples, in percent, that is never trained on but measured with.
    #[serde(default = "default_holdout_percent")]
    pub holdout_percent: u32,
    /// What names the classes, for people and in CSV files. Empty, or one for each class.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub class_names: Vec<String>,
    /// The architecture, first layer first. The last one gives one number for each class.
    pub layers: Vec<Layer>,
    /// How weights are changed.
    pub optimiser: Optimiser,
    /// How examples are stored and scaled.
    pub data: DataLayout,
}

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

/// What training makes small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// -ln of the softmax probability of the true class.
    CrossEntropy,
}

/// How weights are changed. Its state starts afresh in each round.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Optimiser {
    /// Stochastic gradient descent, as PyTorch's: v ← momentum·v + g; w ← w - lr·v.
    Sgd {
        /// Learning rate.
        lr: f64,
        /// Share of the last step that is kept.
        #[serde(default)]
        momentum: f64,
    },
    /// Adam (Kingma and Ba 2015) with β 0.9 and 0.999, ε 1e-8.
    Adam {
        /// Learning rate.
        lr: f64,
    },
}

/// How examples are stored and scaled: the network sees (value / `divide_by` - `mean`) / `std`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataLayout {
    /// The kind of file.
    pub format: Format,
    /// What every value is divided by.
    #[serde(default = "default_scale", skip_serializing_if = "is_default_scale")]
    pub divide_by: f32,
    /// Subtracted then: nothing, one number, or one for each channel or feature.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mean: Vec<f32>,
    /// Divided by at last: nothing, one number, or one for each channel or feature.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub std: Vec<f32>,
    /// CSV only: the column, counted from 0, that holds the class; all others are features.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_column: Option<usize>,
}

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// A folder with `images.idx` and `labels.idx`, each of bytes and possibly packed as `.gz`.
    Idx,
    /// One file of rows of numbers, with or without a row of headings.
    Csv,
}

/// A task cannot be used. Nothing was changed; correct the named place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaskError {
    /// The text is longer than 64 KiB.
    #[error("the task has {0} bytes of text, more than {MAX_TASK_LEN}; shorten it")]
    TooLong(usize),
    /// Not TOML, an unknown key, or a value of the wrong kind.
    #[error("the task cannot be read: {0}")]
    Syntax(String),
    /// A number or a text is out of its bounds.
    #[error("the task's `{key}` is out of bounds: it must be {must}")]
    Bounds {
        /// Where.
        key: String,
        /// What it may be.
        must: String,
    },
    /// A layer does not fit to what comes before.
    #[error("layer {position} ({layer}) of the task gets shape {input:?}, but {problem}")]
    Shape {
        /// Counted from 0, as in its tensors' names.
        position: usize,
        /// Its kind.
        layer: &'static str,
        /// What the layers before give.
        input: Vec<usize>,
        /// Why that does not fit, and what would.
        problem: String,
    },
    /// The last layer does not give one number for each class.
    #[error(
        "the layers of the task give shape {found:?}, but {classes} classes need [{classes}]; end with a linear layer with out = {classes}"
    )]
    Output {
        /// What comes out.
        found: Vec<usize>,
        /// What is wanted.
        classes: usize,
    },
    /// [`Task::for_data`] could not look at the data.
    #[error("no task can be made for this data: {0}")]
    Data(String),
}

impl Task {
    /// Reads and checks a task.
    ///
    /// # Errors
    /// Says which key, bound or layer is wrong, and what was probably meant. Nothing of a wrong task is used.
    pub fn from_toml(text: &str) -> Result<Self, TaskError> {
        if text.len() > MAX_TASK_LEN {
            return Err(TaskError::TooLong(text.len()));
        }
        let task: Self = toml::from_str(text).map_err(|error| {
            let hint = suggest::hint(error.message()).unwrap_or_default();
            TaskError::Syntax(format!("{}{hint}", error.to_string().trim_end()))
        })?;
        task.validate()?;
        Ok(task)
    }

    /// The task as TOML that [`from_toml`](Self::from_toml) reads back, one layer in a line. The same task gives the
    /// same text.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("a task always has a TOML form")
    }

    /// Checks every bound, and the shapes through all layers.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<(), TaskError> {
        bounds::check(self)?;
        shape::check(self)
    }

    /// The tensors, named and shaped as PyTorch's `nn.Sequential` would: `0.weight` is `[out, in]` of a linear layer
    /// and `[out, in, kernel, kernel]` of a convolution, and `0.bias` is `[out]`.
    pub fn layout(&self) -> Layout {
        shape::layout(self)
    }

    /// How many weights the model has.
    pub fn num_params(&self) -> usize {
        self.layout().checked_len().expect("a valid task has at most MAX_PARAMS weights")
    }

    /// How many numbers one example has.
    pub fn example_len(&self) -> usize {
        self.input.iter().product()
    }

    /// The name of a class: from `class_names`, or its number.
    pub fn class_name(&self, class: usize) -> String {
        self.class_names.get(class).cloned().unwrap_or_else(|| class.to_string())
    }
}

impl Layer {
    /// What TOML calls it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Linear { .. } => "linear",
            Self::Conv2d { .. } => "conv2d",
            Self::MaxPool { .. } => "max_pool",
            Self::Relu => "relu",
            Self::Flatten => "flatten",
            Self::Dropout { .. } => "dropout",
        }
    }
}

fn default_batch_size() -> usize {
    32
}
fn default_local_epochs() -> u32 {
    1
}
fn default_holdout_percent() -> u32 {
    10
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
fn default_scale() -> f32 {
    1.0
}
fn is_default_scale(scale: &f32) -> bool {
    *scale == default_scale()
}
