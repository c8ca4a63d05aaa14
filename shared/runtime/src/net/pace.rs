//! Whether the way between two members is a slow one: by how fast long transfers are, and by how long answers take.

use smol::Timer;
use std::time::{Duration, Instant};

/// A way is slow that carries fewer bytes a second: 256 kbit/s.
const SLOW: u64 = 32 * 1024;
/// A transfer of fewer bytes says nothing.
const TELLING: u64 = 16 * 1024;
/// Neither does a look that comes later than this: this process stood still itself.
const LATE: Duration = Duration::from_secs(3);
/// A transfer is judged by what moves in so long, while it lasts, so many times in a row.
const JUDGED_EVERY: Duration = Duration::from_millis(1_500);
const JUDGED_TIMES: u32 = 2;
/// One that stands still, or whose other end is silent, says nothing: that one may be dead.
const STANDS_STILL: u64 = 1024;
const SILENT: u64 = 2;

/// Answers take long that take longer: 1,200 bytes each way at 64 kbit/s take 300 ms, and heartbeats as long behind them or
/// behind each other.
const LATE_ANSWER: Duration = Duration::from_millis(200);
/// They are looked at so often, and say something after so many times in a row: a member that was busy for a moment is not far
/// away.
pub(super) const ANSWERS_JUDGED_EVERY: Duration = Duration::from_secs(1);
const LATE_TIMES: u32 = 3;
/// A connection is not judged before it has sent so many packets. Its first round trips last as long as the other end
/// takes to start, or to make a key; the smoothed time forgets an eighth of that with each answer.
pub(crate) const FEWEST_PACKETS: u64 = 64;
/// For so long after late answers a way is slow, or until a transfer is fast: once less is said over it, answers are fast.
const SLOW_FOR: Duration = Duration::from_secs(600);

/// What is known of one way.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Whether the last transfer that tells was slow.
    transfer: Option<bool>,
    /// How long the last answer took.
    round_trip: Duration,
    /// How long one took while a transfer was fast: the other end is far away.
    far: Duration,
    /// How often in a row answers took long.
    late: u32,
    slow_until: Option<Instant>,
}

impl Pace {
    /// Whether the way is slow, as far as anything tells.
    pub(super) fn slow(&self, now: Instant) -> Option<bool> {
        let answers = self.slow_until.filter(|until| now < *until);
        answers.map(|_| true).or(self.transfer)
    }

    /// A transfer was slow, or was not.
    pub(super) fn transferred(&mut self, slow: bool) {
        self.transfer = Some(slow);
        if !slow {
            self.slow_until = None;
            self.far = self.round_trip;
        }
    }

    /// An answer takes so long now, on a connection that has sent so many packets.
    pub(super) fn answered(&mut self, round_trip: Duration, sent: u64, now: Instant) {
        self.round_trip = round_trip;
        let late = round_trip > LATE_ANSWER.max(self.far * 2) && sent >= FEWEST_PACKETS;
        self.late = if late { self.late.saturating_add(1) } else { 0 };
        if self.late >= LATE_TIMES {
            self.slow_until = Some(now + SLOW_FOR);
        }
    }
}

/// Whether a transfer that is over was slow, if it says anything.
pub(super) fn of_whole(bytes: u64, time: Duration) -> Option<bool> {
    (bytes >= TELLING).then(|| is_slow(bytes, time))
}

/// Returns when a transfer is found to be slow while it lasts. `moved` is the bytes that its connection has moved one way, and
/// the packets that have come from the other end.
pub(super) async fn becomes_slow(moved: impl Fn() -> (u64, u64)) {
    let (mut watch, mut looked) = (Watch::new(moved()), Instant::now());
    loop {
        Timer::after(JUDGED_EVERY).await;
        if watch.finds_slow(moved(), looked.elapsed()) {
            return;
        }
        looked = Instant::now();
    }
}

/// What was seen of a transfer that lasts.
struct Watch {
    /// Bytes that had moved when it began.
    begun: u64,
    before: (u64, u64),
    /// How often in a row it was slow.
    times: u32,
}

impl Watch {
    fn new(moved: (u64, u64)) -> Self {
        Self { begun: moved.0, before: moved, times: 0 }
    }

    /// Whether it is slow, by what has moved until `now`, so long after the last look.
    fn finds_slow(&mut self, now: (u64, u64), after: Duration) -> bool {
        let (bytes, packets) = (now.0.saturating_sub(self.before.0), now.1.saturating_sub(self.before.1));
        self.before = now;
        let tells = bytes >= STANDS_STILL && packets >= SILENT && after < LATE;
        self.times = if tells && is_slow(bytes, after) { self.times + 1 } else { 0 };
        self.times >= JUDGED_TIMES && now.0.saturating_sub(self.begun) >= TELLING
    }
}

/// Whether transfers with all members were slow, as far as there were any: then it is this member's own way to the network.
pub(super) fn are_all_slow(ways: impl Iterator<Item = Option<bool>>) -> bool {
    let mut known = ways.flatten().peekable();
    known.peek().is_some() && known.all(|slow| slow)
}

fn is_slow(bytes: u64, time: Duration) -> bool {
    u128::from(bytes) * 1_000 < u128::from(SLOW) * time.as_millis()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_transfers_that_tell_are_judged() {
        let seconds = Duration::from_secs;
        assert_eq!(of_whole(10_000, seconds(60)), None);
        assert_eq!(of_whole(60_000, seconds(8)), Some(true));
        assert_eq!(of_whole(60_000, seconds(1)), Some(false));
        assert_eq!(of_whole(400_000_000, seconds(300)), Some(false));
    }

    /// At which look a transfer is found to be slow of which each look sees so many bytes and packets, after so many
    /// milliseconds.
    fn found(looks: &[(u64, u64, u64)]) -> Option<usize> {
        let (mut watch, mut moved) = (Watch::new((5_000, 7)), (5_000, 7));
        looks.iter().position(|(bytes, packets, ms)| {
            moved = (moved.0 + bytes, moved.1 + packets);
            watch.finds_slow(moved, Duration::from_millis(*ms))
        })
    }

    #[test]
    fn a_transfer_that_lasts_is_slow_when_it_is_so_twice_in_a_row_and_tells() {
        let slow = (12_000, 9, 1_500);
        assert_eq!(found(&[slow, slow]), Some(1));
        assert_eq!(found(&[slow, (400_000, 90, 1_500), slow, slow]), Some(3));
        assert_eq!(found(&[slow, (12_000, 1, 1_500), slow, slow]), Some(3), "the other end is silent");
        assert_eq!(found(&[slow, (500, 9, 1_500), slow, slow]), Some(3), "it stands still");
        assert_eq!(found(&[slow, (12_000, 9, 30_000), slow, slow]), Some(3), "this process stood still");
        assert_eq!(found(&[(3_000, 9, 1_500); 8]), Some(5), "a few bytes say nothing");
        assert_eq!(found(&[(4_464, 20, 1_500), (0, 2, 1_500)]), None);
    }

    #[test]
    fn a_way_is_slow_for_a_while_after_late_answers_or_until_a_transfer_is_fast() {
        let (begun, second) = (Instant::now(), Duration::from_secs(1));
        let (late, soon) = (LATE_ANSWER * 2, LATE_ANSWER / 2);
        let after = |answers: &[(Duration, u64)]| {
            let mut pace = Pace::default();
            answers.iter().for_each(|(took, sent)| pace.answered(*took, *sent, begun));
            pace
        };
        let mut slow = after(&[(late, 100), (late, 110), (late, 120)]);
        assert_eq!(slow.slow(begun + second), Some(true));
        assert_eq!(slow.slow(begun + SLOW_FOR + second), None);
        slow.answered(soon, 130, begun + second);
        assert_eq!(slow.slow(begun + second), Some(true), "little is said over it now");
        slow.transferred(false);
        assert_eq!(slow.slow(begun + second), Some(false));
        (0..9).for_each(|_| slow.answered(late, 200, begun + second));
        assert_eq!(slow.slow(begun + second), Some(true));
        slow.transferred(false);
        (0..9).for_each(|_| slow.answered(late, 200, begun + second));
        assert_eq!(slow.slow(begun + second), Some(false), "it is only far away");
        assert_eq!(after(&[(late, 1), (late, 2), (late, 3)]).slow(begun), None, "it starts");
        assert_eq!(after(&[(late, 99), (late, 99), (soon, 99), (late, 99)]).slow(begun), None);
    }

    #[test]
    fn a_member_whose_known_ways_are_all_slow_is_on_a_slow_network() {
        let all = |known: &[Option<bool>]| are_all_slow(known.iter().copied());
        assert!(!all(&[]) && !all(&[None, None]) && !all(&[Some(true), Some(false)]));
        assert!(all(&[Some(true), None]));
    }
}
