//! Who is waited for in a round, and for how long: deadlines learn from arrivals, and nobody who is silent is waited for.

use crate::faults::FASTEST_CLOCK;
use crate::member::{Member, Process, RIGHT};
use rafty_rounds::{AggregatorPhase, AttemptKey, EARLIEST_DEADLINE_MS};
use rafty_types::{Attempt, Index, MemberId, Round, RunId, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const MAX_DOUBLINGS: u32 = 6;
/// An aggregator that begins with a snapshot knows of a round before anybody tells that it opened.
const SLACK_MS: u64 = 1_000;
/// A participant is silent after three seconds. For as long again, and some more, the aggregator may open what has come,
/// take in frames that were under way, and wait for its log.
const WAITS: Duration = Duration::from_secs(10);

/// When rounds opened and updates arrived, by the world's clock.
#[derive(Default)]
pub(super) struct Arrivals {
    opened: BTreeMap<(RunId, Round), Time>,
    accepted: BTreeSet<(RunId, Round, Attempt, MemberId)>,
    /// The longest that any member's clock may show between a round's opening and an accepted update of a member, in any
    /// round of a run.
    longest_ms: BTreeMap<(RunId, MemberId), u64>,
}

impl Arrivals {
    pub(super) fn opened(&mut self, now: Time, run: RunId, round: Round) {
        self.opened.entry((run, round)).or_insert(now);
    }

    pub(super) fn accepted(&mut self, now: Time, run: RunId, round: Round, attempt: Attempt, from: MemberId) {
        let Some(opened) = self.opened.get(&(run, round)) else { return };
        if self.accepted.insert((run, round, attempt, from)) {
            let ms = u64::try_from(now.saturating_since(*opened).as_millis()).unwrap_or(u64::MAX) + 1;
            let shown_ms = (ms * FASTEST_CLOCK).div_ceil(RIGHT) + SLACK_MS;
            let longest_ms = self.longest_ms.entry((run, from)).or_default();
            *longest_ms = shown_ms.max(*longest_ms);
        }
    }

    /// Deadlines learn from arrivals, whatever rounds waited for: from what arrived when, and by at most five times the
    /// median, since no deviation is above it.
    pub(super) fn deadlines_learn_from_arrivals(&self, key: AttemptKey, deadline_ms: u64, process: &Process) {
        let control = process.node.state().control();
        let Some(run) = control.runs().get(&key.run) else { return };
        let Some(open) =
            run.open.as_ref().filter(|open| (open.round, open.attempt) == (key.round, key.attempt))
        else {
            return;
        };
        let first_ms = control.settings().first_deadline.as_millis() as u64;
        let mut most_ms = EARLIEST_DEADLINE_MS;
        for (member, longest_ms) in control.members().keys().map(|id| (*id, self.longest_ms(key.run, *id))) {
            let mut arrivals: Vec<u64> = run.arrivals.of(member, run.round).collect();
            let late = arrivals.iter().find(|ms| **ms > longest_ms);
            assert_eq!(late, None, "deadlines learn from arrivals: member {member} took {longest_ms} ms");
            arrivals.sort_unstable();
            most_ms = most_ms.max(arrivals.get(arrivals.len() / 2).map_or(0, |median| median * 5));
        }
        // Entries after the attempt's, taken in together with it, may have removed members that it waits for.
        let removed = process.roster.values().filter(|id| !control.members().contains_key(id));
        most_ms = removed.map(|id| self.longest_ms(key.run, *id) * 5).fold(most_ms, u64::max);
        let doublings = open.failed.min(MAX_DOUBLINGS);
        let most_ms = most_ms << doublings;
        let learned = deadline_ms <= most_ms || deadline_ms == first_ms << doublings;
        assert!(
            learned,
            "deadlines learn from arrivals: {deadline_ms} ms in round {}, at most {most_ms}",
            key.round
        );
    }

    fn longest_ms(&self, run: RunId, member: MemberId) -> u64 {
        self.longest_ms.get(&(run, member)).copied().unwrap_or_default()
    }
}

type Lacks = ((RunId, Round, Attempt), Vec<(MemberId, u64)>);

/// Since when a round is open that lacks only silent members and has a quorum.
#[derive(Default)]
pub struct Waiting(Option<Since>);

struct Since {
    /// The process of the aggregator, and its attempt.
    by: (MemberId, u64, RunId, Round, Attempt),
    /// Those that are missing, and how often each had started: whoever starts again is not silent.
    missing: Vec<(MemberId, u64)>,
    /// By its own clock.
    since: Time,
    /// How far it had applied its log.
    applied: Index,
}

impl Waiting {
    /// Once a quorum is in, silent ones are not waited for. `aggregator` is looked at from time to time. Returns whether it
    /// waits for them now.
    pub fn silent_ones_are_not_waited_for(
        &mut self,
        now: Time,
        aggregator: Option<MemberId>,
        members: &BTreeMap<MemberId, Member>,
    ) -> bool {
        let member = aggregator.and_then(|id| members.get(&id)).filter(|member| is_well(member, now));
        let seen = member.and_then(|member| {
            let process = member.process.as_ref()?;
            lacks_silent_ones_only(process, members).map(|lacks| (member, process, lacks))
        });
        let Some((member, process, ((run, round, attempt), missing))) = seen else {
            self.0 = None;
            return false;
        };
        let by = (member.id, member.epoch, run, round, attempt);
        let (local, applied) = (process.local(now), process.node.state().applied());
        // What a log that stands still does not take in cannot count.
        let flows = process.node.consensus().queues().uncommitted == 0;
        let same = |since: &&Since| (since.by, &since.missing) == (by, &missing);
        let goes_on = self.0.as_ref().filter(same).filter(|since| flows || since.applied < applied);
        let since = goes_on.map_or(local, |since| since.since);
        let waited = local.saturating_since(since);
        assert!(
            waited < WAITS,
            "silent ones are not waited for: member {} keeps round {round} open for {waited:?}\n{}",
            member.id,
            process.node.status(None).waiting_for
        );
        self.0 = Some(Since { by, missing, since, applied });
        true
    }
}

fn is_well(member: &Member, now: Time) -> bool {
    member.device.slow_disk == 1
        && member.device.disk_fails_until <= now
        && member.process.as_ref().is_some_and(|process| process.paused.is_none())
}

/// The attempt of an aggregator that collects, has a quorum of all members, and lacks only those that do not run; and who
/// these are, with the number of their last process.
fn lacks_silent_ones_only(process: &Process, members: &BTreeMap<MemberId, Member>) -> Option<Lacks> {
    if process.node.aggregator_phase() != AggregatorPhase::Collecting {
        return None;
    }
    let control = process.node.state().control();
    let run = control.active_run()?;
    let open = run.open.as_ref()?;
    let roster = control.members();
    let percent = control.settings().quorum_percent as usize;
    let quorum = open.accepted.len() * 100 >= percent * roster.len();
    let runs = |(id, _): &(MemberId, u64)| members.get(id).is_some_and(|member| member.process.is_some());
    let starts = |id: &MemberId| (*id, members.get(id).map_or(0, |member| member.epoch));
    let missing: Vec<_> = roster.keys().filter(|id| !open.accepted.contains_key(id)).map(starts).collect();
    let lacks = !missing.is_empty() && !missing.iter().any(runs);
    (quorum && lacks).then_some(((run.id, open.round, open.attempt), missing))
}
