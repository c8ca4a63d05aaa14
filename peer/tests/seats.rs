//! Who votes when devices die for good: an odd number, and nobody who is dead for long.

mod support;

use std::time::{Duration, Instant};
use support::peer_set::{Folder, Member, PeerSet};
use support::{Up, json, ok, rafty, rafty_agent, run, until};

const SETTINGS: &[&str] = &["--replace-after", "10s", "--tenure", "5s", "--grace", "1s"];

/// A member joins and starts; its id.
fn joins(set: &mut PeerSet, folder: &Folder, name: &str) -> u64 {
    let dir = set.join(folder.path(name));
    set.members.push(Member::start(dir));
    let newcomer = set.members.last().expect("a newcomer");
    until("its id", || newcomer.id()).0
}

/// A device joins and starts.
fn device_joins(set: &mut PeerSet, dir: String) {
    let (token, peer) = set.token_for("agent", "1h");
    json(&rafty_agent(), &["join", &token, "--peer", &peer, "--listen", "127.0.0.1:0", "--dir", &dir]);
    let mut device = Member::at(dir);
    device.program = vec![rafty_agent().to_str().expect("text").into()];
    device.restart();
    set.members.push(device);
}

/// Who votes, as the founder sees it.
fn voters(set: &PeerSet) -> Vec<u64> {
    let Some(status) = set.founder().status() else { return Vec::new() };
    let votes = |role: &str| ["voter", "leader"].contains(&role);
    status.node.members.iter().filter(|line| votes(&line.role)).map(|line| line.id.0).collect()
}

#[test]
fn a_laptop_goes_on_when_its_only_device_dies() {
    let folder = Folder::new();
    let mut set = folder.found("p1", SETTINGS);
    let device = joins(&mut set, &folder, "pi");
    set.settle(2);
    assert_eq!(voters(&set), [1], "two would stop with either of them");
    set.members[1].kill();
    let dir = set.founder().dir.clone();
    ok(&rafty(), &["set", "colour", "blue", "--dir", &dir]);
    ok(&rafty(), &["token", "create", "--dir", &dir]);
    ok(&rafty(), &["members", "remove", &device.to_string(), "--dir", &dir]);
    let text = ok(&rafty(), &["status", "--dir", &dir]);
    assert!(text.contains("on 1 disk"), "{text}");
}

#[test]
fn a_device_that_is_made_anew_twice_leaves_no_dead_voters() {
    let folder = Folder::new();
    let mut set = folder.found("p1", SETTINGS);
    joins(&mut set, &folder, "p2");
    joins(&mut set, &folder, "pi");
    set.settle(3);
    for name in ["pi-again", "pi-once-more"] {
        set.members.remove(2).kill();
        let id = joins(&mut set, &folder, name);
        until("it has the dead one's seat", || {
            let voters = voters(&set);
            (voters.len() == 3 && voters.contains(&id)).then_some(())
        });
    }
    set.members.remove(1).kill();
    until("a write of the two that are left", || set.founder().set("colour", "blue").ok());
}

#[test]
fn of_five_voters_a_dead_one_takes_its_seat_along_with_another_and_two_more_may_follow() {
    let folder = Folder::new();
    let mut set = folder.found("p1", &[SETTINGS, &["--voters", "5"]].concat());
    for name in ["p2", "p3", "p4", "p5"] {
        joins(&mut set, &folder, name);
    }
    set.settle(5);
    let dead = set.members[4].id().expect("it runs").0;
    set.members[4].kill();
    let left = until("three vote", || {
        let voters = voters(&set);
        (voters.len() == 3 && !voters.contains(&dead)).then_some(voters)
    });
    // Of the three, one more may die, and the one that gave its seat up takes its place.
    let second =
        (1..4).find(|at| left.contains(&set.members[*at].id().expect("it runs").0)).expect("a voter");
    let dead = set.members[second].id().expect("it runs").0;
    set.members[second].kill();
    until("a write", || set.founder().set("colour", "blue").ok());
    until("three living ones vote", || {
        let voters = voters(&set);
        (voters.len() == 3 && !voters.contains(&dead)).then_some(())
    });
    set.members[second].restart();
    set.members[4].restart();
    set.settle(5);
}

/// The devices were there first and have four of five seats. Without tenures that end, only what is steadier moves seats.
#[test]
fn laptops_take_seats_of_devices_and_go_on_when_all_devices_are_switched_off() {
    let folder = Folder::new();
    let mut set = folder.found("p1", &["--voters", "5", "--tenure", "10m"]);
    for name in ["pi-1", "pi-2", "pi-3", "pi-4"] {
        device_joins(&mut set, folder.path(name));
    }
    until("five voters", || (voters(&set).len() == 5).then_some(()));
    let mut laptops = vec![set.founder().id().expect("it runs").0];
    for name in ["p2", "p3"] {
        laptops.push(joins(&mut set, &folder, name));
    }
    until("all laptops vote", || {
        let voters = voters(&set);
        (voters.len() == 5 && laptops.iter().all(|id| voters.contains(id))).then_some(())
    });
    let devices = set.members.iter_mut().skip(1).take(4).filter_map(|device| device.up.as_mut());
    devices.for_each(Up::kill);
    set.members.drain(1..5);
    for (at, key) in ["colour", "shape", "size"].into_iter().enumerate() {
        let began = Instant::now();
        until("a write", || set.members[at].set(key, at).ok());
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    }
}

/// With three seats, two are the laptops'. The third travels, and all serve.
#[test]
fn one_seat_travels_so_that_everybody_serves_while_laptops_keep_theirs() {
    let folder = Folder::new();
    let mut set = folder.found("p1", &["--voters", "3", "--tenure", "2s", "--grace", "1s"]);
    let laptops = [set.founder().id().expect("it runs").0, joins(&mut set, &folder, "p2")];
    for name in ["pi-1", "pi-2", "pi-3"] {
        device_joins(&mut set, folder.path(name));
    }
    until("three voters", || (voters(&set).len() == 3).then_some(()));
    let tenures = |set: &PeerSet| -> Vec<u64> {
        let status = set.founder().status().expect("it runs");
        status.node.members.iter().map(|line| line.tenures).collect()
    };
    let before = tenures(&set);
    until("a tenure of everybody", || {
        let voters = voters(&set);
        // While the seat changes hands, both have a voice.
        assert!(voters.len() <= 4 && laptops.iter().all(|id| voters.contains(id)), "{voters:?}");
        let now = tenures(&set);
        before.iter().zip(now).all(|(before, now)| now > *before).then_some(())
    });
}

#[test]
fn who_hears_too_few_says_whom_it_misses_and_what_helps() {
    let folder = Folder::new();
    let mut set = folder.found("p1", SETTINGS);
    let device = joins(&mut set, &folder, "pi");
    set.settle(2);
    let laptop = set.founder().id().expect("it runs").0;
    set.members[0].kill();
    let dir = set.members[1].dir.clone();
    let said = until("no leader", || {
        let status = set.members[1].status()?;
        status.node.leader.is_none().then_some(status.node.waiting_for)
    });
    let missing = format!("member {laptop} must run and be reached");
    assert!(said.contains(&missing) && said.contains("`recover --learner`"), "{said}");
    let refused = run(&rafty(), &["token", "create", "--dir", &dir]);
    let said = String::from_utf8(refused.stderr).expect("text");
    assert!(!refused.status.success() && said.contains(&missing), "{said}");
    assert!(said.contains("nothing was changed"), "{said}");

    set.members[1].kill();
    json(&rafty(), &["recover", "--learner", "--yes", "--dir", &dir]);
    set.members[1].restart();
    until("a write", || set.members[1].set("colour", "blue").ok());
    let gone = laptop.to_string();
    ok(&rafty(), &["members", "remove", &gone, "--dir", &dir]);
    let ids: Vec<_> =
        set.members[1].status().expect("it runs").node.members.iter().map(|one| one.id.0).collect();
    assert_eq!(ids, [device]);
}
