//! `rafty members`: who belongs to the peer set.

use super::{PATIENCE, do_it};
use rafty_agent::{Failure, status};
use rafty_runtime::operator::Request;
use rafty_types::MemberId;
use std::path::Path;

pub(crate) fn list(dir: &Path, json: bool) -> Result<(), Failure> {
    let status = status::fetch(dir, PATIENCE)?;
    if json {
        let members = &status.node.members;
        println!("{}", serde_json::to_string_pretty(members).expect("members always encode"));
    } else {
        print!("{}", status::member_table(&status));
    }
    Ok(())
}

pub(crate) fn remove(dir: &Path, member: MemberId, json: bool) -> Result<(), Failure> {
    do_it(dir, &Request::Revoke { member }, &format!("member {member} is removed for good"), json)
}

pub(crate) fn transfer(dir: &Path, to: MemberId, json: bool) -> Result<(), Failure> {
    do_it(dir, &Request::Transfer { to }, &format!("asked for member {to} to lead; see `rafty status`"), json)
}
