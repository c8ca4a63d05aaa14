//! A member's status for people.
//!
//! It only words what the member answered.

use crate::Failure;
use rafty_runtime::operator::{MemberStatus, Reply, Request, call};
use rafty_types::{printable, time::in_words};
use std::fmt::{self, Write};
use std::path::Path;
use std::time::Duration;

/// How long an answer is waited for. A member answers from what it knows, at once.
const PATIENCE: Duration = Duration::from_secs(10);
const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// Asks the member in `dir` and gives its answer as text or as JSON.
///
/// # Errors
/// When no member runs there.
pub fn ask(dir: &Path, json: bool) -> Result<String, Failure> {
    let status = fetch(dir, PATIENCE)?;
    if json {
        return Ok(serde_json::to_string_pretty(&status).expect("a status always encodes"));
    }
    let mut text = String::new();
    describe(&mut text, &status).expect("a string takes any text");
    Ok(text)
}

/// The status of the member in `dir`.
///
/// # Errors
/// When no member runs there, or it does not answer within `patience`.
pub fn fetch(dir: &Path, patience: Duration) -> Result<MemberStatus, Failure> {
    match call(dir, &Request::Status, patience)? {
        Reply::Status(status) => Ok(*status),
        other => Err(unexpected(&other)),
    }
}

/// A member of another version answered with something else.
pub fn unexpected(reply: &Reply) -> Failure {
    let reply = serde_json::to_string(reply).unwrap_or_default();
    let start: String = reply.chars().take(60).collect();
    Failure::failed(format!(
        "the member answered something else ({start}); use the same version of both programs"
    ))
}

fn describe(text: &mut String, status: &MemberStatus) -> fmt::Result {
    let node = &status.node;
    let leader = match node.leader {
        Some(leader) if leader == node.me => "leads".to_string(),
        Some(leader) => format!("follows member {leader}"),
        None => "knows no leader".to_string(),
    };
    writeln!(text, "{} (cluster {}): member {} {leader}", status.name, node.cluster, node.me)?;
    writeln!(text, "term {}, commit {}, {} entries in the log", node.term, node.commit, node.log_entries)?;
    disks(text, status)?;
    writeln!(text, "in {}, on UDP {}\n", status.dir.display(), status.listen)?;
    members(text, status)?;
    writeln!(text)?;
    tenure(text, status)?;
    run(text, status)?;
    writeln!(text, "waits for: {}", printable(&node.waiting_for))?;
    node.members
        .iter()
        .filter_map(|member| member.rest.as_ref())
        .try_for_each(|rest| writeln!(text, "{rest}"))?;
    node.members
        .iter()
        .filter_map(|member| member.given_up.as_ref())
        .try_for_each(|line| writeln!(text, "{line}"))?;
    let others = node.members.iter().filter(|member| member.id != node.me);
    others.filter_map(|member| Some((member.id, member.disk_trouble.as_ref()?))).try_for_each(|(id, why)| {
        let why = printable(why);
        writeln!(text, "ATTENTION: the disk of member {id} takes nothing ({why}): its vote is missing; `check` there says what helps")
    })?;
    node.disk_anomalies.iter().try_for_each(|anomaly| writeln!(text, "ATTENTION: {anomaly}"))?;
    node.clocks_apart.iter().try_for_each(|apart| writeln!(text, "clock: {apart}"))?;
    node.divergence.iter().try_for_each(|line| writeln!(text, "ATTENTION: {line}"))?;
    upkeep(text, status)?;
    status.other_epochs.iter().try_for_each(|other| writeln!(text, "other epoch: {other}"))?;
    status.trouble.iter().try_for_each(|trouble| writeln!(text, "trouble: {trouble}"))
}

/// How many disks something must stand on to be committed.
fn disks(text: &mut String, status: &MemberStatus) -> fmt::Result {
    let members = &status.node.members;
    let votes = members.iter().filter(|line| ["leader", "voter"].contains(&&*line.role)).count();
    let disks = votes / 2 + 1;
    let plural = if disks == 1 { "" } else { "s" };
    writeln!(text, "{votes} of {} vote: what is committed stands on {disks} disk{plural}", members.len())
}

/// The members, one line each.
pub fn member_table(status: &MemberStatus) -> String {
    let mut text = String::new();
    members(&mut text, status).expect("a string takes any text");
    text
}

fn members(text: &mut String, status: &MemberStatus) -> fmt::Result {
    let columns = ["MEMBER", "KIND", "ROLE", "ALIVE", "MAY LEAD", "TENURES", "ADDRESS"];
    let [id, kind, role, alive, lead, tenures, address] = columns;
    writeln!(text, "{id:>6}  {kind:<5}  {role:<7}  {alive:<5}  {lead:<8}  {tenures:>7}  {address}")?;
    for member in &status.node.members {
        let alive = member.alive.map_or("?", |alive| if alive { "yes" } else { "no" });
        let lead = if member.may_lead { "yes" } else { "no" };
        let addresses: Vec<String> = member.addresses.iter().map(ToString::to_string).collect();
        writeln!(
            text,
            "{:>6}  {:<5}  {:<7}  {alive:<5}  {lead:<8}  {:>7}  {}{}",
            member.id,
            member.kind.to_string(),
            member.role,
            member.tenures,
            addresses.join(", "),
            if member.id == status.node.me { "  (this one)" } else { "" }
        )?;
    }
    Ok(())
}

/// What being a member costs: an SD card wears by what is written to it.
fn upkeep(text: &mut String, status: &MemberStatus) -> fmt::Result {
    write!(text, "up for {}", in_words(Duration::from_millis(status.up_ms)))?;
    if let Some(written) = status.written_bytes.map(u128::from) {
        write!(text, ", {} written", bytes(written))?;
        // The start is no measure of a day.
        if status.up_ms >= HOUR_MS {
            let a_day = written * u128::from(DAY_MS) / u128::from(status.up_ms);
            write!(text, " ({} a day)", bytes(a_day))?;
        }
    }
    let late = status.lateness;
    writeln!(text, "; timers late by {} ms at most, {} times by more than 50", late.worst_ms, late.over_50_ms)
}

fn bytes(count: u128) -> String {
    match count {
        0..1_000_000 => format!("{} kB", count / 1_000),
        1_000_000..1_000_000_000 => format!("{}.{} MB", count / 1_000_000, count / 100_000 % 10),
        _ => format!("{}.{} GB", count / 1_000_000_000, count / 100_000_000 % 10),
    }
}

fn tenure(text: &mut String, status: &MemberStatus) -> fmt::Result {
    let Some(tenure) = &status.node.tenure else { return Ok(()) };
    let left = match tenure.left_ms {
        Some(ms) => format!("{}.{} s left", ms / 1_000, ms % 1_000 / 100),
        None => "only its holder knows for how long".into(),
    };
    writeln!(
        text,
        "tenure {} (term {}): member {} is aggregator, {left}",
        tenure.tenure, tenure.term, tenure.aggregator
    )
}

fn run(text: &mut String, status: &MemberStatus) -> fmt::Result {
    let Some(run) = &status.node.run else { return Ok(()) };
    let model = run.model.map_or("derived from its seed".into(), |digest| digest.short());
    writeln!(
        text,
        "run {} `{}` is {}: version {} of {}, model {model}",
        run.run, run.name, run.status, run.version, run.rounds
    )?;
    let Some(open) = &run.open else { return Ok(()) };
    let examples: u64 = open.accepted.iter().map(|(_, examples)| examples).sum();
    let members: Vec<String> = open.accepted.iter().map(|(member, _)| member.to_string()).collect();
    let who = if members.is_empty() { String::new() } else { format!(" (members {})", members.join(", ")) };
    writeln!(
        text,
        "round {}, attempt {}: {} updates of {examples} examples are in{who}",
        open.round,
        open.attempt,
        members.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_that_people_use() {
        assert_eq!([1_500, 1_500_000, 2_340_000_000].map(bytes), ["1 kB", "1.5 MB", "2.3 GB"]);
    }
}
