//! `rafty bench client HEAD`: load for the distributed benchmark.

use super::board::Board;
use super::{ANSWERED, HeadAddress, OVER, Outcome, PLAN, READY, RESULTS, RUN, RunPlan, TestPlan};
use crate::bench::load::{Load, drive};
use crate::local::Interrupt;
use rafty_agent::secret::Secret;
use rafty_agent::{Failure, output};
use rafty_client::Address;
use std::time::{Duration, Instant};

/// Times of requests that are handed in for one run.
const MAX_TIMES: u32 = 5_000;
/// How often the head is told how many requests are answered.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// Where the head is.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ClientArgs {
    /// The head's address, as it printed it; - reads it from standard input, @FILE from a file
    #[arg(value_name = "HEAD")]
    head: Secret,
}

pub(crate) fn run(args: &ClientArgs) -> Result<(), Failure> {
    let interrupt = Interrupt::listen()?;
    let head = HeadAddress::read(&args.head)?;
    let board = Board::at(&head)?;
    let plan: TestPlan = board.wait(PLAN, &interrupt, Some)?;
    let name = format!("{:016x}", fastrand::u64(..));
    board.put(&format!("{READY}{name}"), &true, &interrupt)?;
    output::note(format_args!("ready for {} runs; waits for the head", plan.runs.len()));
    for (run, number) in plan.runs.iter().zip(0_u32..) {
        let reached = board.wait(RUN, &interrupt, |now: u32| (now >= number).then_some(now))?;
        if reached == OVER {
            break;
        }
        output::note(format_args!("run {}: {} requests of {} bytes", number + 1, run.entries, run.kind.size));
        let posted = board.read(&interrupt)?;
        let mut told = Instant::now();
        let mut tell = |answered: u32| {
            if told.elapsed() >= TELL_EVERY {
                told = Instant::now();
                board.tell(&format!("{ANSWERED}{name}"), &answered);
            }
        };
        let seen = load(run, posted.members(), &head).and_then(|load| drive(&load, &interrupt, &mut tell));
        let result = format!("{RESULTS}{number}/{name}");
        match seen {
            Ok(seen) => board.put(&result, &Outcome::Measured(seen.thinned(MAX_TIMES)), &interrupt)?,
            Err(failure) => {
                board.tell(&result, &Outcome::Failed(failure.to_string()));
                return Err(failure);
            }
        }
    }
    Ok(())
}

fn load(run: &RunPlan, members: &[Address], head: &HeadAddress) -> Result<Load, Failure> {
    if members.is_empty() {
        return Err(Failure::failed("the peer set has no members"));
    }
    Ok(Load {
        members: members.iter().map(|Address(host, port)| format!("{host}:{port}")).collect(),
        token: head.token.clone(),
        clients: run.workers,
        requests: run.entries,
        kind: run.kind,
    })
}
