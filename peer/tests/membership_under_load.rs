//! The peer set changes while clients write as fast as they can: nothing acknowledged is lost, and every change goes
//! through.

mod support;

use rafty_client::blocking::DistributedDict;
use serde_json::json;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use support::peer_set::{Folder, Member, PeerSet};
use support::{ok, rafty, until};

const WRITERS: usize = 8;
/// Writes that must have come through between two changes.
const BETWEEN: u64 = 50;

/// Writes 1, 2, 3, ... under one key until told to stop, and gives what was acknowledged last.
fn write(members: &[String], token: &str, name: &str, stop: &AtomicBool, count: &AtomicU64) -> u64 {
    let mut entries = DistributedDict::with_token(members, token).expect("addresses");
    let mut acknowledged = 0;
    while !stop.load(Ordering::Relaxed) {
        entries.insert(name, &(acknowledged + 1)).expect("sessions make every retry safe");
        acknowledged += 1;
        count.fetch_add(1, Ordering::Relaxed);
    }
    acknowledged
}

fn some_writes(count: &AtomicU64) {
    let enough = count.load(Ordering::Relaxed) + BETWEEN;
    until("writes in between", || (count.load(Ordering::Relaxed) >= enough).then_some(()));
}

fn leader_is(set: &PeerSet, id: u64) -> Option<()> {
    (set.founder().status()?.node.leader?.0 == id).then_some(())
}

fn change(set: &mut PeerSet, folder: &Folder, count: &AtomicU64) {
    let dir = set.founder().dir.clone();
    let member = |set: &PeerSet, at: usize| set.members[at].id().expect("it runs").0;
    for at in [1, 2, 1] {
        let to = member(set, at);
        until("a hand-over", || {
            ok(&rafty(), &["members", "transfer", &to.to_string(), "--dir", &dir]);
            leader_is(set, to)
        });
        some_writes(count);
    }
    let joined = set.join(folder.path("p4"));
    set.members.push(Member::start(joined));
    until("a fourth that learns", || {
        let members = set.founder().status()?.node.members;
        (members.len() == 4 && members.iter().any(|line| line.role == "learner")).then_some(())
    });
    some_writes(count);
    // The leader itself.
    let gone = member(set, 1);
    ok(&rafty(), &["members", "remove", &gone.to_string(), "--dir", &dir]);
    drop(set.members.remove(1));
    some_writes(count);
}

#[test]
fn members_come_go_and_lead_while_clients_write() {
    let folder = Folder::new();
    let mut set = folder.three(&[]);
    let members: Vec<String> =
        set.members.iter().map(|member| member.status().expect("it runs").clients.to_string()).collect();
    let token = set.client_token();
    let (stop, count) = (AtomicBool::new(false), AtomicU64::new(0));
    let acknowledged: Vec<u64> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (members, token, stop, count) = (&members, &token, &stop, &count);
                scope.spawn(move || write(members, token, &format!("writer-{writer}"), stop, count))
            })
            .collect();
        some_writes(&count);
        change(&mut set, &folder, &count);
        stop.store(true, Ordering::Relaxed);
        writers.into_iter().map(|writer| writer.join().expect("a writer that gave up says why")).collect()
    });
    set.settle(3);
    for (writer, last) in acknowledged.iter().enumerate() {
        for member in &set.members {
            assert_eq!(member.get(&format!("writer-{writer}")), Some(json!(last)), "at {}", member.dir);
        }
    }
}
