//! What clients saw, and the figures made of it: those of the dictionary that rafty grew from, and percentiles.

use super::spread::{mean, quantile_sorted, sorted, standard_deviation};
use serde::{Deserialize, Serialize};

/// What all clients of one program saw; or those of several, put together.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) requests: u64,
    /// How long each client was busy, in seconds.
    pub(crate) busy_s: Vec<f64>,
    /// From the start of the first to the end of the last, in seconds.
    pub(crate) whole_s: f64,
    /// Times of requests in milliseconds, sorted: of all of them, or evenly drawn.
    pub(crate) times_ms: Vec<f64>,
    pub(crate) bytes: u64,
    /// Requests that had to be sent again because leadership changed.
    pub(crate) retries: u64,
}

impl Seen {
    /// Leaves so many times at most, spread like those there are.
    pub(crate) fn thinned(mut self, most: u32) -> Self {
        let count = u32::try_from(self.times_ms.len()).unwrap_or(u32::MAX).min(most);
        let share = |at: u32| f64::from(at) / f64::from(count.max(2) - 1);
        self.times_ms = (0..count).map(|at| quantile_sorted(&self.times_ms, share(at))).collect();
        self
    }

    /// What several programs saw that ran at the same time.
    pub(crate) fn together(parts: &[Self]) -> Self {
        let sum = |of: fn(&Self) -> u64| parts.iter().map(of).sum();
        let all = |of: fn(&Self) -> &[f64]| parts.iter().flat_map(of).copied().collect::<Vec<_>>();
        Self {
            requests: sum(|part| part.requests),
            busy_s: all(|part| &part.busy_s),
            whole_s: parts.iter().map(|part| part.whole_s).fold(0.0, f64::max),
            times_ms: sorted(&all(|part| &part.times_ms)),
            bytes: sum(|part| part.bytes),
            retries: sum(|part| part.retries),
        }
    }
}

/// The figures.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Figures {
    /// Mean over the clients of how long each was busy, in seconds, and its standard deviation.
    pub(crate) mean_s: f64,
    pub(crate) stdev_s: f64,
    /// Requests of all clients by the time from the first to the last.
    pub(crate) requests_per_s: f64,
    /// Mean time of one request, in milliseconds.
    pub(crate) mean_ms: f64,
    /// Bytes of all keys and values that were sent or read, in millions.
    pub(crate) total_mb: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) retries: u64,
}

impl Figures {
    pub(crate) fn of(seen: &Seen) -> Self {
        Self {
            mean_s: mean(&seen.busy_s),
            stdev_s: standard_deviation(&seen.busy_s),
            requests_per_s: seen.requests as f64 / seen.whole_s.max(f64::MIN_POSITIVE),
            mean_ms: mean(&seen.times_ms),
            total_mb: seen.bytes as f64 / 1e6,
            p50_ms: quantile_sorted(&seen.times_ms, 0.5),
            p99_ms: quantile_sorted(&seen.times_ms, 0.99),
            p999_ms: quantile_sorted(&seen.times_ms, 0.999),
            retries: seen.retries,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_thinned_is_spread_like_what_was_seen() {
        let times_ms: Vec<f64> = (1..=20_000).map(f64::from).chain([50_000.0]).collect();
        let seen = Seen { requests: 20_001, times_ms, ..Seen::default() }.thinned(5_000);
        assert_eq!((seen.requests, seen.times_ms.len()), (20_001, 5_000));
        assert_eq!((seen.times_ms[0], seen.times_ms[4_999]), (1.0, 50_000.0));
        assert!((9_900.0..10_100.0).contains(&seen.times_ms[2_500]));
        let few = Seen { times_ms: vec![1.0], ..Seen::default() };
        assert_eq!(few.thinned(5_000).times_ms, [1.0]);
    }

    #[test]
    fn programs_that_ran_together_are_counted_together() {
        let part = |whole_s, times_ms: &[f64]| Seen {
            requests: 2,
            busy_s: vec![whole_s],
            whole_s,
            times_ms: times_ms.to_vec(),
            bytes: 500_000,
            retries: 1,
        };
        let figures = Figures::of(&Seen::together(&[part(2.0, &[1.0, 4.0]), part(1.0, &[2.0, 5.0])]));
        assert_eq!((figures.requests_per_s, figures.mean_s, figures.stdev_s), (2.0, 1.5, 0.5));
        assert_eq!((figures.mean_ms, figures.p50_ms, figures.p999_ms), (3.0, 4.0, 5.0));
        assert_eq!((figures.total_mb, figures.retries), (1.0, 2));
    }
}
