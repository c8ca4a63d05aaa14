//! Which envelopes are of use, as far as their heads tell: their bodies may be long.

use crate::View;
use crate::machine::Rounds;
use rafty_types::{Digest, EnvelopeKind, Label, MemberId, RunId};

impl Rounds {
    /// Whether the body of an envelope with this label would be looked at by its recipient. Updates that come late are, too:
    /// they show that their sender trains.
    pub fn would_take(&self, view: &View<'_>, from: MemberId, label: &Label) -> bool {
        let sound = view.is_sound(label, from) && view.member(from).is_some();
        sound
            && match label.kind {
                EnvelopeKind::Update => self.base(view).is_some_and(|(run, _)| run == label.run),
                EnvelopeKind::Publication | EnvelopeKind::Model => self.models.would_take(view, label),
            }
    }

    /// The newest run and the model that its updates are trained from now, if this member has it.
    pub fn base(&self, view: &View<'_>) -> Option<(RunId, Digest)> {
        Some((view.run?.id, self.models.base(view)?))
    }
}
