//! `rafty bench local`: how many writes or reads a peer set on this machine answers, and how soon.
//!
//! Members are processes that sync what they acknowledge; clients are threads of this process, each with one request
//! under way. It begins when every member has made its tenure key. The five figures of the dictionary that rafty grew
//! from, and percentiles beside them.

use super::figures::{Figures, Seen};
use super::load::{Kind, Load, drive};
use super::plot::{Curve, Panel, draw};
use super::samples::{Sample, Sampler};
use super::spread::quantile_sorted;
use super::{Usage, folder, print};
use crate::local::{Interrupt, LocalSet, Plan};
use rafty_agent::{Failure, output, status};
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
    #[command(flatten)]
    kind: Kind,
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
    #[serde(flatten)]
    kind: Kind,
    #[serde(flatten)]
    figures: Figures,
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
    let plan = Plan::of_peers(base.path(), args.servers.into());
    let usage = Usage::begin(base.path())?;
    output::note(format_args!("starts {} members", args.servers));
    let set = LocalSet::start(&plan, &interrupt)?;
    set.wait_until_ready(&interrupt)?;
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
        kind: args.kind,
    };
    let usage = usage.since_now(&set);
    let mut sampler = Sampler::begin(&set);
    let seen = drive(&load, &interrupt, &mut |done| sampler.look(done))?;
    let measured = sum_up(args, &seen, usage.end(&set), sampler.end(args.entries));
    if let Some(path) = &args.plot {
        picture(path, &measured, &seen.times_ms)?;
    }
    print(&measured, json)
}

fn sum_up(args: &LocalArgs, seen: &Seen, usage: Usage, samples: Vec<Sample>) -> Measured {
    let most = |of: fn(&Sample) -> f64| samples.iter().map(of).fold(0.0, f64::max);
    Measured {
        servers: args.servers,
        clients: args.clients,
        entries: args.entries,
        kind: args.kind,
        figures: Figures::of(seen),
        member_peak_mb: most(|sample| sample.memory_mb),
        member_disk_mb: most(|sample| sample.disk_mb),
        usage,
        samples,
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
        let Kind { size, one_shot, reads } = self.kind;
        let what = if reads { "linearizable reads" } else { "writes" };
        let how = if one_shot { "a connection each" } else { "kept connections" };
        let Self { servers, clients, entries, figures, .. } = self;
        write!(f, "{entries} {what} of {size} bytes by {clients} clients at {servers} members, {how}")?;
        if f.alternate() {
            return Ok(());
        }
        let Figures { mean_s, stdev_s, requests_per_s, mean_ms, total_mb, retries, .. } = figures;
        writeln!(f, "\nmean over clients   {mean_s:.3} s, standard deviation {stdev_s:.3} s")?;
        writeln!(f, "requests            {requests_per_s:.0} /s")?;
        writeln!(f, "mean of a request   {mean_ms:.3} ms")?;
        let Figures { p50_ms: p50, p99_ms: p99, p999_ms: p999, .. } = figures;
        writeln!(f, "percentiles         50: {p50:.2}, 99: {p99:.2}, 99.9: {p999:.2} ms")?;
        writeln!(f, "items               {total_mb:.1} MB, sent again {retries}")?;
        let [memory, disk] = [self.member_peak_mb, self.member_disk_mb];
        writeln!(f, "largest member      {memory:.1} MB of memory, {disk:.1} MB on disk")?;
        write!(f, "{}", self.usage)
    }
}
