//! The dictionary's client port: TCP, with the number of the member's UDP port.
//!
//! One task a connection reads requests, hands them to the loop over a bounded queue that the loop looks at last, and
//! writes the replies in the order of the requests. Whoever is slow, stuck or too many loses its connection; the loop
//! never waits for a client. What a request means is in `answers`, what it looks like in [`rafty_wire::client`].
//!
//! The port is bound to this machine unless told otherwise. Its programs may speak in clear and need no token; from
//! elsewhere TLS and a token are required. The first byte tells the two apart.

mod admission;
mod answers;
mod connection;
mod limits;
mod stats;
mod tls;
mod whole;

pub(crate) use answers::ClientDesk;

use crate::clients::limits::{Budget, BytePermit, ConnectionLimit};
use crate::clients::tls::PortTls;
use crate::clients::whole::WholeReply;
use rafty_wire::client::{ClientToken, ErrorCode, Reply, Request};
use rustls::pki_types::CertificateDer;
use smol::channel::Sender;
use smol::io::AsyncWriteExt;
use smol::net::{TcpListener, TcpStream};
use smol::{Executor, Timer};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How many requests of clients may wait for the loop.
pub(crate) const CALLS: usize = 256;
/// How many connections there may be.
const MAX_CONNECTIONS: usize = 1_024;
/// How many of one address.
const MAX_OF_ADDRESS: usize = 256;
/// How many of this machine itself, which all its programs share.
const MAX_OF_LOOPBACK: usize = 768;
/// How many of all other machines together, so that some are left for this one.
const MAX_REMOTE: usize = 768;
/// How many bytes of requests may wait for their answers, over all connections.
const MAX_REQUEST_BYTES: usize = 32 * 1024 * 1024;
/// The same for connections from elsewhere on which no token was found good yet.
const MAX_STRANGE_BYTES: usize = 8 * 1024 * 1024;
/// How many bytes of replies may wait for slow readers, over all connections: two of the largest.
const MAX_REPLY_BYTES: usize = 160 * 1024 * 1024;
/// How many connections may wait until they are taken.
const BACKLOG: i32 = 1_024;
/// How long no connection is taken after the system refused one.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A client's request and the way back.
pub(crate) struct ClientCall {
    pub(crate) request: Request,
    pub(crate) reply: Sender<Outgoing>,
    way: Way,
    /// The last token that was shown on its connection.
    token: Option<ClientToken>,
    /// Whether a token of its connection was found good, or none is needed.
    known: Arc<AtomicBool>,
    /// What it takes of the budget of requests, until it is answered.
    pub(crate) _permit: BytePermit,
}

/// What a client is answered.
pub(crate) enum Outgoing {
    /// This.
    Body(Arc<Body>),
    /// Every entry, encoded on another thread.
    Whole(Arc<WholeReply>),
}

/// The bytes of a reply, and what they take of the budget of replies.
pub(crate) struct Body {
    bytes: Vec<u8>,
    _permit: BytePermit,
}

/// How a connection comes here.
#[derive(Clone, Copy)]
struct Way {
    /// From this machine itself.
    local: bool,
    /// Over TLS.
    sealed: bool,
}

/// What all connections have in common.
#[derive(Clone)]
struct Port {
    /// The executor owns the connections' tasks.
    executor: Weak<Executor<'static>>,
    calls: Sender<ClientCall>,
    tls: PortTls,
    requests: Budget,
    strange_requests: Budget,
}

/// Where programs of this machine reach a member that listens for peers on `listen`: under the same port number.
pub(crate) fn client_address(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        ip if ip.is_loopback() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, listen.port())
}

/// Everywhere to listen for clients: for those of this machine, and for others on `remote`, when that is given.
pub(crate) fn client_addresses(listen: SocketAddr, remote: Option<IpAddr>) -> Vec<SocketAddr> {
    let local = client_address(listen);
    let remote = remote.map(|ip| SocketAddr::new(ip, local.port())).filter(|remote| *remote != local);
    match remote {
        // All addresses have this machine's own among them, and those of IPv6 the ones of IPv4.
        Some(all) if all.ip().is_unspecified() && (all.is_ipv6() || local.is_ipv4()) => vec![all],
        remote => std::iter::once(local).chain(remote).collect(),
    }
}

/// Opens the port on all these addresses. Requests come out of `calls`. Gives the certificate that it shows.
///
/// # Errors
/// The address that cannot be listened on, and why.
pub(crate) fn open(
    executor: &Arc<Executor<'static>>,
    addresses: &[SocketAddr],
    calls: Sender<ClientCall>,
) -> Result<CertificateDer<'static>, (SocketAddr, io::Error)> {
    let bind = |address: &SocketAddr| match bind(*address) {
        Ok(listener) => Ok(TcpListener::from(listener)),
        Err(why) => Err((*address, why)),
    };
    let listeners = addresses.iter().map(bind).collect::<Result<Vec<_>, _>>()?;
    let (tls, certificate) = PortTls::new().map_err(|why| (addresses[0], why))?;
    let (requests, strange_requests) = (Budget::new(MAX_REQUEST_BYTES), Budget::new(MAX_STRANGE_BYTES));
    let port = Port { executor: Arc::downgrade(executor), calls, tls, requests, strange_requests };
    let limit = ConnectionLimit::new(MAX_CONNECTIONS.min(limits::files_to_spare()));
    for listener in listeners {
        executor.spawn(accept(executor.clone(), listener, port.clone(), limit.clone())).detach();
    }
    Ok(certificate)
}

/// The standard library lets 128 wait for the loop; when more come at once, the others try again after a second.
fn bind(address: SocketAddr) -> io::Result<smol::Async<std::net::TcpListener>> {
    let listener = smol::Async::<std::net::TcpListener>::bind(address)?;
    rustix::net::listen(&listener, BACKLOG)?;
    Ok(listener)
}

async fn accept(executor: Arc<Executor<'static>>, listener: TcpListener, port: Port, limit: ConnectionLimit) {
    loop {
        let Ok((stream, from)) = listener.accept().await else {
            // No more files, most likely: some will be closed.
            Timer::after(ACCEPT_PAUSE).await;
            continue;
        };
        let Some(place) = limit.enter(from.ip()) else {
            turn_away(stream).await;
            continue;
        };
        let port = port.clone();
        let serve = async move {
            connection::serve(stream, is_local(from.ip()), port).await;
            drop(place);
        };
        executor.spawn(serve).detach();
    }
}

/// Whether an address is this machine's own.
fn is_local(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// Says why, if that can be said at once.
async fn turn_away(mut stream: TcpStream) {
    let full = error(ErrorCode::Busy, "there are too many connections; nothing was changed; try again later");
    let _ = smol::future::poll_once(stream.write_all(&full.encode())).await;
}

fn error(code: ErrorCode, detail: &str) -> Reply {
    Reply::Error { error: code.word().into(), detail: detail.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_served_wherever_else_a_member_serves() {
        let at = |listen: &str, remote: Option<&str>| {
            let remote = remote.map(|ip| ip.parse().unwrap());
            client_addresses(listen.parse().unwrap(), remote)
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(at("0.0.0.0:7", None), ["127.0.0.1:7"]);
        assert_eq!(at("192.0.2.1:7", Some("127.0.0.1")), ["127.0.0.1:7"]);
        assert_eq!(at("192.0.2.1:7", Some("192.0.2.1")), ["127.0.0.1:7", "192.0.2.1:7"]);
        assert_eq!(at("192.0.2.1:7", Some("0.0.0.0")), ["0.0.0.0:7"]);
        assert_eq!(at("127.0.0.1:7", Some("::")), ["[::]:7"]);
        assert_eq!(at("[::]:7", Some("0.0.0.0")), ["[::1]:7", "0.0.0.0:7"]);
    }
}
