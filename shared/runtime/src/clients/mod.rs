//! The dictionary's client port: TCP, with the number of the member's UDP port.
//!
//! One task a connection reads requests, hands them to the loop over a bounded queue that the loop looks at last, and
//! writes the replies in the order of the requests. Whoever is slow, stuck or too many loses its connection; the loop
//! never waits for a client. What a request means is in `answers`, what it looks like in [`rafty_wire::client`].
//!
//! Clients are not authenticated, so the port is bound to this machine only.

mod answers;
mod connection;
mod limits;
mod stats;

pub(crate) use answers::ClientDesk;

use crate::clients::limits::{Budget, Doors, Share};
use rafty_wire::client::{ErrorCode, Reply, Request};
use smol::channel::Sender;
use smol::io::AsyncWriteExt;
use smol::net::{TcpListener, TcpStream};
use smol::{Executor, Timer};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// How many requests of clients may wait for the loop.
pub(crate) const CALLS: usize = 256;
/// How many connections there may be.
const MAX_CONNECTIONS: usize = 1_024;
/// How many of one address.
const MAX_OF_ADDRESS: usize = 256;
/// How many of this machine itself, which all its programs share.
const MAX_OF_LOOPBACK: usize = 768;
/// How many bytes of requests may wait for their answers, over all connections.
const MAX_REQUEST_BYTES: usize = 32 * 1024 * 1024;
/// How many bytes of replies may wait for slow readers, over all connections: two of the largest.
const MAX_REPLY_BYTES: usize = 160 * 1024 * 1024;
/// How long no connection is taken after the system refused one.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A client's request and the way back.
pub(crate) struct ClientCall {
    pub(crate) request: Request,
    pub(crate) reply: Sender<Arc<Body>>,
    /// What it takes of the budget of requests, until it is answered.
    pub(crate) _share: Share,
}

/// The bytes of a reply, and what they take of the budget of replies.
pub(crate) struct Body {
    bytes: Vec<u8>,
    _share: Share,
}

/// What all connections have in common.
#[derive(Clone)]
struct Port {
    calls: Sender<ClientCall>,
    requests: Budget,
}

/// Where clients reach a member that listens for peers on `listen`: on this machine, under the same port number.
pub(crate) fn client_address(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        ip if ip.is_loopback() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, listen.port())
}

/// Opens the port. Requests come out of `calls`.
pub(crate) fn open(
    executor: &Arc<Executor<'static>>,
    address: SocketAddr,
    calls: Sender<ClientCall>,
) -> io::Result<()> {
    let listener = TcpListener::from(smol::Async::<std::net::TcpListener>::bind(address)?);
    let port = Port { calls, requests: Budget::new(MAX_REQUEST_BYTES) };
    let doors = Doors::new(MAX_CONNECTIONS.min(limits::files_to_spare()), MAX_OF_ADDRESS, MAX_OF_LOOPBACK);
    executor.spawn(accept(executor.clone(), listener, port, doors)).detach();
    Ok(())
}

async fn accept(executor: Arc<Executor<'static>>, listener: TcpListener, port: Port, doors: Doors) {
    loop {
        let Ok((stream, from)) = listener.accept().await else {
            // No more files, most likely: some will be closed.
            Timer::after(ACCEPT_PAUSE).await;
            continue;
        };
        let Some(place) = doors.enter(from.ip()) else {
            turn_away(stream).await;
            continue;
        };
        let port = port.clone();
        let serve = async move {
            connection::serve(stream, port).await;
            drop(place);
        };
        executor.spawn(serve).detach();
    }
}

/// Says why, if that can be said at once.
async fn turn_away(mut stream: TcpStream) {
    let full = error(ErrorCode::Busy, "there are too many connections; nothing was changed; try again later");
    let _ = smol::future::poll_once(stream.write_all(&full.encode())).await;
}

fn error(code: ErrorCode, detail: &str) -> Reply {
    Reply::Error { error: code.word().into(), detail: detail.into() }
}
