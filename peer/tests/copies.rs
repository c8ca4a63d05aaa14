//! Directories that are copied: put back while the others went on, or started beside the original. Nothing that was
//! acknowledged is lost, and everybody says what it is.

mod support;

use serde_json::json;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use support::peer_set::{Folder, Member, PeerSet};
use support::until;

/// A write that has no majority is given up after this.
const GIVEN_UP: Duration = Duration::from_secs(2);

fn copy(from: &str, to: &str) {
    let copied = Command::new("cp").args(["-a", from, to]).status().expect("cp runs");
    assert!(copied.success(), "{from} to {to}");
    // Nobody answers there.
    let _ = std::fs::remove_file(Path::new(to).join("socket"));
}

/// Stops a member, copies its directory, and starts it again.
fn backed_up(set: &mut PeerSet, at: usize, to: &str) {
    set.members[at].kill();
    copy(&set.members[at].dir, to);
    set.members[at].restart();
    set.settle(3);
}

/// Puts a copy in the place of a member's directory.
fn put_back(member: &mut Member, backup: &str) {
    if member.up.is_some() {
        member.kill();
    }
    std::fs::remove_dir_all(&member.dir).expect("its directory");
    copy(backup, &member.dir);
}

fn lone_voter_and_learner(folder: &Folder) -> PeerSet {
    let mut set = folder.found("p1", &[]);
    let dir = set.join(folder.path("p2"));
    set.members.push(Member::start(dir));
    set.settle(2);
    set
}

fn anomalies(member: &Member) -> Vec<String> {
    member.status().map(|status| status.node.disk_anomalies).unwrap_or_default()
}

fn say(member: &Member, what: &str) -> Option<String> {
    anomalies(member).into_iter().find(|anomaly| anomaly.contains(what))
}

#[test]
fn a_voter_that_was_put_back_makes_no_second_leader_and_loses_nothing() {
    let folder = Folder::new();
    let mut set = folder.three(&[]);
    let backup = folder.path("backup");
    // Followers: the founder leads, and goes on leading when others restart.
    let leader = set.await_leader();
    let others: Vec<_> = (0..3).filter(|at| *at != leader).collect();
    let (copied, down) = (others[0], others[1]);
    backed_up(&mut set, copied, &backup);
    set.members[down].kill();
    for key in ["one", "two", "three"] {
        set.members[leader].set(key, 1).expect("two of three are enough");
    }

    set.members[leader].kill();
    put_back(&mut set.members[copied], &backup);
    set.members[copied].restart();
    set.members[down].restart();
    assert!(
        say(&set.members[copied], "looks like a copy").is_some(),
        "{:?}",
        anomalies(&set.members[copied])
    );
    // Both lack what was written: together they must not decide anything.
    for at in [copied, down] {
        assert!(set.members[at].set_within(GIVEN_UP, "four", 1).is_err(), "acknowledged by a copy");
        assert_eq!(set.members[at].status().expect("it runs").node.leader, None);
    }

    set.members[leader].restart();
    for at in [leader, down, copied] {
        for key in ["one", "two", "three"] {
            assert_eq!(set.members[at].get(key), Some(json!(1)), "{key} at {}", set.members[at].dir);
        }
    }
    until("a word on what became of the copy", || {
        let copied = &set.members[copied];
        (anomalies(copied).is_empty() || say(copied, "was restored from an older copy").is_some())
            .then_some(())
    });
    set.members[leader].set("five", 1).expect("a majority");
}

#[test]
fn a_voter_that_was_put_back_under_a_living_leader_is_named_and_comes_back_by_rejoin() {
    let folder = Folder::new();
    // Short tenures: each is recorded.
    let mut set = folder.three(&["--tenure", "1s"]);
    let backup = folder.path("backup");
    set.members[2].kill();
    copy(&set.members[2].dir, &backup);
    set.members[2].restart();
    let applied = set.settle(3);
    until("some tenures", || set.members[0].status().filter(|status| status.node.applied.0 > applied.0 + 12));
    put_back(&mut set.members[2], &backup);
    set.members[2].restart();
    let told = until("it knows", || say(&set.members[2], "was restored from an older copy"));
    assert!(told.contains("rejoin"), "{told}");
    until("the others know", || say(&set.members[0], "was restored from an older copy"));
    until("its log says so", || {
        set.members[2].said().contains("was restored from an older copy").then_some(())
    });
    set.members[0].set("goes-on", 1).expect("a majority");

    set.members[2].kill();
    support::ok(&support::rafty(), &["rejoin", "--yes", "--dir", &set.members[2].dir]);
    set.members[2].restart();
    until("no anomaly", || anomalies(&set.members[2]).is_empty().then_some(()));
    assert_eq!(set.members[2].get("goes-on"), Some(json!(1)));
}

#[test]
fn of_two_with_one_identity_both_are_named_and_the_roster_keeps_to_the_first() {
    let folder = Folder::new();
    let mut set = folder.three(&[]);
    let twin = folder.path("twin");
    backed_up(&mut set, 2, &twin);
    let original = set.members[2].status().expect("it runs");
    let mut copy = Member::at(twin);
    copy.begin(&["--listen", "127.0.0.1:0"]);
    let told = until("both are named", || say(&set.members[0], "runs twice"));
    assert!(told.contains(&original.listen.to_string()), "{told}");
    for key in ["one", "two", "three"] {
        set.members[0].set(key, 1).expect("a majority");
        let status = set.members[0].status().expect("it runs");
        let line = status.node.members.iter().find(|line| line.id == original.node.me).expect("a member");
        assert_eq!(line.addresses, [original.listen], "the roster keeps to the first");
    }
    copy.kill();
    until("the original goes on", || set.members[2].set("four", 1).ok());
    assert_eq!(set.members[2].get("three"), Some(json!(1)));
}

#[test]
fn an_older_disk_of_a_lone_voter_does_not_lead_beside_a_member_that_knows_better() {
    let folder = Folder::new();
    let mut set = lone_voter_and_learner(&folder);
    let (backup, newest) = (folder.path("backup"), folder.path("newest"));
    set.members[0].kill();
    copy(&set.members[0].dir, &backup);
    set.members[0].restart();
    set.members[0].set("one", 1).expect("one disk is enough");
    until("the other one has it", || set.members[1].get("one"));

    // As a raw image would be: nothing of it looks copied.
    set.members[0].kill();
    copy(&set.members[0].dir, &newest);
    put_back(&mut set.members[0], &backup);
    set.members[0].restart_with(&["--moved"]);
    let told = until("it knows", || say(&set.members[0], "alone votes and does not lead"));
    assert!(told.contains("recover"), "{told}");
    assert!(set.members[0].set_within(GIVEN_UP, "two", 2).is_err(), "acknowledged by a copy");

    // Not even when whoever said so is gone.
    set.members[1].kill();
    assert!(set.members[0].set_within(GIVEN_UP, "two", 2).is_err(), "acknowledged by a copy");
    set.members[1].restart();

    put_back(&mut set.members[0], &newest);
    set.members[0].restart_with(&["--moved"]);
    set.members[0].set("two", 2).expect("the newest disk");
    assert_eq!(set.members[1].get("one"), Some(json!(1)));
}

#[test]
fn a_lone_voter_leads_though_nobody_else_answers() {
    let folder = Folder::new();
    let mut set = lone_voter_and_learner(&folder);
    set.kill_all();
    set.members[0].restart();
    until("a write", || set.members[0].set("one", 1).ok());
}
