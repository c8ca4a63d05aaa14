//! Power cuts: a file system stops where it is, its member is killed, and what the disk has is all there is.
//!
//! What was written and not synced is gone. A disk that lies about syncing is beyond this: the file that plays the disk
//! keeps whatever got there.

use crate::depth::{choices, faults};
use crate::disks::{compile, move_onto};
use crate::rounds;
use crate::scene::Scene;
use crate::world::{World, tool};
use std::path::PathBuf;

const FEW: usize = 5;
const SIZE: &str = "64M";
/// After so many cuts a round must be published.
const ROUND_EVERY: usize = 5;
/// One of so many times the power of all is cut.
const ALL_ONE_IN: usize = 3;

#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let test = "power_cuts::a_power_cut_loses_nothing_that_was_acknowledged";
    World::Disks.enter(test, &["unshare", "mount", "umount", "mkfs.ext4", "losetup", "cc"], || {
        let mut scene = Scene::start_on(|set| {
            move_onto(set, |_, dir| {
                let disk = disk(dir);
                tool(&["truncate", "--size", SIZE, &disk]);
                tool(&["mkfs.ext4", "-q", &disk]);
                mount(dir);
            });
        });
        let cutter = compile("power_cut.c", &PathBuf::from(scene.folder.path("")), &[]);
        let cutter = cutter.to_str().expect("text");
        let (mut choices, mut cuts, mut of_all) = (choices(), 0, 0);
        for cycle in 0..faults(FEW) {
            let all = choices.usize(..ALL_ONE_IN) == 0 || cycle == 1;
            let victims =
                if all { (0..scene.set.members.len()).collect() } else { vec![scene.victim(&mut choices)] };
            of_all += usize::from(all);
            cuts += victims.len();
            cut(&mut scene, cutter, &victims);
            victims.iter().for_each(|at| mount(&scene.set.members[*at].dir));
            victims.iter().for_each(|at| scene.set.members[*at].restart());
            scene.goes_on();
            if choices.bool() {
                victims.iter().for_each(|at| scene.catches_up(*at));
            }
            if cycle % ROUND_EVERY == ROUND_EVERY - 1 {
                rounds::go_on(&scene.set, 1);
            }
        }
        no_log_was_damaged(&scene);
        scene.end(&format!("power cut {cuts} times, {of_all} times of all at once"));
    });
}

/// One program for all disks, so that little time passes in between.
fn cut(scene: &mut Scene, cutter: &str, victims: &[usize]) {
    let dirs = victims.iter().map(|at| scene.set.members[*at].dir.clone());
    let words: Vec<String> = std::iter::once(cutter.to_string()).chain(dirs).collect();
    tool(&words.iter().map(String::as_str).collect::<Vec<_>>());
    if victims.len() < scene.set.members.len() {
        // It still runs, on a dead disk; the others do without it.
        scene.goes_on();
    }
    victims.iter().for_each(|at| scene.set.members[*at].kill());
    victims.iter().for_each(|at| tool(&["umount", &scene.set.members[*at].dir]));
}

/// A member that enrolled again would be right, and hide what was lost.
fn no_log_was_damaged(scene: &Scene) {
    for member in &scene.set.members {
        assert!(!member.said().contains("enrolling again"), "{}", member.said());
    }
}

fn disk(dir: &str) -> String {
    format!("{dir}.disk")
}

fn mount(dir: &str) {
    tool(&["mount", "-t", "ext4", "-o", "loop", &disk(dir), dir]);
}
