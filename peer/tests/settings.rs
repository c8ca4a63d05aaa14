//! Settings of a set that runs: changed for all, refused out of range, for operators only.

mod support;

use support::peer_set::Folder;
use support::{json, rafty, run, until};

#[test]
fn a_setting_is_changed_for_all_members_and_stays() {
    let folder = Folder::new();
    let mut set = folder.three(&[]);
    let value = |at: usize, name: &str| {
        let listed = json(&rafty(), &["settings", "list", "--dir", &set.members[at].dir]);
        let lines = listed.as_array().unwrap().clone();
        let line = lines.into_iter().find(|line| line["name"] == name).expect("it is listed");
        line["value"].as_str().unwrap().to_string()
    };
    assert_eq!((&*value(0, "max-members"), &*value(0, "tenure")), ("15", "10m"));
    let change = |name: &str, value: &str| {
        run(&rafty(), &["settings", "set", name, value, "--dir", &set.members[1].dir])
    };
    assert!(change("max-members", "20").status.success());
    assert!(change("tenure", "90s").status.success());
    for at in 0..3 {
        until("the others have it", || (value(at, "tenure") == "90s").then_some(()));
        assert_eq!(value(at, "max-members"), "20");
        let told = "\"event\":\"setting_changed\",\"setting\":\"tenure\",\"value\":\"90s\"";
        until("it is told", || set.members[at].said().contains(told).then_some(()));
    }

    for (name, wrong, code, says) in [
        ("max-members", "32", 4, "1 to 31"),
        ("max-members", "2", 4, "3 members"),
        ("tenure", "30s", 4, "grace"),
        ("quorum", "101", 4, "1 to 100"),
        ("quorum", "-1", 2, "whole number"),
        ("quorum", "5000000000", 4, "quorum"),
        ("tenure", "90", 2, "a number with"),
        ("heartbeat", "1s", 2, "no setting `heartbeat`"),
    ] {
        let output = change(name, wrong);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{name} {wrong}: {said}");
        assert!(said.contains(says) && said.contains("nothing was changed"), "{name} {wrong}: {said}");
    }
    assert_eq!((value(0, "max-members"), value(0, "quorum")), ("20".into(), "60".into()));

    set.members[2].kill();
    set.members[2].restart();
    let listed = json(&rafty(), &["settings", "list", "--dir", &set.members[2].dir]);
    assert!(listed.to_string().contains("\"90s\""), "{listed}");
}
