//! What an operator's commands do, one file per word.
//!
//! Each asks the member of one directory and words its answer: data on stdout, all else on stderr. Nothing here
//! decides anything; the peer set does.

pub(crate) mod entries;
pub(crate) mod events;
pub(crate) mod init;
pub(crate) mod members;
pub(crate) mod model;
pub(crate) mod run;
pub(crate) mod task;
pub(crate) mod token;

use rafty_agent::Failure;
use rafty_agent::status::unexpected;
use rafty_runtime::operator::{Reply, Request, call};
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
        Reply::Done { index } if json => println!("{}", json!({ "done": true, "index": index })),
        Reply::Done { .. } => eprintln!("{done}"),
        other => return Err(unexpected(&other)),
    }
    Ok(())
}
