//! Pins every request and reply as bytes: a client of today must understand a peer of tomorrow.
//!
//! `golden.txt` holds one line per sample: its name and its bytes. A line may be added; none may change.

use rafty_types::{Serial, SessionId};
use rafty_wire::client::*;
use std::collections::BTreeMap;
use std::time::Duration;

const GOLDEN: &str = include_str!("golden.txt");

fn request(ask: Ask) -> Request {
    Request { ask, keep: false, timeout: None, token: None, forward: false }
}

fn get(key: Option<&str>, consistency: Consistency) -> Request {
    request(Ask::Get { key: key.map(Into::into), consistency, framed: false })
}

fn forwarded(ask: Ask) -> Request {
    Request { forward: true, ..request(ask) }
}

fn token() -> ClientToken {
    ClientToken::from_secret(std::array::from_fn(|at| at as u8).into())
}

fn requests() -> Vec<(&'static str, Request)> {
    let set = Change::Set { key: "lamp".into(), value: vec![0x81, 0xa2, b'o', b'n', 0xc3] };
    let delete = || Change::Delete { key: "lamp".into() };
    let session = Some((SessionId(9), Serial(300)));
    let config = |action| request(Ask::Config { action, address: "127.0.0.1".into(), port: 7400 });
    vec![
        ("get", get(None, Consistency::Available)),
        ("get-key", get(Some("lamp"), Consistency::Available)),
        ("get-linearizable", get(None, Consistency::Linearizable)),
        ("get-stale", get(None, Consistency::Stale)),
        (
            "get-kept",
            Request {
                keep: true,
                timeout: Some(Duration::from_millis(1500)),
                ..get(None, Consistency::Available)
            },
        ),
        ("append-change", request(Ask::Append { change: set.clone(), session: None })),
        ("append-change-once", request(Ask::Append { change: set, session })),
        ("append-delete", request(Ask::Append { change: delete(), session: None })),
        ("append-command", request(Ask::Append { change: Change::Command(vec![1, 0xff]), session })),
        (
            "query",
            request(Ask::Query { query: b"how many".to_vec(), consistency: Consistency::Linearizable }),
        ),
        ("config-add", config(ConfigAction::Add)),
        ("config-delete", config(ConfigAction::Delete)),
        ("session", request(Ask::Session)),
        ("diagnostic", request(Ask::Diagnostic)),
        ("proof", request(Ask::Proof { client: token().id() })),
        ("append-forwarded", forwarded(Ask::Append { change: delete(), session })),
        ("config-forwarded", forwarded(config(ConfigAction::Add).ask)),
        ("get-framed", forwarded(Ask::get(None, Consistency::Stale))),
        ("get-with-token", Request { token: Some(token()), ..get(None, Consistency::Available) }),
    ]
}

fn replies() -> Vec<(&'static str, Reply)> {
    vec![
        ("result-done", Reply::done()),
        ("result-missing", Reply::missing()),
        ("result-failed", Reply::failed("no_leader", "too few voters answer")),
        ("redirect", Reply::Redirect { leader: Address("127.0.0.1".into(), 7400) }),
        ("session-open", Reply::Session { session: SessionId(9) }),
        ("error", Reply::Error { error: "malformed".into(), detail: "no".into() }),
    ]
}

fn diagnostic() -> Diagnostic {
    let [one, two] = [7400, 7401].map(|port| Address("127.0.0.1".into(), port));
    Diagnostic {
        status: "Leader".into(),
        persist: Persist { voted_for: Some(one.clone()), current_term: 3 },
        volatile: Volatile { leader_id: None, cluster: vec![one.clone(), two.clone()], address: one.clone() },
        log: Log { commit_index: 70_000 },
        stats: Stats { reads: vec![0, 1], writes: vec![2, 3], append: vec![4, 5], timestamps: vec![6, 7] },
        leader_status: Some(LeaderStatus {
            net_index: vec![(one, 8)],
            match_index: vec![(two, 7)],
            waiting_clients: BTreeMap::from([("9".into(), 1)]),
        }),
    }
}

fn line(name: &str, bytes: &[u8]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{name} {hex}\n")
}

#[test]
fn every_request_and_reply_is_written_and_read_as_it_was_pinned() {
    let mut written = String::new();
    for (name, request) in requests() {
        let bytes = request.encode();
        written += &line(name, &bytes);
        assert_eq!(Request::decode(&bytes), Ok(request), "{name}");
    }
    for (name, reply) in replies() {
        let bytes = reply.encode();
        written += &line(name, &bytes);
        assert_eq!(Reply::decode(&bytes), Some(reply), "{name}");
    }
    let bytes = diagnostic().encode();
    written += &line("diagnostic-reply", &bytes);
    assert_eq!(rmp_serde::from_slice::<Diagnostic>(&bytes).unwrap(), diagnostic());

    let entries = [("lamp", &[0xc3][..]), ("tree", &[0x01])];
    let pairs = entries.map(|(key, value)| (key.as_bytes(), value));
    let all = encode_entries(&diagnostic().volatile.cluster, pairs.into_iter(), 12);
    written += &line("entries", &all);
    assert_eq!(decode_entries(&all).unwrap()[1..], entries);
    for (name, value) in [("value", Some(&[0xc3][..])), ("value-none", None)] {
        let bytes = encode_value(value);
        written += &line(name, &bytes);
        assert_eq!(decode_value(&bytes), Some(value));
    }
    let (framed, none) = (encode_framed(&all, true), encode_reading(None, true));
    written += &line("entries-framed-stale", &framed);
    assert_eq!(
        decode_framed(&framed).map(|read| (read.entries, read.stale)),
        decode_entries(&all).map(|all| (all, true))
    );
    written += &line("value-none-stale", &none);
    assert_eq!((decode_value(&none), is_stale(&none)), (Some(None), true));
    assert!(written == GOLDEN, "the client protocol changed; written now:\n{written}");
}

/// As Python's `msgpack.packb` writes them: field by field, in any order, with more than we know.
#[test]
fn an_older_client_is_understood() {
    let append =
        b"\x82\xa4type\xa6append\xa4data\x83\xa3key\xa1a\xa5value\x93\x01\x02\x03\xa6action\xa6change";
    let set = Change::Set { key: "a".into(), value: vec![0x93, 1, 2, 3] };
    assert_eq!(Request::decode(append), Ok(request(Ask::Append { change: set, session: None })));
    let config = b"\x84\xa4type\xa6config\xa6action\xa3add\xa7address\xa9127.0.0.1\xa4port\xcd\x23\x29";
    let add = Ask::Config { action: ConfigAction::Add, address: "127.0.0.1".into(), port: 9001 };
    assert_eq!(Request::decode(config), Ok(request(add)));
    let more = b"\x83\xa4type\xa3get\xa7version\x01\xa5extra\xc7\x02\x05ab";
    assert_eq!(Request::decode(more), Ok(get(None, Consistency::Available)));
}
