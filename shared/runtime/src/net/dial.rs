//! Dialling one member at one of its addresses.

use super::tls::{self, Expected, Identity, Lane};
use super::{Inner, within};
use quinn::{ClientConfig, Connection, NoneTokenStore, TransportConfig};
use rafty_types::PeerKey;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How long one address has to answer at first.
const FIRST_PATIENCE: Duration = Duration::from_millis(500);
/// How long it has after some failures, for slow links.
const MOST_PATIENCE: Duration = Duration::from_secs(2);
/// How long it has over a slow way: a handshake takes some 5 kB, which may wait for much else.
const SLOW_PATIENCE: Duration = Duration::from_secs(10);
/// Pause after the first failure.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Longest pause, and that over a slow way: handshakes that are given up and begun anew can fill it by themselves.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
const SLOW_PAUSE: Duration = Duration::from_secs(4);

/// Dials `key` at `addresses` in turn; the first that answers wins. Each waits longer the more `failures` there were.
pub(super) async fn dial(
    net: &Inner,
    key: PeerKey,
    lane: Lane,
    addresses: &[SocketAddr],
    failures: u32,
    slow: bool,
) -> Option<Connection> {
    let transport = match (lane, slow) {
        (Lane::Bulk, false) => &net.transport.bulk,
        (Lane::Bulk, true) => &net.transport.slow_bulk,
        (_, false) => &net.transport.peer,
        (_, true) => &net.transport.slow_peer,
    };
    let patience = if slow { SLOW_PATIENCE } else { patience(failures) };
    let config = client(Some(&net.identity), lane, Expected::Key(key), transport.clone())?;
    for address in addresses {
        let Ok(connecting) = net.endpoint.connect_with(config.clone(), *address, &net.server_name) else {
            continue;
        };
        if let Some(Ok(connection)) = within(patience, connecting).await {
            return Some(connection);
        }
    }
    None
}

/// How to dial: with whose key, for what, whom, and within which bounds.
pub(super) fn client(
    identity: Option<&Identity>,
    lane: Lane,
    expected: Expected,
    transport: Arc<TransportConfig>,
) -> Option<ClientConfig> {
    let crypto = tls::dialling(identity, lane, expected).ok()?;
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(transport).token_store(Arc::new(NoneTokenStore));
    Some(config)
}

fn patience(failures: u32) -> Duration {
    (FIRST_PATIENCE * 2u32.pow(failures.min(8))).min(MOST_PATIENCE)
}

/// How long to pause after so many failures: doubling, bounded, and between a half and the whole of that, so that
/// members that lost each other together do not come back together. No pause without a failure.
pub(super) fn pause(failures: u32, slow: bool) -> Duration {
    if slow {
        return drawn(SLOW_PAUSE);
    }
    let Some(doublings) = failures.checked_sub(1) else {
        return Duration::ZERO;
    };
    drawn((FIRST_PAUSE * 2u32.pow(doublings.min(8))).min(LONGEST_PAUSE))
}

fn drawn(longest: Duration) -> Duration {
    let draw = getrandom::u32().unwrap_or(u32::MAX);
    longest / 2 + longest.mul_f64(f64::from(draw) / f64::from(u32::MAX) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_are_never_nothing_after_a_failure() {
        assert_eq!(pause(0, false), Duration::ZERO);
        assert!(pause(0, true) >= SLOW_PAUSE / 2);
        for failures in 1..40 {
            assert!((FIRST_PAUSE / 2..=LONGEST_PAUSE).contains(&pause(failures, false)), "{failures}");
            assert!(patience(failures) <= MOST_PATIENCE);
        }
        assert!(pause(39, false) >= LONGEST_PAUSE / 2);
    }
}
