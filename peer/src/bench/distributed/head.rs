//! `rafty bench head`: founds the peer set of the distributed benchmark, says what is measured, and collects it.

use super::board::Board;
use super::{ANSWERED, HeadAddress, OVER, Outcome, PLAN, READY, RESULTS, RUN, RunPlan, SERVING, TestPlan};
use crate::bench::figures::{Figures, Seen};
use crate::bench::load::Kind;
use crate::bench::plot::{Curve, Panel, draw};
use crate::bench::{Usage, folder, print};
use crate::local::{Interrupt, LocalSet, Plan, create_token, voters};
use rafty_agent::{Failure, output, status};
use rafty_runtime::operator::{Reply, Request, call};
use rafty_types::MemberKind;
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The whole grid: entries, clients, bytes.
const GRID: ([u32; 5], [u16; 3], [u32; 2]) = ([10, 100, 1_000, 5_000, 10_000], [10, 100, 256], [100, 1_000]);
/// How often is looked who has come, and how often that is told.
const LOOK_EVERY: Duration = Duration::from_millis(200);
const TELL_EVERY: Duration = Duration::from_secs(10);
/// How long servers and clients may join with this head's tokens.
const ADMITS_FOR: Duration = Duration::from_secs(24 * 3_600);
/// How long an answer of the own member is waited for.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long the others may take to hear that it is over.
const GOODBYE: Duration = Duration::from_secs(3);
/// How long clients may answer nothing and hand in nothing before a run is given up.
const STALLED_AFTER: Duration = Duration::from_secs(60);

/// What is measured, and with whom.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct HeadArgs {
    /// Where the head's own member listens, UDP and TCP [default: a free port for this machine alone]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// How many members, the head's own included
    #[arg(long, value_name = "S", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=9))]
    servers: u8,
    /// How many client programs
    #[arg(long, value_name = "C", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    clients: u16,
    /// How many requests, over all clients
    #[arg(long, value_name = "E", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    entries: u32,
    /// How many workers each client program has, each with one request under way
    #[arg(long, value_name = "W", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=700))]
    workers: u16,
    /// Instead: 10, 100, 1000, 5000 and 10000 entries by 10, 100 and 256 workers, of 100 and 1000 bytes
    #[arg(long, conflicts_with_all = ["entries", "workers", "size"])]
    grid: bool,
    #[command(flatten)]
    kind: Kind,
    /// Save what came out into this file, as JSON
    #[arg(long, value_name = "FILE.json")]
    save: Option<PathBuf>,
    /// Draw it into this file
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

/// What came out.
#[derive(Clone, Debug, Default, Serialize)]
struct Measured {
    servers: u8,
    clients: u16,
    runs: Vec<Line>,
    /// Of the head's machine only.
    #[serde(flatten)]
    usage: Usage,
}

/// What came out of one run: the five figures of `bench local`, over all clients.
#[derive(Clone, Debug, Default, Serialize)]
struct Line {
    entries: u32,
    workers: u16,
    size: u32,
    #[serde(flatten)]
    figures: Figures,
}

pub(crate) fn run(args: &HeadArgs, json: bool) -> Result<(), Failure> {
    let interrupt = Interrupt::listen()?;
    let base = folder()?;
    let usage = Usage::begin(base.path())?;
    let plan = Plan { listen: args.listen, ..Plan::of_peers(base.path(), 1) };
    let set = LocalSet::start(&plan, &interrupt)?;
    let dir = set.members[0].dir.as_path();
    let head = address(dir, args.listen)?;
    let board = Board::at(&head)?;
    let runs = runs(args);
    let admission = create_token(dir, MemberKind::Operator, usize::from(args.servers) - 1, ADMITS_FOR)?;
    board.put(PLAN, &TestPlan { admission, runs: runs.clone() }, &interrupt)?;
    let argument = head.as_argument();
    output::note(format_args!("start {} times: rafty bench server {argument}", args.servers - 1));
    output::note(format_args!("start {} times: rafty bench client {argument}", args.clients));
    wait_for_all(dir, &board, args, &interrupt)?;
    let usage = usage.since_now(&set);
    let lines: Result<Vec<Line>, Failure> =
        runs.iter().zip(0..).map(|(run, number)| measure(&board, args, run, number, &interrupt)).collect();
    let told = board.put(RUN, &OVER, &interrupt);
    let usage = usage.end(&set);
    let reported = lines.and_then(|runs| {
        let measured = Measured { servers: args.servers, clients: args.clients, runs, usage };
        report(args, &measured, json)
    });
    if told.is_ok() {
        std::thread::sleep(GOODBYE);
    }
    reported.and(told)
}

fn report(args: &HeadArgs, measured: &Measured, json: bool) -> Result<(), Failure> {
    if let Some(path) = &args.save {
        let text = serde_json::to_string_pretty(measured).expect("numbers always encode");
        std::fs::write(path, text)
            .map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))?;
        output::note(format_args!("saved {}", path.display()));
    }
    if let Some(path) = &args.plot {
        picture(path, measured)?;
    }
    print(measured, json)
}

/// What the others are told. Only on this machine is it enough to know where.
fn address(dir: &Path, listen: Option<SocketAddr>) -> Result<HeadAddress, Failure> {
    if listen.is_none_or(|listen| listen.ip().is_loopback()) {
        let member = status::fetch(dir, PATIENCE)?.clients.to_string();
        return Ok(HeadAddress { member, token: None });
    }
    let request =
        Request::ClientCreate { name: "bench".into(), read_only: false, ttl_s: ADMITS_FOR.as_secs() };
    match call(dir, &request, PATIENCE)? {
        Reply::ClientToken { token, addresses, .. } if !addresses.is_empty() => {
            Ok(HeadAddress { member: addresses[0].to_string(), token: Some(token) })
        }
        other => Err(status::unexpected(&other)),
    }
}

/// What each client program does.
fn runs(args: &HeadArgs) -> Vec<RunPlan> {
    let Kind { size, one_shot, reads } = args.kind;
    let run = |entries: u32, workers, size| {
        let entries = entries.div_ceil(u32::from(args.clients));
        RunPlan { entries, workers, kind: Kind { size, one_shot, reads } }
    };
    if !args.grid {
        return vec![run(args.entries, args.workers, size)];
    }
    let (entries, workers, sizes) = GRID;
    let each = sizes.iter().flat_map(|size| workers.iter().map(move |workers| (*size, *workers)));
    each.flat_map(|(size, workers)| entries.map(|entries| run(entries, workers, size))).collect()
}

fn wait_for_all(dir: &Path, board: &Board, args: &HeadArgs, interrupt: &Interrupt) -> Result<(), Failure> {
    let mut told = Instant::now();
    loop {
        let voters = voters(&status::fetch(dir, PATIENCE)?);
        let posted = board.read(interrupt)?;
        let (serving, ready) = (1 + posted.all::<bool>(SERVING)?.len(), posted.all::<bool>(READY)?.len());
        // An odd number votes.
        let servers = usize::from(args.servers);
        let votes = voters >= servers.saturating_sub((servers + 1) % 2);
        if votes && serving >= servers && ready >= usize::from(args.clients) {
            return Ok(());
        }
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            let (clients, servers) = (args.clients, args.servers);
            output::note(format_args!(
                "{serving} of {servers} servers ({voters} vote) and {ready} of {clients} clients are here"
            ));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn measure(
    board: &Board,
    args: &HeadArgs,
    run: &RunPlan,
    number: u32,
    interrupt: &Interrupt,
) -> Result<Line, Failure> {
    board.put(RUN, &number, interrupt)?;
    let results = format!("{RESULTS}{number}/");
    let (mut last_seen, mut changed) = (None, Instant::now());
    loop {
        let posted = board.read(interrupt)?;
        let parts = posted.all::<Outcome>(&results)?.into_iter().map(|outcome| match outcome {
            Outcome::Measured(seen) => Ok(seen),
            Outcome::Failed(why) => Err(Failure::failed(format!("run {}: {why}", number + 1))),
        });
        let parts: Vec<Seen> = parts.collect::<Result<_, _>>()?;
        if parts.len() >= usize::from(args.clients) {
            let line = sum_up(run, &parts);
            output::note(format_args!("run {}: {line}", number + 1));
            return Ok(line);
        }
        let seen = Some((parts.len(), posted.all::<u32>(ANSWERED)?));
        if seen != last_seen {
            (last_seen, changed) = (seen, Instant::now());
        } else if changed.elapsed() >= STALLED_AFTER {
            return Err(Failure::failed(format!(
                "run {}: {} of {} clients handed in what they saw, and the others have answered nothing for {} s; \
                 look at what they print and start over",
                number + 1,
                parts.len(),
                args.clients,
                STALLED_AFTER.as_secs()
            )));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn sum_up(run: &RunPlan, parts: &[Seen]) -> Line {
    let seen = Seen::together(parts);
    let entries = u32::try_from(seen.requests).unwrap_or(u32::MAX);
    Line { entries, workers: run.workers, size: run.kind.size, figures: Figures::of(&seen) }
}

/// A line for each number of workers and size.
fn picture(path: &Path, measured: &Measured) -> Result<(), Failure> {
    let mut kinds: BTreeMap<(u32, u16), Vec<&Line>> = BTreeMap::new();
    for line in &measured.runs {
        kinds.entry((line.size, line.workers)).or_default().push(line);
    }
    let panel = |y, of: fn(&Line) -> f64| {
        let curve = |(&(size, workers), lines): (&(u32, u16), &Vec<&Line>)| {
            let points = lines.iter().map(|line| (f64::from(line.entries), of(line)));
            Curve::new(format!("{workers} workers, {size} bytes"), points)
        };
        Panel { x: "entries", y, lines: kinds.iter().map(curve).collect() }
    };
    let panels = [
        panel("requests/s", |line| line.figures.requests_per_s),
        panel("mean ms of a request", |line| line.figures.mean_ms),
    ];
    draw(path, &format!("{measured:#}"), &panels)
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { entries, workers, size, figures } = self;
        let Figures { mean_s, stdev_s, requests_per_s, mean_ms, total_mb, p99_ms, .. } = figures;
        write!(
            f,
            "{entries:>8} entries, {workers:>3} workers, {size:>5} bytes: {requests_per_s:>6.0} /s, mean {mean_ms:.3} ms, \
             99 %: {p99_ms:.2} ms, {mean_s:.3} s ({stdev_s:.3}), {total_mb:.2} MB"
        )
    }
}

impl std::fmt::Display for Measured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} members, {} client programs", self.servers, self.clients)?;
        if f.alternate() {
            return Ok(());
        }
        self.runs.iter().try_for_each(|line| write!(f, "\n{line}"))?;
        write!(f, "\n{}", self.usage)
    }
}
