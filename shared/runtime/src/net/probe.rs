//! How well an address can be reached, for a person who wants to know before joining.
//!
//! It asks nothing and says nothing: a handshake without a key, then the connection's own pings. Whoever answers is
//! not identified, so this proves a path, not a peer set.

use super::dial::client;
use super::tls::{Expected, Lane};
use super::{Close, transport, within};
use smol::{Executor, Timer};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// How long the handshake may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// How often is pinged, and for how long.
const PING_EVERY: Duration = Duration::from_millis(50);
const PING_FOR: Duration = Duration::from_millis(1_500);
/// The handshake's name for it: no peer set is asked for.
const ANYBODY: &str = "probe.rafty.internal";

/// What a path is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// Round trip.
    pub round_trip: Duration,
    /// Datagrams sent.
    pub sent: u64,
    /// Those of them that were lost.
    pub lost: u64,
}

/// Tries the path to a member; `None` when nobody answers there.
pub fn probe(address: SocketAddr) -> Option<Path> {
    let executor = Arc::new(Executor::new());
    smol::block_on(executor.run(pinged(&executor, address)))
}

async fn pinged(executor: &Arc<Executor<'static>>, address: SocketAddr) -> Option<Path> {
    let any: IpAddr =
        if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let endpoint = transport::endpoint(executor, SocketAddr::new(any, 0), None, None).ok()?;
    let config = client(None, Lane::Join, Expected::Anybody, Arc::new(transport::probe(PING_EVERY)))?;
    let connecting = endpoint.connect_with(config, address, ANYBODY).ok()?;
    let connection = within(CONNECT_WITHIN, connecting).await?.ok()?;
    Timer::after(PING_FOR).await;
    let (path, sent) = (connection.stats().path, connection.stats().udp_tx.datagrams);
    connection.close(Close::Done.code(), b"");
    endpoint.wait_idle().await;
    Some(Path { round_trip: path.rtt, sent, lost: path.lost_packets })
}
