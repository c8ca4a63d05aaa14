//! Load on the client port: clients as threads, each with one request under way, all starting together.
//!
//! In clear it speaks the protocol itself instead of using the client library, so that what is measured is the members.

use super::figures::Seen;
use super::spread::sorted;
use crate::local::Interrupt;
use rafty_agent::Failure;
use rafty_client::blocking::Connection;
use rafty_types::SessionId;
use rafty_wire::client::{
    Address, Ask, Change, Consistency, MAX_REQUEST_LEN, Reply, Request, Scanner, decode_value,
};
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Keys that are written and read.
const KEYS: u32 = 1_000;
/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// How often one request is sent until it counts, and the pause in between.
const MAX_TRIES: u32 = 200;
const TRY_AGAIN: Duration = Duration::from_millis(20);
/// How often is looked at how far the clients are.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often that is told.
const TELL_EVERY: Duration = Duration::from_secs(2);
/// Bytes read at once.
const SLICE: usize = 16 * 1024;

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
            clients: 16,
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
    let (start, stop, done) = (Barrier::new(load.clients.into()), AtomicBool::new(false), AtomicU32::new(0));
    let started = Instant::now();
    let ended: Vec<io::Result<Client>> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..load.clients)
            .map(|number| {
                let (start, stop, done) = (&start, &stop, &done);
                scope.spawn(move || Client::new(load, number).run(start, stop, done))
            })
            .collect();
        let mut told = Instant::now();
        while clients.iter().any(|client| !client.is_finished()) {
            if interrupt.check().is_err() {
                stop.store(true, Ordering::Relaxed);
            }
            let done = done.load(Ordering::Relaxed);
            look(done);
            if told.elapsed() >= TELL_EVERY {
                told = Instant::now();
                eprintln!("{done} of {} requests are answered", load.requests);
            }
            std::thread::sleep(LOOK_EVERY);
        }
        clients.into_iter().map(|client| client.join().expect("a client does not panic")).collect()
    });
    let whole = started.elapsed();
    interrupt.check()?;
    let gave_up = |error| Failure::failed(format!("a client gave up: {error}"));
    let clients = ended.into_iter().collect::<io::Result<Vec<_>>>().map_err(gave_up)?;
    let times = clients.iter().flat_map(|client| &client.micros);
    let times_ms = sorted(&times.map(|micros| f64::from(*micros) / 1e3).collect::<Vec<_>>());
    Ok(Seen {
        requests: times_ms.len() as u64,
        busy_s: clients.iter().map(|client| client.busy.as_secs_f64()).collect(),
        whole_s: whole.as_secs_f64(),
        times_ms,
        bytes: clients.iter().map(|client| client.bytes).sum(),
        retries: clients.iter().map(|client| client.retries).sum(),
    })
}

/// How a client reaches a member.
enum Line {
    /// In clear; nothing between the client and the system.
    Clear(TcpStream),
    /// Over TLS.
    Sealed(Connection),
}

/// One client and what it has seen.
struct Client<'a> {
    load: &'a Load,
    number: u16,
    at: String,
    line: Option<Line>,
    micros: Vec<u32>,
    busy: Duration,
    bytes: u64,
    retries: u64,
}

impl<'a> Client<'a> {
    fn new(load: &'a Load, number: u16) -> Self {
        // Any member answers reads; changes are redirected to the leader.
        let at = load.members[usize::from(number) % load.members.len()].clone();
        let own = load.requests / u32::from(load.clients)
            + u32::from(u32::from(number) < load.requests % u32::from(load.clients));
        let micros = Vec::with_capacity(own as usize);
        Self { load, number, at, line: None, micros, busy: Duration::ZERO, bytes: 0, retries: 0 }
    }

    fn run(mut self, start: &Barrier, stop: &AtomicBool, done: &AtomicU32) -> io::Result<Self> {
        let value = vec![b'x'; self.load.kind.size as usize];
        let value = rafty_client::Value::encode(std::str::from_utf8(&value).unwrap_or_default());
        let value = value.map_err(io::Error::other)?.bytes().to_vec();
        start.wait();
        let began = Instant::now();
        for count in 0..self.micros.capacity() as u32 {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let key = format!("k{}", (u32::from(self.number) * 7_919 + count) % KEYS);
            self.bytes += (key.len() + value.len()) as u64;
            let asked = Instant::now();
            self.ask(key, &value)?;
            self.micros.push(u32::try_from(asked.elapsed().as_micros()).unwrap_or(u32::MAX));
            done.fetch_add(1, Ordering::Relaxed);
        }
        self.busy = began.elapsed();
        Ok(self)
    }

    /// One request, until it is answered.
    fn ask(&mut self, key: String, value: &[u8]) -> io::Result<()> {
        let ask = if self.load.kind.reads {
            Ask::Get { key: Some(key), consistency: Consistency::Linearizable }
        } else {
            Ask::Append {
                change: Change::Set { key, value: value.to_vec() },
                session: None::<(SessionId, _)>,
            }
        };
        for _ in 0..MAX_TRIES {
            let reply = self.exchange(&ask)?;
            if self.load.kind.reads && decode_value(&reply).is_some() {
                return Ok(());
            }
            match Reply::decode(&reply) {
                Some(Reply::Result { success: true, .. }) => return Ok(()),
                Some(Reply::Redirect { leader: Address(host, port) }) => {
                    self.at = format!("{host}:{port}");
                    self.line = None;
                }
                _ => {
                    self.retries += 1;
                    std::thread::sleep(TRY_AGAIN);
                }
            }
        }
        Err(io::Error::other(format!("not answered in {MAX_TRIES} tries")))
    }

    fn exchange(&mut self, ask: &Ask) -> io::Result<Vec<u8>> {
        let mut line = match self.line.take() {
            Some(line) => line,
            None => self.connect()?,
        };
        let keep = !self.load.kind.one_shot;
        let reply = match &mut line {
            Line::Clear(stream) => {
                let request = Request { ask: ask.clone(), keep, timeout: None, token: None }.encode();
                stream.write_all(&request)?;
                read_reply(stream, keep)
            }
            Line::Sealed(connection) => connection.ask(ask.clone()).map_err(io::Error::other),
        };
        self.line = Some(line).filter(|_| keep);
        reply
    }

    fn connect(&self) -> io::Result<Line> {
        if let Some(token) = &self.load.token {
            let connection = Connection::open(&self.at, Some(token)).map_err(io::Error::other)?;
            return Ok(Line::Sealed(connection));
        }
        let stream = TcpStream::connect(&self.at)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        Ok(Line::Clear(stream))
    }
}

/// One reply, or all until the member closes.
fn read_reply(stream: &mut TcpStream, keep: bool) -> io::Result<Vec<u8>> {
    let mut reply = Vec::new();
    if !keep {
        stream.read_to_end(&mut reply)?;
        return Ok(reply);
    }
    let mut scanner = Scanner::new(2 * MAX_REQUEST_LEN);
    let mut slice = [0; SLICE];
    loop {
        let read = stream.read(&mut slice)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        reply.extend_from_slice(&slice[..read]);
        if scanner.feed(&slice[..read]).map_err(|_| io::Error::other("no MessagePack"))?.is_some() {
            return Ok(reply);
        }
    }
}
