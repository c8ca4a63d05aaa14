//! Who belongs to the engine's membership, and who votes.
//!
//! The dictionary holds what is desired; these functions say which step leads there from what is. They propose
//! nothing themselves.

use crate::check::MAX_STEPS;
use rafty_types::{
    MAX_SEATS_CHANGED, MemberId, Membership, MembershipChange, MembershipStep, Mutation, PeerRole, planted,
};
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::Duration;

/// Seats do not shrink below this by themselves.
const LEAST_SHRUNK: usize = 3;

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
    /// Laptop or device.
    pub role: PeerRole,
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
    /// After how long a silent voter loses its seat.
    pub replace_after: Duration,
    /// Whether a membership change is under way, or desired and not begun.
    pub pending_membership: bool,
}

/// Whose seats are given and taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeatDecision {
    /// Who shall vote.
    pub give: Vec<MemberId>,
    /// Who shall not vote any more.
    pub take: Vec<MemberId>,
}

/// The next seats to deal out. Afterwards an odd number votes: a set of two would stop with either of them.
///
/// A voter gone for `replace_after` loses its seat: to the best learner, or, where more than three vote, together with
/// another one. Free seats go to the best learners, two at a time. The best is caught up, alive, and has served the
/// fewest tenures; ties go to the lower id. Three seats never become one by themselves: two of three that are gone take
/// the set down all the same, and one seat would make one disk enough. When there is nothing of the kind to do, seats
/// rotate, so that everybody who may lead gets its turn.
pub fn next_seat(view: &SeatView) -> Option<SeatDecision> {
    if view.pending_membership {
        return None;
    }
    mended(view).or_else(|| replacement(view)).or_else(|| growth(view)).or_else(|| rotation(view))
}

/// Learners that can be given a seat, the best first.
fn fit_learners(view: &SeatView) -> Vec<&Seat> {
    let mut fit: Vec<_> =
        view.seats.iter().filter(|seat| !seat.seated && seat.caught_up && seat.alive).collect();
    fit.sort_by_key(|seat| (seat.tenures, seat.member));
    fit
}

/// Voters whose seats can be taken, those that are missed least first: gone for longest, silent, devices, those that never
/// lead, newest. Beside each, whether it is gone for good as far as the peer set can tell.
fn dispensable(view: &SeatView) -> Vec<(bool, &Seat)> {
    let gone = |seat: &Seat| !seat.alive && seat.silent >= view.replace_after;
    let two = seated(view) == 2;
    let mut seated: Vec<_> = view.seats.iter().filter(|seat| seat.seated).collect();
    // Of two, the laptop keeps its seat, whoever leads.
    seated.retain(|seat| seat.member != view.leader || two && seat.role == PeerRole::Agent);
    seated.sort_by_key(|seat| {
        (
            seat.alive,
            Reverse((seat.silent, seat.role, !seat.may_lead, seat.member != view.leader, seat.member)),
        )
    });
    seated.into_iter().map(|seat| (gone(seat), seat)).collect()
}

fn seated(view: &SeatView) -> usize {
    view.seats.iter().filter(|seat| seat.seated).count()
}

/// A peer set of the version before may have an even number of seats: one more, or one less.
fn mended(view: &SeatView) -> Option<SeatDecision> {
    if seated(view) % 2 == 1 {
        return None;
    }
    let (voters, learners) = (dispensable(view), fit_learners(view));
    match (voters.first(), learners.first()) {
        (Some((gone, voter)), learner) if *gone || learner.is_none() => {
            Some(SeatDecision { take: vec![voter.member], ..SeatDecision::default() })
        }
        (_, Some(learner)) => Some(SeatDecision { give: vec![learner.member], ..SeatDecision::default() }),
        _ => None,
    }
}

/// Lost seats go to the best learners. What is left of them goes away, two at a time, down to three.
fn replacement(view: &SeatView) -> Option<SeatDecision> {
    let (voters, learners) = (dispensable(view), fit_learners(view));
    let lost: Vec<_> = voters.iter().filter(|(gone, _)| *gone).map(|(_, seat)| seat.member).collect();
    let replaced = lost.len().min(learners.len()).min(MAX_SEATS_CHANGED);
    if planted(Mutation::DeadVoterKeepsSeat) && !lost.is_empty() && learners.len() > 1 {
        let give = learners[..2].iter().map(|seat| seat.member).collect();
        return Some(SeatDecision { give, take: Vec::new() });
    }
    if replaced > 0 {
        let give = learners[..replaced].iter().map(|seat| seat.member).collect();
        return Some(SeatDecision { give, take: lost[..replaced].to_vec() });
    }
    let least = if planted(Mutation::SeatsShrinkToOne) { 1 } else { LEAST_SHRUNK };
    let shrinks = !lost.is_empty() && seated(view) >= least + 2;
    let take = || voters.iter().take(2).map(|(_, seat)| seat.member).collect();
    shrinks.then(|| SeatDecision { give: Vec::new(), take: take() })
}

/// Free seats go to the best learners, two at a time.
fn growth(view: &SeatView) -> Option<SeatDecision> {
    let give: Vec<_> = fit_learners(view).iter().take(2).map(|seat| seat.member).collect();
    let free = seated(view) + 2 <= view.target_voters as usize;
    (free && give.len() == 2).then_some(SeatDecision { give, take: Vec::new() })
}

/// The seat of the voter that served most goes to a learner that may lead and served less by more than one. Not while a
/// voter is missing: should the learner fall silent, too, there would be one voice less than if it had never been seated.
fn rotation(view: &SeatView) -> Option<SeatDecision> {
    let best = fit_learners(view).into_iter().find(|seat| seat.may_lead)?;
    let others = view.seats.iter().filter(|seat| seat.seated && seat.member != view.leader);
    if others.clone().any(|seat| !seat.alive) {
        return None;
    }
    let most = others.max_by_key(|seat| (seat.tenures, Reverse(seat.member)))?;
    let uneven = most.tenures > best.tenures.saturating_add(1);
    let decision = SeatDecision { give: vec![best.member], take: vec![most.member] };
    (view.in_tenure && uneven).then_some(decision)
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
        let (member, role) = (MemberId(member), PeerRole::Peer);
        Seat { member, seated, role, may_lead: true, tenures, caught_up: true, alive, silent }
    }

    fn view(seats: Vec<Seat>) -> SeatView {
        let replace_after = Duration::from_secs(120);
        let (leader, in_tenure) = (MemberId(1), true);
        SeatView { seats, leader, in_tenure, target_voters: 3, replace_after, pending_membership: false }
    }

    fn decision(give: &[u64], take: &[u64]) -> Option<SeatDecision> {
        let of = |of: &[u64]| of.iter().copied().map(MemberId).collect();
        Some(SeatDecision { give: of(give), take: of(take) })
    }

    #[test]
    fn a_second_member_learns_and_free_seats_go_two_at_a_time_to_who_served_least() {
        let seats =
            vec![seat(1, true, 4, 0), seat(2, false, 2, 0), seat(3, false, 1, 0), seat(4, false, 1, 0)];
        assert_eq!(next_seat(&view(seats[..2].to_vec())), None, "two would stop with either of them");
        assert_eq!(next_seat(&view(seats.clone())), decision(&[3, 4], &[]));
        let pending = SeatView { pending_membership: true, ..view(seats.clone()) };
        assert_eq!(next_seat(&pending), None);
        let even = SeatView { target_voters: 2, ..view(seats.clone()) };
        assert_eq!(next_seat(&even), None);
        let mut behind = view(seats);
        behind.seats.iter_mut().skip(2).for_each(|seat| seat.caught_up = false);
        assert_eq!(next_seat(&behind), None);
    }

    #[test]
    fn the_seat_of_whoever_served_most_goes_to_a_learner_that_served_less_by_more_than_one() {
        let seats = |learner| {
            vec![seat(1, true, 9, 0), seat(2, true, 5, 0), seat(3, true, 5, 0), seat(4, false, learner, 0)]
        };
        assert_eq!(next_seat(&view(seats(3))), decision(&[4], &[2]), "the leader keeps its seat");
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
        assert_eq!(next_seat(&view(seats(120))), decision(&[4], &[2]));
        assert_eq!(next_seat(&view(seats(119))), None);
        assert_eq!(next_seat(&view(seats(300)[..3].to_vec())), None, "three never become one");
    }

    #[test]
    fn seats_shrink_to_three_when_a_voter_is_gone_and_nobody_takes_its_place() {
        let five = |silent: &[u64]| -> Vec<Seat> {
            let silent = |member: u64| silent.get(member as usize - 1).copied().unwrap_or(0);
            (1..=5).map(|member| seat(member, true, 0, silent(member))).collect()
        };
        let view = |seats| SeatView { target_voters: 5, ..view(seats) };
        assert_eq!(next_seat(&view(five(&[0, 0, 130]))), decision(&[], &[3, 5]));
        assert_eq!(next_seat(&view(five(&[0, 130, 200]))), decision(&[], &[3, 2]));
        assert_eq!(next_seat(&view(five(&[0, 0, 100]))), None);
    }

    #[test]
    fn an_even_number_of_seats_is_mended_first() {
        let seats = |silent| vec![seat(1, true, 0, 0), seat(2, true, 0, silent), seat(3, false, 0, 0)];
        assert_eq!(next_seat(&view(seats(0))), decision(&[3], &[]));
        assert_eq!(next_seat(&view(seats(0)[..2].to_vec())), decision(&[], &[2]));
        assert_eq!(next_seat(&view(seats(130))), decision(&[], &[2]));
        let mut led_by_a_device = seats(0);
        led_by_a_device[0].role = PeerRole::Agent;
        assert_eq!(
            next_seat(&view(led_by_a_device[..2].to_vec())),
            decision(&[], &[1]),
            "the laptop keeps it"
        );
    }

    proptest! {
        #[test]
        fn whatever_is_decided_ends_odd(kinds in vec((any::<bool>(), 0u64..4, any::<bool>()), 1..12), target in 1u32..9) {
            let mut seats: Vec<_> = kinds
                .iter()
                .zip(1..)
                .map(|((seated, silent, leads), member)| {
                    Seat { may_lead: *leads, ..seat(member, *seated, member % 3, silent * 60) }
                })
                .collect();
            seats[0] = seat(1, true, 0, 0);
            let view = SeatView { target_voters: target, ..view(seats) };
            if let Some(SeatDecision { give, take }) = next_seat(&view) {
                prop_assert_eq!((seated(&view) + give.len() - take.len()) % 2, 1);
                prop_assert!(!take.contains(&view.leader));
                prop_assert!(take.len() <= give.len() + 2);
            }
        }
    }
}
