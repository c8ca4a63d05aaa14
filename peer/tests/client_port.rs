//! The dictionary's client port of real members, as clients of any language see it: MessagePack maps over TCP.

mod support;

use rmpv::Value;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};
use support::peer_set::{Folder, Member, PeerSet};
use support::{WITHIN, json, rafty, run, until};

const MIB: usize = 1024 * 1024;

/// A map of text, numbers and whatever else.
macro_rules! map {
    ($($name:ident: $value:expr),* $(,)?) => {
        Value::Map(vec![$((Value::from(stringify!($name).trim_start_matches("r#")), Value::from($value))),*])
    };
}

/// A peer set, and where each of its members serves clients.
struct Home {
    set: PeerSet,
    at: Vec<SocketAddr>,
}

impl Home {
    fn three(folder: &Folder) -> Self {
        let mut home = Self { set: folder.three(&[]), at: Vec::new() };
        // Its key takes a while; from then on nothing is committed but what clients ask for.
        let tenure = || home.set.founder().status()?.node.tenure;
        until("the first tenure", tenure);
        home.set.settle(3);
        home.at = home.set.members.iter().map(|member| member.status().expect("it runs").listen).collect();
        home
    }

    fn leader(&self) -> usize {
        let leads = |member: &Member| member.status().is_some_and(|status| status.node.role == "leader");
        until("a leader", || (0..self.at.len()).find(|one| leads(&self.set.members[*one])))
    }

    fn follower(&self) -> usize {
        let leader = self.leader();
        (0..self.at.len()).find(|one| *one != leader && self.set.members[*one].up.is_some()).unwrap()
    }

    fn address(&self, member: usize) -> Value {
        let at = self.at[member];
        Value::Array(vec![at.ip().to_string().into(), at.port().into()])
    }
}

/// How often clients may try to do harm.
const TRIES: u32 = 3;

fn connect(at: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(WITHIN)).unwrap();
    stream
}

fn bytes_of(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    rmpv::encode::write_value(&mut bytes, value).unwrap();
    bytes
}

/// What a server sends until it closes.
fn to_the_end(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

fn one_value(bytes: &[u8]) -> Value {
    let mut rest = bytes;
    let value = rmpv::decode::read_value(&mut rest).unwrap_or_else(|error| panic!("{error}: {bytes:02x?}"));
    assert!(rest.is_empty(), "one reply, then the end: {bytes:02x?}");
    value
}

/// As the older clients do it: connect, send one map, read to the end.
fn ask(at: SocketAddr, request: &Value) -> Value {
    ask_bytes(at, &bytes_of(request))
}

fn ask_bytes(at: SocketAddr, request: &[u8]) -> Value {
    let mut stream = connect(at);
    stream.write_all(request).unwrap();
    one_value(&to_the_end(stream))
}

fn set(key: &str, value: impl Into<Value>) -> Value {
    map! { r#type: "append", data: map! { action: "change", key: key, value: value.into() } }
}

fn delete(key: &str) -> Value {
    map! { r#type: "append", data: map! { action: "delete", key: key } }
}

fn get_key(key: &str) -> Value {
    map! { r#type: "get", key: key }
}

fn done() -> Value {
    map! { r#type: "result", success: true }
}

/// The error word of a result or an error.
fn word(reply: &Value) -> (&str, &str) {
    (reply["type"].as_str().unwrap_or("none"), reply["error"].as_str().unwrap_or("none"))
}

#[test]
fn the_client_port() {
    let folder = Folder::new();
    let mut home = Home::three(&folder);
    entries(&home);
    redirects(&home);
    forwards(&home);
    sessions(&home);
    pieces(&home);
    pipeline(&home);
    diagnostics(&home);
    unharmed(&home, "what is no request", no_requests);
    unharmed(&home, "who stalls", stalls);
    unharmed(&home, "who floods", floods);
    membership(&mut home);
    no_leader(&folder, &mut home);
}

fn entries(home: &Home) {
    let leader = home.at[home.leader()];
    assert_eq!(ask(leader, &set("lamp", true)), done());
    // Numbers need not be written in their shortest form, and there are extensions: bytes come back as they went.
    let exact = b"\x93\xcd\x00\x05\xd9\x01x\xc7\x02\x05ab";
    let mut odd = b"\x82\xa4type\xa6append\xa4data\x83\xa6action\xa6change\xa3key\xa3odd\xa5value".to_vec();
    odd.extend(exact);
    assert_eq!(ask_bytes(leader, &odd), done());
    for at in &home.at {
        let mut stream = connect(*at);
        stream.write_all(&bytes_of(&map! { r#type: "get" })).unwrap();
        let bytes = to_the_end(stream);
        assert!(bytes.windows(exact.len()).any(|window| window == exact));
        let all = one_value(&bytes);
        assert_eq!(all["lamp"], true.into());
        let cluster = all["cluster"].as_array().unwrap();
        assert!((0..3).all(|member| cluster.contains(&home.address(member))) && cluster.len() == 3);
    }

    let other = home.at[home.follower()];
    assert_eq!(ask(other, &get_key("lamp")), map! { r#type: "value", found: true, value: true });
    assert_eq!(ask(leader, &delete("lamp")), done());
    let missing = map! { r#type: "result", success: true, found: false };
    assert_eq!(ask(leader, &delete("lamp")), missing, "it is not there, as was wished");
    let none = map! { r#type: "value", found: false, value: Value::Nil };
    assert_eq!(ask(other, &get_key("lamp")), none);
    assert_eq!(ask(other, &map! { r#type: "get", key: "lamp", consistency: "linearizable" }), none);
    let stale = map! { r#type: "get", key: "cluster", consistency: "stale" };
    assert_eq!(ask(other, &stale)["value"].as_array().unwrap().len(), 3);
    assert_eq!(word(&ask(leader, &set("cluster", 1))), ("result", "read_only_key"));
    assert_eq!(word(&ask(leader, &delete("cluster"))), ("result", "read_only_key"));

    // The largest value. It stays, so that whoever reads everything has a lot to read.
    let large = vec![7; MIB - 5];
    assert_eq!(ask(leader, &set("large", Value::Binary(large.clone()))), done());
    assert_eq!(ask(other, &get_key("large"))["value"], Value::Binary(large));
}

fn redirects(home: &Home) {
    let leader = home.leader();
    let to_leader = map! { r#type: "redirect", leader: home.address(leader) };
    let other = home.at[home.follower()];
    assert_eq!(ask(other, &set("lamp", 1)), to_leader);
    assert_eq!(ask(other, &delete("lamp")), to_leader);
    let Value::Array(own) = home.address(leader) else { unreachable!() };
    for action in ["add", "delete"] {
        let known = map! { r#type: "config", action: action, address: own[0].clone(), port: own[1].clone() };
        assert_eq!(ask(other, &known), to_leader);
        let unknown = map! { r#type: "config", action: action, address: "192.0.2.1", port: 1 };
        assert_eq!(ask(other, &unknown), to_leader);
        assert_eq!(word(&ask(home.at[leader], &unknown)), ("result", "unknown_peer"));
    }
    let seated = map! { r#type: "config", action: "add", address: own[0].clone(), port: own[1].clone() };
    assert_eq!(ask(home.at[leader], &seated), done());
}

/// Who asks for it is not sent on: a member passes changes to the leader and gives its answer.
fn forwards(home: &Home) {
    let leader = home.leader();
    let other = home.at[home.follower()];
    assert_eq!(ask(other, &forwarded(set("lamp", 2))), done());
    assert_eq!(ask(home.at[leader], &get_key("lamp"))["value"], 2.into());
    let session = ask(other, &map! { r#type: "session" })["session"].clone();
    let once = |value: u64| {
        let data = map! { action: "change", key: "lamp", value: value };
        forwarded(map! { r#type: "append", data: data, session: session.clone(), serial: 1 })
    };
    assert_eq!(ask(other, &once(3)), done());
    assert_eq!(ask(other, &once(3)), done(), "it is answered as before");
    let anothers = ask(home.at[leader], &once(3));
    assert_eq!(word(&anothers), ("result", "unknown_session"), "it is known where it was opened");
    assert_eq!(ask(other, &forwarded(delete("lamp"))), done());
    let Value::Array(own) = home.address(leader) else { unreachable!() };
    let seated = map! { r#type: "config", action: "add", address: own[0].clone(), port: own[1].clone() };
    assert_eq!(ask(other, &forwarded(seated)), done());
    let unknown = map! { r#type: "config", action: "delete", address: "192.0.2.1", port: 1 };
    assert_eq!(word(&ask(other, &forwarded(unknown))), ("result", "unknown_peer"));
}

fn forwarded(request: Value) -> Value {
    let Value::Map(mut fields) = request else { unreachable!() };
    fields.push(("forward".into(), true.into()));
    Value::Map(fields)
}

fn sessions(home: &Home) {
    let leader = home.at[home.leader()];
    let session = ask(leader, &map! { r#type: "session" });
    assert_eq!(session["type"], "session".into());
    let once = |serial: u64, value: u64| {
        let data = map! { action: "change", key: "counted", value: value };
        map! { r#type: "append", data: data, session: session["session"].clone(), serial: serial }
    };
    assert_eq!(ask(leader, &once(1, 10)), done());
    assert_eq!(ask(leader, &once(2, 20)), done());
    assert_eq!(ask(leader, &once(1, 10)), done(), "it is answered as before");
    assert_eq!(ask(leader, &get_key("counted"))["value"], 20.into(), "and not done again");
    assert_eq!(word(&ask(leader, &once(9, 0))), ("result", "rejected"));
    assert_eq!(word(&ask(leader, &once(1, 30))), ("result", "serial_reused"), "that was another change");
    assert_eq!(ask(leader, &get_key("counted"))["value"], 20.into());
    let data = map! { action: "delete", key: "counted" };
    let unknown = map! { r#type: "append", data: data, session: 1, serial: 1 };
    assert_eq!(word(&ask(leader, &unknown)), ("result", "unknown_session"));
}

fn pieces(home: &Home) {
    let leader = home.at[home.leader()];
    let mut stream = connect(leader);
    stream.set_nodelay(true).unwrap();
    for byte in bytes_of(&set("slowly", "byte by byte")) {
        stream.write_all(&[byte]).unwrap();
    }
    assert_eq!(one_value(&to_the_end(stream)), done());
    let mut stream = connect(leader);
    stream.write_all(&bytes_of(&get_key("slowly"))).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(one_value(&to_the_end(stream))["value"], "byte by byte".into());
}

fn kept(request: Value) -> Value {
    let Value::Map(mut fields) = request else { unreachable!() };
    fields.push(("keep".into(), true.into()));
    Value::Map(fields)
}

fn pipeline(home: &Home) {
    let leader = home.at[home.leader()];
    let session = ask(leader, &map! { r#type: "session" })["session"].clone();
    let mut stream = connect(leader);
    let mut writer = stream.try_clone().unwrap();
    let write = std::thread::spawn(move || {
        for serial in 1..=200u64 {
            let data = map! { action: "change", key: "last", value: serial };
            let append = map! { r#type: "append", data: data, session: session.clone(), serial: serial };
            writer.write_all(&bytes_of(&kept(append))).unwrap();
            if serial == 100 {
                let wrong = b"\x83\xa4keep\xc3\xa4type\xa6append\xa4data\x01";
                writer.write_all(wrong).unwrap();
            }
        }
    });
    let mut replies: Vec<_> =
        (0..201).map(|_| rmpv::decode::read_value(&mut stream).expect("a reply")).collect();
    write.join().unwrap();
    assert_eq!(word(&replies.remove(100)), ("error", "malformed"), "in its turn, and the rest goes on");
    assert!(replies.iter().all(|reply| *reply == done()), "{replies:?}");
    stream.write_all(&bytes_of(&get_key("last"))).unwrap();
    assert_eq!(one_value(&to_the_end(stream))["value"], 200.into(), "this one did not keep the connection");
}

fn diagnostics(home: &Home) {
    let (leader, other) = (home.leader(), home.follower());
    let seen = ask(home.at[leader], &map! { r#type: "diagnostic" });
    assert_eq!(seen["status"], "Leader".into());
    assert_eq!(seen["persist"]["votedFor"], home.address(leader));
    assert!(seen["persist"]["currentTerm"].as_u64().unwrap() > 0);
    assert_eq!(seen["volatile"]["leaderId"], home.address(leader));
    assert_eq!(seen["volatile"]["address"], home.address(leader));
    assert_eq!(seen["volatile"]["cluster"].as_array().unwrap().len(), 3);
    let commit = seen["log"]["commitIndex"].as_u64().unwrap();
    assert!(commit > 200);
    let counts =
        |name: &str| seen["stats"][name].as_array().unwrap().iter().map(|count| count.as_u64().unwrap());
    for name in ["reads", "writes", "append", "timestamps"] {
        assert_eq!(counts(name).count(), 10, "{name}");
    }
    assert!(counts("reads").sum::<u64>() > 0);
    assert!(counts("writes").sum::<u64>() >= 200 && counts("append").sum::<u64>() >= 200);
    let matched = seen["leaderStatus"]["matchIndex"].as_array().unwrap();
    assert_eq!(matched.len(), 3);
    let level =
        matched.iter().filter(|pair| pair[0].is_array() && pair[1].as_u64().unwrap() >= commit).count();
    assert!(level >= 2, "a majority has what is committed: {matched:?}");
    assert!(seen["leaderStatus"]["netIndex"].is_array() && seen["leaderStatus"]["waiting_clients"].is_map());

    let seen = ask(home.at[other], &map! { r#type: "diagnostic" });
    assert_eq!((&seen["status"], &seen["leaderStatus"]), (&"Follower".into(), &Value::Nil));
    assert_eq!(seen["volatile"]["leaderId"], home.address(leader));
}

/// Whatever clients do: no entry changes, the next client is served, and no term ends. A term may end by itself on a busy
/// machine; if clients end it, they do so again and again. The leader's own notes, such as who is silent, may change.
fn unharmed(home: &Home, what: &str, harm: impl Fn(&Home)) {
    let terms = || {
        home.set.members.iter().map(|member| member.status().expect("it runs").node.term).collect::<Vec<_>>()
    };
    let entries = || -> Vec<Value> {
        home.at.iter().map(|at| ask(*at, &map! { r#type: "get", consistency: "stale" })).collect()
    };
    let ends_no_term = (0..TRIES).any(|_| {
        home.set.settle(3);
        let before = (terms(), entries());
        harm(home);
        assert_eq!(entries(), before.1, "{what}");
        assert_eq!(ask(home.at[home.leader()], &get_key("last"))["value"], 200.into(), "{what}");
        terms() == before.0
    });
    assert!(ends_no_term, "{what}: ends a term each time");
}

fn no_requests(home: &Home) {
    let leader = home.at[home.leader()];
    let bin = |len: usize| Value::Binary(vec![7; len - 5]);
    let refused: &[(Vec<u8>, &str)] = &[
        (b"\x81\xa4type\xa3fly".to_vec(), "unknown_type"),
        (b"\xc1".to_vec(), "malformed"),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "malformed"),
        (bytes_of(&map! { r#type: "append", data: 3 }), "malformed"),
        (bytes_of(&map! { r#type: 7 }), "malformed"),
        (
            bytes_of(&map! { r#type: "append", data: map! { action: "change", key: 3, value: 1 } }),
            "malformed",
        ),
        (bytes_of(&map! { r#type: "get", timeout_ms: -1 }), "malformed"),
        (bytes_of(&set("large", bin(MIB + 1))), "too_long"),
        (bytes_of(&set("large", bin(4 * MIB))), "too_long"),
        (b"\xdf\xff\xff\xff\xff".to_vec(), "too_long"),
        (vec![0x91; 100_000], "too_deep"),
    ];
    for (bytes, why) in refused {
        let reply = ask_bytes(leader, bytes);
        assert_eq!(word(&reply), ("error", *why));
        assert!(!reply["detail"].as_str().unwrap().is_empty());
    }
    let whole = bytes_of(&set("cut", "short"));
    for len in 0..whole.len() {
        let mut stream = connect(leader);
        stream.write_all(&whole[..len]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let reply = to_the_end(stream);
        assert!(len == 0 && reply.is_empty() || word(&one_value(&reply)) == ("error", "malformed"), "{len}");
    }
}

fn stalls(home: &Home) {
    let leader = home.at[home.leader()];
    let begin = Instant::now();
    let mut half = connect(leader);
    half.write_all(&bytes_of(&set("half", 1))[..20]).unwrap();
    let mut silent = connect(leader);
    let mut drips = connect(leader);
    let mut kept = connect(leader);
    kept.write_all(&bytes_of(&self::kept(get_key("last")))).unwrap();
    assert!(rmpv::decode::read_value(&mut kept).is_ok());
    // Asks for 64 MiB and reads nothing.
    let mut deaf = connect(leader);
    let question = bytes_of(&self::kept(map! { r#type: "get" }));
    deaf.write_all(&question.repeat(64)).unwrap();
    for byte in bytes_of(&set("drip", 1)).iter().cycle() {
        if begin.elapsed() > Duration::from_secs(4) || drips.write_all(&[*byte & 0x7f | 0x80]).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(word(&one_value(&to_the_end(half))), ("error", "timeout"));
    assert!(begin.elapsed() < Duration::from_secs(20), "who stalls is cut off");
    let mut nothing = Vec::new();
    let _ = drips.read_to_end(&mut nothing);
    assert_eq!(silent.read_to_end(&mut nothing).unwrap_or(0), 0);
    kept.write_all(&bytes_of(&get_key("last"))).unwrap();
    assert_eq!(one_value(&to_the_end(kept))["value"], 200.into(), "who may be silent is not");
}

fn floods(home: &Home) {
    let leader = home.at[home.leader()];
    // When the system lets a crowd in so slowly that its first are cut off before its last come, another one comes.
    let crowd = until("an end to it", || {
        let (crowd, away) = crowd(leader);
        (away > 0).then_some(crowd)
    });
    let other = home.at[home.follower()];
    assert_eq!(ask(other, &get_key("last"))["value"], 200.into(), "others are served meanwhile");
    drop(crowd);
    until("room for a client", || {
        let mut stream = connect(leader);
        stream.write_all(&bytes_of(&get_key("last"))).ok()?;
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).ok()?;
        (one_value(&reply)["value"] == 200.into()).then_some(())
    });
}

/// More connections than are taken, and how many were turned away.
fn crowd(at: SocketAddr) -> (Vec<TcpStream>, usize) {
    let mut crowd: Vec<_> =
        (0..850).map_while(|_| TcpStream::connect_timeout(&at, Duration::from_secs(5)).ok()).collect();
    let mut away = 0;
    for stream in crowd.iter_mut().skip(700) {
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let mut reply = [0; 256];
        if let Ok(read) = stream.read(&mut reply)
            && read > 0
        {
            assert_eq!(word(&one_value(&reply[..read])), ("error", "busy"));
            away += 1;
        }
    }
    (crowd, away)
}

fn config(home: &Home, action: &str, member: usize) -> Value {
    let at = home.at[member];
    map! { r#type: "config", action: action, address: at.ip().to_string(), port: at.port() }
}

/// The reply to a change of membership, once no other is under way.
fn in_turn(at: SocketAddr, request: &Value) -> Value {
    until("the end of the change before", || {
        Some(ask(at, request)).filter(|reply| word(reply) != ("result", "change_pending"))
    })
}

/// Members leave one after the other, the leader too, until one is left.
fn membership(home: &mut Home) {
    let gone = home.follower();
    let leader = home.at[home.leader()];
    assert_eq!(in_turn(leader, &config(home, "delete", gone)), done());
    home.set.members[gone].kill();
    home.set.settle(2);

    // The leader hands over and says who leads now; that one sends it away.
    let old = home.leader();
    let request = config(home, "delete", old);
    let mut at = home.at[old];
    until("the leader's leave", || {
        let reply = in_turn(at, &request);
        if reply["type"] == "redirect".into() {
            let port = reply["leader"][1].as_u64().unwrap();
            at.set_port(u16::try_from(port).unwrap());
        }
        (reply == done()).then_some(())
    });
    home.set.members[old].kill();
    home.set.settle(1);
    let last = home.leader();
    let itself = in_turn(home.at[last], &config(home, "delete", last));
    assert_eq!(word(&itself), ("result", "last_voter"));
    let all = ask(home.at[last], &map! { r#type: "get" });
    assert_eq!((&all["cluster"], &all["last"]), (&Value::Array(vec![home.address(last)]), &200.into()));
}

/// One of two is gone: what is here can be read, and nothing is changed.
fn no_leader(folder: &Folder, home: &mut Home) {
    let last = home.leader();
    home.set.members.swap(0, last);
    home.at.swap(0, last);
    let dir = home.set.join(folder.path("p4"));
    home.set.members.push(Member::start(dir));
    home.set.settle(2);
    let new = home.at.len();
    home.at.push(home.set.members[new].status().expect("it runs").listen);
    home.set.members[0].kill();
    let at = home.at[new];
    until("the loss of the leader", || {
        (ask(at, &map! { r#type: "diagnostic" })["volatile"]["leaderId"].is_nil()).then_some(())
    });
    let soon = |request: Value| {
        let Value::Map(mut fields) = request else { unreachable!() };
        fields.push(("timeout_ms".into(), 300.into()));
        Value::Map(fields)
    };
    assert_eq!(ask(at, &soon(map! { r#type: "get" }))["last"], 200.into());
    let strict = map! { r#type: "get", consistency: "linearizable" };
    assert_eq!(word(&ask(at, &soon(strict))), ("error", "no_leader"));
    assert_eq!(word(&ask(at, &soon(set("last", 1)))), ("result", "no_leader"));
    assert_eq!(word(&ask(at, &soon(config(home, "delete", new)))), ("result", "no_leader"));
    assert_eq!(word(&ask(at, &soon(map! { r#type: "session" }))), ("result", "no_leader"));
}

#[test]
fn a_taken_port_is_told() {
    let folder = Folder::new();
    let dir = folder.path("p1");
    let made = json(&rafty(), &["init", "--name", "home", "--listen", "127.0.0.1:0", "--dir", &dir]);
    let at: SocketAddr = made["listen"].as_str().unwrap().parse().unwrap();
    let _taken = TcpListener::bind(at).unwrap();
    let output = run(&rafty(), &["up", "--dir", &dir]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("TCP {at}")) && said.contains("nothing was changed"), "{said}");
}
