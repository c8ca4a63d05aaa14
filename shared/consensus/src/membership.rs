//! Who belongs to the engine's membership, and who votes.
//!
//! The dictionary holds what is desired; these functions say which step leads there from what is. They propose
//! nothing themselves.

use crate::check::MAX_STEPS;
use rafty_types::{MemberId, Membership, MembershipChange, MembershipStep};
use std::collections::BTreeSet;
use std::time::Duration;

/// The next change on the way from the engine's membership to the desired one.
///
/// `None` when there is nothing to do, or while the engine is in a joint change. All steps that do not concern the
/// leader go together; the leader itself is demoted or removed last, when nothing else is left to do. A change that
/// would leave nobody who votes is never proposed.
pub fn next_change(
    desired_voters: &BTreeSet<MemberId>,
    desired_learners: &BTreeSet<MemberId>,
    engine: &Membership,
    leader: MemberId,
) -> Option<MembershipChange> {
    if engine.is_joint() {
        return None;
    }
    let mut everybody: BTreeSet<_> = engine.all().into_iter().collect();
    everybody.extend(desired_voters.union(desired_learners));
    let step = |member: MemberId| {
        if desired_voters.contains(&member) {
            (!engine.voters.contains(&member)).then_some(MembershipStep::AddVoter(member))
        } else if desired_learners.contains(&member) {
            (!engine.learners.contains(&member)).then_some(MembershipStep::AddLearner(member))
        } else {
            Some(MembershipStep::Remove(member))
        }
    };
    let others = everybody.iter().filter(|member| **member != leader);
    let mut steps: Vec<_> = others.filter_map(|member| step(*member)).take(MAX_STEPS).collect();
    if steps.is_empty() && everybody.contains(&leader) {
        steps.extend(step(leader));
    }
    let change = MembershipChange { steps };
    let (voters, _) = outcome(engine, &change);
    (!change.steps.is_empty() && !voters.is_empty()).then_some(change)
}

/// Who votes once `change` is through.
pub fn voters_after(engine: &Membership, change: &MembershipChange) -> BTreeSet<MemberId> {
    outcome(engine, change).0
}

/// Who votes and who learns once `change` is through.
pub(crate) fn outcome(
    engine: &Membership,
    change: &MembershipChange,
) -> (BTreeSet<MemberId>, BTreeSet<MemberId>) {
    let mut voters: BTreeSet<_> = engine.voters.iter().copied().collect();
    let mut learners: BTreeSet<_> = engine.learners.iter().chain(&engine.learners_next).copied().collect();
    for step in &change.steps {
        let (MembershipStep::AddVoter(member)
        | MembershipStep::AddLearner(member)
        | MembershipStep::Remove(member)) = *step;
        voters.remove(&member);
        learners.remove(&member);
        match step {
            MembershipStep::AddVoter(_) => voters.insert(member),
            MembershipStep::AddLearner(_) => learners.insert(member),
            MembershipStep::Remove(_) => false,
        };
    }
    (voters, learners)
}

/// One member, as the leader sees it when it deals out seats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Who.
    pub member: MemberId,
    /// Whether it has a seat, that is, shall vote.
    pub seated: bool,
    /// Whether it may be aggregator.
    pub may_lead: bool,
    /// Tenures served.
    pub tenures: u64,
    /// Whether it has all that is committed, or nearly.
    pub caught_up: bool,
    /// Whether it was heard lately.
    pub alive: bool,
    /// How long no leader has heard it; zero for one that is heard.
    pub silent: Duration,
}

/// What [`next_seat`] looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeatView {
    /// Everybody enrolled.
    pub seats: Vec<Seat>,
    /// Who leads: its own seat is not given away.
    pub leader: MemberId,
    /// Whether the leader's tenure is the current one: seats rotate after a hand-over only.
    pub in_tenure: bool,
    /// How many shall vote.
    pub target_voters: u32,
    /// After how long a silent voter loses its seat to a learner.
    pub replace_after: Duration,
    /// Whether a membership change is under way, or desired and not begun.
    pub pending_membership: bool,
}

/// Whose seat is given and taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeatDecision {
    /// Who shall vote.
    pub give: Option<MemberId>,
    /// Who shall not vote any more.
    pub take: Option<MemberId>,
}

/// The next seat to deal out, one at a time.
///
/// A voter gone for `replace_after` is replaced by the best learner; otherwise a free seat goes to the best learner.
/// The best is caught up, alive, and has served the fewest tenures; ties go to the lower id. A voter is never unseated
/// without a replacement. When there is nothing of the kind to do, seats rotate, so that everybody who may lead gets
/// its turn.
pub fn next_seat(view: &SeatView) -> Option<SeatDecision> {
    if view.pending_membership {
        return None;
    }
    replacement(view).or_else(|| rotation(view))
}

fn best_learner(view: &SeatView, suits: impl Fn(&Seat) -> bool) -> Option<&Seat> {
    let fit = |seat: &&Seat| !seat.seated && seat.caught_up && seat.alive && suits(seat);
    view.seats.iter().filter(fit).min_by_key(|seat| (seat.tenures, seat.member))
}

/// A free or lost seat goes to the best learner.
fn replacement(view: &SeatView) -> Option<SeatDecision> {
    let best = best_learner(view, |_| true)?;
    let gone = |seat: &&Seat| seat.seated && !seat.alive && seat.silent >= view.replace_after;
    let longest = |seat: &&Seat| (std::cmp::Reverse(seat.silent), seat.member);
    let lost = view.seats.iter().filter(gone).min_by_key(longest).map(|seat| seat.member);
    let seated = view.seats.iter().filter(|seat| seat.seated).count();
    let free = seated < view.target_voters as usize;
    (lost.is_some() || free).then_some(SeatDecision { give: Some(best.member), take: lost })
}

/// The seat of the voter that served most goes to a learner that may lead and served less by more than one. Not while a
/// voter is missing: should the learner fall silent, too, there would be one voice less than if it had never been seated.
fn rotation(view: &SeatView) -> Option<SeatDecision> {
    let best = best_learner(view, |seat| seat.may_lead)?;
    let others = view.seats.iter().filter(|seat| seat.seated && seat.member != view.leader);
    if others.clone().any(|seat| !seat.alive) {
        return None;
    }
    let most = others.max_by_key(|seat| (seat.tenures, std::cmp::Reverse(seat.member)))?;
    let uneven = most.tenures > best.tenures.saturating_add(1);
    (view.in_tenure && uneven).then_some(SeatDecision { give: Some(best.member), take: Some(most.member) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use MembershipStep::{AddLearner, AddVoter, Remove};
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn ids(ids: &[u64]) -> BTreeSet<MemberId> {
        ids.iter().copied().map(MemberId).collect()
    }

    fn engine(voters: &[u64], learners: &[u64]) -> Membership {
        let of = |of: &[u64]| of.iter().copied().map(MemberId).collect();
        Membership { voters: of(voters), learners: of(learners), ..Membership::default() }
    }

    fn steps(voters: &[u64], learners: &[u64], engine: &Membership, leader: u64) -> Vec<MembershipStep> {
        let change = next_change(&ids(voters), &ids(learners), engine, MemberId(leader));
        change.map(|change| change.steps).unwrap_or_default()
    }

    #[test]
    fn newcomers_learn_learners_are_seated_and_the_revoked_leave_in_one_change() {
        let found = steps(&[1, 2, 3], &[5], &engine(&[1, 2, 4], &[3]), 1);
        assert_eq!(found, [AddVoter(MemberId(3)), Remove(MemberId(4)), AddLearner(MemberId(5))]);
        assert!(steps(&[1, 2], &[3], &engine(&[1, 2], &[3]), 1).is_empty());
    }

    #[test]
    fn the_leader_goes_last_and_never_as_the_only_voter() {
        let engine = engine(&[1, 2], &[3]);
        assert_eq!(steps(&[2], &[], &engine, 1), [Remove(MemberId(3))]);
        assert_eq!(steps(&[2], &[3], &engine, 1), [Remove(MemberId(1))]);
        assert_eq!(steps(&[2], &[1, 3], &engine, 1), [AddLearner(MemberId(1))]);
        assert!(steps(&[], &[], &self::engine(&[1], &[]), 1).is_empty());
        assert!(steps(&[], &[1, 2], &self::engine(&[1, 2], &[]), 9).is_empty(), "nobody would vote");
    }

    proptest! {
        #[test]
        fn changes_lead_to_what_is_desired_and_somebody_always_votes(
            before in vec(0u8..3, 8),
            desired in vec(0u8..3, 8),
        ) {
            let of = |kinds: &[u8], kind| -> BTreeSet<_> {
                let numbered = kinds.iter().zip(1..).filter(|(own, _)| **own == kind);
                numbered.map(|(_, member)| MemberId(member)).collect()
            };
            let (mut voters, mut learners) = (of(&before, 1), of(&before, 2));
            let wanted = (of(&desired, 1), of(&desired, 2));
            prop_assume!(!voters.is_empty() && !wanted.0.is_empty());
            let leader = *voters.iter().next().unwrap();
            for _ in 0..3 {
                let engine = Membership {
                    voters: voters.iter().copied().collect(),
                    learners: learners.iter().copied().collect(),
                    ..Membership::default()
                };
                let Some(change) = next_change(&wanted.0, &wanted.1, &engine, leader) else { break };
                (voters, learners) = outcome(&engine, &change);
                prop_assert!(!voters.is_empty());
            }
            prop_assert_eq!((voters, learners), wanted);
        }
    }

    #[test]
    fn a_joint_change_is_finished_first() {
        let joint = Membership { voters_outgoing: vec![MemberId(1)], ..engine(&[1, 2], &[]) };
        assert!(steps(&[1], &[], &joint, 1).is_empty());
    }

    fn seat(member: u64, seated: bool, tenures: u64, silent: u64) -> Seat {
        let silent = Duration::from_secs(silent);
        let alive = silent.is_zero();
        Seat { member: MemberId(member), seated, may_lead: true, tenures, caught_up: true, alive, silent }
    }

    fn view(seats: Vec<Seat>) -> SeatView {
        let replace_after = Duration::from_secs(120);
        let (leader, in_tenure) = (MemberId(1), true);
        SeatView { seats, leader, in_tenure, target_voters: 3, replace_after, pending_membership: false }
    }

    #[test]
    fn a_free_seat_goes_to_the_learner_that_served_least() {
        let seats =
            vec![seat(1, true, 4, 0), seat(2, false, 2, 0), seat(3, false, 1, 0), seat(4, false, 1, 0)];
        let give = Some(MemberId(3));
        assert_eq!(next_seat(&view(seats.clone())), Some(SeatDecision { give, take: None }));
        let pending = SeatView { pending_membership: true, ..view(seats.clone()) };
        assert_eq!(next_seat(&pending), None);
        let mut behind = view(seats);
        behind.seats.iter_mut().for_each(|seat| seat.caught_up = false);
        assert_eq!(next_seat(&behind), None);
    }

    #[test]
    fn the_seat_of_whoever_served_most_goes_to_a_learner_that_served_less_by_more_than_one() {
        let seats = |learner| {
            vec![seat(1, true, 9, 0), seat(2, true, 5, 0), seat(3, true, 5, 0), seat(4, false, learner, 0)]
        };
        let decision = SeatDecision { give: Some(MemberId(4)), take: Some(MemberId(2)) };
        assert_eq!(next_seat(&view(seats(3))), Some(decision), "the leader keeps its seat");
        assert_eq!(next_seat(&view(seats(4))), None);
        assert_eq!(next_seat(&SeatView { in_tenure: false, ..view(seats(3)) }), None);
        let mut never_leads = view(seats(3));
        never_leads.seats[3].may_lead = false;
        assert_eq!(next_seat(&never_leads), None);
    }

    #[test]
    fn a_voter_gone_for_long_is_replaced_and_one_gone_for_short_is_not() {
        let seats = |silent| {
            vec![seat(1, true, 0, 0), seat(2, true, 0, silent), seat(3, true, 0, 0), seat(4, false, 0, 0)]
        };
        let decision = SeatDecision { give: Some(MemberId(4)), take: Some(MemberId(2)) };
        assert_eq!(next_seat(&view(seats(120))), Some(decision));
        assert_eq!(next_seat(&view(seats(119))), None);
        assert_eq!(next_seat(&view(seats(300)[..3].to_vec())), None, "nobody could replace it");
    }
}
