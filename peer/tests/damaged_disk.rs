//! Disks that are full, fail or forget: nothing is acknowledged that is not on one, and all come to the same state.
#![cfg(target_os = "linux")] // limits of a running process are set by `prlimit`

mod support;

use serde_json::json;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use support::peer_set::{Folder, Member, PeerSet, with_failing_writes};
use support::{json as run_json, rafty, run, run_command, until};

/// Long enough for an acknowledgement, if there were to be one.
const LONG_ENOUGH: Duration = Duration::from_secs(2);

/// From now on whatever the member writes to a file fails.
fn fill_disk(member: &Member) {
    limit_files(member, "1:");
}

fn empty_disk(member: &Member) {
    limit_files(member, "unlimited:");
}

fn limit_files(member: &Member, soft: &str) {
    let words = ["--pid", &member.pid().to_string(), &format!("--fsize={soft}")];
    assert!(Command::new("prlimit").args(words).status().expect("prlimit runs").success());
}

fn trouble(member: &Member) -> Option<String> {
    member.status().expect("it runs").trouble
}

#[test]
fn a_leader_with_a_full_disk_says_so_hands_over_and_heals() {
    let folder = Folder::new();
    let mut set = folder.three(&[]);
    let full = set.await_leader();
    fill_disk(&set.members[full]);
    // The other two may confirm it, or not: it only has to be on its way to the disk.
    let _ = set.members[full].set_within(LONG_ENOUGH, "during", 1);
    let why = until("trouble", || trouble(&set.members[full]));
    assert!(why.contains("File too large"), "{why}");
    let leader = until("another leader", || set.leader().filter(|leader| *leader != full));
    set.members[leader].set("after", 1).expect("the other two are a majority");

    empty_disk(&set.members[full]);
    until("no trouble", || trouble(&set.members[full]).is_none().then_some(()));
    set.settle(3);
    assert_eq!(set.members[full].get("after"), Some(json!(1)));
    nothing_counts_without_a_majority_of_disks(&mut set);
}

/// One member is down and another's disk is full: two of three are there, but only one can keep anything.
fn nothing_counts_without_a_majority_of_disks(set: &mut PeerSet) {
    set.members[0].kill();
    let leader = set.await_leader();
    fill_disk(&set.members[1]);
    let answer = set.members[leader].set_within(LONG_ENOUGH, "unsafe", 1);
    assert!(answer.is_err(), "it was acknowledged with one copy on a disk");
    assert!(until("trouble", || trouble(&set.members[1])).contains("File too large"));

    empty_disk(&set.members[1]);
    until("no trouble", || trouble(&set.members[1]).is_none().then_some(()));
    set.members[2].set("safe", 1).expect("two disks are a majority");
    set.members[0].restart();
    set.settle(3);
}

#[test]
fn a_lone_member_with_a_full_disk_leaves_open_what_it_was_asked() {
    let folder = Folder::new();
    let set = folder.found("p1", &[]);
    let member = set.founder();
    until("a first tenure", || member.status()?.node.tenure);
    fill_disk(member);
    let output = run(&rafty(), &["set", "lamp", "on", "--dir", &member.dir]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(said.contains("may or may not count"), "{said}");
    assert!(trouble(member).is_some_and(|why| why.contains("File too large")));

    empty_disk(member);
    until("no trouble", || trouble(member).is_none().then_some(()));
    member.set("lamp", "off").expect("an acknowledgement");
    assert_eq!(member.get("lamp"), Some(json!("off")));
}

#[test]
fn a_member_whose_log_is_damaged_or_lost_comes_back_under_a_new_id() {
    let folder = Folder::new();
    let mut set = folder.three(&[]);
    set.founder().set("lamp", "on").expect("an acknowledgement");

    let leader = set.await_leader();
    let follower = (leader + 1) % 3;
    comes_back(&mut set, follower, flip_bits);
    assert!(set.members[follower].file("log.damaged").exists(), "it can still be looked at");
    comes_back(&mut set, leader, |log| std::fs::remove_dir_all(log).expect("a folder"));
}

fn comes_back(set: &mut PeerSet, at: usize, damage: fn(&Path)) {
    set.settle(3);
    let old = set.members[at].id().expect("it runs");
    set.members[at].kill();
    damage(&set.members[at].file("log"));
    set.members[at].restart();
    let said = set.members[at].said();
    assert!(said.contains("enrolling again"), "{said}");

    set.settle(3);
    let status = set.members[at].status().expect("it runs");
    assert_ne!(status.node.me, old);
    assert!(status.node.members.iter().all(|member| member.id != old), "the old id leaves");
    assert_eq!(set.members[at].get("lamp"), Some(json!("on")));
}

/// A bit in every block behind the first: some hold what was acknowledged.
fn flip_bits(log: &Path) {
    const BLOCK: usize = 512;
    let file = log.join("log.redb");
    let mut bytes = std::fs::read(&file).expect("a log");
    bytes.chunks_mut(BLOCK).skip(1).for_each(|block| block[block.len() / 2] ^= 1);
    std::fs::write(&file, bytes).expect("a log");
}

#[test]
fn without_space_nothing_is_half_made_and_no_token_is_used() {
    let folder = Folder::new();
    let set = folder.found("p1", &[]);
    let (late, listen) = (folder.path("late"), "127.0.0.1:0");
    for blocks in ["1", "8", "64"] {
        refused_for_space(&folder, blocks, &["init", "--name", "x", "--listen", listen, "--dir", &late]);
    }
    let (token, peer) = set.token("1h");
    let join = ["join", &token, "--peer", &peer, "--listen", listen, "--dir", &late];
    refused_for_space(&folder, "64", &join);
    assert_eq!(set.founder().status().expect("it runs").node.members.len(), 1);
    run_json(&rafty(), &join);
}

fn refused_for_space(folder: &Folder, blocks: &str, words: &[&str]) {
    let mut limited = with_failing_writes(Path::new("sh"));
    limited.args(["-c", r#"ulimit -S -f "$0"; exec "$@""#, blocks]).arg(rafty()).args(words);
    let output = run_command(limited);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("File too large") && said.contains("nothing was left behind"), "{said}");
    assert_eq!(folder.names(), ["p1"]);
}
