//! The examples of this device, in memory as they are in their files.
//!
//! A [`DataSet`] is read once and then only looked at. Exact duplicates are skipped by hash, and the same hash says
//! which examples are held out: so an example stays on its side when others come or go, on every device.
//! What it does not do: change or send the user's files, or guess what a broken file meant.

mod catalogue;
mod file;
pub(crate) mod idx;
mod row;
mod sample;
mod scale;
mod table;
mod target;

pub(crate) use file::{images_and_labels, read_unpacked, table_file};
pub use sample::read_samples;
pub(crate) use scale::Scale;
pub(crate) use table::{is_heading, records};
pub(crate) use target::Targets;

use crate::{Format, Task};
use catalogue::{Catalogue, Cataloguing};
use row::{Columns, Row};
use std::path::{Path, PathBuf};
use table::Lines;
use target::Target;

/// Largest file of examples, in bytes, after unpacking.
pub const MAX_DATA_LEN: u64 = 1 << 30;
/// Most examples of a data set.
pub const MAX_EXAMPLES: usize = 10_000_000;

/// Examples with their classes, checked against a task.
pub struct DataSet {
    shape: Vec<usize>,
    values: Values,
    catalogue: Catalogue,
}

/// The numbers of all examples, one behind another, as small as their file has them.
enum Values {
    Bytes(Vec<u8>),
    Numbers(Vec<f32>),
}

/// Examples cannot be used. No file was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DataError {
    /// A file or folder cannot be read or written.
    #[error("cannot access {}: {reason}", path.display())]
    Access {
        /// Which.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// A file is larger than [`MAX_DATA_LEN`] or has more than [`MAX_EXAMPLES`] examples.
    #[error("{0} is too large: at most 1 GiB and 10,000,000 examples are read; use fewer examples")]
    TooLarge(String),
    /// Something is not of its format.
    #[error("{what} cannot be read: {reason}")]
    Malformed {
        /// Which file.
        what: String,
        /// Where and why.
        reason: String,
    },
    /// The examples are not of the task's shape.
    #[error(
        "the task is for examples of shape {expected:?}, but {what} has {found:?}; use other data or another task"
    )]
    Shape {
        /// Which file.
        what: String,
        /// The task's.
        expected: Vec<usize>,
        /// The data's.
        found: Vec<usize>,
    },
    /// A row does not fit to the task.
    #[error("{place} cannot be used: {problem}; correct or remove it")]
    Row {
        /// Which file and line.
        place: String,
        /// Why.
        problem: String,
    },
    /// A label is not one of the task's classes.
    #[error(
        "example {position} has the label `{label}`, but the task has {classes} classes, from 0; correct the label or the task"
    )]
    Label {
        /// Which example, counted from 0.
        position: usize,
        /// Its label.
        label: String,
        /// The task's classes.
        classes: usize,
    },
    /// IDX files hold bytes, and these examples are other numbers.
    #[error("these examples are not bytes and cannot be written as IDX; nothing was written")]
    NotBytes,
}

impl DataSet {
    /// Reads the examples at `path`: for IDX a folder with `images.idx` and `labels.idx` (or `.idx.gz`), for CSV a
    /// file or a folder with one `.csv`. A folder without such files, and files without examples, are an empty set.
    ///
    /// # Errors
    /// What cannot be read, or does not fit to `task`, by name.
    pub fn open(path: &Path, task: &Task) -> Result<Self, DataError> {
        match task.data.format {
            Format::Idx => match images_and_labels(path)? {
                Some((images, labels)) => Self::from_idx(&file::read(&images)?, &file::read(&labels)?, task),
                None => Ok(Self::new(task, Values::Bytes(Vec::new()), Cataloguing::new(task).finish())),
            },
            Format::Csv => match table_file(path)? {
                Some(table) => Self::from_csv(&file::read(&table)?, task),
                None => Ok(Self::new(task, Values::Numbers(Vec::new()), Cataloguing::new(task).finish())),
            },
            Format::Npy | Format::Images => Err(DataError::Malformed {
                what: path.display().to_string(),
                reason: "this format is not read yet".into(),
            }),
        }
    }

    /// Reads examples from the bytes of two IDX files, packed with gzip or not: images of `[n, height, width]` (or
    /// `[n, channels, height, width]`, or `[n, features]`) and labels of `[n]`, both unsigned bytes.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_idx(images: &[u8], labels: &[u8], task: &Task) -> Result<Self, DataError> {
        let (images, labels) = (file::unpack("the images", images)?, file::unpack("the labels", labels)?);
        let images = idx::parse("the images", &images)?;
        let labels = idx::parse("the labels", &labels)?;
        idx::check_images(&images, &task.input)?;
        if labels.sizes != images.sizes[..1] {
            let reason = format!("its sizes are {:?}, for {} images", labels.sizes, images.sizes[0]);
            return Err(DataError::Malformed { what: "the labels".into(), reason });
        }
        let mut kept = Vec::new();
        let mut cataloguing = Cataloguing::new(task);
        let examples = images.bytes.chunks_exact(task.example_len()).zip(labels.bytes);
        for (position, (pixels, label)) in examples.enumerate() {
            let class = checked(Some(u64::from(*label)), position, &label.to_string(), task)?;
            if cataloguing.admit(pixels.to_vec(), Target::Class(class)) {
                kept.extend_from_slice(pixels);
            }
        }
        Ok(Self::new(task, Values::Bytes(kept), cataloguing.finish()))
    }

    /// Reads examples from the bytes of a CSV file, packed with gzip or not: one example in a row, its class in the
    /// task's `label_column` (a number or one of `class_names`), a first row of headings skipped.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_csv(table: &[u8], task: &Task) -> Result<Self, DataError> {
        let table = file::unpack("the table", table)?;
        let mut kept = Vec::new();
        let mut cataloguing = Cataloguing::new(task);
        let columns = Columns::of(task);
        let mut lines = Lines::new("the table", &table[..], false);
        while let Some(row) = lines.next(&|cells| columns.labelled(cells)) {
            let Row { features, target } = row?;
            let bytes = features.iter().flat_map(|value| value.to_le_bytes()).collect();
            if target.is_some_and(|target| cataloguing.admit(bytes, target)) {
                kept.extend(features);
            }
        }
        Ok(Self::new(task, Values::Numbers(kept), cataloguing.finish()))
    }

    fn new(task: &Task, values: Values, catalogue: Catalogue) -> Self {
        Self { shape: task.input.clone(), values, catalogue }
    }

    /// How many different examples there are.
    pub fn len(&self) -> usize {
        self.catalogue.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.catalogue.len == 0
    }

    /// The shape of one example: `[features]`, `[channels, length]` or `[channels, height, width]`.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// How many examples were skipped because they are exactly like another.
    pub fn duplicates(&self) -> usize {
        self.catalogue.duplicates
    }

    /// The class of each example; nothing for a regression.
    pub fn labels(&self) -> &[u32] {
        match &self.catalogue.targets {
            Targets::Classes(classes) => classes,
            Targets::Numbers(_) => &[],
        }
    }

    pub(crate) fn targets(&self) -> &Targets {
        &self.catalogue.targets
    }

    /// Positions of the examples that are trained on.
    pub fn training(&self) -> &[usize] {
        &self.catalogue.training
    }

    /// Positions of the examples that are only measured with.
    pub fn holdout(&self) -> &[usize] {
        &self.catalogue.holdout
    }

    /// The numbers of one example as its file has them, or `None` beyond the last.
    pub fn sample(&self, position: usize) -> Option<Vec<f32>> {
        let width = self.shape.iter().product::<usize>();
        let range = position.checked_mul(width)?..position.checked_add(1)?.checked_mul(width)?;
        match &self.values {
            Values::Bytes(bytes) => Some(bytes.get(range)?.iter().map(|byte| f32::from(*byte)).collect()),
            Values::Numbers(numbers) => Some(numbers.get(range)?.to_vec()),
        }
    }

    /// Writes some of the examples as `images.idx` and `labels.idx` into a folder, which is made if need be.
    /// Positions beyond the last example are left out.
    ///
    /// # Errors
    /// [`DataError::NotBytes`] for a set read from CSV; [`DataError::Access`] when the folder cannot be written.
    pub fn write_idx_folder(&self, folder: &Path, positions: &[usize]) -> Result<(), DataError> {
        let Values::Bytes(bytes) = &self.values else { return Err(DataError::NotBytes) };
        let width = self.shape.iter().product::<usize>();
        let chosen: Vec<usize> =
            positions.iter().copied().filter(|position| *position < self.len()).collect();
        let images: Vec<u8> =
            chosen.iter().flat_map(|at| &bytes[at * width..(at + 1) * width]).copied().collect();
        let labels: Vec<u8> =
            chosen.iter().filter_map(|at| self.labels().get(*at)).map(|class| *class as u8).collect();
        let mut sizes = vec![chosen.len()];
        sizes.extend(self.shape.iter().skip(usize::from(self.shape.len() == 3 && self.shape[0] == 1)));
        file::write(folder, "images.idx", &idx::encode(&sizes, &images))?;
        file::write(folder, "labels.idx", &idx::encode(&[chosen.len()], &labels))
    }
}

/// Counts only: the user's data has no place in a log.
impl std::fmt::Debug for DataSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DataSet of {} examples of shape {:?}", self.len(), self.shape)
    }
}

/// A label as the class it stands for, if the task has that class.
fn checked(class: Option<u64>, position: usize, label: &str, task: &Task) -> Result<u32, DataError> {
    match class {
        Some(class) if class < task.classes as u64 => Ok(class as u32),
        _ => Err(DataError::Label { position, label: label.into(), classes: task.classes }),
    }
}
