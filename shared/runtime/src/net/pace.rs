//! How fast long transfers are: whether the way between two members is a slow one.

use smol::Timer;
use std::time::Duration;

/// A way is slow that carries fewer bytes a second: 256 kbit/s.
const SLOW: u64 = 32 * 1024;
/// A transfer of fewer bytes says nothing.
const TELLING: u64 = 16 * 1024;
/// A transfer is judged by what moves in so long, while it lasts. One that stands still says nothing.
const JUDGED_EVERY: Duration = Duration::from_secs(2);
const STANDS_STILL: u64 = 4 * 1024;

/// Whether a transfer that is over was slow, if it says anything.
pub(super) fn of_whole(bytes: u64, time: Duration) -> Option<bool> {
    (bytes >= TELLING).then(|| is_slow(bytes, time))
}

/// Says of a transfer while it lasts that it is slow. `bytes` counts what its connection has moved. Never returns.
pub(super) async fn watch(bytes: impl Fn() -> u64, slow: impl Fn()) {
    let mut before = bytes();
    loop {
        Timer::after(JUDGED_EVERY).await;
        let now = bytes();
        let moved = now.saturating_sub(before);
        before = now;
        if moved >= STANDS_STILL && is_slow(moved, JUDGED_EVERY) {
            slow();
        }
    }
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
}
