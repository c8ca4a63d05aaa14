//! Whatever is typed wrongly gets one line, an exit code, and changes nothing.

mod support;

use std::path::Path;
use support::{rafty, rafty_agent, run};

/// What is typed, the exit code, and what the line must say.
type Case = (&'static [&'static str], i32, &'static [&'static str]);

const LAPTOP: &[Case] = &[
    (&["fly"], 2, &["fly", "--help"]),
    (&["init"], 2, &["--name"]),
    (&["init", "--name", ""], 2, &["name", "nothing was changed"]),
    (&["init", "--name", "home", "--listen", "here"], 2, &["--listen"]),
    (&["init", "--name", "home", "--listen", "203.0.113.9:7400"], 1, &["203.0.113.9", "nothing was changed"]),
    (
        &["init", "--name", "home", "--advertise", "nowhere"],
        2,
        &["nowhere", "HOST:PORT", "nothing was changed"],
    ),
    (&["init", "--name", "home", "--advertise", "nowhere:0"], 2, &["nowhere:0", "1 to 65535"]),
    (&["init", "--name", "home", "--advertise", "no.such.host.invalid:1"], 2, &["no.such.host.invalid"]),
    (&["init", "--name", "home", "--tenure", "5"], 2, &["--tenure", "90s"]),
    (&["init", "--name", "home", "--tenure", "1ms"], 2, &["tenure", "1 s to 24 h"]),
    (&["init", "--name", "home", "--grace", "2h"], 2, &["grace"]),
    (
        &["init", "--name", "home", "--max-members", "32"],
        2,
        &["max_members", "1 to 31", "nothing was changed"],
    ),
    (
        &["init", "--name", "home", "--max-members", "0"],
        2,
        &["max_members", "1 to 31", "nothing was changed"],
    ),
    (&["join", "nonsense", "--peer", "127.0.0.1:1"], 2, &["token", "nothing was changed"]),
    (&["join", "nonsense", "--peer", "127.0.0.1"], 2, &["127.0.0.1", "HOST:PORT"]),
    (&["join", "nonsense", "--peer", "no.such.host.invalid:7400"], 2, &["no.such.host.invalid"]),
    (&["up"], 3, &["not the directory of a member"]),
    (&["up", "--peer", "nowhere"], 2, &["nowhere", "HOST:PORT", "nothing was changed"]),
    (&["up", "--peer", "[::1]"], 2, &["[::1]", "1 to 65535"]),
    (&["status"], 3, &["no member runs", "`up`"]),
    (&["events"], 3, &["no member runs"]),
    (&["token", "create", "--ttl", "0s"], 2, &["--ttl"]),
    (&["token", "create", "--role", "king"], 2, &["king"]),
    (&["run", "start", "no-such-task.toml"], 2, &["no-such-task.toml", "rafty task new"]),
    (&["run", "start", "x", "--rounds", "0"], 2, &["--rounds"]),
    (&["task", "new", "--from", "/no/such/data"], 1, &["/no/such/data"]),
    (&["members", "remove", "second"], 2, &["second"]),
    (&["demo", "--alpha", "0"], 2, &["--alpha"]),
    (&["demo", "--agents", "0"], 2, &["agent"]),
    (&["demo", "--peers", "9", "--agents", "9"], 2, &["15"]),
    (&["demo", "--peers", "1", "--agents", "1"], 2, &["--no-kill"]),
    (&["demo", "--keep", "/proc"], 1, &["/proc", "nothing was started"]),
    (&["bench", "rounds", "--agents", "99"], 2, &["--agents"]),
];

const DEVICE: &[Case] = &[
    (&["join", "nonsense", "--peer", "127.0.0.1:1"], 2, &["token", "nothing was changed"]),
    (&["join", "nonsense"], 2, &["token", "nothing was changed"]),
    (&["up", "--settings", "/no/such/file"], 2, &["/no/such/file", "nothing was changed"]),
    (&["up", "--set", "training.cpu_percent=0"], 2, &["training.cpu_percent", "1 to 100"]),
    (&["join", "nonsense", "--peer", "127.0.0.1:1", "--data", "/no/such/data"], 2, &["/no/such/data"]),
    (&["join", "nonsense", "--peer", "127.0.0.1:1", "--data", "/"], 2, &["token", "nothing was changed"]),
    (&["up"], 3, &["not the directory of a member"]),
    (&["status"], 3, &["no member runs"]),
    (&["predict", "/no/such/file"], 1, &["current.safetensors", "nothing was changed"]),
];

#[test]
fn the_laptop_program_says_what_is_wrong() {
    LAPTOP.iter().for_each(|case| check(&rafty(), case));
}

#[test]
fn the_device_program_says_what_is_wrong() {
    DEVICE.iter().for_each(|case| check(&rafty_agent(), case));
}

fn check(program: &Path, (words, code, parts): &Case) {
    let base = tempfile::Builder::new().prefix("rafty-").tempdir().unwrap();
    let dir = base.path().join("member");
    let output = run(program, &[words, &["--dir", dir.to_str().unwrap()][..]].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(*code), "{words:?}: {said}");
    assert_eq!(said.lines().count(), 1, "{words:?}: {said}");
    parts.iter().for_each(|part| assert!(said.contains(part), "{words:?} does not say {part}: {said}"));
    assert!(output.stdout.is_empty(), "{words:?}");
    let left: Vec<_> = std::fs::read_dir(base.path()).unwrap().collect();
    assert!(left.is_empty(), "{words:?} left {left:?}");
}

#[test]
fn a_broken_task_is_named_before_anything_starts() {
    let base = tempfile::tempdir().unwrap();
    let file = base.path().join("task.toml");
    std::fs::write(&file, "name = \"x\"\nlearning_rate = 3\n").unwrap();
    let output =
        run(&rafty(), &["run", "start", file.to_str().unwrap(), "--dir", base.path().to_str().unwrap()]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("learning_rate") && said.lines().count() == 1, "{said}");
}

#[test]
fn the_exit_codes_are_documented() {
    for program in [rafty(), rafty_agent()] {
        let output = run(&program, &["--help"]);
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && help.contains("Exit codes:"), "{help}");
    }
}
