//! The aggregator side: opens a round, collects, combines, publishes; then the next.
//!
//! It acts while this member's own tenure is current; the moment the view shows another tenure or attempt, everything
//! that belongs to the old one is dropped. Not here: when a tenure begins or ends, and whether a command counts.

mod accepted;
mod attendance;
mod closing;
mod collecting;
mod combining;
mod failed;
mod opening;
mod publishing;
mod refusals;

pub use closing::{EARLIEST_DEADLINE_MS, LATEST_DEADLINE_MS, deadline_ms};

use crate::models::{Models, in_words};
use crate::step::{Proposing, Step};
use crate::{AttemptKey, DropReason, EnvelopeHandle, ProposalId, RoundEvent, View, Work, WorkId, WorkResult};
use accepted::{AcceptedUpdate, AcceptedUpdates};
use attendance::Attendance;
use collecting::Collecting;
use combining::Combining;
use failed::Failed;
use opening::Opening;
use publishing::Publishing;
use rafty_types::{
    ControlCommand, Digest, EnvelopeKind, Frame, Label, MemberId, Metrics, Mutation, Protection, Refusal,
    Rejection, Rest, Tenure, Time, planted,
};
use refusals::Refusals;
use std::collections::BTreeMap;
use std::time::Duration;

/// Where the aggregator side stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AggregatorPhase {
    /// Not aggregator, or no round is open.
    Idle,
    /// Updates come in.
    Collecting,
    /// A worker finishes the new model.
    Combining,
    /// The new model spreads, until a majority of voters hold it.
    Publishing,
    /// The attempt is being given up.
    Failed,
}

#[derive(Debug, Default)]
enum Phase {
    #[default]
    Idle,
    Collecting(Box<Collecting>),
    Combining(Combining),
    Publishing(Box<Publishing>),
    Failed(Failed),
}

/// What a phase leads to.
#[derive(Debug)]
enum Next {
    Stay,
    Combine { duration_ms: u64 },
    Publish { model: Digest },
    Fail(String),
}

/// The aggregator side of one member.
#[derive(Debug, Default)]
pub(crate) struct Aggregator {
    phase: Phase,
    /// The one update that a worker opens; it outlives its attempt.
    opening: Option<Opening>,
    /// Who takes part. Kept by everyone, so that the next aggregator knows it too.
    attendance: Attendance,
    /// Updates for an attempt that is not applied here yet; one for each member at most.
    early: BTreeMap<MemberId, Early>,
    /// The tenure that is about to end.
    ending: Option<Tenure>,
    /// `RoundOpened`, on its way in this tenure.
    round_opened: (Option<Tenure>, Proposing),
    /// Whose updates were refused in the open round.
    refusals: Refusals,
}

/// An update that came before the entry that opens its attempt.
#[derive(Debug)]
struct Early {
    label: Label,
    handle: EnvelopeHandle,
    until: Time,
}

/// How long an update waits for its attempt.
const EARLY: Duration = Duration::from_secs(10);

/// Whether an update is for an attempt that this member has not applied yet.
fn is_ahead(view: &View<'_>, from: MemberId, label: &Label) -> bool {
    let key = AttemptKey::of(label);
    let tenure = view.tenure.map_or(Tenure(0), |tenure| tenure.tenure);
    let published = view.run.is_some_and(|run| run.id == key.run && key.round <= run.last_round);
    let newer = key.tenure >= tenure && view.attempt().is_none_or(|current| key > current);
    label.kind == EnvelopeKind::Update
        && newer
        && !published
        && view.member(from).is_some()
        && view.is_sound(label, from)
}

impl Aggregator {
    pub(crate) fn phase(&self) -> AggregatorPhase {
        match &self.phase {
            Phase::Idle => AggregatorPhase::Idle,
            Phase::Collecting(_) => AggregatorPhase::Collecting,
            Phase::Combining(_) => AggregatorPhase::Combining,
            Phase::Publishing(_) => AggregatorPhase::Publishing,
            Phase::Failed(_) => AggregatorPhase::Failed,
        }
    }

    /// Whether no round is under way on this side, nor about to be opened.
    pub(crate) fn at_boundary(&self, view: &View<'_>) -> bool {
        let open = view.my_tenure().is_some() && view.open().is_some();
        !open && !self.round_opened.1.is_in_flight()
    }

    /// Follows the view: leaves what is over and enters what has come. Comes first in every step, so that nothing
    /// is judged by an attempt that is over.
    pub(crate) fn follow(&mut self, step: &mut Step<'_>) {
        let view = step.view;
        let tenure = view.my_tenure().map(|tenure| tenure.tenure);
        if self.round_opened.0 != tenure {
            self.round_opened = (tenure, Proposing::default());
        }
        let open = view.open().map(|(run, open)| (run.id, open.round));
        self.refusals.follow(tenure.zip(open).map(|(tenure, (run, round))| (tenure, run, round)));
        self.ending = self.ending.filter(|ending| Some(*ending) == tenure);
        self.attendance.follow(view);
        let current = tenure.and_then(|_| view.attempt());
        if self.phase.key() == current {
            return;
        }
        self.leave(step);
        if let (Some(key), Some((_, open))) = (current, view.open()) {
            self.round_opened.1 = Proposing::default();
            self.phase = if open.accepted.is_empty() {
                let accepted = AcceptedUpdates::new(key, open.base, self.refusals.out());
                Phase::Collecting(Box::new(Collecting::begin(step, &self.attendance, accepted)))
            } else {
                // Another process folded them: they are in no accumulator any more.
                fail(step, key, "what this attempt accepted before is not in memory any more")
            };
        }
    }

    /// Who has missed too many rounds to be waited for, and how many in a row.
    pub(crate) fn given_up(&self) -> impl Iterator<Item = (MemberId, u32)> {
        self.attendance.given_up()
    }

    /// Who rests in the open round, by its own word, and for how long from now on.
    pub(crate) fn resting(&self, now: Time) -> impl Iterator<Item = (MemberId, Rest)> {
        self.attendance.resting(now)
    }

    fn leave(&mut self, step: &mut Step<'_>) {
        if let Some(key) = self.phase.key() {
            if let Phase::Publishing(publishing) = &mut self.phase
                && !is_published(step.view, key)
            {
                publishing.withdraw(step);
            }
            self.phase.drop_envelopes(step);
            step.work(Work::ForgetAttempt { key });
        }
        self.phase = Phase::Idle;
    }

    pub(crate) fn tenure_ending(&mut self, view: &View<'_>) {
        self.ending = view.my_tenure().map(|tenure| tenure.tenure);
    }

    /// An update came in, for whomever: its sender is waited for again, even if the update is late.
    pub(crate) fn on_update_seen(&mut self, view: &View<'_>, from: MemberId, label: &Label) {
        if label.kind == EnvelopeKind::Update && view.is_sound(label, from) {
            self.attendance.sent(from);
        }
    }

    /// An update came in for this member. One for an attempt that is not applied here yet waits for that: the others
    /// may apply an entry before the leader, whose own disk is not in the majority.
    pub(crate) fn on_envelope(
        &mut self,
        step: &mut Step<'_>,
        from: MemberId,
        label: Label,
        handle: EnvelopeHandle,
    ) {
        if !is_ahead(step.view, from, &label) {
            return self.accept(step, from, label, handle);
        }
        if let Some(replaced) = self.early.insert(from, Early { label, handle, until: step.now + EARLY }) {
            step.drop_envelope(replaced.handle);
            step.event(RoundEvent::Dropped { from, why: DropReason::Replaced });
        }
        step.wake(step.now + EARLY);
    }

    /// Takes in, or drops, the updates whose attempt is not ahead any more, or has not come in time.
    fn take_in_early(&mut self, step: &mut Step<'_>) {
        for (from, early) in std::mem::take(&mut self.early) {
            if is_ahead(step.view, from, &early.label) && step.now < early.until {
                step.wake(early.until);
                self.early.insert(from, early);
            } else {
                self.accept(step, from, early.label, early.handle);
            }
        }
    }

    fn accept(&mut self, step: &mut Step<'_>, from: MemberId, label: Label, handle: EnvelopeHandle) {
        let why = match self.judge(step, from, &label) {
            Ok(collecting) => return collecting.enqueue(step, label, handle),
            Err(why) => why,
        };
        step.drop_envelope(handle);
        step.event(RoundEvent::Dropped { from, why });
    }

    /// Whether an envelope may be opened: its label is exactly this attempt's, and it is its sender's first.
    fn judge(
        &mut self,
        step: &mut Step<'_>,
        from: MemberId,
        label: &Label,
    ) -> Result<&mut Collecting, DropReason> {
        let key = AttemptKey::of(label);
        if step.view.member(from).is_none() {
            return Err(DropReason::Stranger);
        }
        let accepted = self.phase.accepted_mut().ok_or(DropReason::WrongLabel)?;
        let of_attempt = key == accepted.key || planted(Mutation::StaleEnvelopeFolded);
        let exact = label.kind == EnvelopeKind::Update && of_attempt && label.version == accepted.base;
        if !exact || !step.view.is_sound(label, from) {
            return Err(DropReason::WrongLabel);
        }
        if accepted.refuse_out(step, from, label.content) {
            return Err(DropReason::OutOfRound);
        }
        let again = planted(Mutation::UpdateCountedTwice);
        if accepted.knows(from) && !again {
            accepted.repeat_verdict(step, from);
            return Err(DropReason::Duplicate);
        }
        let opened = self.opening.as_ref().is_some_and(|o| o.key() == key && o.label.sender == from);
        let Phase::Collecting(collecting) = &mut self.phase else { return Err(DropReason::Late) };
        if (opened || collecting.is_queued(from)) && !again {
            return Err(DropReason::Duplicate);
        }
        if self.refusals.is_barred(from, label.content) {
            collecting.accepted.refuse(step, from, label.content, Refusal::BadWeight);
            self.refusals.count(step, key, from, Refusal::BadWeight);
            return Err(DropReason::Duplicate);
        }
        Ok(collecting)
    }

    /// Takes the frames that are about collecting and publishing.
    pub(crate) fn on_frame(&mut self, step: &Step<'_>, from: MemberId, frame: &Frame) {
        if step.view.member(from).is_none() {
            return;
        }
        match (frame, &mut self.phase) {
            (Frame::Progress { run, round, progress }, _) => {
                self.attendance.on_progress(step.now, from, *run, *round, progress.clone());
            }
            (Frame::Holds { model }, Phase::Publishing(publishing)) => {
                publishing.on_holds(step.view, from, *model);
            }
            _ => {}
        }
    }

    /// Takes a worker's report, or gives it back when the order was not from here.
    pub(crate) fn on_done(
        &mut self,
        step: &mut Step<'_>,
        models: &mut Models,
        order: WorkId,
        result: WorkResult,
    ) -> Option<WorkResult> {
        if let Some(opening) = self.opening.take_if(|opening| opening.work == order) {
            self.opened(step, &opening, result);
            return None;
        }
        match &mut self.phase {
            Phase::Combining(combining) if combining.work == order => {
                let next = combining.on_done(step, models, result);
                self.go(step, next);
                None
            }
            Phase::Publishing(publishing) => publishing.on_done(step, order, result),
            _ => Some(result),
        }
    }

    fn opened(&mut self, step: &mut Step<'_>, opening: &Opening, result: WorkResult) {
        step.drop_envelope(opening.envelope);
        let (key, participant, digest) = (opening.key(), opening.label.sender, opening.label.content);
        let any = planted(Mutation::StaleEnvelopeFolded);
        let Some(accepted) = self.phase.accepted_mut().filter(|accepted| accepted.key == key || any) else {
            // The worker may have made the accumulator anew after it was forgotten.
            step.work(Work::ForgetAttempt { key });
            return;
        };
        match result {
            WorkResult::Opened { num_examples, metrics } => {
                step.event(RoundEvent::UpdateOpened { key, participant, num_examples });
                let update = AcceptedUpdate::new(digest, num_examples, metrics, opening.arrived_ms);
                accepted.updates.insert(participant, update);
            }
            WorkResult::Refused(_) if planted(Mutation::RefusedUpdateCounted) => {
                accepted
                    .updates
                    .insert(participant, AcceptedUpdate::new(digest, 1, Metrics::default(), None));
            }
            WorkResult::Refused(refusal) => {
                step.event(RoundEvent::UpdateRefused { key, participant, refusal });
                accepted.refuse(step, participant, digest, refusal);
                self.refusals.count(step, key, participant, refusal);
            }
            // Nobody is to blame but this device; the participant sends again.
            other => {
                let reason = in_words(other);
                step.event(RoundEvent::WorkFailed { what: "opening an update".into(), reason });
            }
        }
    }

    pub(crate) fn on_proposal_lost(&mut self, step: &Step<'_>, id: ProposalId) {
        if let Some(proposing) = self.proposing(id) {
            proposing.lost(step.now);
        } else if let Some(accepted) = self.phase.accepted_mut() {
            accepted.on_proposal_lost(step.now, id);
        }
    }

    pub(crate) fn on_proposal_rejected(&mut self, step: &mut Step<'_>, id: ProposalId, why: &Rejection) {
        let publishing = matches!(&self.phase, Phase::Publishing(publishing) if publishing.proposing.is(id));
        if publishing {
            return self.go(step, Next::Fail(format!("the publication does not count: {why}")));
        }
        if let Some(proposing) = self.proposing(id) {
            return proposing.rejected(step.now);
        }
        let Some(accepted) = self.phase.accepted_mut() else { return };
        let key = accepted.key;
        if let Some((member, digest)) = accepted.on_proposal_rejected(step, id) {
            self.refusals.count(step, key, member, Refusal::BadWeight);
            self.refusals.bar(member, digest);
            self.go(step, Next::Fail(format!("the update of member {member} does not count: {why}")));
        }
    }

    fn proposing(&mut self, id: ProposalId) -> Option<&mut Proposing> {
        let phase = match &mut self.phase {
            Phase::Publishing(publishing) => Some(&mut publishing.proposing),
            Phase::Failed(failed) => Some(&mut failed.proposing),
            _ => None,
        };
        [Some(&mut self.round_opened.1), phase].into_iter().flatten().find(|proposing| proposing.is(id))
    }

    /// Does what is missing.
    pub(crate) fn advance(&mut self, step: &mut Step<'_>, models: &Models) {
        self.take_in_early(step);
        let base = models.base(step.view);
        let next = match &mut self.phase {
            Phase::Idle => return self.open_round(step, base),
            Phase::Collecting(collecting) => {
                collecting.advance(step, &self.attendance, &mut self.opening, base)
            }
            Phase::Combining(combining) => combining.advance(step),
            Phase::Publishing(publishing) => publishing.advance(step, &self.attendance),
            Phase::Failed(_) => Next::Stay,
        };
        self.go(step, next);
        if let Phase::Failed(failed) = &mut self.phase {
            failed.advance(step);
        }
    }

    fn open_round(&mut self, step: &mut Step<'_>, base: Option<Digest>) {
        let Some(tenure) = step.view.my_tenure().map(|tenure| tenure.tenure) else { return };
        let Some(run) = step.view.run.filter(|run| run.active && run.open.is_none()) else { return };
        if base.is_none() || self.ending == Some(tenure) {
            return;
        }
        self.round_opened.1.propose(step, || ControlCommand::RoundOpened {
            tenure,
            run: run.id,
            round: run.last_round.next(),
            base: run.version,
            protection: Protection::None,
        });
    }

    fn go(&mut self, step: &mut Step<'_>, next: Next) {
        if matches!(next, Next::Stay) {
            return;
        }
        let Some(key) = self.phase.key() else { return };
        self.phase.drop_envelopes(step);
        self.phase = match (next, std::mem::take(&mut self.phase), step.view.run) {
            (Next::Combine { duration_ms }, Phase::Collecting(from), Some(run)) => {
                Phase::Combining(Combining::begin(step, &run, from.accepted, duration_ms))
            }
            (Next::Publish { model }, Phase::Combining(from), _) => {
                Phase::Publishing(Box::new(Publishing::new(from.accepted, model, from.duration_ms)))
            }
            (Next::Fail(reason), ..) => fail(step, key, &reason),
            (next, phase, _) => {
                debug_assert!(false, "{next:?} does not follow from {phase:?}");
                phase
            }
        };
    }

    /// What it waits for, in words; `None` when this member is not aggregator of an active run.
    pub(crate) fn waiting_for(&self, view: &View<'_>, now: rafty_types::Time) -> Option<String> {
        view.my_tenure()?;
        let run = view.run.filter(|run| run.active)?;
        Some(match &self.phase {
            Phase::Idle if self.ending.is_some() => "hands over; opens no new round".into(),
            Phase::Idle => format!("opens round {}", run.last_round.next()),
            Phase::Collecting(collecting) => {
                collecting.waiting_for(view, &self.attendance, now, self.opening.is_some())
            }
            Phase::Combining(combining) => {
                let AcceptedUpdates { key, updates, .. } = &combining.accepted;
                format!("combines {} updates of round {}", updates.len(), key.round)
            }
            Phase::Publishing(publishing) => publishing.waiting_for(view),
            Phase::Failed(failed) => {
                format!(
                    "gives up attempt {} of round {}: {}",
                    failed.key.attempt, failed.key.round, failed.reason
                )
            }
        })
    }
}

impl Phase {
    fn key(&self) -> Option<AttemptKey> {
        match self {
            Self::Idle => None,
            Self::Collecting(phase) => Some(phase.accepted.key),
            Self::Combining(phase) => Some(phase.accepted.key),
            Self::Publishing(phase) => Some(phase.accepted.key),
            Self::Failed(phase) => Some(phase.key),
        }
    }

    fn accepted_mut(&mut self) -> Option<&mut AcceptedUpdates> {
        match self {
            Self::Idle | Self::Failed(_) => None,
            Self::Collecting(phase) => Some(&mut phase.accepted),
            Self::Combining(phase) => Some(&mut phase.accepted),
            Self::Publishing(phase) => Some(&mut phase.accepted),
        }
    }

    fn drop_envelopes(&mut self, step: &mut Step<'_>) {
        match self {
            Self::Idle | Self::Combining(_) | Self::Failed(_) => {}
            Self::Collecting(phase) => phase.drop_queue(step),
            Self::Publishing(phase) => phase.drop_envelope(step),
        }
    }
}

fn is_published(view: &View<'_>, key: AttemptKey) -> bool {
    view.run.is_some_and(|run| run.id == key.run && run.last_round >= key.round)
}

fn fail(step: &mut Step<'_>, key: AttemptKey, reason: &str) -> Phase {
    step.event(RoundEvent::AttemptFailed { key, reason: reason.into() });
    Phase::Failed(Failed::new(key, reason))
}

/// Members in words.
fn list(members: &[MemberId]) -> String {
    let ids: Vec<_> = members.iter().map(ToString::to_string).collect();
    match ids.as_slice() {
        [] => "nobody".into(),
        [one] => format!("member {one}"),
        many => format!("members {}", many.join(", ")),
    }
}
