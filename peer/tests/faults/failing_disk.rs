//! Disks that fail or are slow: an I/O error on sync or write is said and survived, a slow sync ends no term.

use crate::depth::{choices, faults, skip};
use crate::disks::compile;
use crate::load::{Load, Way};
use crate::rounds;
use crate::scene::Scene;
use crate::support::peer_set::{Folder, Member, PeerSet};
use crate::support::until;
use crate::world::is_there;
use std::path::Path;

const FEW: usize = 5;
/// After so many failures a round must be published.
const ROUND_EVERY: usize = 3;
/// EIO.
const ERROR: i32 = 5;
const CALLS: &[&str] = &["fdatasync", "pwrite", "fsync", "write", "any"];
/// What the system says of it.
const SAID: &str = "Input/output error";
/// Twice the longest election timeout.
const SLOW_MS: u32 = 600;
/// Writes over slow disks, from each writer some.
const SLOW_WRITES: u64 = 12;
/// So long that the others must do without its disk, whatever the machine is busy with.
const HANG_MS: u32 = 30_000;
const SOME_WRITES: u64 = 20;
/// A term may end by itself on a busy machine, but not whenever disks are slow.
const TRIES: usize = 3;

#[test]
fn an_io_error_is_said_and_survived() {
    if !is_there("cc") {
        return skip("there is no C compiler `cc`");
    }
    let mut scene = Scene::start_on(with_faulty_disks);
    let mut choices = choices();
    for cycle in 0..faults(FEW) {
        let at = scene.victim(&mut choices);
        let call = CALLS[choices.usize(..CALLS.len())];
        let member = &scene.set.members[at];
        say(member, &format!("{call} {ERROR} 0"));
        // What the log does not need is not a trouble of the member: what needs it is tried again.
        if call != "write" {
            let why = until("trouble", || trouble(member));
            assert!(why.contains(SAID), "{call}: {why}");
            until("another leader", || scene.set.leader().filter(|leader| *leader != at));
            until("all others know", || told(&scene, at).all(|why| why.contains(SAID)).then_some(()));
        }
        scene.goes_on();
        say(&scene.set.members[at], "");
        until("no trouble", || trouble(&scene.set.members[at]).is_none().then_some(()));
        until("all others know that, too", || told(&scene, at).all(|why| why.is_empty()).then_some(()));
        scene.catches_up(at);
        if cycle % ROUND_EVERY == ROUND_EVERY - 1 {
            rounds::go_on(&scene.set, 1);
        }
    }
    scene.end(&format!("{} disks failed", faults(FEW)));
}

#[test]
fn a_slow_disk_delays_acknowledgements_and_ends_no_term() {
    if !is_there("cc") {
        return skip("there is no C compiler `cc`");
    }
    let folder = Folder::new();
    let mut set = folder.three(&[]);
    with_faulty_disks(&mut set);
    set.await_leader();
    set.members.iter().for_each(|member| say(member, &format!("fdatasync 0 {SLOW_MS}")));
    let members = set.members.iter().map(|member| member.status().expect("it runs").clients.to_string());
    let mut load = Load::start(Way { members: members.collect(), token: None });
    let term = || set.founder().status().expect("it runs").node.term;
    let stays = (0..TRIES).any(|_| {
        let before = term();
        load.goes_on(SLOW_WRITES);
        term() == before
    });
    assert!(stays, "each time disks were slow a term ended");
    set.members.iter().for_each(|member| say(member, ""));
    let record = load.finish();
    set.settle(3);
    record.holds();
    println!("slow disks; {}", record.tally());
}

#[test]
fn a_leader_whose_disk_hangs_hands_over() {
    if !is_there("cc") {
        return skip("there is no C compiler `cc`");
    }
    let folder = Folder::new();
    let mut set = folder.three(&[]);
    with_faulty_disks(&mut set);
    let hung = set.await_leader();
    let members = set.members.iter().map(|member| member.status().expect("it runs").clients.to_string());
    let mut load = Load::start(Way { members: members.collect(), token: None });
    load.goes_on(SOME_WRITES);
    say(&set.members[hung], &format!("fdatasync 0 {HANG_MS}"));
    let why = until("trouble", || trouble(&set.members[hung]));
    assert!(why.contains("takes longer"), "{why}");
    until("another leader", || set.leader().filter(|leader| *leader != hung));
    load.goes_on(SOME_WRITES);
    assert!(trouble(&set.members[hung]).is_some(), "it hangs still");

    say(&set.members[hung], "");
    until("no trouble", || trouble(&set.members[hung]).is_none().then_some(()));
    let record = load.finish();
    set.settle(3);
    record.holds();
    println!("a hung disk; {}", record.tally());
}

fn fault_file(member: &Member) -> String {
    format!("{}.fault", member.dir)
}

/// What the calls of this member on files do from now on.
fn say(member: &Member, what: &str) {
    // At once: half of it would be something else.
    let (file, new) = (fault_file(member), format!("{}.new", fault_file(member)));
    std::fs::write(&new, what).and_then(|()| std::fs::rename(&new, file)).expect("a file");
}

/// Starts all again, each so that its calls on files can be made to fail.
fn with_faulty_disks(set: &mut PeerSet) {
    let beside = Path::new(&set.founder().dir).parent().expect("a folder").to_path_buf();
    let library = compile("faulty.c", &beside, &["-shared", "-fPIC"]);
    set.kill_all();
    for member in &mut set.members {
        let preload = format!("LD_PRELOAD={}", library.display());
        let fault = format!("RAFTY_FAULT={}", fault_file(member));
        member.program.splice(0..0, ["env".to_string(), preload, fault]);
        say(member, "");
        member.restart();
    }
    set.settle(set.members.len());
}

/// What each other member says of this one's disk; nothing when it takes what it is given.
fn told(scene: &Scene, at: usize) -> impl Iterator<Item = String> {
    let id = scene.set.members[at].id().expect("it runs");
    let others = scene.set.running().filter(move |member| member.id() != Some(id));
    others.map(move |member| {
        let status = member.status().expect("it runs");
        let line = status.node.members.into_iter().find(|line| line.id == id).expect("a member");
        line.disk_trouble.unwrap_or_default()
    })
}

fn trouble(member: &Member) -> Option<String> {
    member.status().expect("it runs").trouble
}
