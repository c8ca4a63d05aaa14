//! What an attempt has taken in: the updates folded into its accumulator, and those refused.
//!
//! Whether an update may still come in is decided in `collecting`; what becomes of the accumulator, in `combining`.

use crate::step::{Proposing, Step};
use crate::{AttemptKey, OpenView, ProposalId, View, metrics};
use rafty_types::{
    ControlCommand, Digest, Frame, MemberId, Metrics, Publication, Refusal, RestCause, Time, Verdict, Version,
};
use std::collections::BTreeMap;

/// One attempt's intake.
#[derive(Debug)]
pub(super) struct AcceptedUpdates {
    pub(super) key: AttemptKey,
    pub(super) base: Version,
    pub(super) updates: BTreeMap<MemberId, AcceptedUpdate>,
    pub(super) refused: BTreeMap<MemberId, (Digest, Refusal)>,
    /// Who is out of the round since an earlier attempt, and why its last update was refused.
    pub(super) out: BTreeMap<MemberId, Refusal>,
}

/// An update that is folded into the accumulator; it cannot be taken out again.
#[derive(Debug)]
pub(super) struct AcceptedUpdate {
    pub(super) digest: Digest,
    pub(super) num_examples: u64,
    pub(super) metrics: Metrics,
    arrived_ms: Option<u64>,
    proposing: Proposing,
    /// Whether the view showed it as accepted, and the participant was told.
    accepted: bool,
}

impl AcceptedUpdate {
    pub(super) fn new(digest: Digest, num_examples: u64, metrics: Metrics, arrived_ms: Option<u64>) -> Self {
        Self { digest, num_examples, metrics, arrived_ms, proposing: Proposing::default(), accepted: false }
    }

    /// Whether the log has this very update of `member` as accepted.
    fn counts(&self, open: &OpenView<'_>, member: MemberId) -> bool {
        open.accepted.get(&member).is_some_and(|accepted| accepted.digest == self.digest)
    }
}

impl AcceptedUpdates {
    pub(super) fn new(key: AttemptKey, base: Version, out: BTreeMap<MemberId, Refusal>) -> Self {
        Self { key, base, updates: BTreeMap::new(), refused: BTreeMap::new(), out }
    }

    /// Whether `member` was judged in this attempt, or its update is about to be accepted, or none of it can be.
    pub(super) fn knows(&self, member: MemberId) -> bool {
        self.updates.contains_key(&member) || !self.is_in(member)
    }

    /// Whether an update of `member` may still count, or does.
    pub(super) fn is_in(&self, member: MemberId) -> bool {
        !self.refused.contains_key(&member) && !self.out.contains_key(&member)
    }

    /// Tells a member that is out of the round so. Whether it is.
    pub(super) fn refuse_out(&self, step: &mut Step<'_>, member: MemberId, update: Digest) -> bool {
        let refusal = self.out.get(&member);
        refusal.into_iter().for_each(|why| tell(step, self.key, member, update, Verdict::Refused(*why)));
        refusal.is_some()
    }

    /// Who was refused in this attempt or is out of the round, and why.
    pub(super) fn refusals(&self) -> impl Iterator<Item = (MemberId, Refusal)> {
        let refused = self.refused.iter().map(|(member, (_, why))| (*member, *why));
        refused.chain(self.out.iter().map(|(member, why)| (*member, *why)))
    }

    pub(super) fn all_accepted(&self) -> bool {
        self.updates.values().all(|update| update.accepted)
    }

    /// Brings every folded update into the log, and tells its participant once it is there.
    pub(super) fn commit(&mut self, step: &mut Step<'_>, collected_ms: u64) {
        let Some((_, open)) = step.view.open() else { return };
        let AttemptKey { tenure, run, round, attempt } = self.key;
        for (&participant, update) in self.updates.iter_mut().filter(|(_, update)| !update.accepted) {
            let AcceptedUpdate { digest, num_examples, arrived_ms, .. } = *update;
            if update.counts(&open, participant) {
                update.accepted = true;
                tell(step, self.key, participant, digest, Verdict::Accepted);
                continue;
            }
            update.proposing.propose(step, || ControlCommand::UpdateAccepted {
                tenure,
                run,
                round,
                attempt,
                participant,
                digest,
                num_examples,
                collected_ms,
                arrived_ms,
            });
        }
    }

    /// Whose update is in the accumulator but cannot count any more: the member left, or the state holds another
    /// update of it. Such an attempt cannot be published.
    pub(super) fn lost(&self, view: &View<'_>) -> Option<MemberId> {
        let (_, open) = view.open()?;
        let stands = |member: &MemberId, update: &AcceptedUpdate| {
            let none_yet = !update.accepted && !open.accepted.contains_key(member);
            update.counts(&open, *member) || none_yet && view.member(*member).is_some()
        };
        self.updates.iter().find(|(member, update)| !stands(member, update)).map(|(member, _)| *member)
    }

    /// Says the verdict again to a participant that seems not to know it.
    pub(super) fn repeat_verdict(&self, step: &mut Step<'_>, member: MemberId) {
        let accepted = self.updates.get(&member).filter(|update| update.accepted);
        if let Some(update) = accepted {
            tell(step, self.key, member, update.digest, Verdict::Accepted);
        } else if let Some((digest, refusal)) = self.refused.get(&member) {
            tell(step, self.key, member, *digest, Verdict::Refused(*refusal));
        }
    }

    pub(super) fn refuse(&mut self, step: &mut Step<'_>, member: MemberId, digest: Digest, refusal: Refusal) {
        self.refused.insert(member, (digest, refusal));
        tell(step, self.key, member, digest, Verdict::Refused(refusal));
    }

    pub(super) fn on_proposal_lost(&mut self, now: Time, id: ProposalId) {
        self.proposing(id).into_iter().for_each(|(_, update)| update.proposing.lost(now));
    }

    /// The state will not accept an update that is folded already. Returns whose. What was proposed again because a slow
    /// log said nothing for long is refused the second time: that is no fault, it counts.
    pub(super) fn on_proposal_rejected(
        &mut self,
        step: &Step<'_>,
        id: ProposalId,
    ) -> Option<(MemberId, Digest)> {
        let (member, update) = self.proposing(id)?;
        update.proposing.rejected(step.now);
        let (_, open) = step.view.open()?;
        (!update.counts(&open, member)).then_some((member, update.digest))
    }

    fn proposing(&mut self, id: ProposalId) -> Option<(MemberId, &mut AcceptedUpdate)> {
        let mut updates = self.updates.iter_mut();
        updates.find(|(_, update)| update.proposing.is(id)).map(|(member, update)| (*member, update))
    }

    /// The round's result.
    pub(super) fn publication(
        &self,
        model: Digest,
        resting: Vec<(MemberId, RestCause)>,
        duration_ms: u64,
    ) -> Publication {
        let AttemptKey { tenure, run, round, attempt } = self.key;
        let parts = self.updates.values().map(|update| (update.num_examples, update.metrics));
        Publication {
            tenure,
            run,
            round,
            attempt,
            counted: self.updates.iter().map(|(member, update)| (*member, update.digest)).collect(),
            refused: self.refusals().collect(),
            resting,
            version: self.base.next(),
            model,
            metrics: metrics::combine(parts),
            duration_ms,
        }
    }
}

fn tell(step: &mut Step<'_>, key: AttemptKey, member: MemberId, digest: Digest, verdict: Verdict) {
    let AttemptKey { tenure, run, round, attempt } = key;
    step.frame(Some(member), Frame::Verdict { tenure, run, round, attempt, digest, verdict });
}
