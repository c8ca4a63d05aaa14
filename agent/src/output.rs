//! What both programs print: the only place that writes to standard output.
//!
//! A reader that has gone away (`rafty dump | head`) is no error: the program ends quietly. Anything else that keeps
//! output from being written, such as a full disk, is a failure like any other. Notes for people go to standard error and
//! never fail: a command does its work, and a member stays a member, whether anybody reads along or not.

use crate::Failure;
use std::fmt::Display;
use std::io::{ErrorKind, Write, stderr, stdout};

/// Prints text and a line break on standard output.
///
/// # Errors
/// As [`text`].
pub fn line(line: impl Display) -> Result<(), Failure> {
    bytes(format!("{line}\n").as_bytes())
}

/// Prints text on standard output as it is.
///
/// # Errors
/// [`Failure::nobody_reads`] when the reader has gone away, to end the program quietly; else why it cannot be written.
pub fn text(text: impl Display) -> Result<(), Failure> {
    bytes(text.to_string().as_bytes())
}

/// Prints bytes on standard output as they are.
///
/// # Errors
/// As [`text`].
pub fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::nobody_reads(),
        _ => Failure::failed(format!(
            "the output cannot be written: {error}; what the command had to do is done, only its output is incomplete"
        )),
    })
}

/// Prints a line for people on standard error; lost when that cannot be written.
pub fn note(note: impl Display) {
    let _ = stderr().write_all(format!("{note}\n").as_bytes());
}
