//! How a task says where its examples stand in files, and what the network sees of them.
//!
//! What it does not do: read a file.

use serde::{Deserialize, Serialize};

/// How examples are stored and scaled: the network sees (value / `divide_by` - `mean`) / `std`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataLayout {
    /// The kind of file.
    pub format: Format,
    /// What every value is divided by.
    #[serde(default = "default_scale", skip_serializing_if = "is_default_scale")]
    pub divide_by: f32,
    /// Subtracted then: nothing, one number, or one for each channel or feature.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mean: Vec<f32>,
    /// Divided by at last: nothing, one number, or one for each channel or feature.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub std: Vec<f32>,
    /// Rows only: the column, counted from 0, that holds the class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_column: Option<usize>,
    /// Rows of a regression only: the columns that hold its targets, one for each output.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub target_columns: Vec<usize>,
    /// Rows only: columns that are left out, a time stamp for instance. Whatever is in no other list is a feature.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore_columns: Vec<usize>,
    /// Rows only: the data is a folder of any number of files that grow and come while the device learns. A last line
    /// without its end and an NPY file shorter than its head says are not finished and wait for the next reading.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub spool: bool,
    /// Rows only: a row is one step of a time series, and an example is a window of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
}

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// A folder with `images.idx` and `labels.idx`, each of bytes and possibly packed as `.gz`.
    Idx,
    /// Rows of numbers, with or without a row of headings: one file, or with `spool` or `window` any number of them.
    Csv,
    /// NumPy's arrays: a folder with `features.npy` and `labels.npy`, or with `spool` or `window` any number of
    /// two-dimensional arrays that are read as rows.
    Npy,
    /// A folder with one folder of PNG and JPEG files for each class. They are scaled to the task's height and width,
    /// and made grey or coloured as it has 1 or 3 channels.
    Images,
}

/// Cuts a time series into examples of shape `[channels, length]`. The first window begins with the first row of a
/// file, the next one `length - overlap` rows later; rows at the end that fill no window wait for more.
///
/// With a `label_column` a window has the class of most of its rows, the smaller one when two are equally frequent;
/// without, the file stands in a folder that is named after its class. The targets of a regression are those of the
/// window's last row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Rows of one window.
    pub length: usize,
    /// Rows that neighbours share.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub overlap: usize,
    /// What is done to each window beyond the task's own scaling.
    #[serde(default, skip_serializing_if = "Normalise::is_none")]
    pub normalise: Normalise,
}

/// What is done to a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalise {
    /// Nothing.
    #[default]
    None,
    /// Each channel of each window gets mean 0 and standard deviation 1, after the scaling by `divide_by`, `mean`
    /// and `std`: where a sensor sits and how strong it is no longer matter. A channel that does not move becomes 0.
    PerChannel,
}

impl DataLayout {
    /// Files of this kind, with numbers as they are.
    pub fn of(format: Format) -> Self {
        Self {
            format,
            divide_by: default_scale(),
            mean: Vec::new(),
            std: Vec::new(),
            label_column: None,
            target_columns: Vec::new(),
            ignore_columns: Vec::new(),
            spool: false,
            window: None,
        }
    }

    /// Whether examples are rows of files, or windows of rows.
    pub fn has_rows(&self) -> bool {
        match self.format {
            Format::Csv => true,
            Format::Npy => self.spool || self.window.is_some(),
            Format::Idx | Format::Images => false,
        }
    }
}

impl Window {
    /// Rows from the begin of one window to that of the next.
    pub fn step(&self) -> usize {
        self.length - self.overlap
    }
}

impl Normalise {
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

fn default_scale() -> f32 {
    1.0
}
fn is_default_scale(scale: &f32) -> bool {
    *scale == default_scale()
}
fn is_zero(count: &usize) -> bool {
    *count == 0
}
