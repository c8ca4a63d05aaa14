//! The settings of a whole peer set, fixed by `init` and given to every newcomer.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Settings that every member must agree on. They live in the replicated state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How often a leader says that it lives.
    pub heartbeat: Duration,
    /// Shortest election timeout; each is drawn between this and `election_max`.
    pub election_min: Duration,
    /// Longest election timeout.
    pub election_max: Duration,
    /// How many members vote at most, as long as there are that many: always an odd number, so one less than an even one.
    pub target_voters: u32,
    /// How many members the engine may have.
    pub max_members: u32,
    /// How long a leader is aggregator.
    pub tenure: Duration,
    /// How much longer a tenure may last until the round it is in ends.
    pub grace: Duration,
    /// After how long a silent voter's seat is given to a learner.
    pub replace_after: Duration,
    /// Compact the log when more applied entries than this stand in it.
    pub compact_after: u64,
    /// How many applied entries a compaction leaves for followers that are a little behind.
    pub tail: u64,
    /// Largest number of entries in one append message.
    pub append_batch: u32,
    /// How long the first round of a run may take; later deadlines adapt to past rounds.
    pub first_deadline: Duration,
    /// Share of the cohort, in percent, that must be in when the deadline passes.
    pub quorum_percent: u32,
    /// How often the current model version is announced.
    pub announce_every: Duration,
    /// Up to how many members a sealed update goes whole to everyone.
    pub broadcast_members: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(40),
            election_min: Duration::from_millis(150),
            election_max: Duration::from_millis(300),
            target_voters: 7,
            max_members: 15,
            tenure: Duration::from_secs(600),
            grace: Duration::from_secs(60),
            replace_after: Duration::from_secs(120),
            compact_after: 60,
            tail: 1_000,
            append_batch: 100,
            first_deadline: Duration::from_secs(120),
            quorum_percent: 60,
            announce_every: Duration::from_secs(10),
            broadcast_members: 16,
        }
    }
}

/// A setting is outside its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}; nothing was changed", self.in_words())]
pub struct SettingsError {
    /// The setting.
    pub name: &'static str,
    /// What it may be.
    pub range: &'static str,
}

impl SettingsError {
    /// What is wrong, without what became of it.
    pub fn in_words(&self) -> String {
        format!("setting `{}` is out of range: it must be {}", self.name, self.range)
    }
}

impl Settings {
    /// Checks every range.
    ///
    /// # Errors
    /// The first setting that is out of its range.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let ms = Duration::from_millis;
        let secs = Duration::from_secs;
        let rules = [
            (within(self.heartbeat, ms(5), secs(2)), "heartbeat", "5 ms to 2 s"),
            (within(self.election_min, ms(50), secs(20)), "election_min", "50 ms to 20 s"),
            (within(self.election_max, ms(50), secs(20)), "election_max", "50 ms to 20 s"),
            (self.election_min < self.election_max, "election_max", "above election_min"),
            (
                self.heartbeat.saturating_mul(2) < self.election_min,
                "election_min",
                "more than two heartbeats",
            ),
            (within(self.target_voters, 1, 15), "target_voters", "1 to 15"),
            (within(self.max_members, 1, 31), "max_members", "1 to 31"),
            (within(self.tenure, secs(1), secs(86_400)), "tenure", "1 s to 24 h"),
            (self.grace <= self.tenure, "grace", "at most the tenure"),
            (within(self.replace_after, secs(10), secs(604_800)), "replace_after", "10 s to 7 d"),
            (within(self.compact_after, 1, 1_000_000), "compact_after", "1 to 1,000,000"),
            (within(self.tail, 1, 1_000_000), "tail", "1 to 1,000,000"),
            (within(self.append_batch, 1, 1_000), "append_batch", "1 to 1,000"),
            (within(self.first_deadline, secs(1), secs(86_400)), "first_deadline", "1 s to 24 h"),
            (within(self.quorum_percent, 1, 100), "quorum_percent", "1 to 100"),
            (within(self.announce_every, secs(1), secs(3_600)), "announce_every", "1 s to 1 h"),
            (within(self.broadcast_members, 1, 31), "broadcast_members", "1 to 31"),
        ];
        match rules.into_iter().find(|(holds, ..)| !holds) {
            Some((_, name, range)) => Err(SettingsError { name, range }),
            None => Ok(()),
        }
    }
}

fn within<T: PartialOrd>(value: T, least: T, most: T) -> bool {
    least <= value && value <= most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_in_range_and_each_rule_bites() {
        assert_eq!(Settings::default().validate(), Ok(()));
        let slow = Settings { heartbeat: Duration::from_millis(200), ..Settings::default() };
        assert_eq!(slow.validate().unwrap_err().name, "election_min");
        let long = Settings { grace: Duration::from_secs(601), ..Settings::default() };
        assert_eq!(long.validate().unwrap_err().name, "grace");
        let endless = Settings { heartbeat: Duration::MAX, ..Settings::default() };
        assert_eq!(endless.validate().unwrap_err().name, "heartbeat");
    }
}
