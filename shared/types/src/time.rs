//! Monotonic time as an argument.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A point on one member's own monotonic clock: nanoseconds since its process started.
///
/// Pure machines receive it and never ask for it. Points of different members do not compare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// When the process started.
    pub const ZERO: Self = Self(0);

    /// The point `elapsed` after the start. Saturates after 584 years.
    pub fn since_start(elapsed: Duration) -> Self {
        Self(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX))
    }

    /// How long after the start this is.
    pub fn elapsed(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// How long before `self` the `earlier` point was; zero when it was not before.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A length of time for people, in the largest unit of which it has at least two.
pub fn in_words(length: Duration) -> String {
    match length.as_secs() {
        0..2 => format!("{} ms", length.as_millis()),
        seconds @ 2..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

impl Add<Duration> for Time {
    type Output = Self;
    fn add(self, after: Duration) -> Self {
        Self(self.0.saturating_add(Self::since_start(after).0))
    }
}

impl Sub<Duration> for Time {
    type Output = Self;
    fn sub(self, before: Duration) -> Self {
        Self(self.0.saturating_sub(Self::since_start(before).0))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}s", self.0 / 1_000_000_000, self.0 / 1_000_000 % 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_told_in_the_unit_that_fits() {
        let told = |seconds| in_words(Duration::from_secs(seconds));
        let said = [0, 1, 2, 119, 120, 7_199, 7_200, 172_799, 172_800].map(told);
        assert_eq!(said, ["0 ms", "1000 ms", "2 s", "119 s", "2 min", "119 min", "2 h", "47 h", "2 days"]);
    }
}
