//! Puts a data set together from files, and goes on when one of them or a row of one cannot be used.
//!
//! What it does not do: know formats; `table`, `npy` and `image` do.

use super::catalogue::Cataloguing;
use super::report::DataReport;
use super::row::{self, Cell, Columns, Row};
use super::series::Windows;
use super::table::Lines;
use super::target::Target;
use super::{DataError, DataSet, MAX_DATA_LEN, MAX_EXAMPLES, Values, file, idx, image, npy};
use crate::{Format, Loss, Task, Window};
use std::path::Path;

/// Rows, one after another.
type NextRow<'a> = &'a mut dyn FnMut() -> Option<Result<Row, DataError>>;

/// A data set that is being read.
pub(super) struct Reading<'a> {
    task: &'a Task,
    values: Values,
    cataloguing: Cataloguing,
    report: DataReport,
    /// What was refused first.
    first: Option<DataError>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(task: &'a Task) -> Self {
        let values = match (task.data.format, task.data.window) {
            (Format::Idx | Format::Images, _) => Values::Bytes(Vec::new()),
            (_, Some(_)) => Values::Windows(Windows::default()),
            (_, None) => Values::Numbers(Vec::new()),
        };
        let (cataloguing, report) = (Cataloguing::new(task), DataReport::default());
        Self { task, values, cataloguing, report, first: None }
    }

    /// The set of what could be used. When that is nothing although something was there, it is an error, but for a
    /// spool, in which something will be.
    pub(super) fn finish(self) -> Result<DataSet, DataError> {
        match self.first {
            Some(error) if self.cataloguing.len() == 0 && !self.task.data.spool => Err(error),
            _ => Ok(DataSet::new(self.task, self.values, self.cataloguing.finish(), self.report)),
        }
    }

    /// Reads one file of rows or one image, or counts it as refused.
    pub(super) fn file(&mut self, path: &Path) {
        let what = path.display().to_string();
        let outcome = match self.task.data.format {
            Format::Images => self.image(&what, path),
            Format::Idx | Format::Csv | Format::Npy => self.rows(&what, path),
        };
        match outcome {
            Ok(()) => self.report.files += 1,
            Err(error) => self.refuse(error),
        }
    }

    /// Reads a table from memory.
    pub(super) fn table(&mut self, table: &[u8]) -> Result<(), DataError> {
        let columns = Columns::of(self.task);
        let mut lines = Lines::new("the table", table, self.task.data.spool);
        self.report.files += 1;
        self.take_rows("the table", &mut || lines.next(&|cells| columns.labelled(cells)), None)
    }

    fn rows(&mut self, what: &str, path: &Path) -> Result<(), DataError> {
        let class = self.class_of_folder(what, path)?;
        let (columns, growing) = (Columns::of(self.task), self.task.data.spool);
        let (source, len) = file::open(path)?;
        if self.task.data.format == Format::Csv {
            let mut lines = Lines::new(what, source, growing);
            return self.take_rows(what, &mut || lines.next(&|cells| columns.labelled(cells)), class);
        }
        let mut array = match npy::Array::open(what, source, len) {
            Err(npy::Fault::Unfinished(_)) if growing => return Ok(()),
            array => array?,
        };
        if array.shape.len() != 2 {
            let reason = format!("its shape is {:?}, not [rows, columns]", array.shape);
            return Err(DataError::Malformed { what: what.into(), reason });
        }
        self.take_rows(what, &mut || array.next(&|cells| columns.labelled(cells)), class)
    }

    /// The class that the file's folder is named after, where rows do not say it.
    fn class_of_folder(&self, what: &str, path: &Path) -> Result<Option<Target>, DataError> {
        if self.task.data.label_column.is_some() || self.task.loss == Loss::MeanSquaredError {
            return Ok(None);
        }
        let folder =
            path.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
        let class = row::class(Cell::Text(folder), self.task);
        class.map(Target::Class).map(Some).map_err(|_| DataError::Malformed {
            what: what.into(),
            reason: format!(
                "it is in the folder `{folder}`, which is not named after one of the task's classes"
            ),
        })
    }

    fn take_rows(&mut self, what: &str, next: NextRow<'_>, class: Option<Target>) -> Result<(), DataError> {
        match self.task.data.window {
            Some(window) => self.take_series(what, window, next, class),
            None => self.take_examples(what, next),
        }
    }

    fn take_examples(&mut self, what: &str, next: NextRow<'_>) -> Result<(), DataError> {
        while let Some(row) = next() {
            self.check_room(what)?;
            match row {
                Err(error) => self.refuse(error),
                Ok(Row { features, target: Some(target) }) => self.admit_numbers(features, target),
                Ok(Row { target: None, .. }) => self.refuse(without_class(what)),
            }
        }
        Ok(())
    }

    fn take_series(
        &mut self,
        what: &str,
        window: Window,
        next: NextRow<'_>,
        class: Option<Target>,
    ) -> Result<(), DataError> {
        let channels = self.task.input[0];
        let mut piece = self.windows().piece(channels);
        while let Some(row) = next() {
            self.check_room(what)?;
            match row.map(|row| (row.features, row.target.or_else(|| class.clone()))) {
                Ok((features, Some(target))) => {
                    self.windows().rows.extend(features);
                    piece.push(target);
                    continue;
                }
                Ok((_, None)) => self.refuse(without_class(what)),
                Err(error) => self.refuse(error),
            }
            // Nobody knows what the refused row was: nothing goes over it.
            self.cut(&piece, window);
            piece = self.windows().piece(channels);
        }
        self.cut(&piece, window);
        Ok(())
    }

    fn cut(&mut self, piece: &super::series::Piece, window: Window) {
        let channels = self.task.input[0];
        if let Values::Windows(windows) = &mut self.values {
            windows.cut(piece, window, channels, &mut self.cataloguing, &mut self.report);
        }
    }

    fn windows(&mut self) -> &mut Windows {
        match &mut self.values {
            Values::Windows(windows) => windows,
            Values::Bytes(_) | Values::Numbers(_) => unreachable!("a task with windows keeps rows"),
        }
    }

    /// Reads the examples of two arrays: see [`Format::Npy`].
    pub(super) fn arrays(&mut self, features: &Path, labels: &Path) -> Result<(), DataError> {
        let (mut features, mut labels) = (npy::Array::read(features)?, npy::Array::read(labels)?);
        self.check_shapes(&features.shape, &labels.shape)?;
        if features.is_bytes() {
            self.values = Values::Bytes(Vec::new());
        }
        self.report.files += 2;
        while let (Some(example), Some(label)) = (features.next_row(), labels.next_row()) {
            self.check_room("features.npy")?;
            let outcome = match self.target(&label) {
                Err(problem) => Err(labels.refusal(problem)),
                Ok(target) => {
                    self.admit_values(&example, target).map_err(|problem| features.refusal(problem))
                }
            };
            outcome.unwrap_or_else(|error| self.refuse(error));
        }
        Ok(())
    }

    fn admit_values(&mut self, example: &[f64], target: Target) -> Result<(), String> {
        if let Values::Bytes(_) = self.values {
            let bytes: Vec<u8> = example.iter().map(|value| *value as u8).collect();
            self.admit_bytes(&bytes, target);
            return Ok(());
        }
        let numbers: Vec<f32> = example.iter().map(|value| *value as f32).collect();
        if !numbers.iter().all(|number| number.is_finite()) {
            return Err("a value is not a finite number".into());
        }
        self.admit_numbers(numbers, target);
        Ok(())
    }

    fn check_shapes(&self, features: &[usize], labels: &[usize]) -> Result<(), DataError> {
        let (found, expected) = (idx::example_shape(features), self.task.input.clone());
        if features[1..] != *expected && found != expected {
            return Err(DataError::Shape { what: "features.npy".into(), expected, found });
        }
        let outputs = if self.task.loss == Loss::CrossEntropy { 1 } else { self.task.outputs };
        let of_each = labels[1..].iter().product::<usize>();
        if labels[0] == features[0] && of_each == outputs {
            return Ok(());
        }
        let reason = format!("its shape is {labels:?}, not [{}, {outputs}]", features[0]);
        Err(DataError::Malformed { what: "labels.npy".into(), reason })
    }

    fn target(&self, label: &[f64]) -> Result<Target, String> {
        match self.task.loss {
            Loss::CrossEntropy => row::class(Cell::Number(label[0]), self.task).map(Target::Class),
            Loss::MeanSquaredError => {
                let numbers: Vec<f32> = label.iter().map(|number| *number as f32).collect();
                match numbers.iter().all(|number| number.is_finite()) {
                    true => Ok(Target::Numbers(numbers)),
                    false => Err("a target is not a finite number".into()),
                }
            }
        }
    }

    fn image(&mut self, what: &str, path: &Path) -> Result<(), DataError> {
        self.check_room(what)?;
        let Some(class) = self.class_of_folder(what, path)? else { return Err(without_class(what)) };
        let pixels = image::pixels(path, &self.task.input)?;
        self.admit_bytes(&pixels, class);
        Ok(())
    }

    fn admit_numbers(&mut self, example: Vec<f32>, target: Target) {
        let bytes = example.iter().flat_map(|value| value.to_le_bytes()).collect();
        if self.cataloguing.admit(bytes, target, None)
            && let Values::Numbers(numbers) = &mut self.values
        {
            numbers.extend(example);
        }
    }

    pub(super) fn admit_bytes(&mut self, example: &[u8], target: Target) {
        if self.cataloguing.admit(example.to_vec(), target, None)
            && let Values::Bytes(bytes) = &mut self.values
        {
            bytes.extend_from_slice(example);
        }
    }

    fn check_room(&self, what: &str) -> Result<(), DataError> {
        let full = self.cataloguing.len() >= MAX_EXAMPLES || self.values.len() as u64 >= MAX_DATA_LEN;
        if full { Err(DataError::TooLarge(format!("the data up to {what}"))) } else { Ok(()) }
    }

    fn refuse(&mut self, error: DataError) {
        self.report.refuse(&error);
        self.first.get_or_insert(error);
    }
}

fn without_class(what: &str) -> DataError {
    let reason = "nothing says its class: put it into a folder that is named after it";
    DataError::Malformed { what: what.into(), reason: reason.into() }
}
