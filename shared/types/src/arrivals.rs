//! When members' updates arrive, as the replicated state remembers it.

use crate::{MemberId, Round};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// How many of each member's arrivals are kept, the latest ones.
pub const KEPT_ARRIVALS: usize = 16;
/// Arrivals of so many of the latest rounds are looked at.
const RECENT_ROUNDS: u64 = 32;

/// How long after its opening updates of a round arrived, of each member, in milliseconds of collecting.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrivals(BTreeMap<MemberId, VecDeque<(Round, u64)>>);

impl Arrivals {
    /// An update of a member that was counted in a round arrived then.
    pub fn keep(&mut self, member: MemberId, round: Round, arrived_ms: u64) {
        let kept = self.0.entry(member).or_default();
        kept.push_back((round, arrived_ms));
        if kept.len() > KEPT_ARRIVALS {
            kept.pop_front();
        }
    }

    /// A member is gone.
    pub fn forget(&mut self, member: MemberId) {
        self.0.remove(&member);
    }

    /// Those of one member in the latest rounds, of which `last` is the last, oldest first.
    pub fn of(&self, member: MemberId, last: Round) -> impl Iterator<Item = u64> {
        let kept = self.0.get(&member).into_iter().flatten();
        kept.filter(move |(round, _)| round.0 + RECENT_ROUNDS > last.0).map(|(_, arrived_ms)| *arrived_ms)
    }

    /// Whether no more is kept than may be, and of these members only.
    pub fn are_bounded(&self, is_member: impl Fn(MemberId) -> bool) -> bool {
        self.0.iter().all(|(member, kept)| is_member(*member) && kept.len() <= KEPT_ARRIVALS)
    }
}
