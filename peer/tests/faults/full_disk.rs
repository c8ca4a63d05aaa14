//! Disks that are full: of one, of two, of all, and of a member that starts. Each says so, and goes on when there is room.

use crate::depth::{choices, faults};
use crate::disks::move_onto;
use crate::rounds;
use crate::scene::Scene;
use crate::support::peer_set::Member;
use crate::support::until;
use crate::world::{World, tool};
use std::fs::File;
use std::io::{ErrorKind, Write};

const FEW: usize = 4;
/// Room for a member and little more.
const SIZE: &str = "size=16m";
const BALLAST: &str = "ballast";
const PIECE: usize = 4_096;
/// What the system says of a full disk.
const NO_SPACE: &str = "No space left on device";
/// After so many times a round must be published.
const ROUND_EVERY: usize = 4;
/// One of so many times the disks of all are full.
const ALL_ONE_IN: usize = 5;

#[test]
fn a_full_disk_is_said_and_survived() {
    World::Mounts.enter("full_disk::a_full_disk_is_said_and_survived", &["unshare", "mount"], || {
        let mut scene = Scene::start_on(|set| {
            move_onto(set, |_, dir| tool(&["mount", "-t", "tmpfs", "-o", SIZE, "none", dir]));
        });
        let (mut choices, mut filled, mut of_all, mut starts) = (choices(), 0, 0, 0);
        for cycle in 0..faults(FEW) {
            if choices.usize(..ALL_ONE_IN) == 0 || cycle == 1 {
                of_all += 1;
                filled += all_at_once(&mut scene);
                continue;
            }
            filled += 1;
            let full = scene.victim(&mut choices);
            fill(&scene.set.members[full]);
            is_said(&scene, full);
            scene.goes_on();
            if choices.bool() || cycle == 0 {
                starts += 1;
                starts_without_space(&mut scene.set.members[full]);
            } else {
                empty(&scene.set.members[full]);
            }
            is_over(&scene, full);
            scene.catches_up(full);
            if cycle % ROUND_EVERY == ROUND_EVERY - 1 {
                rounds::go_on(&scene.set, 1);
            }
        }
        scene.end(&format!(
            "{filled} disks filled, {of_all} times all at once, {starts} starts without space"
        ));
    });
}

fn all_at_once(scene: &mut Scene) -> usize {
    scene.set.members.iter().for_each(fill);
    let all = 0..scene.set.members.len();
    // A minority may find room in what it has.
    until("most are in trouble", || {
        let trouble = all.clone().filter(|at| trouble(&scene.set.members[*at]).is_some());
        (trouble.count() > all.len() / 2).then_some(())
    });
    scene.set.members.iter().for_each(empty);
    all.clone().for_each(|at| is_over(scene, at));
    scene.goes_on();
    all.len()
}

fn starts_without_space(member: &mut Member) {
    member.kill();
    fill(member);
    member.begin(&[]);
    let ended = until("an answer or an end", || {
        let ended = member.up.as_mut().expect("it was started").ended();
        if member.status().is_some() { Some(None) } else { ended.map(Some) }
    });
    if let Some(code) = ended {
        assert_eq!(code, 1, "{}", member.said());
        let said = member.said();
        assert!(said.lines().last().is_some_and(|line| line.contains(NO_SPACE)), "{said}");
        member.up = None;
    }
    empty(member);
    if member.up.is_none() {
        member.restart();
    }
}

/// Leaves no space at all, whatever the member gives back meanwhile.
fn fill(member: &Member) {
    let file = File::options().create(true).append(true).open(member.file(BALLAST));
    let mut file = match file {
        Ok(file) => file,
        Err(error) => return assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}"),
    };
    loop {
        match file.write_all(&[1; PIECE]) {
            Ok(()) => {}
            Err(error) => return assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}"),
        }
    }
}

fn empty(member: &Member) {
    std::fs::remove_file(member.file(BALLAST)).expect("the ballast");
}

fn trouble(member: &Member) -> Option<String> {
    member.status().expect("it runs").trouble
}

fn is_said(scene: &Scene, full: usize) {
    let member = &scene.set.members[full];
    let why = until("trouble", || {
        fill(member);
        trouble(member)
    });
    assert!(why.contains(NO_SPACE), "{why}");
    let id = member.id().expect("it runs");
    // Nobody else's disk is in its way.
    until("another leader", || {
        scene.set.leader().filter(|leader| scene.set.members[*leader].id() != Some(id))
    });
}

fn is_over(scene: &Scene, at: usize) {
    until("no trouble", || trouble(&scene.set.members[at]).is_none().then_some(()));
}
