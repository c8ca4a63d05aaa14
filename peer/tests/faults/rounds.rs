//! A run that goes on meanwhile: a small task, as many rounds as there is time for, each to be published once.

use crate::support::peer_set::{Folder, Member, PeerSet};
use crate::support::{json, ok, rafty, until};
use rafty_runtime::operator::{Reply, Request, RunLog, call};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

/// More than any of these tests has time for.
const ROUNDS: &str = "100000";
const PATIENCE: Duration = Duration::from_secs(15);
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
    let of = |member: &Member| member.status()?.node.run.map(|run| run.version.0.into());
    set.running().filter_map(of).max().unwrap_or_default()
}

/// Waits until so many more rounds are published.
pub(crate) fn go_on(set: &PeerSet, more: u64) {
    let enough = published(set) + more;
    until("rounds", || (published(set) >= enough).then_some(()));
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
pub(crate) fn were_published_once(set: &PeerSet) -> usize {
    let log = log_of(set.founder());
    for member in set.running() {
        let other = log_of(member);
        assert_eq!(
            other.rounds,
            log.rounds,
            "{} and {} tell of different rounds",
            member.dir,
            set.founder().dir
        );
    }
    let numbers: Vec<u64> = log.rounds.iter().map(|round| round.round.0.into()).collect();
    let all: Vec<u64> = (1..=numbers.len() as u64).collect();
    assert_eq!(numbers, all, "a round is missing, or twice");
    for round in &log.rounds {
        let counted: BTreeSet<_> = round.counted.iter().map(|(member, ..)| member).collect();
        assert_eq!(counted.len(), round.counted.len(), "somebody counted twice: {round:?}");
    }
    // Whoever is deposed publishes nothing any more.
    assert!(log.rounds.is_sorted_by_key(|round| round.tenure), "a tenure that was over published");
    told_once(set, &log);
    numbers.len()
}

fn log_of(member: &Member) -> RunLog {
    match call(Path::new(&member.dir), &Request::RunLog { run: None }, PATIENCE) {
        Ok(Reply::RunLog(log)) => *log,
        other => panic!("{}: {other:?}", member.dir),
    }
}

/// No member ever told of a publication that is not in the log, nor of one twice without a restart in between.
fn told_once(set: &PeerSet, log: &RunLog) {
    let models: BTreeMap<u64, String> =
        log.rounds.iter().map(|round| (round.round.0.into(), round.model.to_string())).collect();
    for member in &set.members {
        let mut told = BTreeSet::new();
        for line in member.said().lines() {
            if line == crate::support::STARTED {
                told.clear();
            }
            let Ok(event) = serde_json::from_str::<serde_json::Value>(line) else { continue };
            if event["event"] == "round_published" {
                let round = event["round"].as_u64().expect("a number");
                assert_eq!(
                    event["model"].as_str(),
                    models.get(&round).map(String::as_str),
                    "{}: {line}",
                    member.dir
                );
                assert!(told.insert(round), "{} published round {round} twice", member.dir);
            }
        }
    }
}
