//! `rafty members`: who belongs to the peer set.

use super::{PATIENCE, client, do_it, of_client};
use rafty_agent::{Failure, output, status};
use rafty_client::ConfigAction;
use rafty_runtime::operator::Request;
use rafty_types::MemberId;
use serde_json::json;
use std::path::Path;

pub(crate) fn list(dir: &Path, json: bool) -> Result<(), Failure> {
    let status = status::fetch(dir, PATIENCE)?;
    if json {
        let members = &status.node.members;
        output::json(serde_json::to_string_pretty(members).expect("members always encode"))?;
    } else {
        output::lines(status::member_table(&status))?;
    }
    Ok(())
}

/// Gives a member a vote. There is no more to it: which learner votes is otherwise the peer set's own choice.
pub(crate) fn add(dir: &Path, member: MemberId, json: bool) -> Result<(), Failure> {
    let status = status::fetch(dir, PATIENCE)?;
    let line = status.node.members.iter().find(|line| line.id == member);
    let address = line.and_then(|line| line.addresses.first()).ok_or_else(|| {
        Failure::failed(format!("there is no member {member}; nothing was changed; see `rafty members list`"))
    })?;
    client(dir)?.config_cluster(ConfigAction::Add, &address.to_string()).map_err(of_client)?;
    if json {
        output::json(json!({ "done": true }))?;
    } else {
        output::note(format_args!("member {member} votes"));
    }
    Ok(())
}

pub(crate) fn remove(dir: &Path, member: MemberId, json: bool) -> Result<(), Failure> {
    do_it(dir, &Request::Revoke { member }, &format!("member {member} is removed for good"), json)
}

pub(crate) fn transfer(dir: &Path, to: MemberId, json: bool) -> Result<(), Failure> {
    do_it(dir, &Request::Transfer { to }, &format!("asked for member {to} to lead; see `rafty status`"), json)
}
