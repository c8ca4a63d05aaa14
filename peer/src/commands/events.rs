//! `rafty events`: follows what happens on a member.

use super::print_lines;
use crate::narration::{Line, sentence};
use rafty_agent::{Failure, output};
use rafty_runtime::operator;
use std::path::Path;

/// Prints a line an event until the member ends or nobody reads.
pub(crate) fn follow(dir: &Path, json: bool) -> Result<(), Failure> {
    print_lines(operator::follow(dir)?, |line| match Line::parse(line).and_then(told) {
        _ if json => output::json(line),
        Some(sentence) => output::line(sentence),
        None => Ok(()),
    })
}

fn told(line: Line) -> Option<String> {
    sentence(&line.event, &|member| format!("member {member}"))
}
