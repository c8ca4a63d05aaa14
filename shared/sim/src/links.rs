//! Devices' links to the network that carry little: what is sent over them waits in queues, in both directions.
//!
//! Bulk yields to frames, as the shipping transport's does, and long frames, which go by stream, yield to datagrams: each
//! kind has a queue of its own, waits for what is in flight of those behind it besides, and takes its bytes from theirs. A
//! queue of datagrams that is full loses what comes.

use rafty_types::{MemberId, Time};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a queue of datagrams holds at most, by the time that it takes to send it.
const MAX_QUEUE: Duration = Duration::from_secs(2);
/// What is in flight of streams takes so long at most: half a second for the four queues of a round trip.
const IN_FLIGHT: Duration = Duration::from_millis(125);
/// A transport finds a link to be slow after so long.
const FOUND_AFTER: Duration = Duration::from_secs(3);

/// One direction of a link: until when it has something of each kind to carry.
#[derive(Clone, Copy, Debug, Default)]
struct Lane {
    datagrams: Time,
    long_frames: Time,
    bulk: Time,
}

/// How long what streams have in flight holds anything up, when they have something to carry until then.
fn in_flight(streams: Time, at: Time) -> Duration {
    streams.saturating_since(at).min(IN_FLIGHT)
}

/// From a device, or to it.
#[derive(Clone, Copy)]
enum Direction {
    Out,
    Into,
}

/// What a link carries, until it carries as much as any other.
#[derive(Clone, Copy, Debug)]
struct Rate {
    bytes_per_ms: u64,
    until: Time,
}

/// One device's link.
#[derive(Clone, Copy, Debug)]
struct Link {
    rate: Rate,
    since: Time,
    out: Lane,
    into: Lane,
}

/// The links that are slow; all others have no queues.
#[derive(Debug, Default)]
pub struct Links {
    slow: BTreeMap<MemberId, Link>,
}

impl Links {
    /// A device's link carries no more than this until then.
    pub fn slow_down(&mut self, device: MemberId, bytes_per_ms: u64, now: Time, until: Time) {
        let rate = Rate { bytes_per_ms: bytes_per_ms.max(1), until };
        let (out, into) = (Lane::default(), Lane::default());
        self.slow.insert(device, Link { rate, since: now, out, into });
    }

    /// All links carry what they can again.
    pub fn heal(&mut self) {
        self.slow.clear();
    }

    /// What is carried in a millisecond between two devices, where one of their links is slow.
    pub fn bytes_per_ms(&self, from: MemberId, to: MemberId, now: Time) -> Option<u64> {
        self.between(from, to, now).map(|link| link.rate.bytes_per_ms).min()
    }

    /// Whether transports have found the way between two devices to be slow.
    pub fn are_found_slow(&self, from: MemberId, to: MemberId, now: Time) -> bool {
        self.between(from, to, now).any(|link| now.saturating_since(link.since) >= FOUND_AFTER)
    }

    fn between(&self, from: MemberId, to: MemberId, now: Time) -> impl Iterator<Item = &Link> {
        [from, to]
            .into_iter()
            .filter_map(move |id| self.slow.get(&id))
            .filter(move |link| now < link.rate.until)
    }

    /// How long a datagram of `len` bytes waits and is sent for; `None` when a queue is full.
    pub fn datagram(&mut self, from: MemberId, to: MemberId, len: usize, now: Time) -> Option<Duration> {
        let lanes = [(from, Direction::Out), (to, Direction::Into)];
        let waits = lanes.map(|(device, direction)| {
            self.lane(device, direction, now)
                .map_or(Duration::ZERO, |(lane, _)| lane.datagrams.saturating_since(now))
        });
        if waits.into_iter().max() > Some(MAX_QUEUE) {
            return None;
        }
        let mut at = now;
        for (device, direction) in lanes {
            let Some((lane, rate)) = self.lane(device, direction, at) else { continue };
            let takes = rate.takes(len);
            let held_up = in_flight(lane.long_frames.max(lane.bulk), at);
            for behind in [&mut lane.long_frames, &mut lane.bulk] {
                if *behind > at {
                    *behind = *behind + takes;
                }
            }
            lane.datagrams = lane.datagrams.max(at) + takes;
            at = rate.no_later_than_it_ends(lane.datagrams + held_up);
        }
        Some(at.saturating_since(now))
    }

    /// The same of a long frame, which is sent again until it is through.
    pub fn stream(&mut self, from: MemberId, to: MemberId, len: usize, now: Time) -> Duration {
        let mut at = now;
        for (device, direction) in [(from, Direction::Out), (to, Direction::Into)] {
            let Some((lane, rate)) = self.lane(device, direction, at) else { continue };
            let takes = rate.takes(len);
            let held_up = in_flight(lane.bulk, at);
            if lane.bulk > at {
                lane.bulk = lane.bulk + takes;
            }
            lane.long_frames = lane.long_frames.max(lane.datagrams).max(at) + takes;
            at = rate.no_later_than_it_ends(lane.long_frames + held_up);
        }
        at.saturating_since(now)
    }

    /// How long `len` bytes of bulk take, behind those before them.
    pub fn bulk(&mut self, from: MemberId, to: MemberId, len: usize, now: Time) -> Duration {
        let mut at = now;
        for (device, direction) in [(from, Direction::Out), (to, Direction::Into)] {
            let Some((lane, rate)) = self.lane(device, direction, at) else { continue };
            // The receiver's link carries what has come over the sender's, while the rest of it comes.
            lane.bulk = at.max(lane.bulk.max(now) + rate.takes(len));
            at = rate.no_later_than_it_ends(lane.bulk);
        }
        at.saturating_since(now)
    }

    fn lane(&mut self, device: MemberId, direction: Direction, now: Time) -> Option<(&mut Lane, Rate)> {
        let link = self.slow.get_mut(&device).filter(|link| now < link.rate.until)?;
        let lane = match direction {
            Direction::Out => &mut link.out,
            Direction::Into => &mut link.into,
        };
        Some((lane, link.rate))
    }

    /// How long an answer takes longer now.
    pub fn round_trip(&self, one: MemberId, other: MemberId, now: Time) -> Duration {
        let waits = |lane: &Lane| {
            let streams = lane.long_frames.max(lane.bulk);
            lane.datagrams.saturating_since(now) + in_flight(streams, now)
        };
        self.between(one, other, now).map(|link| waits(&link.out) + waits(&link.into)).sum()
    }
}

impl Rate {
    fn takes(self, len: usize) -> Duration {
        Duration::from_micros(len as u64 * 1_000 / self.bytes_per_ms)
    }

    fn no_later_than_it_ends(self, at: Time) -> Time {
        at.min(self.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: MemberId = MemberId(1);
    const FAST: MemberId = MemberId(2);

    fn seconds(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    /// One device's link carries 8 bytes a millisecond from the first second to the hundredth.
    fn links() -> Links {
        let mut links = Links::default();
        links.slow_down(SLOW, 8, seconds(1), seconds(100));
        links
    }

    #[test]
    fn datagrams_wait_for_each_other_and_are_lost_where_the_queue_is_full() {
        let mut links = links();
        let mut sent = |now| links.datagram(SLOW, FAST, 800, now);
        assert_eq!(sent(seconds(1)), Some(Duration::from_millis(100)));
        assert_eq!(sent(seconds(1)), Some(Duration::from_millis(200)));
        let rest = std::iter::from_fn(|| sent(seconds(1))).take(1_000).count();
        assert_eq!(rest, 19, "two seconds of them, and the one that overflows them");
        assert!(sent(seconds(2)).is_some(), "there is room again");
        assert_eq!(
            links.datagram(FAST, SLOW, 800, seconds(1)),
            Some(Duration::from_millis(100)),
            "the way back is free"
        );
    }

    #[test]
    fn long_frames_yield_to_datagrams() {
        let mut links = links();
        assert_eq!(links.stream(SLOW, FAST, 80_000, seconds(1)), Duration::from_secs(10));
        let waits = links.datagram(SLOW, FAST, 800, seconds(1));
        assert_eq!(waits, Some(Duration::from_millis(100) + IN_FLIGHT));
        assert_eq!(links.stream(SLOW, FAST, 8, seconds(1)), Duration::from_millis(10_101), "behind both");
    }

    #[test]
    fn bulk_yields_to_frames_and_comes_later_for_them() {
        let mut links = links();
        assert_eq!(links.bulk(SLOW, FAST, 80_000, seconds(1)), Duration::from_secs(10));
        let waits = links.stream(SLOW, FAST, 800, seconds(1));
        assert_eq!(waits, Duration::from_millis(100) + IN_FLIGHT);
        let next = links.bulk(SLOW, FAST, 8, seconds(1));
        assert_eq!(next, Duration::from_millis(10_101), "behind both");
    }

    #[test]
    fn a_link_is_found_slow_after_a_while_and_is_not_any_more_in_the_end() {
        let mut links = links();
        assert!(!links.are_found_slow(FAST, SLOW, seconds(2)));
        assert!(links.are_found_slow(FAST, SLOW, seconds(4)));
        assert_eq!(links.bytes_per_ms(FAST, SLOW, seconds(99)), Some(8));
        assert_eq!(links.bytes_per_ms(FAST, SLOW, seconds(100)), None);
        assert_eq!(links.bulk(SLOW, FAST, 8_000_000, seconds(99)), Duration::from_secs(1));
        assert_eq!(links.datagram(SLOW, FAST, 800, seconds(100)), Some(Duration::ZERO));
    }
}
