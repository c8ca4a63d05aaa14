//! As many newcomers as a peer set has room for, all at once, and a word to those who prepare more.

mod support;

use std::process::Stdio;
use std::time::{Duration, Instant};
use support::peer_set::{Folder, PeerSet};
use support::{command, json, ok, rafty, rafty_agent, run};

const JOINED_WITHIN: Duration = Duration::from_secs(60);

/// They share an address, as devices behind one router do.
#[test]
fn the_devices_of_a_room_join_all_at_once() {
    devices_join_at_once(1, 16);
}

#[test]
#[ignore = "64 processes at once: CONTRIBUTING.md has the command"]
fn the_devices_of_three_rooms_join_all_at_once() {
    devices_join_at_once(3, 64);
}

fn devices_join_at_once(rooms: usize, devices: usize) {
    let folder = Folder::new();
    let found = |room| folder.found(&format!("p{room}"), &["--max-members", "31"]);
    let sets: Vec<_> = (0..rooms).map(found).collect();
    let uses = devices.div_ceil(rooms).to_string();
    let token =
        |set: &PeerSet| json(&rafty(), &["token", "create", "--uses", &uses, "--dir", &set.founder().dir]);
    let tokens: Vec<_> = sets.iter().map(token).collect();
    let start = |number: usize| {
        let token = &tokens[number % rooms];
        let (text, peer) = (token["token"].as_str().unwrap(), token["addresses"][0].as_str().unwrap());
        let dir = folder.path(&format!("device-{number}"));
        let words = ["join", text, "--peer", peer, "--listen", "127.0.0.1:0", "--dir", &dir];
        command(&rafty_agent(), &words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts")
    };
    let began = Instant::now();
    let joining: Vec<_> = (0..devices).map(start).collect();
    for device in joining {
        let output = device.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let took = began.elapsed();
    assert!(took < JOINED_WITHIN, "{devices} devices joined after {took:?}");
    println!("{devices} devices joined after {took:.1?}");
    let members = sets.iter().map(|set| set.founder().status().expect("it runs").node.members.len());
    assert_eq!(members.sum::<usize>(), rooms + devices);
}

#[test]
fn what_does_not_fit_is_said_before_anybody_tries() {
    let folder = Folder::new();
    let set = folder.found("p1", &["--max-members", "3"]);
    let dir = set.founder().dir.clone();
    let to = folder.path("fleet");
    let package =
        |count: &str| run(&rafty(), &["fleet", "package", "--count", count, "--to", &to, "--dir", &dir]);
    let refused = package("3");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("1 of at most 3 members") && said.contains("--count 2"), "{said}");
    assert!(!std::path::Path::new(&to).exists(), "nothing was changed");
    let two = package("2");
    assert!(two.status.success(), "{two:?}");

    // Both places are promised now.
    let output = run(&rafty(), &["token", "create", "--dir", &dir]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("admit 3 more: the first 2 of them fit"), "{said}");
    let room = &json(&rafty(), &["token", "create", "--uses", "2", "--dir", &dir])["room"];
    assert_eq!((&room["members"], &room["max_members"], &room["invited"]), (&1.into(), &3.into(), &5.into()));
    ok(&rafty(), &["status", "--dir", &dir]);
}
