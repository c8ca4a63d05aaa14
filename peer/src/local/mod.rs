//! A whole peer set on this machine, each member a process with a directory and a port of its own.
//!
//! Members come in by the real way: `init`, tokens, `join`, `up`. All end with this program, however it ends. It
//! does not know what they are for; the demo and the benchmarks do.

mod process;
mod signals;

pub(crate) use process::Process;
pub(crate) use signals::Interrupt;

use crate::narration::Line;
use process::Program;
use rafty_agent::{Failure, status};
use rafty_runtime::operator::{MemberStatus, Reply, Request, call, follow};
use rafty_runtime::setup::free_port;
use rafty_types::{MemberId, MemberKind};
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

/// The first argument that makes this program the device program.
pub(crate) const AS_AGENT: &str = "as-agent";

/// How long newcomers may take to join: each makes an RSA key, all on the same cores.
const JOIN_WITHIN: Duration = Duration::from_secs(60);
/// How long newcomers may use their tokens.
const ADMITS_FOR: Duration = Duration::from_secs(600);
/// How long members may take until they answer and have their seats.
const SETTLE_WITHIN: Duration = Duration::from_secs(60);
/// How long members may take until they can lead.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// How often is looked whether something has come about.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// How long an answer of a local member is waited for.
const PATIENCE: Duration = Duration::from_secs(15);
/// How many voters a peer set has by default.
pub(crate) const TARGET_VOTERS: usize = 7;

/// What the peer set shall be.
pub(crate) struct Plan<'a> {
    /// Where the members' directories are made; short, since sockets are in there.
    pub(crate) base: &'a Path,
    /// How many peers, the founder included.
    pub(crate) peers: usize,
    /// Where the founder listens, for other machines too; otherwise all are on this machine.
    pub(crate) listen: Option<SocketAddr>,
    /// The data of each agent.
    pub(crate) data: &'a [PathBuf],
    /// More words for `init`.
    pub(crate) settings: &'a [&'a str],
    /// How many members may vote at most.
    pub(crate) voters: usize,
    /// The device program, if it is not to be this one.
    pub(crate) agent_program: Option<&'a Path>,
    /// What agents do when they are up.
    pub(crate) run_agents_by: AgentRuns,
}

impl<'a> Plan<'a> {
    /// So many peers on this machine, without agents and by the usual settings.
    pub(crate) fn of_peers(base: &'a Path, peers: usize) -> Self {
        Self {
            base,
            peers,
            listen: None,
            data: &[],
            settings: &[],
            voters: TARGET_VOTERS,
            agent_program: None,
            run_agents_by: AgentRuns::Training,
        }
    }
}

/// What an agent does when it is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AgentRuns {
    /// It trains on its data.
    Training,
    /// It is the benchmark's: gives back what it got, with noise.
    Noise,
}

/// One member on this machine.
pub(crate) struct Local {
    /// For people: `peer 1`, `agent 3`.
    pub(crate) name: String,
    pub(crate) kind: MemberKind,
    pub(crate) dir: PathBuf,
    pub(crate) id: MemberId,
    up: Program,
    /// Where it serves clients of other machines.
    remote: Option<IpAddr>,
    log: PathBuf,
    pub(crate) process: Process,
}

impl Local {
    /// A peer that joins a peer set of other machines and serves there.
    pub(crate) fn join(
        base: &Path,
        token: &str,
        peer: &str,
        listen: SocketAddr,
        remote: Option<IpAddr>,
        interrupt: &Interrupt,
    ) -> Result<Self, Failure> {
        let program = Program::this(&[])?;
        let up = program.with("up");
        let place = Place::new(base, MemberKind::Operator, 1, listen.to_string(), None, program, up)?;
        let place = Place { remote, ..place };
        place.join(token, peer)?.finish(JOIN_WITHIN, interrupt, &place.log)?;
        let mut member = place.begin()?;
        member.wait_for_leader(interrupt)?;
        Ok(member)
    }

    /// Waits until it has a leader, and so serves clients.
    fn wait_for_leader(&mut self, interrupt: &Interrupt) -> Result<(), Failure> {
        let until = Instant::now() + SETTLE_WITHIN;
        while !answers(&self.dir) {
            interrupt.check()?;
            self.process.must_run(&self.log)?;
            if Instant::now() > until {
                let (name, log) = (&self.name, self.log.display());
                return Err(Failure::failed(format!(
                    "{name} found no leader in {SETTLE_WITHIN:?}; see {log}"
                )));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// SIGKILL: no chance to say anything to anybody.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again from what its directory holds.
    pub(crate) fn restart(&mut self) -> Result<(), Failure> {
        self.process = self.up.start(&up_words(&self.dir, self.remote), &self.log)?;
        Ok(())
    }
}

/// A peer set of processes.
pub(crate) struct LocalSet {
    pub(crate) members: Vec<Local>,
}

impl LocalSet {
    /// Founds it, lets everybody join, and waits until all have their places.
    pub(crate) fn start(plan: &Plan<'_>, interrupt: &Interrupt) -> Result<Self, Failure> {
        let places = places(plan)?;
        let (founder, newcomers) =
            places.split_first().ok_or_else(|| Failure::usage("at least one peer is needed"))?;
        let mut words =
            vec!["init", "--name", "local", "--listen", &founder.listen, "--dir", &founder.dir_text];
        let voters = plan.voters.to_string();
        words.extend(["--voters", &voters]);
        words.extend(plan.settings);
        founder.setup.start(&os(&words), &founder.log)?.finish(JOIN_WITHIN, interrupt, &founder.log)?;
        let mut set = Self { members: vec![founder.begin()?] };
        let tokens = set.tokens(plan, interrupt)?;
        let mut joining = Vec::new();
        for place in newcomers {
            let token = if place.kind == MemberKind::Operator { &tokens.0 } else { &tokens.1 };
            joining.push((place, place.join(token, &founder.listen)?));
        }
        for (place, mut process) in joining {
            process.finish(JOIN_WITHIN, interrupt, &place.log)?;
            set.members.push(place.begin()?);
        }
        set.settle(plan.voters, interrupt)?;
        Ok(set)
    }

    /// A token for all further peers and one for all agents, from the founder.
    fn tokens(&mut self, plan: &Plan<'_>, interrupt: &Interrupt) -> Result<(String, String), Failure> {
        let founder = &mut self.members[0];
        founder.wait_for_leader(interrupt)?;
        let token = |role, uses| create_token(&founder.dir, role, uses, ADMITS_FOR);
        Ok((token(MemberKind::Operator, plan.peers - 1)?, token(MemberKind::Agent, plan.data.len())?))
    }

    /// Waits until everybody answers, knows everybody, and the seats are given.
    fn settle(&mut self, voters: usize, interrupt: &Interrupt) -> Result<(), Failure> {
        let until = Instant::now() + SETTLE_WITHIN;
        let mut waiting: Vec<usize> = (0..self.members.len()).collect();
        while !waiting.is_empty() {
            interrupt.check()?;
            if Instant::now() > until {
                let names: Vec<&str> = waiting.iter().map(|at| self.members[*at].name.as_str()).collect();
                let log = self.members[waiting[0]].log.display();
                let names = names.join(", ");
                return Err(Failure::failed(format!(
                    "{names} did not get ready in {SETTLE_WITHIN:?}; see {log}"
                )));
            }
            let count = self.members.len();
            for at in std::mem::take(&mut waiting) {
                let member = &mut self.members[at];
                member.process.must_run(&member.log)?;
                match status::fetch(&member.dir, PATIENCE) {
                    Ok(status) if settled(&status, count, voters) => member.id = status.node.me,
                    _ => waiting.push(at),
                }
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Waits until everybody follows one leader whose tenure stands and has made a key for a tenure of its own, which takes
    /// a core for some tenths of a second. Returns the leader.
    pub(crate) fn wait_until_ready(&self, interrupt: &Interrupt) -> Result<MemberId, Failure> {
        let until = Instant::now() + READY_WITHIN;
        loop {
            interrupt.check()?;
            if let Some(leader) = self.ready_leader() {
                return Ok(leader);
            }
            if Instant::now() > until {
                return Err(Failure::failed(format!(
                    "the members did not get ready within {READY_WITHIN:?}"
                )));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn ready_leader(&self) -> Option<MemberId> {
        let mut leaders = Vec::new();
        for member in &self.members {
            let node = status::fetch(&member.dir, PATIENCE).ok()?.node;
            let tenure_stands = node.tenure.as_ref().is_some_and(|tenure| tenure.term == node.term);
            leaders.push(node.leader.filter(|_| node.tenure_key_ready && tenure_stands)?);
        }
        let first = *leaders.first()?;
        leaders.iter().all(|leader| *leader == first).then_some(first)
    }

    /// The member with this id.
    pub(crate) fn member(&mut self, id: MemberId) -> Option<&mut Local> {
        self.members.iter_mut().find(|member| member.id == id)
    }

    /// The status of any member that answers, the leader's if it does.
    pub(crate) fn status(&self) -> Result<MemberStatus, Failure> {
        status_of(self.members.iter().map(|member| member.dir.as_path()))
            .ok_or_else(|| Failure::failed("no member answers"))
    }
}

/// The status of any of the members in `dirs` that answers, the leader's if it does.
pub(crate) fn status_of<'a>(dirs: impl Iterator<Item = &'a Path>) -> Option<MemberStatus> {
    let mut any = None;
    for status in dirs.filter_map(|dir| status::fetch(dir, PATIENCE).ok()) {
        if status.node.leader == Some(status.node.me) {
            return Some(status);
        }
        any = any.or(Some(status));
    }
    any
}

/// A token that admits so many, at least one, from the member in `dir`.
pub(crate) fn create_token(
    dir: &Path,
    role: MemberKind,
    uses: usize,
    admits_for: Duration,
) -> Result<String, Failure> {
    let (uses, ttl_s) = (u32::try_from(uses.max(1)).unwrap_or(1), admits_for.as_secs());
    match call(dir, &Request::TokenCreate { role, ttl_s, uses, may_lead: true }, PATIENCE)? {
        Reply::Token { token, .. } => Ok(token),
        other => Err(status::unexpected(&other)),
    }
}

/// How many vote, as a member sees it.
pub(crate) fn voters(status: &MemberStatus) -> usize {
    let votes = |role: &str| matches!(role, "leader" | "voter");
    status.node.members.iter().filter(|member| votes(&member.role)).count()
}

fn settled(status: &MemberStatus, count: usize, most_voters: usize) -> bool {
    // An odd number votes.
    let most = count.min(most_voters);
    let enough = voters(status) >= most - (most + 1) % 2;
    status.node.members.len() == count && enough && status.node.tenure.is_some()
}

fn answers(dir: &Path) -> bool {
    status::fetch(dir, PATIENCE).is_ok_and(|status| status.node.leader.is_some())
}

/// Hears of the member in `dir` until it ends, on a thread of its own. What is heard goes into `sink`.
pub(crate) fn hear(dir: PathBuf, sink: Sender<Line>) {
    std::thread::spawn(move || {
        let until = Instant::now() + SETTLE_WITHIN;
        let mut lines = loop {
            match follow(&dir) {
                Ok(lines) => break lines,
                Err(_) if Instant::now() < until => std::thread::sleep(LOOK_EVERY),
                Err(_) => return,
            }
        };
        while let Ok(Some(text)) = lines.next_line() {
            if Line::parse(&text).is_some_and(|line| sink.send(line).is_err()) {
                return;
            }
        }
    });
}

/// Where and how a member will be.
struct Place {
    name: String,
    kind: MemberKind,
    dir: PathBuf,
    dir_text: String,
    listen: String,
    log: PathBuf,
    data: Option<String>,
    remote: Option<IpAddr>,
    setup: Program,
    up: Program,
}

impl Place {
    fn new(
        base: &Path,
        kind: MemberKind,
        at: usize,
        listen: String,
        data: Option<&PathBuf>,
        setup: Program,
        up: Program,
    ) -> Result<Self, Failure> {
        let logs = base.join("logs");
        std::fs::create_dir_all(&logs)
            .map_err(|error| Failure::failed(format!("cannot make {}: {error}", logs.display())))?;
        let short = format!("{}{at}", if kind == MemberKind::Operator { 'p' } else { 'a' });
        let dir = base.join(&short);
        Ok(Self {
            name: format!("{kind} {at}"),
            kind,
            dir_text: dir.to_string_lossy().into_owned(),
            dir,
            listen,
            log: logs.join(format!("{short}.log")),
            data: data.map(|data| data.to_string_lossy().into_owned()),
            remote: None,
            setup,
            up,
        })
    }

    fn join(&self, token: &str, founder: &str) -> Result<Process, Failure> {
        let mut words =
            vec!["join", "-", "--peer", founder, "--listen", &self.listen, "--dir", &self.dir_text];
        if let Some(data) = &self.data {
            words.extend(["--data", data]);
        }
        self.setup.start_with_secret(&os(&words), token, &self.log)
    }

    fn begin(&self) -> Result<Local, Failure> {
        let process = self.up.start(&up_words(&self.dir, self.remote), &self.log)?;
        Ok(Local {
            name: self.name.clone(),
            kind: self.kind,
            dir: self.dir.clone(),
            id: MemberId(0),
            up: self.up.clone(),
            remote: self.remote,
            log: self.log.clone(),
            process,
        })
    }
}

fn places(plan: &Plan<'_>) -> Result<Vec<Place>, Failure> {
    let peer = Program::this(&[])?;
    let agent = match plan.agent_program {
        Some(program) => Program::other(program),
        None => Program::this(&[AS_AGENT])?,
    };
    let peers = (1..=plan.peers).map(|at| (MemberKind::Operator, at, None));
    let agents = plan.data.iter().zip(1..).map(|(data, at)| (MemberKind::Agent, at, Some(data)));
    let mut places = Vec::new();
    for ((kind, at, data), listen) in peers.chain(agents).zip(free_addresses(plan.peers + plan.data.len())?) {
        let setup = if kind == MemberKind::Operator { &peer } else { &agent };
        let noise = kind == MemberKind::Agent && plan.run_agents_by == AgentRuns::Noise;
        let up = if noise { Program::this(&[crate::bench::AS_NOISE])? } else { setup.with("up") };
        places.push(Place::new(plan.base, kind, at, listen, data, setup.clone(), up)?);
    }
    if let (Some(listen), Some(founder)) = (plan.listen, places.first_mut()) {
        founder.listen = listen.to_string();
        founder.remote = (!listen.ip().is_loopback()).then(|| listen.ip());
    }
    Ok(places)
}

fn up_words(dir: &Path, remote: Option<IpAddr>) -> Vec<OsString> {
    let mut words = os(&["--exit-with-parent"]);
    if let Some(ip) = remote {
        words.extend(["--clients".into(), ip.to_string().into()]);
    }
    words.extend(["--dir".into(), dir.into()]);
    words
}

fn os(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// Loopback addresses that nobody has now. All are held until all are found, so that they differ.
fn free_addresses(count: usize) -> Result<Vec<String>, Failure> {
    let failed = |error: std::io::Error| Failure::failed(format!("no free UDP port on 127.0.0.1: {error}"));
    let sockets: Result<Vec<_>, _> = (0..count).map(|_| free_port(Ipv4Addr::LOCALHOST.into())).collect();
    let addresses: Result<Vec<_>, _> = sockets.map_err(failed)?.iter().map(UdpSocket::local_addr).collect();
    Ok(addresses.map_err(failed)?.iter().map(ToString::to_string).collect())
}
