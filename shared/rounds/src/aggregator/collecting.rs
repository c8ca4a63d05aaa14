//! `Collecting`: envelopes queue, are opened one by one, and what they hold is committed; until the attempt closes.
//!
//! The closing rule itself is in `closing`; opening is a worker's.

use super::accepted::AcceptedUpdates;
use super::attendance::Attendance;
use super::closing::{
    AttemptTimeouts, Decision, GONE_AFTER, RoundStanding, SILENT_AFTER, cohort, deadline_ms, decide,
    is_present, slowest_arrival_ms,
};
use super::opening::Opening;
use super::refusals::OUT_AFTER;
use super::{Next, list};
use crate::step::Step;
use crate::{AttemptKey, EnvelopeHandle, MemberView, RoundEvent, View, Work};
use rafty_types::time::in_words;
use rafty_types::{Digest, Label, MemberId, Progress, Refusal, Time};
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

/// Of so many members that rest the reasons are told.
const MAX_RESTING_TOLD: usize = 4;

#[derive(Debug)]
pub(super) struct Collecting {
    pub(super) accepted: AcceptedUpdates,
    /// At most one envelope of each member, with when it arrived.
    queue: VecDeque<(Label, EnvelopeHandle, Option<u64>)>,
    timeouts: AttemptTimeouts,
    deadline_ms: u64,
    spent_ms: u64,
    extended: bool,
}

impl Collecting {
    pub(super) fn begin(step: &mut Step<'_>, attendance: &Attendance, accepted: AcceptedUpdates) -> Self {
        let key = accepted.key;
        let (collected_ms, failed) =
            step.view.open().map_or((0, 0), |(_, open)| (open.collected_ms, open.failed));
        let first = u64::try_from(step.view.settings.first_deadline.as_millis()).unwrap_or(u64::MAX);
        let deadline_ms = deadline_ms(first, slowest_arrival_ms(step.view, attendance), failed);
        step.event(RoundEvent::CollectingBegan { key, deadline_ms });
        Self {
            accepted,
            queue: VecDeque::new(),
            timeouts: AttemptTimeouts::new(step.now, deadline_ms, collected_ms),
            deadline_ms,
            spent_ms: collected_ms,
            extended: false,
        }
    }

    pub(super) fn is_queued(&self, member: MemberId) -> bool {
        self.queue.iter().any(|(label, ..)| label.sender == member)
    }

    pub(super) fn enqueue(&mut self, step: &Step<'_>, label: Label, handle: EnvelopeHandle) {
        let lasts = step.now.saturating_since(self.timeouts.since);
        let started_anew = step.view.member(label.sender).is_some_and(|sender| sender.runs_for < lasts);
        let arrived_ms = (!started_anew).then(|| self.collected_ms(step.now));
        self.queue.push_back((label, handle, arrived_ms));
    }

    pub(super) fn drop_queue(&mut self, step: &mut Step<'_>) {
        self.queue.drain(..).for_each(|(_, handle, _)| step.drop_envelope(handle));
    }

    pub(super) fn advance(
        &mut self,
        step: &mut Step<'_>,
        attendance: &Attendance,
        opening: &mut Option<Opening>,
        base: Option<Digest>,
    ) -> Next {
        let collected_ms = self.collected_ms(step.now);
        self.accepted.commit(step, collected_ms);
        if let Some(member) = self.accepted.lost(step.view) {
            return Next::Fail(format!(
                "the update of member {member} was taken in and may not count any more"
            ));
        }
        self.open_next(step, opening, base);
        if opening.is_some() || !self.queue.is_empty() || !self.accepted.all_accepted() {
            return Next::Stay;
        }
        let standing = self.standing(step.view, attendance, step.now);
        let decision = decide(&standing, &mut self.timeouts, step.view.settings.quorum_percent, step.now);
        self.timeouts.next(step.now).into_iter().for_each(|at| step.wake(at));
        self.wake_at_silence(step, attendance);
        match decision {
            Decision::Close => self.close(step, standing, collected_ms),
            Decision::GiveUp => Next::Fail(self.gave_up(&standing, step.now)),
            Decision::Wait => {
                self.extend(step, &standing);
                Next::Stay
            }
        }
    }

    fn collected_ms(&self, now: Time) -> u64 {
        let here = now.saturating_since(self.timeouts.since).as_millis();
        self.spent_ms.saturating_add(u64::try_from(here).unwrap_or(u64::MAX))
    }

    fn open_next(&mut self, step: &mut Step<'_>, opening: &mut Option<Opening>, base: Option<Digest>) {
        let Some(base) = base.filter(|_| opening.is_none()) else { return };
        if let Some((label, envelope, arrived_ms)) = self.queue.pop_front() {
            let work = step.work(Work::OpenUpdate { envelope, label: label.clone(), base });
            *opening = Some(Opening { work, label, envelope, arrived_ms });
        }
    }

    fn standing(&self, view: &View<'_>, attendance: &Attendance, now: Time) -> RoundStanding {
        let mut cohort = cohort(view, attendance, &self.timeouts, now);
        cohort.retain(|member| self.accepted.is_in(*member));
        let is_missing = |member: &MemberId| !self.accepted.knows(*member);
        let missing = cohort.iter().filter(|member| is_missing(member)).count();
        let present: Vec<_> = self.waited_for(view, &cohort).map(|member| member.id).collect();
        let sends = |member: &&MemberId| attendance.heard(**member) == Some(&Progress::Sending);
        let (waited_for, under_way) = (present.len(), present.iter().filter(sends).count());
        cohort.extend(self.accepted.updates.keys());
        let (accepted, refused) = (self.accepted.updates.len(), self.accepted.refused.len());
        RoundStanding { accepted, cohort: cohort.len(), missing, waited_for, under_way, refused }
    }

    /// Those of the cohort that are present and whose update is not in.
    fn waited_for<'a>(
        &self,
        view: &View<'a>,
        cohort: &BTreeSet<MemberId>,
    ) -> impl Iterator<Item = &'a MemberView<'a>> {
        let view = *view;
        view.members
            .iter()
            .filter(move |m| cohort.contains(&m.id) && is_present(&view, m) && !self.accepted.knows(m.id))
    }

    /// Decides again at the moment at which somebody has been silent for too long: nothing else may happen then.
    fn wake_at_silence(&self, step: &mut Step<'_>, attendance: &Attendance) {
        let cohort = cohort(step.view, attendance, &self.timeouts, step.now);
        let missing =
            |member: &&MemberView<'_>| cohort.contains(&member.id) && !self.accepted.knows(member.id);
        for member in step.view.members.iter().filter(missing).filter(|member| member.id != step.view.me) {
            let left = [SILENT_AFTER, GONE_AFTER].map(|limit| limit.saturating_sub(member.silent));
            left.into_iter().for_each(|left| step.wake(step.now + left));
        }
    }

    fn close(&mut self, step: &mut Step<'_>, standing: RoundStanding, duration_ms: u64) -> Next {
        let RoundStanding { accepted, cohort, .. } = standing;
        step.event(RoundEvent::Closed { key: self.accepted.key, accepted, cohort });
        Next::Combine { duration_ms }
    }

    fn extend(&mut self, step: &mut Step<'_>, standing: &RoundStanding) {
        if step.now >= self.timeouts.due && !self.extended {
            self.extended = true;
            let RoundStanding { accepted, cohort, .. } = *standing;
            step.event(RoundEvent::Extended { key: self.accepted.key, accepted, cohort });
        }
    }

    fn gave_up(&self, standing: &RoundStanding, now: Time) -> String {
        let RoundStanding { accepted, cohort, .. } = *standing;
        let took = in_words(now.saturating_since(self.timeouts.since));
        let refused: Vec<_> = self.accepted.refusals().collect();
        let why = match refused.as_slice() {
            [] => "too few for a quorum".into(),
            refused => format!("refused: {}", refused_in_words(refused)),
        };
        format!("{accepted} of {cohort} updates came in within {took}; {why}")
    }

    pub(super) fn waiting_for(
        &self,
        view: &View<'_>,
        attendance: &Attendance,
        now: Time,
        busy: bool,
    ) -> String {
        let what = self.what_is_missing(view, attendance, now, busy);
        if self.accepted.out.is_empty() {
            return what;
        }
        let out: Vec<_> = self.accepted.out.iter().map(|(member, why)| (*member, *why)).collect();
        let out = refused_in_words(&out);
        format!("{what}; out of the round after {OUT_AFTER} refusals: {out}")
    }

    fn what_is_missing(&self, view: &View<'_>, attendance: &Attendance, now: Time, busy: bool) -> String {
        let AttemptKey { round, attempt, .. } = self.accepted.key;
        let standing = self.standing(view, attendance, now);
        let head = format!(
            "round {round}, attempt {attempt}: {} of {} updates are in",
            standing.accepted, standing.cohort
        );
        if busy || !self.queue.is_empty() {
            return format!("{head}; opens what came");
        }
        if !self.accepted.all_accepted() {
            return format!("{head}; waits for the log to take them");
        }
        if standing.cohort == 0 {
            return format!("round {round}: {}", nobody_trains(attendance, now));
        }
        let missing: Vec<_> = cohort(view, attendance, &self.timeouts, now)
            .into_iter()
            .filter(|member| !self.accepted.knows(*member))
            .collect();
        let left = self.timeouts.due.saturating_since(now);
        let deadline = if now < self.timeouts.due {
            let deadline = Duration::from_millis(self.deadline_ms);
            format!("the deadline of {} is in {}", in_words(deadline), in_words(left))
        } else if self.timeouts.is_last_call() {
            "the deadline has passed, but updates are under way".into()
        } else {
            format!("the deadline has passed without {} %", view.settings.quorum_percent)
        };
        format!("{head}; waits for {}; {deadline}", list(&missing))
    }
}

/// Why no member takes part, as far as they have said.
fn nobody_trains(attendance: &Attendance, now: Time) -> String {
    let mut resting = attendance.resting(now);
    let told = resting.by_ref().take(MAX_RESTING_TOLD).map(|(member, rest)| match rest.reason.as_str() {
        "" => format!("member {member}: {}", rest.cause),
        reason => format!("member {member}: {} ({reason})", rest.cause),
    });
    let told: Vec<_> = told.collect();
    let more = resting.count();
    match (&told[..], more) {
        ([], _) => "no member has data for the task; waits for one that has".into(),
        (told, 0) => format!("no member trains now ({}); waits for one that does", told.join("; ")),
        (told, more) => {
            format!("no member trains now ({}; and {more} more); waits for one that does", told.join("; "))
        }
    }
}

fn refused_in_words(refused: &[(MemberId, Refusal)]) -> String {
    let each: Vec<_> = refused.iter().map(|(member, why)| format!("member {member} {why}")).collect();
    each.join(", ")
}
