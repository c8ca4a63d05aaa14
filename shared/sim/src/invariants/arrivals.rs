//! Who is waited for in a round, and for how long: deadlines learn from arrivals, and nobody who is silent is waited for.

use crate::faults::FASTEST_CLOCK;
use crate::member::{Member, Process, RIGHT};
use rafty_node::Node;
use rafty_rounds::{AggregatorPhase, AttemptKey, EARLIEST_DEADLINE_MS};
use rafty_types::{Attempt, Index, MemberId, Round, RunId, StateMachine, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How many rounds teach a deadline.
const TAUGHT_BY: usize = 32;
const ENOUGH: usize = 3;
const MAX_DOUBLINGS: u32 = 6;
/// A participant is silent after three seconds. For as long again, and some more, the aggregator may open what has come,
/// take in frames that were under way, and wait for its log.
const WAITS: Duration = Duration::from_secs(10);

/// When rounds opened and updates arrived, by the world's clock.
#[derive(Default)]
pub(super) struct Arrivals {
    opened: BTreeMap<(RunId, Round), Time>,
    accepted: BTreeSet<(RunId, Round, Attempt, MemberId)>,
    last: BTreeMap<(RunId, Round), Time>,
}

impl Arrivals {
    pub(super) fn opened(&mut self, now: Time, run: RunId, round: Round) {
        self.opened.entry((run, round)).or_insert(now);
    }

    pub(super) fn accepted(&mut self, now: Time, run: RunId, round: Round, attempt: Attempt, from: MemberId) {
        if self.accepted.insert((run, round, attempt, from)) {
            self.last.insert((run, round), now);
        }
    }

    /// The longest that any member's clock may show between a round's opening and its last accepted update.
    fn longest_ms(&self, run: RunId, round: Round) -> Option<u64> {
        let (opened, last) = (self.opened.get(&(run, round))?, self.last.get(&(run, round))?);
        let ms = u64::try_from(last.saturating_since(*opened).as_millis()).ok()? + 1;
        Some((ms * FASTEST_CLOCK).div_ceil(RIGHT))
    }

    /// Deadlines learn from arrivals, whatever rounds waited for: the median and half of it, and four times a deviation
    /// that is never above the median.
    pub(super) fn deadlines_learn_from_arrivals<U: StateMachine>(
        &self,
        key: AttemptKey,
        deadline_ms: u64,
        node: &Node<U>,
    ) {
        let Some(run) = node.state().control().runs().get(&key.run) else { return };
        let Some(open) =
            run.open.as_ref().filter(|open| (open.round, open.attempt) == (key.round, key.attempt))
        else {
            return;
        };
        let rounds = run.history.iter().rev().take(TAUGHT_BY).map(|record| record.round);
        let arrivals: Option<Vec<_>> = rounds.map(|round| self.longest_ms(key.run, round)).collect();
        let Some(mut arrivals) = arrivals.filter(|arrivals| arrivals.len() >= ENOUGH) else { return };
        arrivals.sort_unstable();
        let median = arrivals[arrivals.len() / 2];
        let most = (median * 11).div_ceil(2).max(EARLIEST_DEADLINE_MS) << open.failed.min(MAX_DOUBLINGS);
        assert!(
            deadline_ms <= most,
            "deadlines learn from arrivals: {deadline_ms} ms in round {}, when {median} ms are usual",
            key.round
        );
    }
}

/// Since when a round is open that lacks only silent members and has a quorum.
#[derive(Default)]
pub struct Waiting(Option<Since>);

struct Since {
    /// The process of the aggregator, and its attempt.
    by: (MemberId, u64, RunId, Round, Attempt),
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
            lacks_silent_ones_only(process, members).map(|attempt| (member, process, attempt))
        });
        let Some((member, process, (run, round, attempt))) = seen else {
            self.0 = None;
            return false;
        };
        let by = (member.id, member.epoch, run, round, attempt);
        let (local, applied) = (process.local(now), process.node.state().applied());
        // What a log that stands still does not take in cannot count.
        let flows = process.node.consensus().queues().uncommitted == 0;
        let goes_on = self.0.as_ref().filter(|since| since.by == by && (flows || since.applied < applied));
        let since = goes_on.map_or(local, |since| since.since);
        let waited = local.saturating_since(since);
        assert!(
            waited < WAITS,
            "silent ones are not waited for: member {} keeps round {round} open for {waited:?}\n{}",
            member.id,
            process.node.status(None).waiting_for
        );
        self.0 = Some(Since { by, since, applied });
        true
    }
}

fn is_well(member: &Member, now: Time) -> bool {
    member.device.slow_disk == 1
        && member.device.disk_fails_until <= now
        && member.process.as_ref().is_some_and(|process| process.paused.is_none())
}

/// The attempt of an aggregator that collects, has a quorum of all members, and lacks only those that do not run.
fn lacks_silent_ones_only(
    process: &Process,
    members: &BTreeMap<MemberId, Member>,
) -> Option<(RunId, Round, Attempt)> {
    if process.node.aggregator_phase() != AggregatorPhase::Collecting {
        return None;
    }
    let control = process.node.state().control();
    let run = control.active_run()?;
    let open = run.open.as_ref()?;
    let roster = control.members();
    let percent = control.settings().quorum_percent as usize;
    let quorum = open.accepted.len() * 100 >= percent * roster.len();
    let runs = |id: &MemberId| members.get(id).is_some_and(|member| member.process.is_some());
    let mut missing = roster.keys().filter(|id| !open.accepted.contains_key(id)).peekable();
    let lacks = missing.peek().is_some() && !missing.any(runs);
    (quorum && lacks).then_some((run.id, open.round, open.attempt))
}
