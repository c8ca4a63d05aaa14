//! Links of 64 kbit/s: rounds get over them, and members that have nothing to say leave them free.

use crate::cables::Cables;
use crate::place::{Place, peer_set};
use crate::rounds;
use crate::support::peer_set::{Folder, PeerSet};
use crate::support::{json, ok, rafty, until};
use crate::world::World;
use std::fs;
use std::time::{Duration, Instant};

const RATE: &str = "64kbit";
/// Whoever is idle may use so much of it, in bits a second each way; in most seconds, for new connections try now and then how
/// long packets may be.
const IDLE_BITS: f64 = 8_000.0;
const IDLE_SECONDS: usize = 15;
/// A transfer moves more bytes in a second.
const ENDED: u64 = 3_000;
/// A hidden layer so wide makes a model of 66 kB, or of 400 kB, which takes 8 or 50 seconds.
const WIDTH: usize = 3_300;
const DEEP_WIDTH: usize = 20_000;
const WITHIN: Duration = Duration::from_secs(60);
/// The same for all, one after the other.
const ALL_WITHIN: Duration = Duration::from_secs(240);
const DEEP_WITHIN: Duration = Duration::from_secs(900);
const TOOLS: &[&str] = &["unshare", "nsenter", "ip", "mount", "tc"];

/// Members in namespaces; those with data are devices.
fn members(folder: &Folder, data: &[bool], settings: &[&str]) -> PeerSet {
    let place = |(at, has_data): (usize, &bool)| Place {
        listen: "0.0.0.0:7400".into(),
        behind: Cables::behind(at),
        up: vec!["--no-discovery".into()],
        data: has_data.then(|| rounds::data(folder, &format!("{at}.csv"), at as f32)),
        ..Place::new(folder.path(&format!("p{at}")))
    };
    let places: Vec<_> = data.iter().enumerate().map(place).collect();
    peer_set(&places, settings)
}

/// Starts a run with a model of this width.
pub(crate) fn start(set: &PeerSet, folder: &Folder, data: &str, width: usize) {
    let task = folder.path("task.toml");
    ok(&rafty(), &["task", "new", "--from", data, "--to", &task]);
    let wide = fs::read_to_string(&task).expect("a task").replace("out = 64", &format!("out = {width}"));
    fs::write(&task, wide).expect("a task");
    json(&rafty(), &["run", "start", &task, "--rounds", "9", "--name", "slow", "--dir", &set.founder().dir]);
}

/// The version of the model that a member has for people.
fn version(set: &PeerSet, at: usize) -> Option<u64> {
    let note = fs::read(set.members[at].file("current.json")).ok()?;
    serde_json::from_slice::<serde_json::Value>(&note).ok()?["version"].as_u64()
}

/// Waits until all these members have this version; says how long that took.
pub(crate) fn until_all_have(set: &PeerSet, members: &[usize], wanted: u64, within: Duration) -> Duration {
    let began = Instant::now();
    while members.iter().any(|at| version(set, *at).is_none_or(|version| version < wanted)) {
        let waits = || set.founder().status().map(|status| status.node.waiting_for);
        assert!(began.elapsed() < within, "version {wanted} is not there after {within:?}: {:?}", waits());
        std::thread::sleep(Duration::from_millis(200));
    }
    began.elapsed()
}

#[test]
fn a_round_gets_over_a_slow_link_and_idle_members_leave_it_free() {
    let test = "slow_links::a_round_gets_over_a_slow_link_and_idle_members_leave_it_free";
    World::Network.enter(test, TOOLS, || {
        const SLOW: usize = 2;
        let (folder, cables) = (Folder::new(), Cables::lay(3));
        let set = members(&folder, &[false, false, true], &["--first-deadline", "10m"]);
        cables.slow_down(SLOW, RATE);
        start(&set, &folder, &folder.path("2.csv"), WIDTH);
        let took = until_all_have(&set, &[0, 1, SLOW], 1, WITHIN);
        rounds::stop(&set);
        until("the end of transfers", || {
            let before = cables.traffic(SLOW);
            std::thread::sleep(Duration::from_secs(1));
            let after = cables.traffic(SLOW);
            (0..2).all(|way| after[way].1 - before[way].1 < ENDED).then_some(())
        });
        let mut seconds = [Vec::new(), Vec::new()];
        for _ in 0..IDLE_SECONDS {
            let (before, began) = (cables.traffic(SLOW), Instant::now());
            std::thread::sleep(Duration::from_secs(1));
            let (after, took_s) = (cables.traffic(SLOW), began.elapsed().as_secs_f64());
            (0..2).for_each(|way| seconds[way].push((after[way].1 - before[way].1) as f64 * 8.0 / took_s));
        }
        let median = seconds.each_mut().map(|seconds| {
            seconds.sort_by(f64::total_cmp);
            seconds[IDLE_SECONDS / 2]
        });
        println!(
            "a round took {took:.1?}; idle, of each second: {median:.0?} bit/s in and out; all: {seconds:.0?}"
        );
        assert!(median.iter().all(|bits| *bits < IDLE_BITS), "{median:?}");
        let terms = |at: usize| set.members[at].status().expect("it runs").node.term;
        assert_eq!(terms(0), terms(SLOW));
    });
}

/// Five members, four with data, each on a slow link of its own: from the beginning, or from when a run begins.
fn rounds_get_to_all(always_slow: bool, width: usize, versions: u64, within: Duration) {
    let (folder, cables) = (Folder::new(), Cables::lay(5));
    let slow_down = || (0..5).for_each(|at| cables.slow_down(at, RATE));
    if always_slow {
        slow_down();
    }
    let set = members(&folder, &[false, true, true, true, true], &["--quorum", "60"]);
    if !always_slow {
        slow_down();
    }
    start(&set, &folder, &folder.path("1.csv"), width);
    for version in 1..=versions {
        let took = until_all_have(&set, &[0, 1, 2, 3, 4], version, within);
        println!("version {version} was everywhere after {took:.0?} more");
    }
    rounds::stop(&set);
}

#[test]
fn rounds_get_to_all_where_all_links_are_slow() {
    let test = "slow_links::rounds_get_to_all_where_all_links_are_slow";
    World::Network.enter(test, TOOLS, || rounds_get_to_all(false, WIDTH, 1, ALL_WITHIN));
}

#[test]
#[ignore = "takes some minutes"]
fn a_peer_set_comes_about_where_all_links_are_slow() {
    let test = "slow_links::a_peer_set_comes_about_where_all_links_are_slow";
    World::Network.enter(test, TOOLS, || rounds_get_to_all(true, WIDTH, 3, ALL_WITHIN));
}

#[test]
#[ignore = "takes half an hour"]
fn rounds_of_large_models_get_to_all_where_all_links_are_slow() {
    let test = "slow_links::rounds_of_large_models_get_to_all_where_all_links_are_slow";
    World::Network.enter(test, TOOLS, || rounds_get_to_all(false, DEEP_WIDTH, 3, DEEP_WITHIN));
}
