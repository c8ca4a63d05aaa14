//! `Sending`: an update is sealed for one attempt and sent, and sent again until it is judged.
//!
//! The verdict itself is recognised in the parent module.

use crate::models::in_words;
use crate::step::{Step, back_off};
use crate::{AttemptKey, EnvelopeHandle, Output, RoundEvent, View, Work, WorkId, WorkResult};
use rafty_types::{Digest, EnvelopeKind, MemberId, Round, Time, Version};
use std::time::Duration;

/// Pause before an update is sent again for want of a verdict; doubles up to [`AGAIN_LONGEST`].
const AGAIN_FIRST: Duration = Duration::from_secs(2);
const AGAIN_LONGEST: Duration = Duration::from_secs(30);

/// What an update is sealed for: it goes to one aggregator, for one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) key: AttemptKey,
    pub(super) holder: MemberId,
}

impl Target {
    pub(super) fn of(view: &View<'_>) -> Option<Self> {
        Some(Self { key: view.attempt()?, holder: view.tenure?.holder })
    }
}

#[derive(Debug)]
pub(super) struct Sending {
    target: Target,
    version: Version,
    update: Digest,
    stage: Stage,
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

impl Sending {
    pub(super) fn new(target: Target, version: Version, update: Digest) -> Self {
        Self { target, version, update, stage: Stage::Unsealed { from: Time::ZERO, failures: 0 } }
    }

    pub(super) fn target(&self) -> Target {
        self.target
    }

    /// Lets go of the envelope, which was judged. One that is still being sealed is dropped when it comes.
    pub(super) fn let_go(&mut self, step: &mut Step<'_>) {
        if let Some(envelope) = self.take_envelope(step.now) {
            step.drop_envelope(envelope);
        }
    }

    /// The same of one that nobody needs any more: over a slow way it would keep the next one waiting.
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
        let pause = back_off(AGAIN_FIRST, AGAIN_LONGEST, failures);
        self.stage = match result {
            WorkResult::Sealed { envelope } => {
                let Target { key, holder } = self.target;
                step.event(RoundEvent::UpdateSealed { key, to: holder });
                let everyone = step.view.members.len() <= step.view.settings.broadcast_members as usize;
                step.emit(match everyone {
                    true => Output::Broadcast { envelope },
                    false => Output::SendTo { member: holder, envelope },
                });
                Stage::Sent { envelope, tries: 1, again: step.now + AGAIN_FIRST }
            }
            other => {
                step.event(RoundEvent::WorkFailed {
                    what: "sealing an update".into(),
                    reason: in_words(other),
                });
                Stage::Unsealed { from: step.now + pause, failures: failures.saturating_add(1) }
            }
        };
        None
    }

    pub(super) fn advance(&mut self, step: &mut Step<'_>) {
        match &mut self.stage {
            Stage::Unsealed { from, failures } if *from <= step.now => {
                let failures = *failures;
                if let Some(work) = self.seal(step) {
                    self.stage = Stage::Sealing { work, failures };
                }
            }
            Stage::Unsealed { from, .. } => step.wake(*from),
            Stage::Sealing { .. } => {}
            Stage::Sent { envelope, tries, again } => {
                if *again <= step.now {
                    // Everyone had it once; only the aggregator's answer is missing.
                    step.emit(Output::SendTo { member: self.target.holder, envelope: *envelope });
                    step.event(RoundEvent::UpdateResent { key: self.target.key, tries: *tries });
                    *again = step.now + back_off(AGAIN_FIRST, AGAIN_LONGEST, *tries);
                    *tries = tries.saturating_add(1);
                }
                step.wake(*again);
            }
        }
    }

    fn seal(&self, step: &mut Step<'_>) -> Option<WorkId> {
        let rsa_public = step.view.tenure?.rsa_public.to_vec();
        let label = step.view.label(self.target.key, EnvelopeKind::Update, self.version, self.update);
        Some(step.work(Work::SealUpdate { update: self.update, label, to: self.target.holder, rsa_public }))
    }

    pub(super) fn waiting_for(&self, round: Round) -> String {
        let holder = self.target.holder;
        match &self.stage {
            Stage::Sent { tries: 1, .. } => {
                format!("its update of round {round} is on its way to member {holder}")
            }
            Stage::Sent { tries, .. } => format!(
                "its update of round {round} was sent {tries} times; waits for a verdict of member {holder}"
            ),
            _ => format!("seals its update of round {round} for member {holder}"),
        }
    }
}
