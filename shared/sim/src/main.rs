//! `rafty-sim`: runs seeds, and tells the story of one.
//!
//! Exit codes: 0 all is well, 1 a seed failed, 2 wrong arguments, 3 rare states were not met though there were enough
//! seeds.

use clap::Parser;
use rafty_sim::report::{Report, SEEDS_FOR_ALL};
use rafty_sim::run::{self, Failure};
use rafty_sim::shrink;
use rafty_sim::story::Plan;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Runs allocate and free small values all the time, and this allocator is faster at that than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Lines of a failing story that are shown.
const SHOWN: usize = 120;
/// Progress is told after so many seeds.
const TOLD_EVERY: u64 = 100;

/// Runs whole members under faults in virtual time, from seeds. The report goes to stdout, progress to stderr.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first one.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// How many members each has at first, 1 to 31, instead of a number drawn from the seed.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=31))]
    members: Option<u64>,
    /// How many run side by side.
    #[arg(long, default_value_t = 1)]
    jobs: u64,
    /// Runs only this seed.
    #[arg(long)]
    replay: Option<u64>,
    /// Of a replayed seed, brings only these faults, by number.
    #[arg(long, value_delimiter = ',', requires = "replay")]
    faults: Option<Vec<usize>>,
    /// Tells the whole story of a replayed seed.
    #[arg(long, requires = "replay")]
    trace: bool,
    /// Prints each seed's digest of everything that happened.
    #[arg(long)]
    digests: bool,
    /// The report as JSON.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.replay {
        Some(seed) => replay(seed, &arguments),
        None => run_all(&arguments),
    }
}

fn replay(seed: u64, arguments: &Arguments) -> ExitCode {
    let plan = Plan::draw(seed, arguments.members);
    let plan = arguments.faults.as_ref().map_or(plan.clone(), |kept| shrink::with(&plan, kept));
    let (told, story) = run::listen(&plan);
    let shown = if arguments.trace { story.len() } else { 0 };
    story.iter().take(shown).for_each(|line| say(line));
    match told {
        Ok(outcome) => {
            say(&format!("seed {seed} is well; digest {:016x}", outcome.digest));
            ExitCode::SUCCESS
        }
        Err(failure) => {
            say(&format!("seed {seed} failed: {}", failure.what));
            ExitCode::FAILURE
        }
    }
}

fn run_all(arguments: &Arguments) -> ExitCode {
    let next = AtomicU64::new(arguments.from);
    let end = arguments.from + arguments.seeds;
    let failed = AtomicBool::new(false);
    let report = Mutex::new(Report::default());
    std::thread::scope(|scope| {
        for _ in 0..arguments.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    run_one(seed, arguments, &report, &failed);
                }
            });
        }
    });
    let report = report.into_inner().expect("no thread panics");
    if arguments.json {
        say(&format!("{:#}", report.to_json()));
    } else {
        say(report.to_text().trim_end());
    }
    let never = report.never_met();
    if failed.into_inner() {
        ExitCode::FAILURE
    } else if report.seeds >= SEEDS_FOR_ALL && !never.is_empty() {
        eprintln!("never met: {}", never.join("; "));
        ExitCode::from(3)
    } else {
        ExitCode::SUCCESS
    }
}

fn run_one(seed: u64, arguments: &Arguments, report: &Mutex<Report>, failed: &AtomicBool) {
    let plan = Plan::draw(seed, arguments.members);
    let started = processor_time();
    match run::run(&plan) {
        Ok(outcome) => {
            if arguments.digests {
                say(&format!("{seed} {:016x}", outcome.digest));
            }
            let mut report = report.lock().expect("no thread panics");
            report.add(&outcome, processor_time() - started);
            if report.seeds.is_multiple_of(TOLD_EVERY) {
                eprintln!("{} seeds, {:.0} times real time per core", report.seeds, report.ratio());
            }
        }
        Err(failure) => {
            failed.store(true, Ordering::Relaxed);
            tell_failure(&plan, arguments, &failure);
        }
    }
}

/// A line on stdout. Whoever does not read it any more does not mind.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// What this thread has had of a processor: others on the machine do not count.
fn processor_time() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(spent).unwrap_or_default()
}

/// Says what failed, with the line that replays it, and the end of the story with as few faults as it takes.
fn tell_failure(plan: &Plan, arguments: &Arguments, failure: &Failure) {
    let seed = plan.seed;
    let members = arguments.members.map(|members| format!(" --members {members}")).unwrap_or_default();
    let replay = format!("cargo run --release -p rafty-sim --{members} --replay {seed}");
    eprintln!("seed {seed} failed: {}\n  {replay} --trace", failure.what);
    let kept = shrink::shrink(plan, failure.kind());
    let (_, story) = run::listen(&shrink::with(plan, &kept));
    let numbers = kept.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    eprintln!(
        "it takes {} of {} faults:\n  {replay} --faults '{numbers}' --trace",
        kept.len(),
        plan.faults.len()
    );
    for line in story.iter().skip(story.len().saturating_sub(SHOWN)) {
        eprintln!("    {line}");
    }
}
