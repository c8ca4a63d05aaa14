//! Wall clocks of members, compared for people. Nothing is decided by them.

use rafty_types::{MemberId, time};
use std::time::Duration;

/// Clocks that differ by more are named, in milliseconds: a minute.
const APART_MS: u64 = 60_000;

/// By how much each other member's wall clock is ahead of this one's, in milliseconds, as sentences about those that are
/// far apart. When most agree with each other and not with this one, it is this one that is named.
pub(crate) fn apart(me: MemberId, ahead_ms: &[(MemberId, i64)]) -> Vec<String> {
    let mut sorted: Vec<i64> = ahead_ms.iter().map(|(_, ms)| *ms).chain([0]).collect();
    sorted.sort_unstable();
    // Of an even number the one closer to this member's.
    let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
    let most = if low.unsigned_abs() <= high.unsigned_abs() { low } else { high };
    let off = |(member, ms): (MemberId, i64)| {
        let off = ms.saturating_sub(most);
        (off.unsigned_abs() > APART_MS).then(|| in_words(member, off))
    };
    [(me, 0)].into_iter().chain(ahead_ms.iter().copied()).filter_map(off).collect()
}

/// To the minute: what is known of another clock is no better than the network.
fn in_words(member: MemberId, off_ms: i64) -> String {
    let minutes = off_ms.unsigned_abs().saturating_add(APART_MS / 2) / APART_MS;
    let direction = if off_ms > 0 { "ahead of" } else { "behind" };
    format!(
        "the wall clock of member {member} is {} {direction} those of the others: it shows wrong times, and `train_when.hours` goes \
         by them; nothing else is decided by it; set it, or let it be set (`timedatectl set-ntp true`)",
        time::in_words(Duration::from_mins(minutes))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn named(ahead_ms: &[(u64, i64)]) -> Vec<String> {
        let ahead: Vec<_> = ahead_ms.iter().map(|(member, ms)| (MemberId(*member), *ms)).collect();
        let what = apart(MemberId(1), &ahead);
        what.iter()
            .map(|what| what.split(" those").next().unwrap().replace("the wall clock of member ", ""))
            .collect()
    }

    #[test]
    fn clocks_within_a_minute_are_together() {
        assert!(named(&[]).is_empty());
        assert!(named(&[(2, 59_000), (3, -60_000)]).is_empty());
    }

    #[test]
    fn whoever_differs_from_most_is_named() {
        assert_eq!(named(&[(2, 2 * HOUR), (3, 5)]), ["2 is 2 h ahead of"]);
        assert_eq!(named(&[(2, -2 * HOUR), (3, -2 * HOUR)]), ["1 is 2 h ahead of"]);
        assert_eq!(
            named(&[(2, 20 * 365 * 24 * HOUR), (3, -61_000)]),
            ["2 is 7300 days ahead of", "3 is 60 s behind"]
        );
    }

    #[test]
    fn of_two_the_other_one_is_named() {
        assert_eq!(named(&[(2, -HOUR)]), ["2 is 60 min behind"]);
        assert_eq!(named(&[(2, i64::MIN)]).len(), 1, "whatever a member says");
        assert_eq!(named(&[(2, i64::MAX), (3, i64::MIN)]).len(), 2);
    }
}
