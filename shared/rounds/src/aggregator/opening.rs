//! One update on its way through a worker. It may come back after the attempt it was sent for is over.

use crate::{AttemptKey, EnvelopeHandle, WorkId};
use rafty_types::Label;

#[derive(Debug)]
pub(super) struct Opening {
    pub(super) work: WorkId,
    pub(super) label: Label,
    pub(super) envelope: EnvelopeHandle,
    /// When it arrived, in milliseconds of collecting; `None` where that does not tell how long its sender takes.
    pub(super) arrived_ms: Option<u64>,
}

impl Opening {
    pub(super) fn key(&self) -> AttemptKey {
        AttemptKey::of(&self.label)
    }
}
