//! When the aggregator is killed: as late in the run as half-way, as bad a moment as there is.
//!
//! Pure; who does it is the demo.

use super::story::Story;
use rafty_types::{MemberId, Round};

/// Whom to kill now, and in which round: the current aggregator, once at least half of `rounds` are reached, while a
/// round is open that has taken in an update and is not closed yet.
pub(crate) fn target(story: &Story, rounds: u32) -> Option<(MemberId, Round)> {
    let (round, fact) = story.open_round()?;
    let late_enough = round.0 >= half_way(rounds);
    let (_, tenure) = story.tenure()?;
    let halfway_in = !fact.accepted.is_empty() && !fact.closed;
    (story.kill.is_none() && late_enough && halfway_in).then_some((tenure.aggregator, round))
}

/// The first round in which a kill may come.
pub(crate) fn half_way(rounds: u32) -> u64 {
    u64::from(rounds / 2).max(1)
}
