//! A member whose replicated state is not that of the others, though its disk is sound: a bit flipped before it was
//! checksummed, or a program that applied something in its own way.

mod support;

use rafty_storage::{DataDir, Log};
use rafty_types::Batch;
use serde_json::json;
use std::path::Path;
use support::peer_set::{Folder, Member};
use support::{ok, rafty, rafty_agent, run, until};

/// The exit code of a member that the peer set does not want.
const REFUSED: i32 = 4;

/// Changes a value in the snapshot of a member that does not run, as if it had always been that.
fn alter(dir: &str, from: &[u8], to: &[u8]) {
    let dir = DataDir::log_in(Path::new(dir));
    let (log, recovered) = Log::open(&dir).expect("a sound log");
    drop(log);
    let mut snapshot = recovered.snapshot;
    let mut data = snapshot.data.to_vec();
    let at = data.windows(from.len()).position(|part| part == from).expect("it is in the snapshot");
    data[at..at + from.len()].copy_from_slice(to);
    snapshot.data = data.into();
    let after = snapshot.meta.index;
    let batch = Batch {
        install: Some(snapshot),
        entries: recovered.entries.into_iter().filter(|entry| entry.index > after).collect(),
        hard_state: Some(recovered.hard_state),
        incarnations: Some(recovered.incarnations),
        ..Batch::default()
    };
    std::fs::remove_dir_all(&dir).expect("the old log");
    Log::create(&dir).expect("a new log");
    let (mut log, _) = Log::open(&dir).expect("an empty log");
    log.write(&[batch]).expect("it is written");
}

fn divergence(member: &Member) -> Option<String> {
    member.status()?.node.divergence.first().cloned()
}

#[test]
fn a_member_whose_state_has_diverged_is_named_stops_and_comes_back_by_rejoin() {
    let folder = Folder::new();
    // Short tenures: states are compared when one begins.
    let mut set = folder.found("p1", &["--tenure", "1s"]);
    set.members[0].set("colour", "genuine").expect("it leads");
    for name in ["p2", "p3"] {
        let dir = set.join(folder.path(name));
        set.members.push(Member::start(dir));
    }
    set.settle(3);
    let id = set.members[2].id().expect("it runs");
    set.members[2].kill();
    alter(&set.members[2].dir, b"genuine", b"altered");
    set.members[2].begin(&[]);

    let ended = |what, member: &mut Member| until(what, || member.up.as_mut().and_then(|up| up.ended()));
    let named =
        format!("the replicated state of member {id} differs from the one that a majority of voters signed");
    let told = until("the others know", || divergence(&set.members[0]));
    assert!(told.starts_with(&named), "{told}");
    assert_eq!(ended("its end", &mut set.members[2]), REFUSED);
    let own = "the replicated state of this member differs from the one that a majority of voters signed";
    assert!(set.members[2].said().contains(own), "{}", set.members[2].said());
    let table = ok(&rafty(), &["status", "--dir", &set.members[1].dir]);
    assert!(table.contains(&named), "{table}");
    for at in [0, 1] {
        // Whoever has ended may have led.
        until("two of three are enough", || set.members[at].set("goes-on", 1).ok());
        assert_eq!(set.members[at].get("colour"), Some(json!("genuine")));
    }

    // It never uses that state again.
    let checked = run(&rafty_agent(), &["check", "--dir", &set.members[2].dir]);
    let text = String::from_utf8_lossy(&checked.stdout);
    assert!(text.contains(&format!("divergence PROBLEM  {own}")), "{text}");
    assert!(text.contains("copy       ok"), "{text}");
    set.members[2].begin(&[]);
    assert_eq!(ended("it is refused", &mut set.members[2]), REFUSED);

    ok(&rafty(), &["rejoin", "--yes", "--dir", &set.members[2].dir]);
    set.members[2].restart();
    assert_eq!(set.members[2].get("colour"), Some(json!("genuine")));
    until("nobody differs", || set.members[0].status()?.node.divergence.is_empty().then_some(()));
    set.settle(3);
}
