//! Follows shapes through the layers of a task.
//!
//! What it does not do: check single numbers; `bounds` did that before.

use super::bounds::{MAX_BATCH_VALUES, MAX_PARAMS};
use super::{Layer, Task, TaskError};
use rafty_types::{Layout, TensorSpec};

/// Checks that each layer fits to the one before, the last to the classes, and all to the memory of a device.
pub(super) fn check(task: &Task) -> Result<(), TaskError> {
    let mut shape = task.input.clone();
    check_batch("input", &shape, task.batch_size)?;
    for (position, layer) in task.layers.iter().enumerate() {
        shape = output(layer, &shape).map_err(|problem| TaskError::Shape {
            position,
            layer: layer.kind(),
            input: shape.clone(),
            problem,
        })?;
        check_batch(&format!("layers[{position}].{}", layer.kind()), &shape, task.batch_size)?;
    }
    if shape != [task.classes] {
        return Err(TaskError::Output { found: shape, classes: task.classes });
    }
    match layout(task).checked_len() {
        Some(count) if count <= MAX_PARAMS => Ok(()),
        _ => Err(TaskError::Bounds {
            key: "layers".into(),
            must: format!("at most {MAX_PARAMS} weights together"),
        }),
    }
}

fn check_batch(key: &str, shape: &[usize], batch_size: usize) -> Result<(), TaskError> {
    if values(shape).saturating_mul(batch_size) <= MAX_BATCH_VALUES {
        return Ok(());
    }
    let must = format!("at most {MAX_BATCH_VALUES} numbers in a batch, not {batch_size} times {shape:?}");
    Err(TaskError::Bounds { key: key.into(), must })
}

/// The tensors of all layers. Where layers do not fit, it stops.
pub(super) fn layout(task: &Task) -> Layout {
    let mut shape = task.input.clone();
    let mut tensors = Vec::new();
    for (position, layer) in task.layers.iter().enumerate() {
        let Ok(next) = output(layer, &shape) else { break };
        let weight = match *layer {
            Layer::Linear { out } => Some(vec![out, shape[0]]),
            Layer::Conv2d { out, kernel, .. } => Some(vec![out, shape[0], kernel, kernel]),
            Layer::MaxPool { .. } | Layer::Relu | Layer::Flatten | Layer::Dropout { .. } => None,
        };
        if let Some(weight) = weight {
            let bias = vec![weight[0]];
            tensors.push(TensorSpec { name: format!("{position}.weight"), shape: weight });
            tensors.push(TensorSpec { name: format!("{position}.bias"), shape: bias });
        }
        shape = next;
    }
    Layout(tensors)
}

/// What `layer` makes of `shape`, or why it cannot.
fn output(layer: &Layer, shape: &[usize]) -> Result<Vec<usize>, String> {
    match (layer, shape) {
        (Layer::Relu | Layer::Dropout { .. }, _) => Ok(shape.to_vec()),
        (Layer::Flatten, _) => Ok(vec![values(shape)]),
        (Layer::Linear { out }, [_]) => Ok(vec![*out]),
        (Layer::Linear { .. }, _) => Err("it needs a flat one, [features]; put `flatten` before it".into()),
        (Layer::Conv2d { out, kernel, stride, padding }, [_, height, width]) => {
            let side = |size: usize| steps(size + 2 * padding, *kernel, *stride);
            match (side(*height), side(*width)) {
                (Some(height), Some(width)) => Ok(vec![*out, height, width]),
                _ => Err(format!("its kernel of {kernel} is larger than that with padding {padding}")),
            }
        }
        (Layer::MaxPool { size }, [channels, height, width]) => {
            match (steps(*height, *size, *size), steps(*width, *size, *size)) {
                (Some(height), Some(width)) => Ok(vec![*channels, height, width]),
                _ => Err(format!("its size of {size} is larger than that")),
            }
        }
        (Layer::Conv2d { .. } | Layer::MaxPool { .. }, _) => {
            Err("it needs [channels, height, width]; put it before `flatten`".into())
        }
    }
}

/// How many times a window fits.
fn steps(size: usize, window: usize, step: usize) -> Option<usize> {
    Some(size.checked_sub(window)? / step + 1)
}

fn values(shape: &[usize]) -> usize {
    shape.iter().fold(1usize, |product, &size| product.saturating_mul(size))
}
