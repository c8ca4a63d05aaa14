//! `rafty run`: starts, stops and explains runs.

use super::{ask, do_it};
use rafty_agent::status::unexpected;
use rafty_agent::{Failure, output};
use rafty_learning::Task;
use rafty_node::RoundLine;
use rafty_runtime::operator::{Reply, Request, RunLog};
use rafty_types::RunId;
use serde_json::json;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Longest task file that is looked at; the task itself may have 64 KiB.
const MAX_TASK_FILE: u64 = 1 << 20;

/// What to do with runs.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum RunCommand {
    /// Start a run of a task
    Start {
        /// The task, as `rafty task new` wrote it
        task: PathBuf,
        /// How many rounds
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
        /// Version 0 of the model is derived from it
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// A name for the run; the task's unless given
        #[arg(long)]
        name: Option<String>,
    },
    /// End the active run before its last round
    Stop,
    /// Show every round: who counted, who was refused and why
    Log {
        /// Which run; the newest unless given
        run: Option<u64>,
    },
}

pub(crate) fn run(dir: &Path, command: RunCommand, json: bool) -> Result<(), Failure> {
    match command {
        RunCommand::Start { task, rounds, seed, name } => start(dir, &task, rounds, seed, name, json),
        RunCommand::Stop => do_it(dir, &Request::RunStop, "the run is stopped", json),
        RunCommand::Log { run } => log(dir, run.map(RunId), json),
    }
}

fn start(
    dir: &Path,
    file: &Path,
    rounds: u32,
    seed: u64,
    name: Option<String>,
    json: bool,
) -> Result<(), Failure> {
    let text = read(file)?;
    // Checked here too: a mistake is better told by the program that has the file.
    let task = Task::from_toml(&text)?;
    let name = name.unwrap_or(task.name);
    match ask(dir, &Request::RunStart { name: name.clone(), task: text, rounds, seed })? {
        Reply::Done { index } if json => {
            output::json(json!({ "run": index, "name": name, "rounds": rounds }))?
        }
        Reply::Done { index } => {
            output::note(format_args!(
                "run {} `{name}` of {rounds} rounds has started",
                index.unwrap_or_default()
            ));
            output::note("watch it with: rafty status, rafty run log");
        }
        other => return Err(unexpected(&other)),
    }
    Ok(())
}

fn read(file: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    std::fs::File::open(file).and_then(|open| open.take(MAX_TASK_FILE).read_to_string(&mut text)).map_err(
        |error| {
            let hint = "nothing was changed; make a task with `rafty task new --from DATA`";
            Failure::usage(format!("cannot read the task {}: {error}; {hint}", file.display()))
        },
    )?;
    Ok(text)
}

fn log(dir: &Path, run: Option<RunId>, json: bool) -> Result<(), Failure> {
    let log = match ask(dir, &Request::RunLog { run })? {
        Reply::RunLog(log) => log,
        other => return Err(unexpected(&other)),
    };
    if json {
        output::json(serde_json::to_string_pretty(&log).expect("a log always encodes"))?;
    } else {
        output::lines(describe(&log))?;
    }
    Ok(())
}

fn describe(log: &RunLog) -> Vec<String> {
    let mut lines = vec![format!("run {} `{}` is {}", log.run, log.name, log.status)];
    lines.extend(log.rounds.iter().flat_map(round));
    lines.extend(log.resting.iter().map(ToString::to_string));
    lines.extend(log.given_up.iter().map(ToString::to_string));
    lines
}

fn round(line: &RoundLine) -> Vec<String> {
    let who = |(member, _, examples): &(rafty_types::MemberId, rafty_types::Digest, u64)| {
        format!("member {member} ({examples})")
    };
    let counted: Vec<String> = line.counted.iter().map(who).collect();
    let refused: Vec<String> =
        line.refused.iter().map(|(member, why)| format!("member {member}: {why}")).collect();
    let metrics = &line.metrics;
    let base = match metrics.examples {
        0 => "the base was not measured".into(),
        examples => format!(
            "the base had {:.1} % of {examples} held-out examples right, loss {:.3}",
            metrics.correct as f64 * 100.0 / examples as f64,
            metrics.loss_micros as f64 / 1e6
        ),
    };
    let made = format!(
        "round {} made version {} ({}) in {:.1} s and {} attempt(s), aggregator member {} in tenure {}",
        line.round,
        line.version,
        line.model.short(),
        line.duration_ms as f64 / 1e3,
        line.attempts,
        line.aggregator,
        line.tenure,
    );
    let loss = metrics.train_loss_micros as f64 / 1e6;
    let mut lines = vec![
        made,
        format!("  counted: {}", counted.join(", ")),
        format!("  {base}; training loss {loss:.3}"),
    ];
    if !refused.is_empty() {
        lines.push(format!("  refused: {}", refused.join(", ")));
    }
    if !line.resting.is_empty() {
        let resting = line.resting.iter().map(|(member, cause)| format!("member {member}: {cause}"));
        lines.push(format!("  rested: {}", resting.collect::<Vec<_>>().join(", ")));
    }
    lines
}
