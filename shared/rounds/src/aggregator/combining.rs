//! `Combining`: the accumulator is finished into the new model, on this member's disk.
//!
//! How updates combine is a worker's.

use super::Next;
use super::taken::Taken;
use crate::models::{Models, in_words};
use crate::step::Step;
use crate::{RoundEvent, RunView, Work, WorkId, WorkResult};

#[derive(Debug)]
pub(super) struct Combining {
    pub(super) taken: Taken,
    pub(super) work: WorkId,
    pub(super) duration_ms: u64,
}

impl Combining {
    pub(super) fn begin(step: &mut Step<'_>, run: &RunView<'_>, taken: Taken, duration_ms: u64) -> Self {
        let work = step.work(Work::Combine { key: taken.key, spec: run.spec.clone() });
        Self { taken, work, duration_ms }
    }

    pub(super) fn on_done(&mut self, step: &mut Step<'_>, models: &mut Models, result: WorkResult) -> Next {
        match result {
            WorkResult::Model { digest } => {
                models.hold(digest);
                step.event(RoundEvent::Combined { key: self.taken.key, model: digest });
                Next::Publish { model: digest }
            }
            other => Next::Fail(format!("the updates could not be combined: {}", in_words(other))),
        }
    }

    /// An attempt whose update may not count any more is not worth finishing.
    pub(super) fn advance(&mut self, step: &mut Step<'_>) -> Next {
        match self.taken.lost(step.view) {
            Some(member) => {
                Next::Fail(format!("the accepted update of member {member} does not count any more"))
            }
            None => Next::Stay,
        }
    }
}
