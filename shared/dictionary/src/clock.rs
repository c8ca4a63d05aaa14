//! The peer set's own time: how many milliseconds have passed for it, by the monotonic clocks of its leaders.
//!
//! No wall clock decides anything: one that is wrong, once, would let tokens in for years or shut them out. A leader
//! stamps what it has applied and the time that has passed since; the latest stamp counts. So time stands still while
//! nobody leads. In a state that comes from format 4 it is wall time until the first such stamp is applied.

use crate::roster::ensure;
use rafty_types::{Rejection, Stamp};
use serde::{Deserialize, Serialize};

/// Longest time that one stamp may add. A leader that proposes nothing for longer loses the rest.
pub const MAX_STEP_MS: u64 = 31 * DAY_MS;
/// Longest time that a token may be good for.
pub const MAX_TTL_MS: u64 = 3_650 * DAY_MS;
/// Longest time that a token which expired by a wall clock stays good once elapsed time counts: that wall clock may
/// have been years ahead when the token was made.
pub const MENDED_TTL_MS: u64 = 30 * DAY_MS;
const DAY_MS: u64 = 86_400_000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Clock {
    /// What time it is: elapsed time, or wall time as long as `by_wall`.
    pub(crate) now_ms: u64,
    /// The wall clock of the leader that stamped last, in milliseconds since 1970; for display.
    pub(crate) wall_ms: u64,
    /// Whether the state comes from format 4 and no elapsed time was stamped yet.
    pub(crate) by_wall: bool,
}

/// How the command beside a stamp is to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stamped {
    /// By the rules of format 4.
    ByWall,
    /// By today's rules.
    Elapsed,
    /// By today's rules, and elapsed time begins here.
    First {
        /// What time it was until now, by wall clocks.
        wall_ms: u64,
    },
    /// Not at all: wall time does not count any more.
    TooLate,
}

impl Clock {
    pub(crate) fn stamped(&mut self, stamp: Stamp) -> Stamped {
        match stamp {
            Stamp::Wall(ms) if self.by_wall => {
                self.now_ms = self.now_ms.max(ms);
                Stamped::ByWall
            }
            Stamp::Wall(_) => Stamped::TooLate,
            Stamp::Elapsed { elapsed_ms, wall_ms } => {
                let before = *self;
                let since = if before.by_wall { 0 } else { before.now_ms };
                let now_ms = elapsed_ms.clamp(since, since.saturating_add(MAX_STEP_MS));
                *self = Self { now_ms, wall_ms, by_wall: false };
                if before.by_wall { Stamped::First { wall_ms: before.now_ms } } else { Stamped::Elapsed }
            }
        }
    }
}

/// A record that is good for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expiring<T> {
    /// The record.
    pub record: T,
    /// What time it is for the peer set when it expires, in milliseconds.
    pub expires_ms: u64,
}

impl<T> Expiring<T> {
    /// How long it is still good, in milliseconds; 0 when it has expired.
    pub fn left_ms(&self, now_ms: u64) -> u64 {
        self.expires_ms.saturating_sub(now_ms)
    }

    /// Whether it is good no more.
    pub fn has_expired(&self, now_ms: u64) -> bool {
        self.left_ms(now_ms) == 0
    }

    /// Elapsed time begins at 0, and wall time was `wall_ms`.
    pub(crate) fn count_elapsed(&mut self, wall_ms: u64) {
        self.expires_ms = self.left_ms(wall_ms).min(MENDED_TTL_MS);
    }
}

/// When what is made now and lasts `ttl_ms` expires.
pub(crate) fn expiry(now_ms: u64, by_wall: bool, ttl_ms: u64) -> Result<u64, Rejection> {
    if by_wall {
        ensure(ttl_ms > now_ms, "the token has expired already")?;
        return Ok(ttl_ms);
    }
    ensure((1..=MAX_TTL_MS).contains(&ttl_ms), "a token is good for 1 ms to 3,650 days")?;
    Ok(now_ms.saturating_add(ttl_ms))
}
