//! The device program of rafty, as a library with one door: [`run`].
//!
//! The program `rafty-agent` is nothing but a call of it, and the laptop program enters it too when it plays a
//! device. The modules beside it are what both programs say and do alike: how arguments are read ([`args`]), where
//! a member lives ([`place`]), how it becomes one ([`joining`]), how a program ends ([`failure`]), how a status reads
//! ([`status`]), and how anything is printed ([`output`]).
//!
//! What it does not do: draw on the terminal, carry data of its own, or give an operator's commands.

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod args;
mod check;
mod cli;
mod device;
mod discovery;
pub mod failure;
pub mod joining;
mod leave;
mod limits;
pub mod member;
pub mod output;
pub mod place;
mod predict;
mod provision;
pub mod recovery;
pub mod secret;
pub mod settings;
pub mod status;
mod supervision;
mod trainer;

pub use failure::Failure;
pub use limits::Limits;
pub use trainer::DeviceTrainer;

use rafty_runtime::Trainer;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs the device program with these arguments, the program's name first, until its command is done or the member
/// is stopped. The exit codes are those of [`failure`].
pub fn run<A: Into<OsString> + Clone>(arguments: impl IntoIterator<Item = A>) -> ExitCode {
    failure::finish(args::parse::<cli::Cli, A>(arguments).and_then(|cli| cli.run(None)))
}

/// As [`run`], with a model of one's own: `trainer` gets the path of this device's data. It has to keep the limits on
/// training itself.
pub fn run_with<A: Into<OsString> + Clone>(
    arguments: impl IntoIterator<Item = A>,
    trainer: impl FnOnce(PathBuf) -> Box<dyn Trainer> + 'static,
) -> ExitCode {
    failure::finish(args::parse::<cli::Cli, A>(arguments).and_then(|cli| cli.run(Some(Box::new(trainer)))))
}
