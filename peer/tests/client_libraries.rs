//! The client libraries against real members: what they say counts, once, whoever is killed and whatever gets lost.

mod support;

use rafty_client::blocking::{ClusterClient, Connection, DistributedDict};
use rafty_client::{Ask, Change, ClientError, ConfigAction, Consistency, Limits, Refresh, Session, Value};
use rafty_wire::client::Reply;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use support::peer_set::{Folder, Member, PeerSet};
use support::{ok, rafty, run_command, until};

/// Changes that must be seen before and after the leader is killed.
const SOME: usize = 20;

#[test]
fn the_client_libraries() {
    let folder = Folder::new();
    let mut set = folder.three(&[]);
    let members: Vec<String> = set.members.iter().map(listens_at).collect();

    entries_come_back_as_they_went(&members);
    a_dictionary_is_as_fresh_as_its_policy(&members);
    the_layer_below_answers(&set, &members);
    one_member_is_enough_whoever_leads(&set, &members);
    reads_see_every_acknowledged_write_while_a_follower_hangs(&set, &members);
    a_change_whose_answer_is_lost_counts_once(&set, &members);
    nothing_fails_or_counts_twice_while_the_leader_is_killed(&mut set, &members);
    python_does_the_same(&members);
}

fn listens_at(member: &Member) -> String {
    member.status().expect("it runs").listen.to_string()
}

fn dict(members: &[String]) -> DistributedDict {
    DistributedDict::new(members).expect("addresses")
}

fn entries_come_back_as_they_went(members: &[String]) {
    let (mut one, mut other) = (dict(members), dict(&members[..1]));
    assert!(one.is_empty().unwrap());
    one.insert("lamp", &BTreeMap::from([("on", true)])).unwrap();
    one.extend([("a", 1.5), ("b", f64::NAN)]).unwrap();
    // A number written longer than it needs to be.
    let odd = Value::from_bytes(vec![0xcf, 0, 0, 0, 0, 0, 0, 0, 1]).unwrap();
    one.insert_raw("odd", odd.clone()).unwrap();
    for dict in [&mut one, &mut other] {
        assert_eq!(dict.get("lamp").unwrap(), Some(BTreeMap::from([("on".to_string(), true)])));
        assert_eq!(dict.get_raw("odd").unwrap(), Some(&odd));
        assert_eq!(dict.get::<f64>("b").unwrap().map(f64::to_bits), Some(f64::NAN.to_bits()));
        assert_eq!(dict.get::<u8>("none").unwrap(), None);
        assert!(matches!(dict.get::<u8>("lamp"), Err(ClientError::Decode(_))));
        let keys: Vec<_> = dict.iter().unwrap().map(|(key, _)| key.to_string()).collect();
        assert_eq!(keys, ["a", "b", "lamp", "odd"]);
    }
    assert!(one.remove("lamp").unwrap() && !one.remove("lamp").unwrap());
    assert!(!other.contains("lamp").unwrap());
    assert_eq!(other.len().unwrap(), 3);
    assert_eq!(other.cluster().len(), 3, "the other members were found");
    assert_eq!(format!("{other:?}").matches("odd").count(), 1);
    for key in ["a", "b", "odd"] {
        assert!(one.remove(key).unwrap());
    }
}

fn a_dictionary_is_as_fresh_as_its_policy(members: &[String]) {
    let (mut writer, mut reader) = (dict(members), dict(members));
    let mut seen_after = |policy: Refresh, value: u8| {
        writer.insert("lamp", &value).unwrap();
        reader.set_refresh_policy(policy);
        let mut reads = || reader.get::<u8>("lamp").unwrap().expect("it is there");
        [reads(), reads(), reads()]
    };
    assert_eq!(seen_after(Refresh::Always, 1), [1, 1, 1]);
    assert_eq!(seen_after(Refresh::Lock, 2), [1, 1, 1]);
    assert_eq!(seen_after(Refresh::Count(2), 3), [1, 1, 3]);
    assert_eq!(seen_after(Refresh::Time(Duration::from_secs(3_600)), 4), [3, 3, 3]);
    assert_eq!(seen_after(Refresh::Time(Duration::ZERO), 5), [5, 5, 5]);
    writer.insert("lamp", &6).unwrap();
    reader.set_refresh_policy(Refresh::Lock);
    assert_eq!(reader.get("lamp").unwrap(), Some(5));
    reader.refresh().unwrap();
    assert_eq!(reader.get("lamp").unwrap(), Some(6));
    reader.insert("lamp", &7).unwrap();
    assert_eq!(reader.get("lamp").unwrap(), Some(7), "its own changes are seen at once");
    assert!(writer.remove("lamp").unwrap());
}

fn the_layer_below_answers(set: &PeerSet, members: &[String]) {
    let client = ClusterClient::new(members).unwrap();
    let leader = &members[set.await_leader()];
    let diagnostic = client.diagnostic_of(leader).unwrap();
    assert_eq!(diagnostic.status, "Leader");
    assert_eq!(diagnostic.leader_status.map(|status| status.match_index.len()), Some(3));
    assert_eq!(client.diagnostic().unwrap().volatile.cluster.len(), 3);
    assert_eq!(client.get_value("none", Consistency::Linearizable), Ok(None));
    client.config_cluster(ConfigAction::Add, leader).expect("it votes already");
    // The bytes of a command that would put 0xc1, which begins no value, under the key `x`.
    let poison = client.command_once(&mut Session::default(), &[0, 1, b'x', 1, 0xc1]);
    assert!(matches!(poison, Err(ClientError::Refused { .. })), "{poison:?}");
    client.get_state().expect("what is there can be read");
    let deep = (0..80).fold(json!(1), |inner, _| json!([inner]));
    assert!(set.founder().set("deep", deep).is_err(), "no client could read it");
    client.get_state().expect("what is there can be read");
    let stranger = client.config_cluster(ConfigAction::Add, "192.0.2.1:1");
    assert!(matches!(stranger, Err(ClientError::Refused { code, .. }) if code == "unknown_peer"));
}

/// As a program on a member's own machine reaches it: nobody else's address can be connected to, whoever leads.
fn one_member_is_enough_whoever_leads(set: &PeerSet, members: &[String]) {
    for turn in 0..members.len() {
        let id = set.members[turn].id().expect("it runs");
        ok(&rafty(), &["members", "transfer", &id.to_string(), "--dir", &set.founder().dir]);
        until("a hand-over", || (set.leader() == Some(turn)).then_some(()));
        let mut beside = Connection::open(&members[0], None).expect("it listens");
        let mut ask = |ask| Reply::decode(&beside.ask(ask).expect("a reply"));
        let change = Change::Set { key: "turn".into(), value: vec![1] };
        assert_eq!(ask(Ask::Append { change, session: None }), Some(Reply::done()), "{turn}");
        let (host, port) = members[turn].rsplit_once(':').expect("an address");
        let (address, port) = (host.to_string(), port.parse().expect("a port"));
        let config = Ask::Config { action: ConfigAction::Add, address, port };
        assert_eq!(ask(config), Some(Reply::done()), "{turn}");
        ok(&rafty(), &["members", "add", &id.to_string(), "--dir", &set.founder().dir]);
        readme_example_works(&members[0]);
    }
    assert!(dict(members).remove("turn").unwrap());
}

/// The lines of README that a user copies, with the address of a member on this machine.
fn readme_example_works(member: &str) {
    let readme = include_str!("../../README.md");
    let (_, behind) = readme.split_once("```python\n").expect("an example in Python");
    let (example, _) = behind.split_once("```").expect("its end");
    let example = example.replace("127.0.0.1:7400", member);
    let Some(mut python) = python_with_msgpack() else { return };
    python.args(["-c", &example]);
    let output = run_command(python);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("'kitchen': True"), "{said}");
    assert!(dict(&[member.to_string()]).remove("kitchen").unwrap(), "it was written");
}

/// Python beside its client library; none, and a note, where it lacks what that needs.
fn python_with_msgpack() -> Option<Command> {
    let python = || {
        let mut python = Command::new("python3");
        python.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/client/python"));
        python.env("PYTHONDONTWRITEBYTECODE", "1");
        python
    };
    let found = python().args(["-c", "import msgpack"]).output().is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("skipped: the Python client needs python3 with msgpack");
    }
    found.then(python)
}

/// The 20 increments of a follower that does not hear of them end at 20.
fn reads_see_every_acknowledged_write_while_a_follower_hangs(set: &PeerSet, members: &[String]) {
    let leader = set.await_leader();
    let follower = &set.members[(leader + 1) % members.len()];
    let signal = |name: &str| {
        let pid = follower.pid().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().expect("kill runs").success());
    };
    signal("-STOP");
    let mut dict = dict(members);
    for count in 0..20 {
        let before: Option<i32> = dict.get("count").unwrap();
        assert_eq!(before.unwrap_or(0), count);
        dict.insert("count", &(count + 1)).unwrap();
    }
    signal("-CONT");
    assert!(dict.remove("count").unwrap());
}

/// A way to a member on which the answers to some requests get lost, and on which something happens meanwhile.
struct Lossy {
    address: String,
    /// How many answers to changes are still to be lost.
    to_lose: &'static AtomicUsize,
}

impl Lossy {
    fn new(member: &str, meanwhile: impl Fn() + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let (member, to_lose) = (member.to_string(), &*Box::leak(Box::new(AtomicUsize::new(0))));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let mut client = client.expect("a connection");
                let mut request = vec![0; 4_096];
                let read = client.read(&mut request).expect("a small request comes in one piece");
                let mut stream = TcpStream::connect(&member).expect("the member listens");
                stream.write_all(&request[..read]).expect("it reads");
                let mut reply = Vec::new();
                stream.read_to_end(&mut reply).expect("it answers");
                let is_append = request.windows(6).any(|word| word == b"append");
                if is_append && to_lose.load(Ordering::SeqCst) > 0 {
                    to_lose.fetch_sub(1, Ordering::SeqCst);
                    meanwhile();
                } else {
                    client.write_all(&reply).expect("it listens");
                }
                let _ = client.shutdown(Shutdown::Both);
            }
        });
        Self { address, to_lose }
    }

    fn lose(&self, answers: usize) -> DistributedDict {
        self.to_lose.store(answers, Ordering::SeqCst);
        dict(std::slice::from_ref(&self.address))
    }

    fn lost_all(&self) -> bool {
        self.to_lose.load(Ordering::SeqCst) == 0
    }
}

fn a_change_whose_answer_is_lost_counts_once(set: &PeerSet, members: &[String]) {
    let others = members.to_vec();
    let way =
        Lossy::new(&members[set.await_leader()], move || dict(&others).insert("lamp", "theirs").unwrap());
    let mut direct = dict(members);

    let mut lossy = way.lose(2);
    lossy.insert("lamp", "ours").expect("it counts");
    assert!(way.lost_all());
    assert_eq!(direct.get("lamp").unwrap(), Some("theirs".to_string()), "ours came first, and only once");

    direct.insert("gone", &1).unwrap();
    assert!(way.lose(3).remove("gone").expect("it counts"), "the first one found it");
    assert!(way.lost_all() && !direct.contains("gone").unwrap());

    let mut lossy = way.lose(1);
    lossy.set_sessions(false);
    let result = lossy.insert("lamp", "ours again");
    assert!(matches!(result, Err(ClientError::UnknownOutcome(_))), "{result:?}");
    assert_eq!(direct.get("lamp").unwrap(), Some("theirs".to_string()), "not sent again over theirs");
    assert!(direct.remove("lamp").unwrap());
}

/// With a token a session goes on by way of any member.
fn nothing_fails_or_counts_twice_while_the_leader_is_killed(set: &mut PeerSet, members: &[String]) {
    let token = &set.client_token();
    let (done, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let more = |than: usize| until("changes", || (done.load(Ordering::SeqCst) > than + SOME).then_some(()));
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let (done, stop) = (&done, &stop);
            scope.spawn(move || {
                let mut dict = DistributedDict::with_token(members, token).expect("a token");
                for count in 0.. {
                    let key = format!("{writer}-{count}");
                    dict.insert(&*key, &count).unwrap_or_else(|error| panic!("{key}: {error}"));
                    assert!(
                        dict.remove(&key).unwrap_or_else(|error| panic!("{key}: {error}")),
                        "{key} was there"
                    );
                    done.fetch_add(1, Ordering::SeqCst);
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                }
            });
        }
        more(0);
        let leader = set.await_leader();
        set.members[leader].kill();
        more(done.load(Ordering::SeqCst));
        stop.store(true, Ordering::SeqCst);
    });
    assert!(dict(members).is_empty().unwrap(), "what was removed stays so");
}

/// One of three members is gone, and Python's clients do not know which.
fn python_does_the_same(members: &[String]) {
    let Some(mut python) = python_with_msgpack() else { return };
    python.env("RAFTY_MEMBERS", members.join(","));
    python.args(["-m", "unittest", "discover", "-s", "tests", "-t", "."]);
    let output = run_command(python);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("skipped"), "{said}");
}

#[test]
fn without_a_majority_nothing_is_promised() {
    let folder = Folder::new();
    let mut set = folder.three(&[]);
    let members: Vec<String> = set.members.iter().map(listens_at).collect();
    dict(&members).insert("lamp", &1).unwrap();
    set.members[1].kill();
    set.members[2].kill();
    let limits = Limits {
        patience: Duration::from_secs(4),
        answer_within: Duration::from_secs(1),
        ..Limits::default()
    };
    let alone = ClusterClient::with_limits(&members, limits).unwrap();
    let result = alone.get_state();
    assert!(matches!(result, Err(ClientError::NoQuorum(_))), "{result:?}");
    let stale = alone.read_state(Consistency::Stale).expect("what is there");
    assert!(stale.stale && stale.entries.len() == 1, "{stale:?}");
    let lamp = alone.read_value("lamp", Consistency::Stale).expect("what is there");
    assert!(lamp.stale && lamp.value.is_some(), "{lamp:?}");
    let mut dict = DistributedDict::over(alone);
    dict.set_stale_reads(true);
    assert_eq!((dict.get("lamp").unwrap(), dict.is_stale()), (Some(1), true));
    let result = dict.insert("lamp", &2);
    let honest = matches!(result, Err(ClientError::NoLeader(_) | ClientError::UnknownOutcome(_)));
    assert!(honest, "{result:?}");
}
