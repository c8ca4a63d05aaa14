//! `Publishing`: the new model is sealed and sent; once a majority of voters hold it, the round is published.
//!
//! What a receiver does with it is in `models`.

use super::accepted::AcceptedUpdates;
use super::attendance::Attendance;
use super::{Next, list};
use crate::models::in_words;
use crate::step::{Proposing, Step, back_off};
use crate::{EnvelopeHandle, MemberView, Output, RoundEvent, View, Work, WorkId, WorkResult};
use rafty_types::{ControlCommand, Digest, EnvelopeKind, MemberId, Mutation, Progress, Time, planted};
use std::collections::BTreeSet;
use std::time::Duration;

/// Pause before the model is sent again to voters that have not answered; doubles up to [`AGAIN_LONGEST`].
const AGAIN_FIRST: Duration = Duration::from_secs(1);
const AGAIN_LONGEST: Duration = Duration::from_secs(15);
/// Most recipients of one envelope.
const MAX_RECIPIENTS: usize = 32;

type Recipients = Vec<(MemberId, Vec<u8>)>;

#[derive(Debug)]
pub(super) struct Publishing {
    pub(super) accepted: AcceptedUpdates,
    model: Digest,
    duration_ms: u64,
    recipients: Recipients,
    /// Who would be one, and what the log has as its key is none.
    unsealable: BTreeSet<MemberId>,
    stage: Stage,
    /// Members that said they hold the model.
    holders: BTreeSet<MemberId>,
    safe: bool,
    pub(super) proposing: Proposing,
}

#[derive(Debug)]
enum Stage {
    /// To be sealed from this time on, after so many failures.
    Unsealed {
        from: Time,
        failures: u32,
    },
    Sealing {
        work: WorkId,
        failures: u32,
    },
    Sent {
        envelope: EnvelopeHandle,
        tries: u32,
        again: Time,
    },
}

impl Publishing {
    pub(super) fn new(accepted: AcceptedUpdates, model: Digest, duration_ms: u64) -> Self {
        Self {
            accepted,
            model,
            duration_ms,
            recipients: Vec::new(),
            unsealable: BTreeSet::new(),
            stage: Stage::Unsealed { from: Time::ZERO, failures: 0 },
            holders: BTreeSet::new(),
            safe: false,
            proposing: Proposing::default(),
        }
    }

    pub(super) fn drop_envelope(&mut self, step: &mut Step<'_>) {
        if let Some(envelope) = self.take_envelope(step.now) {
            step.drop_envelope(envelope);
        }
    }

    /// Nobody needs the model any more.
    pub(super) fn withdraw(&mut self, step: &mut Step<'_>) {
        if let Some(envelope) = self.take_envelope(step.now) {
            step.withdraw_envelope(envelope);
        }
    }

    fn take_envelope(&mut self, now: Time) -> Option<EnvelopeHandle> {
        match std::mem::replace(&mut self.stage, Stage::Unsealed { from: now, failures: 0 }) {
            Stage::Sent { envelope, .. } => Some(envelope),
            Stage::Unsealed { .. } | Stage::Sealing { .. } => None,
        }
    }

    pub(super) fn on_holds(&mut self, view: &View<'_>, from: MemberId, model: Digest) {
        if model == self.model && view.member(from).is_some() {
            self.holders.insert(from);
        }
    }

    /// Takes the report of the sealing, or gives it back.
    pub(super) fn on_done(
        &mut self,
        step: &mut Step<'_>,
        order: WorkId,
        result: WorkResult,
    ) -> Option<WorkResult> {
        let failures = match self.stage {
            Stage::Sealing { work, failures } if work == order => failures,
            _ => return Some(result),
        };
        self.stage = match result {
            WorkResult::Sealed { envelope } => {
                self.send(step, envelope);
                Stage::Sent { envelope, tries: 0, again: step.now + AGAIN_FIRST }
            }
            other => {
                step.event(RoundEvent::WorkFailed {
                    what: "sealing the new model".into(),
                    reason: in_words(other),
                });
                let pause = back_off(AGAIN_FIRST, AGAIN_LONGEST, failures);
                Stage::Unsealed { from: step.now + pause, failures: failures.saturating_add(1) }
            }
        };
        None
    }

    fn send(&self, step: &mut Step<'_>, envelope: EnvelopeHandle) {
        let (key, recipients) = (self.accepted.key, self.recipients.len());
        step.event(RoundEvent::ModelSealed { key, model: self.model, recipients });
        if step.view.members.len() <= step.view.settings.broadcast_members as usize {
            return step.emit(Output::Broadcast { envelope });
        }
        for (member, _) in &self.recipients {
            step.emit(Output::SendTo { member: *member, envelope });
        }
    }

    pub(super) fn advance(&mut self, step: &mut Step<'_>, attendance: &Attendance) -> Next {
        if let Some(member) = self.accepted.lost(step.view) {
            return Next::Fail(format!("the accepted update of member {member} does not count any more"));
        }
        self.seal_for_new_voters(step);
        self.seal_or_resend(step, attendance);
        let (held, voters) = self.held(step.view);
        let safe = held * 2 > voters && self.is_on_its_way();
        if safe || planted(Mutation::PublishedWithoutHolders) {
            if !self.safe {
                self.safe = true;
                let (key, model) = (self.accepted.key, self.model);
                step.event(RoundEvent::ModelSafe { key, model, voters: held });
            }
            let (accepted, model, duration_ms) = (&self.accepted, self.model, self.duration_ms);
            let resting = attendance.resting(step.now).map(|(member, rest)| (member, rest.cause));
            self.proposing.propose(step, || {
                ControlCommand::RoundPublished(accepted.publication(model, resting.collect(), duration_ms))
            });
        }
        Next::Stay
    }

    /// Whether the model was sent to whoever can open it, or cannot be sealed now. A voter that is enough by itself would
    /// publish a model otherwise that everybody has to ask for.
    fn is_on_its_way(&self) -> bool {
        match self.stage {
            Stage::Sent { .. } => true,
            Stage::Unsealed { failures, .. } | Stage::Sealing { failures, .. } => {
                failures > 0 || self.recipients.is_empty()
            }
        }
    }

    /// How many voters hold the model, of how many.
    fn held(&self, view: &View<'_>) -> (usize, usize) {
        let holds = |id: MemberId| id == view.me || self.holders.contains(&id);
        (view.voters().filter(|voter| holds(voter.id)).count(), view.voters().count())
    }

    /// A voter that came after the sealing, or has a new key, can never open what was sealed.
    fn seal_for_new_voters(&mut self, step: &mut Step<'_>) {
        let knows = |voter: &MemberView<'_>| {
            let is_it = |(to, of): &(MemberId, Vec<u8>)| *to == voter.id && of == voter.rsa_public;
            self.recipients.iter().any(is_it) || !voter.can_be_sealed_to()
        };
        let mut others = step.view.voters().filter(|voter| voter.id != step.view.me);
        let sent = matches!(self.stage, Stage::Sent { .. });
        if sent && others.any(|voter| !self.holders.contains(&voter.id) && !knows(voter)) {
            self.drop_envelope(step);
        }
    }

    fn seal_or_resend(&mut self, step: &mut Step<'_>, attendance: &Attendance) {
        match &mut self.stage {
            Stage::Unsealed { from, failures } if *from <= step.now => {
                let failures = *failures;
                self.find_recipients(step, attendance);
                if self.recipients.is_empty() {
                    return; // a peer set of one, or of one that has a key
                }
                let (key, model) = (self.accepted.key, self.model);
                let label = step.view.label(key, EnvelopeKind::Publication, self.accepted.base.next(), model);
                let recipients = self.recipients.clone();
                self.stage = Stage::Sealing {
                    work: step.work(Work::SealModel { model, label, recipients }),
                    failures,
                };
            }
            Stage::Unsealed { from, .. } => step.wake(*from),
            Stage::Sealing { .. } => {}
            Stage::Sent { envelope, tries, again } => {
                if *again <= step.now {
                    let envelope = *envelope;
                    *again = step.now + back_off(AGAIN_FIRST, AGAIN_LONGEST, *tries + 1);
                    *tries = (*tries).saturating_add(1);
                    let me = step.view.me;
                    for voter in step.view.voters().filter(|voter| voter.alive && voter.id != me) {
                        if !self.holders.contains(&voter.id) && !self.unsealable.contains(&voter.id) {
                            step.emit(Output::SendTo { member: voter.id, envelope });
                        }
                    }
                }
                step.wake(*again);
            }
        }
    }

    fn find_recipients(&mut self, step: &mut Step<'_>, attendance: &Attendance) {
        let all = recipients(step.view, attendance, &self.accepted);
        let (able, unable): (Vec<&MemberView<'_>>, Vec<_>) =
            all.partition(|member| member.can_be_sealed_to());
        self.recipients = able.into_iter().map(|member| (member.id, member.rsa_public.to_vec())).collect();
        let unsealable: BTreeSet<_> = unable.iter().map(|member| member.id).collect();
        if self.unsealable != unsealable {
            self.unsealable = unsealable;
            let members = self.unsealable.iter().copied().collect();
            step.event(RoundEvent::CannotSealTo { model: self.model, members });
        }
    }

    pub(super) fn waiting_for(&self, view: &View<'_>) -> String {
        let what = self.what_is_missing(view);
        if self.unsealable.is_empty() {
            return what;
        }
        let members: Vec<_> = self.unsealable.iter().copied().collect();
        format!("{what}; what the log has as the key of {} is none: nothing is sealed for it", list(&members))
    }

    fn what_is_missing(&self, view: &View<'_>) -> String {
        let round = self.accepted.key.round;
        let (held, voters) = self.held(view);
        if !self.is_on_its_way() {
            return format!("round {round} is combined; seals the model");
        }
        if held * 2 > voters {
            return format!("round {round} is combined and safe; waits for the log to take the publication");
        }
        let missing: Vec<_> = view
            .voters()
            .map(|voter| voter.id)
            .filter(|id| *id != view.me && !self.holders.contains(id))
            .collect();
        format!(
            "round {round} is combined; waits for {} more of {voters} voters to store the model: {}",
            voters / 2 + 1 - held,
            list(&missing)
        )
    }
}

/// Who is to open the new model: the cohort, every member that may lead, and every voter; not its maker.
fn recipients<'a>(
    view: &View<'a>,
    attendance: &Attendance,
    accepted: &AcceptedUpdates,
) -> impl Iterator<Item = &'a MemberView<'a>> {
    let me = view.me;
    let trains = move |id| {
        accepted.knows(id) || matches!(attendance.heard(id), Some(Progress::Training(_) | Progress::Sending))
    };
    let members = view.members.iter();
    members
        .filter(move |member| member.id != me && (member.may_lead || member.seat || trains(member.id)))
        .take(MAX_RECIPIENTS)
}
