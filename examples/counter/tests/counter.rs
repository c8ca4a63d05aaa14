//! The counter as a user runs it: three members, one of which is killed while somebody counts.

use rafty_runtime::operator::{Reply, Request, call};
use rafty_runtime::setup::free_port;
use rafty_types::MemberKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const WITHIN: Duration = Duration::from_secs(60);

fn counter(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_counter-example"));
    command.args(words).stdin(Stdio::null());
    command
}

fn run(words: &[&str]) -> String {
    let output = counter(words).output().expect("it runs");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_string()
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + WITHIN;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < end, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Ended when dropped.
struct Up(Child);

impl Up {
    fn start(dir: &Path) -> Self {
        let log = std::fs::File::create(dir.with_extension("log")).unwrap();
        Self(counter(&["up", dir.to_str().unwrap()]).stderr(log).spawn().unwrap())
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ask(dir: &Path, request: &Request) -> Option<Reply> {
    call(dir, request, Duration::from_secs(15)).ok()
}

fn token(dir: &Path) -> String {
    let request = Request::TokenCreate { role: MemberKind::Operator, ttl_s: 3_600, uses: 1, may_lead: true };
    until("a token", || match ask(dir, &request) {
        Some(Reply::Token { token, .. }) => Some(token),
        _ => None,
    })
}

#[test]
fn a_number_is_counted_once_on_every_member_though_one_is_killed() {
    let base = tempfile::Builder::new().prefix("rafty-").tempdir().unwrap();
    let address = || -> SocketAddr { free_port(Ipv4Addr::LOCALHOST.into()).unwrap().local_addr().unwrap() };
    let places: Vec<(PathBuf, String)> =
        (1..=3).map(|at| (base.path().join(format!("c{at}")), address().to_string())).collect();
    let first = &places[0];
    run(&["found", first.0.to_str().unwrap(), &first.1]);
    let mut members = vec![Up::start(&first.0)];
    for (dir, listen) in &places[1..] {
        run(&["join", dir.to_str().unwrap(), listen, &token(&first.0), &first.1]);
        members.push(Up::start(dir));
    }
    let votes = |dir: &Path| match ask(dir, &Request::Status)? {
        Reply::Status(status) => {
            let roles =
                status.node.members.iter().filter(|line| line.role != "learner" && line.role != "joining");
            (roles.count() == 3).then_some(())
        }
        _ => None,
    };
    until("three voters", || votes(&first.0));

    assert_eq!(run(&["add", "5", &places[0].1]), "5");
    assert_eq!(run(&["add", "-2", &places[1].1]), "3");
    drop(members.remove(0));
    assert_eq!(run(&["add", "10", &places[1].1]), "13");
    assert_eq!(run(&["show", &places[2].1]), "13");
    let _first_again = Up::start(&first.0);
    until("the same number at the first", || {
        let output = counter(&["show", &first.1]).output().unwrap();
        (output.stdout == b"13\n").then_some(())
    });
    let set = Request::Set { key: "lamp".into(), value: true.into() };
    assert!(ask(&first.0, &set).is_none(), "there is no dictionary");
}
