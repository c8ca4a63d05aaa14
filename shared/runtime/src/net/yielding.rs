//! Congestion control of bulk connections: they take what nobody else needs.
//!
//! Cubic fills the queue in front of the narrowest link until packets are lost. Where that link carries 64 kbit/s, heartbeats wait
//! behind it for seconds and peer sets lose their leaders. So beside Cubic's window there is a second one, which grows and shrinks
//! with the time that packets wait, as in LEDBAT (RFC 6817) with the slow start of LEDBAT++
//! (draft-irtf-iccrg-ledbat-plus-plus, §4.2); the smaller one counts. Round trips are measured, and not one way: what waits on
//! the way back counts, too.

use quinn::congestion::{Controller, ControllerFactory, Cubic, CubicConfig};
use quinn_proto::RttEstimator;
use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long packets may wait in queues. At 64 kbit/s on both ends two packets of 1,200 bytes, which keep the link busy, cost 300 ms
/// beyond the round trip of a small one.
const WAIT: Duration = Duration::from_millis(500);
/// Slow start ends at this part of it.
const STARTED: f64 = 0.75;
/// What is under way at most before the first answer, in packets.
const FIRST: u64 = 2;

/// Makes the controllers of new connections.
#[derive(Debug, Default)]
pub(super) struct YieldingConfig {
    cubic: Arc<CubicConfig>,
}

impl ControllerFactory for YieldingConfig {
    fn build(self: Arc<Self>, now: Instant, mtu: u16) -> Box<dyn Controller> {
        let cubic = Cubic::new(self.cubic.clone(), now, mtu);
        Box::new(Yielding { cubic, limit: Limit::new(mtu.into()) })
    }
}

#[derive(Clone)]
struct Yielding {
    cubic: Cubic,
    limit: Limit,
}

impl Controller for Yielding {
    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool, rtt: &RttEstimator) {
        self.cubic.on_ack(now, sent, bytes, app_limited, rtt);
        let waited = now.saturating_duration_since(sent).saturating_sub(rtt.min());
        self.limit.acknowledged(bytes, waited, app_limited, self.cubic.window());
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, is_persistent: bool, lost_bytes: u64) {
        self.cubic.on_congestion_event(now, sent, is_persistent, lost_bytes);
    }

    fn on_mtu_update(&mut self, mtu: u16) {
        self.cubic.on_mtu_update(mtu);
        self.limit.packet = mtu.into();
    }

    fn window(&self) -> u64 {
        self.cubic.window().min(self.limit.bytes)
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        self.cubic.initial_window().min(self.limit.least() + self.limit.packet * (FIRST - 1))
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// The window by the time that packets wait, in bytes.
#[derive(Clone, Copy, Debug)]
struct Limit {
    bytes: u64,
    packet: u64,
    starting: bool,
}

impl Limit {
    fn new(packet: u64) -> Self {
        let limit = Self { bytes: 0, packet, starting: true };
        Self { bytes: limit.least() + packet * (FIRST - 1), ..limit }
    }

    /// Room for one packet: quinn sends another one only while less than the window is under way with it.
    fn least(&self) -> u64 {
        self.packet * 3 / 2
    }

    /// So many bytes have arrived, after packets waited for so long; Cubic would let so many be under way.
    fn acknowledged(&mut self, bytes: u64, waited: Duration, app_limited: bool, cubic: u64) {
        let wait = waited.as_secs_f64() / WAIT.as_secs_f64();
        let (now, arrived) = (self.bytes as f64, bytes as f64);
        let after = match self.starting {
            true if wait > STARTED => {
                self.starting = false;
                now / 2.0
            }
            true => now + if app_limited { 0.0 } else { arrived },
            false if wait > 1.0 => now - (wait - 1.0).min(0.5) * arrived,
            false if app_limited => now,
            false => now + (1.0 - wait) * arrived * self.packet as f64 / now,
        };
        // More than Cubic's would only delay the answer when packets begin to wait.
        self.bytes = (after as u64).min(cubic.saturating_mul(2)).max(self.least());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: u64 = 1_200;
    const CUBIC: u64 = 1_000_000;
    const NONE: Duration = Duration::ZERO;

    /// So many round trips in which all that may be under way is, and waits for so long.
    fn after(mut limit: Limit, round_trips: u32, waited: Duration) -> Limit {
        for _ in 0..round_trips {
            for _ in 0..limit.bytes / PACKET {
                limit.acknowledged(PACKET, waited, false, CUBIC);
            }
        }
        limit
    }

    #[test]
    fn it_starts_with_two_packets_and_doubles_while_nothing_waits() {
        let first = Limit::new(PACKET);
        assert_eq!(first.bytes / PACKET, FIRST);
        assert!(after(first, 9, NONE).bytes > 256 * PACKET);
        assert!(after(first, 30, NONE).bytes <= 2 * CUBIC, "no more than Cubic could use");
    }

    #[test]
    fn where_packets_wait_it_shrinks_to_one_packet_and_never_to_none() {
        let wide = after(Limit::new(PACKET), 5, NONE);
        let narrow = after(wide, 40, WAIT * 2);
        assert!((PACKET + 1..2 * PACKET).contains(&narrow.bytes), "{narrow:?}");
        assert_eq!(after(narrow, 40, WAIT * 100).bytes, narrow.bytes);
    }

    #[test]
    fn it_settles_where_packets_wait_as_long_as_they_may() {
        // A queue that 8,000 bytes leave in a second.
        let mut limit = after(Limit::new(PACKET), 1, WAIT);
        for _ in 0..200 {
            let waited = Duration::from_secs_f64(limit.bytes as f64 / 8_000.0);
            limit = after(limit, 1, waited);
        }
        assert!((3_000..=4_800).contains(&limit.bytes), "{limit:?}");
    }

    #[test]
    fn an_idle_connection_proves_nothing() {
        let mut limit = Limit::new(PACKET);
        (0..100).for_each(|_| limit.acknowledged(40, NONE, true, CUBIC));
        assert_eq!(limit.bytes, Limit::new(PACKET).bytes);
    }
}
