//! Golden scripts of whole nodes: what a few members are told, and what people, programs and the shell hear of it.
//!
//! Each file in `tests/scripts` is one; its commands are those of [`Command`]. A member is named by the entry that
//! enrolled it: the founder is `n1`, the next ones `n3` and `n5`. All share one clock; what is sent arrives at once, and
//! disks sync at once unless they hang. Raft's own messages are shown in the scripts of consensus, whole rounds in those
//! of rounds; random schedules and faults are for the simulation.

mod peers;
mod show;

use goldenscript::{Context, Runner};
use peers::Peers;
use rafty_dictionary::EntryCommand;
use rafty_node::{Input, Request};
use rafty_types::{ControlCommand, MemberId, MemberKind, RunSpec, Serial, SessionId, Strategy};
use std::error::Error;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// A member in a script: `n1`.
#[derive(Clone, Copy)]
struct N(MemberId);

impl FromStr for N {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let id = text.strip_prefix('n').and_then(|id| id.parse().ok());
        id.map(|id| Self(MemberId(id))).ok_or_else(|| format!("{text} is no member; say n1"))
    }
}

/// A time span: `150ms`, `5s`.
#[derive(Clone, Copy)]
struct Span(Duration);

impl FromStr for Span {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let number = |unit| text.strip_suffix(unit).and_then(|number| number.parse().ok());
        let span = number("ms").map(Duration::from_millis).or_else(|| number("s").map(Duration::from_secs));
        span.map(Self).ok_or_else(|| format!("{text} is no time span; say 150ms or 5s"))
    }
}

/// Requests are tagged `[here]` when the member itself must propose them, `[9/1]` when they stand in session 9 with
/// serial 1, and `[300ms]` when they have only so long; two seconds otherwise.
#[derive(goldenscript::Command)]
enum Command {
    /// Founds a peer set of so many voters, with the given tenure and number of voters. Its newcomers may lead unless
    /// told otherwise.
    Found {
        members: u64,
        #[arg(key)]
        tenure: Option<Span>,
        #[arg(key)]
        voters: Option<u32>,
        #[arg(key)]
        may_lead: Option<bool>,
        /// Whether all but the founder are devices.
        #[arg(key)]
        devices: Option<bool>,
    },
    /// A newcomer enrols at a member by a token of its own, and starts.
    Join(N),
    /// Time passes for all.
    Wait(Span),
    /// Asks a member to write an entry, to read, to open a session.
    Set(N, String, String),
    Read(N),
    Session(N),
    /// Asks a member to send another away, or to give and take seats.
    Revoke(N, N),
    Seat {
        at: N,
        #[arg(key)]
        give: Option<N>,
        #[arg(key)]
        take: Option<N>,
    },
    /// Asks a member for a run of so many rounds.
    Submit(N, u32),
    /// Asks a member to commit a feature level.
    Supports(N, u32),
    Feature(N, u32),
    /// Asks a member for a key of its own that is none.
    Keyless(N),
    /// Somebody wants a member to lead, and tells another.
    Transfer(N, N),
    /// A member is told by another one that these belong, too, who are nobody.
    Invents(N, N, Vec<N>),
    /// A member hears another one lead, which says that the third alone votes.
    Usurps(N, N, N),
    /// A member wants to end, or not any more.
    Retire(N, bool),
    /// Somebody watches what a member applies.
    Watch(N),
    /// Tenure keys are made at once, or not at all.
    Keys(bool),
    /// The tenure keys that a member makes from now on are those that it made from the first one on.
    Repeat(N),
    /// A member's disk writes nothing any more, until it is told to sync.
    Hang(N),
    Sync(N),
    /// Cuts a member off from these others, or from all; mends every cut.
    Cut(N, #[arg(pos, optional)] Vec<N>),
    Heal,
    /// Power loss, and a start on what the disk holds.
    Kill(N),
    Start(N),
    /// What members know of themselves.
    Status(#[arg(pos, optional)] Vec<N>),
}

impl Runner for Peers {
    type Command = Command;

    fn run(&mut self, command: &Command, context: &Context) -> Result<String, Box<dyn Error>> {
        match command {
            Command::Found { members, tenure, voters, may_lead, devices } => {
                let role = if devices.unwrap_or(false) { MemberKind::Agent } else { MemberKind::Operator };
                let newcomers = (role, may_lead.unwrap_or(true));
                self.found(*members, tenure.map(|span| span.0), *voters, newcomers);
            }
            Command::Join(N(at)) => self.join(*at)?,
            Command::Wait(Span(span)) => self.wait(*span)?,
            Command::Transfer(N(at), N(to)) => self.say_to(*at, Input::Transfer(*to))?,
            Command::Invents(N(to), N(by), invented) => self.invents(*to, *by, &ids(invented))?,
            Command::Usurps(N(to), N(by), N(voter)) => self.usurps(*to, *by, *voter)?,
            Command::Retire(N(id), retiring) => self.say_to(*id, Input::Retire(*retiring))?,
            Command::Watch(N(id)) => self.say_to(*id, Input::Watch(true))?,
            Command::Keys(made) => self.make_keys(*made)?,
            Command::Repeat(N(id)) => self.member(*id).keys_made = 0,
            Command::Hang(N(id)) => self.member(*id).hangs = true,
            Command::Sync(N(id)) => {
                self.member(*id).hangs = false;
                self.settle()?;
            }
            Command::Cut(N(id), others) => self.cut(*id, &ids(others)),
            Command::Heal => self.cut.clear(),
            Command::Kill(N(id)) => self.kill(*id),
            Command::Start(N(id)) => self.start(*id),
            Command::Status(of) => self.status(&ids(of)),
            asks => self.asks(asks, context)?,
        }
        Ok(self.said.split_off(0))
    }
}

impl Peers {
    /// The commands that are a request to one member.
    fn asks(&mut self, command: &Command, context: &Context) -> Result<(), Box<dyn Error>> {
        let (mut session, mut here, mut within) = (None, false, Duration::from_secs(2));
        for tag in &context.tags {
            match tag.split_once('/') {
                Some((id, serial)) => session = Some((SessionId(id.parse()?), Serial(serial.parse()?))),
                None if tag == "here" => here = true,
                None => within = tag.parse::<Span>()?.0,
            }
        }
        let (at, command) = match command {
            Command::Read(N(at)) => return self.ask(*at, Request::Read, within),
            Command::Set(N(at), key, value) => {
                let (key, value) = (key.as_bytes().to_vec(), value.as_bytes().to_vec());
                (at, rafty_types::Command::User(EntryCommand::Set { key, value }.encode()))
            }
            other => {
                let (at, command) = control(other)?;
                (at, rafty_types::Command::Control(command))
            }
        };
        let request = match here {
            true => Request::CommitHere { client: None, session, command },
            false => Request::Commit { client: None, session, command },
        };
        self.ask(*at, request, within)
    }
}

fn control(command: &Command) -> Result<(&MemberId, ControlCommand), String> {
    Ok(match command {
        Command::Session(N(at)) => (at, ControlCommand::SessionOpened),
        Command::Revoke(N(at), N(member)) => (at, ControlCommand::Revoke { member: *member }),
        Command::Seat { at: N(at), give, take } => {
            let list = |one: &Option<N>| one.iter().map(|one| one.0).collect();
            let (give, take) = (list(give), list(take));
            (at, ControlCommand::SeatChanged { give, take })
        }
        Command::Submit(N(at), rounds) => {
            let (name, task) = ("digits".into(), "a task".into());
            let spec = RunSpec { name, task, rounds: *rounds, seed: 7, strategy: Strategy::FedAvg };
            (at, ControlCommand::RunSubmitted(spec))
        }
        Command::Keyless(N(at)) => (at, ControlCommand::RotateKey { member: *at, rsa_public: vec![1; 300] }),
        Command::Supports(N(at), level) => (at, ControlCommand::Supports { member: *at, level: *level }),
        Command::Feature(N(at), level) => {
            (at, ControlCommand::FeatureLevel { level: *level, without: Vec::new() })
        }
        _ => return Err("this command is no request".into()),
    })
}

fn ids(members: &[N]) -> Vec<MemberId> {
    members.iter().map(|member| member.0).collect()
}

#[test]
fn scripts() {
    let scripts = std::fs::read_dir("tests/scripts").unwrap().map(|script| script.unwrap().path());
    let run = |path: PathBuf| {
        let outcome = goldenscript::run(&mut Peers::default(), &path);
        outcome.err().map(|error| format!("{}: {error}", path.display()))
    };
    let broken: Vec<_> = scripts.filter_map(run).collect();
    assert!(broken.is_empty(), "{broken:#?}");
}
