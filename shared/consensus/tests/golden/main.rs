//! Golden scripts of consensus: what a few members are told, and below it all that they say to it.
//!
//! Each file in `tests/scripts` is one; its commands are those of [`Command`]. An entry is written `3@2`: index 3,
//! term 2. A line is one output of one member. `settle` and `time` leave messages and writes out unless tagged `[all]`.
//! Random schedules and faults are in `tests/cluster`.

mod cluster;
mod show;
mod tenures;

use cluster::Cluster;
use goldenscript::{Context, Runner};
use rafty_consensus::{Input, Link, Proposal};
use rafty_types::{Index, MemberId, MembershipChange, MembershipStep, SnapshotMeta};
use std::error::Error;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// A member in a script: `n1`.
#[derive(Clone, Copy)]
pub(crate) struct N(pub(crate) MemberId);

impl FromStr for N {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let id = text.strip_prefix('n').and_then(|id| id.parse().ok());
        id.map(|id| Self(MemberId(id))).ok_or_else(|| format!("{text} is no member; say n1"))
    }
}

/// A time span in a script: `150ms`, `5s`.
#[derive(Clone, Copy, Default)]
pub(crate) struct Span(pub(crate) Duration);

impl FromStr for Span {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let number = |unit| text.strip_suffix(unit).and_then(|number| number.parse().ok());
        let span = number("ms").map(Duration::from_millis).or_else(|| number("s").map(Duration::from_secs));
        span.map(Self).ok_or_else(|| format!("{text} is no time span; say 150ms or 5s"))
    }
}

#[derive(goldenscript::Command)]
enum Command {
    /// Founds a peer set of these voters with a snapshot at 1@1.
    Voters(Vec<N>),
    /// Starts a newcomer with an empty disk.
    Newcomer(N),
    /// Lets time pass for these members, or for all: whenever one's deadline comes, and then all settle.
    Time(Span, #[arg(pos, optional)] Vec<N>),
    /// The next deadline of one member comes; what it says waits.
    Tick(N),
    /// Lets the time of one member alone pass until it stands for election; what it says waits.
    Campaign(N),
    /// Syncs every disk and delivers every message, until all is quiet. No time passes.
    Settle,
    /// A member's disk writes nothing any more, until it is told to sync.
    Hang(N),
    /// Syncs one member's disk.
    Sync(N),
    /// Delivers the messages that are on their way to a member now, of one sender or of all.
    Deliver(N, Option<N>),
    /// Loses the messages that are on their way to a member now, of one sender or of all.
    Lose(N, Option<N>),
    /// Cuts a member off from these others, or from all.
    Cut(N, #[arg(pos, optional)] Vec<N>),
    /// Mends every cut.
    Heal,
    /// Commands for a member to append.
    Propose(N, Vec<String>),
    /// Asks a member for a linearizable read; requests are numbered from 1.
    Read(N),
    /// Proposes a membership change of steps `voter=n4`, `learner=n5`, `remove=n2`.
    Change(N, #[arg(key, many, optional)] Vec<(String, N)>),
    /// Has a leader hand over.
    Transfer(N, N),
    /// Has a leader give its hand-over up.
    Abort(N),
    /// Has a leader lead no more.
    StepDown(N),
    /// Tells a member that its disk is an older copy.
    Abstain(N),
    /// Takes a snapshot of a member's applied state, and leaves a tail of two entries.
    Compact(N, Option<u64>),
    /// Tells a member how good its way to another is.
    Measure {
        of: N,
        to: N,
        #[arg(key)]
        rtt: Span,
        #[arg(key, optional)]
        lost_percent: u64,
    },
    /// A message that nobody would send; fields as in `Message`.
    Forge {
        kind: String,
        from: N,
        to: N,
        #[arg(key, many, optional)]
        fields: Vec<(String, u64)>,
    },
    /// Power loss: what was not synced is gone.
    Crash(N),
    /// Starts a member on what its disk holds.
    Restart(N),
    /// Takes entries off a stopped member's disk: all from `from` on, or the one at `hole`.
    Damage {
        member: N,
        #[arg(key)]
        from: Option<u64>,
        #[arg(key)]
        hole: Option<u64>,
    },
    /// From here on every leader keeps its tenure.
    Tenures {
        lasts: Span,
        #[arg(key, optional)]
        grace: Span,
    },
    /// What the node would tell a member's tenure keeper: `may_lead`, `key`, `round`, and attempts that `failed`.
    Know {
        member: N,
        #[arg(key)]
        may_lead: Option<bool>,
        #[arg(key)]
        key: Option<bool>,
        #[arg(key)]
        round: Option<bool>,
        #[arg(key)]
        failed: Option<u32>,
    },
    /// Shows what members are and how far.
    Status(#[arg(pos, optional)] Vec<N>),
    /// Shows what these members' disks hold.
    Disk(Vec<N>),
}

type Outcome = Result<String, Box<dyn Error>>;

impl Runner for Cluster {
    type Command = Command;

    fn run(&mut self, command: &Command, context: &Context) -> Outcome {
        self.quiet = matches!(command, Command::Time(..) | Command::Settle) && !context.tags.contains("all");
        match command {
            Command::Voters(voters) => self.found(&ids(voters)),
            Command::Newcomer(N(id)) => self.newcomer(*id),
            Command::Time(Span(span), of) => self.time(*span, &ids(of))?,
            Command::Tick(N(id)) => self.tick(*id),
            Command::Campaign(N(id)) => self.campaign(*id)?,
            Command::Settle => self.settle()?,
            Command::Hang(N(id)) => self.member(*id).hangs = true,
            Command::Sync(N(id)) => {
                self.member(*id).hangs = false;
                self.sync(*id);
            }
            Command::Deliver(N(to), from) => self.deliver(*to, from.map(|from| from.0)),
            Command::Lose(N(to), from) => drop(self.take(*to, from.map(|from| from.0))),
            Command::Cut(N(id), others) => self.cut(*id, &ids(others)),
            Command::Heal => self.cut.clear(),
            Command::Forge { kind, from, to, fields } => {
                let message = show::forged(kind, from.0, to.0, fields)?;
                self.input(to.0, Input::Message(Box::new(message)));
            }
            Command::Crash(N(id)) => self.crash(*id),
            Command::Restart(N(id)) => self.start(*id)?,
            Command::Damage { member, from, hole } => {
                let gone = |index: u64| from.is_some_and(|from| index >= from) || *hole == Some(index);
                self.member(member.0).disk.entries.retain(|entry| !gone(entry.index.0));
            }
            Command::Tenures { lasts, grace } => self.keep_tenures(lasts.0, grace.0),
            Command::Know { member, may_lead, key, round, failed } => {
                let known = &mut self.member(member.0).known;
                known.may_lead = may_lead.unwrap_or(known.may_lead);
                known.key_ready = key.unwrap_or(known.key_ready);
                known.in_round = round.unwrap_or(known.in_round);
                known.failed_attempts = failed.unwrap_or(known.failed_attempts);
                self.keep(member.0);
            }
            Command::Status(of) => self.status(&ids(of)),
            Command::Disk(of) => self.disks(&ids(of)),
            asked => self.ask(asked)?,
        }
        Ok(self.said.split_off(0))
    }
}

impl Cluster {
    /// The commands that are one input to one member.
    fn ask(&mut self, command: &Command) -> Result<(), Box<dyn Error>> {
        let (id, input) = match command {
            Command::Propose(N(id), texts) => {
                let proposal =
                    |text: &String| Proposal { request: self.number(), data: text.as_bytes().into() };
                (id, Input::Propose(texts.iter().map(proposal).collect()))
            }
            Command::Read(N(id)) => (id, Input::Read { request: self.number() }),
            Command::Change(N(id), steps) => {
                let step = |(step, N(member)): &(String, N)| match step.as_str() {
                    "voter" => Ok(MembershipStep::AddVoter(*member)),
                    "learner" => Ok(MembershipStep::AddLearner(*member)),
                    "remove" => Ok(MembershipStep::Remove(*member)),
                    other => Err(format!("{other} is no step; say voter, learner or remove")),
                };
                let steps = steps.iter().map(step).collect::<Result<_, _>>()?;
                (id, Input::Change(MembershipChange { steps }))
            }
            Command::Transfer(N(id), N(to)) => (id, Input::Transfer { to: *to }),
            Command::Abort(N(id)) => (id, Input::AbortTransfer),
            Command::StepDown(N(id)) => (id, Input::StepDown),
            Command::Abstain(N(id)) => (id, Input::Abstain),
            Command::Compact(N(id), index) => {
                let member = self.member(*id);
                let applied = member.machine.as_ref().ok_or("it does not run")?.applied_meta();
                let meta = SnapshotMeta { index: index.map_or(applied.index, Index), ..applied };
                (id, Input::Compact { meta, data: member.state().into_bytes().into() })
            }
            Command::Measure { of: N(id), to, rtt, lost_percent } => {
                let link = Link { member: to.0, rtt: rtt.0, sent: 100, lost: *lost_percent, slow: false };
                (id, Input::Measured(vec![link]))
            }
            _ => return Err("this command is no input".into()),
        };
        self.input(*id, input);
        Ok(())
    }
}

fn ids(members: &[N]) -> Vec<MemberId> {
    members.iter().map(|member| member.0).collect()
}

#[test]
fn scripts() {
    let scripts = std::fs::read_dir("tests/scripts").unwrap().map(|script| script.unwrap().path());
    let run = |path: PathBuf| {
        let outcome = goldenscript::run(&mut Cluster::default(), &path);
        outcome.err().map(|error| format!("{}: {error}", path.display()))
    };
    let broken: Vec<_> = scripts.filter_map(run).collect();
    assert!(broken.is_empty(), "{broken:#?}");
}
