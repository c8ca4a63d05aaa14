//! Three processes over UDP: whatever is killed, what was acknowledged is there, and all come to the same state.

mod support;

use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use support::peer_set::{Folder, Member, PeerSet};
use support::until;

/// A log so short that a member that was away soon needs a snapshot.
const SHORT_LOG: &[&str] = &["--compact-after", "10", "--tail", "5"];
/// Writes after which such a log must have been cut.
const MANY: u32 = 300;
/// An acknowledgement that does not come within so many tries never comes.
const TRIES: u32 = 50;

/// What was acknowledged: keys and their values.
#[derive(Default)]
struct Acknowledged(Mutex<BTreeMap<String, u32>>);

impl Acknowledged {
    fn note(&self, key: String, value: u32) {
        self.0.lock().unwrap().insert(key, value);
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Every one of them is at `member`.
    fn are_at(&self, member: &Member) {
        for (key, value) in &*self.0.lock().unwrap() {
            assert_eq!(member.get(key), Some(json!(value)), "{key} at {}", member.dir);
        }
    }

    /// Writes at `member` under names of its own until told to stop, or until nothing is acknowledged any more.
    fn write_at(&self, member: &Member, name: &str, stop: &AtomicBool) {
        let mut failed = 0;
        for count in 0u32.. {
            let key = format!("{name}-{count}");
            match member.set(&key, count) {
                Ok(()) => self.note(key, count),
                Err(_) => failed += 1,
            }
            if stop.load(Ordering::Relaxed) || failed > TRIES {
                return;
            }
        }
    }
}

#[test]
fn what_was_acknowledged_survives_every_kill() {
    let folder = Folder::new();
    let mut set = folder.three(SHORT_LOG);
    let acknowledged = Acknowledged::default();

    every_member_takes_writes(&set, &acknowledged);
    a_member_that_was_away_catches_up(&mut set, &acknowledged);
    a_member_that_was_away_for_long_catches_up_by_a_snapshot(&mut set);
    a_leader_that_is_stopped_hands_over_first(&mut set);
    a_killed_leader_is_replaced(&mut set, &acknowledged);
    all_killed_at_once_lose_nothing(&mut set, &acknowledged);
}

fn every_member_takes_writes(set: &PeerSet, acknowledged: &Acknowledged) {
    for (at, member) in set.members.iter().enumerate() {
        let key = format!("from-{at}");
        member.set(&key, at).expect("an acknowledgement");
        acknowledged.note(key, at as u32);
    }
    set.members.iter().for_each(|member| acknowledged.are_at(member));
}

fn a_follower(set: &PeerSet) -> usize {
    let leader = set.await_leader();
    (0..set.members.len()).find(|at| *at != leader).expect("three members")
}

fn a_member_that_was_away_catches_up(set: &mut PeerSet, acknowledged: &Acknowledged) {
    let away = a_follower(set);
    set.members[away].kill();
    let leader = set.await_leader();
    set.members[leader].set("meanwhile", 1).expect("two of three are enough");
    acknowledged.note("meanwhile".into(), 1);
    set.members[away].restart();
    set.settle(3);
    acknowledged.are_at(&set.members[away]);
}

fn a_member_that_was_away_for_long_catches_up_by_a_snapshot(set: &mut PeerSet) {
    let away = a_follower(set);
    let had = set.members[away].status().expect("it runs").node.applied;
    set.members[away].kill();
    let leader = &set.members[set.await_leader()];
    let long = "x".repeat(8_192);
    let cut = (0..MANY).find(|count| {
        leader.set("long", format!("{count}{long}")).expect("an acknowledgement");
        let log = leader.status().expect("it runs").node;
        // What the member needs next is not in the leader's log any more.
        log.commit.0 - log.log_entries > had.0
    });
    assert!(cut.is_some(), "the log was not cut within {MANY} writes");
    set.members[away].restart();
    set.settle(3);
    assert_eq!(set.members[away].get("from-0"), Some(json!(0)), "older than the snapshot");
}

/// Its tenure would last ten minutes more.
fn a_leader_that_is_stopped_hands_over_first(set: &mut PeerSet) {
    let leader = set.await_leader();
    until("its tenure", || {
        set.members[leader].status()?.node.tenure.filter(|tenure| tenure.left_ms.is_some())
    });
    let stopped = set.members[leader].up.take().expect("it runs");
    assert_eq!(stopped.terminate(), Some(0));
    assert!(set.members[leader].said().contains("handing_over"));
    until("another leader", || set.leader());
    set.members[leader].restart();
    set.settle(3);
}

fn a_killed_leader_is_replaced(set: &mut PeerSet, acknowledged: &Acknowledged) {
    let leader = set.await_leader();
    let (before, stop) = (acknowledged.count(), AtomicBool::new(false));
    let mut killed = set.members.remove(leader);
    let others = std::mem::take(&mut set.members);
    std::thread::scope(|scope| {
        for (at, member) in others.iter().enumerate() {
            let name = format!("survivor-{at}");
            let stop = &stop;
            scope.spawn(move || acknowledged.write_at(member, &name, stop));
        }
        until("writes under way", || (acknowledged.count() > before + 10).then_some(()));
        let old = killed.id().expect("it runs");
        killed.kill();
        until("another leader", || {
            others
                .iter()
                .all(|member| {
                    member.status().is_some_and(|status| status.node.leader.is_some_and(|new| new != old))
                })
                .then_some(())
        });
        let after = acknowledged.count();
        until("writes under the new leader", || (acknowledged.count() > after + 10).then_some(()));
        stop.store(true, Ordering::Relaxed);
    });
    set.members = others;
    set.members.insert(leader, killed);
    set.members[leader].restart();
    set.settle(3);
    acknowledged.are_at(&set.members[leader]);
}

fn all_killed_at_once_lose_nothing(set: &mut PeerSet, acknowledged: &Acknowledged) {
    let (before, stop) = (acknowledged.count(), AtomicBool::new(false));
    let dirs: Vec<String> = set.members.iter().map(|member| member.dir.clone()).collect();
    std::thread::scope(|scope| {
        for (at, dir) in dirs.into_iter().enumerate() {
            let stop = &stop;
            let asked = Member::at(dir);
            scope.spawn(move || acknowledged.write_at(&asked, &format!("last-{at}"), stop));
        }
        until("writes under way", || (acknowledged.count() > before + 30).then_some(()));
        set.kill_all();
        stop.store(true, Ordering::Relaxed);
    });
    set.members.iter_mut().for_each(Member::restart);
    set.settle(3);
    acknowledged.are_at(set.founder());
}
