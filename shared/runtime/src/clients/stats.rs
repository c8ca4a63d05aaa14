//! What a member did for its clients in each of the last ten seconds.

use rafty_wire::client::Stats;
use std::collections::VecDeque;

/// How many seconds are remembered.
const SECONDS: u64 = 10;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// A read was answered.
    Read,
    /// A change was asked for.
    Write,
    /// Entries were appended to the log.
    Append,
}

/// Counts by second; all zero for a second in which nothing was done.
#[derive(Default)]
pub(crate) struct Tally(VecDeque<Second>);

#[derive(Clone, Copy, Default)]
struct Second {
    /// Seconds since 1970.
    at: u64,
    reads: u64,
    writes: u64,
    append: u64,
}

impl Tally {
    /// Counts `many` of something done at second `now`. A clock that is set back counts on in the newest second.
    pub(crate) fn count(&mut self, now: u64, what: Done, many: usize) {
        if self.0.back().is_none_or(|newest| newest.at < now) {
            self.0.push_back(Second { at: now, ..Second::default() });
            self.0.retain(|second| second.at + SECONDS > now);
        }
        let Some(newest) = self.0.back_mut() else { return };
        let count = match what {
            Done::Read => &mut newest.reads,
            Done::Write => &mut newest.writes,
            Done::Append => &mut newest.append,
        };
        *count += many as u64;
    }

    /// The ten seconds up to and with `now`, the oldest first.
    pub(crate) fn lately(&self, now: u64) -> Stats {
        let now = now.max(self.0.back().map_or(0, |newest| newest.at));
        let mut stats = Stats::default();
        for at in now.saturating_sub(SECONDS - 1)..=now {
            let second = self.0.iter().find(|second| second.at == at).copied().unwrap_or_default();
            stats.reads.push(second.reads);
            stats.writes.push(second.writes);
            stats.append.push(second.append);
            stats.timestamps.push(at);
        }
        stats
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_seconds_are_kept_and_gaps_are_zero() {
        let mut tally = Tally::default();
        tally.count(100, Done::Read, 1);
        tally.count(103, Done::Write, 2);
        tally.count(102, Done::Append, 7);
        let stats = tally.lately(105);
        assert_eq!(stats.timestamps, (96..=105).collect::<Vec<_>>());
        assert_eq!(stats.reads, [0, 0, 0, 0, 1, 0, 0, 0, 0, 0]);
        assert_eq!(stats.writes, [0, 0, 0, 0, 0, 0, 0, 2, 0, 0]);
        assert_eq!(stats.append, [0, 0, 0, 0, 0, 0, 0, 7, 0, 0], "the clock was set back");
        tally.count(1_000, Done::Read, 1);
        assert_eq!(tally.0.len(), 1);
        assert_eq!(tally.lately(1_009).reads[0], 1);
        assert_eq!(tally.lately(1_010).reads, [0; 10]);
    }
}
