//! `Combining`: the accumulator is finished into the new model, on this member's disk.
//!
//! How updates combine is a worker's.

use super::Next;
use super::accepted::AcceptedUpdates;
use crate::models::{Models, in_words};
use crate::step::Step;
use crate::{RoundEvent, RunView, Work, WorkId, WorkResult};

#[derive(Debug)]
pub(super) struct Combining {
    pub(super) accepted: AcceptedUpdates,
    pub(super) work: WorkId,
    pub(super) duration_ms: u64,
}

impl Combining {
    pub(super) fn begin(
        step: &mut Step<'_>,
        run: &RunView<'_>,
        accepted: AcceptedUpdates,
        duration_ms: u64,
    ) -> Self {
        let work = step.work(Work::Combine { key: accepted.key, spec: run.spec.clone() });
        Self { accepted, work, duration_ms }
    }

    pub(super) fn on_done(&mut self, step: &mut Step<'_>, models: &mut Models, result: WorkResult) -> Next {
        match result {
            WorkResult::Model { digest } => {
                models.hold(digest);
                step.event(RoundEvent::Combined { key: self.accepted.key, model: digest });
                Next::Publish { model: digest }
            }
            other => Next::Fail(format!("the updates could not be combined: {}", in_words(other))),
        }
    }

    /// An attempt whose update may not count any more is not worth finishing.
    pub(super) fn advance(&mut self, step: &mut Step<'_>) -> Next {
        match self.accepted.lost(step.view) {
            Some(member) => {
                Next::Fail(format!("the accepted update of member {member} does not count any more"))
            }
            None => Next::Stay,
        }
    }
}
