//! A member's status for people.
//!
//! It only words what the member answered.

use crate::{Failure, output};
use rafty_runtime::operator::{MemberStatus, Reply, Request, call};
use rafty_types::time::in_words;
use std::path::Path;
use std::time::Duration;

/// How long an answer is waited for. A member answers from what it knows, at once.
const PATIENCE: Duration = Duration::from_secs(10);
const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// Asks the member in `dir` and prints its answer, for people or as JSON.
///
/// # Errors
/// When no member runs there, or the answer cannot be printed.
pub fn show(dir: &Path, json: bool) -> Result<(), Failure> {
    let status = fetch(dir, PATIENCE)?;
    match json {
        true => output::json(serde_json::to_string_pretty(&status).expect("a status always encodes")),
        false => output::lines(describe(&status)),
    }
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

fn describe(status: &MemberStatus) -> Vec<String> {
    let node = &status.node;
    let leader = match node.leader {
        Some(leader) if leader == node.me => "leads".to_string(),
        Some(leader) => format!("follows member {leader}"),
        None => "knows no leader".to_string(),
    };
    let mut lines = vec![
        format!("{} (cluster {}): member {} {leader}", status.name, node.cluster, node.me),
        format!("term {}, commit {}, {} entries in the log", node.term, node.commit, node.log_entries),
        disks(status),
        format!("in {}, on UDP {}", status.dir.display(), status.listen),
        String::new(),
    ];
    lines.extend(member_table(status));
    lines.push(String::new());
    lines.extend(tenure(status));
    lines.extend(run(status));
    lines.push(format!("waits for: {}", node.waiting_for));
    let (rests, given_up) = (
        node.members.iter().flat_map(|line| &line.rest),
        node.members.iter().flat_map(|line| &line.given_up),
    );
    lines.extend(rests.map(ToString::to_string));
    lines.extend(given_up.map(ToString::to_string));
    lines.extend(node.members.iter().filter(|member| member.unusable_key).map(|member| {
        let id = member.id;
        format!("ATTENTION: nothing is sealed for member {id}, whose RSA key is none: remove it and let it join again")
    }));
    let others = node.members.iter().filter(|member| member.id != node.me);
    let full = others.filter_map(|member| Some((member.id, member.disk_trouble.as_ref()?)));
    lines.extend(full.map(|(id, why)| {
        format!("ATTENTION: the disk of member {id} takes nothing ({why}): its vote is missing; `check` there says what helps")
    }));
    lines.extend(node.disk_anomalies.iter().map(|anomaly| format!("ATTENTION: {anomaly}")));
    lines.extend(node.clocks_apart.iter().map(|apart| format!("clock: {apart}")));
    lines.extend(node.divergence.iter().map(|line| format!("ATTENTION: {line}")));
    lines.push(upkeep(status));
    lines.extend(status.other_epochs.iter().map(|other| format!("other epoch: {other}")));
    lines.extend(status.trouble.iter().map(|trouble| format!("trouble: {trouble}")));
    lines
}

/// How many disks something must stand on to be committed.
fn disks(status: &MemberStatus) -> String {
    let members = &status.node.members;
    let votes = members.iter().filter(|line| ["leader", "voter"].contains(&&*line.role)).count();
    let disks = votes / 2 + 1;
    let plural = if disks == 1 { "" } else { "s" };
    format!("{votes} of {} vote: what is committed stands on {disks} disk{plural}", members.len())
}

/// The members, one line each.
pub fn member_table(status: &MemberStatus) -> Vec<String> {
    let columns = ["MEMBER", "KIND", "ROLE", "ALIVE", "MAY LEAD", "TENURES", "ADDRESS"];
    let [id, kind, role, alive, lead, tenures, address] = columns;
    let head = format!("{id:>6}  {kind:<5}  {role:<7}  {alive:<5}  {lead:<8}  {tenures:>7}  {address}");
    let rows = status.node.members.iter().map(|member| {
        let alive = member.alive.map_or("?", |alive| if alive { "yes" } else { "no" });
        let lead = if member.may_lead { "yes" } else { "no" };
        let addresses: Vec<String> = member.addresses.iter().map(ToString::to_string).collect();
        format!(
            "{:>6}  {:<5}  {:<7}  {alive:<5}  {lead:<8}  {:>7}  {}{}",
            member.id,
            member.kind.to_string(),
            member.role,
            member.tenures,
            addresses.join(", "),
            if member.id == status.node.me { "  (this one)" } else { "" }
        )
    });
    std::iter::once(head).chain(rows).collect()
}

/// What being a member costs: an SD card wears by what is written to it.
fn upkeep(status: &MemberStatus) -> String {
    let mut text = format!("up for {}", in_words(Duration::from_millis(status.up_ms)));
    if let Some(written) = status.written_bytes.map(u128::from) {
        text.push_str(&format!(", {} written", bytes(written)));
        // The start is no measure of a day.
        if status.up_ms >= HOUR_MS {
            let a_day = written * u128::from(DAY_MS) / u128::from(status.up_ms);
            text.push_str(&format!(" ({} a day)", bytes(a_day)));
        }
    }
    let late = status.lateness;
    text + &format!(
        "; timers late by {} ms at most, {} times by more than 50",
        late.worst_ms, late.over_50_ms
    )
}

fn bytes(count: u128) -> String {
    match count {
        0..1_000_000 => format!("{} kB", count / 1_000),
        1_000_000..1_000_000_000 => format!("{}.{} MB", count / 1_000_000, count / 100_000 % 10),
        _ => format!("{}.{} GB", count / 1_000_000_000, count / 100_000_000 % 10),
    }
}

fn tenure(status: &MemberStatus) -> Option<String> {
    let tenure = status.node.tenure.as_ref()?;
    let left = match tenure.left_ms {
        Some(ms) => format!("{}.{} s left", ms / 1_000, ms % 1_000 / 100),
        None => "only its holder knows for how long".into(),
    };
    let (id, term, aggregator) = (tenure.tenure, tenure.term, tenure.aggregator);
    Some(format!("tenure {id} (term {term}): member {aggregator} is aggregator, {left}"))
}

fn run(status: &MemberStatus) -> Vec<String> {
    let Some(run) = &status.node.run else { return Vec::new() };
    let model = run.model.map_or("derived from its seed".into(), |digest| digest.short());
    let mut lines = vec![format!(
        "run {} `{}` is {}: version {} of {}, model {model}",
        run.run, run.name, run.status, run.version, run.rounds
    )];
    let Some(open) = &run.open else { return lines };
    let examples: u64 = open.accepted.iter().map(|(_, examples)| examples).sum();
    let members: Vec<String> = open.accepted.iter().map(|(member, _)| member.to_string()).collect();
    let who = if members.is_empty() { String::new() } else { format!(" (members {})", members.join(", ")) };
    let (round, attempt, updates) = (open.round, open.attempt, members.len());
    lines.push(format!(
        "round {round}, attempt {attempt}: {updates} updates of {examples} examples are in{who}"
    ));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_that_people_use() {
        assert_eq!([1_500, 1_500_000, 2_340_000_000].map(bytes), ["1 kB", "1.5 MB", "2.3 GB"]);
    }
}
