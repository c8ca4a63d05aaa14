//! What is learned, as data: TOML that is submitted once and spread by the replicated state.
//!
//! Here are the words of a task and how they are read; [`shape`] follows shapes through the layers, [`fit`] makes a
//! task for given data. What it does not do: compute anything, or read data.

mod bounds;
mod builtin;
mod data_layout;
mod fit;
mod layer;
mod memory;
mod shape;
mod suggest;

pub use bounds::{MAX_CLASSES, MAX_LAYERS, MAX_PARAMS};
pub use data_layout::{DataLayout, Format, Normalise, Window};
pub use layer::Layer;
pub(crate) use shape::{GATES, tensors};

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
    /// The shape of one example: `[features]`, `[channels, length]` or `[channels, height, width]`.
    pub input: Vec<usize>,
    /// How many classes there are; labels count from 0. Left out (0) for a regression.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub classes: usize,
    /// Regression only: how many numbers are to be told for one example.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub outputs: usize,
    /// Regression only: an example counts as right when each of its targets is met within this.
    #[serde(default, skip_serializing_if = "is_none")]
    pub tolerance: f32,
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
    /// The architecture, first layer first. The last one gives one number for each class or output.
    pub layers: Vec<Layer>,
    /// How weights are changed.
    pub optimiser: Optimiser,
    /// How examples are stored and scaled.
    pub data: DataLayout,
}

/// What training makes small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// -ln of the softmax probability of the true class.
    CrossEntropy,
    /// The mean over all outputs of (output - target)²: regression.
    MeanSquaredError,
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
    /// The last layer does not give one number for each class or output.
    #[error(
        "the layers of the task give shape {found:?}, but {wanted} {of} need [{wanted}]; end with a linear layer with out = {wanted}"
    )]
    Output {
        /// What comes out.
        found: Vec<usize>,
        /// What is wanted.
        wanted: usize,
        /// Classes or outputs.
        of: &'static str,
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

    /// The tensors, named and shaped as PyTorch's `nn.Sequential` would: `0.weight` is `[out, in]` of a linear layer,
    /// `[out, in, kernel]` or `[out, in, kernel, kernel]` of a convolution, and `0.bias` is `[out]`. See
    /// [`Layer::Gru`] for its four.
    pub fn layout(&self) -> Layout {
        Layout(shape::tensors(self).into_iter().map(|(_, tensor)| tensor).collect())
    }

    /// How many weights the model has.
    pub fn num_params(&self) -> usize {
        self.layout().checked_len().expect("a valid task has at most MAX_PARAMS weights")
    }

    /// How many numbers the last layer gives: one for each class, or one for each target of a regression.
    pub fn num_outputs(&self) -> usize {
        match self.loss {
            Loss::CrossEntropy => self.classes,
            Loss::MeanSquaredError => self.outputs,
        }
    }

    /// How many numbers one example has.
    pub fn example_len(&self) -> usize {
        self.input.iter().product()
    }

    /// How many numbers of one row of a file belong to an example: all of them, or one step of its window.
    pub(crate) fn row_len(&self) -> usize {
        if self.data.window.is_some() { self.input[0] } else { self.example_len() }
    }

    /// How many columns a row of a file has.
    pub(crate) fn row_width(&self) -> usize {
        let DataLayout { label_column, target_columns, ignore_columns, .. } = &self.data;
        self.row_len() + label_column.iter().len() + target_columns.len() + ignore_columns.len()
    }

    /// The name of a class: from `class_names`, or its number.
    pub fn class_name(&self, class: usize) -> String {
        self.class_names.get(class).cloned().unwrap_or_else(|| class.to_string())
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
fn is_zero(count: &usize) -> bool {
    *count == 0
}
fn is_none(tolerance: &f32) -> bool {
    *tolerance == 0.0
}
