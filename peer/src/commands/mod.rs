//! What an operator's commands do, one file per word.
//!
//! Each asks the member of one directory and words its answer: data on stdout, all else on stderr. Nothing here
//! decides anything; the peer set does.

pub(crate) mod backup;
pub(crate) mod client;
pub(crate) mod entries;
pub(crate) mod events;
pub(crate) mod fleet;
pub(crate) mod init;
pub(crate) mod load;
pub(crate) mod members;
pub(crate) mod model;
pub(crate) mod run;
pub(crate) mod settings;
pub(crate) mod task;
pub(crate) mod token;

use rafty_agent::status::unexpected;
use rafty_agent::{Failure, output, status};
use rafty_client::ClientError;
use rafty_client::blocking::ClusterClient;
use rafty_runtime::operator::{Lines, Reply, Request, call};
use serde_json::json;
use std::path::Path;
use std::time::Duration;

/// How long an answer is waited for: a little longer than a member waits for the peer set.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

pub(crate) fn ask(dir: &Path, request: &Request) -> Result<Reply, Failure> {
    Ok(call(dir, request, PATIENCE)?)
}

/// For requests that are answered by yes or no.
fn do_it(dir: &Path, request: &Request, done: &str, json: bool) -> Result<(), Failure> {
    match ask(dir, request)? {
        Reply::Done { index } if json => output::json(json!({ "done": true, "index": index }))?,
        Reply::Done { .. } => output::note(done),
        other => return Err(unexpected(&other)),
    }
    Ok(())
}

/// Prints what `tell` makes of each of a member's lines, until the member ends or nobody reads.
fn print_lines(mut lines: Lines, tell: impl Fn(&str) -> Result<(), Failure>) -> Result<(), Failure> {
    while let Some(line) = lines.next_line().map_err(stopped_telling)? {
        tell(line.trim_end())?;
    }
    Ok(())
}

fn stopped_telling(error: impl std::fmt::Display) -> Failure {
    Failure::failed(format!("the member stopped telling: {error}; see `rafty status`"))
}

/// A client of the peer set by way of the member in `dir`.
fn client(dir: &Path) -> Result<ClusterClient, Failure> {
    let at = status::fetch(dir, PATIENCE)?.clients;
    ClusterClient::new([at.to_string()]).map_err(of_client)
}

/// What a client could not do, with the code that tells whether anything was changed.
fn of_client(error: ClientError) -> Failure {
    match error {
        ClientError::UnknownOutcome(_) => Failure::unknown(error),
        ClientError::Refused { .. } => Failure::refused(error),
        other => Failure::failed(other),
    }
}
