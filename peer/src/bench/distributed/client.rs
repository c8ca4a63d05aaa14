//! `rafty bench client HEAD`: load for the distributed benchmark.

use super::board::Board;
use super::{HeadAddress, OVER, PLAN, Part, READY, RESULTS, RUN, RunPlan, TestPlan};
use crate::bench::load::{Load, Pace, drive};
use crate::bench::spread::{quantile_sorted, sorted};
use crate::local::Interrupt;
use rafty_agent::Failure;
use rafty_client::Address;
use std::time::Duration;

/// Times of requests that are handed in for one run.
const MAX_TIMES: u32 = 5_000;

/// Where the head is.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ClientArgs {
    /// The head's address, as it printed it
    #[arg(value_name = "HEAD")]
    head: HeadAddress,
}

pub(crate) fn run(args: &ClientArgs) -> Result<(), Failure> {
    let interrupt = Interrupt::listen()?;
    let board = Board::at(&args.head)?;
    let plan: TestPlan = board.wait(PLAN, &interrupt, Some)?;
    let name = format!("{:016x}", fastrand::u64(..));
    board.put(&format!("{READY}{name}"), &true, &interrupt)?;
    eprintln!("ready for {} runs; waits for the head", plan.runs.len());
    for (run, number) in plan.runs.iter().zip(0_u32..) {
        let reached = board.wait(RUN, &interrupt, |now: u32| (now >= number).then_some(now))?;
        if reached == OVER {
            break;
        }
        eprintln!("run {}: {} requests of {} bytes", number + 1, run.entries, run.size);
        let (_, members) = board.all::<bool>(READY, &interrupt)?;
        let pace = drive(&load(run, &members, &args.head)?, &interrupt, &mut |_| {})?;
        board.put(&format!("{RESULTS}{number}/{name}"), &part(&pace), &interrupt)?;
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
        size: run.size as usize,
        one_shot: run.one_shot,
        reads: run.reads,
    })
}

fn part(pace: &Pace) -> Part {
    let times =
        sorted(&pace.micros.iter().flatten().map(|micros| f64::from(*micros) / 1e3).collect::<Vec<_>>());
    let count = u32::try_from(times.len()).unwrap_or(u32::MAX).min(MAX_TIMES);
    let share = |at: u32| f64::from(at) / f64::from(count.max(2) - 1);
    Part {
        requests: times.len() as u64,
        busy_s: pace.busy.iter().map(Duration::as_secs_f64).collect(),
        whole_s: pace.whole.as_secs_f64(),
        times_ms: (0..count).map(|at| quantile_sorted(&times, share(at)) as f32).collect(),
        bytes: pace.bytes,
        retries: pace.retries,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_handed_in_is_spread_like_what_was_seen() {
        let pace = Pace { micros: vec![(1..=20_000).collect(), vec![50_000]], ..Pace::default() };
        let part = part(&pace);
        assert_eq!((part.requests, part.times_ms.len()), (20_001, MAX_TIMES as usize));
        assert_eq!((part.times_ms[0], *part.times_ms.last().unwrap()), (0.001, 50.0));
        assert!((9.9..10.1).contains(&part.times_ms[part.times_ms.len() / 2]));
        let few = super::part(&Pace { micros: vec![vec![1_000]], ..Pace::default() });
        assert_eq!(few.times_ms, [1.0]);
    }
}
