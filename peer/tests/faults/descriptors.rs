//! No more files: a member keeps its word, turns clients away, and goes on when there are files again.

use crate::depth::{choices, faults, skip};
use crate::load::{Load, Way};
use crate::support::peer_set::{Folder, Member, PeerSet};
use crate::support::{STARTED, WITHIN, until};
use crate::world::{is_there, tool};
use rafty_runtime::operator::{Request, call};
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

const FEW: usize = 3;
/// Logs so short that a member without files soon misses one: snapshots need them.
const SHORT_LOG: &[&str] = &["--compact-after", "20", "--tail", "10"];
/// So many more than it has may a member open; then there are none.
const SPARE: usize = 3;
/// More than it may open.
const CROWD: usize = 64;
const WRITES: u64 = 40;
/// For how long is looked whether a member spins.
const WATCH: Duration = Duration::from_secs(1);
/// How many ticks of a processor it may take meanwhile, of 100 a second.
const MAX_TICKS: u64 = 70;
/// What the system gives a member that is told to need little; 256 of it are not for clients.
const LOW: &str = "--nofile=280:280";

#[test]
fn without_files_a_member_keeps_its_word_and_recovers() {
    if !is_there("prlimit") {
        return skip("there is no program `prlimit`");
    }
    let folder = Folder::new();
    let set = folder.three(SHORT_LOG);
    let members = set.members.iter().map(|member| address(member).to_string());
    let mut load = Load::start(Way { members: members.collect(), token: None });
    let mut choices = choices();
    for _ in 0..faults(FEW) {
        let leader = set.await_leader();
        let at = if choices.bool() { leader } else { choices.usize(..set.members.len()) };
        exhaust(&set, at);
        load.goes_on(WRITES);
    }
    let record = load.finish();
    set.settle(3);
    record.holds();
    for member in &set.members {
        assert_eq!(member.said().matches(STARTED).count(), 1, "nobody ended: {}", member.said());
    }
    println!("{} times without files; {}", faults(FEW), record.tally());
}

fn exhaust(set: &PeerSet, at: usize) {
    let member = &set.members[at];
    let address = address(member);
    limit(member, &format!("{}:", member.descriptors() + SPARE));
    let crowd: Vec<TcpStream> = (0..CROWD).map(|_| TcpStream::connect(address).expect("a queue")).collect();
    // Somebody on the machine wants to know what is wrong.
    let asked = Path::new(&member.dir).to_path_buf();
    let asked = std::thread::spawn(move || call(&asked, &Request::Status, WITHIN));
    // Clients may have to wait for it; what comes by another member has a way already, and makes snapshots due.
    let other = &set.members[(at + 1) % set.members.len()];
    for count in 0..WRITES {
        until("an acknowledgement", || other.set("meanwhile", count).ok());
    }
    let (before, since) = (ticks(member), Instant::now());
    until("some time", || (since.elapsed() >= WATCH).then_some(()));
    let taken = ticks(member) - before;
    assert!(taken < MAX_TICKS, "{} took {taken} ticks in {WATCH:?} without files", member.dir);

    drop(crowd);
    asked.join().expect("a thread").expect("an answer, once files were closed");
    limit(member, "4096:");
    until("no trouble", || member.status().filter(|status| status.trouble.is_none()));
    member.set("after", at).expect("an acknowledgement");
}

#[test]
fn clients_leave_files_for_the_member() {
    if !is_there("prlimit") {
        return skip("there is no program `prlimit`");
    }
    let folder = Folder::new();
    let mut set = folder.found("p1", SHORT_LOG);
    let member = &mut set.members[0];
    member.kill();
    member.program.splice(0..0, ["prlimit".to_string(), LOW.to_string()]);
    member.restart();
    let address = address(member);
    let crowd: Vec<TcpStream> = (0..CROWD).map(|_| TcpStream::connect(address).expect("a queue")).collect();
    let turned_away = until("somebody is turned away", || crowd.iter().find_map(word));
    assert!(turned_away.contains("busy") && turned_away.contains("try again"), "{turned_away}");
    for count in 0..WRITES {
        member.set("lamp", count).expect("files are left for the log and its snapshots");
    }
    assert_eq!(member.status().expect("it answers").trouble, None);
    drop(crowd);
    until("a connection that is served", || {
        let stream = TcpStream::connect(address).expect("a queue");
        word(&stream).is_none().then_some(())
    });
}

/// What was said to a client unasked.
fn word(mut stream: &TcpStream) -> Option<String> {
    stream.set_read_timeout(Some(Duration::from_millis(20))).expect("a socket");
    let mut bytes = [0; 512];
    let len = stream.read(&mut bytes).ok().filter(|len| *len > 0)?;
    Some(String::from_utf8_lossy(&bytes[..len]).into_owned())
}

fn address(member: &Member) -> SocketAddr {
    member.status().expect("it runs").clients
}

fn limit(member: &Member, soft: &str) {
    tool(&["prlimit", "--pid", &member.pid().to_string(), &format!("--nofile={soft}")]);
}

/// The time of processors that it took so far.
fn ticks(member: &Member) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", member.pid())).expect("it runs");
    let behind_the_name = stat.rsplit(')').next().expect("a name");
    behind_the_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse::<u64>().expect("a number"))
        .sum()
}
