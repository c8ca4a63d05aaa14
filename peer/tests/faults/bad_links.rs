//! Links that lose, delay, double and reorder: writes and rounds get through all the same.

use crate::depth::{choices, faults};
use crate::links::{Front, Links, Quality};
use crate::load::Way;
use crate::place::{Place, peer_set};
use crate::rounds;
use crate::scene::{SETTINGS, Scene, places};
use crate::support::peer_set::Folder;
use std::net::SocketAddr;
use std::time::Duration;

const MEMBERS: usize = 5;
/// How often writes and a round must come through.
const FEW: usize = 6;
const BAD: Quality = Quality {
    lost: 0.05,
    doubled: 0.02,
    held: 0.05,
    hold: Duration::from_millis(40),
    delay: Duration::from_millis(30),
};
/// After so many times a leader is killed.
const KILL_EVERY: usize = 3;

#[test]
fn writes_and_rounds_get_over_bad_links() {
    let mut choices = choices();
    let fronts = || -> Vec<Front> { (0..MEMBERS).map(|_| Front::find()).collect() };
    let at = |of: &[Front]| -> Vec<SocketAddr> { of.iter().map(Front::at).collect() };
    // The second ones hold the members' own ports until all are found.
    let (fronts, members) = (fronts(), fronts());
    let (at, behind) = (at(&fronts), at(&members));
    drop(members);
    let links = Links::lay(&behind, fronts, &mut choices);
    let mut scene = scene(&at, &behind);
    links.become_so(BAD);
    let term = |scene: &Scene| scene.set.founder().status().expect("it runs").node.term.0;
    let (began, mut kills) = (term(&scene), 0);
    for time in 1..=faults(FEW) {
        scene.goes_on();
        rounds::go_on(&scene.set, 1);
        if time % KILL_EVERY == 0 {
            let leader = scene.set.await_leader();
            scene.set.members[leader].kill();
            scene.goes_on();
            scene.set.members[leader].restart();
            scene.catches_up(leader);
            kills += 1;
        }
    }
    let (terms, done) = (term(&scene) - began, links.done());
    links.become_so(Quality::default());
    scene.end(&format!("bad links, {done}; {terms} terms, {kills} leaders killed"));
}

fn scene(at: &[SocketAddr], behind: &[SocketAddr]) -> Scene {
    let folder = Folder::new();
    let mut all = places(&folder, |name| Place::new(folder.path(name)));
    for ((place, at), behind) in all.iter_mut().zip(at).zip(behind) {
        place.listen = behind.to_string();
        place.advertise = Some(at.to_string());
    }
    let set = peer_set(&all, SETTINGS);
    let token = Some(set.client_token());
    let way = Way { members: behind.iter().map(SocketAddr::to_string).collect(), token };
    Scene::with(folder, set, way)
}
