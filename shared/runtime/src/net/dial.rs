//! Dialling one member at one of its addresses.

use super::tls::{self, Expected, Identity, Lane};
use super::transport::{self, INITIAL_RTT, SLOW_INITIAL_RTT};
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
/// How long it has when nobody has answered for a while: a packet may be repeated once. There may be many more addresses.
const LONG_PATIENCE: Duration = Duration::from_secs(3);
/// How long it has over a slow way: a handshake takes some 5 kB, which may wait for much else.
const SLOW_PATIENCE: Duration = Duration::from_secs(10);
/// Pause after the first failure.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Longest pause, and that over a slow way: handshakes that are given up and begun anew can fill it by themselves.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
const SLOW_PAUSE: Duration = Duration::from_secs(4);
/// The same for each member that is not reached, where those are many: their handshakes share one way to the network.
const SLOW_PAUSE_FOR_EACH: Duration = Duration::from_millis(500);
/// After so many failures a member is dialled as over a slow way. Handshakes that are given up and begun anew fill one by
/// themselves, and then none is ever completed.
const UNANSWERED: u32 = 4;
/// An answer takes at most so many of the round trips that are expected.
const ROUND_TRIPS: u32 = 4;

/// How a member is dialled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    pub(super) slow: bool,
    /// How long each address has to answer.
    patience: Duration,
    /// The first packets are repeated after three of these.
    round_trip: Duration,
}

impl Manner {
    /// After so many failures; by how long a round trip took last, if one did.
    pub(super) fn after(failures: u32, slow: bool, round_trip: Option<Duration>) -> Self {
        if slow || failures >= UNANSWERED {
            let patience = if slow { SLOW_PATIENCE } else { LONG_PATIENCE };
            return Self { slow: true, patience, round_trip: SLOW_INITIAL_RTT };
        }
        let expected = round_trip.map_or(INITIAL_RTT, |last| last.max(INITIAL_RTT / 2) * 2);
        let patience = patience(failures).max(expected * ROUND_TRIPS).min(SLOW_PATIENCE);
        let round_trip = (expected * 2u32.pow(failures)).min(SLOW_INITIAL_RTT);
        Self { slow, patience, round_trip }
    }

    fn transport(self, lane: Lane) -> TransportConfig {
        let mut transport = if lane == Lane::Bulk { transport::bulk() } else { transport::peer() };
        transport.initial_rtt(self.round_trip);
        if self.slow { transport::slow(transport) } else { transport }
    }
}

/// Dials `key` at `addresses` in turn; the first that answers wins.
pub(super) async fn dial(
    net: &Inner,
    key: PeerKey,
    lane: Lane,
    addresses: &[SocketAddr],
    manner: Manner,
) -> Option<Connection> {
    let transport = Arc::new(manner.transport(lane));
    let config = client(Some(&net.identity), lane, Expected::Key(key), transport)?;
    for address in addresses {
        let Ok(connecting) = net.endpoint.connect_with(config.clone(), *address, &net.server_name) else {
            continue;
        };
        if let Some(Ok(connection)) = within(manner.patience, connecting).await {
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
/// members that lost each other together do not come back together. No pause without a failure. Where a way is or may be
/// slow it is longer the more members are `unreached`.
pub(super) fn pause(failures: u32, slow: bool, unreached: usize) -> Duration {
    if slow || failures >= UNANSWERED {
        let each = SLOW_PAUSE_FOR_EACH * u32::try_from(unreached).unwrap_or(u32::MAX);
        return drawn(each.max(SLOW_PAUSE));
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
        assert_eq!(pause(0, false, 1), Duration::ZERO);
        assert!(pause(0, true, 1) >= SLOW_PAUSE / 2);
        for failures in 1..40 {
            let longest = if failures < UNANSWERED { LONGEST_PAUSE } else { SLOW_PAUSE };
            assert!((FIRST_PAUSE / 2..=longest).contains(&pause(failures, false, 1)), "{failures}");
            assert!(patience(failures) <= MOST_PATIENCE);
        }
        assert!(pause(39, false, 1) >= SLOW_PAUSE / 2);
        assert!((SLOW_PAUSE_FOR_EACH * 15..=SLOW_PAUSE_FOR_EACH * 30).contains(&pause(39, false, 30)));
    }

    #[test]
    fn a_handshake_is_repeated_as_slowly_as_the_last_one_took_and_more_slowly_after_failures() {
        let ms = Duration::from_millis;
        let manner = |failures, round_trip| Manner::after(failures, false, round_trip);
        assert_eq!(manner(0, None).round_trip, INITIAL_RTT);
        assert_eq!(manner(0, Some(ms(1))).round_trip, INITIAL_RTT);
        assert_eq!(manner(0, Some(ms(200))).round_trip, ms(400));
        assert_eq!(manner(1, Some(ms(40))).round_trip, ms(160));
        assert_eq!(manner(9, None).round_trip, SLOW_INITIAL_RTT);
        assert_eq!(manner(0, None).patience, FIRST_PATIENCE);
        assert_eq!(manner(0, Some(ms(300))).patience, ms(2_400));
        assert!(!manner(UNANSWERED - 1, None).slow && manner(UNANSWERED, None).slow);
        assert_eq!(manner(UNANSWERED, None).patience, LONG_PATIENCE);
        assert_eq!(Manner::after(0, true, None).patience, SLOW_PATIENCE);
    }
}
