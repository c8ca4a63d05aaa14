//! For how long members have been reachable: who has been for longest is given a seat first.
//!
//! It rises while a member is heard and falls as fast while it is silent, so that a laptop that is closed every night does
//! not pass for one that is always on, and one that is started anew loses no more than the time it was away. It follows
//! from what is committed (who joined, fell silent and was heard again, and when), so whoever leads next counts the same.

use rafty_types::MemberId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What counts at most: who has been reachable for a day is not less steady than who has been for a month.
const MAX_REACHABLE_MS: u64 = 86_400_000;

/// How long a member had been reachable when it last fell silent or was heard again. The default is that of a member which
/// has been there since time began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Reachable {
    ms: u64,
    since_ms: u64,
}

impl Reachable {
    /// Of somebody who is there since `now_ms`.
    fn from(now_ms: u64) -> Self {
        Self { ms: 0, since_ms: now_ms }
    }

    /// For how many milliseconds it counts as reachable now.
    fn by(self, now_ms: u64, silent: bool) -> u64 {
        let passed = now_ms.saturating_sub(self.since_ms);
        if silent {
            self.ms.saturating_sub(passed)
        } else {
            self.ms.saturating_add(passed).min(MAX_REACHABLE_MS)
        }
    }

    /// It was silent, or heard, until now, and is the other from here on.
    #[must_use]
    fn turned(self, now_ms: u64, was_silent: bool) -> Self {
        Self { ms: self.by(now_ms, was_silent), since_ms: now_ms }
    }
}

/// How long members have been reachable. One without an entry has been there since time began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReachableTimes(BTreeMap<MemberId, Reachable>);

impl ReachableTimes {
    pub(crate) fn ms(&self, id: MemberId, now_ms: u64, silent: bool) -> u64 {
        self.0.get(&id).copied().unwrap_or_default().by(now_ms, silent)
    }

    /// A member is counted anew, from nothing.
    pub(crate) fn appears(&mut self, id: MemberId, now_ms: u64) {
        self.0.insert(id, Reachable::from(now_ms));
    }

    /// A member fell silent, or is heard again.
    pub(crate) fn turned(&mut self, id: MemberId, now_ms: u64, was_silent: bool) {
        let member = self.0.entry(id).or_default();
        *member = member.turned(now_ms, was_silent);
    }

    pub(crate) fn forget(&mut self, id: MemberId) {
        self.0.remove(&id);
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = &MemberId> {
        self.0.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    #[test]
    fn it_rises_while_heard_to_a_day_and_falls_as_fast_while_silent_to_nothing() {
        let member = Reachable::from(5 * HOUR);
        assert_eq!(member.by(8 * HOUR, false), 3 * HOUR);
        assert_eq!(member.by(100 * HOUR, false), 24 * HOUR);
        let silent = member.turned(8 * HOUR, false);
        assert_eq!([9, 11, 20].map(|hour| silent.by(hour * HOUR, true)), [2 * HOUR, 0, 0]);
        assert_eq!(silent.turned(9 * HOUR, true).by(10 * HOUR, false), 3 * HOUR);
        assert_eq!(silent.by(HOUR, true), 3 * HOUR, "time that ran back counts for nothing");
    }

    #[test]
    fn a_laptop_that_is_closed_at_night_never_counts_for_more_than_its_day() {
        let (mut laptop, mut most) = (Reachable::default(), 0);
        for day in 0..30 {
            let evening = day * 24 * HOUR + 9 * HOUR;
            most = most.max(laptop.by(evening, false));
            laptop = laptop.turned(evening, false).turned(evening + 15 * HOUR, true);
        }
        assert_eq!(most, 9 * HOUR);
    }
}
