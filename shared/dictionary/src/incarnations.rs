//! What members said of their starts, and what they have acknowledged: whoever comes with less is an older copy.
//!
//! Here it is only recorded, in the order of the log. Who is a copy is judged by [`Hello`](rafty_types::Hello).

use crate::roster::ensure;
use rafty_types::{MAX_INCARNATION_RISE, MemberId, RecordedIncarnation, Rejection};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecordedIncarnations(BTreeMap<MemberId, RecordedIncarnation>);

impl RecordedIncarnations {
    pub(crate) fn of(&self, member: MemberId) -> Option<RecordedIncarnation> {
        self.0.get(&member).copied()
    }

    /// Records what is newer; numbers only rise, and by no more than can be. All of `recorded` are members.
    pub(crate) fn record(&mut self, recorded: Vec<RecordedIncarnation>) {
        for new in recorded {
            let old = self.0.get(&new.member);
            let (number, nonce) = (new.incarnation.number, new.incarnation.nonce);
            let same = old.is_some_and(|old| old.incarnation.nonce == nonce);
            let before = old.map_or(0, |old| old.incarnation.number);
            let rises = number > before || same && number == before;
            if rises && number - before <= MAX_INCARNATION_RISE {
                let matched = old.map_or(new.matched, |old| old.matched.max(new.matched));
                self.0.insert(new.member, RecordedIncarnation { matched, ..new });
            }
        }
    }

    /// A member is gone.
    pub(crate) fn forget(&mut self, member: MemberId) {
        self.0.remove(&member);
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = (&MemberId, &RecordedIncarnation)> {
        self.0.iter()
    }
}

/// At most one for each member.
pub(crate) fn check(
    recorded: &[RecordedIncarnation],
    is_member: impl Fn(MemberId) -> bool,
) -> Result<(), Rejection> {
    ensure(recorded.windows(2).all(|pair| pair[0].member < pair[1].member), "each member is recorded once")?;
    ensure(recorded.iter().all(|one| is_member(one.member)), "only members are recorded")
}
