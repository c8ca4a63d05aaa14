//! A peer set of real processes, each in a directory of one temporary folder.

use super::{Up, command, json, rafty, until};
use rafty_runtime::operator::{CallError, MemberStatus, Reply, Request, call};
use rafty_types::{Digest, Index, MemberId};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How long a request is waited for.
const PATIENCE: Duration = Duration::from_secs(15);

/// Where members live. Short, for a socket's path is. With `RAFTY_KEEP=1` it stays, to be looked at.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        let keep = std::env::var_os("RAFTY_KEEP").is_some();
        Self(tempfile::Builder::new().prefix("rafty-").disable_cleanup(keep).tempdir().expect("a folder"))
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().expect("text").to_string()
    }

    /// The names of what is in it, apart from what members said.
    pub(crate) fn names(&self) -> Vec<String> {
        let names =
            std::fs::read_dir(self.0.path()).expect("a folder").map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.retain(|name| !name.ends_with(".log"));
        names.sort();
        names
    }

    /// Founds a peer set and starts its first member; ready when it leads.
    pub(crate) fn found(&self, name: &str, settings: &[&str]) -> PeerSet {
        self.found_on("127.0.0.1:0", name, settings)
    }

    fn found_on(&self, listen: &str, name: &str, settings: &[&str]) -> PeerSet {
        let dir = self.path(name);
        let words = ["init", "--name", name, "--listen", listen, "--dir", &dir];
        json(&rafty(), &[&words[..], settings].concat());
        let founder = Member::start(dir);
        until("a first leader", || founder.status().filter(|status| status.node.leader.is_some()));
        PeerSet { members: vec![founder] }
    }

    /// A peer set of three voters.
    pub(crate) fn three(&self, settings: &[&str]) -> PeerSet {
        self.three_on("127.0.0.1:0", settings)
    }

    /// The same, where the others listen on `listen`.
    pub(crate) fn three_on(&self, listen: &str, settings: &[&str]) -> PeerSet {
        let mut set = self.found_on(listen, "p1", settings);
        for name in ["p2", "p3"] {
            let dir = set.join_on(listen, self.path(name));
            set.members.push(Member::start(dir));
        }
        set.settle(3);
        set
    }
}

/// The members that this test has started, the founder first.
pub(crate) struct PeerSet {
    pub(crate) members: Vec<Member>,
}

impl PeerSet {
    pub(crate) fn founder(&self) -> &Member {
        &self.members[0]
    }

    /// A new token, and where it is answered.
    pub(crate) fn token(&self, ttl: &str) -> (String, String) {
        self.token_for("operator", ttl)
    }

    /// The same for a newcomer of this role.
    pub(crate) fn token_for(&self, role: &str, ttl: &str) -> (String, String) {
        let words = ["token", "create", "--role", role, "--ttl", ttl, "--dir", &self.founder().dir];
        let token = json(&rafty(), &words);
        let text = |value: &Value| value.as_str().expect("text").to_string();
        (text(&token["token"]), text(&token["addresses"][0]))
    }

    /// A token for clients, whose sessions then go on by way of any member.
    pub(crate) fn client_token(&self) -> String {
        let words = ["client", "create", "--name", "load", "--ttl", "30d", "--dir", &self.founder().dir];
        json(&rafty(), &words)["token"].as_str().expect("a token").to_string()
    }

    /// Makes `dir` a member; it is not started.
    pub(crate) fn join(&self, dir: String) -> String {
        self.join_on("127.0.0.1:0", dir)
    }

    fn join_on(&self, listen: &str, dir: String) -> String {
        let (token, peer) = self.token("1h");
        json(&rafty(), &["join", &token, "--peer", &peer, "--listen", listen, "--dir", &dir]);
        dir
    }

    /// The position of the leader that a majority of the running members follows.
    pub(crate) fn leader(&self) -> Option<usize> {
        let leaders: Vec<MemberId> =
            self.running().filter_map(|member| member.status()?.node.leader).collect();
        let followed =
            |id: MemberId| leaders.iter().filter(|leader| **leader == id).count() * 2 > self.members.len();
        self.members
            .iter()
            .position(|member| member.id().is_some_and(|id| member.up.is_some() && followed(id)))
    }

    pub(crate) fn await_leader(&self) -> usize {
        until("a leader", || self.leader())
    }

    /// Waits until of `members` members as many vote as can, an odd number, and all that run hold the same state; gives
    /// its index.
    pub(crate) fn settle(&self, members: usize) -> Index {
        let voters = members - (members + 1) % 2;
        until("the same state everywhere", || {
            let statuses: Vec<_> = self.running().map(Member::status).collect::<Option<_>>()?;
            let votes = |status: &MemberStatus| {
                status.node.members.iter().filter(|line| ["voter", "leader"].contains(&&*line.role)).count()
            };
            let state = |status: &MemberStatus| -> (Index, Index, Option<Digest>) {
                (status.node.applied, status.node.state_digest_at, status.node.state_digest)
            };
            let first = statuses.first()?;
            // A digest is made when somebody asks and comes with the next status.
            let digested =
                first.node.state_digest.is_some() && first.node.state_digest_at == first.node.applied;
            let same = digested
                && statuses.iter().all(|status| state(status) == state(first) && votes(status) == voters);
            (same && first.node.members.len() == members && first.node.leader.is_some())
                .then_some(first.node.applied)
        })
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.up.is_some())
    }

    /// Kills all at once: all have the signal before the first is waited for.
    pub(crate) fn kill_all(&mut self) {
        self.members.iter_mut().filter_map(|member| member.up.as_mut()).for_each(Up::kill);
        self.members.iter_mut().for_each(|member| member.up = None);
    }
}

/// A member's directory, and its process while it runs.
pub(crate) struct Member {
    pub(crate) dir: String,
    /// Its program, behind what starts that, if anything does.
    pub(crate) program: Vec<String>,
    pub(crate) up: Option<Up>,
}

impl Member {
    /// The laptop program, not started.
    pub(crate) fn at(dir: String) -> Self {
        let program = vec![rafty().to_str().expect("text").to_string()];
        Self { dir, program, up: None }
    }

    pub(crate) fn start(dir: String) -> Self {
        let mut member = Self::at(dir);
        member.restart();
        member
    }

    /// Starts it again, so that writing beyond a limit of the file size fails instead of killing it; ready when it
    /// answers.
    pub(crate) fn restart(&mut self) {
        self.restart_with(&[]);
    }

    /// The same, with more words behind `up`.
    pub(crate) fn restart_with(&mut self, words: &[&str]) {
        self.begin(words);
        until("an answer of a member", || {
            let ended = self.up.as_mut().and_then(Up::ended);
            assert_eq!(ended, None, "{} ended: {}", self.dir, self.said());
            self.status()
        });
    }

    /// The same, not waiting until it answers.
    pub(crate) fn begin(&mut self, words: &[&str]) {
        let mut program = with_failing_writes(Path::new(&self.program[0]));
        program.args(&self.program[1..]);
        self.up = Some(Up::start_with(program, &self.dir, words));
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        drop(self.up.take().expect("it runs"));
    }

    pub(crate) fn pid(&self) -> u32 {
        self.up.as_ref().expect("it runs").pid()
    }

    /// How many descriptors it has open.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("it runs").count()
    }

    pub(crate) fn status(&self) -> Option<MemberStatus> {
        match call(Path::new(&self.dir), &Request::Status, PATIENCE) {
            Ok(Reply::Status(status)) => Some(*status),
            _ => None,
        }
    }

    pub(crate) fn id(&self) -> Option<MemberId> {
        self.status().map(|status| status.node.me)
    }

    /// Sets an entry. `Ok` is an acknowledgement, anything else is none.
    pub(crate) fn set(&self, key: &str, value: impl Into<Value>) -> Result<(), CallError> {
        self.set_within(PATIENCE, key, value)
    }

    pub(crate) fn set_within(
        &self,
        patience: Duration,
        key: &str,
        value: impl Into<Value>,
    ) -> Result<(), CallError> {
        let request = Request::Set { key: key.into(), value: value.into() };
        call(Path::new(&self.dir), &request, patience).map(|_| ())
    }

    /// Reads an entry, linearizably; none when it is not there. Waits for a leader.
    pub(crate) fn get(&self, key: &str) -> Option<Value> {
        until("a linearizable read", || {
            match call(Path::new(&self.dir), &Request::Get { key: key.into() }, PATIENCE) {
                Ok(Reply::Value { found, value }) => Some(found.then_some(value)),
                _ => None,
            }
        })
    }

    /// Everything it has said since the first start.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(format!("{}.log", self.dir)).expect("a log")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        Path::new(&self.dir).join(name)
    }
}

/// `program`, with SIGXFSZ ignored: what it writes beyond a limit of the file size fails with an error, as on a full
/// disk, and needs neither a file system of its own nor root.
pub(crate) fn with_failing_writes(program: &Path) -> Command {
    let mut sh = command(Path::new("sh"), &["-c", r#"trap "" XFSZ; exec "$0" "$@""#]);
    sh.arg(program);
    sh
}
