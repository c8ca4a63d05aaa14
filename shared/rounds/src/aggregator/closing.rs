//! When an attempt is closed: who is waited for, and for how long. Integers only.
//!
//! Nothing is done here; `collecting` acts on what is decided.

use super::attendance::Attendance;
use crate::{MemberView, View};
use rafty_types::{MemberId, MemberKind, Mutation, Progress, Time, planted};
use std::collections::BTreeSet;
use std::time::Duration;

/// The shortest deadline of a round, in milliseconds.
pub const EARLIEST_DEADLINE_MS: u64 = 250;
/// The longest deadline of a round, in milliseconds: a day.
pub const LATEST_DEADLINE_MS: u64 = 86_400_000;
/// How many arrivals of a member tell how long it takes.
const ENOUGH_ARRIVALS: usize = 3;
/// How often at most the deadline doubles.
const MAX_DOUBLINGS: u32 = 6;
/// Shortest time for which updates that are under way are waited for once the attempt could close; otherwise a quarter
/// of the deadline.
const LAST_CALL: Duration = Duration::from_millis(100);
/// Shortest time for which an agent that says nothing is waited for; otherwise a quarter of the deadline.
const SHORTEST_SILENCE: Duration = Duration::from_millis(250);
/// Longest time for that.
const LONGEST_SILENCE: Duration = Duration::from_secs(10);

/// A participant is silent when no frame of it came for so long. Once the quorum is in, silent ones are not waited for.
pub(super) const SILENT_AFTER: Duration = Duration::from_secs(3);
/// After so long, the quorum is not counted of it any more either, though it began: long enough for a device to start
/// again.
pub(super) const GONE_AFTER: Duration = Duration::from_secs(30);

/// How long a round may collect, all its attempts together, in milliseconds: `slowest_ms`, when the last
/// update is expected, or `first_ms` when that is not known yet. Doubled for each attempt that was given up (at most six
/// times). Not fed by how long rounds took: one that waited in vain would make the next one wait longer.
pub fn deadline_ms(first_ms: u64, slowest_ms: Option<u64>, failed: u32) -> u64 {
    let deadline_ms = slowest_ms.unwrap_or(first_ms).max(EARLIEST_DEADLINE_MS);
    deadline_ms.saturating_mul(1 << failed.min(MAX_DOUBLINGS)).min(LATEST_DEADLINE_MS)
}

/// After how long the last update is expected: of members that are present, are not given up, and were counted in the
/// latest rounds.
pub(super) fn slowest_arrival_ms(view: &View<'_>, attendance: &Attendance) -> Option<u64> {
    let run = view.run?;
    let waited_for =
        |member: &&MemberView<'_>| is_present(view, member) && !attendance.is_given_up(member.id);
    let members = view.members.iter().filter(waited_for);
    members
        .filter_map(|member| expected_arrival_ms(run.arrivals.of(member.id, run.last_round).collect()))
        .max()
}

/// After how long an update of a member is expected, by when its last ones arrived: the median, and half of it or four
/// times the median absolute deviation, whichever is more. `None` of too few.
fn expected_arrival_ms(arrivals_ms: Vec<u64>) -> Option<u64> {
    if arrivals_ms.len() < ENOUGH_ARRIVALS {
        return None;
    }
    let middle = median(arrivals_ms.clone());
    let deviation = median(arrivals_ms.iter().map(|ms| ms.abs_diff(middle)).collect());
    Some(middle.saturating_add(deviation.saturating_mul(4).max(middle / 2)))
}

/// The upper of the two in the middle, where there are two. Zero of nothing.
fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

/// The timeouts of one attempt, as points in time.
#[derive(Clone, Copy, Debug)]
pub(super) struct AttemptTimeouts {
    /// When the attempt began here.
    pub(super) since: Time,
    /// Until when an agent that has said nothing is waited for.
    silence: Time,
    /// The deadline.
    pub(super) due: Time,
    /// Until when one who began and then fell silent belongs to the cohort.
    absence: Time,
    /// When the attempt is given up for want of a quorum: not before everyone who is gone has been left out of it.
    pub(super) give_up: Time,
    /// How long updates that are under way are waited for.
    under_way: Duration,
    /// Until when, set when the deadline has passed and the quorum is there.
    last_call: Option<Time>,
}

impl AttemptTimeouts {
    /// Of an attempt that begins `now`, in a round with this deadline that has spent `spent_ms` already. An attempt
    /// always has a quarter of the deadline: sealing and sending anew takes time too.
    pub(super) fn new(now: Time, deadline_ms: u64, spent_ms: u64) -> Self {
        let deadline = Duration::from_millis(deadline_ms);
        let left = Duration::from_millis(deadline_ms.saturating_sub(spent_ms)).max(deadline / 4);
        let due = now + left;
        Self {
            since: now,
            silence: now + (deadline / 4).clamp(SHORTEST_SILENCE, LONGEST_SILENCE),
            due,
            absence: due + deadline,
            give_up: due + (deadline * 3).max(GONE_AFTER),
            under_way: LAST_CALL.max(deadline / 4),
            last_call: None,
        }
    }

    /// Whether only updates that are under way are still waited for.
    pub(super) fn is_last_call(&self) -> bool {
        self.last_call.is_some()
    }

    /// The next point after `now` at which something is decided anew.
    pub(super) fn next(&self, now: Time) -> Option<Time> {
        let all = [self.silence, self.due, self.absence, self.give_up].into_iter().chain(self.last_call);
        all.filter(|at| *at > now).min()
    }
}

/// Whether a member is present: this one, or one of which a frame came lately.
pub(super) fn is_present(view: &View<'_>, member: &MemberView<'_>) -> bool {
    member.id == view.me || member.silent < SILENT_AFTER || planted(Mutation::SilentWaitedFor)
}

/// Who takes part in an attempt at this moment: whoever said that it trains or sends, present or not, until it has been
/// silent for long or the absent are waited for no longer; and at first every agent that is present, for it may be about
/// to begin. Never one who has no data or has failed, nor one that has missed too many rounds unless all have.
pub(super) fn cohort(
    view: &View<'_>,
    attendance: &Attendance,
    timeouts: &AttemptTimeouts,
    now: Time,
) -> BTreeSet<MemberId> {
    let takes_part = |member: &&MemberView<'_>| {
        let present = is_present(view, member);
        match attendance.heard(member.id) {
            Some(Progress::NoData | Progress::Failed | Progress::Resting(_)) => false,
            Some(Progress::Training(_) | Progress::Sending) => {
                present || member.silent < GONE_AFTER && now < timeouts.absence
            }
            None => member.role == MemberKind::Agent && present && now < timeouts.silence,
        }
    };
    // Who cannot get the model that the round starts from makes no update of it.
    let able = |member: &&MemberView<'_>| member.id == view.me || member.can_be_sealed_to();
    let members = view.members.iter().filter(able).filter(takes_part);
    let all: BTreeSet<_> = members.map(|member| member.id).collect();
    let waited_for: BTreeSet<_> = all.iter().copied().filter(|id| !attendance.is_given_up(*id)).collect();
    if waited_for.is_empty() { all } else { waited_for }
}

/// What stands in an attempt when nothing is on its way into it.
#[derive(Clone, Copy, Debug)]
pub(super) struct RoundStanding {
    /// Updates accepted.
    pub(super) accepted: usize,
    /// The cohort with everyone who was accepted and without those who were refused.
    pub(super) cohort: usize,
    /// How many of the cohort are neither accepted nor refused.
    pub(super) missing: usize,
    /// How many of those are present. The others are silent.
    pub(super) waited_for: usize,
    /// How many of those have said that their update is under way.
    pub(super) under_way: usize,
    /// Updates refused.
    pub(super) refused: usize,
}

/// What to do with an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Everyone is in; or a quorum is, and the rest are silent or the deadline has passed.
    Close,
    /// Go on collecting.
    Wait,
    /// Give the attempt up: somebody takes part, but no quorum came in time.
    GiveUp,
}

/// The closing rule. An attempt in which nobody can take part just waits: data or members may come. One that could
/// close leaves nobody behind whose update is under way, for a while that starts when it first could.
pub(super) fn decide(
    standing: &RoundStanding,
    timeouts: &mut AttemptTimeouts,
    quorum_percent: u32,
    now: Time,
) -> Decision {
    let RoundStanding { accepted, cohort, missing, waited_for, under_way, refused } = *standing;
    let quorum = accepted > 0 && has_quorum(accepted, cohort, quorum_percent);
    if accepted > 0 && missing == 0 || quorum && waited_for == 0 {
        Decision::Close
    } else if quorum && now >= timeouts.due {
        let last_call = *timeouts.last_call.get_or_insert(now + timeouts.under_way);
        if under_way == 0 || now >= last_call { Decision::Close } else { Decision::Wait }
    } else if now >= timeouts.give_up && cohort + refused > 0 {
        Decision::GiveUp
    } else {
        Decision::Wait
    }
}

fn has_quorum(accepted: usize, cohort: usize, percent: u32) -> bool {
    accepted as u64 * 100 >= cohort as u64 * u64::from(percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deadline_adapts_doubles_and_keeps_within_its_bounds() {
        assert_eq!(deadline_ms(120_000, None, 0), 120_000);
        assert_eq!(deadline_ms(120_000, Some(19_000), 0), 19_000);
        assert_eq!(deadline_ms(120_000, Some(19_000), 2), 76_000);
        assert_eq!(deadline_ms(120_000, Some(10), 0), EARLIEST_DEADLINE_MS);
        assert_eq!(deadline_ms(u64::MAX, Some(u64::MAX), u32::MAX), LATEST_DEADLINE_MS);
    }

    #[test]
    fn how_long_a_member_takes_is_told_by_three_arrivals() {
        let of = |arrivals: &[u64]| expected_arrival_ms(arrivals.to_vec());
        assert_eq!(of(&[5_000, 6_000]), None);
        assert_eq!(of(&[10_000, 9_500, 10_500]), Some(15_000), "half again");
        assert_eq!(of(&[10_000, 7_000, 13_000]), Some(22_000), "four times a deviation of 3 s");
        assert_eq!(of(&[300, 310, 290, 300, 2_800]), Some(450), "one late arrival in five says little");
        assert_eq!(of(&[u64::MAX; 5]), Some(u64::MAX));
    }

    #[test]
    fn an_attempt_never_has_less_than_a_quarter_of_the_deadline() {
        let at = |ms| Time::ZERO + Duration::from_millis(ms);
        assert_eq!(AttemptTimeouts::new(at(0), 20_000, 4_000).due, at(16_000));
        assert_eq!(AttemptTimeouts::new(at(0), 20_000, 90_000).due, at(5_000));
    }

    #[test]
    fn closing_needs_everyone_or_a_quorum_after_the_deadline() {
        let after = |ms| Time::ZERO + Duration::from_millis(ms);
        let standing = |accepted, missing| RoundStanding {
            accepted,
            cohort: accepted + missing,
            missing,
            waited_for: missing,
            under_way: 0,
            refused: 0,
        };
        let decide =
            |standing, at| decide(&standing, &mut AttemptTimeouts::new(Time::ZERO, 10_000, 0), 60, at);
        assert_eq!(decide(standing(3, 0), after(1)), Decision::Close);
        assert_eq!(decide(standing(3, 2), after(9_999)), Decision::Wait);
        assert_eq!(decide(standing(3, 2), after(10_000)), Decision::Close);
        assert_eq!(decide(standing(2, 2), after(39_999)), Decision::Wait);
        assert_eq!(decide(standing(2, 2), after(40_000)), Decision::GiveUp);
        assert_eq!(decide(standing(0, 0), after(90_000)), Decision::Wait, "nobody can take part");
        let refused =
            RoundStanding { accepted: 0, cohort: 0, missing: 0, waited_for: 0, under_way: 0, refused: 2 };
        assert_eq!(decide(refused, after(90_000)), Decision::GiveUp, "everyone was refused");
    }

    #[test]
    fn silent_ones_are_not_waited_for_once_a_quorum_is_in() {
        let standing = |accepted, waited_for| RoundStanding {
            accepted,
            cohort: 5,
            missing: 5 - accepted,
            waited_for,
            under_way: 0,
            refused: 0,
        };
        let decide =
            |standing| decide(&standing, &mut AttemptTimeouts::new(Time::ZERO, 10_000, 0), 60, Time::ZERO);
        assert_eq!(decide(standing(3, 0)), Decision::Close);
        assert_eq!(decide(standing(3, 1)), Decision::Wait, "one of the two is slow, not silent");
        assert_eq!(decide(standing(2, 0)), Decision::Wait, "no quorum");
    }

    #[test]
    fn updates_under_way_are_waited_for_but_not_for_ever() {
        let mut timeouts = AttemptTimeouts::new(Time::ZERO, 10_000, 0);
        let after = |ms| Time::ZERO + Duration::from_millis(ms);
        let sending = |under_way| RoundStanding {
            accepted: 3,
            cohort: 5,
            missing: 2,
            waited_for: 2,
            under_way,
            refused: 0,
        };
        assert_eq!(decide(&sending(1), &mut timeouts, 60, after(11_000)), Decision::Wait);
        assert_eq!(
            timeouts.next(after(11_000)),
            Some(after(13_500)),
            "a quarter of the deadline from then on"
        );
        assert_eq!(decide(&sending(1), &mut timeouts, 60, after(13_499)), Decision::Wait);
        assert_eq!(decide(&sending(1), &mut timeouts, 60, after(13_500)), Decision::Close);
        assert_eq!(decide(&sending(0), &mut timeouts, 60, after(13_000)), Decision::Close, "nobody sends");
    }
}
