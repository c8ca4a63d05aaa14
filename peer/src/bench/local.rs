//! `rafty bench local`: how many writes or reads a peer set on this machine answers, and how soon.
//!
//! Members are processes that sync what they acknowledge; clients are threads of this process, each with one request
//! under way. The five figures of the dictionary that rafty grew from, and percentiles beside them.

use super::load::{Load, Pace, drive};
use super::plot::{Curve, Panel, draw};
use super::samples::{Sample, Sampler};
use super::spread::{mean, quantile_sorted, sorted, standard_deviation};
use super::{Usage, folder, print};
use crate::local::{AgentRuns, Interrupt, LocalSet, Plan};
use rafty_agent::{Failure, status};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long an answer of a local member is waited for.
const PATIENCE: Duration = Duration::from_secs(15);
/// Points of the curve of percentiles.
const PERCENTILES: u32 = 1_000;

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct LocalArgs {
    /// How many members, each a process
    #[arg(long, value_name = "S", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=9))]
    servers: u8,
    /// How many clients, each with one request under way
    #[arg(long, value_name = "C", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=700))]
    clients: u16,
    /// How many requests, over all clients
    #[arg(long, value_name = "E", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    entries: u32,
    /// Bytes of each value
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    size: u32,
    /// Open a connection for each request, as the older clients do
    #[arg(long)]
    one_shot: bool,
    /// Read keys, linearizably, instead of writing them
    #[arg(long)]
    reads: bool,
    /// Draw the pace, the times, and the members' memory and disk into this file
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

/// What came out.
#[derive(Clone, Debug, Default, Serialize)]
struct Measured {
    servers: u8,
    clients: u16,
    entries: u32,
    size: u32,
    one_shot: bool,
    reads: bool,
    /// Mean over the clients of how long each was busy, in seconds, and its standard deviation.
    mean_s: f64,
    stdev_s: f64,
    /// Requests of all clients by the time from the first to the last.
    requests_per_s: f64,
    /// Mean time of one request, in milliseconds.
    mean_ms: f64,
    /// Bytes of all keys and values that were sent or read, in millions.
    total_mb: f64,
    p50_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
    /// Requests that had to be sent again because leadership changed.
    retries: u64,
    /// The most memory and disk that any member took while it ran, in MB.
    member_peak_mb: f64,
    member_disk_mb: f64,
    #[serde(flatten)]
    usage: Usage,
    /// Each second of it.
    samples: Vec<Sample>,
}

pub(crate) fn run(args: &LocalArgs, json: bool) -> Result<(), Failure> {
    let interrupt = Interrupt::listen()?;
    let base = folder()?;
    let plan = Plan {
        base: base.path(),
        peers: args.servers.into(),
        listen: None,
        data: &[],
        settings: &[],
        agent_program: None,
        run_agents_by: AgentRuns::Training,
    };
    let usage = Usage::begin(base.path())?;
    eprintln!("starts {} members", args.servers);
    let set = LocalSet::start(&plan, &interrupt)?;
    let members: Result<Vec<_>, Failure> = set
        .members
        .iter()
        .map(|member| Ok(status::fetch(&member.dir, PATIENCE)?.clients.to_string()))
        .collect();
    let load = Load {
        members: members?,
        token: None,
        clients: args.clients,
        requests: args.entries,
        size: args.size as usize,
        one_shot: args.one_shot,
        reads: args.reads,
    };
    let usage = usage.since_now(&set);
    let mut sampler = Sampler::begin(&set);
    let pace = drive(&load, &interrupt, &mut |done| sampler.look(done))?;
    let measured =
        Measured { usage: usage.end(&set), samples: sampler.end(args.entries), ..sum_up(args, &pace) };
    let most = |of: fn(&Sample) -> f64| measured.samples.iter().map(of).fold(0.0, f64::max);
    let measured = Measured {
        member_peak_mb: most(|sample| sample.memory_mb),
        member_disk_mb: most(|sample| sample.disk_mb),
        ..measured
    };
    if let Some(path) = &args.plot {
        picture(path, &measured, &times_ms(&pace))?;
    }
    print(&measured, json);
    Ok(())
}

fn times_ms(pace: &Pace) -> Vec<f64> {
    sorted(&pace.micros.iter().flatten().map(|micros| f64::from(*micros) / 1e3).collect::<Vec<_>>())
}

fn sum_up(args: &LocalArgs, pace: &Pace) -> Measured {
    let times = times_ms(pace);
    let busy: Vec<f64> = pace.busy.iter().map(Duration::as_secs_f64).collect();
    Measured {
        servers: args.servers,
        clients: args.clients,
        entries: args.entries,
        size: args.size,
        one_shot: args.one_shot,
        reads: args.reads,
        mean_s: mean(&busy),
        stdev_s: standard_deviation(&busy),
        requests_per_s: times.len() as f64 / pace.whole.as_secs_f64(),
        mean_ms: mean(&times),
        total_mb: pace.bytes as f64 / 1e6,
        p50_ms: quantile_sorted(&times, 0.5),
        p99_ms: quantile_sorted(&times, 0.99),
        p999_ms: quantile_sorted(&times, 0.999),
        retries: pace.retries,
        ..Measured::default()
    }
}

fn picture(path: &Path, measured: &Measured, times: &[f64]) -> Result<(), Failure> {
    let over_time = |y, of: fn(&Sample) -> f64| Panel {
        x: "seconds",
        y,
        lines: vec![Curve::new(y, measured.samples.iter().map(|sample| (sample.at_s, of(sample))))],
    };
    let percentiles = (0..=PERCENTILES).map(|point| f64::from(point) / f64::from(PERCENTILES));
    let curve = Curve::new("", percentiles.map(|share| (share * 100.0, quantile_sorted(times, share))));
    let panels = [
        over_time("requests/s", |sample| sample.requests_per_s),
        Panel { x: "percentile", y: "ms until answered", lines: vec![curve] },
        over_time("MB of memory, largest member", |sample| sample.memory_mb),
        over_time("MB on disk, largest member", |sample| sample.disk_mb),
    ];
    draw(path, &format!("{measured:#}"), &panels)
}

impl std::fmt::Display for Measured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = if self.reads { "linearizable reads" } else { "writes" };
        let how = if self.one_shot { "a connection each" } else { "kept connections" };
        let Self { servers, clients, entries, size, .. } = self;
        write!(f, "{entries} {what} of {size} bytes by {clients} clients at {servers} members, {how}")?;
        if f.alternate() {
            return Ok(());
        }
        writeln!(f, "\nmean over clients   {:.3} s, standard deviation {:.3} s", self.mean_s, self.stdev_s)?;
        writeln!(f, "requests            {:.0} /s", self.requests_per_s)?;
        writeln!(f, "mean of a request   {:.3} ms", self.mean_ms)?;
        let [p50, p99, p999] = [self.p50_ms, self.p99_ms, self.p999_ms];
        writeln!(f, "percentiles         50: {p50:.2}, 99: {p99:.2}, 99.9: {p999:.2} ms")?;
        writeln!(f, "items               {:.1} MB, sent again {}", self.total_mb, self.retries)?;
        let [memory, disk] = [self.member_peak_mb, self.member_disk_mb];
        writeln!(f, "largest member      {memory:.1} MB of memory, {disk:.1} MB on disk")?;
        write!(f, "{}", self.usage)
    }
}
