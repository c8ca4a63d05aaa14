//! How fast long transfers are: whether the way between two members is a slow one.

use smol::Timer;
use std::time::Duration;

/// A way is slow that carries fewer bytes a second: 256 kbit/s.
const SLOW: u64 = 32 * 1024;
/// A transfer of fewer bytes says nothing.
const TELLING: u64 = 16 * 1024;
/// A transfer is judged by what moves in so long, while it lasts, so many times in a row.
const JUDGED_EVERY: Duration = Duration::from_millis(1_500);
const JUDGED_TIMES: u32 = 2;
/// One that stands still, or whose other end is silent, says nothing: that one may be dead.
const STANDS_STILL: u64 = 1024;
const SILENT: u64 = 2;

/// Whether a transfer that is over was slow, if it says anything.
pub(super) fn of_whole(bytes: u64, time: Duration) -> Option<bool> {
    (bytes >= TELLING).then(|| is_slow(bytes, time))
}

/// Returns when a transfer is found to be slow while it lasts. `moved` is the bytes that its connection has moved one way, and
/// the packets that have come from the other end.
pub(super) async fn becomes_slow(moved: impl Fn() -> (u64, u64)) {
    let (mut before, mut times) = (moved(), 0);
    while times < JUDGED_TIMES {
        Timer::after(JUDGED_EVERY).await;
        let now = moved();
        let (bytes, packets) = (now.0.saturating_sub(before.0), now.1.saturating_sub(before.1));
        before = now;
        let tells = bytes >= STANDS_STILL && packets >= SILENT;
        times = if tells && is_slow(bytes, JUDGED_EVERY) { times + 1 } else { 0 };
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

    #[test]
    fn a_member_whose_known_ways_are_all_slow_is_on_a_slow_network() {
        let all = |known: &[Option<bool>]| are_all_slow(known.iter().copied());
        assert!(!all(&[]) && !all(&[None, None]) && !all(&[Some(true), Some(false)]));
        assert!(all(&[Some(true), None]));
    }
}
