//! SIGKILL, in loops: a random member, often the leader, two at once, all at once.

use crate::depth::{choices, faults};
use crate::rounds;
use crate::scene::Scene;
use crate::support::peer_set::Member;

const FEW: usize = 10;
/// Of so many kills one is of two members, and one is of all.
const OF: usize = 10;
/// After so many kills a round must be published.
const ROUND_EVERY: usize = 3;

#[test]
fn whatever_is_killed_nothing_is_lost() {
    let mut scene = Scene::start();
    let (mut choices, mut kills, mut of_all) = (choices(), 0, 0);
    for cycle in 0..faults(FEW) {
        let victims = match choices.usize(..OF) {
            0 => {
                of_all += 1;
                (0..scene.set.members.len()).collect()
            }
            1 => two(&scene, &mut choices),
            _ => vec![scene.victim(&mut choices)],
        };
        kills += victims.len();
        kill(&mut scene, &victims, &mut choices);
        if cycle % ROUND_EVERY == 0 {
            rounds::go_on(&scene.set, 1);
        }
    }
    scene.end(&format!("{kills} members killed, {of_all} times all at once"));
}

fn two(scene: &Scene, choices: &mut fastrand::Rng) -> Vec<usize> {
    let first = scene.victim(choices);
    let second = (first + choices.usize(1..scene.set.members.len())) % scene.set.members.len();
    vec![first, second]
}

fn kill(scene: &mut Scene, victims: &[usize], choices: &mut fastrand::Rng) {
    let count = scene.set.members.len();
    if victims.len() == count {
        scene.set.kill_all();
        scene.set.members.iter_mut().for_each(Member::restart);
        scene.goes_on();
        return;
    }
    for at in victims {
        scene.set.members[*at].kill();
    }
    // Whether the others notice before it is back, or it needs a snapshot, is chance.
    if choices.bool() {
        scene.goes_on();
    }
    for at in victims {
        scene.set.members[*at].restart();
    }
    scene.goes_on();
    // Otherwise the next kill meets a member that is behind; a majority is always there.
    if choices.bool() || victims.len() > 1 {
        victims.iter().for_each(|at| scene.catches_up(*at));
    }
}
