//! The client port of real members as other machines see it: what gets in, what does not, and what the client finds out
//! before it says too much.
//!
//! This machine's own address that is not loopback stands for another machine.

mod support;
#[path = "support/tls.rs"]
mod tls;

use rafty_client::blocking::{ClusterClient, Connection, DistributedDict};
use rafty_client::{ClientError, ConfigAction, Consistency, Limits};
use rafty_types::Serial;
use rafty_wire::client::{Ask, Change, ClientToken, Reply, Request};
use rmpv::Value;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::peer_set::{Folder, PeerSet};
use support::{WITHIN, json, ok, rafty, run_command, until};

/// As many as one address may have, and some more.
const CROWD: usize = 300;
/// How often a crowd may come while a term ends.
const CROWDS: usize = 3;

struct Home {
    set: PeerSet,
    /// Where members serve clients, on the address that is not loopback.
    at: Vec<SocketAddr>,
}

impl Home {
    fn client(&self, words: &[&str]) -> serde_json::Value {
        json(&rafty(), &[&["client"], words, &["--dir", &self.set.founder().dir]].concat())
    }

    fn token(&self, words: &[&str]) -> String {
        let made = self.client(&[&["create"], words].concat());
        made["token"].as_str().expect("a token").to_string()
    }

    fn members(&self) -> Vec<String> {
        self.at.iter().map(SocketAddr::to_string).collect()
    }

    fn cluster(&self, token: &str) -> ClusterClient {
        ClusterClient::with_limits(self.members(), limits()).unwrap().with_token(token).unwrap()
    }

    /// The founder as this machine itself sees it.
    fn near(&self) -> SocketAddr {
        SocketAddr::new(Ipv4Addr::LOCALHOST.into(), self.at[0].port())
    }
}

fn limits() -> Limits {
    Limits { patience: Duration::from_secs(10), ..Limits::default() }
}

/// The address under which this machine would reach others. Nothing is sent.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("198.51.100.1:9").ok()?;
    socket.local_addr().map(|own| own.ip()).ok().filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

fn connect(at: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(WITHIN)).unwrap();
    stream
}

fn request(ask: Ask, keep: bool, token: Option<&str>) -> Vec<u8> {
    let token = token.map(|token| token.parse().expect("a token"));
    Request { ask, keep, timeout: None, token, forward: false }.encode()
}

fn get(keep: bool, token: Option<&str>) -> Vec<u8> {
    request(Ask::get(Some("lamp"), Consistency::Available), keep, token)
}

/// The reply's error, or its type.
fn word(stream: &mut impl Read) -> String {
    let reply = rmpv::decode::read_value(stream).expect("a reply");
    let text = |name: &str| reply[name].as_str().map(str::to_string);
    text("error").or(text("type")).unwrap_or_else(|| panic!("{reply}"))
}

fn asked(mut stream: impl Read + Write, request: &[u8]) -> String {
    stream.write_all(request).unwrap();
    stream.flush().unwrap();
    word(&mut stream)
}

fn code<T: std::fmt::Debug>(result: Result<T, ClientError>) -> String {
    match result {
        Err(ClientError::Refused { code, .. }) => code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_client_port_abroad() {
    let Some(own) = own_address() else {
        eprintln!("skipped: this machine has no address but loopback");
        return;
    };
    let folder = Folder::new();
    let mut home = Home { set: folder.three_on(&format!("{own}:0"), &[]), at: Vec::new() };
    home.at = home.set.members.iter().map(|member| member.status().expect("it runs").listen).collect();

    opening(&mut home);
    let token = home.token(&["--name", "laptop"]);
    a_token_opens_the_dictionary(&home, &token);
    nothing_in_clear(&home, &token);
    only_good_tokens(&home);
    only_what_a_token_allows(&home);
    a_session_is_its_tokens(&home, &token);
    revoked_at_the_next_request(&home);
    a_man_in_the_middle(&home, &token);
    // On a busy machine a term may end by itself, but not whenever a crowd comes.
    assert!((0..CROWDS).any(|_| stalls_and_crowds(&home, &token)), "each crowd ended a term");
    python_does_the_same(&home, &token);
}

/// Members serve their own machine only until they are told otherwise, and do not forget that they were.
fn opening(home: &mut Home) {
    for at in &home.at {
        assert_eq!(TcpStream::connect(at).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }
    let near = home.near();
    assert_eq!(asked(connect(near), &get(false, None)), "value");
    for member in &mut home.set.members {
        member.kill();
        member.restart_with(&["--clients", "0.0.0.0"]);
    }
    home.set.settle(3);
    home.set.members[0].kill();
    home.set.members[0].restart();
    home.set.members[1].kill();
    home.set.members[1].restart_with(&["--clients", &home.at[1].ip().to_string()]);
    home.set.settle(3);
    for member in &home.set.members {
        let near = member.status().expect("it runs").clients;
        assert_eq!(asked(connect(near), &get(false, None)), "value", "this machine still needs no token");
    }
    // Who has none finds the others, which do not listen to it, and goes on asking the one that does.
    let local = ClusterClient::with_limits([near.to_string()], limits()).unwrap();
    for _ in 0..8 {
        assert_eq!(local.get_state().expect("one answers").cluster.len(), 3);
    }
}

fn a_token_opens_the_dictionary(home: &Home, token: &str) {
    // One member's address is enough; the others, whichever leads, prove themselves by the same token.
    for member in home.members() {
        let mut dict = DistributedDict::with_token([&member], token).unwrap();
        dict.insert("lamp", &member).unwrap();
        assert_eq!(dict.get("lamp").unwrap(), Some(member));
        assert_eq!(dict.cluster().len(), 3);
    }
    let listed = home.client(&["list"]);
    assert_eq!((&listed[0]["name"], &listed[0]["read_only"]), (&"laptop".into(), &false.into()));
    assert!(listed[0]["ttl_s"].as_u64().unwrap() > 29 * 86_400, "{listed}");
    assert!(!listed.to_string().contains(&token[20..40]));
    for member in &home.set.members {
        assert!(!member.said().contains(&token[20..40]), "a token is never logged");
    }
}

fn nothing_in_clear(home: &Home, token: &str) {
    let abroad = home.at[0];
    for bytes in [get(true, None), get(true, Some(token)), b"GET / HTTP/1.1\r\n\r\n".to_vec()] {
        let mut stream = connect(abroad);
        assert_eq!(asked(&mut stream, &bytes), "tls_required");
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "and closed");
    }
    let mut stream = connect(home.near());
    assert_eq!(asked(&mut stream, &get(true, Some(token))), "token_in_clear");
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "and closed");
    let proof = request(Ask::Proof { client: [0; 16] }, false, None);
    assert_eq!(asked(connect(home.near()), &proof), "tls_required");
    assert_eq!(asked(tls::client(connect(home.near())), &get(false, None)), "value", "TLS does no harm here");
}

/// Whoever guesses its number has no part in it, and its own next change counts or is refused.
fn a_session_is_its_tokens(home: &Home, token: &str) {
    let other = home.token(&["--name", "other"]);
    let members = home.members();
    let near = home.near().to_string();
    let ask = |member: &str, token: Option<&str>, ask: Ask| {
        let mut connection = Connection::open(member, token).expect("it listens");
        Reply::decode(&connection.ask(ask).expect("a reply"))
    };
    let session = match ask(&members[0], Some(token), Ask::Session) {
        Some(Reply::Session { session }) => session,
        other => panic!("{other:?}"),
    };
    let append = |value: u8| {
        let change = Change::Set { key: "counted".into(), value: vec![value] };
        Ask::Append { change, session: Some((session, Serial(1))) }
    };
    let refused = |reply: Option<Reply>| match reply {
        Some(Reply::Result { success: false, error: Some(code), .. }) => code,
        other => panic!("{other:?}"),
    };
    for (member, token) in [(&members[0], Some(&*other)), (&members[1], Some(&*other)), (&near, None)] {
        assert_eq!(refused(ask(member, token, append(1))), "unknown_session");
    }
    assert_eq!(ask(&members[0], Some(token), append(2)), Some(Reply::done()));
    assert_eq!(ask(&members[1], Some(token), append(2)), Some(Reply::done()), "by way of any member");
    assert_eq!(refused(ask(&members[2], Some(token), append(3))), "serial_reused");
    let mut dict = DistributedDict::with_token(&members, token).unwrap();
    assert_eq!(dict.get("counted").unwrap(), Some(2));
    assert!(dict.remove("counted").unwrap());
    home.client(&["revoke", "other"]);
}

fn only_good_tokens(home: &Home) {
    let stranger = ClientToken::from_secret([7; 32].into()).to_text();
    for at in [home.at[0], home.near()] {
        assert_eq!(asked(tls::client(connect(at)), &get(false, Some(&stranger))), "unauthorized");
    }
    assert_eq!(asked(tls::client(connect(home.at[0])), &get(false, None)), "unauthorized");
    assert_eq!(code(home.cluster(&stranger).get_state()), "unauthorized");
    let typo = ClusterClient::new(home.members()).unwrap().with_token(&stranger[..30]);
    assert!(matches!(typo, Err(ClientError::BadToken(_))), "{typo:?}");

    // It serves at every member the moment it is made, and ends by itself.
    let brief = home.token(&["--name", "brief", "--ttl", "3s"]);
    for member in home.members() {
        let client = ClusterClient::with_limits([&member], limits()).unwrap().with_token(&brief).unwrap();
        client.diagnostic_of(&member).expect("it is known there");
    }
    until("the end of a token", || {
        let result = home.cluster(&brief).get_state();
        result.is_err().then(|| assert_eq!(code(result), "unauthorized"))
    });
}

fn only_what_a_token_allows(home: &Home) {
    let reader = home.cluster(&home.token(&["--name", "reader", "--read-only"]));
    assert!(reader.get_state().unwrap().entries.contains_key("lamp"));
    assert!(reader.get_value("lamp", Consistency::Linearizable).unwrap().is_some());
    let set = rafty_client::Change::Set { key: "lamp".into(), value: vec![1] };
    assert_eq!(code(reader.append_log(set)), "not_allowed");
    assert_eq!(code(DistributedDict::over(reader).insert("lamp", &1)), "not_allowed");

    let writer = home.cluster(&home.token(&["--name", "writer"]));
    for action in [ConfigAction::Add, ConfigAction::Delete] {
        assert_eq!(code(writer.config_cluster(action, &home.members()[2])), "not_allowed");
    }
    assert_eq!(home.set.members[0].status().unwrap().node.members.len(), 3);
}

fn revoked_at_the_next_request(home: &Home) {
    let token = home.token(&["--name", "phone"]);
    let mut kept: Vec<_> = home.at.iter().map(|at| tls::client(connect(*at))).collect();
    for kept in &mut kept {
        assert_eq!(asked(&mut *kept, &get(true, Some(&token))), "value");
        assert_eq!(asked(kept, &get(true, None)), "value", "once a connection is enough");
    }
    let again = ["client", "create", "--name", "phone", "--dir", &home.set.founder().dir];
    let refused = support::run(&rafty(), &again);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("revoke it first"));
    ok(&rafty(), &["client", "revoke", "phone", "--dir", &home.set.founder().dir]);
    // Whether or not the member has heard of it before it is asked.
    for kept in &mut kept {
        assert_eq!(asked(&mut *kept, &get(true, None)), "unauthorized");
        assert_eq!(asked(kept, &get(false, Some(&token))), "unauthorized");
    }
    assert_eq!(code(home.cluster(&token).get_state()), "unauthorized");
    assert_ne!(home.token(&["--name", "phone"]), token, "the name can be given again");
}

/// One who passes everything on, the member's own proof too, and writes down what the client says.
struct Between {
    address: String,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Between {
    fn new(member: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let notes = heard.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut client = tls::server(stream.expect("a connection"));
                let mut member = tls::client(connect(member));
                let mut bytes = vec![0; 4_096];
                while let Ok(read @ 1..) = client.read(&mut bytes) {
                    notes.lock().unwrap().extend(&bytes[..read]);
                    member.write_all(&bytes[..read]).expect("it listens");
                    let reply = rmpv::decode::read_value(&mut member).expect("it answers");
                    let mut answer = Vec::new();
                    rmpv::encode::write_value(&mut answer, &reply).expect("memory takes it");
                    assert!(matches!(reply["value"], Value::Binary(_)), "it was the proof: {reply}");
                    let _ = client.write_all(&answer);
                }
            }
        });
        Self { address, heard }
    }
}

fn a_man_in_the_middle(home: &Home, token: &str) {
    let between = Between::new(home.at[0]);
    let limits = Limits { tries: 2, ..limits() };
    let client = ClusterClient::with_limits([&between.address], limits).unwrap().with_token(token).unwrap();
    let result = client.get_state();
    let Err(ClientError::Unreachable(why)) = result else { panic!("{result:?}") };
    assert!(why.contains("does not prove"), "{why}");
    let heard = between.heard.lock().unwrap();
    let says = |what: &str| heard.windows(what.len()).any(|window| window == what.as_bytes());
    assert!(says("proof"), "he was talked to");
    assert!(!says("token") && !says("rafty-client1-") && !says("get"), "and was told nothing");
    drop(heard);

    let script = "import sys, rafty\nlimits = rafty.Limits(tries=2)\n\
                  try: rafty.ClusterClient(sys.argv[1], limits=limits, token=sys.argv[2]).get_state()\n\
                  except rafty.Unreachable as why: print(why)";
    if let Some(python) = python(&["-c", script, &between.address, token]) {
        let output = run_command(python);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("does not prove"), "{said} {}", String::from_utf8_lossy(&output.stderr));
        let heard = between.heard.lock().unwrap();
        assert!(!heard.windows(5).any(|window| window == b"token"));
    }
}

/// Whoever stalls in the handshake or comes in crowds is cut off or turned away, and harms nobody else. Whether the term
/// is still the same.
fn stalls_and_crowds(home: &Home, token: &str) -> bool {
    let term = || home.set.members[0].status().unwrap().node.term;
    let before = term();
    let begin = Instant::now();
    let mut stalled: Vec<_> = (0..CROWD)
        .map_while(|_| TcpStream::connect_timeout(&home.at[0], Duration::from_secs(5)).ok())
        .collect();
    for (at, stream) in stalled.iter_mut().enumerate() {
        // Nothing; the start of a handshake; and bytes that look like one.
        let first: &[u8] = [&b""[..], b"\x16\x03\x01\x02\x00\x01", b"\x16\xff\xff\xff\xff\xff"][at % 3];
        let _ = stream.write_all(first);
    }
    assert_eq!(asked(connect(home.near()), &get(false, None)), "value", "this machine is served meanwhile");
    let mut away = 0;
    for stream in &mut stalled {
        stream.set_read_timeout(Some(WITHIN)).unwrap();
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        away += usize::from(said.windows(4).any(|window| window == b"busy"));
        let _ = stream.shutdown(Shutdown::Both);
    }
    assert!(away > 0 && away < CROWD, "{away} were turned away");
    assert!(begin.elapsed() < Duration::from_secs(30), "who stalls is cut off: {:?}", begin.elapsed());
    drop(stalled);
    until("room for a client", || home.cluster(token).get_state().ok());
    term() == before
}

fn python(words: &[&str]) -> Option<Command> {
    let with = |words: &[&str]| {
        let mut python = Command::new("python3");
        python.args(words).current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/client/python"));
        python.env("PYTHONDONTWRITEBYTECODE", "1");
        python
    };
    let there = with(&["-c", "import msgpack"]).output().is_ok_and(|output| output.status.success());
    if !there {
        eprintln!("skipped: the Python client needs python3 with msgpack");
    }
    there.then(|| with(words))
}

fn python_does_the_same(home: &Home, token: &str) {
    let Some(mut python) = python(&["-m", "unittest", "discover", "-s", "tests", "-t", "."]) else { return };
    python.env("RAFTY_MEMBERS", home.members().join(",")).env("RAFTY_TOKEN", token);
    let output = run_command(python);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("skipped"), "{said}");
}
