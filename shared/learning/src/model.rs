//! Model files: safetensors, with the task inside, so that a file says itself what it is.
//!
//! The metadata holds `format = pt`, so that PyTorch's tools take it, and `task`, its TOML. The same model gives the
//! same bytes: the head is written here, because the crate's writer keeps metadata in a hash map.
//! What it does not do: open files, or read another type than F32.

use crate::task::{Task, TaskError};
use rafty_types::{Layout, MAX_TASK_LEN, Refusal};
use safetensors::{Dtype, SafeTensors};
use serde_json::{Map, Value, json};
use std::io::{self, Write};

/// Largest model file: the largest model and a head.
const MAX_FILE_LEN: usize = 4 * crate::MAX_PARAMS + 4 * MAX_TASK_LEN;
/// The head is filled with blanks to a multiple of this, so that tensors lie aligned.
const ALIGNMENT: usize = 8;
/// Weights that are written at a time.
const BLOCK_LEN: usize = 16 * 1024;

/// A model file cannot be used. Nothing was changed; fetch or export the model again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// Larger than any model of rafty.
    #[error("the model file has {0} bytes, more than {MAX_FILE_LEN}")]
    TooLarge(usize),
    /// Not safetensors.
    #[error("the model file cannot be read: {0}")]
    Malformed(String),
    /// It does not say what it is for.
    #[error("the model file has no task in its metadata; only files that rafty wrote do")]
    NoTask,
    /// The task inside is not usable.
    #[error("the model file's task is wrong: {0}")]
    Task(#[from] TaskError),
    /// Other tensors than the layout has.
    #[error("the model file has {found} tensors, but {expected} are expected")]
    Count {
        /// How many the layout has.
        expected: usize,
        /// How many the file has.
        found: usize,
    },
    /// A weight is infinite or none.
    #[error("the model file's tensor `{tensor}` holds a number that is not finite")]
    NotFinite {
        /// Which.
        tensor: String,
    },
    /// A tensor is missing, of another type or another shape.
    #[error("the model file's tensor `{name}` {problem}")]
    Tensor {
        /// Which.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl ModelError {
    /// What of a received model is wrong, in a word.
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::Tensor { .. } | Self::Count { .. } => Refusal::WrongShape,
            Self::NotFinite { .. } => Refusal::NotFinite,
            _ => Refusal::Malformed,
        }
    }
}

/// The model as a safetensors file, see [`write_model`].
pub fn encode_model(task: &str, layout: Layout, weights: &[f32]) -> Vec<u8> {
    let mut file = Vec::with_capacity(4 * weights.len() + 2 * task.len());
    write_model(task, layout, weights, &mut file).expect("a vector takes every write");
    file
}

/// Writes the model as a safetensors file, byte for byte the same for the same model: a head, then all weights in the
/// order of the layout. `task` is its TOML, put in as it is: two versions of this program may print one task
/// differently, and must make the same file of it.
///
/// # Errors
/// Those of `sink`; what was written until then is no model.
///
/// # Panics
/// When `weights` are not as many as `layout` has.
pub fn write_model(task: &str, layout: Layout, weights: &[f32], sink: &mut dyn Write) -> io::Result<()> {
    assert_eq!(Some(weights.len()), layout.checked_len(), "as many weights as the layout has");
    let mut head = Map::new();
    head.insert("__metadata__".into(), json!({ "format": "pt", "task": task }));
    let mut start = 0;
    for tensor in layout.0 {
        let end = start + 4 * tensor.shape.iter().product::<usize>();
        let entry = json!({ "dtype": "F32", "shape": tensor.shape, "data_offsets": [start, end] });
        head.insert(tensor.name, entry);
        start = end;
    }
    let mut head = Value::Object(head).to_string().into_bytes();
    head.resize(head.len().next_multiple_of(ALIGNMENT), b' ');
    sink.write_all(&(head.len() as u64).to_le_bytes())?;
    sink.write_all(&head)?;
    for weights in weights.chunks(BLOCK_LEN) {
        let block: Vec<[u8; 4]> = weights.iter().map(|weight| weight.to_le_bytes()).collect();
        sink.write_all(block.as_flattened())?;
    }
    Ok(())
}

/// Where the weights begin in a model file of so many `bytes`: they are what it ends with.
pub fn weights_begin(bytes: u64, params: usize) -> u64 {
    bytes.saturating_sub(4 * params as u64)
}

/// Reads a model file that [`write_model`] made, here or elsewhere.
///
/// # Errors
/// See [`ModelError`]; any bytes may be given.
pub fn read_model(bytes: &[u8]) -> Result<(Task, Vec<f32>), ModelError> {
    check_len(bytes)?;
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(malformed)?;
    let text = metadata.metadata().as_ref().and_then(|metadata| metadata.get("task"));
    let task = Task::from_toml(text.ok_or(ModelError::NoTask)?)?;
    let weights = read_weights(bytes, &task.layout())?;
    Ok((task, weights))
}

/// Reads the weights of any safetensors file whose tensors are those of `layout`, by name, shape and type F32.
///
/// # Errors
/// See [`ModelError`]; any bytes may be given.
pub fn read_weights(bytes: &[u8], layout: &Layout) -> Result<Vec<f32>, ModelError> {
    check_len(bytes)?;
    let file = SafeTensors::deserialize(bytes).map_err(malformed)?;
    if file.len() != layout.0.len() {
        return Err(ModelError::Count { expected: layout.0.len(), found: file.len() });
    }
    let mut weights = Vec::with_capacity(bytes.len() / 4);
    for spec in &layout.0 {
        let wrong = |problem: String| ModelError::Tensor { name: spec.name.clone(), problem };
        let tensor = file.tensor(&spec.name).map_err(|_| wrong("is missing".into()))?;
        if tensor.dtype() != Dtype::F32 {
            return Err(wrong(format!("holds {:?}, not F32", tensor.dtype())));
        }
        if tensor.shape() != spec.shape {
            return Err(wrong(format!("has shape {:?}, not {:?}", tensor.shape(), spec.shape)));
        }
        let (numbers, _) = tensor.data().as_chunks::<4>();
        weights.extend(numbers.iter().map(|number| f32::from_le_bytes(*number)));
    }
    match weights.iter().position(|weight| !weight.is_finite()) {
        None => Ok(weights),
        Some(at) => Err(ModelError::NotFinite { tensor: owner(layout, at) }),
    }
}

/// The tensor that the number at `position` of the flat weights belongs to.
fn owner(layout: &Layout, position: usize) -> String {
    let mut end = 0;
    let tensor = layout.0.iter().find(|tensor| {
        end += tensor.shape.iter().product::<usize>();
        position < end
    });
    tensor.map(|tensor| tensor.name.clone()).unwrap_or_default()
}

fn check_len(bytes: &[u8]) -> Result<(), ModelError> {
    if bytes.len() > MAX_FILE_LEN { Err(ModelError::TooLarge(bytes.len())) } else { Ok(()) }
}

fn malformed(error: safetensors::SafeTensorError) -> ModelError {
    ModelError::Malformed(error.to_string())
}
