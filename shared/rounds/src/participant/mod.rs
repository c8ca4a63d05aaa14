//! The participant side: trains once per round on the round's base, and sends the update until it is judged.
//!
//! The update stays on disk until its round is *published*, accepted or not, and is sealed anew for every tenure and
//! attempt, only ever to a tenure key that was applied from the log. One that was refused for what is in it is trained
//! again for the next attempt. Not here: how the model arrives (`models`), and
//! what makes an update acceptable.

mod resting;
mod sending;

use crate::models::Models;
use crate::step::Step;
use crate::{RoundEvent, View, Work, WorkId, WorkResult};
use rafty_types::{
    Digest, Frame, MemberId, Mutation, Progress, Rest, RestCause, Round, RunId, Time, Verdict, Version,
    planted,
};
use resting::Resting;
use sending::{Sending, Target};
use std::time::Duration;

/// How often a participant says again where it stands: twice before an aggregator that lost the first word takes its
/// silence for absence.
const SAY_EVERY: Duration = Duration::from_secs(4);

/// An update on this member's disk whose round was not over when it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingUpdate {
    /// The run.
    pub run: RunId,
    /// The round.
    pub round: Round,
    /// Its digest.
    pub update: Digest,
    /// The model it was trained from.
    pub base: Digest,
    /// Its weight.
    pub num_examples: u64,
}

/// Where the participant side stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ParticipantPhase {
    /// There is nothing to train on, or for.
    Waiting,
    /// A worker trains.
    Training,
    /// The update is being sealed, or was sent and not judged yet.
    Sending,
    /// The update was judged; the round is not published yet.
    AwaitingModel,
}

/// What to train.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Job {
    run: RunId,
    round: Round,
    version: Version,
    base: Digest,
}

#[derive(Debug)]
enum Phase {
    Waiting,
    Training { work: WorkId, job: Job, stopping: bool },
    Resting(Resting),
    Sending(Sending),
    AwaitingModel { target: Target, verdict: Verdict },
}

/// The participant side of one member.
#[derive(Debug)]
pub(crate) struct Participant {
    phase: Phase,
    trains: bool,
    update: Option<PendingUpdate>,
    /// The update before is on its way off the disk. Training from the same model makes the very same again, which would
    /// go with it: that waits.
    dropping: Option<(WorkId, Digest)>,
    /// How many examples it trained on last; 0 when not known yet.
    examples: u64,
    /// Trainings of one job that came to nothing, one after another: for causes on the device, or for others.
    failures: (Option<(Job, bool)>, u32),
    said: Option<Said>,
}

/// The last word on where it stands, and to whom it mattered.
#[derive(Debug)]
struct Said {
    progress: (RunId, Round, Progress),
    target: Option<Target>,
    again: Time,
}

impl Said {
    /// Whether this is the same again, but for the time that has passed.
    fn says(&self, (run, round, progress): &(RunId, Round, Progress)) -> bool {
        let (of_run, of_round, said) = &self.progress;
        let same = match (said, progress) {
            (Progress::Resting(said), Progress::Resting(rest)) => {
                (said.cause, &said.reason) == (rest.cause, &rest.reason) && rest.for_ms <= said.for_ms
            }
            (said, progress) => said == progress,
        };
        same && (of_run, of_round) == (run, round)
    }
}

impl Participant {
    pub(crate) fn new(update: Option<PendingUpdate>, trains: bool) -> Self {
        let examples = update.map_or(0, |update| update.num_examples);
        let (phase, dropping, failures, said) = (Phase::Waiting, None, (None, 0), None);
        Self { phase, trains, update, dropping, examples, failures, said }
    }

    pub(crate) fn phase(&self) -> ParticipantPhase {
        match &self.phase {
            Phase::Waiting | Phase::Resting(_) => ParticipantPhase::Waiting,
            Phase::Training { .. } => ParticipantPhase::Training,
            Phase::Sending(_) => ParticipantPhase::Sending,
            Phase::AwaitingModel { .. } => ParticipantPhase::AwaitingModel,
        }
    }

    /// Takes a worker's report, or gives it back when the order was not from here.
    pub(crate) fn on_done(
        &mut self,
        step: &mut Step<'_>,
        order: WorkId,
        result: WorkResult,
    ) -> Option<WorkResult> {
        if self.dropping.take_if(|(dropping, _)| *dropping == order).is_some() {
            // A file that stays costs space until the next start, nothing else.
            return None;
        }
        match &mut self.phase {
            Phase::Training { work, job, stopping } if *work == order => {
                let (job, stopped) = (*job, *stopping && !matches!(result, WorkResult::Trained { .. }));
                self.phase = Phase::Waiting;
                if !stopped {
                    self.trained(step, job, result);
                }
                None
            }
            Phase::Resting(resting) if resting.looks_by(order) => {
                if resting.looked(step.now, &result) {
                    self.phase = Phase::Waiting;
                }
                None
            }
            Phase::Sending(sending) => {
                let gone = result == WorkResult::Gone;
                let left = sending.on_done(step, order, result);
                if gone && left.is_none() {
                    self.drop_update(step);
                }
                left
            }
            _ => Some(result),
        }
    }

    fn trained(&mut self, step: &mut Step<'_>, job: Job, result: WorkResult) {
        let Job { run, round, .. } = job;
        if let WorkResult::Trained { update, num_examples } = result {
            step.event(RoundEvent::Trained { run, round, num_examples });
            self.examples = num_examples;
            self.failures = (None, 0);
            debug_assert!(self.update.is_none(), "training began with an update at hand");
            self.update = Some(PendingUpdate { run, round, update, base: job.base, num_examples });
            return; // if the round is over meanwhile, the update goes like any other
        }
        let of = (job, matches!(result, WorkResult::NoData | WorkResult::HeldUp { .. }));
        let tries = if self.failures.0 == Some(of) { self.failures.1 } else { 0 };
        self.failures = (Some(of), tries.saturating_add(1));
        let no_data = result == WorkResult::NoData;
        let resting = Resting::new(step.now, job, result, tries);
        let Rest { cause, reason, .. } = resting.rest(step.now);
        match cause {
            RestCause::Training => step.event(RoundEvent::TrainingFailed { run, round, reason }),
            // It may go on for hours, and is tried every minute.
            _ if tries > 0 && !tries.is_power_of_two() => {}
            _ if no_data => step.event(RoundEvent::NoData { run, round }),
            _ => step.event(RoundEvent::HeldUp { run, round, cause, reason }),
        }
        self.phase = Phase::Resting(resting);
    }

    /// The aggregator's word. An acceptance counts when the view shows it; so only a refusal matters here.
    pub(crate) fn on_frame(&mut self, step: &mut Step<'_>, from: MemberId, frame: &Frame) {
        let Frame::Verdict { tenure, run, round, attempt, digest, verdict: verdict @ Verdict::Refused(_) } =
            *frame
        else {
            return;
        };
        let Phase::Sending(sending) = &mut self.phase else { return };
        let (target, key) = (sending.target(), sending.target().key);
        let meant = (key.tenure, key.run, key.round, key.attempt) == (tenure, run, round, attempt);
        let mine = self.update.is_some_and(|update| update.update == digest);
        if meant && mine && from == target.holder {
            sending.let_go(step);
            self.judged(step, target, verdict);
        }
    }

    fn judged(&mut self, step: &mut Step<'_>, target: Target, verdict: Verdict) {
        step.event(RoundEvent::Judged { key: target.key, verdict });
        self.phase = Phase::AwaitingModel { target, verdict };
    }

    /// Does what is missing.
    pub(crate) fn advance(&mut self, step: &mut Step<'_>, models: &Models) {
        let job = job(step.view, models);
        let target = Target::of(step.view);
        self.forget_what_is_over(step, job);
        self.leave_what_is_stale(step, job, target);
        if let (Phase::Waiting, Some(job)) = (&self.phase, job) {
            self.begin(step, job, target);
        }
        if let Phase::Sending(sending) = &mut self.phase {
            if accepted(step.view).is_some() {
                let target = sending.target();
                sending.let_go(step);
                self.judged(step, target, Verdict::Accepted);
                if planted(Mutation::UpdateDroppedAtAcceptance) {
                    self.drop_update(step);
                }
            } else {
                sending.advance(step);
            }
        }
        self.say(step, target);
    }

    /// Drops the update when its round is known to be over. A view that has not caught up after a restart knows
    /// nothing of the round yet: then the update stays.
    fn forget_what_is_over(&mut self, step: &mut Step<'_>, job: Option<Job>) {
        let Some(update) = self.update else { return };
        if is_over(step.view, job, (update.run, update.round, update.base)) {
            step.event(RoundEvent::UpdateStale { run: update.run, round: update.round });
            self.drop_update(step);
        }
    }

    fn drop_update(&mut self, step: &mut Step<'_>) {
        if let Some(update) = self.update.take() {
            self.dropping = Some((step.work(Work::DropUpdate { update: update.update }), update.base));
        }
    }

    /// Leaves a phase that belongs to another job, tenure or attempt. Training ends when its worker says so.
    fn leave_what_is_stale(&mut self, step: &mut Step<'_>, job: Option<Job>, target: Option<Target>) {
        if let Phase::Training { work, job: of, stopping: stopping @ false } = &mut self.phase
            && is_over(step.view, job, (of.run, of.round, of.base))
        {
            *stopping = true;
            step.work(Work::StopTraining { order: *work });
            step.event(RoundEvent::TrainingStopped { run: of.run, round: of.round });
        }
        let stale = match &self.phase {
            Phase::Waiting | Phase::Training { .. } => false,
            Phase::Resting(resting) => resting.is_over(step.now, job),
            Phase::Sending(sending) => Some(sending.target()) != target || self.update.is_none(),
            Phase::AwaitingModel { target: of, .. } => Some(*of) != target || self.update.is_none(),
        };
        if stale {
            match &mut self.phase {
                Phase::Sending(sending) => sending.withdraw(step),
                // It would be refused for the same flaw again: the next attempt gets another one.
                Phase::AwaitingModel { verdict: Verdict::Refused(refusal), .. }
                    if refusal.is_of_content() =>
                {
                    self.drop_update(step);
                }
                _ => {}
            }
            self.phase = Phase::Waiting;
        } else if let Phase::Resting(resting) = &mut self.phase {
            resting.advance(step);
        }
    }

    fn begin(&mut self, step: &mut Step<'_>, job: Job, target: Option<Target>) {
        match (self.update, target) {
            // After a restart the view is behind for a while.
            (Some(update), _) if (update.run, update.round) != (job.run, job.round) => {}
            (Some(update), Some(target)) => {
                self.phase = Phase::Sending(Sending::new(target, job.version, update.update));
            }
            (Some(_), None) => {}                            // no tenure to seal to
            (None, _) if accepted(step.view).is_some() => {} // it is in already, only its file is lost
            (None, _) if !self.trains => {}
            (None, _) if self.dropping.is_some_and(|(_, base)| base == job.base) => {}
            (None, _) => {
                let Some(run) = step.view.run else { return };
                let Job { round, base, version, .. } = job;
                let work = step.work(Work::Train { run: run.id, round, spec: run.spec.clone(), base });
                step.event(RoundEvent::TrainingBegan { run: run.id, round, base: version });
                self.phase = Phase::Training { work, job, stopping: false };
            }
        }
    }

    /// Says to everyone where it stands: at every change, to every new aggregator, and again after a while.
    fn say(&mut self, step: &mut Step<'_>, target: Option<Target>) {
        let Some((run, open)) = step.view.open().filter(|_| accepted(step.view).is_none()) else {
            self.said = None;
            return;
        };
        let progress = match &self.phase {
            Phase::Waiting if !self.trains && self.update.is_none() => Progress::NoData,
            Phase::Waiting | Phase::Training { .. } => Progress::Training(self.examples),
            Phase::Resting(resting) => Progress::Resting(resting.rest(step.now)),
            Phase::Sending(_) | Phase::AwaitingModel { .. } => Progress::Sending,
        };
        let progress = (run.id, open.round, progress);
        let known = self
            .said
            .as_ref()
            .filter(|said| said.says(&progress) && said.target == target && step.now < said.again);
        let again = known.map_or(step.now + SAY_EVERY, |said| said.again);
        if known.is_none() {
            let (run, round, progress) = progress;
            step.frame(None, Frame::Progress { run, round, progress: progress.clone() });
            self.said = Some(Said { progress: (run, round, progress), target, again });
        }
        step.wake(again);
    }

    /// What it waits for, in words.
    pub(crate) fn waiting_for(&self, view: &View<'_>, now: Time) -> String {
        let round = view.open().map_or(Round(0), |(_, open)| open.round);
        match &self.phase {
            Phase::Waiting if view.tenure.is_none() => "waits for a leader to open a tenure".into(),
            Phase::Waiting if !self.trains && view.open().is_some() => {
                format!("does not train; waits for round {round} to be published")
            }
            Phase::Waiting => "waits for the next round".into(),
            Phase::Training { job, stopping: true, .. } => format!("stops training round {}", job.round),
            Phase::Training { job, .. } => {
                format!("trains round {} from version {}", job.round, job.version)
            }
            Phase::Resting(resting) => resting.waiting_for(round, now),
            Phase::Sending(sending) => sending.waiting_for(round),
            Phase::AwaitingModel { verdict: Verdict::Accepted, .. } => {
                format!("its update is in; waits for round {round} to be published")
            }
            Phase::AwaitingModel { verdict: Verdict::Refused(refusal), .. } => {
                format!("its update was refused ({refusal}); waits for round {round} to be published")
            }
        }
    }
}

/// The open round, when its base is on this member's disk.
fn job(view: &View<'_>, models: &Models) -> Option<Job> {
    let (run, open) = view.open()?;
    let base = models.base(view)?;
    Some(Job { run: run.id, round: open.round, version: open.base, base })
}

/// Whether what was trained, or is being trained, for a round from a base cannot count any more.
fn is_over(view: &View<'_>, job: Option<Job>, (of_run, of_round, base): (RunId, Round, Digest)) -> bool {
    let Some(run) = view.run else { return false };
    let ended = run.id > of_run || (run.id == of_run && !run.active);
    let published = run.id == of_run && run.last_round >= of_round;
    let rebased = job.is_some_and(|job| (job.run, job.round) == (of_run, of_round) && job.base != base);
    ended || published || rebased
}

/// This member's update, as the current attempt has accepted it.
fn accepted(view: &View<'_>) -> Option<Digest> {
    let (_, open) = view.open()?;
    open.accepted.get(&view.me).map(|accepted| accepted.digest)
}
