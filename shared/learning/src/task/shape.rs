//! Follows shapes through the layers of a task.
//!
//! What it does not do: check single numbers; `bounds` did that before.

use super::bounds::{MAX_BATCH_VALUES, MAX_PARAMS, MAX_STEPS};
use super::{Layer, Task, TaskError};
use rafty_types::TensorSpec;

/// The reset, the update and the new gate of a GRU.
pub(crate) const GATES: usize = 3;

/// Checks that each layer fits to the one before, the last to the classes, and all to the memory of a device.
pub(super) fn check(task: &Task) -> Result<(), TaskError> {
    let mut shape = task.input.clone();
    check_batch("input", &shape, task.batch_size)?;
    for (position, layer) in task.layers.iter().enumerate() {
        let input = shape;
        shape = output(layer, &input).map_err(|problem| TaskError::Shape {
            position,
            layer: layer.kind(),
            input: input.clone(),
            problem,
        })?;
        let key = format!("layers[{position}].{}", layer.kind());
        check_batch(&key, &shape, task.batch_size)?;
        if let Layer::Gru { hidden, .. } = layer {
            // What goes into all gates at all steps is computed at once.
            check_batch(&key, &[GATES * hidden, input[1]], task.batch_size)?;
        }
    }
    let wanted = task.num_outputs();
    if shape != [wanted] {
        let of = if task.classes > 0 { "classes" } else { "outputs" };
        return Err(TaskError::Output { found: shape, wanted, of });
    }
    match task.layout().checked_len() {
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

/// The tensors of all layers, each with its layer. Where layers do not fit, it stops.
pub(crate) fn tensors(task: &Task) -> Vec<(&Layer, TensorSpec)> {
    let mut tensors = Vec::new();
    for (position, (layer, from, _)) in each_layer(task).into_iter().enumerate() {
        let named = layer_tensors(layer, from[0]).into_iter();
        tensors.extend(named.map(|(name, shape)| {
            let name = format!("{position}.{name}");
            (layer, TensorSpec { name, shape })
        }));
    }
    tensors
}

/// Each layer with the shape that it gets and the one that it gives. Where layers do not fit, it stops.
pub(super) fn each_layer(task: &Task) -> Vec<(&Layer, Vec<usize>, Vec<usize>)> {
    let mut shape = task.input.clone();
    let follow = |layer| {
        let to = output(layer, &shape).ok()?;
        Some((layer, std::mem::replace(&mut shape, to.clone()), to))
    };
    task.layers.iter().map_while(follow).collect()
}

/// The tensors of one layer on so many channels or features, in the order in which it takes them.
fn layer_tensors(layer: &Layer, channels: usize) -> Vec<(&'static str, Vec<usize>)> {
    let weight_and_bias = |weight: Vec<usize>| {
        let bias = vec![weight[0]];
        vec![("weight", weight), ("bias", bias)]
    };
    match *layer {
        Layer::Linear { out } => weight_and_bias(vec![out, channels]),
        Layer::Conv2d { out, kernel, .. } => weight_and_bias(vec![out, channels, kernel, kernel]),
        Layer::Conv1d { out, kernel, .. } => weight_and_bias(vec![out, channels, kernel]),
        Layer::Gru { hidden, .. } => vec![
            ("weight_ih_l0", vec![GATES * hidden, channels]),
            ("weight_hh_l0", vec![GATES * hidden, hidden]),
            ("bias_ih_l0", vec![GATES * hidden]),
            ("bias_hh_l0", vec![GATES * hidden]),
        ],
        Layer::MaxPool { .. }
        | Layer::MaxPool1d { .. }
        | Layer::GlobalAverage
        | Layer::Relu
        | Layer::Flatten
        | Layer::Dropout { .. } => Vec::new(),
    }
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
        (Layer::Conv1d { out, kernel, stride, padding }, [_, length]) => {
            match steps(length + 2 * padding, *kernel, *stride) {
                Some(length) => Ok(vec![*out, length]),
                None => Err(format!("its kernel of {kernel} is larger than that with padding {padding}")),
            }
        }
        (Layer::MaxPool1d { size }, [channels, length]) => match steps(*length, *size, *size) {
            Some(length) => Ok(vec![*channels, length]),
            None => Err(format!("its size of {size} is larger than that")),
        },
        (Layer::Gru { hidden, sequence }, [_, length]) => match (*length <= MAX_STEPS, sequence) {
            (true, true) => Ok(vec![*hidden, *length]),
            (true, false) => Ok(vec![*hidden]),
            (false, _) => Err(format!(
                "it takes at most {MAX_STEPS} steps; shorten with a convolution of larger stride or a `max_pool1d`"
            )),
        },
        (Layer::GlobalAverage, [channels, _] | [channels, _, _]) => Ok(vec![*channels]),
        (Layer::Conv2d { .. } | Layer::MaxPool { .. }, _) => {
            Err("it needs [channels, height, width]; put it before `flatten`".into())
        }
        (Layer::Conv1d { .. } | Layer::MaxPool1d { .. } | Layer::Gru { .. }, _) => {
            Err("it needs [channels, length]; put it before `flatten`, or before a `gru` without `sequence`"
                .into())
        }
        (Layer::GlobalAverage, _) => Err("it needs channels with something to average".into()),
    }
}

/// How many times a window fits.
fn steps(size: usize, window: usize, step: usize) -> Option<usize> {
    Some(size.checked_sub(window)? / step + 1)
}

fn values(shape: &[usize]) -> usize {
    shape.iter().fold(1usize, |product, &size| product.saturating_mul(size))
}
