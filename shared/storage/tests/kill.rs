//! A process that appends is killed again and again: whatever it had acknowledged is there afterwards.

mod kit;

use kit::*;
use rafty_storage::Log;
use rafty_types::*;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

const DIR: &str = "RAFTY_TEST_KILLED_LOG";
const KILLS: u64 = 24;
/// A child that was not killed ends by itself after this many groups.
const MOST_GROUPS: u64 = 20_000;

/// The child: appends, compacts, and prints each index once it is acknowledged. As a test of its own it does nothing.
#[test]
fn appender() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let (mut log, recovered) = Log::open(dir.as_ref()).unwrap();
    let mut last = last_of(&recovered);
    for group in 1..=MOST_GROUPS {
        let count = 1 + group % 7;
        let commit = remember(hard_state(1, 1, last + count));
        let mut batches = vec![append(last + 1..=last + count, 1), commit];
        last += count;
        if group % 16 == 0 {
            batches.push(compact(last - 5, 1, last.saturating_sub(40).max(1)));
        }
        log.write(&batches).unwrap();
        println!("acknowledged {last}");
    }
}

fn last_of(recovered: &rafty_storage::Recovered) -> u64 {
    recovered.entries.last().map_or(recovered.snapshot.meta.index.0, |entry| entry.index.0)
}

#[test]
fn a_killed_process_loses_nothing_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    drop(new_log(dir.path()));
    let mut acknowledged = 0;
    for kill in 0..KILLS {
        acknowledged = acknowledged.max(run_and_kill(dir.path(), kill));
        let recovered = reopen(dir.path());
        let last = last_of(&recovered);
        assert!(last >= acknowledged, "{acknowledged} was acknowledged, but the log ends at {last}");
        let first = recovered.entries.first().map_or(last + 1, |entry| entry.index.0);
        assert_eq!(recovered.entries, entries(first..=last, 1));
        assert_eq!(recovered.hard_state.commit, Index(last));
        let index = recovered.snapshot.meta.index.0;
        assert!(index == 0 || recovered.snapshot == snapshot(index, 1));
    }
    assert!(acknowledged > KILLS, "the children hardly wrote anything");
}

/// Lets a child append until it has acknowledged a few groups, kills it wherever it is by then, and returns what it
/// acknowledged.
fn run_and_kill(dir: &std::path::Path, kill: u64) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "appender", "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let index = |line: String| line.strip_prefix("acknowledged ")?.parse::<u64>().ok();
    let groups = usize::try_from(kill * 5 % 37).unwrap();
    let early = lines.by_ref().filter_map(index).nth(groups);
    child.kill().unwrap();
    child.wait().unwrap();
    lines.filter_map(index).last().or(early).expect("the child acknowledged something")
}
