//! What every number of a task may be: a task comes from the network, and a device must survive any of them.
//!
//! What it does not do: judge whether layers fit together; that is `shape`.

use super::{DataLayout, Format, Layer, Optimiser, Task, TaskError};
use rafty_types::MAX_NAME_LEN;
use std::ops::RangeInclusive;

/// Most weights of a model: 200 MB.
pub const MAX_PARAMS: usize = 50_000_000;
/// Most classes of a task.
pub const MAX_CLASSES: usize = 10_000;
/// Most layers of a task.
pub const MAX_LAYERS: usize = 64;

/// Most numbers between two layers, for one batch: 256 MB.
pub(super) const MAX_BATCH_VALUES: usize = 1 << 26;

const MAX_SIDE: usize = 65_536;
const MAX_BATCH: usize = 4_096;
const MAX_EPOCHS: u32 = 1_000;
const MAX_HOLDOUT: u32 = 90;
const MAX_KERNEL: usize = 63;

pub(super) fn check(task: &Task) -> Result<(), TaskError> {
    text("name", &task.name)?;
    let rank_holds = matches!(task.input.len(), 1 | 3);
    rule("input", rank_holds, "[features] or [channels, height, width]")?;
    for size in &task.input {
        within("input", size, &(1..=MAX_SIDE))?;
    }
    within("classes", &task.classes, &(2..=MAX_CLASSES))?;
    within("batch_size", &task.batch_size, &(1..=MAX_BATCH))?;
    within("local_epochs", &task.local_epochs, &(1..=MAX_EPOCHS))?;
    within("holdout_percent", &task.holdout_percent, &(0..=MAX_HOLDOUT))?;
    let named = task.class_names.is_empty() || task.class_names.len() == task.classes;
    rule("class_names", named, "empty, or one name for each class")?;
    task.class_names.iter().try_for_each(|name| text("class_names", name))?;
    rule("layers", (1..=MAX_LAYERS).contains(&task.layers.len()), &format!("1 to {MAX_LAYERS} layers"))?;
    task.layers.iter().enumerate().try_for_each(|(position, layer)| check_layer(position, layer))?;
    check_optimiser(task.optimiser)?;
    check_data(task)
}

fn check_layer(position: usize, layer: &Layer) -> Result<(), TaskError> {
    let key = |field| format!("layers[{position}].{}.{field}", layer.kind());
    match layer {
        Layer::Linear { out } => within(&key("out"), out, &(1..=MAX_SIDE)),
        Layer::Conv2d { out, kernel, stride, padding } => {
            within(&key("out"), out, &(1..=MAX_SIDE))?;
            within(&key("kernel"), kernel, &(1..=MAX_KERNEL))?;
            within(&key("stride"), stride, &(1..=MAX_KERNEL))?;
            rule(&key("padding"), padding < kernel, "less than the kernel")
        }
        Layer::MaxPool { size } => within(&key("size"), size, &(1..=MAX_KERNEL)),
        Layer::Dropout { p } => rule(&key("p"), (0.0..1.0).contains(p), "at least 0 and below 1"),
        Layer::Relu | Layer::Flatten => Ok(()),
    }
}

fn check_optimiser(optimiser: Optimiser) -> Result<(), TaskError> {
    let (kind, lr, momentum) = match optimiser {
        Optimiser::Sgd { lr, momentum } => ("sgd", lr, momentum),
        Optimiser::Adam { lr } => ("adam", lr, 0.0),
    };
    rule(&format!("optimiser.{kind}.lr"), lr > 0.0 && lr <= 10.0, "above 0 and at most 10")?;
    rule(&format!("optimiser.{kind}.momentum"), (0.0..1.0).contains(&momentum), "at least 0 and below 1")
}

fn check_data(task: &Task) -> Result<(), TaskError> {
    let DataLayout { format, divide_by, mean, std, label_column } = &task.data;
    rule("data.divide_by", divide_by.is_normal() && *divide_by > 0.0, "a number above 0")?;
    let counts = [0, 1, task.input[0]];
    let each = "empty, one number, or one for each channel or feature";
    rule("data.mean", counts.contains(&mean.len()) && mean.iter().all(|m| m.is_finite()), each)?;
    let positive = std.iter().all(|s| s.is_normal() && *s > 0.0);
    rule("data.std", counts.contains(&std.len()) && positive, &format!("{each}, above 0"))?;
    match (format, label_column) {
        (Format::Csv, None) => {
            rule("data.label_column", false, "given for CSV: the column of the class, from 0")
        }
        (Format::Csv, Some(column)) => {
            rule("data.label_column", *column <= task.example_len(), "at most the number of features")
        }
        (Format::Idx, column) => rule("data.label_column", column.is_none(), "left out for IDX"),
    }
}

fn text(key: &str, value: &str) -> Result<(), TaskError> {
    let holds = !value.trim().is_empty() && value.len() <= MAX_NAME_LEN && !value.contains(char::is_control);
    rule(key, holds, &format!("1 to {MAX_NAME_LEN} bytes of printable text"))
}

fn within<T: PartialOrd + std::fmt::Display>(
    key: &str,
    value: &T,
    range: &RangeInclusive<T>,
) -> Result<(), TaskError> {
    rule(key, range.contains(value), &format!("{} to {}, not {value}", range.start(), range.end()))
}

fn rule(key: &str, holds: bool, must: &str) -> Result<(), TaskError> {
    if holds { Ok(()) } else { Err(TaskError::Bounds { key: key.into(), must: must.into() }) }
}
