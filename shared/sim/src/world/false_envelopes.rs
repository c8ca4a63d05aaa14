//! A member that seals what it should not: models that are none, publications of attempts that are not open, and the updates
//! of others.
//!
//! It seals with its own key, as any member may; so only what is said on the envelope, and what is in it, tells.

use super::World;
use crate::rng::SimRng;
use crate::tally::Evil;
use crate::worker::sealed;
use rafty_dictionary::{OpenRound, RunState, TenureState};
use rafty_rounds::Work;
use rafty_types::{Attempt, Digest, EnvelopeHeader, EnvelopeKind, Label, MemberId, Recipient, SetId, Tenure};
use std::time::Duration;

/// In the place of a nonce: what is inside is not what the label says.
pub const FALSE_BODY: [u8; 7] = [0xee; 7];
/// So far behind the open attempt none is ever open.
const FAR_ATTEMPTS: u64 = 1_000;

impl World {
    /// A member sends one false envelope to whom it might harm.
    pub(super) fn seals_falsely(&mut self, liar: MemberId, rng: &mut SimRng) {
        let control = self.node(liar).state().control();
        let (set, tenure) = (control.set(), control.tenure().cloned());
        let (Some(run), Some(tenure)) = (control.active_run().cloned(), tenure) else { return };
        let others: Vec<_> = self.running().into_iter().filter(|id| *id != liar).collect();
        let Some(victim) = rng.pick(&others) else { return };
        let (from, to, header) = match (rng.below(4), &run.open) {
            (0, Some(open)) => {
                let stolen = self.update_of_another(liar);
                let Some(content) = stolen else { return };
                (liar, tenure.member, an_update(set, liar, &tenure, &run, open, content))
            }
            // Whoever aggregates may publish; not this.
            (1 | 2, Some(open)) => {
                let attempt = Attempt(open.attempt.0 + FAR_ATTEMPTS);
                let label = Label { attempt, ..published(set, tenure.member, tenure.tenure, &run, open) };
                (tenure.member, victim, sealed_for(victim, Digest::default(), label))
            }
            _ => {
                let Some(content) = run.model else { return };
                let label =
                    Label { kind: EnvelopeKind::Model, ..of_run(set, liar, tenure.tenure, &run, content) };
                let header = sealed_for(victim, Digest::default(), label);
                (liar, victim, EnvelopeHeader { nonce: FALSE_BODY, ..header })
            }
        };
        if from == to || !self.runs(from) {
            return;
        }
        self.tally.evil(Evil::FalseEnvelope);
        self.trace.note(self.now, || format!("{from} seals falsely for {to}: {:?}", header.label));
        self.envelope(from, to, &header, 0, Duration::ZERO);
    }

    /// An update that another member has sealed.
    fn update_of_another(&self, liar: MemberId) -> Option<Digest> {
        let others = self.members.values().filter(|member| member.id != liar);
        others.filter_map(|member| member.disk.shelf.pending).map(|pending| pending.update).next()
    }

    /// What a member's worker is to open is of an attempt that was open.
    pub(super) fn opens_what_was_published(&self, id: MemberId, work: &Work) {
        let Work::OpenModel { label, .. } = work else { return };
        assert!(
            label.kind != EnvelopeKind::Publication || label.attempt.0 < FAR_ATTEMPTS,
            "publications are of the open attempt: {id} opens one of attempt {}",
            label.attempt
        );
    }
}

fn of_run(set: SetId, sender: MemberId, tenure: Tenure, run: &RunState, content: Digest) -> Label {
    Label {
        set,
        tenure,
        run: run.id,
        round: run.round,
        attempt: Attempt(1),
        version: run.version,
        kind: EnvelopeKind::Model,
        content,
        segment: 0,
        segments: 1,
        sender,
    }
}

fn published(set: SetId, sender: MemberId, tenure: Tenure, run: &RunState, open: &OpenRound) -> Label {
    Label {
        round: open.round,
        attempt: open.attempt,
        version: run.version.next(),
        kind: EnvelopeKind::Publication,
        ..of_run(set, sender, tenure, run, Digest::of(b"a forged model"))
    }
}

fn an_update(
    set: SetId,
    sender: MemberId,
    tenure: &TenureState,
    run: &RunState,
    open: &OpenRound,
    content: Digest,
) -> EnvelopeHeader {
    let label = Label {
        round: open.round,
        attempt: open.attempt,
        kind: EnvelopeKind::Update,
        ..of_run(set, sender, tenure.tenure, run, content)
    };
    sealed_for(tenure.member, tenure.key_id, label)
}

fn sealed_for(to: MemberId, key_id: Digest, label: Label) -> EnvelopeHeader {
    sealed(label, vec![Recipient { member: to, key_id, wrapped_key: Vec::new() }])
}
