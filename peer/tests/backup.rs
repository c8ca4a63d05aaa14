//! What leaves a peer set in a file comes back whole: dumps of the dictionary, and backups of everything.

mod support;

use rafty_client::Change;
use rafty_client::Consistency::Linearizable;
use rafty_client::blocking::ClusterClient;
use rafty_runtime::operator::{Request, call};
use rmpv::Value as Packed;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Output;
use support::peer_set::{Folder, Member, PeerSet};
use support::{Up, json, ok, rafty, rafty_agent, run, until};

fn client(member: &Member) -> ClusterClient {
    ClusterClient::new([member.status().expect("a status").clients.to_string()]).unwrap()
}

fn packed(value: &Packed) -> Vec<u8> {
    let mut bytes = Vec::new();
    rmpv::encode::write_value(&mut bytes, value).unwrap();
    bytes
}

/// One of each kind of value.
fn one_of_each() -> BTreeMap<String, Vec<u8>> {
    let map = |pairs: Vec<(Packed, Packed)>| Packed::Map(pairs);
    let values = [
        Packed::Nil,
        true.into(),
        u64::MAX.into(),
        i64::MIN.into(),
        Packed::F32(0.1),
        Packed::F64(0.1 + 0.2),
        Packed::F64(f64::NAN),
        Packed::F64(f64::INFINITY),
        Packed::F64(-0.0),
        "grüße \u{0}\"\\".into(),
        Packed::Binary(vec![0, 255, 7]),
        Packed::Ext(-1, vec![0, 0, 0, 1]),
        Packed::Array(vec![1.into(), Packed::Binary(vec![]), Packed::Nil]),
        map(vec![("b".into(), 1.into()), ("a".into(), Packed::F64(f64::NAN))]),
        map(vec![(1.into(), "one".into()), (Packed::Nil, "none".into())]),
        map(vec![("$bin".into(), "00".into())]),
    ];
    let mut entries: BTreeMap<_, _> =
        values.iter().enumerate().map(|(at, value)| (format!("key {at}"), packed(value))).collect();
    entries.insert("no text".into(), vec![0xa1, 0xff]);
    entries.insert("$msgpack".into(), packed(&"a key of its own".into()));
    entries.insert(String::new(), packed(&"no key".into()));
    entries
}

fn set_all(member: &Member, entries: &BTreeMap<String, Vec<u8>>) {
    let client = client(member);
    for (key, value) in entries {
        client.append_log(Change::Set { key: key.clone(), value: value.clone() }).unwrap();
    }
}

fn all_at(member: &Member) -> BTreeMap<String, Vec<u8>> {
    let state = client(member).read_state(Linearizable).unwrap();
    state.entries.into_iter().map(|(key, value)| (key, value.bytes().to_vec())).collect()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Must fail, in words that say that nothing was changed.
fn refused(words: &[&str], why: &str) {
    let output = run(&rafty(), words);
    let said = said(&output);
    assert!(matches!(output.status.code(), Some(1 | 2 | 4)), "{words:?}: {:?} {said}", output.status);
    assert!(said.contains(why), "{words:?}: {said}");
    assert!(said.contains("nothing was changed"), "{words:?}: {said}");
}

#[test]
fn a_dump_loses_nothing() {
    let folder = Folder::new();
    let (from, to) = (folder.found("p1", &[]), folder.found("q1", &[]));
    let entries = one_of_each();
    set_all(from.founder(), &entries);
    let dump = ok(&rafty(), &["dump", "--json", "--dir", &from.founder().dir]);
    let dumped: serde_json::Value = serde_json::from_str(&dump).unwrap();
    for key in entries.keys() {
        let got = ok(&rafty(), &["get", key, "--dir", &from.founder().dir]);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&got).unwrap(), dumped[key], "{key:?}");
    }
    let file = folder.path("dump.json");
    std::fs::write(&file, &dump).unwrap();

    set_all(to.founder(), &BTreeMap::from([("another".to_string(), vec![0xc0])]));
    let load = |text: &str, why: &str| {
        let file = folder.path("other.json");
        std::fs::write(&file, text).unwrap();
        refused(&["load", &file, "--dir", &to.founder().dir], why);
    };
    load(&dump[..dump.len() / 2], "EOF");
    load("", "EOF");
    load("lamp = true\n", "expected value");
    load("[1, 2]", "one object");
    load(r#"{"a": {"$table": []}}"#, "unknown to this version");
    load(r#"{"good": 1, "cluster": 1}"#, "lists the members");
    load(r#"{"good": 1, "good": 2}"#, "twice");
    refused(&["load", &folder.path("none.json"), "--dir", &to.founder().dir], "No such file");
    assert_eq!(all_at(to.founder()).len(), 1, "nothing of these was set");

    let loaded = json(&rafty(), &["load", &file, "--dir", &to.founder().dir]);
    assert_eq!(loaded["loaded"], entries.len());
    let mut found = all_at(to.founder());
    assert_eq!(found.remove("another"), Some(vec![0xc0]), "what is not in the file stays");
    assert_eq!(found, entries);
    ok(&rafty(), &["load", &file, "--dir", &to.founder().dir]);
    assert_eq!(ok(&rafty(), &["dump", "--json", "--dir", &from.founder().dir]), dump);
}

#[test]
fn a_load_that_fails_half_way_says_so() {
    let folder = Folder::new();
    let set = folder.found("p1", &[]);
    let value = "x".repeat(1_000_000);
    let entries: BTreeMap<_, _> = (0..70).map(|at| (format!("{at:02}"), &value)).collect();
    let file = folder.path("large.json");
    std::fs::write(&file, serde_json::to_string(&entries).unwrap()).unwrap();
    let output = run(&rafty(), &["load", &file, "--dir", &set.founder().dir]);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("at most 67108864 bytes") && said.contains("67 of 70 entries were set"), "{said}");
    let Ok(_) = call(Path::new(&set.founder().dir), &Request::Status, std::time::Duration::from_secs(5))
    else {
        panic!("the member goes on");
    };
}

/// A set with a device that trains, and a run that goes on and on.
struct Training {
    set: PeerSet,
    data: String,
    device: Up,
}

fn device(folder: &Folder, set: &PeerSet, name: &str, data: &str) -> Up {
    let (token, peer) = set.token_for("agent", "1h");
    let dir = folder.path(name);
    let words = ["join", &token, "--peer", &peer, "--listen", "127.0.0.1:0", "--dir", &dir, "--data", data];
    json(&rafty_agent(), &words);
    Up::start(&rafty_agent(), &dir)
}

fn training(folder: &Folder) -> Training {
    let rows = (-40..40).fold(String::from("x,side\n"), |mut rows, at| {
        writeln!(rows, "{},{}", f64::from(at) / 40.0, u8::from(at > 0)).unwrap();
        rows
    });
    let (data, task) = (folder.path("data.csv"), folder.path("task.toml"));
    std::fs::write(&data, rows).unwrap();
    ok(&rafty(), &["task", "new", "--from", &data, "--to", &task]);
    let set = folder.found("p1", &["--tenure", "2s", "--grace", "1s"]);
    let device = device(folder, &set, "a1", &data);
    let dir = set.founder().dir.clone();
    ok(&rafty(), &["run", "start", &task, "--rounds", "100000", "--name", "sides", "--dir", &dir]);
    Training { set, data, device }
}

fn round(dir: &str) -> Option<u64> {
    let status = run(&rafty(), &["status", "--json", "--dir", dir]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).ok()?;
    status["run"]["version"].as_u64()
}

fn backed_up(dir: &str, file: &str) -> serde_json::Value {
    // A model is on its way to a member for a moment after it was published.
    until("a backup", || {
        let output = run(&rafty(), &["backup", "--to", file, "--json", "--dir", dir]);
        serde_json::from_slice(&output.stdout).ok()
    })
}

#[test]
fn a_set_that_is_gone_comes_back_from_a_backup_and_learns_on() {
    let folder = Folder::new();
    let training = training(&folder);
    let entries = one_of_each();
    set_all(training.set.founder(), &entries);
    let dir = training.set.founder().dir.clone();
    until("two rounds", || round(&dir).filter(|round| *round >= 2));
    let (token, _) = training.set.token("1h");
    let file = folder.path("backup");
    let made = backed_up(&dir, &file);
    assert_eq!(made["missing_models"], serde_json::json!([]));
    let log = json(&rafty(), &["run", "log", "--dir", &dir]);
    let Training { mut set, data, device: former } = training;
    drop(former);
    set.kill_all();

    let place = folder.path("q1");
    let words = ["restore", &file, "--listen", "127.0.0.1:0", "--dir", &place];
    let member = json(&rafty(), &words);
    assert!(member["member"].as_u64() > made["index"].as_u64(), "no number of the old set is given again");
    let set = PeerSet { members: vec![Member::start(place.clone())] };
    until("a leader", || set.founder().status().filter(|status| status.node.leader.is_some()));
    assert_eq!(all_at(set.founder()), entries);
    let at = round(&place).expect("the run is there");
    assert!(at >= 2);
    let again = json(&rafty(), &["run", "log", "--dir", &place]);
    assert_eq!(again["rounds"][1]["round"], log["rounds"][1]["round"], "what was published stays on record");
    assert_eq!(again["rounds"][1]["counted"], log["rounds"][1]["counted"]);
    let model = folder.path("model");
    ok(&rafty(), &["model", "export", "--to", &model, "--dir", &place]);

    let late = folder.path("late");
    let peer = set.founder().status().unwrap().listen.to_string();
    let knock = run(&rafty(), &["join", &token, "--peer", &peer, "--listen", "127.0.0.1:0", "--dir", &late]);
    assert!(!knock.status.success(), "a token of the old set is good for nothing: {}", said(&knock));
    let _device = device(&folder, &set, "b1", &data);
    until("a round beyond those of the backup", || round(&place).filter(|round| *round > at + 1));

    // The directory is one of a member that runs, and then of one that does not.
    refused(&words, "already the directory of a member");
    let mut set = set;
    set.kill_all();
    refused(&words, "already the directory of a member");
}

#[test]
fn what_is_no_backup_is_not_restored() {
    let folder = Folder::new();
    let set = folder.found("p1", &[]);
    set_all(set.founder(), &one_of_each());
    let (dir, file) = (&set.founder().dir, folder.path("backup"));
    let before = run(&rafty(), &["restore", &file, "--dir", &folder.path("q1")]);
    assert!(said(&before).contains("nothing was changed"), "{}", said(&before));
    backed_up(dir, &file);
    let whole = std::fs::read(&file).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o077, 0, "only its owner reads it");

    let place = folder.path("q1");
    let attempt = |bytes: &[u8], why: &str| {
        let other = folder.path("other");
        std::fs::write(&other, bytes).unwrap();
        refused(&["restore", &other, "--listen", "127.0.0.1:0", "--dir", &place], why);
        assert!(!PathBuf::from(&place).exists(), "nothing is left behind: {why}");
    };
    attempt(&whole[..whole.len() - 1], "cut short or damaged");
    attempt(&whole[..100], "cut short or damaged");
    attempt(b"", "not a backup of rafty");
    attempt(b"{\"a\": 1}", "not a backup of rafty");
    let mut newer = whole.clone();
    newer[8] = 9;
    attempt(&newer, "backup format 9");
    let mut altered = whole.clone();
    altered[whole.len() / 2] ^= 4;
    attempt(&altered, "cut short or damaged");

    let used = folder.path("used");
    std::fs::create_dir(&used).unwrap();
    std::fs::write(format!("{used}/notes.txt"), "mine").unwrap();
    refused(&["restore", &file, "--listen", "127.0.0.1:0", "--dir", &used], "");
    assert_eq!(std::fs::read(format!("{used}/notes.txt")).unwrap(), b"mine");

    let full = run(&rafty(), &["backup", "--to", "/dev/full/backup", "--dir", dir]);
    assert!(!full.status.success() && said(&full).contains("no backup was written"), "{}", said(&full));
    assert_eq!(std::fs::read(&file).unwrap(), whole);
}

#[test]
fn without_a_majority_a_backup_is_made_only_when_asked_for() {
    let folder = Folder::new();
    let mut set = folder.three(&[]);
    set_all(set.founder(), &one_of_each());
    set.members[1].kill();
    set.members[2].kill();
    let (dir, file) = (set.founder().dir.clone(), folder.path("backup"));
    until("no leader", || set.founder().status().filter(|status| status.node.leader.is_none()));
    let output = run(&rafty(), &["backup", "--to", &file, "--dir", &dir]);
    assert!(!output.status.success() && !Path::new(&file).exists(), "{}", said(&output));
    ok(&rafty(), &["backup", "--stale", "--to", &file, "--dir", &dir]);
    let place = folder.path("q1");
    json(&rafty(), &["restore", &file, "--name", "again", "--listen", "127.0.0.1:0", "--dir", &place]);
    let again = Member::start(place);
    until("a leader", || again.status().filter(|status| status.node.leader.is_some()));
    assert_eq!(all_at(&again), one_of_each());
    assert_eq!(again.status().unwrap().name, "again");
}
