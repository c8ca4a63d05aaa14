//! Learning on one device: tasks, data sets, training, evaluation and model files.
//!
//! A [`Task`] is data, not code: input shape, layers, loss, optimiser and data layout in TOML. From it follow the
//! layout of the flat `Vec<f32>` that travels between peers, [`initial_weights`] that every peer derives alike from
//! a seed, and what [`train`], [`evaluate`] and [`predict`] do with a [`DataSet`] of this device. [`write_model`] and
//! [`read_model`] exchange a model with the rest of the world as safetensors.
//!
//! ```
//! use rafty_learning::{DataSet, Task, initial_weights, train};
//!
//! let task = Task::from_toml(r#"
//!     name = "sign"
//!     input = [1]
//!     classes = 2
//!     batch_size = 4
//!     loss = "cross_entropy"
//!     layers = [{ linear = { out = 2 } }]
//!     optimiser = { sgd = { lr = 0.5, momentum = 0.9 } }
//!     data = { format = "csv", label_column = 1 }
//! "#)?;
//! let rows = (-50..50).map(|x| format!("{x},{}\n", u8::from(x >= 0))).collect::<String>();
//! let data = DataSet::from_csv(rows.as_bytes(), &task)?;
//! let base = initial_weights(&task, 7);
//! let trained = train(&task, &base, &data, 1, &())?;
//! assert_eq!(trained.weights.len(), task.num_params());
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! This is the only crate that knows burn, and no type of burn shows. Everything runs on the calling thread:
//! burn is built without rayon, so that a training device keeps its other cores, and the same seed gives the same
//! weights on one machine.
//!
//! What it does not do: start threads, speak to peers, combine weights of several participants, or keep models on
//! disk. Data stays where it is; only weights and counts leave this crate.

mod data;
mod initial;
mod model;
mod network;
mod random;
mod split;
mod task;
mod train;

pub use data::{DataError, DataReport, DataSet, MAX_DATA_LEN, MAX_EXAMPLES, Stamp, read_samples};
pub use initial::initial_weights;
pub use model::{ModelError, encode_model, read_model, read_weights, weights_begin, write_model};
pub use split::split_dirichlet;
pub use task::{
    DataLayout, Format, Layer, Loss, MAX_CLASSES, MAX_LAYERS, MAX_PARAMS, Normalise, Optimiser, Task,
    TaskError, Window,
};
pub use train::{TrainControl, TrainError, Trained, evaluate, predict, train};
