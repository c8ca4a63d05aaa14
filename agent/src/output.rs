//! What both programs print: the only place that writes to standard output, or a line to standard error.
//!
//! Names, keys, reasons and most other text that is shown is somebody else's, and may hold orders to a terminal or line
//! breaks that forge a line. So whatever a person reads goes out a line at a time with what does not print escaped, and
//! JSON with the same escaped in its strings: its value stays exact.
//!
//! A reader that has gone away (`rafty dump | head`) is no error: the program ends quietly. Anything else that keeps
//! output from being written, such as a full disk, is a failure like any other. Notes for people go to standard error and
//! never fail: a command does its work, and a member stays a member, whether anybody reads along or not.

use crate::Failure;
use rafty_types::{printable, printable_json};
use std::fmt::Display;
use std::io::{ErrorKind, Write, stderr, stdout};

/// Prints a line on standard output. A line break in it is escaped.
///
/// # Errors
/// As [`exact`].
pub fn line(line: impl Display) -> Result<(), Failure> {
    lines([line])
}

/// Prints lines on standard output, at once. A line break in one of them is escaped.
///
/// # Errors
/// As [`exact`].
pub fn lines(lines: impl IntoIterator<Item = impl Display>) -> Result<(), Failure> {
    exact(&lines.into_iter().map(|line| one_line(&line.to_string())).collect::<String>())
}

/// Prints JSON, as an encoder wrote it, and a line break on standard output.
///
/// # Errors
/// As [`exact`].
pub fn json(json: impl Display) -> Result<(), Failure> {
    exact(&format!("{}\n", printable_json(&json.to_string())))
}

/// Prints text on standard output as it is: only for what holds nothing of others.
///
/// # Errors
/// [`Failure::nobody_reads`] when the reader has gone away, to end the program quietly; else why it cannot be written.
pub fn exact(text: &str) -> Result<(), Failure> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::nobody_reads(),
        _ => Failure::failed(format!(
            "the output cannot be written: {error}; what the command had to do is done, only its output is incomplete"
        )),
    })
}

/// Prints a line for people on standard error; lost when that cannot be written. A line break in it is escaped.
pub fn note(note: impl Display) {
    let _ = stderr().write_all(one_line(&note.to_string()).as_bytes());
}

/// Tabs stay: they forge no more than blanks do, and columns are told apart by them.
fn one_line(line: &str) -> String {
    let columns: Vec<String> = line.split('\t').map(printable).collect();
    format!("{}\n", columns.join("\t"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_whatever_it_is_made_from() {
        let name = "x`\nmember 2 is removed \u{1b}[1A\u{9b}\u{202e}";
        assert_eq!(
            one_line(&format!("`{name}`\tis küche")),
            "`x`\\u{a}member 2 is removed \\u{1b}[1A\\u{9b}\\u{202e}`\tis küche\n"
        );
    }
}
