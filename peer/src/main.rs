//! The program `rafty`: a peer on a laptop, an operator's commands, the demo and benchmarks.
//!
//! This file only starts it; [`cli`] has its commands. What it does not do: train on this device's data; that is
//! `rafty-agent`'s, whose code it carries to play devices in the demo.

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod bench;
mod cli;
mod commands;
mod demo;
mod local;
mod narration;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    // The demo starts this program again as a device: from here on it is `rafty-agent`.
    if arguments.get(1).is_some_and(|word| word == local::AS_AGENT) {
        return rafty_agent::run(arguments.into_iter().skip(1));
    }
    rafty_agent::failure::finish(rafty_agent::args::parse::<cli::Cli, _>(arguments).and_then(cli::Cli::run))
}
