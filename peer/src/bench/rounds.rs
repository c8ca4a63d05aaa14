//! `rafty bench rounds`: how long a round takes and how much memory it needs, for a model of any size.

use crate::local::{AgentRuns, Interrupt, LocalSet, Plan, hear};
use rafty_agent::{Failure, status};
use rafty_learning::{MAX_PARAMS, Task};
use rafty_node::Event;
use rafty_runtime::operator::{Reply, Request, call};
use rafty_types::{MemberId, Round};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// Classes of the model; it has one linear layer.
const CLASSES: usize = 10;
/// How long one round may take.
const ROUND_WITHIN: Duration = Duration::from_secs(300);
/// How often is looked whether somebody wants an end.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long an answer of a local member is waited for.
const PATIENCE: Duration = Duration::from_secs(15);

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RoundsArgs {
    /// How many agents take part, each a process; the aggregator is one more
    #[arg(long, value_name = "N", default_value_t = 8)]
    agents: usize,
    /// How many weights the model has, about
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    params: usize,
    /// How many rounds
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
}

/// What came out.
#[derive(Clone, Debug, Serialize)]
struct Measured {
    agents: usize,
    params: usize,
    rounds: u32,
    /// The median round, from its opening to its publication, in seconds.
    rounds_s: f64,
    rounds_s_all: Vec<f64>,
    /// The most memory an aggregator ever had.
    aggregator_peak_mb: Option<f64>,
    /// The most memory an agent ever had that was never aggregator.
    agent_peak_mb: Option<f64>,
}

pub(crate) fn run(args: &RoundsArgs, json: bool) -> Result<(), Failure> {
    let task = task(args)?;
    let interrupt = Interrupt::listen()?;
    let base = super::folder()?;
    // A trainer of this benchmark reads no data; `join` wants a folder to be there.
    let data: Vec<PathBuf> = vec![base.path().to_path_buf(); args.agents];
    let plan = Plan {
        base: base.path(),
        peers: 1,
        data: &data,
        settings: &[],
        agent_program: None,
        run_agents_by: AgentRuns::Noise,
    };
    eprintln!("starts {} processes", args.agents + 1);
    let set = LocalSet::start(&plan, &interrupt)?;
    let watched = watch(&set, &task, args.rounds, &interrupt)?;
    let measured = sum_up(&set, watched, args.agents, task.num_params());
    super::print(&measured, json);
    Ok(())
}

/// A real task of about this size.
fn task(args: &RoundsArgs) -> Result<Task, Failure> {
    let usage = |why: String| Failure::usage(format!("{why}; nothing was started"));
    if !(1..=14).contains(&args.agents) {
        return Err(usage("--agents must be 1 to 14".into()));
    }
    let features = (args.params / CLASSES).saturating_sub(1);
    if features == 0 || args.params > MAX_PARAMS {
        return Err(usage(format!("--params must be {} to {MAX_PARAMS}", 2 * CLASSES)));
    }
    // An input has at most so many numbers: above that a hidden layer carries the weights.
    const WIDEST: usize = 65_536;
    let layers = if features <= WIDEST {
        "[{ linear = { out = 10 } }]".to_string()
    } else {
        let hidden = (args.params - CLASSES).div_ceil(WIDEST + 1 + CLASSES);
        format!("[{{ linear = {{ out = {hidden} }} }}, {{ linear = {{ out = 10 }} }}]")
    };
    let text = format!(
        "name = \"bench\"\ninput = [{}]\nclasses = {CLASSES}\nbatch_size = 1\nloss = \"cross_entropy\"\n\
         layers = {layers}\noptimiser = {{ sgd = {{ lr = 0.1 }} }}\ndata = {{ format = \"csv\", label_column = 0 }}\n",
        features.min(WIDEST)
    );
    Ok(Task::from_toml(&text)?)
}

/// Times of rounds, and who was aggregator.
#[derive(Default)]
struct Watched {
    opened_ms: BTreeMap<Round, u64>,
    seconds: Vec<f64>,
    aggregators: BTreeSet<MemberId>,
}

fn watch(set: &LocalSet, task: &Task, rounds: u32, interrupt: &Interrupt) -> Result<Watched, Failure> {
    let (sink, heard) = channel();
    // Every member applies the same log; one of them tells it all.
    hear(set.members[0].dir.clone(), sink);
    let request = Request::RunStart { name: "bench".into(), task: task.to_toml(), rounds, seed: 1 };
    if let other @ (Reply::Error { .. } | Reply::Status(_)) = call(&set.members[0].dir, &request, PATIENCE)? {
        return Err(status::unexpected(&other));
    }
    let mut watched = Watched::default();
    let mut until = Instant::now() + ROUND_WITHIN;
    while watched.seconds.len() < rounds as usize {
        interrupt.check()?;
        let Ok(line) = heard.recv_timeout(LOOK_EVERY) else {
            if Instant::now() > until {
                return Err(Failure::failed(format!("a round took longer than {ROUND_WITHIN:?}")));
            }
            continue;
        };
        match line.event {
            Event::RoundOpened { round, .. } => {
                watched.opened_ms.entry(round).or_insert(line.at_ms);
            }
            Event::RoundPublished { round, .. } => {
                let opened = watched.opened_ms.get(&round.round).copied().unwrap_or(line.at_ms);
                watched.seconds.push(line.at_ms.saturating_sub(opened) as f64 / 1e3);
                watched.aggregators.insert(round.aggregator);
                until = Instant::now() + ROUND_WITHIN;
                eprintln!(
                    "round {}: {:.2} s",
                    round.round,
                    watched.seconds.last().copied().unwrap_or_default()
                );
            }
            _ => {}
        }
    }
    Ok(watched)
}

fn sum_up(set: &LocalSet, watched: Watched, agents: usize, params: usize) -> Measured {
    let peak = |aggregates: bool| {
        let some = set.members.iter().filter(|member| watched.aggregators.contains(&member.id) == aggregates);
        some.filter_map(|member| member.process.memory_mb("VmHWM")).reduce(f64::max)
    };
    let rounds = u32::try_from(watched.seconds.len()).unwrap_or(u32::MAX);
    Measured {
        agents,
        params,
        rounds,
        rounds_s: median(&watched.seconds),
        aggregator_peak_mb: peak(true),
        agent_peak_mb: peak(false),
        rounds_s_all: watched.seconds,
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => 0.0,
        (len, half) if len % 2 == 1 => sorted[half],
        (_, half) => f64::midpoint(sorted[half - 1], sorted[half]),
    }
}

impl std::fmt::Display for Measured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{} agents, {} weights, {} rounds", self.agents, self.params, self.rounds)?;
        writeln!(f, "median round       {:.2} s", self.rounds_s)?;
        writeln!(f, "aggregator's peak  {} MB", self.aggregator_peak_mb.unwrap_or_default())?;
        write!(f, "other agent's peak {} MB", self.agent_peak_mb.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_task_has_about_the_size_that_was_asked_for() {
        for params in [20, 1_000, 100_000, 655_370, 1_000_000, 10_000_000] {
            let found = task(&RoundsArgs { agents: 8, params, rounds: 1 }).unwrap().num_params();
            let near = found.abs_diff(params) <= 70_000.max(params / 10);
            assert!(near, "{found} for {params}");
        }
        assert!(task(&RoundsArgs { agents: 0, params: 1_000, rounds: 1 }).is_err());
        assert!(task(&RoundsArgs { agents: 8, params: 5, rounds: 1 }).is_err());
        assert!(task(&RoundsArgs { agents: 8, params: usize::MAX, rounds: 1 }).is_err());
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&[]), 0.0);
    }
}
