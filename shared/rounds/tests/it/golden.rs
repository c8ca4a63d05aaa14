//! Golden scripts of rounds, their expected output below each step.
//!
//! `tests/scripts/one` tells of one machine: each thing that happens to it and all that it puts out, by the commands
//! of [`OneCommand`]. `tests/scripts/many` tells of members that run rounds together, in the lines of their story, by
//! those of [`ManyCommand`]. Members are numbers; `1.2` is round 1 in its second attempt. Orders (`w3`), proposals
//! (`p1`) and envelopes (`e50`) are named as the machine or the script numbers them.

use crate::one::One;
use crate::shell::Data;
use crate::world::{World, id};
use goldenscript::{Context, Runner};
use rafty_rounds::{EnvelopeHandle, Input, ProposalId, WorkResult};
use rafty_types::{
    Digest, EnvelopeKind, Frame, MemberKind, Metrics, Progress, Refusal, Rejection, RestCause, Version,
};
use std::error::Error;
use std::path::PathBuf;
use std::str::FromStr;

/// A number with a letter before it that says of what: `w3`, `p1`, `e50`.
struct Name(u64);

impl FromStr for Name {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.get(1..).and_then(|number| number.parse().ok());
        number.map(Self).ok_or_else(|| format!("{text} is no name; say w3, p1 or e50"))
    }
}

/// Milliseconds: `10ms`, `2s`.
struct Ms(u64);

impl FromStr for Ms {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let number = |unit| text.strip_suffix(unit).and_then(|number| number.parse::<u64>().ok());
        let ms = number("ms").or_else(|| number("s").map(|seconds| 1_000 * seconds));
        ms.map(Self).ok_or_else(|| format!("{text} is no time; say 10ms or 2s"))
    }
}

#[derive(goldenscript::Command)]
enum OneCommand {
    /// The machine of one of three agents, in run 1, with version 0 adopted; `pending` is the round of the update
    /// on its disk.
    Member {
        me: u64,
        #[arg(key, optional)]
        trains: bool,
        #[arg(key)]
        pending: Option<u64>,
    },
    /// An entry is applied: a member's tenure begins, round 1 opens, a member's update is accepted, the attempt failed,
    /// the version is another again.
    Tenure(u64),
    Open(u64),
    Accept(u64),
    Fail(String),
    RollBack(u64),
    /// A member comes into the roster.
    Joins(u64),
    /// The tenure is about to end.
    Ending,
    /// Time passes.
    Wait(Ms),
    /// An envelope arrives from a member: its update of round 1, or a model.
    Update {
        from: u64,
        envelope: Name,
        #[arg(key)]
        attempt: Option<u64>,
    },
    Publication(u64, Name, String),
    /// A worker reports of an order.
    Trained(Name),
    Sealed(Name, Name),
    Opened(Name),
    Combined(Name, String),
    Refused(Name),
    Dropped(Name),
    Broken(Name, String),
    /// Something on the device keeps it from training: `disk-full` or `data`.
    HeldUp(Name, String, String),
    /// What it was to seal is not on the disk.
    Gone(Name),
    /// A proposal is lost, or does not count.
    Lost(Name),
    Rejected(Name, String),
    /// The aggregator refuses this member's update for what is in it.
    Refuse,
    /// A member says what it holds, or where it stands in round 1.
    Holds(u64, String),
    Progress(u64, String),
    /// The process ends and another begins with what is on the disk.
    Restart,
    /// What the machine says that it waits for.
    Waiting,
}

#[derive(Default)]
struct Solo(Option<One>);

type Told = Result<String, Box<dyn Error>>;

impl Runner for Solo {
    type Command = OneCommand;

    fn run(&mut self, command: &OneCommand, _: &Context) -> Told {
        if let OneCommand::Member { me, trains, pending } = command {
            self.0 = Some(One::new(*me, *trains, *pending));
            return Ok(String::new());
        }
        let one = self.0.as_mut().ok_or("say which member it is first")?;
        let done = |order: &Name, result| Input::WorkDone { order: rafty_rounds::WorkId(order.0), result };
        let lines = match command {
            OneCommand::Member { .. } => Vec::new(),
            OneCommand::Tenure(holder) => one.tenure(*holder),
            OneCommand::Open(by) => one.open_round_1(*by),
            OneCommand::Accept(member) => one.accept(*member),
            OneCommand::Fail(reason) => one.fail(reason),
            OneCommand::RollBack(version) => one.roll_back(Version(*version)),
            OneCommand::Joins(member) => one.joins(*member),
            OneCommand::Ending => one.say(Input::TenureEnding),
            OneCommand::Wait(ms) => one.wait(ms.0),
            OneCommand::Update { from, envelope, attempt } => {
                one.envelope(EnvelopeKind::Update, *from, envelope.0, attempt.unwrap_or(1), None)
            }
            OneCommand::Publication(from, envelope, model) => {
                one.envelope(EnvelopeKind::Publication, *from, envelope.0, 1, Some(model))
            }
            OneCommand::Trained(order) => {
                let update = one.own_update();
                one.say(done(order, WorkResult::Trained { update, num_examples: 100 }))
            }
            OneCommand::Sealed(order, envelope) => {
                one.say(done(order, WorkResult::Sealed { envelope: EnvelopeHandle(envelope.0) }))
            }
            OneCommand::Opened(order) => {
                let result = WorkResult::Opened { num_examples: 100, metrics: Metrics::default() };
                one.say(done(order, result))
            }
            OneCommand::Combined(order, model) => {
                one.say(done(order, WorkResult::Model { digest: Digest::of(model.as_bytes()) }))
            }
            OneCommand::Refused(order) => one.say(done(order, WorkResult::Refused(Refusal::NotFinite))),
            OneCommand::Dropped(order) => one.say(done(order, WorkResult::Done)),
            OneCommand::Refuse => one.refuse(),
            OneCommand::Gone(order) => one.say(done(order, WorkResult::Gone)),
            OneCommand::Broken(order, why) => one.say(done(order, WorkResult::Failed(why.clone()))),
            OneCommand::HeldUp(order, cause, why) => {
                let cause = match cause.as_str() {
                    "disk-full" => RestCause::DiskFull,
                    "data" => RestCause::Data,
                    _ => return Err(format!("{cause} is no cause").into()),
                };
                one.say(done(order, WorkResult::HeldUp { cause, reason: why.clone() }))
            }
            OneCommand::Lost(proposal) => one.say(Input::ProposalLost { id: ProposalId(proposal.0) }),
            OneCommand::Rejected(proposal, why) => {
                let why = Rejection::Invalid(why.clone());
                one.say(Input::ProposalRejected { id: ProposalId(proposal.0), why })
            }
            OneCommand::Holds(from, model) => {
                one.frame(*from, Frame::Holds { model: Digest::of(model.as_bytes()) })
            }
            OneCommand::Progress(from, progress) => one.progress(*from, self::progress(progress)?),
            OneCommand::Restart => one.restart(),
            OneCommand::Waiting => vec![one.waiting_for()],
        };
        Ok(lines.join("\n"))
    }
}

fn progress(text: &str) -> Result<Progress, String> {
    Ok(match text {
        "no-data" => Progress::NoData,
        "training" => Progress::Training(100),
        "sending" => Progress::Sending,
        "failed" => Progress::Failed,
        _ => return Err(format!("{text} is no progress")),
    })
}

#[derive(goldenscript::Command)]
enum ManyCommand {
    /// Members from 1 on, each with `data`, `no-data` or `poisoned` data.
    Members(Vec<String>),
    /// One more, which may not lead, with data.
    Joins,
    /// Submits a run of so many rounds.
    Submit(u32),
    /// A member becomes aggregator.
    Tenure(u64),
    /// Its tenure is about to end.
    Ending(u64),
    /// How long a member trains, instead of a millisecond.
    Slow(u64, Ms),
    /// A member gets data.
    Data(u64),
    /// Frames of a kind are lost on every way, or everything is, or nothing any more.
    Lose(String),
    /// Time passes.
    Wait(Ms),
    Kill(u64),
    Start(u64),
    Revoke(u64),
    RollBack(u64),
    /// What a member says that it waits for, and whether its tenure can be handed over at this moment.
    Waiting(u64),
}

#[derive(Default)]
struct Group(Option<World>);

impl Runner for Group {
    type Command = ManyCommand;

    fn run(&mut self, command: &ManyCommand, _: &Context) -> Told {
        if let ManyCommand::Members(data) = command {
            let data: Result<Vec<_>, _> = data.iter().map(|data| self::data(data)).collect();
            self.0 = Some(World::new(1, &data?));
            return Ok(String::new());
        }
        let world = self.0.as_mut().ok_or("say who the members are first")?;
        match command {
            ManyCommand::Members(_) => {}
            ManyCommand::Joins => drop(world.join(MemberKind::Agent, false, Data::Examples(100))),
            ManyCommand::Submit(rounds) => world.submit(*rounds),
            ManyCommand::Tenure(who) => world.begin_tenure(id(*who)),
            ManyCommand::Ending(who) => world.say(id(*who), Input::TenureEnding),
            ManyCommand::Slow(who, ms) => drop(world.training_ms.insert(id(*who), ms.0)),
            ManyCommand::Data(who) => {
                world.members.get_mut(&id(*who)).ok_or("no such member")?.shell.data = Data::Examples(100);
            }
            ManyCommand::Lose(what) => {
                world.rates.lose = if what == "everything" { 100 } else { 0 };
                world.censor = match what.as_str() {
                    "holds" => |_, _, frame| matches!(frame, Frame::Holds { .. }),
                    "verdicts" => |_, _, frame| matches!(frame, Frame::Verdict { .. }),
                    "progress" => |_, _, frame| matches!(frame, Frame::Progress { .. }),
                    "everything" | "nothing" => |_, _, _| false,
                    _ => return Err(format!("{what} cannot be lost alone").into()),
                };
            }
            ManyCommand::Wait(ms) => world.run_for(ms.0),
            ManyCommand::Kill(who) => world.kill(id(*who)),
            ManyCommand::Start(who) => world.start(id(*who)),
            ManyCommand::Revoke(who) => world.revoke(id(*who)),
            ManyCommand::RollBack(version) => world.roll_back(Version(*version)),
            ManyCommand::Waiting(who) => {
                let (who, leads) = (id(*who), world.leader == Some(id(*who)));
                let boundary = if leads && world.at_boundary(who) { ", at a boundary" } else { "" };
                world.story.push(format!("{who}: {}{boundary}", world.waiting_for(who)));
            }
        }
        Ok(world.story.drain(..).collect::<Vec<_>>().join("\n"))
    }
}

fn data(text: &str) -> Result<Data, String> {
    Ok(match text {
        "data" => Data::Examples(100),
        "no-data" => Data::None,
        "poisoned" => Data::Poisoned,
        _ => return Err(format!("{text} is no kind of data")),
    })
}

fn run_all<R: Runner + Default>(folder: &str) {
    let scripts = std::fs::read_dir(folder).unwrap().map(|script| script.unwrap().path());
    let run = |path: PathBuf| {
        let outcome = goldenscript::run(&mut R::default(), &path);
        outcome.err().map(|error| format!("{}: {error}", path.display()))
    };
    let broken: Vec<_> = scripts.filter_map(run).collect();
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn scripts_of_one() {
    run_all::<Solo>("tests/scripts/one");
}

#[test]
fn scripts_of_many() {
    run_all::<Group>("tests/scripts/many");
}
