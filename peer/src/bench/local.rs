//! `rafty bench local`: how many writes or reads a peer set on this machine answers, and how soon.
//!
//! Members are processes that sync what they acknowledge; clients are threads of this process, each with one request
//! under way. The five figures of the dictionary that rafty grew from, and percentiles beside them.

use super::load::{Load, Pace, drive};
use crate::local::{AgentRuns, Interrupt, LocalSet, Plan};
use rafty_agent::{Failure, status};
use serde::Serialize;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long an answer of a local member is waited for.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often the disk is asked to sync, to know what it can do.
const SYNCS: u32 = 200;
/// Bytes written before each of them.
const SYNC_LEN: usize = 4_096;
/// Ticks of a process's CPU time in a second, as Linux counts them for programs.
const TICKS_PER_S: f64 = 100.0;

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
}

/// What came out.
#[derive(Clone, Debug, Serialize)]
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
    /// CPU time that the members took meanwhile, and that the clients took.
    members_cpu_s: f64,
    load_cpu_s: f64,
    /// Syncs of 4 KiB that this disk does in a second, one after the other.
    fdatasync_per_s: f64,
}

pub(crate) fn run(args: &LocalArgs, json: bool) -> Result<(), Failure> {
    let interrupt = Interrupt::listen()?;
    let base = super::folder()?;
    let fdatasync_per_s = syncs_per_second(base.path()).map_err(Failure::failed)?;
    let plan = Plan {
        base: base.path(),
        peers: args.servers.into(),
        data: &[],
        settings: &[],
        agent_program: None,
        run_agents_by: AgentRuns::Training,
    };
    eprintln!("starts {} members; this disk does {fdatasync_per_s:.0} syncs a second", args.servers);
    let set = LocalSet::start(&plan, &interrupt)?;
    let members: Result<Vec<_>, Failure> =
        set.members.iter().map(|member| Ok(status::fetch(&member.dir, PATIENCE)?.clients)).collect();
    let load = Load {
        members: members?,
        clients: args.clients,
        requests: args.entries,
        size: args.size as usize,
        one_shot: args.one_shot,
        reads: args.reads,
    };
    let cpu = |set: &LocalSet| set.members.iter().map(|member| cpu_s(&member.process.id().to_string())).sum();
    let (members_before, load_before): (f64, f64) = (cpu(&set), cpu_s("self"));
    let pace = drive(&load, &interrupt)?;
    let measured = Measured {
        members_cpu_s: cpu(&set) - members_before,
        load_cpu_s: cpu_s("self") - load_before,
        fdatasync_per_s,
        ..sum_up(args, &pace)
    };
    super::print(&measured, json);
    Ok(())
}

fn sum_up(args: &LocalArgs, pace: &Pace) -> Measured {
    let mut times: Vec<u32> = pace.micros.iter().flatten().copied().collect();
    times.sort_unstable();
    let busy: Vec<f64> = pace.busy.iter().map(Duration::as_secs_f64).collect();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let mean_s = mean(&busy);
    let variance = mean(&busy.iter().map(|value| (value - mean_s).powi(2)).collect::<Vec<_>>());
    let total: f64 = times.iter().map(|micros| f64::from(*micros)).sum();
    Measured {
        servers: args.servers,
        clients: args.clients,
        entries: args.entries,
        size: args.size,
        one_shot: args.one_shot,
        reads: args.reads,
        mean_s,
        stdev_s: variance.sqrt(),
        requests_per_s: times.len() as f64 / pace.whole.as_secs_f64(),
        mean_ms: total / times.len().max(1) as f64 / 1e3,
        total_mb: pace.bytes as f64 / 1e6,
        p50_ms: quantile(&times, 0.5),
        p99_ms: quantile(&times, 0.99),
        p999_ms: quantile(&times, 0.999),
        retries: pace.retries,
        members_cpu_s: 0.0,
        load_cpu_s: 0.0,
        fdatasync_per_s: 0.0,
    }
}

/// Of sorted times in microseconds, in milliseconds.
fn quantile(sorted: &[u32], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let at = (share * last as f64).round() as usize;
    sorted.get(at).map_or(0.0, |micros| f64::from(*micros) / 1e3)
}

fn syncs_per_second(dir: &Path) -> std::io::Result<f64> {
    let mut file = File::create(dir.join("syncs"))?;
    let start = Instant::now();
    for _ in 0..SYNCS {
        file.write_all(&[0; SYNC_LEN])?;
        file.sync_data()?;
    }
    Ok(f64::from(SYNCS) / start.elapsed().as_secs_f64())
}

/// CPU time that a process took so far, in seconds; `process` is its number or `self`.
fn cpu_s(process: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name, in brackets, may hold anything. User and system time are the 12th and 13th field behind it.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: f64 =
        fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    ticks / TICKS_PER_S
}

impl std::fmt::Display for Measured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = if self.reads { "linearizable reads" } else { "writes" };
        let how = if self.one_shot { "a connection each" } else { "kept connections" };
        let Self { servers, clients, entries, size, .. } = self;
        writeln!(f, "{entries} {what} of {size} bytes by {clients} clients at {servers} members, {how}")?;
        writeln!(f, "mean over clients   {:.3} s, standard deviation {:.3} s", self.mean_s, self.stdev_s)?;
        writeln!(f, "requests            {:.0} /s", self.requests_per_s)?;
        writeln!(f, "mean of a request   {:.3} ms", self.mean_ms)?;
        writeln!(
            f,
            "percentiles         50: {:.2}, 99: {:.2}, 99.9: {:.2} ms",
            self.p50_ms, self.p99_ms, self.p999_ms
        )?;
        writeln!(f, "items               {:.1} MB, sent again {}", self.total_mb, self.retries)?;
        write!(f, "CPU                 members {:.2} s, clients {:.2} s", self.members_cpu_s, self.load_cpu_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_sorted_times() {
        let times: Vec<u32> = (1..=1_000).map(|ms| ms * 1_000).collect();
        assert_eq!(quantile(&times, 0.5), 501.0);
        assert_eq!(quantile(&times, 0.99), 990.0);
        assert_eq!(quantile(&times, 1.0), 1_000.0);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }

    #[test]
    fn this_process_takes_cpu_time() {
        let before = cpu_s("self");
        let start = Instant::now();
        while cpu_s("self") <= before {
            assert!(start.elapsed() < Duration::from_secs(60));
        }
    }
}
