//! How the engine is driven: times, sizes and windows, and how times become ticks.

use crate::check::MAX_ENTRIES;
use crate::random::Random;
use rafty_types::{MemberId, Settings, Time};
use std::time::Duration;

/// A heartbeat is this many ticks.
const TICKS_PER_HEARTBEAT: u32 = 4;
/// Shortest tick.
const MIN_TICK: Duration = Duration::from_millis(1);
/// After a pause at most this many ticks are made up for, so that a member that slept does not stand for election
/// before it has read what waits for it.
const MAX_TICKS_AT_ONCE: u32 = 4;
/// Bytes of entries in one append: one largest proposal and its frame.
const APPEND_BYTES: u64 = 1024 * 1024 + 64 * 1024;
/// Appends on their way to one follower.
const MAX_INFLIGHT: usize = 32;
/// Bytes of applied entries that a compaction leaves.
const TAIL_BYTES: u64 = 8 * 1024 * 1024;
/// Bytes of proposals that are not committed yet; beyond it proposals are dropped.
const MAX_UNCOMMITTED_BYTES: u64 = 8 * 1024 * 1024;

/// What a member's machine is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How often a leader says that it lives.
    pub heartbeat: Duration,
    /// Shortest election timeout.
    pub election_min: Duration,
    /// Longest election timeout.
    pub election_max: Duration,
    /// Most entries in one append.
    pub append_batch: u32,
    /// Most bytes of entries in one append; a single larger entry still goes, alone.
    pub append_bytes: u64,
    /// Most appends on their way to one follower.
    pub max_inflight: usize,
    /// How many applied entries a compaction leaves.
    pub tail: u64,
    /// Most bytes of applied entries that a compaction leaves.
    pub tail_bytes: u64,
}

impl Config {
    /// What the peer set agreed on, and our own bounds for the rest.
    pub fn from_settings(settings: &Settings) -> Self {
        Self {
            heartbeat: settings.heartbeat,
            election_min: settings.election_min,
            election_max: settings.election_max,
            append_batch: settings.append_batch,
            append_bytes: APPEND_BYTES,
            max_inflight: MAX_INFLIGHT,
            tail: settings.tail,
            tail_bytes: TAIL_BYTES,
        }
    }

    pub(crate) fn tick(&self) -> Duration {
        (self.heartbeat / TICKS_PER_HEARTBEAT).max(MIN_TICK)
    }

    /// Entries that a read from the log may return for one append. One less than the batch: the engine adds the
    /// entry it is just proposing.
    pub(crate) fn log_batch(&self) -> usize {
        (self.append_batch as usize).clamp(2, MAX_ENTRIES) - 1
    }

    /// The election timeout in ticks: the shortest and the longest.
    pub(crate) fn election_ticks(&self) -> (usize, usize) {
        let shortest = self.ticks(self.election_min).max(self.ticks(self.heartbeat) + 1);
        (shortest, self.ticks(self.election_max).max(shortest))
    }

    /// An election timeout in ticks, for the voter at `place` among `places`. Each has a share of the range to itself and
    /// draws from its first half: the votes for one are counted before the next one stands.
    pub(crate) fn draw_election(&self, random: &mut Random, place: usize, places: usize) -> usize {
        let (shortest, longest) = self.election_ticks();
        // Ticks of members do not coincide: one tick later, the shortest timeout is over everywhere.
        let begin = (shortest + 1).min(longest);
        let share = |place: usize| begin + (longest - begin + 1) * place / places.max(1);
        let (first, next) = (share(place), share(place + 1));
        let last = (first + next).div_ceil(2).max(first + 1) - 1;
        random.between(first as u64, last as u64) as usize
    }

    /// The engine's settings. It draws its own timeouts in this range; the machine overwrites each before a tick.
    pub(crate) fn engine(&self, id: MemberId, applied: u64) -> raft::Config {
        let (shortest, longest) = self.election_ticks();
        raft::Config {
            id: id.0,
            applied,
            heartbeat_tick: self.ticks(self.heartbeat),
            election_tick: shortest,
            min_election_tick: shortest,
            max_election_tick: longest + 1,
            max_size_per_msg: self.append_bytes,
            max_inflight_msgs: self.max_inflight.max(1),
            max_uncommitted_size: MAX_UNCOMMITTED_BYTES.max(self.append_bytes),
            check_quorum: true,
            pre_vote: true,
            batch_append: false,
            read_only_option: raft::ReadOnlyOption::Safe,
            ..raft::Config::default()
        }
    }

    fn ticks(&self, duration: Duration) -> usize {
        let ticks = duration.as_nanos().div_ceil(self.tick().as_nanos());
        usize::try_from(ticks).unwrap_or(usize::MAX / 4).clamp(1, usize::MAX / 4)
    }
}

/// Says how many ticks are due.
#[derive(Clone, Debug)]
pub(crate) struct Ticker {
    every: Duration,
    pub(crate) next: Time,
}

impl Ticker {
    pub(crate) fn new(every: Duration, now: Time) -> Self {
        Self { every, next: now }
    }

    pub(crate) fn due(&mut self, now: Time) -> u32 {
        let mut ticks = 0;
        while self.next <= now && ticks < MAX_TICKS_AT_ONCE {
            self.next = self.next + self.every;
            ticks += 1;
        }
        if self.next <= now {
            self.next = now + self.every;
        }
        ticks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn at(ms: u64) -> Time {
        Time::since_start(Duration::from_millis(ms))
    }

    #[test]
    fn a_long_pause_is_a_few_ticks_and_then_the_pace_is_as_before() {
        let mut ticker = Ticker::new(Duration::from_millis(10), at(0));
        assert_eq!(ticker.due(at(0)), 1);
        assert_eq!(ticker.due(at(9)), 0);
        assert_eq!(ticker.due(at(20)), 2);
        assert_eq!(ticker.due(at(60_000)), MAX_TICKS_AT_ONCE);
        assert_eq!(ticker.next, at(60_010));
    }

    #[test]
    fn the_default_times_are_ticks_of_ten_milliseconds() {
        let config = Config::from_settings(&Settings::default());
        assert_eq!(config.tick(), Duration::from_millis(10));
        assert_eq!(config.election_ticks(), (15, 30));
        assert!(config.engine(MemberId(1), 0).validate().is_ok());
    }

    #[test]
    fn voters_share_the_range_of_timeouts_and_a_gap_is_between_any_two() {
        let config = Config::from_settings(&Settings::default());
        let mut random = Random::new(1);
        let mut drawn_at = |place, places| -> BTreeSet<_> {
            (0..100).map(|_| config.draw_election(&mut random, place, places)).collect()
        };
        assert_eq!(drawn_at(0, 4), BTreeSet::from([16, 17]));
        assert_eq!(drawn_at(1, 4), BTreeSet::from([19, 20]));
        assert_eq!(drawn_at(3, 4), BTreeSet::from([27, 28]));
        assert_eq!(drawn_at(0, 1), (16..=23).collect());
        // More voters than ticks: some share one.
        assert_eq!(drawn_at(30, 31), BTreeSet::from([30]));
    }

    #[test]
    fn every_allowed_setting_is_one_the_engine_accepts() {
        for (heartbeat, least, most) in
            [(5, 50, 60), (2_000, 4_001, 20_000), (24, 50, 51), (5, 19_999, 20_000)]
        {
            let settings = Settings {
                heartbeat: Duration::from_millis(heartbeat),
                election_min: Duration::from_millis(least),
                election_max: Duration::from_millis(most),
                append_batch: 1,
                ..Settings::default()
            };
            settings.validate().unwrap();
            assert!(Config::from_settings(&settings).engine(MemberId(1), 0).validate().is_ok());
        }
    }
}
