//! `Resting`: training did not come about. What keeps it is looked at again and again, if it is on the device.
//!
//! Nothing is trained here; when the rest is over, the participant begins anew.

use super::Job;
use crate::models::in_words;
use crate::step::{Step, back_off};
use crate::{Work, WorkId, WorkResult};
use rafty_types::{Mutation, Rest, RestCause, Round, Time, planted};
use std::time::Duration;

/// Pause before training is tried again after it failed; doubles up to [`FAILED_LONGEST`].
const FAILED_FIRST: Duration = Duration::from_secs(60);
const FAILED_LONGEST: Duration = Duration::from_secs(900);
/// Longest pause for a cause that is on the device: then it is tried again, whatever looking said.
const ON_DEVICE: Duration = Duration::from_secs(60);
/// How often such a cause is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// After so many failures of one job in spite of looking, looking begins later each time: training costs more.
const TRUSTED_TIMES: u32 = 2;

/// A rest.
#[derive(Debug)]
pub(super) struct Resting {
    job: Job,
    until: Time,
    cause: RestCause,
    reason: String,
    look: Look,
}

#[derive(Debug)]
enum Look {
    Never,
    From(Time),
    Under(WorkId),
}

impl Resting {
    /// After a training that gave this, the `tries`th of its job, counted from 0.
    pub(super) fn new(now: Time, job: Job, result: WorkResult, tries: u32) -> Self {
        let (cause, reason) = match result {
            WorkResult::NoData => (RestCause::Data, String::new()),
            WorkResult::HeldUp { cause, reason } => (cause, reason),
            other => (RestCause::Training, in_words(other)),
        };
        let on_device = cause.is_on_device();
        let lasts = if on_device { ON_DEVICE } else { back_off(FAILED_FIRST, FAILED_LONGEST, tries) };
        let first = back_off(LOOK_EVERY, ON_DEVICE, tries.saturating_sub(TRUSTED_TIMES));
        let looks = on_device && !planted(Mutation::RestOutlastsItsCause);
        let look = if looks { Look::From(now + first) } else { Look::Never };
        Self { job, until: now + lasts, cause, reason, look }
    }

    /// What is said of it.
    pub(super) fn rest(&self, now: Time) -> Rest {
        Rest::new(self.cause, &self.reason, self.until.saturating_since(now))
    }

    pub(super) fn is_over(&self, now: Time, job: Option<Job>) -> bool {
        Some(self.job) != job || self.until <= now
    }

    /// Looks at the cause when it is time.
    pub(super) fn advance(&mut self, step: &mut Step<'_>) {
        step.wake(self.until);
        match self.look {
            Look::From(at) if at <= step.now => {
                let (cause, base) = (self.cause, self.job.base);
                self.look = Look::Under(step.work(Work::LookAgain { cause, base }));
            }
            Look::From(at) => step.wake(at),
            Look::Never | Look::Under(_) => {}
        }
    }

    pub(super) fn looks_by(&self, order: WorkId) -> bool {
        matches!(self.look, Look::Under(under) if under == order)
    }

    /// Takes what looking said. Returns whether the cause has gone.
    pub(super) fn looked(&mut self, now: Time, result: &WorkResult) -> bool {
        self.look = Look::From(now + LOOK_EVERY);
        *result == WorkResult::Done
    }

    pub(super) fn waiting_for(&self, round: Round, now: Time) -> String {
        let (cause, left) = (self.cause, self.until.saturating_since(now).as_secs());
        let reason = if self.reason.is_empty() { String::new() } else { format!(" ({})", self.reason) };
        let looks = if cause.is_on_device() { "looks again every few seconds, and " } else { "" };
        format!("does not train round {round}: {cause}{reason}; {looks}tries again in {left} s")
    }
}
