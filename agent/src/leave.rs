//! `leave`: the member takes itself out of the peer set, for good.
//!
//! It deletes nothing: keys, models and data stay in the directory until somebody removes it.

use crate::status::{self, unexpected};
use crate::{Failure, failure, output};
use rafty_runtime::operator::{Reply, Request, call};
use serde_json::json;
use std::path::Path;
use std::time::Duration;

/// How long the peer set may take to agree.
const PATIENCE: Duration = Duration::from_secs(15);

pub(crate) fn leave(dir: &Path, json: bool) -> Result<(), Failure> {
    let status = status::fetch(dir, PATIENCE).map_err(|failure| match failure.code {
        failure::NOT_RUNNING => Failure::new(
            failure::NOT_RUNNING,
            format!(
                "{failure}; a member that cannot be started is removed elsewhere, with `rafty members remove`"
            ),
        ),
        _ => failure,
    })?;
    let member = status.node.me;
    match call(dir, &Request::Revoke { member }, PATIENCE)? {
        Reply::Done { .. } => {}
        other => return Err(unexpected(&other)),
    }
    if json {
        output::json(json!({ "left": status.name, "member": member }))?;
    } else {
        output::note(format_args!(
            "member {member} has left `{}` and ends; its keys and models are still in {}: remove it to join again",
            status.name,
            dir.display()
        ));
    }
    Ok(())
}
