//! The files of `rafty-learning` that read foreign bytes, compiled as they are, but without burn: instrumented for
//! fuzzing, that takes ten minutes to build, and it reads nothing.
//!
//! It trains nothing, and holds no code of its own.

#![allow(dead_code, unused_imports)] // training uses what only it needs

#[path = "../../../learning/src/data/mod.rs"]
mod data;
#[path = "../../../learning/src/model.rs"]
mod model;
#[path = "../../../learning/src/task/mod.rs"]
mod task;

pub use data::{DataError, DataReport, DataSet, MAX_DATA_LEN, MAX_EXAMPLES, Stamp, read_samples};
pub use model::{ModelError, encode_model, read_model, read_weights, weights_begin, write_model};
pub use task::{
    DataLayout, Format, Layer, Loss, MAX_CLASSES, MAX_LAYERS, MAX_PARAMS, Normalise, Optimiser, Task,
    TaskError, Window,
};
