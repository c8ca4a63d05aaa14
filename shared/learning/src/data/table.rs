//! CSV: one example in a row.

use super::{DataError, MAX_EXAMPLES};
use crate::Task;

/// A row, taken apart.
pub(super) struct Row {
    pub(super) features: Vec<f32>,
    pub(super) label: String,
}

/// All rows of the table, each field without the blanks around it. Rows may differ in length.
pub(crate) fn rows(table: &[u8]) -> Result<Vec<csv::StringRecord>, DataError> {
    let reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).trim(csv::Trim::All).from_reader(table);
    let mut rows = Vec::new();
    for row in reader.into_records() {
        if rows.len() > MAX_EXAMPLES {
            return Err(DataError::TooLarge("the table".into()));
        }
        rows.push(row.map_err(|error| malformed(error.to_string()))?);
    }
    Ok(rows)
}

/// Whether a row is one of headings: none of its fields is a number.
pub(crate) fn is_heading(row: &csv::StringRecord) -> bool {
    row.iter().all(|field| field.parse::<f32>().is_err())
}

/// The examples of a table in which each row has its class in the task's label column.
pub(super) fn labelled(table: &[u8], task: &Task) -> Result<Vec<Row>, DataError> {
    let label_column = task.data.label_column.unwrap_or(0);
    let mut examples = Vec::new();
    for (number, row) in numbered(table)? {
        if row.len() != task.example_len() + 1 {
            return Err(DataError::Shape {
                what: format!("row {number} without its label"),
                expected: task.input.clone(),
                found: vec![row.len().saturating_sub(1)],
            });
        }
        let features = features(number, &row, Some(label_column))?;
        examples.push(Row { features, label: row[label_column].into() });
    }
    Ok(examples)
}

/// The features of each row, whether it has a label or not.
pub(super) fn unlabelled(table: &[u8], task: &Task) -> Result<Vec<Vec<f32>>, DataError> {
    let mut examples = Vec::new();
    for (number, row) in numbered(table)? {
        let label_column = task.data.label_column.filter(|_| row.len() == task.example_len() + 1);
        let features = features(number, &row, label_column)?;
        if features.len() != task.example_len() {
            let (expected, found) = (task.input.clone(), vec![features.len()]);
            return Err(DataError::Shape { what: format!("row {number}"), expected, found });
        }
        examples.push(features);
    }
    Ok(examples)
}

/// The class a label stands for: its name's position, or the number it is.
pub(super) fn class(label: &str, task: &Task) -> Option<u64> {
    let named = task.class_names.iter().position(|name| name == label).map(|class| class as u64);
    let whole = |number: &f64| number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(number);
    named.or_else(|| label.parse::<f64>().ok().filter(whole).map(|number| number as u64))
}

/// Rows without the headings, each with its number as an editor shows it.
fn numbered(table: &[u8]) -> Result<impl Iterator<Item = (usize, csv::StringRecord)>, DataError> {
    let rows = rows(table)?;
    let skipped = usize::from(rows.first().is_some_and(is_heading));
    Ok(rows.into_iter().enumerate().skip(skipped).map(|(at, row)| (at + 1, row)))
}

fn features(number: usize, row: &csv::StringRecord, without: Option<usize>) -> Result<Vec<f32>, DataError> {
    let fields = row.iter().enumerate().filter(|(column, _)| Some(*column) != without);
    fields
        .map(|(column, field)| match field.parse::<f32>() {
            Ok(value) if value.is_finite() => Ok(value),
            _ => Err(malformed(format!("row {number}, column {column}: `{field}` is not a number"))),
        })
        .collect()
}

fn malformed(reason: String) -> DataError {
    DataError::Malformed { what: "the table".into(), reason }
}
