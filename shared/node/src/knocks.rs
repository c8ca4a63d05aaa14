//! How many newcomers are let through to the peer set, and how often.
//!
//! Whoever shows a token that is known, or a key that is, is counted for that token and for the whole set. All others
//! together are counted apart: each may cost an entry of the log before it is refused, and they must keep nobody out.

use rafty_types::{Mutation, Time, planted};
use std::collections::BTreeMap;
use std::time::Duration;

/// The time in which knocks are counted.
const WINDOW: Duration = Duration::from_secs(60);
/// Knocks with one known token in a window: no peer set has so much room.
const MAX_PER_TOKEN: u32 = 64;
/// Knocks with known tokens in a window.
const MAX_KNOWN: u32 = 256;
/// Knocks with tokens that are not known here, in a window: mistakes, and tokens that were made this very moment.
const MAX_UNKNOWN: u32 = 30;

/// The knocks of a window.
#[derive(Debug, Default)]
pub struct Knocks {
    since: Time,
    per_token: BTreeMap<[u8; 16], u32>,
    known: u32,
    unknown: u32,
}

impl Knocks {
    /// Counts a knock; how long its newcomer must wait before it is heard, if it must.
    pub fn wait(&mut self, now: Time, token: [u8; 16], is_known: bool) -> Option<Duration> {
        if now.saturating_since(self.since) >= WINDOW {
            *self = Self { since: now, ..Self::default() };
        }
        let is_in = if is_known || planted(Mutation::RefusedJoinsCounted) {
            let of_token = self.per_token.entry(token).or_default();
            count(of_token, MAX_PER_TOKEN) && count(&mut self.known, MAX_KNOWN)
        } else {
            count(&mut self.unknown, MAX_UNKNOWN)
        };
        (!is_in).then(|| WINDOW.saturating_sub(now.saturating_since(self.since)))
    }
}

/// Counts one more, up to a bound; whether it was below that.
fn count(counter: &mut u32, most: u32) -> bool {
    let is_below = *counter < most;
    *counter += u32::from(is_below);
    is_below
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn strangers_wait_for_the_next_window_and_keep_nobody_out() {
        let mut knocks = Knocks::default();
        let let_in = (0..200u8).filter(|n| knocks.wait(at(10), [*n; 16], false).is_none()).count();
        assert_eq!(let_in, MAX_UNKNOWN as usize);
        assert_eq!(knocks.wait(at(20), [1; 16], false), Some(Duration::from_secs(40)));
        assert_eq!(knocks.wait(at(20), [2; 16], true), None);
        assert_eq!(knocks.wait(at(60), [1; 16], false), None);
    }

    #[test]
    fn one_token_leaves_room_for_another_and_all_are_bounded() {
        let mut knocks = Knocks::default();
        let mut let_in =
            |token: u8| (0..300).filter(|_| knocks.wait(at(0), [token; 16], true).is_none()).count();
        assert_eq!(let_in(0), MAX_PER_TOKEN as usize);
        let all: usize = (1..100).map(&mut let_in).sum();
        assert_eq!(all, (MAX_KNOWN - MAX_PER_TOKEN) as usize);
        assert!(knocks.per_token.len() <= 100);
    }
}
