//! Clients in clear: all of them on one thread, so that the machine is left to the members.

use super::client::{Client, TRY_AGAIN, Verdict};
use super::{ANSWER_WITHIN, LOOK_EVERY, Watch, gave_up};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Registry, Token};
use rafty_agent::Failure;
use rafty_wire::client::{MAX_REQUEST_LEN, Request, Scanner};
use std::io::{self, ErrorKind, Read, Write};
use std::net::ToSocketAddrs;
use std::time::Instant;

/// Bytes read at once.
const SLICE: usize = 16 * 1024;
/// News that are taken at once.
const MAX_NEWS: usize = 256;

pub(super) fn run<'a>(clients: Vec<Client<'a>>, watch: &mut Watch<'_>) -> Result<Vec<Client<'a>>, Failure> {
    let mut poll = Poll::new().map_err(gave_up)?;
    let mut events = Events::with_capacity(MAX_NEWS);
    let mut slice = vec![0; SLICE];
    let mut lines: Vec<_> = clients.into_iter().map(Line::new).collect();
    let (began, mut looked) = (Instant::now(), Instant::now());
    for (at, line) in lines.iter_mut().enumerate() {
        line.go_on(poll.registry(), Token(at), &mut slice, began).map_err(gave_up)?;
    }
    while lines.iter().any(|line| !line.client.is_done()) {
        let pause = if lines.iter().any(|line| line.again.is_some()) { TRY_AGAIN } else { LOOK_EVERY };
        match poll.poll(&mut events, Some(pause)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(gave_up(error)),
            _ => {}
        }
        for at in events.iter().map(|event| event.token()) {
            lines[at.0].go_on(poll.registry(), at, &mut slice, began).map_err(gave_up)?;
        }
        if events.is_empty() || looked.elapsed() >= LOOK_EVERY {
            looked = Instant::now();
            for (at, line) in lines.iter_mut().enumerate() {
                line.look(poll.registry(), Token(at), &mut slice, began).map_err(gave_up)?;
            }
            watch.see(lines.iter().map(|line| line.client.micros.len() as u32).sum())?;
        }
    }
    Ok(lines.into_iter().map(|line| line.client).collect())
}

/// A client and its connection.
struct Line<'a> {
    client: Client<'a>,
    stream: Option<TcpStream>,
    /// What is left to be sent of a request; empty while its answer is waited for.
    unsent: Vec<u8>,
    asks: bool,
    reply: Vec<u8>,
    scanner: Scanner,
    /// When to ask again.
    again: Option<Instant>,
}

impl<'a> Line<'a> {
    fn new(client: Client<'a>) -> Self {
        let scanner = Scanner::new(2 * MAX_REQUEST_LEN);
        Self {
            client,
            stream: None,
            unsent: Vec::new(),
            asks: false,
            reply: Vec::new(),
            scanner,
            again: None,
        }
    }

    /// Looks at the time.
    fn look(&mut self, registry: &Registry, at: Token, slice: &mut [u8], began: Instant) -> io::Result<()> {
        if self.again.is_some_and(|again| again <= Instant::now()) {
            self.again = None;
            return self.go_on(registry, at, slice, began);
        }
        let late = !self.client.is_done() && self.client.waits() >= ANSWER_WITHIN;
        if late { Err(ErrorKind::TimedOut.into()) } else { Ok(()) }
    }

    /// Sends and takes in what it can, request after request.
    fn go_on(&mut self, registry: &Registry, at: Token, slice: &mut [u8], began: Instant) -> io::Result<()> {
        while self.again.is_none() && !self.client.is_done() {
            match self.exchange(registry, at, slice) {
                Ok(()) => self.judge()?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if self.client.is_done() {
                self.client.busy = began.elapsed();
                self.stream = None;
            }
        }
        Ok(())
    }

    fn judge(&mut self) -> io::Result<()> {
        let verdict = self.client.judge(&self.reply)?;
        self.asks = false;
        if verdict == Verdict::Elsewhere || self.client.load.kind.one_shot {
            self.stream = None;
        }
        self.again = (verdict == Verdict::Later).then(|| Instant::now() + TRY_AGAIN);
        Ok(())
    }

    /// One request and its answer, which is in `reply` then.
    fn exchange(&mut self, registry: &Registry, at: Token, slice: &mut [u8]) -> io::Result<()> {
        let keep = !self.client.load.kind.one_shot;
        if !self.asks {
            self.asks = true;
            self.reply.clear();
            self.scanner = Scanner::new(2 * MAX_REQUEST_LEN);
            let ask = self.client.ask();
            // To the leader itself: a forwarded change would be measured with its detour.
            self.unsent = Request { ask, keep, timeout: None, token: None, forward: false }.encode();
        }
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(connect(&self.client.at, registry, at)?),
        };
        while !self.unsent.is_empty() {
            let sent = stream.write(&self.unsent)?;
            self.unsent.drain(..sent);
        }
        loop {
            let read = stream.read(slice)?;
            self.reply.extend_from_slice(&slice[..read]);
            match (keep, read) {
                (true, 0) => return Err(ErrorKind::UnexpectedEof.into()),
                (false, 0) => return Ok(()),
                (false, _) => {}
                (true, _) => {
                    let fed = self.scanner.feed(&slice[..read]);
                    if fed.map_err(|_| io::Error::other("no MessagePack"))?.is_some() {
                        return Ok(());
                    }
                }
            }
        }
    }
}

fn connect(at: &str, registry: &Registry, token: Token) -> io::Result<TcpStream> {
    let address = at.to_socket_addrs()?.next().ok_or(ErrorKind::AddrNotAvailable)?;
    let mut stream = TcpStream::connect(address)?;
    registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
