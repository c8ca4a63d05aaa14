//! A dictionary that is as large as it may be, people who look all the time, and logs that nobody reads: none of them
//! holds up a member's loop.
#![cfg(unix)] // pipes

mod support;

use rafty_client::blocking::ClusterClient;
use rafty_runtime::operator::MemberStatus;
use std::io::{PipeReader, PipeWriter, Write};
use std::time::{Duration, Instant};
use support::peer_set::{Folder, Member, PeerSet};
use support::{Up, rafty, until};

/// Values that fill the dictionary: 60 of its 64 MiB.
const VALUES: usize = 60;
const VALUE_LEN: usize = 1024 * 1024 - 64;
/// For how long, and how often, everybody is looked at.
const LOOKS_FOR: Duration = Duration::from_secs(5);
const LOOKS_EVERY: Duration = Duration::from_millis(100);
/// Every how many of these looks a client reads every entry.
const READS_EVERY: u32 = 10;
/// How late a timer may be in a release build on a machine that does nothing else. Other builds share the machine with
/// other tests and compilers: for them, only that nobody missed enough heartbeats for an election counts.
const LATEST_MS: Option<u64> = if cfg!(debug_assertions) { None } else { Some(50) };

#[test]
fn a_large_state_and_logs_that_nobody_reads_hold_up_nobody() {
    let folder = Folder::new();
    let mut set = folder.three(&[]);
    // A member that waited for its pipe would not answer at all.
    let pipes: Vec<_> = set.members.iter_mut().map(restart_with_full_stderr).collect();
    set.settle(3);
    fill(&set);
    let before = set.settle(3);
    let (leader, term) = leader_of(&set);

    let looked: Vec<MemberStatus> = look_while_it_changes(&set);
    for status in &looked {
        println!("member {}: {:?}", status.node.me, status.lateness);
        assert_eq!((status.node.leader, status.node.term), (Some(leader), term), "nobody missed a heartbeat");
        assert!(status.node.state_digest_at > before, "digests are made meanwhile");
        timers_are_in_time(status);
    }

    // A newcomer is sent a snapshot of all that, which the leader has to make first.
    let mut newcomer = Member::at(set.join(folder.path("p4")));
    newcomer.restart();
    let digest_of = |member: &Member| {
        let node = member.status()?.node;
        Some((node.state_digest_at, node.state_digest?))
    };
    until("the whole state at the newcomer", || {
        let (here, there) = (digest_of(set.founder())?, digest_of(&newcomer)?);
        (here == there).then_some(())
    });
    assert_eq!(leader_of(&set), (leader, term), "the snapshot held up no heartbeat");
    for status in set.members.iter().filter_map(Member::status) {
        println!("member {}, after a snapshot: {:?}", status.node.me, status.lateness);
        timers_are_in_time(&status);
    }
    drop(pipes);
}

fn timers_are_in_time(status: &MemberStatus) {
    let worst_ms = status.lateness.worst_ms;
    let in_time = LATEST_MS.is_none_or(|latest_ms| worst_ms <= latest_ms);
    assert!(in_time, "timers of member {} are up to {worst_ms} ms late", status.node.me);
}

/// Starts it again with a full pipe for its stderr.
fn restart_with_full_stderr(member: &mut Member) -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    // What a pipe holds on Linux unless somebody asks for more.
    writer.write_all(&[b'.'; 64 * 1024]).expect("room in the pipe");
    member.kill();
    let errors = writer.try_clone().expect("a pipe");
    member.up = Some(Up::start_with_stderr(&rafty(), &member.dir, errors.into()));
    until("an answer of a member", || member.status());
    (reader, writer)
}

fn fill(set: &PeerSet) {
    let value = "x".repeat(VALUE_LEN);
    for number in 0..VALUES {
        let key = format!("value {number}");
        until("a large value", || set.founder().set(&key, value.clone()).ok());
    }
}

fn leader_of(set: &PeerSet) -> (rafty_types::MemberId, rafty_types::Term) {
    until("a leader", || {
        let node = set.founder().status()?.node;
        Some((node.leader?, node.term))
    })
}

/// Asks everybody ten times a second how they are, while something changes all the time, and the founder now and then for
/// every entry; the last answers.
fn look_while_it_changes(set: &PeerSet) -> Vec<MemberStatus> {
    let end = Instant::now() + LOOKS_FOR;
    let client = ClusterClient::new([set.founder().status().expect("it answers").clients.to_string()]);
    let client = client.expect("an address");
    let mut number = 0;
    loop {
        let next = Instant::now() + LOOKS_EVERY;
        until("a small change", || set.founder().set("small", number).ok());
        if number % READS_EVERY == 0 {
            let read = client.get_state().expect("every entry");
            assert_eq!((read.entries.len(), read.entries["small"].decode()), (VALUES + 1, Ok(number)));
        }
        number += 1;
        let all: Vec<_> = set.members.iter().map(|member| member.status().expect("it answers")).collect();
        if Instant::now() >= end {
            return all;
        }
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}
