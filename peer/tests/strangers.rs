//! Whoever does not belong gets nowhere, is told so, and changes nothing.

mod support;

use rafty_runtime::MemberFile;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};
use support::peer_set::{Folder, Member};
use support::{command, ok, rafty, run, run_command, until};

/// The exit code for what the peer set refused.
const REFUSED: i32 = 4;

#[test]
fn a_token_that_is_not_good_admits_nobody() {
    let folder = Folder::new();
    let (home, other) = (folder.found("p1", &[]), folder.found("q1", &[]));
    let (short, _) = home.token("1s");
    let expired = Instant::now() + Duration::from_secs(1);
    let (good, peer) = home.token("1h");
    let join = |token: &str, name: &str| {
        let dir = folder.path(name);
        run(&rafty(), &["join", token, "--peer", &peer, "--listen", "127.0.0.1:0", "--dir", &dir])
    };
    let is_refused = |token: &str, code: i32, why: &str| {
        let output = join(token, "stranger");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(why) && said.lines().count() == 1, "{said}");
        assert!(!folder.names().iter().any(|name| name.starts_with("stranger")), "{:?}", folder.names());
    };

    is_refused(&with_another_character(&good), 2, "typing error");
    is_refused(&other.token("1h").0, 1, "not the peer that made the token");
    assert!(join(&good, "friend").status.success(), "all that changed nothing");
    is_refused(&good, REFUSED, "already used");
    until("the end of the short token", || (Instant::now() > expired).then_some(()));
    is_refused(&short, REFUSED, "expired");
    assert_eq!(home.founder().status().unwrap().node.members.len(), 2, "the founder and the friend");
    assert_eq!(other.founder().status().unwrap().node.members.len(), 1);
}

#[test]
fn a_token_needs_no_place_among_the_arguments() {
    let folder = Folder::new();
    let home = folder.found("p1", &[]);
    let (_, peer) = home.token("1h");
    let join = |argument: &str, name: &str, input: &str| {
        let dir = folder.path(name);
        let words = ["join", argument, "--peer", &peer, "--listen", "127.0.0.1:0", "--dir", &dir];
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(input.as_bytes()).unwrap();
        drop(writer);
        let mut join = command(&rafty(), &words);
        join.stdin(reader);
        let output = run_command(join);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let file = folder.path("token");
    std::fs::write(&file, home.token("1h").0 + "\n").unwrap();
    let file = format!("@{file}");
    assert_eq!(join("-", "by-input", &format!(" {}\r\nmore\n", home.token("1h").0)).0, Some(0));
    assert_eq!(join(&file, "by-file", "").0, Some(0));
    for (argument, input) in [("-", ""), ("-", "\n"), ("@/no/such/file", "")] {
        let (code, said) = join(argument, "stranger", input);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("nothing was changed") && said.lines().count() == 1, "{said}");
    }
    let (code, said) = join("-", "stranger", &"x".repeat(5_000));
    assert!(code == Some(2) && said.contains("more than 4096 bytes") && !said.contains("xx"), "{said}");
    assert!(!folder.names().iter().any(|name| name.starts_with("stranger")), "{:?}", folder.names());
}

/// The same token, but for one character in its middle.
fn with_another_character(token: &str) -> String {
    let middle = token.len() / 2;
    let other = if &token[middle..=middle] == "a" { "b" } else { "a" };
    [&token[..middle], other, &token[middle + 1..]].concat()
}

#[test]
fn a_removed_member_is_told_so_and_does_not_come_back() {
    let folder = Folder::new();
    let mut set = folder.three(&[]);
    let mut removed = set.members.remove((set.await_leader() + 1) % 3);
    let id = removed.id().expect("it runs").to_string();
    ok(&rafty(), &["members", "remove", &id, "--dir", &set.members[0].dir]);
    ends_as_removed(&mut removed);
    set.settle(2);

    let said = removed.said().len();
    // It may end before it can be asked for anything.
    removed.begin(&[]);
    ends_as_removed(&mut removed);
    assert!(removed.said().len() > said, "it says it again");
    std::fs::remove_dir_all(removed.file("log")).unwrap();
    let without_log = run(&rafty(), &["up", "--dir", &removed.dir]);
    assert_eq!(without_log.status.code(), Some(1), "nor as one whose log is lost");
    assert!(String::from_utf8(without_log.stderr).unwrap().contains("there is no such member"));
    set.settle(2);
}

#[test]
fn who_listens_where_the_others_cannot_be_reached_is_refused_and_the_token_still_admits() {
    if std::net::UdpSocket::bind("[::1]:0").is_err() {
        return; // This machine has no IPv6.
    }
    let folder = Folder::new();
    let set = folder.found("p1", &[]);
    let (token, peer) = set.token("1h");
    let dir = folder.path("p2");
    let join = |listen| run(&rafty(), &["join", &token, "--peer", &peer, "--listen", listen, "--dir", &dir]);
    let refused = join("[::1]:0");
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("cannot reach") && said.contains("nothing was changed"), "{said}");
    assert!(!Path::new(&dir).exists());
    assert!(join("127.0.0.1:0").status.success(), "the token was not spent");
}

fn ends_as_removed(member: &mut Member) {
    let up = member.up.as_mut().expect("it runs");
    assert_eq!(until("the end of a removed member", || up.ended()), REFUSED);
    let said = member.said();
    let last = said.lines().last().unwrap_or_default();
    assert!(last.contains("this member was removed") && last.contains("join with a new token"), "{last}");
    member.up = None;
}

#[test]
fn a_member_of_another_peer_set_gets_nothing_through() {
    let folder = Folder::new();
    let (home, other) = (folder.found("p1", &[]), folder.found("q1", &[]));
    let before = home.founder().status().unwrap().node;
    let dir = other.join(folder.path("spy"));
    pretend(Path::new(&dir), Path::new(&home.founder().dir));

    ends_as_removed(&mut Member::start(dir));
    let after = home.founder().status().unwrap();
    assert!(after.dropped.values().sum::<u64>() > 0, "it knocked");
    assert_eq!((after.node.term, after.node.members.len()), (before.term, 1));
}

/// Has the member in `dir` take itself for one of `target`'s peer set.
fn pretend(dir: &Path, target: &Path) {
    let (own, theirs) = (MemberFile::read(dir).unwrap(), MemberFile::read(target).unwrap());
    let faked = MemberFile { cluster: theirs.cluster, members: theirs.members, ..own };
    std::fs::write(dir.join("member.json"), serde_json::to_vec(&faked).unwrap()).unwrap();
}
