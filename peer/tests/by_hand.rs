//! What a person types, one command after another, with processes started one by one.

mod support;

use serde_json::Value;
use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use support::{Up, command, json, ok, rafty, rafty_agent, run, until};

/// Points left and right of a line: what an agent may have.
fn write_points(file: &Path, count: i32, shift: f32) {
    let rows = (0..count).fold(String::from("x,height,side\n"), |mut rows, at| {
        let x = (at - count / 2) as f32 + 0.5;
        writeln!(rows, "{},{},{}", x / count as f32, shift + at as f32 / 100.0, u8::from(x > 0.0)).unwrap();
        rows
    });
    std::fs::write(file, rows).unwrap();
}

struct Home {
    base: tempfile::TempDir,
}

impl Home {
    fn path(&self, name: &str) -> String {
        self.base.path().join(name).to_str().unwrap().to_string()
    }

    fn found(&self) -> Up {
        let dir = self.path("p1");
        let words = ["--listen", "127.0.0.1:0", "--tenure", "2s", "--grace", "1s", "--announce", "1s"];
        let made = json(&rafty(), &[&["init", "--name", "home", "--dir", &dir][..], &words].concat());
        assert_eq!(made["member"], 1);
        let up = Up::start(&rafty(), &dir);
        until("a first tenure", || self.status().filter(|status| !status["tenure"].is_null()));
        up
    }

    fn join(&self, name: &str, data: Option<&str>) -> (u64, Up) {
        let (role, program) = if data.is_some() { ("agent", rafty_agent()) } else { ("operator", rafty()) };
        let founder = self.path("p1");
        let words = ["token", "create", "--role", role, "--ttl", "1h", "--dir", &founder];
        let token = json(&rafty(), &words);
        let (text, peer) = (token["token"].as_str().unwrap(), token["addresses"][0].as_str().unwrap());
        let (dir, late) = (self.path(name), self.path("late"));
        let mut words = vec!["join", text, "--peer", peer, "--listen", "127.0.0.1:0"];
        words.extend(data.iter().flat_map(|data| ["--data", data]));
        let member = json(&program, &[&words[..], &["--dir", &dir]].concat())["member"].as_u64().unwrap();
        let again = run(&program, &[&words[..], &["--dir", &late]].concat());
        assert_eq!(again.status.code(), Some(4), "a token is good for one newcomer");
        assert!(!Path::new(&late).exists());
        (member, Up::start(&program, &dir))
    }

    fn status(&self) -> Option<Value> {
        let output = run(&rafty(), &["status", "--json", "--dir", &self.path("p1")]);
        serde_json::from_slice(&output.stdout).ok()
    }

    fn voters(&self) -> usize {
        let Some(status) = self.status() else { return 0 };
        let members = status["members"].as_array().unwrap();
        members.iter().filter(|member| member["role"] == "voter" || member["role"] == "leader").count()
    }
}

#[test]
fn everything_by_hand() {
    let home = Home { base: tempfile::Builder::new().prefix("rafty-").tempdir().unwrap() };
    let founder = home.found();
    let p1 = home.path("p1");
    for (at, name) in ["one.csv", "two.csv"].iter().enumerate() {
        write_points(&home.base.path().join(name), 80, at as f32);
    }
    let (agent, first) = home.join("a1", Some(&home.path("one.csv")));
    let (_, second) = home.join("a2", Some(&home.path("two.csv")));
    let (peer, third) = home.join("p2", None);
    until("three voters, since an odd number votes", || (home.voters() == 3).then_some(()));

    learn(&home, &p1);
    everybody_gets_what_only_its_recipients_can_open(&home);
    entries(&p1);

    ok(&rafty(), &["members", "add", &peer.to_string(), "--dir", &p1]);
    assert_eq!(run(&rafty(), &["members", "add", "999", "--dir", &p1]).status.code(), Some(1));
    ok(&rafty(), &["members", "transfer", &peer.to_string(), "--dir", &p1]);
    let text = ok(&rafty(), &["status", "--dir", &p1]);
    assert!(text.contains("waits for:"), "{text}");
    ok(&rafty(), &["members", "remove", &agent.to_string(), "--dir", &p1]);
    until("three voters", || (home.voters() == 3).then_some(()));
    assert!(!ok(&rafty(), &["members", "list", "--dir", &p1]).contains("(this one)\n\n"));

    drop(first);
    second.orphan();
    assert_eq!(third.terminate(), Some(0));
    assert_eq!(founder.terminate(), Some(0));
    let after = run(&rafty(), &["status", "--dir", &p1]);
    assert_eq!(after.status.code(), Some(3));
}

/// A task from data, a run of it, and what it gives.
fn learn(home: &Home, p1: &str) {
    let (data, task) = (home.path("one.csv"), home.path("task.toml"));
    ok(&rafty(), &["task", "new", "--from", &data, "--to", &task]);
    let stopped = run(&rafty(), &["run", "stop", "--dir", p1]);
    assert_eq!(stopped.status.code(), Some(4), "there is no run to stop");
    let started = json(&rafty(), &["run", "start", &task, "--rounds", "3", "--name", "sides", "--dir", p1]);
    assert!(started["run"].as_u64().is_some());
    until("the end of the run", || home.status().filter(|status| status["run"]["status"] == "finished"));

    let log = json(&rafty(), &["run", "log", "--dir", p1]);
    let rounds = log["rounds"].as_array().unwrap();
    assert_eq!(rounds.len(), 3);
    assert!(
        rounds.iter().all(|round| round["counted"].as_array().is_some_and(|who| who.len() == 2)),
        "{log}"
    );
    let text = ok(&rafty(), &["run", "log", "--dir", p1]);
    assert!(text.contains("round 3 made version 3") && text.contains("counted: member"), "{text}");

    let model = home.path("model.safetensors");
    ok(&rafty(), &["model", "export", "--to", &model, "--dir", p1]);
    let (_, weights) = rafty_learning::read_model(&std::fs::read(&model).unwrap()).unwrap();
    assert!(weights.iter().all(|weight| weight.is_finite()));
    until("the newest model at the agent", || {
        let output = run(&rafty_agent(), &["predict", &data, "--json", "--dir", &home.path("a1")]);
        output.status.success().then_some(())
    });
    let lines = ok(&rafty_agent(), &["predict", &data, "--model", &model, "--dir", &home.path("a1")]);
    assert_eq!(lines.lines().count(), 80);
}

/// Each member's update went to all; only one could open it, the aggregator.
fn everybody_gets_what_only_its_recipients_can_open(home: &Home) {
    let counts = ["p1", "a1", "a2", "p2"].map(|name| {
        let status = json(&rafty(), &["status", "--dir", &home.path(name)]);
        ["received", "for_me"].map(|which| status["envelopes"][which].as_u64().unwrap())
    });
    assert!(counts.iter().all(|[received, for_me]| received >= for_me && *for_me > 0), "{counts:?}");
    let for_others: u64 = counts.iter().map(|[received, for_me]| received - for_me).sum();
    assert!(for_others > 0, "nobody was a bystander: {counts:?}");
}

fn entries(p1: &str) {
    ok(&rafty(), &["set", "lamp", "{\"on\": true}", "--dir", p1]);
    let mut watch =
        command(&rafty(), &["watch", "--json", "--dir", p1]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    let there = next();
    assert_eq!((&there["key"], &there["value"]["on"]), (&"lamp".into(), &true.into()));
    assert_eq!(ok(&rafty(), &["get", "lamp", "--dir", p1]).trim(), "{\"on\":true}");
    ok(&rafty(), &["set", "fan", "3", "--dir", p1]);
    assert_eq!(next()["key"], "fan");
    assert_eq!(
        json(&rafty(), &["dump", "--dir", p1]),
        serde_json::json!({ "fan": 3, "lamp": { "on": true } })
    );
    assert_eq!(ok(&rafty(), &["dump", "--dir", p1]), "fan = 3\nlamp = {\"on\":true}\n");
    ok(&rafty(), &["delete", "lamp", "--dir", p1]);
    let gone = next();
    assert_eq!((&gone["key"], &gone["found"]), (&"lamp".into(), &false.into()));
    watch.kill().unwrap();
    watch.wait().unwrap();
    assert_eq!(run(&rafty(), &["get", "lamp", "--dir", p1]).status.code(), Some(1));
    let inside = json(&rafty(), &["diagnostic", "--dir", p1]);
    assert_eq!(inside["volatile"]["cluster"].as_array().unwrap().len(), 4);
    assert_eq!(inside["stats"]["append"].as_array().unwrap().len(), 10);
}
