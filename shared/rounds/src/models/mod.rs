//! Models on this member's disk: deriving the first, opening what is published, fetching what was missed, serving
//! those who ask, announcing what is current.
//!
//! Every member runs this, whether it trains or not. One order that writes or deletes models is under way at a
//! time, so that nothing is deleted while it arrives. Not here: what a model is worth, and who combines the next.

mod exchange;

use crate::step::{Step, back_off};
use crate::{
    Arrival, AttemptKey, DropReason, EnvelopeHandle, Output, RoundEvent, View, Work, WorkId, WorkResult,
};
use exchange::Exchange;
use rafty_types::{Digest, EnvelopeKind, Frame, Label, MemberId, Mutation, RunId, Time, Version, planted};
use std::collections::VecDeque;
use std::time::Duration;

/// How many models are kept: as many versions back as a run can be rolled back.
const KEEP_MODELS: usize = 8;
/// How long a publication may wait for the log to tell this member of the attempt it belongs to.
const PARK_FOR: Duration = Duration::from_secs(10);
/// Pause after an order failed; doubles up to [`RETRY_LONGEST`].
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LONGEST: Duration = Duration::from_secs(60);

/// The models of one member.
#[derive(Debug)]
pub(crate) struct Models {
    /// On disk; the one needed longest ago first.
    held: VecDeque<Digest>,
    /// Version 0 of a run, known once it was derived in this process.
    initial: Option<(RunId, Digest)>,
    adopted: Option<(RunId, Version, Digest)>,
    busy: Option<(WorkId, Task)>,
    incoming: Option<Incoming>,
    failures: u32,
    paused_until: Time,
    exchange: Exchange,
}

/// The order that is under way.
#[derive(Debug)]
enum Task {
    Deriving(RunId),
    Opening(Incoming),
    Adopting(RunId, Version, Digest),
    Dropping,
}

/// A sealed model that came in.
#[derive(Debug)]
struct Incoming {
    label: Label,
    handle: EnvelopeHandle,
    since: Time,
}

/// What to do with a sealed model.
enum Fate {
    Open,
    Park,
    Drop(DropReason),
}

impl Models {
    pub(crate) fn new(held: Vec<Digest>) -> Self {
        Self {
            held: held.into(),
            initial: None,
            adopted: None,
            busy: None,
            incoming: None,
            failures: 0,
            paused_until: Time::ZERO,
            exchange: Exchange::default(),
        }
    }

    /// The run's current model, when it is on this member's disk.
    pub(crate) fn base(&self, view: &View<'_>) -> Option<Digest> {
        self.current(view).map(|(.., model)| model).filter(|model| self.holds(*model))
    }

    pub(crate) fn holds(&self, model: Digest) -> bool {
        self.held.contains(&model)
    }

    /// A model is on disk now.
    pub(crate) fn hold(&mut self, model: Digest) {
        self.held.retain(|held| *held != model);
        self.held.push_back(model);
    }

    fn current(&self, view: &View<'_>) -> Option<(RunId, Version, Digest)> {
        let run = view.run?;
        let derived = || self.initial.filter(|(id, _)| *id == run.id).map(|(_, model)| model);
        let model = run.model.or_else(derived)?;
        Some((run.id, run.version, model))
    }

    /// A sealed model came in for this member.
    pub(crate) fn on_envelope(
        &mut self,
        step: &mut Step<'_>,
        from: MemberId,
        label: Label,
        handle: EnvelopeHandle,
    ) {
        if !step.view.is_sound(&label, from) {
            return refuse(step, from, handle, DropReason::WrongLabel);
        }
        if self.holds(label.content) {
            self.answer_holds(step, &label);
            return step.drop_envelope(handle);
        }
        let expected = |label: &Label| self.exchange.is_expected(step.view, label);
        let takes_precedence = |other: &Label| !expected(other) && expected(&label);
        let opening = match &self.busy {
            Some((_, Task::Opening(opening))) if opening.label.content == label.content => Some(opening),
            _ => None,
        };
        // Whoever lies about what it sends keeps nobody else's from being opened.
        let comes_second = opening.is_some_and(|opening| !takes_precedence(&opening.label))
            || self.incoming.as_ref().is_some_and(|waiting| expected(&waiting.label) && !expected(&label));
        if comes_second {
            return refuse(step, from, handle, DropReason::Duplicate);
        }
        match fate(step.view, &label, Duration::ZERO) {
            Fate::Drop(why) => refuse(step, from, handle, why),
            Fate::Open | Fate::Park => {
                let incoming = Incoming { label, handle, since: step.now };
                if let Some(replaced) = self.incoming.replace(incoming) {
                    refuse(step, replaced.label.sender, replaced.handle, DropReason::Replaced);
                }
            }
        }
    }

    /// Whether an envelope with this label, which is sound, is looked at.
    pub(crate) fn would_take(&self, view: &View<'_>, label: &Label) -> bool {
        self.holds(label.content) || !matches!(fate(view, label, Duration::ZERO), Fate::Drop(_))
    }

    /// What is on its way need not be asked for.
    pub(crate) fn on_arrival(&mut self, step: &Step<'_>, from: MemberId, content: Digest, arrival: Arrival) {
        self.exchange.on_arrival(step, from, content, arrival);
    }

    /// What a member was sending has come, whatever becomes of it.
    pub(crate) fn on_arrived(&mut self, step: &Step<'_>, from: MemberId, content: Digest) {
        self.exchange.arrived(step, from, content);
    }

    /// Takes the frames that are about models.
    pub(crate) fn on_frame(&mut self, step: &mut Step<'_>, from: MemberId, frame: &Frame) {
        match *frame {
            Frame::Announce { model, .. } => self.exchange.on_announce(step, model),
            Frame::FetchModel { run, version, model } if self.holds(model) => {
                self.exchange.on_fetch(step, from, run, version, model);
            }
            _ => {}
        }
    }

    /// Takes a worker's report, or gives it back when the order was not from here.
    pub(crate) fn on_done(
        &mut self,
        step: &mut Step<'_>,
        order: WorkId,
        result: WorkResult,
    ) -> Option<WorkResult> {
        let Some((_, task)) = self.busy.take_if(|(id, _)| *id == order) else {
            return self.exchange.on_done(step, order, result);
        };
        match (task, result) {
            (Task::Deriving(run), WorkResult::Model { digest }) => {
                self.succeeded(digest);
                self.initial = Some((run, digest));
                step.event(RoundEvent::InitialDerived { run, model: digest });
            }
            (Task::Opening(incoming), result) => self.opened(step, &incoming, result),
            (Task::Adopting(run, version, model), WorkResult::Done) => {
                self.failures = 0;
                self.adopted = Some((run, version, model));
                step.event(RoundEvent::Adopted { run, version, model });
            }
            (Task::Dropping, WorkResult::Done) => {}
            (task, result) => self.failed(step, task.what(), result),
        }
        None
    }

    fn opened(&mut self, step: &mut Step<'_>, incoming: &Incoming, result: WorkResult) {
        step.drop_envelope(incoming.handle);
        let label = &incoming.label;
        match result {
            WorkResult::Model { digest } if digest == label.content => {
                self.succeeded(digest);
                let (version, from) = (label.version, label.sender);
                step.event(RoundEvent::ModelOpened { version, model: digest, from });
                self.answer_holds(step, label);
            }
            WorkResult::Refused(refusal) => {
                step.event(RoundEvent::ModelRefused { from: label.sender, refusal });
            }
            other => self.failed(step, "opening a model", other),
        }
    }

    fn succeeded(&mut self, model: Digest) {
        self.failures = 0;
        self.hold(model);
    }

    fn failed(&mut self, step: &mut Step<'_>, what: &str, result: WorkResult) {
        self.paused_until = step.now + back_off(RETRY_FIRST, RETRY_LONGEST, self.failures);
        self.failures = self.failures.saturating_add(1);
        step.event(RoundEvent::WorkFailed { what: what.into(), reason: in_words(result) });
    }

    /// Tells the aggregator that its new model is safe here.
    fn answer_holds(&self, step: &mut Step<'_>, label: &Label) {
        if label.kind == EnvelopeKind::Publication {
            step.frame(Some(label.sender), Frame::Holds { model: label.content });
        }
    }

    /// Takes a report that nobody waits for any more: what it made is dropped, or kept like any other model.
    pub(crate) fn clear_away(&mut self, step: &mut Step<'_>, result: WorkResult) {
        match result {
            WorkResult::Sealed { envelope } => step.drop_envelope(envelope),
            WorkResult::Model { digest } => self.hold(digest),
            _ => {}
        }
    }

    /// Does what is missing.
    pub(crate) fn advance(&mut self, step: &mut Step<'_>) {
        if step.now < self.paused_until {
            step.wake(self.paused_until);
        } else if self.busy.is_none() {
            self.busy = self.next_task(step);
        }
        self.discard_incoming(step);
        let missing = self.missing(step.view);
        self.exchange.fetch(step, missing);
        self.exchange.announce(step, self.base(step.view));
        self.exchange.drop_old_answers(step);
    }

    /// The committed model that is not here and not being opened.
    fn missing(&self, view: &View<'_>) -> Option<(RunId, Version, Digest)> {
        let (run, version, model) = self.current(view)?;
        let opening = matches!(&self.busy, Some((_, Task::Opening(o))) if o.label.content == model);
        (!self.holds(model) && !opening).then_some((run, version, model))
    }

    fn next_task(&mut self, step: &mut Step<'_>) -> Option<(WorkId, Task)> {
        self.derive(step)
            .or_else(|| self.adopt(step))
            .or_else(|| self.open(step))
            .or_else(|| self.drop_old(step))
    }

    fn derive(&mut self, step: &mut Step<'_>) -> Option<(WorkId, Task)> {
        let run = step.view.run.filter(|run| run.model.is_none() && run.active)?;
        if self.base(step.view).is_some() {
            return None;
        }
        let work = step.work(Work::DeriveInitial { run: run.id, spec: run.spec.clone() });
        Some((work, Task::Deriving(run.id)))
    }

    fn adopt(&mut self, step: &mut Step<'_>) -> Option<(WorkId, Task)> {
        let (run, version, model) = self.current(step.view)?;
        if self.adopted == Some((run, version, model)) || !self.holds(model) {
            return None;
        }
        self.hold(model); // needed most lately, so dropped last
        Some((step.work(Work::Adopt { run, version, model }), Task::Adopting(run, version, model)))
    }

    fn open(&mut self, step: &mut Step<'_>) -> Option<(WorkId, Task)> {
        let run = step.view.run?;
        let incoming =
            self.incoming.take_if(|incoming| matches!(incoming.fate(step.view, step.now), Fate::Open))?;
        let (envelope, label) = (incoming.handle, incoming.label.clone());
        let base = self.base(step.view).filter(|_| label.version == run.version.next());
        let work = step.work(Work::OpenModel { envelope, label, spec: run.spec.clone(), base });
        Some((work, Task::Opening(incoming)))
    }

    fn drop_old(&mut self, step: &mut Step<'_>) -> Option<(WorkId, Task)> {
        let spare = self.held.len().saturating_sub(KEEP_MODELS);
        let current = self.current(step.view).map(|(.., model)| model);
        let old: Vec<_> =
            self.held.iter().copied().take(spare).filter(|model| Some(*model) != current).collect();
        if old.is_empty() {
            return None;
        }
        self.held.retain(|model| !old.contains(model));
        Some((step.work(Work::DropModels { models: old }), Task::Dropping))
    }

    /// Drops what came in and has become useless while it waited.
    fn discard_incoming(&mut self, step: &mut Step<'_>) {
        let Some(incoming) = self.incoming.take() else { return };
        if self.holds(incoming.label.content) {
            self.answer_holds(step, &incoming.label);
            return step.drop_envelope(incoming.handle);
        }
        match incoming.fate(step.view, step.now) {
            Fate::Drop(why) => refuse(step, incoming.label.sender, incoming.handle, why),
            Fate::Open => self.incoming = Some(incoming),
            Fate::Park => {
                step.wake(incoming.since + PARK_FOR);
                self.incoming = Some(incoming);
            }
        }
    }

    /// What this member does about the current model, unless it has it.
    pub(crate) fn waiting_for(&self, view: &View<'_>) -> Option<String> {
        let run = view.run?;
        if self.base(view).is_some() {
            return None;
        }
        Some(match &self.busy {
            Some((_, Task::Deriving(_))) => "derives version 0 of the model".into(),
            Some((_, Task::Opening(_))) => format!("opens version {} of the model", run.version),
            _ if run.model.is_none() => "will derive version 0 of the model".into(),
            _ => format!("waits for version {} of the model from another member", run.version),
        })
    }
}

impl Task {
    fn what(&self) -> &'static str {
        match self {
            Self::Deriving(_) => "deriving version 0",
            Self::Opening(_) => "opening a model",
            Self::Adopting(..) => "adopting a model",
            Self::Dropping => "dropping old models",
        }
    }
}

impl Incoming {
    fn fate(&self, view: &View<'_>, now: Time) -> Fate {
        fate(view, &self.label, now.saturating_since(self.since))
    }
}

/// A sealed model is opened when its digest is committed, or when it is the publication of the attempt that is open
/// in the current tenure and comes from its holder. One that is ahead of what was applied here waits a little.
fn fate(view: &View<'_>, label: &Label, waited: Duration) -> Fate {
    let committed = view.run.is_some_and(|run| {
        (run.id, run.version, run.model) == (label.run, label.version, Some(label.content))
    });
    if committed && label.kind != EnvelopeKind::Update {
        return Fate::Open;
    }
    if label.kind != EnvelopeKind::Publication || view.member(label.sender).is_none() {
        return Fate::Drop(DropReason::WrongLabel);
    }
    let (theirs, ours) = (AttemptKey::of(label), view.attempt());
    let from_holder = view.tenure.is_some_and(|tenure| tenure.holder == label.sender);
    let next = view.run.is_some_and(|run| run.version.next() == label.version);
    let is_open = Some(theirs) == ours
        || planted(Mutation::AnyAttemptOpened) && ours.is_some_and(|ours| ours.tenure == theirs.tenure);
    if is_open && from_holder && next {
        return Fate::Open;
    }
    let ahead = ours.is_none_or(|ours| theirs > ours);
    let deposed = view.tenure.is_some_and(|tenure| theirs.tenure < tenure.tenure);
    let over = view.run.is_some_and(|run| run.id == label.run && run.last_round >= label.round);
    if ahead && !deposed && !over && waited < PARK_FOR {
        return Fate::Park;
    }
    Fate::Drop(DropReason::WrongLabel)
}

fn refuse(step: &mut Step<'_>, from: MemberId, handle: EnvelopeHandle, why: DropReason) {
    step.emit(Output::DropEnvelope(handle));
    step.event(RoundEvent::Dropped { from, why });
}

/// A result that was not hoped for, in words.
pub(crate) fn in_words(result: WorkResult) -> String {
    match result {
        WorkResult::Failed(reason) => reason,
        WorkResult::Refused(refusal) => refusal.to_string(),
        WorkResult::Gone => "it is not on this disk any more, or damaged".into(),
        other => format!("a worker reported something else than was ordered: {other:?}"),
    }
}
