//! Load on the client port: clients that each have one request under way, and what they see.
//!
//! In clear it speaks the protocol itself instead of using the client library, so that what is measured is the members.

mod client;
mod in_clear;
mod over_tls;

use super::figures::Seen;
use super::spread::sorted;
use crate::local::Interrupt;
use client::Client;
use rafty_agent::{Failure, output};
use serde::{Deserialize, Serialize};
use std::io;
use std::time::{Duration, Instant};

/// Keys that are written and read.
const KEYS: u32 = 1_000;
/// Clients that write the keys which others read.
const FILLERS: u16 = 16;
/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// How often is looked at how far the clients are.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often that is told.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// What is asked.
pub(crate) struct Load {
    /// Each as `HOST:PORT`.
    pub(crate) members: Vec<String>,
    /// Of members of other machines.
    pub(crate) token: Option<String>,
    pub(crate) clients: u16,
    pub(crate) requests: u32,
    pub(crate) kind: Kind,
}

/// Of what kind the requests are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
pub(crate) struct Kind {
    /// Bytes of each value
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) size: u32,
    /// Open a connection for each request, as the older clients do
    #[arg(long)]
    pub(crate) one_shot: bool,
    /// Read keys, linearizably, instead of writing them
    #[arg(long)]
    pub(crate) reads: bool,
}

/// Lets all clients go until they are done. `look` is called often with how many requests are answered.
pub(crate) fn drive(load: &Load, interrupt: &Interrupt, look: &mut dyn FnMut(u32)) -> Result<Seen, Failure> {
    if load.kind.reads {
        let fill = Load {
            clients: FILLERS,
            requests: KEYS,
            kind: Kind { reads: false, one_shot: false, ..load.kind },
            members: load.members.clone(),
            token: load.token.clone(),
        };
        go(&fill, interrupt, &mut |_| {})?;
    }
    go(load, interrupt, look)
}

fn go(load: &Load, interrupt: &Interrupt, look: &mut dyn FnMut(u32)) -> Result<Seen, Failure> {
    let clients: io::Result<Vec<_>> = (0..load.clients).map(|number| Client::new(load, number)).collect();
    let clients = clients.map_err(gave_up)?;
    let mut watch = Watch { interrupt, look, requests: load.requests, told: Instant::now() };
    let started = Instant::now();
    let clients = match &load.token {
        None => in_clear::run(clients, &mut watch),
        Some(token) => over_tls::run(clients, token, &mut watch),
    }?;
    let whole_s = started.elapsed().as_secs_f64();
    let times = clients.iter().flat_map(|client| &client.micros);
    let times_ms = sorted(&times.map(|micros| f64::from(*micros) / 1e3).collect::<Vec<_>>());
    Ok(Seen {
        requests: times_ms.len() as u64,
        busy_s: clients.iter().map(|client| client.busy.as_secs_f64()).collect(),
        whole_s,
        times_ms,
        bytes: clients.iter().map(|client| client.bytes).sum(),
        retries: clients.iter().map(|client| client.retries).sum(),
    })
}

fn gave_up(error: io::Error) -> Failure {
    Failure::failed(format!("a client gave up: {error}"))
}

/// Whoever looks on while it goes.
struct Watch<'a> {
    interrupt: &'a Interrupt,
    look: &'a mut dyn FnMut(u32),
    requests: u32,
    told: Instant,
}

impl Watch<'_> {
    /// So many are answered. Fails when somebody wants an end.
    fn see(&mut self, answered: u32) -> Result<(), Failure> {
        self.interrupt.check()?;
        (self.look)(answered);
        if self.told.elapsed() >= TELL_EVERY {
            self.told = Instant::now();
            output::note(format_args!("{answered} of {} requests are answered", self.requests));
        }
        Ok(())
    }
}
