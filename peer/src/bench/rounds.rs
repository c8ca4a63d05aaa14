//! `rafty bench rounds`: how long a round takes and how much memory it needs, for a model of any size.

use super::absences::{Absences, AbsencesArgs};
use super::plot::{Curve, Panel, draw};
use super::spread::quantile;
use super::{Usage, folder, print};
use crate::local::{AgentRuns, Interrupt, LocalSet, Plan, hear};
use crate::narration::Line;
use rafty_agent::{Failure, output, status};
use rafty_learning::{MAX_PARAMS, Task};
use rafty_node::Event;
use rafty_runtime::operator::{Reply, Request, call};
use rafty_types::{MemberId, Round};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// Classes of the model; it has one linear layer.
const CLASSES: usize = 10;
/// The share of participants that a round needs, by the usual settings.
const QUORUM_PERCENT: usize = 60;
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
    #[command(flatten)]
    absences: AbsencesArgs,
    /// Draw the rounds and the members' memory into this file
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

/// What came out.
#[derive(Clone, Debug, Default, Serialize)]
struct Measured {
    agents: usize,
    params: usize,
    rounds: u32,
    /// The median round, from its opening to its publication, in seconds.
    rounds_s: f64,
    rounds_s_all: Vec<f64>,
    /// Which agents were absent on purpose, how often one was, and how many in each round that was published.
    #[serde(flatten)]
    absences: AbsencesArgs,
    absent: u32,
    absent_per_round: Vec<u32>,
    /// How many rounds had updates of most agents, as many as a quorum takes; and the longest from there to publication.
    rounds_with_quorum: u32,
    after_quorum_s_max: f64,
    /// The most memory an aggregator ever had.
    aggregator_peak_mb: Option<f64>,
    /// The same above what it had before the first round.
    aggregator_above_idle_mb: Option<f64>,
    /// The most memory an agent ever had that was never aggregator.
    agent_peak_mb: Option<f64>,
    #[serde(flatten)]
    usage: Usage,
    /// Memory of each member over time: seconds since the start, and MB.
    memory_mb: Vec<Memory>,
}

/// Memory of one member over time.
#[derive(Clone, Debug, Default, Serialize)]
struct Memory {
    name: String,
    at_s: Vec<f64>,
    mb: Vec<f64>,
}

pub(crate) fn run(args: &RoundsArgs, json: bool) -> Result<(), Failure> {
    let task = task(args)?;
    let interrupt = Interrupt::listen()?;
    let base = folder()?;
    // A trainer of this benchmark reads no data; `join` wants a folder to be there.
    let data: Vec<PathBuf> = vec![base.path().to_path_buf(); args.agents];
    let voters = args.absences.voters();
    let plan =
        Plan { data: &data, run_agents_by: AgentRuns::Noise, voters, ..Plan::of_peers(base.path(), 1) };
    let usage = Usage::begin(base.path())?;
    output::note(format_args!("starts {} processes", args.agents + 1));
    let mut set = LocalSet::start(&plan, &interrupt)?;
    let (usage, idle) = (usage.since_now(&set), memory(&set, "VmRSS"));
    let watched = watch(&mut set, &task, args, &interrupt)?;
    let usage = usage.end(&set);
    let measured = Measured {
        usage,
        absences: args.absences.clone(),
        ..sum_up(&set, watched, &idle, args.agents, task.num_params())
    };
    if let Some(path) = &args.plot {
        picture(path, &measured)?;
    }
    print(&measured, json)
}

/// How many of so many participants a round needs.
fn quorum(agents: usize) -> usize {
    (agents * QUORUM_PERCENT).div_ceil(100)
}

/// What each member has of this kind of memory, in MB.
fn memory(set: &LocalSet, kind: &str) -> Vec<f64> {
    set.members.iter().map(|member| member.process.memory_mb(kind).unwrap_or_default()).collect()
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
    opened_us: BTreeMap<Round, u64>,
    /// Whose updates the open round's attempt has accepted.
    accepted: BTreeSet<MemberId>,
    quorum_us: Option<u64>,
    /// From the quorum of each round that had one to its publication.
    after_quorum_s: Vec<f64>,
    absent_per_round: Vec<u32>,
    seconds: Vec<f64>,
    aggregators: BTreeSet<MemberId>,
    memory: Vec<Memory>,
}

fn watch(
    set: &mut LocalSet,
    task: &Task,
    args: &RoundsArgs,
    interrupt: &Interrupt,
) -> Result<Watched, Failure> {
    let (sink, heard) = channel();
    // Every member applies the same log; one of them tells it all.
    hear(set.members[0].dir.clone(), sink);
    let rounds = args.rounds;
    let request = Request::RunStart { name: "bench".into(), task: task.to_toml(), rounds, seed: 1 };
    if let other @ (Reply::Error { .. } | Reply::Status(_)) = call(&set.members[0].dir, &request, PATIENCE)? {
        return Err(status::unexpected(&other));
    }
    let names = set.members.iter().map(|member| Memory { name: member.name.clone(), ..Memory::default() });
    let mut watched = Watched { memory: names.collect(), ..Watched::default() };
    let mut absences = Absences::new(&args.absences);
    let (began, mut looked) = (Instant::now(), None::<Instant>);
    let mut until = Instant::now() + ROUND_WITHIN;
    while watched.seconds.len() < rounds as usize {
        interrupt.check()?;
        if looked.is_none_or(|looked| looked.elapsed() >= LOOK_EVERY) {
            looked = Some(Instant::now());
            watched.look(memory(set, "VmRSS"), began.elapsed());
        }
        absences.act(set, watched.accepted.len())?;
        let Ok(line) = heard.recv_timeout(absences.idle(LOOK_EVERY)) else {
            if Instant::now() > until {
                return Err(Failure::failed(format!("a round took longer than {ROUND_WITHIN:?}")));
            }
            continue;
        };
        match &line.event {
            Event::RoundOpened { round, .. } if !watched.opened_us.contains_key(round) => {
                absences.round_opened(watched.usual(), quorum(args.agents));
            }
            Event::RoundPublished { .. } => {
                absences.round_published(set);
                until = Instant::now() + ROUND_WITHIN;
            }
            _ => {}
        }
        watched.hear(&line, args.agents);
    }
    watched.absent_per_round = absences.per_round;
    watched.absent_per_round.truncate(watched.seconds.len());
    Ok(watched)
}

impl Watched {
    /// A member tells of a round among so many agents.
    fn hear(&mut self, line: &Line, agents: usize) {
        let at_us = line.at_us;
        match &line.event {
            Event::RoundOpened { round, .. } => {
                self.opened_us.entry(*round).or_insert(at_us);
                (self.accepted, self.quorum_us) = (BTreeSet::new(), None);
            }
            Event::RoundFailed { .. } | Event::TenureBegan { .. } => {
                (self.accepted, self.quorum_us) = (BTreeSet::new(), None);
            }
            Event::UpdateAccepted { participant, .. } => {
                self.accepted.insert(*participant);
                if self.accepted.len() >= quorum(agents) {
                    self.quorum_us = self.quorum_us.or(Some(at_us));
                }
            }
            Event::RoundPublished { round, .. } => {
                let opened_us = self.opened_us.get(&round.round).copied().unwrap_or(at_us);
                let seconds = |since_us: u64| at_us.saturating_sub(since_us) as f64 / 1e6;
                self.seconds.push(seconds(opened_us));
                self.after_quorum_s.extend(self.quorum_us.take().map(seconds));
                self.aggregators.insert(round.aggregator);
                output::note(format_args!("round {}: {:.2} s", round.round, seconds(opened_us)));
            }
            _ => {}
        }
    }

    /// How long a round takes, if one was seen.
    fn usual(&self) -> Option<Duration> {
        (!self.seconds.is_empty()).then(|| Duration::from_secs_f64(quantile(&self.seconds, 0.5)))
    }

    fn look(&mut self, mb: Vec<f64>, at: Duration) {
        for (memory, mb) in self.memory.iter_mut().zip(mb) {
            memory.at_s.push(at.as_secs_f64());
            memory.mb.push(mb);
        }
    }
}

fn sum_up(set: &LocalSet, watched: Watched, idle: &[f64], agents: usize, params: usize) -> Measured {
    let peaks: Vec<_> = set
        .members
        .iter()
        .zip(memory(set, "VmHWM").into_iter().zip(idle))
        .map(|(member, (peak, idle))| (watched.aggregators.contains(&member.id), peak, peak - idle))
        .collect();
    let most = |aggregates: bool, of: fn(&(bool, f64, f64)) -> f64| {
        peaks.iter().filter(|peak| peak.0 == aggregates).map(of).reduce(f64::max)
    };
    let rounds = u32::try_from(watched.seconds.len()).unwrap_or(u32::MAX);
    Measured {
        agents,
        params,
        rounds,
        rounds_s: quantile(&watched.seconds, 0.5),
        absent: watched.absent_per_round.iter().sum(),
        absent_per_round: watched.absent_per_round,
        rounds_with_quorum: u32::try_from(watched.after_quorum_s.len()).unwrap_or(u32::MAX),
        after_quorum_s_max: watched.after_quorum_s.iter().copied().fold(0.0, f64::max),
        aggregator_peak_mb: most(true, |peak| peak.1),
        aggregator_above_idle_mb: most(true, |peak| peak.2),
        agent_peak_mb: most(false, |peak| peak.1),
        rounds_s_all: watched.seconds,
        memory_mb: watched.memory,
        ..Measured::default()
    }
}

fn picture(path: &Path, measured: &Measured) -> Result<(), Failure> {
    let rounds = measured.rounds_s_all.iter().zip(1..).map(|(seconds, round)| (f64::from(round), *seconds));
    let curve = |memory: &Memory| {
        Curve::new(memory.name.clone(), memory.at_s.iter().copied().zip(memory.mb.iter().copied()))
    };
    let panels = [
        Panel { x: "round", y: "seconds", lines: vec![Curve::new("rounds", rounds)] },
        Panel { x: "seconds", y: "MB of memory", lines: measured.memory_mb.iter().map(curve).collect() },
    ];
    draw(path, &format!("{measured:#}"), &panels)
}

impl std::fmt::Display for Measured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} agents, {} weights, {} rounds", self.agents, self.params, self.rounds)?;
        if f.alternate() {
            return Ok(());
        }
        writeln!(f, "\nmedian round        {:.3} s", self.rounds_s)?;
        if self.absent > 0 {
            let Self { absent, rounds_with_quorum, after_quorum_s_max, .. } = self;
            let rounds = self.absent_per_round.iter().filter(|absent| **absent > 0).count();
            writeln!(
                f,
                "absences            {absent} agents killed or stopped, in {rounds} rounds (--absence-seed {})",
                self.absences.absence_seed
            )?;
            writeln!(
                f,
                "longest from quorum {after_quorum_s_max:.3} s, of {rounds_with_quorum} rounds that had one"
            )?;
        }
        let [peak, above] =
            [self.aggregator_peak_mb, self.aggregator_above_idle_mb].map(Option::unwrap_or_default);
        writeln!(f, "aggregator's peak   {peak} MB, {above:.1} MB above idle")?;
        writeln!(f, "other agent's peak  {} MB", self.agent_peak_mb.unwrap_or_default())?;
        write!(f, "{}", self.usage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(agents: usize, params: usize) -> RoundsArgs {
        RoundsArgs { agents, params, rounds: 1, absences: AbsencesArgs::default(), plot: None }
    }

    #[test]
    fn the_task_has_about_the_size_that_was_asked_for() {
        for params in [20, 1_000, 100_000, 655_370, 1_000_000, 10_000_000] {
            let found = task(&args(8, params)).unwrap().num_params();
            let near = found.abs_diff(params) <= 70_000.max(params / 10);
            assert!(near, "{found} for {params}");
        }
        assert!(task(&args(0, 1_000)).is_err());
        assert!(task(&args(8, 5)).is_err());
        assert!(task(&args(8, usize::MAX)).is_err());
    }
}
