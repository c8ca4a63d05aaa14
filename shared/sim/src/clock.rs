//! A member's monotonic clock: it may run fast or slow, and it stands still while the machine sleeps.

use rafty_types::Time;
use std::time::Duration;

const MILLION: u128 = 1_000_000;

/// Reads local time for a point of the world's time, and the other way round.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// What it showed at `at`.
    shown: Time,
    at: Time,
    /// Local nanoseconds in a million of the world's.
    rate: u64,
}

impl Clock {
    /// A clock that shows zero now.
    pub fn started(now: Time, rate: u64) -> Self {
        Self { shown: Time::ZERO, at: now, rate }
    }

    /// What it shows.
    pub fn read(&self, now: Time) -> Time {
        let passed = now.saturating_since(self.at).as_nanos();
        // Most of what happens asks for the time, and division of 128 bits is slow.
        let short = u64::try_from(passed).ok().and_then(|passed| passed.checked_mul(self.rate));
        let passed = match short {
            Some(product) => u128::from(product / MILLION as u64),
            None => passed * u128::from(self.rate) / MILLION,
        };
        self.shown + nanos(passed)
    }

    /// When it will show `local` at the earliest.
    pub fn when(&self, local: Time) -> Time {
        let left = local.saturating_since(self.shown).as_nanos() * MILLION;
        let left = match u64::try_from(left) {
            Ok(left) => u128::from(left.div_ceil(self.rate)),
            Err(_) => left.div_ceil(u128::from(self.rate)),
        };
        self.at + nanos(left)
    }

    /// It goes at another rate from now on.
    pub fn set_rate(&mut self, now: Time, rate: u64) {
        *self = Self { shown: self.read(now), at: now, rate };
    }

    /// It stood still from `since` until now.
    pub fn slept(&mut self, since: Time, now: Time) {
        self.shown = self.read(since);
        self.at = now;
    }
}

fn nanos(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time::since_start(Duration::from_millis(ms))
    }

    #[test]
    fn a_deadline_is_never_found_too_early() {
        for rate in [1, 999_983, 1_000_000, 1_033_333] {
            let clock = Clock::started(at(7), rate);
            for local in [0, 1, 333, 10_007].map(at) {
                assert!(clock.read(clock.when(local)) >= local, "rate {rate}, {local}");
            }
        }
    }

    #[test]
    fn sleep_and_another_rate_change_what_comes_and_not_what_was() {
        let mut clock = Clock::started(at(0), 1_000_000);
        clock.slept(at(10), at(50));
        assert_eq!(clock.read(at(60)), at(20));
        clock.set_rate(at(60), 2_000_000);
        assert_eq!((clock.read(at(60)), clock.read(at(65))), (at(20), at(30)));
    }
}
