//! What most faults happen to: three peers and two devices, all voters, under the load of clients, with a run under way.

use crate::disks::unmount;
use crate::load::{Load, Record, Way};
use crate::place::{Place, peer_set};
use crate::rounds;
use crate::support::peer_set::{Folder, Member, PeerSet};
use crate::support::until;
use rafty_types::Index;

/// Tenures and rounds so short that faults meet them at every moment; logs so short that members need snapshots.
pub(crate) const SETTINGS: &[&str] = &[
    "--tenure",
    "3s",
    "--grace",
    "2s",
    "--announce",
    "1s",
    "--first-deadline",
    "3s",
    "--quorum",
    "50",
    "--compact-after",
    "200",
    "--tail",
    "100",
];
/// Writes that must come through after a fault.
const WRITES: u64 = 20;

/// The peer set, what clients do to it, and its run.
pub(crate) struct Scene {
    pub(crate) load: Load,
    pub(crate) set: PeerSet,
    pub(crate) folder: Folder,
}

impl Scene {
    /// On loopback.
    pub(crate) fn start() -> Self {
        Self::start_on(|_| ())
    }

    /// The same, once members were `prepared`.
    pub(crate) fn start_on(prepared: impl FnOnce(&mut PeerSet)) -> Self {
        let folder = Folder::new();
        let places = places(&folder, |name| Place::new(folder.path(name)));
        let mut set = peer_set(&places, SETTINGS);
        prepared(&mut set);
        let members = set.members.iter().map(|member| member.status().expect("it runs").clients.to_string());
        let way = Way { members: members.collect(), token: Some(set.client_token()) };
        Self::with(folder, set, way)
    }

    /// With a peer set that is there, and whose first data file is the first device's.
    pub(crate) fn with(folder: Folder, set: PeerSet, way: Way) -> Self {
        rounds::start(&set, &folder, &folder.path("a1.csv"));
        let mut scene = Self { folder, set, load: Load::start(way) };
        scene.goes_on();
        rounds::go_on(&scene.set, 1);
        scene
    }

    /// Waits until writes come through.
    pub(crate) fn goes_on(&mut self) {
        self.load.goes_on(WRITES);
    }

    /// Waits until this member has applied what others have by now.
    pub(crate) fn catches_up(&self, at: usize) {
        let applied = |member: &Member| member.status().map(|status| status.node.applied);
        let newest = self.set.running().filter_map(applied).max().unwrap_or(Index(0));
        let member = &self.set.members[at];
        until("a member that has caught up", || applied(member).filter(|applied| *applied >= newest));
    }

    /// A random one, more often than not the leader.
    pub(crate) fn victim(&self, choices: &mut fastrand::Rng) -> usize {
        let any = choices.usize(..self.set.members.len());
        if choices.bool() { self.set.leader().unwrap_or(any) } else { any }
    }

    /// Ends load and run, and compares everything with everything. `what` says which faults there were.
    pub(crate) fn end(self, what: &str) {
        let Self { load, mut set, folder } = self;
        let record: Record = load.finish();
        rounds::go_on(&set, 1);
        rounds::stop(&set);
        set.settle(set.members.len());
        let rounds = rounds::were_published_once(&set);
        record.holds();
        println!("{what}; {}; {rounds} rounds published once", record.tally());
        set.kill_all();
        set.members.iter().for_each(unmount);
        drop(folder);
    }
}

/// Three peers and two devices with data of their own.
pub(crate) fn places(folder: &Folder, place: impl Fn(&str) -> Place) -> Vec<Place> {
    let mut places: Vec<Place> = ["p1", "p2", "p3"].map(&place).into();
    for (name, shift) in [("a1", 0.0), ("a2", 1.0)] {
        let data = Some(rounds::data(folder, &format!("{name}.csv"), shift));
        places.push(Place { data, ..place(name) });
    }
    places
}
