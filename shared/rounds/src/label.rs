//! Labels of the envelopes that rounds need, made and recognised.
//!
//! That an envelope really was sealed for its label is for a worker to find out.

use crate::{AttemptKey, View};
use rafty_types::{Attempt, Digest, EnvelopeKind, Label, MemberId, Round, RunId, Tenure, Version};

impl View<'_> {
    /// The label of something that this member seals for an attempt.
    pub(crate) fn label(
        &self,
        key: AttemptKey,
        kind: EnvelopeKind,
        version: Version,
        content: Digest,
    ) -> Label {
        Label {
            set: self.set,
            tenure: key.tenure,
            run: key.run,
            round: key.round,
            attempt: key.attempt,
            version,
            kind,
            content,
            segment: 0,
            segments: 1,
            sender: self.me,
        }
    }

    /// The label of a committed model for one member that missed it. It belongs to no attempt.
    pub(crate) fn model_label(&self, run: RunId, version: Version, model: Digest) -> Label {
        let tenure = self.tenure.map_or(Tenure(0), |tenure| tenure.tenure);
        let key = AttemptKey { tenure, run, round: Round(version.0), attempt: Attempt(0) };
        self.label(key, EnvelopeKind::Model, version, model)
    }

    /// Whether `label` can be of an envelope that `from` sealed here as one whole.
    pub(crate) fn is_sound(&self, label: &Label, from: MemberId) -> bool {
        label.set == self.set && label.sender == from && (label.segment, label.segments) == (0, 1)
    }
}
