//! Makes a task that fits data which is there.
//!
//! What it does not do: look for the best architecture. It proposes a small one; a person edits the text.

use super::{DataLayout, Format, Layer, Loss, MAX_CLASSES, Optimiser, Task, TaskError};
use crate::data::{self, DataError};
use rafty_types::MAX_NAME_LEN;
use std::collections::BTreeSet;
use std::path::Path;

/// Headings that a column of classes usually has.
const LABEL_HEADINGS: [&str; 5] = ["label", "class", "target", "species", "y"];
/// From this side on, images get a convolutional network.
const MIN_CONV_SIDE: usize = 12;
const HIDDEN: usize = 64;

impl Task {
    /// Looks at the data at `path`, an IDX folder or a CSV file, and makes a small task that fits: its shape, its
    /// classes, its scale. The data is only read.
    ///
    /// A CSV file's mean and standard deviation of each column become part of the task and are seen by all peers.
    ///
    /// # Errors
    /// [`TaskError::Data`] when there is no data or it cannot be read; other errors when it is too large for a task.
    pub fn for_data(path: &Path) -> Result<Self, TaskError> {
        let images = if path.is_dir() { data::images_and_labels(path).map_err(unusable)? } else { None };
        let mut task = match images {
            Some((images, labels)) => for_images(&images, &labels)?,
            None => match data::table_file(path).map_err(unusable)? {
                Some(table) => for_table(&table)?,
                None => return Err(TaskError::Data("it has neither images.idx nor a .csv file".into())),
            },
        };
        task.name = name_of(path);
        task.validate()?;
        Ok(task)
    }
}

fn for_images(images: &Path, labels: &Path) -> Result<Task, TaskError> {
    let images = data::read_unpacked(images).map_err(unusable)?;
    let labels = data::read_unpacked(labels).map_err(unusable)?;
    let images = data::idx::parse("the images", &images).map_err(unusable)?;
    let labels = data::idx::parse("the labels", &labels).map_err(unusable)?;
    let input = data::idx::example_shape(&images.sizes);
    let classes = labels.bytes.iter().max().map_or(0, |largest| usize::from(*largest) + 1);
    if images.sizes[0] == 0 || classes == 0 {
        return Err(TaskError::Data("it has no examples".into()));
    }
    let data = DataLayout { divide_by: 255.0, ..DataLayout::of(Format::Idx) };
    Ok(proposal(input, classes.max(2), 0.05, data))
}

fn for_table(table: &Path) -> Result<Task, TaskError> {
    let bytes = data::read_unpacked(table).map_err(unusable)?;
    let mut rows = data::records(&bytes).map_err(unusable)?;
    let headings = rows.first().is_some_and(data::is_heading).then(|| rows.remove(0));
    let Some(width) = rows.first().map(|row| row.len()).filter(|width| *width >= 2) else {
        return Err(TaskError::Data("it has no rows of at least one feature and a class".into()));
    };
    let is_label = |heading: &str| LABEL_HEADINGS.contains(&heading.to_lowercase().as_str());
    let label_column = headings.and_then(|row| row.iter().position(is_label)).unwrap_or(width - 1);
    let labels: BTreeSet<&str> = rows.iter().filter_map(|row| row.get(label_column)).collect();
    let (classes, class_names) = classes_of(&labels)?;
    let features = (0..width).filter(|column| *column != label_column);
    let (mean, std) = features
        .map(|column| moments(rows.iter().filter_map(|row| row.get(column)?.parse::<f64>().ok())))
        .unzip();
    let data = DataLayout { mean, std, label_column: Some(label_column), ..DataLayout::of(Format::Csv) };
    let mut task = proposal(vec![width - 1], classes, 0.01, data);
    task.class_names = class_names;
    Ok(task)
}

/// How many classes there are, and their names unless labels are their numbers.
fn classes_of(labels: &BTreeSet<&str>) -> Result<(usize, Vec<String>), TaskError> {
    let numbers: Option<Vec<usize>> = labels.iter().map(|label| label.parse().ok()).collect();
    match numbers.as_deref().map(|numbers| numbers.iter().max()) {
        Some(Some(largest)) if *largest < MAX_CLASSES => Ok(((largest + 1).max(2), Vec::new())),
        _ if (2..=MAX_CLASSES).contains(&labels.len()) => {
            Ok((labels.len(), labels.iter().map(ToString::to_string).collect()))
        }
        _ => Err(TaskError::Data(format!(
            "its labels make {} classes; 2 to {MAX_CLASSES} are usable",
            labels.len()
        ))),
    }
}

/// Values around 0 with deviation 1 need a smaller learning rate than greys from 0 to 1.
fn proposal(input: Vec<usize>, classes: usize, lr: f64, data: DataLayout) -> Task {
    let convolutional = matches!(input.as_slice(), [_, height, width] if *height.min(width) >= MIN_CONV_SIDE);
    let mut layers = Vec::new();
    if convolutional {
        for (out, kernel, padding) in [(8, 5, 0), (16, 3, 1)] {
            layers.push(Layer::Conv2d { out, kernel, stride: 1, padding });
            layers.push(Layer::MaxPool { size: 2 });
            layers.push(Layer::Relu);
        }
    }
    if input.len() > 1 {
        layers.push(Layer::Flatten);
    }
    layers.extend([Layer::Linear { out: HIDDEN }, Layer::Relu, Layer::Linear { out: classes }]);
    Task {
        name: String::new(),
        input,
        classes,
        outputs: 0,
        tolerance: 0.0,
        loss: Loss::CrossEntropy,
        batch_size: 32,
        local_epochs: 1,
        holdout_percent: 10,
        class_names: Vec::new(),
        layers,
        optimiser: Optimiser::Sgd { lr, momentum: 0.9 },
        data,
    }
}

/// Mean and standard deviation, rounded to four digits; 1 for the latter where values do not differ.
fn moments(values: impl Iterator<Item = f64>) -> (f32, f32) {
    let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
    for value in values {
        count += 1.0;
        let before = value - mean;
        mean += before / count;
        squares += before * (value - mean);
    }
    let std = if count > 0.0 { (squares / count).sqrt() } else { 0.0 };
    let rounded = |value: f64| format!("{value:.3e}").parse::<f32>().unwrap_or(0.0);
    (rounded(mean), if std.is_normal() { rounded(std) } else { 1.0 })
}

fn name_of(path: &Path) -> String {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let mut name: String = stem.chars().filter(|letter| !letter.is_control()).collect();
    while name.len() > MAX_NAME_LEN {
        name.pop();
    }
    if name.trim().is_empty() { "task".into() } else { name }
}

fn unusable(error: DataError) -> TaskError {
    TaskError::Data(error.to_string())
}
