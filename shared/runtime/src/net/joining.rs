//! A newcomer's way in: it has no key in the roster yet, only a token's word on whom to trust.
//!
//! Both ends derive the same 32 bytes from their TLS connection. The newcomer signs them with its statement, so a
//! statement overheard or passed on is worth nothing on another connection.

use super::counters::DropReason;
use super::dial::client;
use super::tls::{Expected, Lane};
use super::units::{UnitError, read_head, write_head};
use super::{Close, Inner, NetEvent, names, transport, within};
use quinn::{Connection, ConnectionError, Endpoint, TransportErrorCode, VarInt};
use rafty_types::{ClusterId, Enrolment};
use rafty_wire::{JoinReply, JoinRequest};
use smol::Executor;
use smol::channel::bounded;
use smol::lock::Semaphore;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// How long the peer set may take to decide.
pub(super) const REPLY_WITHIN: Duration = Duration::from_secs(30);
/// How long the newcomer may take to say who it is, and to take the answer: seconds over a slow link that others fill.
const SPEAK_WITHIN: Duration = Duration::from_secs(10);
/// How long the newcomer waits for the handshake, over such a link, too.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Joins at once, whoever knocks.
const MAX_JOINS: usize = 4;
/// A newcomer that finds no place comes again after this.
const NEXT_PLACE: Duration = Duration::from_millis(500);
/// What a newcomer that comes too early is told, before the milliseconds and after them.
const BUSY: [&str; 2] = ["too many join now; try again in ", " ms"];
/// The longest time that a newcomer believes it is to wait.
const LONGEST_WAIT: Duration = Duration::from_secs(120);
/// What the exporter is for (RFC 8446 §7.5).
const EXPORTER_LABEL: &[u8] = b"rafty join";

/// A join did not come to an answer. Nothing is known to have changed; it can be tried again.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// No socket.
    #[error("no socket could be opened: {0}; nothing was sent")]
    Socket(#[from] io::Error),
    /// Nobody answered.
    #[error("nobody answered at {0}; check the address and that a peer runs there")]
    Unreachable(SocketAddr),
    /// Somebody answered, but not the one the token names.
    #[error("{0} is not the peer that made the token; nothing was sent to it, ask for a new token")]
    WrongResponder(SocketAddr),
    /// The responder hung up.
    #[error("the peer hung up: {0}; it may be of another peer set, or busy: try again in a minute")]
    HungUp(String),
    /// The responder did not speak this protocol.
    #[error("the peer's answer was not understood; update the older program")]
    NotUnderstood,
    /// Too many join at the moment.
    #[error("too many join now; try again in {} s", after.as_secs_f64().ceil())]
    Busy {
        /// When another try makes sense.
        after: Duration,
    },
    /// The responder took too long.
    #[error(
        "the peer set did not decide in time; ask `status` on a peer whether this one is in, then try again"
    )]
    Late,
}

/// The peer that a token names, reached.
#[derive(Debug)]
pub struct Responder {
    endpoint: Endpoint,
    connection: Connection,
    address: SocketAddr,
}

/// Knocks at all of `servers` at once and waits for the first that holds a key with `responder_hash` (the first 16 bytes of
/// its BLAKE3): on a network anybody can say that it is found at any number of addresses, and answer at none.
///
/// # Errors
/// Why not, for each of them.
pub async fn reach(
    executor: &Arc<Executor<'static>>,
    cluster: ClusterId,
    servers: &[SocketAddr],
    responder_hash: [u8; 16],
) -> Result<Responder, Vec<(SocketAddr, JoinError)>> {
    let (knocked, answers) = bounded(servers.len().max(1));
    let knock_at = |server: SocketAddr| {
        let (runs_on, knocked) = (executor.clone(), knocked.clone());
        executor.spawn(async move {
            let answer = knock(&runs_on, cluster, server, responder_hash).await;
            let _ = knocked.send((server, answer)).await;
        })
    };
    // Dropped, and so given up, when one has answered.
    let _knocking: Vec<_> = servers.iter().copied().map(knock_at).collect();
    drop(knocked);
    let mut failures = Vec::new();
    while let Ok((server, answer)) = answers.recv().await {
        match answer {
            Ok(responder) => return Ok(responder),
            Err(error) => failures.push((server, error)),
        }
    }
    Err(failures)
}

async fn knock(
    executor: &Arc<Executor<'static>>,
    cluster: ClusterId,
    server: SocketAddr,
    responder_hash: [u8; 16],
) -> Result<Responder, JoinError> {
    let any =
        if server.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
    let endpoint = transport::endpoint(executor, SocketAddr::new(any, 0), None, None)?;
    let expected = Expected::Hash(responder_hash);
    let config = client(None, Lane::Join, expected, Arc::new(transport::join()))
        .ok_or_else(|| io::Error::other("TLS could not be set up"))?;
    let connecting = endpoint
        .connect_with(config, server, &names::of_cluster(cluster))
        .map_err(|_| JoinError::Unreachable(server))?;
    match within(CONNECT_WITHIN, connecting).await {
        Some(Ok(connection)) => Ok(Responder { endpoint, connection, address: server }),
        // Our own check of its key is the only thing that ends a handshake from this side.
        Some(Err(ConnectionError::TransportError(_))) => Err(JoinError::WrongResponder(server)),
        Some(Err(ConnectionError::TimedOut)) | None => Err(JoinError::Unreachable(server)),
        Some(Err(error)) => Err(hung_up(error)),
    }
}

impl Responder {
    /// Where it was reached.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Asks to be let in. `make` gets the connection's exporter and makes the signed statement.
    ///
    /// # Errors
    /// When there was no answer; a refusal is an answer.
    pub async fn ask(self, make: impl FnOnce([u8; 32]) -> Enrolment) -> Result<JoinReply, JoinError> {
        let reply = ask(&self.connection, make).await;
        self.connection.close(Close::Done.code(), b"");
        self.endpoint.wait_idle().await;
        reply
    }
}

async fn ask(
    connection: &Connection,
    make: impl FnOnce([u8; 32]) -> Enrolment,
) -> Result<JoinReply, JoinError> {
    let opened = within(SPEAK_WITHIN, connection.open_bi()).await.ok_or(JoinError::Late)?;
    let (mut send, mut receive) = opened.map_err(hung_up)?;
    let request = JoinRequest { enrolment: make(exporter(connection).ok_or(JoinError::NotUnderstood)?) };
    let answer = async {
        write_head(&mut send, &request).await?;
        let _ = send.finish();
        read_head::<JoinReply>(&mut receive).await
    };
    match within(REPLY_WITHIN + SPEAK_WITHIN, answer).await {
        Some(Ok(reply)) => Ok(reply),
        Some(Err(UnitError::Wire(_))) => Err(JoinError::NotUnderstood),
        Some(Err(UnitError::Ended)) => {
            Err(connection.close_reason().map_or_else(|| JoinError::HungUp("no answer".into()), hung_up))
        }
        None => Err(JoinError::Late),
    }
}

fn hung_up(error: ConnectionError) -> JoinError {
    match &error {
        ConnectionError::ApplicationClosed(close) if close.error_code == Close::Busy.code() => {
            JoinError::Busy { after: wait_in(&close.reason) }
        }
        // It shakes hands with too many.
        ConnectionError::ConnectionClosed(close)
            if close.error_code == TransportErrorCode::CONNECTION_REFUSED =>
        {
            JoinError::Busy { after: NEXT_PLACE }
        }
        _ => JoinError::HungUp(error.to_string()),
    }
}

fn exporter(connection: &Connection) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    connection.export_keying_material(&mut bytes, EXPORTER_LABEL, b"").ok()?;
    Some(bytes)
}

/// What becomes of a newcomer's statement.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // made once in a newcomer's life
pub enum JoinDecision {
    /// It is answered so.
    Reply(JoinReply),
    /// It is to come again.
    Busy {
        /// After how long.
        after: Duration,
    },
}

/// How many may knock at once.
#[derive(Debug)]
pub(super) struct Gate(Semaphore);

impl Default for Gate {
    fn default() -> Self {
        Self(Semaphore::new(MAX_JOINS))
    }
}

/// How long a newcomer is asked to wait, read from what [`turn_away`] wrote.
fn wait_in(reason: &[u8]) -> Duration {
    let text = std::str::from_utf8(reason).unwrap_or_default();
    let ms = text.strip_prefix(BUSY[0]).and_then(|rest| rest.strip_suffix(BUSY[1])?.parse().ok());
    ms.map_or(NEXT_PLACE, Duration::from_millis).min(LONGEST_WAIT)
}

fn turn_away(net: &Inner, connection: &Connection, after: Duration) {
    net.counters.count(DropReason::JoinLimited);
    let reason = format!("{}{}{}", BUSY[0], after.as_millis(), BUSY[1]);
    connection.close(Close::Busy.code(), reason.as_bytes());
}

/// Hears one newcomer and passes on what it is answered.
pub(super) async fn answer(net: &Inner, connection: Connection) {
    let Some(_place) = net.inbound.joins.0.try_acquire() else {
        return turn_away(net, &connection, NEXT_PLACE);
    };
    connection.set_max_concurrent_bi_streams(VarInt::from_u32(1));
    let heard = within(SPEAK_WITHIN, async {
        let (send, mut receive) = connection.accept_bi().await.ok()?;
        let request: JoinRequest = read_head(&mut receive).await.ok()?;
        Some((send, request.enrolment))
    });
    let Some((mut send, enrolment)) = heard.await.flatten() else {
        net.counters.count(DropReason::Malformed);
        return connection.close(Close::Malformed.code(), b"");
    };
    let reply = match decide(net, &connection, enrolment).await {
        JoinDecision::Reply(reply) => reply,
        JoinDecision::Busy { after } => return turn_away(net, &connection, after),
    };
    let told = async {
        write_head(&mut send, &reply).await.ok()?;
        send.finish().ok()?;
        send.stopped().await.ok()
    };
    within(SPEAK_WITHIN, told).await;
    connection.close(Close::Done.code(), b"");
}

async fn decide(net: &Inner, connection: &Connection, enrolment: Enrolment) -> JoinDecision {
    let refused = |reason: &str| JoinDecision::Reply(JoinReply::Refused { reason: reason.into() });
    if enrolment.statement.set.cluster != net.set.cluster
        || exporter(connection) != Some(enrolment.statement.exporter)
    {
        net.counters.count(DropReason::JoinRefused);
        return refused("the statement was not made for this peer set and this connection");
    }
    if enrolment.statement.set.epoch != net.set.epoch {
        net.counters.count(DropReason::JoinRefused);
        return JoinDecision::Reply(JoinReply::OtherEpoch { epoch: net.set.epoch });
    }
    let (reply, answer) = bounded(1);
    let decided = within(REPLY_WITHIN, async {
        net.other.send(NetEvent::Join { enrolment, reply }).await.ok()?;
        answer.recv().await.ok()
    });
    decided.await.flatten().unwrap_or_else(|| refused("the peer set did not decide in time; try again"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_read_back_and_a_strange_one_is_short() {
        let said = |ms: &str| wait_in(format!("{}{ms}{}", BUSY[0], BUSY[1]).as_bytes());
        assert_eq!(said("1500"), Duration::from_millis(1_500));
        assert_eq!(said("18446744073709551615"), LONGEST_WAIT);
        for strange in ["", "-1", "soon"] {
            assert_eq!(said(strange), NEXT_PLACE, "{strange}");
        }
        assert_eq!(wait_in(b"too many joins"), NEXT_PLACE, "of an older program");
    }
}
