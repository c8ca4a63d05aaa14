//! Who votes: which seats are given and taken.
//!
//! All seats but one are steady: they belong to whoever has been reachable longest, laptops first when equal, so that
//! devices can be switched off without stopping the set. The last one travels: to whoever is to lead next and does not
//! vote.

use rafty_types::{MAX_SEATS_CHANGED, MemberId, MemberKind, Mutation, planted};
use std::cmp::Reverse;
use std::time::Duration;

/// Seats do not shrink below this by themselves.
const LEAST_SHRUNK: usize = 3;
/// Members of whom one has been reachable for less than so many times as long as the other count as equal.
const EQUAL_WITHIN: u32 = 2;
/// Whoever has been reachable for less counts as if for so long: in the first minute nobody has proved steady.
const LEAST_REACHABLE: Duration = Duration::from_secs(60);

/// One member, as the leader sees it when it deals out seats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Who.
    pub member: MemberId,
    /// Whether it has a seat, that is, shall vote.
    pub seated: bool,
    /// Laptop or device.
    pub role: MemberKind,
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
    /// For how long it has been reachable, as the replicated state counts it.
    pub reachable: Duration,
}

impl Seat {
    /// How long it counts as reachable: a laptop's time counts for as much more as still counts as equal.
    fn steadiness(&self) -> Duration {
        self.reachable.max(LEAST_REACHABLE) * if self.role == MemberKind::Operator { EQUAL_WITHIN } else { 1 }
    }

    /// The steadiest have the lowest rank: reachable longest, laptops before devices, earlier members before later ones.
    fn rank(&self) -> (Reverse<Duration>, MemberKind, MemberId) {
        (Reverse(self.steadiness()), self.role, self.member)
    }

    /// Whether it shall have a seat rather than `other`. Not only because it comes first: of two laptops, or of two devices,
    /// that count as equal, the one that votes goes on voting.
    fn is_steadier_than(&self, other: &Self) -> bool {
        let times = if self.role == other.role { EQUAL_WITHIN } else { 1 };
        let equal = other.steadiness() * times;
        self.steadiness() > equal || self.steadiness() == equal && self.role < other.role
    }
}

/// Where the leader stands between taking over and handing over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leading {
    /// Its tenure is the current one.
    Tenure,
    /// Before it begins a tenure, it lets the travelling seat go to who is to lead instead.
    Passing {
        /// Whether members that it has not heard yet are waited for.
        waits: bool,
    },
    /// It has not begun a tenure yet.
    Idle,
}

/// What [`next_seat`] looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeatView {
    /// Everybody enrolled.
    pub seats: Vec<Seat>,
    /// Who leads: its own seat is not given away.
    pub leader: MemberId,
    /// Where the leader stands: steady seats change in a tenure only, and the last one travels then, or before it.
    pub leading: Leading,
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

/// What becomes of the travelling seat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Travel {
    /// It stays: no learner has served less than the voters.
    #[default]
    Stays,
    /// A learner has served least, or may have: somebody has not been heard yet.
    Awaited,
    /// A learner has served least and the leader has that seat itself. Another leader must move it.
    Held,
    /// It goes to a learner.
    Goes {
        /// To whom.
        to: MemberId,
        /// Who has it.
        from: MemberId,
    },
}

/// The next seats to deal out. Afterwards an odd number votes: a set of two would stop with either of them.
///
/// A voter gone for `replace_after` loses its seat: to the best learner, or, where more than three vote, together with
/// another one. Free seats go to the best learners, two at a time. The best is caught up, alive, and has been reachable
/// longest. Three seats never become one by themselves: two of three that are gone take the set down all the same, and
/// one seat would make one disk enough. When there is nothing of the kind to do, a learner that is steadier than those
/// with steady seats gets one, and the travelling seat goes where the next tenure is due.
pub fn next_seat(view: &SeatView) -> Option<SeatDecision> {
    if view.pending_membership {
        return None;
    }
    mended(view)
        .or_else(|| replacement(view))
        .or_else(|| growth(view))
        .or_else(|| steadier(view))
        .or_else(|| rotation(view))
}

/// Learners that can be given a seat, the best first.
fn fit_learners(view: &SeatView) -> Vec<&Seat> {
    let mut fit: Vec<_> =
        view.seats.iter().filter(|seat| !seat.seated && seat.caught_up && seat.alive).collect();
    fit.sort_by_key(|seat| seat.rank());
    fit
}

/// Voters whose seats can be taken, those that are missed least first: gone for longest, silent, least steady. Beside
/// each, whether it is gone for good as far as the peer set can tell.
fn dispensable(view: &SeatView) -> Vec<(bool, &Seat)> {
    let gone = |seat: &Seat| !seat.alive && seat.silent >= view.replace_after;
    let two = seated(view) == 2;
    let mut seated: Vec<_> = view.seats.iter().filter(|seat| seat.seated).collect();
    // Of two, the laptop keeps its seat, whoever leads.
    seated.retain(|seat| seat.member != view.leader || two && seat.role == MemberKind::Agent);
    seated.sort_by_key(|seat| {
        let (steadiness, role, member) = seat.rank();
        (seat.alive, Reverse((seat.silent, steadiness, role, seat.member != view.leader, member)))
    });
    seated.into_iter().map(|seat| (gone(seat), seat)).collect()
}

fn seated(view: &SeatView) -> usize {
    view.seats.iter().filter(|seat| seat.seated).count()
}

/// Who votes, the steadiest first. The last one has the travelling seat.
fn voters(view: &SeatView) -> Vec<&Seat> {
    let mut voters: Vec<_> = view.seats.iter().filter(|seat| seat.seated).collect();
    voters.sort_by_key(|seat| seat.rank());
    voters
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

/// A learner that is steadier than one of those with steady seats gets a seat. The travelling one is taken for it, so that
/// whoever was the least steady of them has that now, unless the leader has it. Not while a voter is missing: should the
/// learner fall silent, too, there would be one voice less than if it had never been seated.
fn steadier(view: &SeatView) -> Option<SeatDecision> {
    let voters = voters(view);
    let (travelling, steady) = voters.split_last()?;
    let (least, best) = (steady.last()?, fit_learners(view).into_iter().next()?);
    if view.leading != Leading::Tenure
        || voters.iter().any(|seat| !seat.alive)
        || !best.is_steadier_than(least)
    {
        return None;
    }
    let taken = if travelling.member == view.leader { least } else { travelling };
    Some(SeatDecision { give: vec![best.member], take: vec![taken.member] })
}

fn rotation(view: &SeatView) -> Option<SeatDecision> {
    match travel(view) {
        Travel::Goes { to, from } => Some(SeatDecision { give: vec![to], take: vec![from] }),
        Travel::Stays | Travel::Awaited | Travel::Held => None,
    }
}

/// What becomes of the travelling seat: it goes to the learner that may lead and served least, if all voters that could be
/// next served more. Not while another voter is missing, for the reason that [`steadier`] has.
pub fn travel(view: &SeatView) -> Travel {
    let voters = voters(view);
    let (Some(last), false) = (voters.last(), voters.len() < LEAST_SHRUNK || view.leading == Leading::Idle)
    else {
        return Travel::Stays;
    };
    let waits = view.leading == Leading::Passing { waits: true };
    let fit = |seat: &Seat| seat.caught_up && seat.alive;
    let possible = |seat: &&Seat| seat.may_lead && (fit(seat) || waits && seat.silent.is_zero());
    let learners = view.seats.iter().filter(|seat| !seat.seated).filter(possible);
    let Some(due) = learners.min_by_key(|seat| (seat.tenures, seat.member)) else { return Travel::Stays };
    // Whoever serves is not its own successor.
    let serves = |seat: &Seat| view.leading == Leading::Tenure && seat.member == view.leader;
    let could_be_next = voters.iter().copied().filter(possible).filter(|seat| !serves(seat));
    if could_be_next.map(|seat| seat.tenures).min().is_some_and(|least| least <= due.tenures) {
        return Travel::Stays;
    }
    if last.member == view.leader {
        return Travel::Held;
    }
    let missing = voters.iter().any(|seat| !seat.alive && seat.member != last.member);
    match (missing, waits) {
        (true, false) => Travel::Stays,
        (false, _) if fit(due) => Travel::Goes { to: due.member, from: last.member },
        _ => Travel::Awaited,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn seat(member: u64, seated: bool, tenures: u64, silent: u64) -> Seat {
        let silent = Duration::from_secs(silent);
        let alive = silent.is_zero();
        let (member, role) = (MemberId(member), MemberKind::Operator);
        let reachable = Duration::ZERO;
        Seat { member, seated, role, may_lead: true, tenures, caught_up: true, alive, silent, reachable }
    }

    fn view(seats: Vec<Seat>) -> SeatView {
        let replace_after = Duration::from_secs(120);
        let (leader, leading) = (MemberId(1), Leading::Tenure);
        SeatView { seats, leader, leading, target_voters: 3, replace_after, pending_membership: false }
    }

    fn decision(give: &[u64], take: &[u64]) -> Option<SeatDecision> {
        let of = |of: &[u64]| of.iter().copied().map(MemberId).collect();
        Some(SeatDecision { give: of(give), take: of(take) })
    }

    #[test]
    fn a_second_member_learns_and_free_seats_go_two_at_a_time_to_laptops_and_the_oldest() {
        let mut seats =
            vec![seat(1, true, 4, 0), seat(2, false, 2, 0), seat(3, false, 9, 0), seat(4, false, 1, 0)];
        seats[1].role = MemberKind::Agent;
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

    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;

    fn reachable(role: MemberKind, seconds: u64) -> Seat {
        Seat { role, reachable: Duration::from_secs(seconds), ..seat(1, true, 0, 0) }
    }

    #[test]
    fn who_was_reachable_longest_is_steadier_and_laptops_are_when_that_is_about_equal() {
        use MemberKind::{Agent, Operator};
        let steadier = [
            (reachable(Operator, HOUR), reachable(Agent, 70 * MINUTE)),
            (reachable(Operator, 0), reachable(Agent, 2 * MINUTE)),
            (reachable(Operator, 12 * HOUR), reachable(Agent, DAY)),
            (reachable(Agent, DAY), reachable(Operator, 10 * MINUTE)),
            (reachable(Agent, DAY), reachable(Operator, 9 * HOUR)),
            (reachable(Agent, 5 * HOUR), reachable(Agent, 2 * HOUR)),
            (reachable(Operator, 5 * HOUR), reachable(Operator, 2 * HOUR)),
        ];
        for (one, other) in steadier {
            assert!(one.is_steadier_than(&other), "{one:?} {other:?}");
            assert!(!other.is_steadier_than(&one) && one.rank() < other.rank(), "{one:?} {other:?}");
        }
        for role in [Agent, Operator] {
            let (one, other) = (reachable(role, 2 * HOUR), reachable(role, 3 * HOUR));
            assert!(!one.is_steadier_than(&other) && !other.is_steadier_than(&one), "who votes goes on");
        }
    }

    /// Of laptops 1 to 3 and devices 4 to 7 these vote, and 1 leads in its tenure.
    fn mixed(voters: &[u64], target_voters: u32) -> SeatView {
        let role = |member| if member > 3 { MemberKind::Agent } else { MemberKind::Operator };
        let seats =
            (1..=7).map(|member| Seat { role: role(member), ..seat(member, voters.contains(&member), 0, 0) });
        SeatView { target_voters, ..view(seats.collect()) }
    }

    #[test]
    fn laptops_take_the_seats_of_devices_but_for_the_one_that_travels() {
        assert_eq!(next_seat(&mixed(&[1, 4, 5, 6, 7], 5)), decision(&[2], &[7]));
        assert_eq!(next_seat(&mixed(&[1, 2, 4, 5, 6], 5)), decision(&[3], &[6]));
        assert_eq!(next_seat(&mixed(&[1, 2, 3, 4, 5], 5)), None);
        assert_eq!(next_seat(&mixed(&[1, 4, 5], 3)), decision(&[2], &[5]));
        assert_eq!(next_seat(&mixed(&[1, 2, 4], 3)), None, "that one travels");
        let led_by_it = SeatView { leader: MemberId(5), ..mixed(&[1, 4, 5], 3) };
        assert_eq!(next_seat(&led_by_it), decision(&[2], &[4]), "the leader keeps its seat");
        let idle = SeatView { leading: Leading::Idle, ..mixed(&[1, 4, 5], 3) };
        assert_eq!(next_seat(&idle), None, "not before a tenure");
        let mut silent = mixed(&[1, 4, 5, 6, 7], 5);
        (silent.seats[3].alive, silent.seats[3].silent) = (false, Duration::from_secs(5));
        assert_eq!(next_seat(&silent), None, "not while a voter is missing");
        let mut seldom = mixed(&[1, 4, 5, 6, 7], 5);
        seldom.seats[3..].iter_mut().for_each(|seat| seat.reachable = Duration::from_secs(DAY));
        assert_eq!(next_seat(&seldom), None, "the laptops have proved nothing yet");
    }

    #[test]
    fn the_travelling_seat_goes_to_a_learner_that_served_less_than_all_that_could_be_next() {
        let mut view = mixed(&[1, 2, 4], 3);
        view.seats.iter_mut().for_each(|seat| seat.tenures = 5);
        assert_eq!(travel(&view), Travel::Stays);
        view.seats[5].tenures = 4;
        assert_eq!(travel(&view), Travel::Goes { to: MemberId(6), from: MemberId(4) });
        assert_eq!(next_seat(&view), decision(&[6], &[4]));
        view.seats[0].tenures = 4;
        assert_eq!(next_seat(&view), decision(&[6], &[4]), "whoever serves is not its own successor");
        let passing = |waits| SeatView { leading: Leading::Passing { waits }, ..view.clone() };
        assert_eq!(next_seat(&passing(true)), None, "whoever took over may serve itself");
        view.seats[0].tenures = 5;
        let passing = |waits| SeatView { leading: Leading::Passing { waits }, ..view.clone() };
        assert_eq!(next_seat(&passing(false)), decision(&[6], &[4]));
        assert_eq!(travel(&SeatView { leading: Leading::Idle, ..view.clone() }), Travel::Stays);
        assert_eq!(travel(&SeatView { leader: MemberId(4), ..view.clone() }), Travel::Held);
        view.seats[5].may_lead = false;
        assert_eq!(travel(&view), Travel::Stays);
    }

    #[test]
    fn a_leader_that_passes_waits_for_those_it_has_not_heard_and_no_voter_may_be_missing() {
        let silence = |seat: &mut Seat, silent| {
            (seat.alive, seat.silent) = (false, Duration::from_secs(silent));
        };
        let passing = |silent: usize, for_long| {
            let mut view = mixed(&[1, 2, 4], 3);
            view.seats.iter_mut().for_each(|seat| seat.tenures = 5);
            view.seats[5].tenures = 4;
            silence(&mut view.seats[silent - 1], for_long);
            [true, false]
                .map(|waits| travel(&SeatView { leading: Leading::Passing { waits }, ..view.clone() }))
        };
        let goes = Travel::Goes { to: MemberId(6), from: MemberId(4) };
        assert_eq!(passing(6, 0), [Travel::Awaited, Travel::Stays]);
        assert_eq!(passing(6, 5), [Travel::Stays; 2], "it is known to be silent");
        assert_eq!(passing(2, 0), [Travel::Awaited, Travel::Stays]);
        assert_eq!(passing(4, 5), [goes; 2], "its seat is no loss");
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
        led_by_a_device[0].role = MemberKind::Agent;
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
