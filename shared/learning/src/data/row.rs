//! One row of a file: which of its columns are features and which say what is to be learned.
//!
//! What it does not do: take a file apart into rows; `table` and `npy` do.

use super::target::Target;
use crate::{Loss, Task};

/// A row that fits to the task.
#[derive(Debug, PartialEq)]
pub(super) struct Row {
    pub(super) features: Vec<f32>,
    /// `None` when the row does not say it: the class is that of the file's folder, or is to be predicted.
    pub(super) target: Option<Target>,
}

/// What stands in one column of a row.
#[derive(Clone, Copy)]
pub(super) enum Cell<'a> {
    Text(&'a str),
    Number(f64),
}

/// What each column of a task's files means.
pub(super) struct Columns<'a> {
    task: &'a Task,
    roles: Vec<Role>,
}

#[derive(Clone, Copy, PartialEq)]
enum Role {
    Feature,
    Label,
    Target(usize),
    Ignored,
}

impl<'a> Columns<'a> {
    pub(super) fn of(task: &'a Task) -> Self {
        let mut roles = vec![Role::Feature; task.row_width()];
        task.data.ignore_columns.iter().for_each(|column| roles[*column] = Role::Ignored);
        task.data.label_column.iter().for_each(|column| roles[*column] = Role::Label);
        for (output, column) in task.data.target_columns.iter().enumerate() {
            roles[*column] = Role::Target(output);
        }
        Self { task, roles }
    }

    /// The row with what it says is to be learned, or why it cannot be used.
    pub(super) fn labelled(&self, cells: &[Cell<'_>]) -> Result<Row, String> {
        self.check_count(cells, self.roles.len())?;
        let features = self.features(cells)?;
        Ok(Row { features, target: self.target(cells)? })
    }

    /// The features of a row that may have all its columns, or those of features alone.
    pub(super) fn unlabelled(&self, cells: &[Cell<'_>]) -> Result<Row, String> {
        if cells.len() == self.task.row_len() {
            let features = cells.iter().enumerate().map(|(column, cell)| number(column, *cell));
            return Ok(Row { features: features.collect::<Result<_, _>>()?, target: None });
        }
        self.check_count(cells, self.roles.len())?;
        Ok(Row { features: self.features(cells)?, target: None })
    }

    fn check_count(&self, cells: &[Cell<'_>], expected: usize) -> Result<(), String> {
        match cells.len() == expected {
            true => Ok(()),
            false => Err(format!("it has {} columns, but the task's files have {expected}", cells.len())),
        }
    }

    fn features(&self, cells: &[Cell<'_>]) -> Result<Vec<f32>, String> {
        let columns = self.roles.iter().enumerate().filter(|(_, role)| **role == Role::Feature);
        columns.map(|(column, _)| number(column, cells[column])).collect()
    }

    fn target(&self, cells: &[Cell<'_>]) -> Result<Option<Target>, String> {
        let mut numbers = vec![0.0; self.task.data.target_columns.len()];
        for (column, role) in self.roles.iter().enumerate() {
            match role {
                Role::Label => return class(cells[column], self.task).map(Target::Class).map(Some),
                Role::Target(output) => numbers[*output] = number(column, cells[column])?,
                Role::Feature | Role::Ignored => {}
            }
        }
        Ok((self.task.loss == Loss::MeanSquaredError).then_some(Target::Numbers(numbers)))
    }
}

fn number(column: usize, cell: Cell<'_>) -> Result<f32, String> {
    let (value, text) = match cell {
        Cell::Text(text) => (text.parse::<f32>().ok(), text.to_string()),
        Cell::Number(number) => (Some(number as f32), number.to_string()),
    };
    value
        .filter(|value| value.is_finite())
        .ok_or_else(|| format!("column {column}: `{}` is not a number", shortened(&text)))
}

/// The class that a label stands for: its name's position, or the number it is.
pub(super) fn class(label: Cell<'_>, task: &Task) -> Result<u32, String> {
    let (named, number, text) = match label {
        Cell::Text(text) => {
            (task.class_names.iter().position(|name| name == text), text.parse().ok(), text.to_string())
        }
        Cell::Number(number) => (None, Some(number), number.to_string()),
    };
    let whole = |number: &f64| number.fract() == 0.0 && (0.0..task.classes as f64).contains(number);
    named.map(|class| class as u32).or_else(|| number.filter(whole).map(|number| number as u32)).ok_or_else(
        || format!("the label `{}` is none of the task's {} classes", shortened(&text), task.classes),
    )
}

/// A file may hold anything: an error quotes the begin of it.
fn shortened(text: &str) -> String {
    const MAX_QUOTED: usize = 32;
    text.chars().map(|letter| if letter.is_control() { '?' } else { letter }).take(MAX_QUOTED).collect()
}
