//! Whose updates were refused in a round, how often, and who is out of it for that.
//!
//! An aggregator keeps this for one round of its tenure: the next one judges anew.

use crate::step::Step;
use crate::{AttemptKey, RoundEvent};
use rafty_types::{Digest, MemberId, Refusal, Round, RunId, Tenure};
use std::collections::BTreeMap;

/// Whose updates were refused so often in a round is out of it, whatever the reasons.
pub(super) const OUT_AFTER: u32 = 3;

/// The refusals of one round.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    round: Option<(Tenure, RunId, Round)>,
    of: BTreeMap<MemberId, Refused>,
}

#[derive(Debug)]
struct Refused {
    times: u32,
    last: Refusal,
    /// The log would not accept it after it was folded; it is not to be folded again.
    barred: Option<Digest>,
}

impl Refusals {
    /// Forgets those of another round.
    pub(super) fn follow(&mut self, round: Option<(Tenure, RunId, Round)>) {
        if self.round != round {
            *self = Self { round, of: BTreeMap::new() };
        }
    }

    /// Counts a refusal, and says when its sender is out of the round by it.
    pub(super) fn count(
        &mut self,
        step: &mut Step<'_>,
        key: AttemptKey,
        participant: MemberId,
        refusal: Refusal,
    ) {
        let refused = self.of.entry(participant).or_insert(Refused { times: 0, last: refusal, barred: None });
        refused.times = refused.times.saturating_add(1);
        refused.last = refusal;
        if refused.times == OUT_AFTER {
            step.event(RoundEvent::OutOfRound { key, participant, refusal });
        }
    }

    /// Of a member whose refusal was counted: this update is not to be opened again.
    pub(super) fn bar(&mut self, member: MemberId, update: Digest) {
        if let Some(refused) = self.of.get_mut(&member) {
            refused.barred = Some(update);
        }
    }

    pub(super) fn is_barred(&self, member: MemberId, update: Digest) -> bool {
        self.of.get(&member).is_some_and(|refused| refused.barred == Some(update))
    }

    /// Who is out, and why its last update was refused.
    pub(super) fn out(&self) -> BTreeMap<MemberId, Refusal> {
        let out = self.of.iter().filter(|(_, refused)| refused.times >= OUT_AFTER);
        out.map(|(member, refused)| (*member, refused.last)).collect()
    }
}
