//! `rafty demo`: all of it on one machine, for anyone to see.
//!
//! Peers and agents run as processes of their own, join by tokens, and train a network on digits that stay with each
//! agent; half-way the aggregator is killed. This file is the order of events: [`data`] deals the digits,
//! [`story`] understands what is heard, [`kill`] says when to kill, [`score`] measures, [`view`] shows, [`report`]
//! sums up. It knows members only by their processes and their operator's sockets.

mod data;
mod kill;
mod report;
mod score;
mod stage;
mod story;
mod view;

use crate::local::{Interrupt, LocalSet, Plan};
use rafty_agent::{Failure, output};
use rafty_learning::Task;
use stage::Stage;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tempfile::TempDir;
use view::Show;

/// How long one aggregator acts, in seconds; short, so that even on a fast machine at least four take their turn.
const TENURE_S: u64 = 4;
/// How much longer, until its round ends.
const GRACE: &str = "3s";
/// How often the current version is announced.
const ANNOUNCE: &str = "2s";
/// The engine's members, as the settings have it by default.
const MAX_MEMBERS: usize = 15;
/// Fewer members cannot lose one and go on.
const FEWEST_FOR_A_KILL: usize = 3;

/// What kind of demo.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// How many peers, which do not train
    #[arg(long, value_name = "N", default_value_t = 3)]
    peers: usize,
    /// How many agents, which train
    #[arg(long, value_name = "N", default_value_t = 5)]
    agents: usize,
    /// How many rounds
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rounds: u32,
    /// How alike the agents' data is: small is unlike, large is alike
    #[arg(long, default_value_t = 0.5)]
    alpha: f64,
    /// Decides who gets which images and version 0 of the model
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The network
    #[arg(long, value_enum, default_value = "cnn")]
    model: Model,
    /// Spare the aggregator
    #[arg(long)]
    no_kill: bool,
    /// Keep every directory, log and the model here; by default only the model is kept
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Start agents by this program
    #[arg(long, value_name = "PATH", hide = true)]
    agent_program: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Model {
    Mlp,
    Cnn,
}

/// Runs the demo and prints its result on stdout.
pub(crate) fn run(args: &DemoArgs, json: bool) -> Result<(), Failure> {
    check(args)?;
    let started = Instant::now();
    let interrupt = Interrupt::listen()?;
    let base = Base::make(args.keep.as_deref())?;
    let mut show = Show::start(started, args.rounds);
    let played = play(args, &base, started, &interrupt, &mut show);
    drop(show);
    let report = played.map_err(|failure| base.explain(failure))?;
    if json {
        output::json(serde_json::to_string(&report).expect("a report always encodes"))?;
    } else {
        output::lines(report.to_string().lines())?;
    }
    Ok(())
}

fn play(
    args: &DemoArgs,
    base: &Base,
    started: Instant,
    interrupt: &Interrupt,
    show: &mut Show,
) -> Result<report::Report, Failure> {
    let task = match args.model {
        Model::Mlp => Task::digits_mlp(),
        Model::Cnn => Task::digits_cnn(),
    };
    let shares = data::deal(base.path(), &task, args.agents, args.alpha, args.seed)?;
    show.say(&format!("shares of the agents: {:?} images; {} are held out", shares.sizes, data::HELD_OUT));
    let tenure = format!("{TENURE_S}s");
    let plan = Plan {
        data: &shares.folders,
        settings: &["--tenure", &tenure, "--grace", GRACE, "--announce", ANNOUNCE],
        agent_program: args.agent_program.as_deref(),
        ..Plan::of_peers(base.path(), args.peers)
    };
    show.say("makes keys and lets everybody join by token");
    let set = LocalSet::start(&plan, interrupt)?;
    show.say(&format!("{} members are up, each a process of its own", set.members.len()));
    let mut stage = Stage::new(set, shares.held_out, args.rounds, !args.no_kill);
    stage.begin(&task, args.seed)?;
    stage.play(interrupt, show)?;
    report::write(&mut stage, &task, args.keep.as_deref(), started)
}

fn check(args: &DemoArgs) -> Result<(), Failure> {
    let usage =
        |why: String| Err(Failure::usage(format!("{why}; nothing was started; see rafty demo --help")));
    let members = args.peers.saturating_add(args.agents);
    if args.peers == 0 || args.agents == 0 || members > MAX_MEMBERS {
        return usage(format!(
            "at least one peer and one agent are needed, and at most {MAX_MEMBERS} together"
        ));
    }
    if !(args.alpha > 0.0 && args.alpha.is_finite()) {
        return usage("--alpha must be a number above 0".into());
    }
    if !args.no_kill && members < FEWEST_FOR_A_KILL {
        return usage(format!(
            "with fewer than {FEWEST_FOR_A_KILL} members none can be killed: add --no-kill"
        ));
    }
    match &args.agent_program {
        Some(program) if !program.is_file() => usage(format!("{} is not a program", program.display())),
        _ => Ok(()),
    }
}

/// Where everything is: a directory to keep, or one that goes when the demo ends.
enum Base {
    Kept(PathBuf),
    Passing(TempDir),
}

impl Base {
    fn make(keep: Option<&Path>) -> Result<Self, Failure> {
        let failed = |place: &Path, why: &dyn std::fmt::Display| {
            Failure::failed(format!(
                "cannot use {}: {why}; nothing was started; choose another --keep",
                place.display()
            ))
        };
        let Some(keep) = keep else {
            let made = tempfile::Builder::new().prefix("rafty-").tempdir();
            return Ok(Self::Passing(made.map_err(|error| failed(&std::env::temp_dir(), &error))?));
        };
        let keep = std::path::absolute(keep).map_err(|error| failed(keep, &error))?;
        std::fs::create_dir_all(&keep).map_err(|error| failed(&keep, &error))?;
        let mut entries = std::fs::read_dir(&keep).map_err(|error| failed(&keep, &error))?;
        if entries.next().is_some() {
            return Err(failed(&keep, &"it is not empty"));
        }
        Ok(Self::Kept(keep))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Passing(dir) => dir.path(),
        }
    }

    /// A demo that did not work leaves its logs; one that was interrupted leaves nothing.
    fn explain(self, failure: Failure) -> Failure {
        match self {
            Self::Passing(dir) if failure.code == rafty_agent::failure::FAILED => {
                let kept = dir.keep();
                Failure::new(failure.code, format!("{failure}; everything is kept in {}", kept.display()))
            }
            _ => failure,
        }
    }
}
