//! What every number of a task may be: a task comes from the network, and a device must survive any of them.
//!
//! What it does not do: judge whether layers fit together; that is `shape`.

use super::{DataLayout, Format, Layer, Loss, Optimiser, Task, TaskError};
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
/// Most numbers of a recurrent state.
const MAX_HIDDEN: usize = 4_096;
/// Most steps of a recurrent layer: each is remembered until the gradient has come back through it.
pub(super) const MAX_STEPS: usize = 1_024;
/// Most columns of a file that a task names in one list.
const MAX_COLUMNS: usize = 1_024;

pub(super) fn check(task: &Task) -> Result<(), TaskError> {
    text("name", &task.name)?;
    let rank_holds = matches!(task.input.len(), 1..=3);
    rule("input", rank_holds, "[features], [channels, length] or [channels, height, width]")?;
    for size in &task.input {
        within("input", size, &(1..=MAX_SIDE))?;
    }
    check_outputs(task)?;
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

/// Either classes, or outputs and what is near enough.
fn check_outputs(task: &Task) -> Result<(), TaskError> {
    let Task { classes, outputs, tolerance, .. } = task;
    match task.loss {
        Loss::CrossEntropy => {
            within("classes", classes, &(2..=MAX_CLASSES))?;
            rule("outputs", *outputs == 0, "left out for cross_entropy, which has classes")?;
            rule("tolerance", *tolerance == 0.0, "left out for cross_entropy")
        }
        Loss::MeanSquaredError => {
            rule("classes", *classes == 0, "left out for mean_squared_error, which has outputs")?;
            within("outputs", outputs, &(1..=MAX_CLASSES))?;
            let near = tolerance.is_finite() && *tolerance > 0.0;
            rule(
                "tolerance",
                near,
                "a number above 0: how far from its target an output still counts as right",
            )
        }
    }
}

fn check_layer(position: usize, layer: &Layer) -> Result<(), TaskError> {
    let key = |field| format!("layers[{position}].{}.{field}", layer.kind());
    match layer {
        Layer::Linear { out } => within(&key("out"), out, &(1..=MAX_SIDE)),
        Layer::Conv2d { out, kernel, stride, padding } | Layer::Conv1d { out, kernel, stride, padding } => {
            within(&key("out"), out, &(1..=MAX_SIDE))?;
            within(&key("kernel"), kernel, &(1..=MAX_KERNEL))?;
            within(&key("stride"), stride, &(1..=MAX_KERNEL))?;
            rule(&key("padding"), padding < kernel, "less than the kernel")
        }
        Layer::MaxPool { size } | Layer::MaxPool1d { size } => within(&key("size"), size, &(1..=MAX_KERNEL)),
        Layer::Gru { hidden, .. } => within(&key("hidden"), hidden, &(1..=MAX_HIDDEN)),
        Layer::Dropout { p } => rule(&key("p"), (0.0..1.0).contains(p), "at least 0 and below 1"),
        Layer::Relu | Layer::Flatten | Layer::GlobalAverage => Ok(()),
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
    let DataLayout { format, divide_by, mean, std, spool, .. } = &task.data;
    rule("data.divide_by", divide_by.is_normal() && *divide_by > 0.0, "a number above 0")?;
    let counts = [0, 1, task.input[0]];
    let each = "empty, one number, or one for each channel or feature";
    rule("data.mean", counts.contains(&mean.len()) && mean.iter().all(|m| m.is_finite()), each)?;
    let positive = std.iter().all(|s| s.is_normal() && *s > 0.0);
    rule("data.std", counts.contains(&std.len()) && positive, &format!("{each}, above 0"))?;
    let of_rows = matches!(format, Format::Csv | Format::Npy);
    rule("data.spool", of_rows || !spool, "left out for files that do not hold rows")?;
    rule("data.format", of_rows || task.loss == Loss::CrossEntropy, "csv or npy for mean_squared_error")?;
    if *format == Format::Images {
        let image = matches!(task.input.as_slice(), [1 | 3, _, _]);
        rule("input", image, "[1, height, width] or [3, height, width] for images")?;
    }
    check_window(task)?;
    check_columns(task)
}

fn check_window(task: &Task) -> Result<(), TaskError> {
    let Some(window) = task.data.window else { return Ok(()) };
    rule("data.window", task.data.has_rows(), "left out for files that do not hold rows")?;
    let holds = matches!(task.input.as_slice(), [_, length] if *length == window.length);
    rule("data.window.length", holds, "the length in input = [channels, length]")?;
    rule("data.window.overlap", window.overlap < window.length, "less than the length")
}

/// Every column of a row has one meaning.
fn check_columns(task: &Task) -> Result<(), TaskError> {
    let DataLayout { label_column, target_columns, ignore_columns, window, .. } = &task.data;
    let (rows, regression) = (task.data.has_rows(), task.loss == Loss::MeanSquaredError);
    let must = "left out for files that do not hold rows of examples with a class";
    rule("data.label_column", label_column.is_none() || (rows && !regression), must)?;
    let needed = rows && !regression && window.is_none();
    rule("data.label_column", label_column.is_some() || !needed, "given: the column of the class, from 0")?;
    let targets = if rows && regression { task.outputs } else { 0 };
    let must = "one column, from 0, for each output of a regression on rows, and left out otherwise";
    rule("data.target_columns", target_columns.len() == targets, must)?;
    let held = rows || ignore_columns.is_empty();
    rule("data.ignore_columns", held, "left out for files that do not hold rows")?;
    let mut named: Vec<usize> = Vec::new();
    let width = task.row_width();
    let keys = [
        ("data.label_column", label_column.as_slice()),
        ("data.target_columns", target_columns),
        ("data.ignore_columns", ignore_columns),
    ];
    for (key, columns) in keys {
        rule(key, columns.len() <= MAX_COLUMNS, &format!("at most {MAX_COLUMNS} columns"))?;
        for column in columns {
            let fresh = *column < width && !named.contains(column);
            rule(key, fresh, &format!("below {width}, the number of columns of a row, and named once"))?;
            named.push(*column);
        }
    }
    Ok(())
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
