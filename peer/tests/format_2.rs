//! A member's directory as the version before this made it (log format 2, state format 4) goes on with all it held.
//!
//! `format-2/member` was founded by that version, with tokens, clients and entries, and stopped; `founded` is its first
//! snapshot, which it had replaced by then.

mod support;

use rafty_dictionary::{Entries, Replicated};
use rafty_runtime::operator::{CallError, Reply, Request, call};
use rafty_runtime::setup::free_port;
use rafty_storage::Log;
use rafty_types::{Index, Payload, Proposal, Stamp};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use support::peer_set::{Folder, Member};
use support::{WITHIN, json, rafty, until};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/format-2").join(name)
}

/// A copy of the member, to be started.
fn old_member(folder: &Folder) -> String {
    let dir = folder.path("old");
    for part in ["", "log"] {
        std::fs::create_dir_all(Path::new(&dir).join(part)).expect("a folder");
        for file in std::fs::read_dir(fixture("member").join(part)).expect("the fixture") {
            let file = file.expect("the fixture");
            if file.file_type().expect("a file").is_file() {
                let copy = Path::new(&dir).join(part).join(file.file_name());
                std::fs::copy(file.path(), copy).expect("a copy");
            }
        }
    }
    dir
}

fn ask(member: &Member, request: &Request) -> Result<Reply, CallError> {
    call(Path::new(&member.dir), request, WITHIN)
}

#[test]
fn its_entries_tokens_and_clients_are_there_and_it_goes_on() {
    let folder = Folder::new();
    let mut member = Member::at(old_member(&folder));
    let free = free_port(Ipv4Addr::LOCALHOST.into()).and_then(|socket| socket.local_addr());
    member.restart_with(&["--listen", &free.expect("a free port").to_string()]);
    until("a leader", || member.status().filter(|status| status.node.leader.is_some()));
    let value = |key: &str| match ask(&member, &Request::Get { key: key.into() }) {
        Ok(Reply::Value { value, .. }) => value,
        other => panic!("{key}: {other:?}"),
    };
    assert_eq!((value("colour"), value("last")), ("blue".into(), "word".into()));
    (1..=60).for_each(|n| assert_eq!(value(&format!("key{n}")), format!("value{n}")));

    let Ok(Reply::Clients { clients }) = ask(&member, &Request::Clients) else { panic!("no list") };
    let day = 86_400;
    let left: Vec<_> = clients.iter().map(|client| (client.name.as_str(), client.ttl_s)).collect();
    assert!(
        matches!(left[..], [("phone", a), ("tablet", b)]
        if (29 * day..=30 * day).contains(&a) && (day - 3_600..=day).contains(&b)),
        "{left:?}"
    );

    // Its token still admits: what it said, until when, has become for how long.
    let tokens = std::fs::read(fixture("tokens.json")).expect("the fixture");
    let tokens: serde_json::Value = serde_json::from_slice(&tokens).expect("JSON");
    let at = member.status().expect("it runs").listen.to_string();
    let (token, new) = (tokens["peer_token"].as_str().expect("text"), folder.path("new"));
    json(&rafty(), &["join", token, "--peer", &at, "--listen", "127.0.0.1:0", "--dir", &new]);
    let newcomer = Member::start(new);
    until("the newcomer knows the last word", || {
        match ask(&newcomer, &Request::Get { key: "last".into() }) {
            Ok(Reply::Value { value, .. }) => (value == "word").then_some(()),
            _ => None,
        }
    });
}

#[test]
fn whatever_snapshot_a_member_starts_from_the_state_is_the_same() {
    let folder = Folder::new();
    let dir = old_member(&folder);
    let (_, recovered) = Log::open(&Path::new(&dir).join("log")).expect("an old log");
    let restored = |bytes: &[u8]| {
        let mut state = Replicated::new(Entries::default());
        state.restore(bytes).expect("a state of the format before");
        state
    };
    let mut late = restored(&recovered.snapshot.data);
    let mut early = restored(&std::fs::read(fixture("founded")).expect("the fixture"));
    assert_eq!((early.applied(), late.applied()), (Index(1), Index(56)));
    assert!(!late.control().tokens().is_empty() && !late.control().clients().is_empty());
    let entries = recovered.entries.iter();
    for entry in entries.skip_while(|entry| entry.index <= Index(1)) {
        if let Payload::Command(bytes) = &entry.payload {
            let proposal = Proposal::decode(bytes, 1).expect("a proposal");
            assert!(matches!(proposal.stamp, Stamp::Wall(ms) if ms > 1_700_000_000_000));
        }
        early.apply(entry);
        if entry.index > Index(56) {
            late.apply(entry);
        }
        if entry.index >= Index(56) {
            assert_eq!(early.digest(), late.digest(), "at {}", entry.index);
        }
    }
    assert!(early.applied() > Index(60));
}
