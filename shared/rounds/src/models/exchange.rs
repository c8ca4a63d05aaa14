//! Models between members: announcing, asking and answering, each at a bounded rate.
//!
//! What is on this member's disk, and what is opened, is decided in the parent module.

use crate::step::{Step, back_off};
use crate::{Arrival, EnvelopeHandle, Output, RoundEvent, View, Work, WorkId, WorkResult};
use rafty_types::{Digest, Frame, Label, MemberId, RunId, Tenure, Time, Version};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// How long a missing model is waited for before it is asked for: mostly it is under way already. What a process misses
/// from its start on was sent before, so that is asked for at once.
const ASK_AFTER: Duration = Duration::from_secs(2);
/// The same over a slow way, where a first byte takes seconds.
const SLOW_ASK_AFTER: Duration = Duration::from_secs(15);
/// Pause after a model was asked for, until the next member is asked; doubles up to [`ASK_LONGEST`].
const ASK_FIRST: Duration = Duration::from_secs(2);
const ASK_LONGEST: Duration = Duration::from_secs(60);
/// How long a model that is on its way is not asked for: one of 1 MB takes some two minutes at 64 kbit/s. Whoever sends it may
/// have other plans.
const ARRIVES_WITHIN: Duration = Duration::from_secs(600);
/// How many asking members are served at a time, and how many answers are kept for those that ask again.
const MAX_ANSWERS: usize = 4;
/// How long an answer is kept: a way that broke goes on where it broke only with the very same bytes.
const ANSWER_KEPT_FOR: Duration = Duration::from_secs(300);
/// Whoever asks again sooner has been started anew: what was sent still goes to the process before, which is dead, and
/// the transport takes so long to see that.
const ANSWER_ANEW_WITHIN: Duration = Duration::from_secs(12);
/// How long a member that was served must wait before it is served again.
const ANSWER_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Exchange {
    /// Nothing was missing at some time since the process started.
    was_up_to_date: bool,
    asking: Option<Asking>,
    /// Answers being sealed.
    answering: BTreeMap<WorkId, Answer<()>>,
    /// Answers that were sent, the oldest first.
    sent: VecDeque<(Answer<EnvelopeHandle>, Time)>,
    /// What each member is sending this one.
    arriving: BTreeMap<MemberId, Digest>,
    /// When each member was last served.
    answered: BTreeMap<MemberId, Time>,
    /// The tenure in which the current model was last announced, and when the next time is.
    announcing: Option<(Tenure, Time)>,
}

#[derive(Debug)]
pub(super) struct Asking {
    model: Digest,
    tries: u32,
    next: Time,
    /// When somebody was asked last.
    asked: Option<Time>,
    whom: Option<MemberId>,
    /// Whoever sent half of it has the other half ready.
    rather: Option<MemberId>,
    /// Until when what is on its way is waited for.
    patience: Option<Time>,
}

/// A model for a member, and how that can open it.
#[derive(Debug, PartialEq, Eq)]
struct Answer<T> {
    to: MemberId,
    rsa_public: Vec<u8>,
    model: Digest,
    sealed: T,
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
            let wait = match (self.was_up_to_date, step.view.slow_way) {
                (false, _) => Duration::ZERO,
                (true, false) => ASK_AFTER,
                (true, true) => SLOW_ASK_AFTER,
            };
            let next = step.now + wait;
            self.asking =
                Some(Asking { model, tries: 0, next, asked: None, whom: None, rather: None, patience: None });
        }
        let Some(asking) = &mut self.asking else { return };
        // Of a member that was removed, nothing more is heard, not even that what it sent breaks off.
        self.arriving.retain(|member, _| step.view.member(*member).is_some());
        let is_coming = self.arriving.values().any(|content| *content == model);
        let was_coming = asking.patience == Some(asking.next);
        if asking.next <= step.now || was_coming && !is_coming {
            let patience = *asking.patience.get_or_insert(step.now + ARRIVES_WITHIN);
            if is_coming && step.now < patience {
                asking.next = patience;
            } else {
                asking.ask(step, run, version);
            }
        }
        step.wake(asking.next);
    }

    /// Whether a model is expected of whoever sealed it: the aggregator, or the member that was asked for it.
    pub(super) fn is_expected(&self, view: &View<'_>, label: &Label) -> bool {
        let asked = self.asking.as_ref().filter(|asking| asking.model == label.content);
        view.tenure.is_some_and(|tenure| tenure.holder == label.sender)
            || asked.and_then(|asking| asking.whom) == Some(label.sender)
    }

    /// An envelope begins to come, or has stopped half-way.
    pub(super) fn on_arrival(&mut self, step: &Step<'_>, from: MemberId, content: Digest, arrival: Arrival) {
        if arrival == Arrival::Begins {
            self.arriving.retain(|member, _| step.view.member(*member).is_some());
            self.arriving.insert(from, content);
            return;
        }
        if let Some(asking) = self.arrived(step, from, content) {
            asking.rather = Some(from);
        }
    }

    /// Nothing is on its way from this member any more: where that was of no use, it is asked for again soon.
    pub(super) fn arrived(
        &mut self,
        step: &Step<'_>,
        from: MemberId,
        content: Digest,
    ) -> Option<&mut Asking> {
        self.arriving.remove(&from);
        let is_patient = |asking: &Asking| asking.patience.is_none_or(|until| step.now < until);
        let asking = self.asking.as_mut().filter(|asking| asking.model == content && is_patient(asking))?;
        asking.next = asking.asked.map_or(step.now, |asked| step.now.max(asked + ASK_FIRST));
        Some(asking)
    }

    /// A holder of `model` is known: it need not be waited for any longer before it is asked for; over a slow way it may still
    /// be coming.
    pub(super) fn on_announce(&mut self, step: &Step<'_>, model: Digest) {
        let asking = self.asking.as_mut().filter(|asking| asking.model == model && asking.tries == 0);
        if let Some(asking) = asking.filter(|_| !step.view.slow_way) {
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
        let busy = self.answering.len() >= MAX_ANSWERS || self.answering.values().any(|one| one.to == from);
        if soon || busy {
            return; // it asks again, this member or another
        }
        self.answered.insert(from, step.now);
        if !asker.can_be_sealed_to() {
            return step.event(RoundEvent::CannotSealTo { model, members: vec![from] });
        }
        let answer = Answer { to: from, rsa_public: asker.rsa_public.to_vec(), model, sealed: () };
        if let Some(at) = self.sent.iter().position(|(sent, _)| sent.is_again(&answer)) {
            let (sent, until) = &self.sent[at];
            if step.now + ANSWER_KEPT_FOR >= *until + ANSWER_ANEW_WITHIN {
                return step.emit(Output::SendTo { member: from, envelope: sent.sealed });
            }
            let old = sent.sealed;
            self.sent.remove(at);
            step.drop_envelope(old);
        }
        let label = step.view.model_label(run, version, model);
        let recipients = vec![(from, answer.rsa_public.clone())];
        self.answering.insert(step.work(Work::SealModel { model, label, recipients }), answer);
    }

    /// Takes the report of a sealed answer, or gives it back.
    pub(super) fn on_done(
        &mut self,
        step: &mut Step<'_>,
        order: WorkId,
        result: WorkResult,
    ) -> Option<WorkResult> {
        let Some(answer) = self.answering.remove(&order) else { return Some(result) };
        match result {
            WorkResult::Sealed { envelope } => {
                step.emit(Output::SendTo { member: answer.to, envelope });
                let Answer { to, rsa_public, model, sealed: () } = answer;
                let answer = Answer { to, rsa_public, model, sealed: envelope };
                self.sent.push_back((answer, step.now + ANSWER_KEPT_FOR));
            }
            other => {
                let reason = super::in_words(other);
                step.event(RoundEvent::WorkFailed { what: "sealing a model".into(), reason });
            }
        }
        None
    }

    /// Drops the answers that nobody has asked for again.
    pub(super) fn drop_old_answers(&mut self, step: &mut Step<'_>) {
        let now = step.now;
        let is_old = |(_, until): &(_, Time)| *until <= now;
        while self.sent.len() > MAX_ANSWERS || self.sent.front().is_some_and(is_old) {
            let Some((answer, _)) = self.sent.pop_front() else { return };
            step.drop_envelope(answer.sealed);
        }
        if let Some((_, until)) = self.sent.front() {
            step.wake(*until);
        }
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

impl Asking {
    fn ask(&mut self, step: &mut Step<'_>, run: RunId, version: Version) {
        let alive = |id: &MemberId| step.view.member(*id).is_some_and(|member| member.alive);
        let model = self.model;
        if let Some(of) = self.rather.take().filter(alive).or_else(|| whom_to_ask(step, self.tries)) {
            step.frame(Some(of), Frame::FetchModel { run, version, model });
            step.event(RoundEvent::ModelAsked { version, model, of });
            self.whom = Some(of);
        }
        self.asked = Some(step.now);
        self.next = step.now + back_off(ASK_FIRST, ASK_LONGEST, self.tries);
        self.tries = self.tries.saturating_add(1);
    }
}

impl Answer<EnvelopeHandle> {
    /// Whether it answers the same question.
    fn is_again(&self, answer: &Answer<()>) -> bool {
        (self.to, &self.rsa_public, self.model) == (answer.to, &answer.rsa_public, answer.model)
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
