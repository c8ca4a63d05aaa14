//! A run that goes on meanwhile: a small task, as many rounds as there is time for, each to be published once.

use crate::support::peer_set::{Folder, Member, PeerSet};
use crate::support::{STARTED, WITHIN, json, ok, rafty, until};
use rafty_node::RoundLine;
use rafty_runtime::operator::{Reply, Request, RunLog, call};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// More than any of these tests has time for.
const ROUNDS: &str = "100000";
const PATIENCE: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How often [`WITHIN`] may pass while a leader makes a key.
const KEYS_WITHIN: u32 = 5;
/// How many rows of data a device has.
const ROWS: i32 = 80;

/// The data of a device: points left and right of a line.
pub(crate) fn data(folder: &Folder, name: &str, shift: f32) -> String {
    let rows = (0..ROWS).fold(String::from("x,height,side\n"), |mut rows, at| {
        let x = (at - ROWS / 2) as f32 + 0.5;
        writeln!(rows, "{},{},{}", x / ROWS as f32, shift + at as f32 / 100.0, u8::from(x > 0.0)).unwrap();
        rows
    });
    let file = folder.path(name);
    std::fs::write(&file, rows).expect("a file");
    file
}

/// Starts a run over this data.
pub(crate) fn start(set: &PeerSet, folder: &Folder, data: &str) {
    let task = folder.path("task.toml");
    ok(&rafty(), &["task", "new", "--from", data, "--to", &task]);
    let words = ["run", "start", &task, "--rounds", ROUNDS, "--name", "faults", "--dir", &set.founder().dir];
    json(&rafty(), &words);
}

/// How many rounds were published, as far as any member knows.
fn published(set: &PeerSet) -> u64 {
    let of = |member: &Member| member.status()?.node.run.map(|run| run.version.0);
    set.running().filter_map(of).max().unwrap_or_default()
}

/// Waits until so many more rounds are published. A leader without a tenure key makes one with low priority, which takes
/// as long as the machine is busy with other things: that time does not count, within reason.
pub(crate) fn go_on(set: &PeerSet, more: u64) {
    let enough = published(set) + more;
    for _ in 0..KEYS_WITHIN {
        let until = Instant::now() + WITHIN;
        while Instant::now() < until {
            if published(set) >= enough {
                return;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        let waiting = waits_for(set);
        assert!(
            waiting.iter().any(|what| what.starts_with("a tenure key")),
            "no round in {WITHIN:?}: {waiting:?}"
        );
    }
    panic!("no tenure key in {KEYS_WITHIN} times {WITHIN:?}");
}

/// What each member says it waits for.
fn waits_for(set: &PeerSet) -> Vec<String> {
    set.running()
        .map(|member| member.status().map_or("no answer".into(), |status| status.node.waiting_for))
        .collect()
}

/// Stops the run; no round is under way any more.
pub(crate) fn stop(set: &PeerSet) {
    let asked = |member: &Member| call(Path::new(&member.dir), &Request::RunStop, PATIENCE).is_ok();
    let ended = |member: &Member| Some(member.status()?.node.run?.status != "active");
    until("the end of the run", || {
        let stopped = set.running().any(|member| ended(member) == Some(true));
        (stopped || set.running().any(asked)).then_some(())
    });
}

/// Every round was published once, whoever is asked; gives how many there were. The members have the same state.
pub(crate) fn were_published_once(set: &PeerSet) -> u64 {
    let log = log_of(set.founder());
    for member in set.running() {
        let other = log_of(member);
        assert!(
            other.rounds == log.rounds,
            "{} and {} tell of different rounds",
            member.dir,
            set.founder().dir
        );
    }
    let number = |round: &RoundLine| round.round.0;
    for two in log.rounds.windows(2) {
        assert_eq!(number(&two[0]) + 1, number(&two[1]), "a round is missing, or twice");
        // Whoever is deposed publishes nothing any more.
        assert!(two[0].tenure <= two[1].tenure, "a tenure that was over published: {two:?}");
    }
    for round in &log.rounds {
        let counted: BTreeSet<_> = round.counted.iter().map(|(member, ..)| member).collect();
        assert_eq!(counted.len(), round.counted.len(), "somebody counted twice: {round:?}");
    }
    let told = told_by_all(set);
    let last = log.rounds.last().map_or(0, number);
    let missing = (1..=last).find(|round| !told.contains_key(round));
    assert_eq!(
        (missing, told.len() as u64),
        (None, last),
        "a round was told of by nobody, or one that is not there"
    );
    for round in &log.rounds {
        assert_eq!(told[&number(round)], round.model.to_string(), "not what members told: {round:?}");
    }
    last
}

fn log_of(member: &Member) -> RunLog {
    match call(Path::new(&member.dir), &Request::RunLog { run: None }, PATIENCE) {
        Ok(Reply::RunLog(log)) => *log,
        other => panic!("{}: {other:?}", member.dir),
    }
}

/// The model of every round of whose publication any member told: all told the same, and none twice without a restart in
/// between. The replicated state keeps the last rounds only.
fn told_by_all(set: &PeerSet) -> BTreeMap<u64, String> {
    let mut models = BTreeMap::new();
    for member in &set.members {
        let mut told = BTreeSet::new();
        for line in member.said().lines() {
            if line == STARTED {
                told.clear();
            }
            let Ok(event) = serde_json::from_str::<serde_json::Value>(line) else { continue };
            if event["event"] == "round_published" {
                let round = event["round"].as_u64().expect("a number");
                let model = event["model"].as_str().expect("a digest").to_string();
                assert!(told.insert(round), "{} published round {round} twice", member.dir);
                let before = models.insert(round, model.clone());
                assert!(before.is_none_or(|before| before == model), "round {round} has two models: {line}");
            }
        }
    }
    models
}
