//! When members' updates arrive, as the replicated state remembers it.

use crate::MemberId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// How many of each member's arrivals are kept, the latest ones.
pub const KEPT_ARRIVALS: usize = 16;

/// How long after its opening updates of a round arrived, of each member, in milliseconds of collecting.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrivals(BTreeMap<MemberId, VecDeque<u64>>);

impl Arrivals {
    /// An update of a member that was counted arrived then.
    pub fn keep(&mut self, member: MemberId, arrived_ms: u64) {
        let kept = self.0.entry(member).or_default();
        kept.push_back(arrived_ms);
        if kept.len() > KEPT_ARRIVALS {
            kept.pop_front();
        }
    }

    /// A member is gone.
    pub fn forget(&mut self, member: MemberId) {
        self.0.remove(&member);
    }

    /// Those of one member, oldest first.
    pub fn of(&self, member: MemberId) -> impl Iterator<Item = u64> {
        self.0.get(&member).into_iter().flatten().copied()
    }

    /// Whether no more is kept than may be, and of these members only.
    pub fn are_bounded(&self, is_member: impl Fn(MemberId) -> bool) -> bool {
        self.0.iter().all(|(member, kept)| is_member(*member) && kept.len() <= KEPT_ARRIVALS)
    }
}
