//! Cables are cut: between a minority and the others, around one member in one direction, between two.

use crate::cables::{Cables, Cut};
use crate::depth::{choices, faults};
use crate::load::Way;
use crate::place::{Place, peer_set};
use crate::rounds;
use crate::scene::{SETTINGS, Scene, places};
use crate::support::peer_set::Folder;
use crate::world::World;
use rafty_client::blocking::DistributedDict;
use rafty_client::{ClientError, Consistency};
use std::collections::BTreeMap;
use std::time::Duration;

const FEW: usize = 6;
/// After so many partitions a round must be published.
const ROUND_EVERY: usize = 3;
const MEMBERS: usize = 5;
/// Long enough for an answer, if there were to be one.
const LONG_ENOUGH: Duration = Duration::from_secs(1);

#[test]
fn whoever_is_cut_off_acknowledges_nothing_and_serves_nothing() {
    let test = "partitions::whoever_is_cut_off_acknowledges_nothing_and_serves_nothing";
    World::Network.enter(test, &["unshare", "nsenter", "ip", "mount"], || {
        let mut cables = Cables::lay(MEMBERS);
        let mut scene = scene();
        let (mut choices, mut made) = (choices(), BTreeMap::new());
        for cycle in 0..faults(FEW) {
            let partition = Partition::choose(&scene, &mut choices);
            *made.entry(partition.name()).or_insert(0) += 1;
            partition.make(&mut cables);
            scene.goes_on();
            partition.alone().for_each(|at| is_helpless(&scene, at, cycle));
            partition.end(&mut cables);
            scene.goes_on();
            partition.alone().for_each(|at| scene.catches_up(at));
            if cycle % ROUND_EVERY == 0 {
                rounds::go_on(&scene.set, 1);
            }
        }
        scene.end(&format!("{} partitions: {made:?}", faults(FEW)));
    });
}

/// A client that knows all members never reads behind what it was acknowledged, and never loses a change to such a read.
#[test]
fn increments_are_all_there_though_a_follower_is_cut_off() {
    let test = "partitions::increments_are_all_there_though_a_follower_is_cut_off";
    World::Network.enter(test, &["unshare", "nsenter", "ip", "mount"], || {
        let mut cables = Cables::lay(MEMBERS);
        let scene = scene();
        let follower = (scene.set.await_leader() + 1) % MEMBERS;
        let cut = Partition::Split(vec![follower], Cut::Silent);
        cut.make(&mut cables);
        for count in 0..20 {
            // A client of its own each time: none remembers who was of no use.
            let mut dict = DistributedDict::over(scene.load.way().to_all());
            let before: u64 = dict.get("increments").unwrap().unwrap_or(0);
            assert_eq!(before, count);
            dict.insert("increments", &(count + 1)).unwrap();
        }
        let alone = scene.load.way().to(follower, LONG_ENOUGH);
        let confirmed = alone.get_state();
        assert!(matches!(confirmed, Err(ClientError::NoQuorum(_))), "{confirmed:?}");
        let stale = alone.read_value("increments", Consistency::Stale).unwrap();
        assert!(stale.stale && stale.value.is_none(), "{stale:?}");
        cut.end(&mut cables);
        scene.catches_up(follower);
        scene.end("one follower was cut off");
    });
}

/// Each member on a machine of its own, and clients that need a token.
fn scene() -> Scene {
    let folder = Folder::new();
    let mut all = places(&folder, |name| Place::new(folder.path(name)));
    for (at, place) in all.iter_mut().enumerate() {
        place.behind = Cables::behind(at);
        place.listen = Cables::listen(at);
        place.up = ["--clients", "0.0.0.0"].map(str::to_string).into();
    }
    let set = peer_set(&all, SETTINGS);
    let token = Some(set.client_token());
    let way = Way { members: (0..MEMBERS).map(Cables::listen).collect(), token };
    Scene::with(folder, set, way)
}

/// What is cut.
enum Partition {
    /// These from the others, both ways.
    Split(Vec<usize>, Cut),
    /// This one from everybody, clients included.
    Unplugged(usize),
    /// This one hears nobody.
    Deaf(usize, Cut),
    /// This one is heard by nobody.
    Mute(usize, Cut),
    /// The second does not hear the first.
    OneWay(usize, usize, Cut),
    /// These two do not hear each other.
    Pair(usize, usize, Cut),
}

impl Partition {
    fn choose(scene: &Scene, choices: &mut fastrand::Rng) -> Self {
        let one = scene.victim(choices);
        let other = (one + choices.usize(1..MEMBERS)) % MEMBERS;
        let cut = if choices.bool() { Cut::Silent } else { Cut::Refused };
        match choices.usize(..8) {
            0 => Self::Split(vec![one], cut),
            1 | 2 => Self::Split(vec![one, other], cut),
            3 => Self::Unplugged(one),
            4 => Self::Deaf(one, cut),
            5 => Self::Mute(one, cut),
            6 => Self::OneWay(one, other, cut),
            _ => Self::Pair(one, other, cut),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Split(..) => "split",
            Self::Unplugged(_) => "unplugged",
            Self::Deaf(..) => "deaf",
            Self::Mute(..) => "mute",
            Self::OneWay(..) => "one way",
            Self::Pair(..) => "pair",
        }
    }

    fn make(&self, cables: &mut Cables) {
        let all = 0..cables.machines();
        match self {
            Self::Split(few, cut) => {
                for (one, other) in all.flat_map(|at| few.iter().map(move |few| (*few, at))) {
                    if !few.contains(&other) {
                        cables.cut(one, other, *cut);
                        cables.cut(other, one, *cut);
                    }
                }
            }
            Self::Unplugged(one) => cables.unplug(*one),
            Self::Deaf(one, cut) => all.filter(|at| at != one).for_each(|at| cables.cut(at, *one, *cut)),
            Self::Mute(one, cut) => all.filter(|at| at != one).for_each(|at| cables.cut(*one, at, *cut)),
            Self::OneWay(one, other, cut) => cables.cut(*one, *other, *cut),
            Self::Pair(one, other, cut) => {
                cables.cut(*one, *other, *cut);
                cables.cut(*other, *one, *cut);
            }
        }
    }

    fn end(&self, cables: &mut Cables) {
        cables.heal();
        if let Self::Unplugged(one) = self {
            cables.plug_in(*one);
        }
    }

    /// Who can do nothing: neither a majority nor a leader with one is both heard and reached.
    fn alone(&self) -> impl Iterator<Item = usize> {
        match self {
            Self::Split(few, _) => few.clone(),
            Self::Unplugged(one) | Self::Deaf(one, _) | Self::Mute(one, _) => vec![*one],
            Self::OneWay(..) | Self::Pair(..) => Vec::new(),
        }
        .into_iter()
    }
}

/// It promises nothing and tells nothing for certain, whoever asks: a client over the network, or a person.
fn is_helpless(scene: &Scene, at: usize, cycle: usize) {
    let member = &scene.set.members[at];
    let read = scene.load.way().to(at, LONG_ENOUGH).get_value("cut-off", Consistency::Linearizable);
    assert!(read.is_err(), "{} is cut off, and served {read:?}", member.dir);
    let written = member.set_within(LONG_ENOUGH, "cut-off", cycle);
    assert!(written.is_err(), "{} is cut off, and acknowledged", member.dir);
}
