//! Whoever reads what a program prints may go away, and the disk behind it may be full: no command panics for that.

mod support;

use std::fs::File;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use support::peer_set::{Folder, Member, PeerSet};
use support::{command, json, ok, rafty, rafty_agent, run, run_command, until};

/// A pipe whose reader has gone away.
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

fn full_disk() -> Stdio {
    File::options().write(true).open("/dev/full").expect("/dev/full").into()
}

/// Runs a command whose output goes to `out`; its standard error.
fn run_into(mut command: Command, out: Stdio) -> Output {
    let errors = tempfile::NamedTempFile::new().expect("a file");
    let child = command.stdout(out).stderr(errors.reopen().expect("a file")).spawn();
    let mut child = child.expect("the program starts");
    let status = until("the end of a command", || child.try_wait().expect("a child"));
    Output { status, stdout: Vec::new(), stderr: std::fs::read(errors.path()).expect("its errors") }
}

fn ends_quietly(asked: Command) {
    let words = format!("{asked:?}");
    let output = run_into(asked, closed_pipe());
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(0), "{words} into a closed pipe: {said}");
    assert!(!said.contains("error") && !said.contains("panicked"), "{words} into a closed pipe: {said}");
}

fn fails_in_a_line(asked: Command) {
    let words = format!("{asked:?}");
    let output = run_into(asked, full_disk());
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(1), "{words} onto a full disk: {said}");
    let errors: Vec<_> = said.lines().filter(|line| line.contains("error")).collect();
    assert!(
        matches!(errors[..], [line] if line.contains("No space left")),
        "{words} onto a full disk: {said}"
    );
    assert!(!said.contains("panicked"), "{words} onto a full disk: {said}");
}

/// `make` gives the words of a command, anew for each time that it runs.
fn check(program: &Path, make: impl Fn(&str) -> Vec<String>) {
    let asked = |time| {
        let mut asked = command(program, &[]);
        asked.args(make(time));
        asked
    };
    ends_quietly(asked("a"));
    fails_in_a_line(asked("b"));
}

fn check_words(program: &Path, words: &[&str]) {
    check(program, |_| words.iter().map(ToString::to_string).collect());
}

#[test]
fn help_and_what_needs_no_member_survive_a_closed_pipe_and_a_full_disk() {
    let folder = Folder::new();
    let table = folder.path("table.csv");
    std::fs::write(&table, "a,b,class\n1,2,x\n2,1,y\n3,4,x\n").unwrap();
    for words in [&["--help"][..], &["--version"], &["token", "create", "--help"], &["help", "run"]] {
        check_words(&rafty(), words);
    }
    check_words(&rafty(), &["task", "new", "--from", &table]);
    check(&rafty(), |time| {
        let dir = folder.path(&format!("init-{time}"));
        ["init", "--name", "home", "--listen", "127.0.0.1:0", "--dir", &dir].map(String::from).into()
    });
    let nowhere = folder.path("nowhere");
    for words in [&["--help"][..], &["--version"], &["settings", "explain"]] {
        check_words(&rafty_agent(), words);
    }
    check_words(&rafty_agent(), &["settings", "explain", "--json"]);
    check_words(&rafty_agent(), &["check", "--dir", &nowhere]);
    check_words(&rafty_agent(), &["check", "--json", "--dir", &nowhere]);
}

/// What an operator asks a member that runs, `--dir` aside.
const ASKED: &[&[&str]] = &[
    &["status"],
    &["status", "--json"],
    &["members", "list"],
    &["members", "list", "--json"],
    &["token", "create"],
    &["token", "create", "--json"],
    &["client", "list"],
    &["client", "list", "--json"],
    &["set", "lamp", "on", "--json"],
    &["get", "lamp"],
    &["dump"],
    &["dump", "--json"],
    &["watch"],
    &["watch", "lamp", "--json"],
    &["diagnostic"],
    &["diagnostic", "--json"],
    &["run", "log"],
    &["run", "log", "--json"],
];

#[test]
fn a_members_answers_survive_a_closed_pipe_and_a_full_disk() {
    let folder = Folder::new();
    let set = folder.found("p1", &[]);
    let dir = &set.founder().dir;
    let (table, task) = (folder.path("table.csv"), folder.path("task.toml"));
    std::fs::write(&table, "a,b,class\n1,2,x\n2,1,y\n3,4,x\n").unwrap();
    ok(&rafty(), &["task", "new", "--from", &table, "--to", &task]);
    ok(&rafty(), &["run", "start", &task, "--dir", dir]);
    ok(&rafty(), &["set", "lamp", "off", "--dir", dir]);
    ok(&rafty(), &["client", "create", "--name", "first", "--dir", dir]);
    for words in ASKED {
        check_words(&rafty(), &[words, &["--dir", dir][..]].concat());
    }
    let with_time = |words: &'static [&'static str]| {
        let dir = dir.clone();
        move |time: &str| {
            let words = words.iter().map(|word| word.replace('@', time));
            words.chain(["--dir".into(), dir.clone()]).collect::<Vec<_>>()
        }
    };
    check(&rafty(), with_time(&["client", "create", "--name", "c@"]));
    check(&rafty(), with_time(&["client", "create", "--json", "--name", "d@"]));
    check(&rafty(), |time| {
        let to = folder.path(&format!("fleet-{time}"));
        ["fleet", "package", "--count", "2", "--to", &to, "--dir", dir].map(String::from).into()
    });
    for time in ["a", "b"] {
        for card in ["pi-01", "pi-02"] {
            let file = folder.path(&format!("fleet-{time}/{card}/rafty.toml"));
            assert!(Path::new(&file).exists(), "{file}: every card has its file all the same");
        }
    }
    join_and_leave(&folder, &set);
    events(dir, &task);
    assert!(set.founder().status().is_some(), "the member goes on");
}

/// Orders to a terminal, a line that is forged, and marks that turn or hide text.
const HOSTILE: &str = "x\u{1b}[2J\u{9b}31m\u{7f}\nforged\r\u{202e}\u{2066}\u{200b}";

/// What people read of it is in lines that do not begin with `forged` and hold nothing that does not print.
fn is_harmless(what: &str, said: &[u8]) {
    let said = String::from_utf8(said.to_vec()).expect("text");
    for line in said.lines() {
        let hides = |c: char| c.is_control() || "\u{202e}\u{2066}\u{200b}".contains(c);
        assert!(!line.contains(hides) && !line.starts_with("forged"), "{what}: {line:?}");
    }
}

#[test]
fn what_others_wrote_forges_no_line_and_orders_no_terminal() {
    let folder = Folder::new();
    let dir = folder.path("p1");
    let init = run(&rafty(), &["init", "--name", HOSTILE, "--listen", "127.0.0.1:0", "--dir", &dir]);
    is_harmless("init", &[init.stdout, init.stderr].concat());
    let member = Member::start(dir.clone());
    until("a leader", || member.status().filter(|status| status.node.leader.is_some()));
    let (table, task) = (folder.path("table.csv"), folder.path("task.toml"));
    std::fs::write(&table, "a,b,class\n1,2,x\n2,1,y\n3,4,x\n").unwrap();
    ok(&rafty(), &["task", "new", "--from", &table, "--to", &task]);
    for words in [
        &["set", HOSTILE, HOSTILE][..],
        &["get", HOSTILE],
        &["get", "forged\u{1b}"],
        &["dump"],
        &["client", "create", "--name", HOSTILE],
        &["client", "list"],
        &["client", "create", "--name", HOSTILE],
        &["run", "start", &task, "--name", HOSTILE],
        &["run", "log"],
        &["status"],
        &["settings", "set", HOSTILE, "1"],
        &["members", "list"],
        &[HOSTILE],
        &["delete", HOSTILE],
    ] {
        let output = run(&rafty(), &[words, &["--dir", &dir][..]].concat());
        is_harmless(words[0], &[output.stdout, output.stderr].concat());
    }
    ok(&rafty(), &["set", HOSTILE, HOSTILE, "--dir", &dir]);
    for words in
        [&["get", HOSTILE][..], &["dump", "--json"], &["status", "--json"], &["run", "log", "--json"]]
    {
        is_harmless(words[0], ok(&rafty(), &[words, &["--dir", &dir][..]].concat()).as_bytes());
    }
    assert_eq!(json(&rafty(), &["get", HOSTILE, "--dir", &dir]), HOSTILE, "JSON keeps its value");
    assert_eq!(json(&rafty(), &["dump", "--dir", &dir])[HOSTILE], HOSTILE);
    assert_eq!(json(&rafty(), &["status", "--dir", &dir])["name"], HOSTILE);
    is_harmless("up", member.said().as_bytes());
}

fn join_and_leave(folder: &Folder, set: &PeerSet) {
    for (program, role) in [(rafty(), "operator"), (rafty_agent(), "agent")] {
        check(&program, |time| {
            let (token, peer) = set.token_for(role, "1h");
            let dir = folder.path(&format!("{role}-{time}"));
            let words = ["join", &token, "--peer", &peer, "--listen", "127.0.0.1:0", "--dir", &dir];
            words.map(String::from).into()
        });
    }
    check_words(&rafty_agent(), &["status", "--dir", &set.founder().dir]);
}

/// Events come when they come: runs are started and stopped until the one who follows has ended.
fn events(dir: &str, task: &str) {
    for (out, code) in [(closed_pipe(), 0), (full_disk(), 1)] {
        let mut asked = command(&rafty(), &["events", "--dir", dir]);
        let mut follower = asked.stdout(out).stderr(Stdio::null()).spawn().expect("it starts");
        let ended = until("the end of who follows", || {
            let mut words = command(&rafty(), &["run", "stop", "--dir", dir]);
            words.stdout(Stdio::null());
            run_command(words);
            run_command(command(&rafty(), &["run", "start", task, "--dir", dir]));
            follower.try_wait().expect("a child")
        });
        assert_eq!(ended.code(), Some(code), "events");
    }
}

#[test]
fn nobody_has_to_read_what_is_said_on_standard_error() {
    let folder = Folder::new();
    let dir = folder.path("p1");
    json(&rafty(), &["init", "--name", "p1", "--listen", "127.0.0.1:0", "--dir", &dir]);
    let mut up = command(&rafty(), &["up", "--exit-with-parent", "--dir", &dir]);
    let mut member =
        up.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(closed_pipe()).spawn().expect("it starts");
    let led = |dir: &str| -> Option<()> {
        let output = run_command(command(&rafty(), &["status", "--json", "--dir", dir]));
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        (!status["leader"].is_null()).then_some(())
    };
    until("a leader", || led(&dir));
    for err in [closed_pipe(), full_disk()] {
        let mut asked = command(&rafty(), &["set", "lamp", "on", "--dir", &dir]);
        let child = asked.stdout(Stdio::null()).stderr(err).spawn();
        let mut child = child.expect("it starts");
        let status = until("the end of a command", || child.try_wait().expect("a child"));
        assert_eq!(status.code(), Some(0), "what was asked is done, whoever reads of it");
    }
    assert_eq!(member.try_wait().expect("a child"), None, "it goes on");
    drop(member.stdin.take());
    until("the end of an orphan", || member.try_wait().expect("a child"));
}
