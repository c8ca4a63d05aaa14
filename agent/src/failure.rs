//! How a program of rafty ends when it did not do what it was asked: one line, and a number for scripts.
//!
//! Every exit code is decided here. It does not print anything but that line.

use crate::output;
use rafty_learning::{DataError, ModelError, TaskError, TrainError};
use rafty_runtime::operator::CallError;
use rafty_runtime::setup::SetupError;
use rafty_runtime::{MemberError, StartError, UpError};
use std::process::ExitCode;

/// Done; or nobody reads what is left to print.
pub const DONE: u8 = 0;
/// Something did not work.
pub const FAILED: u8 = 1;
/// The command line is not understood; nothing was done.
pub const USAGE: u8 = 2;
/// No member runs in that directory, or there is none.
pub const NOT_RUNNING: u8 = 3;
/// The peer set refused, or does not have the state of this member; nothing was changed.
pub const REFUSED: u8 = 4;
/// It is not known whether anything was changed.
pub const UNKNOWN: u8 = 5;
/// Interrupted by a person.
pub const INTERRUPTED: u8 = 130;

/// The exit codes, for `--help`.
pub const HELP: &str = "\
Exit codes:
  0    done
  1    it did not work; the message says whether anything was changed
  2    the command line is not understood; nothing was done
  3    no member runs in that directory
  4    the peer set refused, or has another state than this member; nothing was changed
  5    it is not known whether anything was changed; look with `status`
  130  interrupted

RAFTY_DIR in the environment stands for --dir.";

/// Why a command did not work: what happened, whether anything was changed, what to try.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// One line for a person; empty when there is nothing to say.
    pub message: String,
}

impl Failure {
    /// A failure with this exit code. Line breaks in `message` become blanks.
    pub fn new(code: u8, message: impl std::fmt::Display) -> Self {
        let message = message.to_string();
        let words: Vec<&str> = message.split_whitespace().collect();
        Self { code, message: words.join(" ") }
    }

    /// Something did not work.
    pub fn failed(message: impl std::fmt::Display) -> Self {
        Self::new(FAILED, message)
    }

    /// The peer set does not want it. Nothing was changed.
    pub fn refused(message: impl std::fmt::Display) -> Self {
        Self::new(REFUSED, message)
    }

    /// Nobody knows whether it counts.
    pub fn unknown(message: impl std::fmt::Display) -> Self {
        Self::new(UNKNOWN, message)
    }

    /// Whoever read the output has gone away: ends the program without a word, as if all were printed.
    pub fn nobody_reads() -> Self {
        Self { code: DONE, message: String::new() }
    }

    /// An argument cannot be used.
    pub fn usage(message: impl std::fmt::Display) -> Self {
        Self::new(USAGE, message)
    }
}

/// Ends a program: prints the failure, if any, and gives its code.
pub fn finish(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Empty when whatever read the output has gone away: nothing went wrong here.
            if !failure.message.is_empty() {
                output::note(format_args!("error: {failure}"));
            }
            ExitCode::from(failure.code)
        }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let code = match error {
            CallError::NotRunning(_) => NOT_RUNNING,
            CallError::Refused(_) => REFUSED,
            CallError::Broken { .. } | CallError::Unknown(_) => UNKNOWN,
            CallError::PathTooLong(_) => USAGE,
        };
        Self::new(code, error)
    }
}

impl From<SetupError> for Failure {
    fn from(error: SetupError) -> Self {
        let code = match error {
            SetupError::Settings(_)
            | SetupError::Name
            | SetupError::Token(_)
            | SetupError::CannotReach { .. }
            | SetupError::Data(..) => USAGE,
            SetupError::Refused(_) => REFUSED,
            SetupError::Already(_)
            | SetupError::Listen(..)
            | SetupError::NobodyToAsk
            | SetupError::Unreachable { .. }
            | SetupError::Busy { .. }
            | SetupError::Admitted { .. }
            | SetupError::Disk { .. } => FAILED,
        };
        Self::new(code, error)
    }
}

impl From<MemberError> for Failure {
    fn from(error: MemberError) -> Self {
        let code = if matches!(error, MemberError::NotMember(_)) { NOT_RUNNING } else { FAILED };
        Self::new(code, error)
    }
}

impl From<UpError> for Failure {
    fn from(error: UpError) -> Self {
        match error {
            UpError::Member(error) => error.into(),
            UpError::Removed(_) | UpError::Diverged(_) | UpError::Start(StartError::Diverged(_)) => {
                Self::new(REFUSED, error)
            }
            other => Self::failed(other),
        }
    }
}

impl From<TaskError> for Failure {
    fn from(error: TaskError) -> Self {
        Self::failed(format!("{error}; nothing was changed"))
    }
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        Self::failed(format!("{error}; nothing was changed"))
    }
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        Self::failed(format!("{error}; nothing was changed"))
    }
}

impl From<TrainError> for Failure {
    fn from(error: TrainError) -> Self {
        Self::failed(format!("{error}; nothing was changed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_whatever_it_is_made_from() {
        let failure = Failure::failed("the task cannot be read:\n  |\n3 | lr = \n  |      ^\n");
        assert_eq!(failure.message, "the task cannot be read: | 3 | lr = | ^");
    }
}
