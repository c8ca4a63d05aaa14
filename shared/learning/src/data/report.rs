//! What reading gave, in numbers that may be shown: nothing of the examples themselves but the begin of a bad field.

use super::DataError;
use std::fmt;

/// How many refusals are told with their reason.
const MAX_REASONS: usize = 5;

/// How a data set came about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataReport {
    /// Files that were read.
    pub files: usize,
    /// Different examples that were found.
    pub examples: usize,
    /// Examples that were left out because they are exactly like another.
    pub duplicates: usize,
    /// Windows that were left out because they share rows with one on the other side of the holdout's border.
    pub straddling: usize,
    /// Files and pieces of files that are shorter than one window.
    pub short: usize,
    /// Files and rows that cannot be used.
    pub refused: usize,
    /// Why, for the first five of them: file, line, problem.
    pub reasons: Vec<String>,
}

impl DataReport {
    pub(super) fn refuse(&mut self, error: &DataError) {
        self.refused += 1;
        if self.reasons.len() < MAX_REASONS {
            self.reasons.push(error.to_string());
        }
    }
}

/// One line, then one for each reason.
impl fmt::Display for DataReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} examples in {} files", self.examples, self.files)?;
        let left_out = [
            (self.duplicates, "duplicates left out"),
            (self.straddling, "windows left out at the holdout's border"),
            (self.short, "pieces shorter than a window"),
            (self.refused, "rows or files refused"),
        ];
        for (count, what) in left_out.iter().filter(|(count, _)| *count > 0) {
            write!(f, ", {count} {what}")?;
        }
        self.reasons.iter().try_for_each(|reason| write!(f, "\n  {reason}"))?;
        match self.refused - self.reasons.len() {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}
