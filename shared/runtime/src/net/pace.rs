//! How fast long transfers are: whether the way between two members is a slow one.

use smol::Timer;
use std::time::Duration;

/// A way is slow that carries fewer bytes a second: 256 kbit/s.
const SLOW: u64 = 32 * 1024;
/// A transfer of fewer bytes says nothing.
const TELLING: u64 = 16 * 1024;
/// A transfer is judged by what moves in so long, while it lasts. One that stands still says nothing.
const JUDGED_EVERY: Duration = Duration::from_secs(2);
const STANDS_STILL: u64 = 1024;

/// Whether a transfer that is over was slow, if it says anything.
pub(super) fn of_whole(bytes: u64, time: Duration) -> Option<bool> {
    (bytes >= TELLING).then(|| is_slow(bytes, time))
}

/// Returns when a transfer is found to be slow while it lasts. `bytes` counts what its connection has moved.
pub(super) async fn becomes_slow(bytes: impl Fn() -> u64) {
    let mut before = bytes();
    loop {
        Timer::after(JUDGED_EVERY).await;
        let now = bytes();
        let moved = now.saturating_sub(before);
        before = now;
        if moved >= STANDS_STILL && is_slow(moved, JUDGED_EVERY) {
            return;
        }
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
