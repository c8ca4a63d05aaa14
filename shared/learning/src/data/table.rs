//! CSV: one row in a line, read line by line, so that a bad one spoils no other.
//!
//! What it does not do: quoted fields that go over several lines.

use super::row::Cell;
use super::{DataError, MAX_DATA_LEN};
use std::io::{BufRead, Read};

/// Longest line.
const MAX_LINE_LEN: u64 = 1 << 24;

/// The rows of a table, one after another, each with its line as an editor counts. Headings and empty lines are left out.
pub(super) struct Lines<R> {
    what: String,
    source: std::io::Take<R>,
    number: u64,
    /// Whether a last line without its end is left for later.
    growing: bool,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(what: &str, source: R, growing: bool) -> Self {
        Self { what: what.into(), source: source.take(MAX_DATA_LEN), number: 0, growing }
    }

    /// The next row as `read` sees its fields, or why it cannot be used. `None` at the end.
    pub(super) fn next<T>(
        &mut self,
        read: &dyn Fn(&[Cell<'_>]) -> Result<T, String>,
    ) -> Option<Result<T, DataError>> {
        loop {
            let line = match self.line()? {
                Ok(line) => line,
                Err(problem) => return Some(Err(self.refusal(problem))),
            };
            let Ok(text) = str::from_utf8(&line) else {
                return Some(Err(self.refusal("it is not text in UTF-8".into())));
            };
            let fields = fields(text);
            if fields.is_empty() || (self.number == 1 && is_heading(&fields)) {
                continue;
            }
            let cells: Vec<Cell<'_>> = fields.iter().map(Cell::Text).collect();
            return Some(read(&cells).map_err(|problem| self.refusal(problem)));
        }
    }

    /// The next line. After a failure there is no other.
    fn line(&mut self) -> Option<Result<Vec<u8>, String>> {
        let mut line = Vec::new();
        let read = self.source.by_ref().take(MAX_LINE_LEN).read_until(b'\n', &mut line);
        self.number += 1;
        let problem = match read {
            Err(error) => error.to_string(),
            Ok(0) => return None,
            Ok(_) if line.ends_with(b"\n") => return Some(Ok(line)),
            Ok(read) if read as u64 == MAX_LINE_LEN => format!("it is longer than {MAX_LINE_LEN} bytes"),
            Ok(_) if self.source.limit() == 0 => {
                "the file is larger than 1 GiB; the rest was not read".into()
            }
            Ok(_) if self.growing => return None,
            Ok(_) => return Some(Ok(line)),
        };
        self.source.set_limit(0);
        Some(Err(problem))
    }

    fn refusal(&self, problem: String) -> DataError {
        DataError::Row { place: format!("{}, line {}", self.what, self.number), problem }
    }
}

/// All rows of a table, headings included.
pub(crate) fn records(table: &[u8]) -> Result<Vec<csv::StringRecord>, DataError> {
    let malformed = |error: std::str::Utf8Error| DataError::Malformed {
        what: "the table".into(),
        reason: format!("it is not text in UTF-8: {error}"),
    };
    let records = str::from_utf8(table).map_err(malformed)?.lines().map(fields);
    Ok(records.filter(|fields| !fields.is_empty()).collect())
}

/// Whether a row is one of headings: none of its fields is a number.
pub(crate) fn is_heading(row: &csv::StringRecord) -> bool {
    row.iter().all(|field| field.parse::<f32>().is_err())
}

/// The fields of a line, without the blanks around each. An empty line has none.
fn fields(line: &str) -> csv::StringRecord {
    let line = line.trim_start_matches('\u{feff}').trim();
    if line.is_empty() {
        return csv::StringRecord::new();
    }
    if !line.contains('"') {
        return line.split(',').map(str::trim).collect();
    }
    let reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .trim(csv::Trim::All)
        .buffer_capacity(line.len())
        .from_reader(line.as_bytes());
    reader.into_records().next().and_then(Result::ok).unwrap_or_default()
}
