//! A device that cannot train says why and until when, and trains as soon as it can.

mod support;

use serde_json::Value;
use std::fmt::Write;
use std::fs;
use std::time::{Duration, Instant};
use support::peer_set::Folder;
use support::{Up, json, ok, rafty, rafty_agent, run, until};

/// Far less than the longest rest, and far more than the looking takes.
const WITHIN: Duration = Duration::from_secs(25);
/// How much of the rest must be left when its cause goes: otherwise its end would show nothing.
const LEFT_MS: u64 = 35_000;

#[test]
fn a_device_whose_data_was_away_trains_within_seconds_of_its_return() {
    let folder = Folder::new();
    let set = folder.found("p1", &[]);
    let (data, away, task) = (folder.path("data"), folder.path("away"), folder.path("task.toml"));
    fs::create_dir(&data).unwrap();
    let mut rows = String::from("x,side\n");
    (0..40).for_each(|at| writeln!(rows, "{},{}", at - 20, u8::from(at >= 20)).unwrap());
    fs::write(folder.path("data/points.csv"), rows).unwrap();
    ok(&rafty(), &["task", "new", "--from", &folder.path("data/points.csv"), "--to", &task]);
    let (token, peer) = set.token_for("agent", "1h");
    let (dir, founder) = (folder.path("a1"), set.founder().dir.clone());
    let joins = ["join", &token, "--peer", &peer, "--listen", "127.0.0.1:0", "--dir", &dir, "--data", &data];
    json(&rafty_agent(), &joins);
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
