//! The examples of this device, in memory as they are in their files.
//!
//! A [`DataSet`] is read once and then only looked at. Exact duplicates are skipped by hash, and the same hash says
//! which examples are held out: so an example stays on its side when others come or go, on every device. Windows of
//! time series overlap and are held out by blocks: see `series`.
//! What it does not do: change or send the user's files, or guess what a broken file meant.

mod catalogue;
mod file;
pub(crate) mod idx;
pub(crate) mod image;
pub(crate) mod npy;
mod reading;
mod report;
mod row;
mod sample;
mod scale;
mod series;
mod stamp;
mod table;
mod target;

pub(crate) use file::{IMAGES, features_and_labels, files, images_and_labels, read_unpacked, table_file};
pub use report::DataReport;
pub use sample::read_samples;
pub(crate) use scale::Scale;
pub use stamp::Stamp;
pub(crate) use table::{is_heading, records};
pub(crate) use target::Targets;

use crate::{Format, Task};
use catalogue::Catalogue;
use reading::Reading;
use series::Windows;
use std::path::{Path, PathBuf};
use target::Target;

/// Largest file of examples, in bytes after unpacking, and most bytes of all examples in memory.
pub const MAX_DATA_LEN: u64 = 1 << 30;
/// Most examples of a data set.
pub const MAX_EXAMPLES: usize = 10_000_000;

/// Examples with their classes, checked against a task.
pub struct DataSet {
    shape: Vec<usize>,
    values: Values,
    catalogue: Catalogue,
    report: DataReport,
}

/// The numbers of all examples, one behind another, as small as their file has them.
enum Values {
    Bytes(Vec<u8>),
    Numbers(Vec<f32>),
    Windows(Windows),
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
    /// A file is larger than it may be, or all have more than [`MAX_DATA_LEN`] or [`MAX_EXAMPLES`].
    #[error(
        "{0} is too large: at most 1 GiB (64 MiB of an image) and 10,000,000 examples are read; use less"
    )]
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
    /// Reads the examples at `path`: the file or folder that the task's [`Format`] describes. A folder without such
    /// files, and files without examples, are an empty set. Rows, images and, where there may be several, files that
    /// cannot be used are left out and counted: see [`report`](Self::report).
    ///
    /// # Errors
    /// What cannot be read, or does not fit to `task`, by name; but not as long as something can be used.
    pub fn open(path: &Path, task: &Task) -> Result<Self, DataError> {
        let mut reading = Reading::new(task);
        let several = task.data.spool || task.data.window.is_some();
        match task.data.format {
            Format::Idx => {
                if let Some((images, labels)) = images_and_labels(path)? {
                    return Self::from_idx(&file::read_all(&images)?, &file::read_all(&labels)?, task);
                }
            }
            Format::Csv if several => files(path, &file::TABLES)?.iter().for_each(|file| reading.file(file)),
            Format::Csv => table_file(path)?.iter().for_each(|file| reading.file(file)),
            Format::Npy if several => files(path, &file::ARRAYS)?.iter().for_each(|file| reading.file(file)),
            Format::Npy => {
                if let Some((features, labels)) = features_and_labels(path)? {
                    reading.arrays(&features, &labels)?;
                }
            }
            Format::Images => files(path, &IMAGES)?.iter().for_each(|file| reading.file(file)),
        }
        reading.finish()
    }

    /// What tells whether the files at `path` changed, without reading them. Take it before [`open`](Self::open): then
    /// what changes in between is noticed the next time.
    ///
    /// # Errors
    /// [`DataError::Access`] when the folder cannot be listed.
    pub fn stamp(path: &Path) -> Result<Stamp, DataError> {
        Stamp::of(path)
    }

    /// Reads examples from the bytes of two IDX files, packed with gzip or not: images of `[n, height, width]` (or
    /// `[n, channels, height, width]`, or `[n, features]`) and labels of `[n]`, both unsigned bytes.
    ///
    /// # Errors
    /// What cannot be read, or does not fit to `task`.
    pub fn from_idx(images: &[u8], labels: &[u8], task: &Task) -> Result<Self, DataError> {
        let (images, labels) = (file::unpack("the images", images)?, file::unpack("the labels", labels)?);
        let images = idx::parse("the images", &images)?;
        let labels = idx::parse("the labels", &labels)?;
        idx::check_images(&images, &task.input)?;
        if labels.sizes != images.sizes[..1] {
            let reason = format!("its sizes are {:?}, for {} images", labels.sizes, images.sizes[0]);
            return Err(DataError::Malformed { what: "the labels".into(), reason });
        }
        let mut reading = Reading::new(task);
        let examples = images.bytes.chunks_exact(task.example_len()).zip(labels.bytes);
        for (position, (pixels, label)) in examples.enumerate() {
            let class = u32::from(*label);
            if class as usize >= task.classes {
                let label = label.to_string();
                return Err(DataError::Label { position, label, classes: task.classes });
            }
            reading.admit_bytes(pixels, Target::Class(class));
        }
        reading.finish()
    }

    /// Reads examples from the bytes of a CSV file, packed with gzip or not: one example in a row, its class in the
    /// task's `label_column` (a number or one of `class_names`), a first row of headings skipped.
    ///
    /// # Errors
    /// The first row that cannot be used, when no other can.
    pub fn from_csv(table: &[u8], task: &Task) -> Result<Self, DataError> {
        let table = file::unpack("the table", table)?;
        let mut reading = Reading::new(task);
        reading.table(&table)?;
        reading.finish()
    }

    fn new(task: &Task, values: Values, catalogue: Catalogue, report: DataReport) -> Self {
        let report = DataReport { examples: catalogue.len, duplicates: catalogue.duplicates, ..report };
        Self { shape: task.input.clone(), values, catalogue, report }
    }

    /// How reading went: what was found, left out and refused.
    pub fn report(&self) -> &DataReport {
        &self.report
    }

    /// How many bytes of memory the examples take.
    pub fn memory(&self) -> u64 {
        let positions = size_of::<usize>() * self.len();
        let targets = match &self.catalogue.targets {
            Targets::Classes(classes) => 4 * classes.len(),
            Targets::Numbers(numbers) => 4 * numbers.len(),
        };
        (self.values.len() + positions + targets) as u64
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
        self.report.duplicates
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
            Values::Windows(windows) => windows.sample(position, &self.shape),
        }
    }

    /// Writes some of the examples as `images.idx` and `labels.idx` into a folder, which is made if need be.
    /// Positions beyond the last example are left out.
    ///
    /// # Errors
    /// [`DataError::NotBytes`] for a set of other numbers; [`DataError::Access`] when the folder cannot be written.
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

impl Values {
    /// Bytes of memory.
    fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Numbers(numbers) => 4 * numbers.len(),
            Self::Windows(windows) => 4 * windows.rows.len() + size_of::<usize>() * windows.starts.len(),
        }
    }
}
