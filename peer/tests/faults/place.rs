//! Where members are to be, and how they come there: by the real way, `init`, tokens, `join`, `up`.

use crate::support::peer_set::{Member, PeerSet};
use crate::support::{command, json_of, rafty, rafty_agent, until};
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};

/// A member to be.
#[derive(Clone, Default)]
pub(crate) struct Place {
    pub(crate) dir: String,
    /// The words in front of its program, if something else starts that.
    pub(crate) behind: Vec<String>,
    /// Empty for where members listen by default.
    pub(crate) listen: String,
    pub(crate) advertise: Option<String>,
    /// What it trains with; so it is a device.
    pub(crate) data: Option<String>,
    /// More words for `up`, the first time.
    pub(crate) up: Vec<String>,
}

impl Place {
    /// On loopback, anywhere.
    pub(crate) fn new(dir: String) -> Self {
        Self { dir, listen: "127.0.0.1:0".into(), ..Self::default() }
    }

    fn member(&self) -> Member {
        let program = if self.data.is_some() { rafty_agent() } else { rafty() };
        let mut words = self.behind.clone();
        words.push(program.to_str().expect("text").to_string());
        Member { dir: self.dir.clone(), program: words, up: None }
    }

    /// Runs the member's program to its end, where the member is to be.
    fn run(&self, words: &[&str]) {
        let program = self.member().program;
        let mut setup = command(Path::new(&program[0]), &[]);
        setup.args(&program[1..]).args(words).args(["--dir", &self.dir]);
        if !self.listen.is_empty() {
            setup.args(["--listen", &self.listen]);
        }
        setup.args(self.advertise.iter().flat_map(|at| ["--advertise", at]));
        setup.args(self.data.iter().flat_map(|data| ["--data", data]));
        json_of(setup);
    }

    fn begin(&self) -> Member {
        let mut member = self.member();
        let up: Vec<&str> = self.up.iter().map(String::as_str).collect();
        member.restart_with(&up);
        member
    }
}

/// Founds a peer set at the first place; the others join. Ready when all vote and hold the same.
pub(crate) fn peer_set(places: &[Place], settings: &[&str]) -> PeerSet {
    let (first, others) = places.split_first().expect("a founder");
    first.run(&[&["init", "--name", "faults"], settings].concat());
    let mut set = PeerSet { members: vec![first.begin()] };
    until("a first leader", || set.founder().status()?.node.leader);
    for place in others {
        let role = if place.data.is_some() { "agent" } else { "operator" };
        let (token, peer) = set.token_for(role, "1h");
        place.run(&["join", &token, "--peer", &peer]);
        set.members.push(place.begin());
    }
    set.settle(places.len());
    set
}

/// Where the members are, by the roster of one of them.
pub(crate) fn addresses(set: &PeerSet, at: usize) -> Vec<String> {
    let status = set.members[at].status().expect("it runs");
    let lines = status.node.members.iter();
    lines.flat_map(|line| line.addresses.iter().map(ToString::to_string)).collect()
}

/// Writes at one member until another one has it; how long that took.
pub(crate) fn until_there(set: &PeerSet, from: usize, to: usize, key: &str) -> Duration {
    let began = Instant::now();
    until("a write", || set.members[from].set_within(Duration::from_secs(1), key, 1).ok());
    until("it is there", || (set.members[to].get(key) == Some(json!(1))).then_some(()));
    began.elapsed()
}
