//! A device that cannot train says why and until when, and trains as soon as it can. One that says it trains and sends
//! nothing holds rounds up for three rounds at most.

mod support;

use serde_json::Value;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};
use support::peer_set::Folder;
use support::trainers::{data, device_joins};
use support::{Up, command, json, ok, rafty, rafty_agent, run, until};

/// Far less than the longest rest, and far more than the looking takes.
const WITHIN: Duration = Duration::from_secs(25);
/// How much of the rest must be left when its cause goes: otherwise its end would show nothing.
const LEFT_MS: u64 = 35_000;

#[test]
fn a_device_whose_data_was_away_trains_within_seconds_of_its_return() {
    let folder = Folder::new();
    let set = folder.found("p1", &[]);
    let (data, away, task) = (data(&folder, "data", 40), folder.path("away"), folder.path("task.toml"));
    ok(&rafty(), &["task", "new", "--from", &folder.path("data/points.csv"), "--to", &task]);
    let (dir, founder) = (folder.path("a1"), set.founder().dir.clone());
    device_joins(&set, &dir, &data);
    let _agent = Up::start(&rafty_agent(), &dir);

    fs::rename(&data, &away).unwrap();
    json(&rafty(), &["run", "start", &task, "--rounds", "1", "--dir", &founder]);
    let rest_in = |dir: &str| {
        let output = run(&rafty(), &["status", "--json", "--dir", dir]);
        let status: Value = serde_json::from_slice(&output.stdout).ok()?;
        let mut rests = status["members"].as_array()?.iter().map(|member| &member["rest"]);
        rests.find(|rest| !rest.is_null()).cloned()
    };
    for asked in [&founder, &dir] {
        let rest = until("a word of why it does not train", || rest_in(asked));
        assert_eq!(rest["cause"], "data", "{rest}");
        assert!(rest["reason"].as_str().unwrap().contains(&data), "{rest}");
        let left = rest["left_ms"].as_u64().unwrap();
        assert!((1..=60_000).contains(&left), "{rest}");
        assert!(rest["until_ms"].as_u64().unwrap() > 1_700_000_000_000, "{rest}");
        let people = ok(&rafty(), &["status", "--dir", asked]);
        assert!(people.contains("does not train: no usable data"), "{people}");
    }
    let log = json(&rafty(), &["run", "log", "--dir", &founder]);
    assert_eq!(log["resting"][0]["cause"], "data", "{log}");

    let rest = until("a new rest", || {
        let rest = rest_in(&founder)?;
        (rest["left_ms"].as_u64()? > LEFT_MS).then_some(rest)
    });
    fs::rename(&away, &data).unwrap();
    let returned = Instant::now();
    let log = until("a published round", || {
        let log = json(&rafty(), &["run", "log", "--dir", &founder]);
        (!log["rounds"].as_array()?.is_empty()).then_some(log)
    });
    assert!(returned.elapsed() < WITHIN, "it took {:?}, with {rest}", returned.elapsed());
    assert_eq!(log["resting"], Value::Array(Vec::new()));
}

/// So many points, at one part in a hundred of a processor, that a training lasts for longer than any round here.
const ENDLESS: i64 = 200_000;
/// How long the first rounds wait for devices.
const FIRST_DEADLINE_MS: u64 = 4_000;
/// After so many missed rounds in a row a device is not waited for.
const WAITED_FOR: usize = 3;
const ROUNDS: usize = 12;
/// What a round of the honest devices takes at most, on a busy machine.
const UNDISTURBED_MS: u64 = 2_500;

#[test]
fn a_device_that_says_it_trains_and_never_sends_is_waited_for_in_three_rounds_only_and_named() {
    let folder = Folder::new();
    let deadline = format!("{FIRST_DEADLINE_MS}ms");
    let set = folder.found("p1", &["--first-deadline", &deadline]);
    let founder = set.founder().dir.clone();
    let honest = data(&folder, "honest", 40);
    let mut running = Vec::new();
    for name in ["a1", "a2", "a3"] {
        device_joins(&set, &folder.path(name), &honest);
        running.push(Up::start(&rafty_agent(), &folder.path(name)));
    }
    let dir = folder.path("endless");
    device_joins(&set, &dir, &data(&folder, "many", ENDLESS));
    let mut slow: Command = command(&rafty_agent(), &[]);
    slow.env("RAFTY_TRAINING_CPU_PERCENT", "1");
    running.push(Up::start_command(slow, &dir));
    let status = |dir: &str| {
        let output = run(&rafty(), &["status", "--json", "--dir", dir]);
        serde_json::from_slice::<Value>(&output.stdout).ok()
    };
    let id = until("its own status", || status(&dir))["me"].as_u64().unwrap();
    until("all are heard", || {
        let heard = |line: &Value| line["alive"] == true;
        let members = status(&founder)?["members"].as_array()?.clone();
        (members.len() == 5 && members.iter().all(heard)).then_some(())
    });
    let task = folder.path("task.toml");
    ok(&rafty(), &["task", "new", "--from", &format!("{honest}/points.csv"), "--to", &task]);
    json(&rafty(), &["run", "start", &task, "--rounds", "1000", "--dir", &founder]);

    let log = until("all rounds", || {
        let log = json(&rafty(), &["run", "log", "--dir", &founder]);
        (log["rounds"].as_array()?.len() >= ROUNDS).then_some(log)
    });
    let rounds = log["rounds"].as_array().unwrap();
    let counted = |round: &Value| {
        let of = |line: &Value| line[0].as_u64().unwrap();
        round["counted"].as_array().unwrap().iter().map(of).collect::<Vec<_>>()
    };
    let took: Vec<u64> = rounds.iter().map(|round| round["duration_ms"].as_u64().unwrap()).collect();
    for (at, round) in rounds.iter().enumerate() {
        assert!(!counted(round).contains(&id), "it sent an update: {round}");
        let most = if at < WAITED_FOR { FIRST_DEADLINE_MS + UNDISTURBED_MS } else { UNDISTURBED_MS };
        assert!(took[at] <= most, "round {} of {took:?} ms", at + 1);
    }
    assert!(took[0] >= FIRST_DEADLINE_MS, "it was waited for: {took:?}");

    let line = |status: &Value| {
        let members = status["members"].as_array().unwrap();
        members.iter().find(|line| line["id"] == id).unwrap()["given_up"].clone()
    };
    let given_up = line(&until("a status", || status(&founder)));
    assert!(given_up["missed_rounds"].as_u64() >= Some(WAITED_FOR as u64), "{given_up}");
    for words in [&["status", "--dir", &founder][..], &["run", "log", "--dir", &founder]] {
        let people = ok(&rafty(), words);
        let named = format!("member {id} is not waited for: in ");
        assert!(people.contains(&named) && people.contains("until an update of it comes"), "{people}");
    }
}
