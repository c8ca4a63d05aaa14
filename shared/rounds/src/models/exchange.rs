//! Models between members: announcing, asking and answering, each at a bounded rate.
//!
//! What is on this member's disk, and what is opened, is decided in the parent module.

use crate::step::{Step, back_off};
use crate::{Output, RoundEvent, Work, WorkId, WorkResult};
use rafty_types::{Digest, Frame, MemberId, RunId, Tenure, Time, Version};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a missing model is waited for before it is asked for: mostly it is under way already. What a process misses
/// from its start on was sent before, so that is asked for at once.
const ASK_AFTER: Duration = Duration::from_secs(2);
/// Pause after a model was asked for, until the next member is asked; doubles up to [`ASK_LONGEST`].
const ASK_FIRST: Duration = Duration::from_secs(2);
const ASK_LONGEST: Duration = Duration::from_secs(60);
/// How many asking members are served at a time.
const MAX_ANSWERS: usize = 4;
/// How long a member that was served must wait before it is served again.
const ANSWER_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Exchange {
    /// Nothing was missing at some time since the process started.
    was_up_to_date: bool,
    asking: Option<Asking>,
    /// Answers being sealed, for whom.
    answering: BTreeMap<WorkId, MemberId>,
    /// When each member was last served.
    answered: BTreeMap<MemberId, Time>,
    /// The tenure in which the current model was last announced, and when the next time is.
    announcing: Option<(Tenure, Time)>,
}

#[derive(Debug)]
struct Asking {
    model: Digest,
    tries: u32,
    next: Time,
}

impl Exchange {
    /// Asks for a missing model, one member after another, ever more slowly but without end: it is needed.
    pub(super) fn fetch(&mut self, step: &mut Step<'_>, missing: Option<(RunId, Version, Digest)>) {
        let Some((run, version, model)) = missing else {
            self.was_up_to_date = true;
            self.asking = None;
            return;
        };
        if self.asking.as_ref().is_none_or(|asking| asking.model != model) {
            let wait = if self.was_up_to_date { ASK_AFTER } else { Duration::ZERO };
            self.asking = Some(Asking { model, tries: 0, next: step.now + wait });
        }
        let Some(asking) = &mut self.asking else { return };
        if asking.next <= step.now {
            if let Some(of) = whom_to_ask(step, asking.tries) {
                step.frame(Some(of), Frame::FetchModel { run, version, model });
                step.event(RoundEvent::ModelAsked { version, model, of });
            }
            asking.next = step.now + back_off(ASK_FIRST, ASK_LONGEST, asking.tries);
            asking.tries = asking.tries.saturating_add(1);
        }
        step.wake(asking.next);
    }

    /// A holder of `model` is known: it need not be waited for any longer before it is asked for.
    pub(super) fn on_announce(&mut self, step: &Step<'_>, model: Digest) {
        if let Some(asking) = self.asking.as_mut().filter(|asking| asking.model == model && asking.tries == 0)
        {
            asking.next = step.now;
        }
    }

    /// A member asks for a model that is on this member's disk.
    pub(super) fn on_fetch(
        &mut self,
        step: &mut Step<'_>,
        from: MemberId,
        run: RunId,
        version: Version,
        model: Digest,
    ) {
        self.answered.retain(|member, _| step.view.member(*member).is_some());
        let Some(asker) = step.view.member(from).filter(|asker| asker.id != step.view.me) else { return };
        let soon = self.answered.get(&from).is_some_and(|at| step.now < *at + ANSWER_EVERY);
        let busy = self.answering.len() >= MAX_ANSWERS || self.answering.values().any(|to| *to == from);
        if soon || busy {
            return; // it asks again, this member or another
        }
        self.answered.insert(from, step.now);
        let label = step.view.model_label(run, version, model);
        let recipients = vec![(from, asker.rsa_public.to_vec())];
        self.answering.insert(step.work(Work::SealModel { model, label, recipients }), from);
    }

    /// Takes the report of a sealed answer, or gives it back.
    pub(super) fn on_done(
        &mut self,
        step: &mut Step<'_>,
        order: WorkId,
        result: WorkResult,
    ) -> Option<WorkResult> {
        let Some(member) = self.answering.remove(&order) else { return Some(result) };
        match result {
            WorkResult::Sealed { envelope } => {
                step.emit(Output::SendTo { member, envelope });
                step.drop_envelope(envelope);
            }
            other => {
                let reason = super::in_words(other);
                step.event(RoundEvent::WorkFailed { what: "sealing a model".into(), reason });
            }
        }
        None
    }

    /// As aggregator, names the current model at the start of the tenure and every `announce_every`, once there is
    /// one that was published.
    pub(super) fn announce(&mut self, step: &mut Step<'_>, held: Option<Digest>) {
        let Some(tenure) = step.view.my_tenure() else {
            self.announcing = None;
            return;
        };
        let published = step.view.run.filter(|run| run.model.is_some() && run.model == held);
        let Some((run, model)) = published.zip(held) else { return };
        let due = self.announcing.is_none_or(|(last, next)| last != tenure.tenure || next <= step.now);
        if due {
            step.frame(None, Frame::Announce { run: run.id, version: run.version, model });
            self.announcing = Some((tenure.tenure, step.now + step.view.settings.announce_every));
        }
        self.announcing.into_iter().for_each(|(_, next)| step.wake(next));
    }
}

/// The aggregator first, then the others that are alive, in turn.
fn whom_to_ask(step: &Step<'_>, tries: u32) -> Option<MemberId> {
    let view = step.view;
    let holder = view.tenure.map(|tenure| tenure.holder);
    let mut alive: Vec<_> =
        view.members.iter().filter(|member| member.alive && member.id != view.me).map(|m| m.id).collect();
    alive.sort_by_key(|id| (Some(*id) != holder, *id));
    let turn = (tries as usize).checked_rem(alive.len())?;
    alive.get(turn).copied()
}
