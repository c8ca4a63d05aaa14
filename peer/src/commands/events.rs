//! `rafty events`: follows what happens on a member.

use crate::narration::{Line, sentence};
use rafty_agent::Failure;
use rafty_runtime::operator;
use std::io::Write;
use std::path::Path;

/// Prints a line an event until the member ends or nobody reads.
pub(crate) fn follow(dir: &Path, json: bool) -> Result<(), Failure> {
    let mut lines = operator::follow(dir)?;
    let ended = |error| Failure::failed(format!("the member stopped telling: {error}; see `rafty status`"));
    while let Some(text) = lines.next_line().map_err(ended)? {
        let text = if json { Some(text.trim_end().to_string()) } else { Line::parse(&text).and_then(told) };
        if text.is_some_and(|text| writeln!(std::io::stdout(), "{text}").is_err()) {
            return Ok(());
        }
    }
    Ok(())
}

fn told(line: Line) -> Option<String> {
    sentence(&line.event, &|member| format!("member {member}"))
}
