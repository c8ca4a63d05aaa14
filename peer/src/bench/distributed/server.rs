//! `rafty bench server HEAD`: one more member for the distributed benchmark, until that is over.

use super::board::Board;
use super::{HeadAddress, OVER, PLAN, RUN, SERVING, TestPlan};
use crate::bench::folder;
use crate::local::{Interrupt, Local};
use rafty_agent::secret::Secret;
use rafty_agent::{Failure, output, place};
use rafty_runtime::setup::free_port;
use std::net::SocketAddr;
use std::time::Duration;

/// How often is looked whether it is over.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where the head is, and where this member is to listen.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ServerArgs {
    /// The head's address, as it printed it; - reads it from standard input, @FILE from a file
    #[arg(value_name = "HEAD")]
    head: Secret,
    /// The UDP and TCP address to listen on [default: a free port beside a head on this machine, else port 7400 on all addresses]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
}

pub(crate) fn run(args: &ServerArgs) -> Result<(), Failure> {
    let interrupt = Interrupt::listen()?;
    let head_address = HeadAddress::read(&args.head)?;
    let head = place::resolve(&head_address.member)?;
    let listen = match args.listen {
        Some(listen) => listen,
        None if head.ip().is_loopback() => {
            free_port(head.ip()).and_then(|socket| socket.local_addr()).map_err(Failure::failed)?
        }
        None => place::listen(),
    };
    let board = Board::at(&head_address)?;
    let plan: TestPlan = board.wait(PLAN, &interrupt, Some)?;
    let base = folder()?;
    let remote = (!listen.ip().is_loopback()).then(|| listen.ip());
    let member = Local::join(base.path(), &plan.admission, &head_address.member, listen, remote, &interrupt)?;
    board.put(&format!("{SERVING}{listen}"), &true, &interrupt)?;
    output::note(format_args!("joined; serves on {listen} until the head is done"));
    loop {
        interrupt.check()?;
        // When the head has gone, so has its board.
        if board.get(RUN, &interrupt).map_or(true, |run: Option<u32>| run == Some(OVER)) {
            break;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    drop(member);
    interrupt.check()
}
