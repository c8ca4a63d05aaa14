//! One client: its requests come in, its replies go out, each side with its own deadline.
//!
//! Its first byte says whether it speaks TLS. From another machine nothing else is listened to.
//!
//! The reader stops at the first request that does not keep the connection, and at whatever it cannot understand; the
//! writer then answers what was asked and closes. So every request that was read is answered, in order.

use crate::clients::limits::Budget;
use crate::clients::{Body, ClientCall, Outgoing, Port, Way, error, tls};
use crate::deadline_timer::DeadlineTimer;
use rafty_wire::client::{Ask, ClientToken, ErrorCode, Parser, Reply, Request};
use smol::channel::{Receiver, Sender, bounded};
use smol::future::poll_fn;
use smol::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};
use smol::net::TcpStream;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

/// Requests of one connection that may wait for their answers; no more are read meanwhile.
const MAX_IN_FLIGHT: usize = 64;
/// Bytes read at once.
const CHUNK: usize = 16 * 1024;
/// How long a fresh connection may say nothing, and how long it may shake hands.
const FIRST_WITHIN: Duration = Duration::from_secs(5);
/// How long a connection that is kept may say nothing while nothing is owed to it.
const IDLE_WITHIN: Duration = Duration::from_secs(30);
/// How long a message may be under way, from its first byte to its last, beside its share for its length.
const MESSAGE_WITHIN: Duration = Duration::from_secs(2);
/// The slowest line that still counts as alive, in bytes a second.
const SLOWEST: u64 = 64 * 1024;
/// How long, and how many bytes, a client may go on sending that was answered for the last time. Closing at once would
/// make the system drop what it was answered.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 4 * 1024 * 1024;

/// A reply that is owed, in its turn. The token is held until the reply is out.
struct Owed {
    answer: Answer,
    _token: Arc<()>,
}

enum Answer {
    Ready(Reply),
    /// By the loop; the flag says whether it is a change, which may count though the loop ended.
    Awaited(Receiver<Outgoing>, bool),
}

/// Serves a client of this machine, `local`, or of another one to its end.
pub(super) async fn serve(stream: TcpStream, local: bool, port: Port) {
    let _ = stream.set_nodelay(true);
    let deadline = Instant::now() + FIRST_WITHIN;
    let mut first = [0];
    match before(deadline, stream.peek(&mut first)).await {
        Ok(1..) if first[0] == tls::HANDSHAKE => {
            // Whoever does not get through the handshake hears of it from TLS.
            if let Ok(stream) = before(deadline, port.tls.accept(stream)).await {
                talk(stream, Way { local, sealed: true }, port).await;
            }
        }
        Ok(1..) if local => talk(stream, Way { local, sealed: false }, port).await,
        Ok(1..) => turn_back(stream).await,
        Ok(0) | Err(_) => {}
    }
}

/// Another machine that does not speak TLS is not listened to.
async fn turn_back(stream: TcpStream) {
    let (mut reading, mut writing) = split(stream);
    let why = "from another machine only TLS 1.3 is spoken; nothing was read or changed; \
               a token that was sent in clear must be taken as known to others: revoke it";
    if send(&mut writing, &error(ErrorCode::TlsRequired, why).encode()).await.is_ok() {
        linger(&mut reading, &mut writing).await;
    }
}

async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, way: Way, port: Port) {
    let Some(executor) = port.executor.upgrade() else { return };
    let (mut reading, writing) = split(stream);
    let (owed, to_pay) = bounded(MAX_IN_FLIGHT);
    let known = Arc::new(AtomicBool::new(way.local));
    // A task of its own, so that a reply does not wake the reader.
    let writer = executor.spawn(write(writing, to_pay));
    Reader { stream: &mut reading, way, port, owed, owes: Arc::default(), token: None, known }.run().await;
    // It ends when all is answered, or when nobody listens any more.
    if let Ok(mut writing) = writer.await {
        linger(&mut reading, &mut writing).await;
    }
}

struct Reader<'a, S> {
    stream: &'a mut ReadHalf<S>,
    way: Way,
    port: Port,
    owed: Sender<Owed>,
    /// Shared with every reply that is owed.
    owes: Arc<()>,
    /// The last one that was shown.
    token: Option<ClientToken>,
    /// Set by the loop.
    known: Arc<AtomicBool>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Reader<'_, S> {
    async fn run(mut self) {
        let mut parser = Parser::default();
        let mut chunk = vec![0; CHUNK];
        let mut share = self.budget().nothing();
        let mut since = Instant::now();
        let mut idle = FIRST_WITHIN;
        let mut timer = DeadlineTimer::default();
        loop {
            let deadline = match parser.pending() {
                0 => since + idle,
                pending => since + allowance(pending),
            };
            let read = match until(&mut timer, deadline, self.stream.read(&mut chunk)).await {
                Err(late) if late.kind() == io::ErrorKind::TimedOut && parser.pending() > 0 => {
                    let why =
                        "the request did not arrive in time; nothing was changed; send it again, faster";
                    return self.say(error(ErrorCode::Timeout, why)).await;
                }
                Err(late) if late.kind() == io::ErrorKind::TimedOut && self.owes() => {
                    since = Instant::now();
                    continue;
                }
                Ok(0) if parser.pending() > 0 => {
                    let why = "the connection ended before the request did; nothing was changed";
                    return self.say(error(ErrorCode::Malformed, why)).await;
                }
                Err(_) | Ok(0) => return,
                Ok(read) => read,
            };
            if parser.pending() == 0 {
                since = Instant::now();
            }
            parser.feed(&chunk[..read]);
            let Some(taken) = self.take(&mut parser).await else { return };
            if taken {
                since = Instant::now();
            }
            idle = IDLE_WITHIN;
            if !share.resize(parser.pending()) {
                return self.say(busy()).await;
            }
            if parser.pending() == 0 {
                share = self.budget().nothing();
            }
        }
    }

    /// Hands over what is whole: whether anything was. `None` when nothing more is to be read.
    async fn take(&mut self, parser: &mut Parser) -> Option<bool> {
        let mut taken = false;
        loop {
            let keep = match parser.next_request() {
                Ok(None) => return Some(taken),
                Ok(Some(request)) => self.ask(request).await?,
                Err(wrong) if wrong.code == ErrorCode::Unauthorized && !self.way.sealed => {
                    self.say(in_clear()).await;
                    return None;
                }
                Err(wrong) => {
                    let keep = wrong.keep;
                    self.say(wrong.into()).await;
                    keep
                }
            };
            if !keep {
                return None;
            }
            taken = true;
        }
    }

    /// Hands a request to the loop: whether the connection is kept. `None` when nobody listens any more.
    async fn ask(&mut self, mut request: Request) -> Option<bool> {
        let keep = request.keep;
        match request.token.take() {
            Some(_) if !self.way.sealed => {
                self.say(in_clear()).await;
                return Some(false);
            }
            Some(token) => self.token = Some(token),
            None => {}
        }
        let Some(share) = self.budget().take(request.byte_len()) else {
            self.say(busy()).await;
            return Some(keep);
        };
        let (reply, answer) = bounded(1);
        let change = matches!(request.ask, Ask::Append { .. } | Ask::Config { .. } | Ask::Session);
        self.owe(Answer::Awaited(answer, change)).await?;
        // When the loop has ended, the reply's sender goes with the call, and the writer says so.
        let (way, token, known) = (self.way, self.token.clone(), self.known.clone());
        let _ = self.port.calls.send(ClientCall { request, reply, way, token, known, _permit: share }).await;
        Some(keep)
    }

    async fn say(&self, reply: Reply) {
        // Whether anybody listens shows when the next request is read.
        let _ = self.owe(Answer::Ready(reply)).await;
    }

    async fn owe(&self, answer: Answer) -> Option<()> {
        self.owed.send(Owed { answer, _token: self.owes.clone() }).await.ok()
    }

    /// What its requests are counted against: strangers take nothing from known clients.
    fn budget(&self) -> &Budget {
        if self.known.load(Ordering::Relaxed) { &self.port.requests } else { &self.port.strange_requests }
    }

    fn owes(&self) -> bool {
        Arc::strong_count(&self.owes) > 1
    }
}

/// Pays what is owed, and gives the stream back when nothing more is.
async fn write<S>(mut stream: WriteHalf<S>, owed: Receiver<Owed>) -> io::Result<WriteHalf<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Ok(Owed { answer, _token }) = owed.recv().await {
        match answer {
            Answer::Ready(reply) => send(&mut stream, &reply.encode()).await?,
            Answer::Awaited(answer, change) => match answer.recv().await {
                Ok(Outgoing::Body(body)) => send(&mut stream, &body.bytes).await?,
                Ok(Outgoing::Whole(reply)) => {
                    let body = smol::unblock(move || reply.body()).await;
                    send(&mut stream, &body.bytes).await?;
                }
                Err(_) => send(&mut stream, &ended(change).encode()).await?,
            },
        }
    }
    Ok(stream)
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    let written = async {
        stream.write_all(bytes).await?;
        stream.flush().await
    };
    before(Instant::now() + allowance(bytes.len()), written).await
}

/// Closes our half, and takes what still comes until the client closes its own.
async fn linger<S: AsyncRead + AsyncWrite + Unpin>(reading: &mut ReadHalf<S>, writing: &mut WriteHalf<S>) {
    let deadline = Instant::now() + LINGER;
    let mut ignored = vec![0; CHUNK];
    let mut left = LINGER_BYTES;
    let mut open = before(deadline, writing.close()).await.is_ok();
    while open && left > 0 {
        let read = before(deadline, reading.read(&mut ignored)).await.unwrap_or(0);
        open = read > 0;
        left = left.saturating_sub(read);
    }
}

/// How long so many bytes may take.
fn allowance(bytes: usize) -> Duration {
    MESSAGE_WITHIN + Duration::from_millis(1_000 * bytes as u64 / SLOWEST)
}

async fn before<T>(deadline: Instant, io: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    until(&mut DeadlineTimer::default(), deadline, io).await
}

/// Awaits `io`, until `deadline`.
async fn until<T>(
    timer: &mut DeadlineTimer,
    deadline: Instant,
    io: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    let mut io = pin!(io);
    poll_fn(|context| match io.as_mut().poll(context) {
        Poll::Pending => timer.poll_at(deadline, context).map(|()| Err(io::ErrorKind::TimedOut.into())),
        done => done,
    })
    .await
}

fn busy() -> Reply {
    error(ErrorCode::Busy, "too many bytes of requests wait here; nothing was changed; try again later")
}

fn in_clear() -> Reply {
    let why = "a token was sent in clear and not looked at; nothing was changed; it must be taken as known to others: \
               revoke it, make a new one, and connect with TLS";
    error(ErrorCode::TokenInClear, why)
}

fn ended(change: bool) -> Reply {
    match change {
        true => Reply::failed("unknown_outcome", "this member ended: the change may or may not count"),
        false => error(ErrorCode::Stopping, "this member ended; ask another one"),
    }
}

impl Body {
    /// A reply that counts against the budget of replies; when that is used up, one that says so.
    pub(super) fn within(replies: &Budget, bytes: Vec<u8>) -> Arc<Self> {
        let (bytes, share) = match replies.take(bytes.len()) {
            Some(share) => (bytes, share),
            None => {
                let why = "slow readers hold too many replies; nothing was changed; try again later";
                (error(ErrorCode::Busy, why).encode(), replies.nothing())
            }
        };
        Arc::new(Self { bytes, _permit: share })
    }
}
