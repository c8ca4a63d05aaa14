//! Makes a task that fits data which is there.
//!
//! What it does not do: look for the best architecture. It proposes a small one; a person edits the text.

use super::{DataLayout, Format, Layer, Loss, MAX_CLASSES, Optimiser, Task, TaskError};
use crate::data::{self, DataError};
use rafty_types::MAX_NAME_LEN;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Headings that a column of classes usually has.
const LABEL_HEADINGS: [&str; 5] = ["label", "class", "target", "species", "y"];
/// From this side on, images get a convolutional network.
const MIN_CONV_SIDE: usize = 12;
const HIDDEN: usize = 64;
/// The side that pictures are scaled to.
const FIT_SIDE: usize = 32;
/// Most pictures that are tried until one can be read.
const MAX_FIT_IMAGES: usize = 100;
/// Most channels or features that get a mean and a deviation of their own.
const MAX_FIT_CHANNELS: usize = 1_024;

impl Task {
    /// Looks at the data at `path` and makes a small task that fits: its shape, its classes, its scale. The data may
    /// be a folder of IDX files, of `features.npy` and `labels.npy`, or of images by class, or a CSV file; it is only
    /// read. Time series and spools need a person who says what their columns are.
    ///
    /// The mean and standard deviation of each feature become part of the task and are seen by all peers.
    ///
    /// # Errors
    /// [`TaskError::Data`] when there is no data or it cannot be read; other errors when it is too large for a task.
    pub fn for_data(path: &Path) -> Result<Self, TaskError> {
        let mut task = match (path.is_dir(), proposal_for_folder(path)) {
            (true, Some(task)) => task?,
            _ => match data::table_file(path).map_err(unusable)? {
                Some(table) => for_table(&table)?,
                None => {
                    let wanted = "images.idx, features.npy, a .csv file, or folders of .png or .jpg files";
                    return Err(TaskError::Data(format!("it has none of {wanted}")));
                }
            },
        };
        task.name = name_of(path);
        task.validate()?;
        Ok(task)
    }
}

/// `None` when the folder has none of the kinds of files that are looked for.
fn proposal_for_folder(folder: &Path) -> Option<Result<Task, TaskError>> {
    let idx = data::images_and_labels(folder).map_err(unusable).transpose();
    let npy = || data::features_and_labels(folder).map_err(unusable).transpose();
    let pictures = || match data::files(folder, &data::IMAGES).map_err(unusable) {
        Ok(files) if files.is_empty() => None,
        files => Some(files),
    };
    idx.map(|pair| pair.and_then(|(images, labels)| for_images(&images, &labels)))
        .or_else(|| npy().map(|pair| pair.and_then(|(features, labels)| for_arrays(&features, &labels))))
        .or_else(|| pictures().map(|files| files.and_then(|files| for_pictures(&files))))
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

fn for_arrays(features: &Path, labels: &Path) -> Result<Task, TaskError> {
    let open = |path: &Path| data::npy::Array::read(path).map_err(unusable);
    let (mut features, mut labels) = (open(features)?, open(labels)?);
    let input = data::idx::example_shape(&features.shape);
    let (bytes, channels) = (features.is_bytes(), input.first().copied().unwrap_or(0));
    let mut classes = 2;
    while let Some(label) = labels.next_row() {
        let whole =
            label.len() == 1 && label[0].fract() == 0.0 && (0.0..MAX_CLASSES as f64).contains(&label[0]);
        if !whole {
            return Err(TaskError::Data(
                "its labels are not whole numbers of classes; write the task by hand".into(),
            ));
        }
        classes = classes.max(label[0] as usize + 1);
    }
    let mut layout = DataLayout::of(Format::Npy);
    if bytes {
        layout.divide_by = 255.0;
    } else if (1..=MAX_FIT_CHANNELS).contains(&channels) {
        let stride = (features.row_len() / channels).max(1);
        let mut moments = vec![Moments::default(); channels];
        while let Some(row) = features.next_row() {
            for (values, moments) in row.chunks(stride).zip(&mut moments) {
                values.iter().filter(|value| value.is_finite()).for_each(|value| moments.add(*value));
            }
        }
        (layout.mean, layout.std) = moments.iter().map(Moments::rounded).unzip();
    }
    Ok(proposal(input, classes, if bytes { 0.05 } else { 0.01 }, layout))
}

/// Images of any size, by class: see [`Format::Images`].
fn for_pictures(files: &[PathBuf]) -> Result<Task, TaskError> {
    let folder = |file: &PathBuf| Some(file.parent()?.file_name()?.to_str()?.to_string());
    let class_names: BTreeSet<String> = files.iter().filter_map(folder).collect();
    if !(2..=MAX_CLASSES).contains(&class_names.len()) {
        return Err(TaskError::Data(format!(
            "its images are in {} folders; one for each of 2 to {MAX_CLASSES} classes is usable",
            class_names.len()
        )));
    }
    // One that can be read is enough to tell grey from coloured.
    let coloured = files.iter().take(MAX_FIT_IMAGES).find_map(|file| data::image::is_coloured(file).ok());
    let coloured = coloured.ok_or_else(|| TaskError::Data("none of its first images can be read".into()))?;
    let layout = DataLayout { divide_by: 255.0, ..DataLayout::of(Format::Images) };
    let input = vec![if coloured { 3 } else { 1 }, FIT_SIDE, FIT_SIDE];
    let mut task = proposal(input, class_names.len(), 0.05, layout);
    task.class_names = class_names.into_iter().collect();
    Ok(task)
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
        .map(|column| {
            let mut moments = Moments::default();
            let values = rows.iter().filter_map(|row| row.get(column)?.parse::<f64>().ok());
            values.for_each(|value| moments.add(value));
            moments.rounded()
        })
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

/// Mean and standard deviation of numbers that come one by one (Welford 1962).
#[derive(Clone, Copy, Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let before = value - self.mean;
        self.mean += before / self.count;
        self.squares += before * (value - self.mean);
    }

    /// Both, rounded to four digits; 1 for the deviation where values do not differ.
    fn rounded(&self) -> (f32, f32) {
        let std = if self.count > 0.0 { (self.squares / self.count).sqrt() } else { 0.0 };
        let rounded = |value: f64| format!("{value:.3e}").parse::<f32>().unwrap_or(0.0);
        (rounded(self.mean), if std.is_normal() { rounded(std) } else { 1.0 })
    }
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
