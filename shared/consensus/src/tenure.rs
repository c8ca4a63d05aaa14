//! When a leader's tenure begins, how long it lasts, and to whom it hands over.
//!
//! A leader is aggregator for a fixed time on its own clock. At the first round boundary after that, at the latest
//! when the grace is over, it hands over to whoever has served least. When that is a learner, a leader that has just taken
//! over begins no tenure: it waits until the travelling seat is the learner's, and hands over to it. This is only the
//! decision; the engine does the transfer, and what an aggregator does meanwhile is in `rounds`.

use crate::seats::Travel;
use rafty_types::{MemberId, Mutation, Tenure, Term, Time, planted};
use std::time::Duration;

/// Members a leader tries to hand over to before it steps down.
const MAX_HANDOVERS: usize = 3;
/// A tenure that was proposed and not applied is proposed again after this many election timeouts.
const BEGIN_TIMEOUTS: u32 = 10;
/// Whoever took leadership over and began no tenure is not asked again for this many election timeouts.
const DECLINED_TIMEOUTS: u32 = 20;
/// The travelling seat may take this many longest election timeouts to change hands before a tenure.
const PASSING_TIMEOUTS: u32 = 10;
/// Failed attempts of a round that still double the grace.
const MAX_DOUBLINGS: u32 = 3;

/// The tenure that is current in the replicated state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CurrentTenure {
    /// Its id.
    pub tenure: Tenure,
    /// Whose it is.
    pub holder: MemberId,
    /// The term of its entry.
    pub term: Term,
}

/// Someone who might be handed leadership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Who: a voter.
    pub member: MemberId,
    /// Whether it may be aggregator.
    pub may_lead: bool,
    /// Tenures served.
    pub tenures: u64,
    /// Whether it has the whole log, or nearly.
    pub caught_up: bool,
    /// Whether it was heard lately.
    pub alive: bool,
}

/// What the keeper looks at. All of it as this member sees it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenureView {
    /// This member.
    pub me: MemberId,
    /// Whether it leads.
    pub leader: bool,
    /// Its term.
    pub term: Term,
    /// Whether it may be aggregator.
    pub may_lead: bool,
    /// Whether an entry of this term is committed and applied.
    pub committed_in_term: bool,
    /// Whether a fresh tenure key is at hand.
    pub key_ready: bool,
    /// The current tenure.
    pub current: Option<CurrentTenure>,
    /// Whether an attempt of a round is under way.
    pub in_round: bool,
    /// How many attempts of that round failed before.
    pub failed_attempts: u32,
    /// Whether a membership change is under way.
    pub pending_membership: bool,
    /// Whether a change of seats is decided, or proposed, that is not in force yet. May be left out while the keeper
    /// [lets no seat go](TenureKeeper::passing).
    pub seats_change: bool,
    /// Whether the engine is handing leadership over.
    pub transferring: bool,
    /// What becomes of the travelling seat. May be left out while the keeper does not [ask for it](TenureKeeper::asks_for_travel).
    pub travel: Travel,
    /// The other voters. May be left out while the keeper [seeks nobody](TenureKeeper::seeks_successor).
    pub candidates: Vec<Candidate>,
    /// How long a tenure lasts.
    pub tenure: Duration,
    /// How much longer it may last until the round it is in ends.
    pub grace: Duration,
    /// How long a hand-over may take: the longest election timeout.
    pub election_timeout: Duration,
}

impl TenureView {
    /// The tenure that is mine in this term. One of an earlier term does not count any more.
    fn mine(&self) -> Option<Tenure> {
        let mine = |current: &CurrentTenure| current.holder == self.me && current.term == self.term;
        self.current.filter(mine).map(|current| current.tenure)
    }

    /// The grace, longer after each failed attempt so that slow devices get through, but never longer than a tenure.
    fn grace_now(&self) -> Duration {
        (self.grace * 2u32.pow(self.failed_attempts.min(MAX_DOUBLINGS))).min(self.tenure.max(self.grace))
    }

    /// Whether it leads only until somebody else does: it was never to lead, it stops, or its disk fails. A round that
    /// is open goes on under the next.
    fn must_go(&self, passed: &Passed) -> bool {
        !self.may_lead && self.successor(&[], passed).is_some()
    }

    /// The next to hand over to: the fewest tenures, ties by id.
    fn successor(&self, tried: &[MemberId], passed: &Passed) -> Option<MemberId> {
        let fit = |candidate: &&Candidate| {
            candidate.may_lead
                && candidate.caught_up
                && candidate.alive
                && candidate.member != self.me
                && !tried.contains(&candidate.member)
                && !passed.to.contains(&candidate.member)
        };
        let served =
            |one: &Candidate| if planted(Mutation::SuccessionIgnoresTenures) { 0 } else { one.tenures };
        let fewest =
            self.candidates.iter().filter(fit).min_by_key(|candidate| (served(candidate), candidate.member));
        fewest.map(|candidate| candidate.member)
    }

    /// Who can move the travelling seat, when this member has it and nobody else who votes may lead.
    fn mover(&self, tried: &[MemberId], passed: &Passed) -> Option<MemberId> {
        let fit = |one: &&Candidate| {
            one.caught_up && one.alive && !tried.contains(&one.member) && !passed.to.contains(&one.member)
        };
        let mover = self.candidates.iter().filter(fit).map(|one| one.member).min();
        mover.filter(|_| self.travel == Travel::Held)
    }
}

/// What the leader is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TenureAction {
    /// Propose `TenureBegan`.
    Begin,
    /// Hand leadership over.
    HandOver {
        /// To whom.
        to: MemberId,
    },
    /// Give the hand-over up.
    AbortTransfer,
    /// Lead no more, whoever comes next.
    StepDown,
}

/// Where a leader's tenure stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// No tenure of ours.
    #[default]
    Idle,
    /// The travelling seat is to change hands first. Until `waits`, members that were not heard yet are waited for.
    Passing { to: Option<MemberId>, waits: Time, until: Time },
    /// Proposed; in place of `before` when it renews.
    Beginning { before: Option<Tenure>, until: Time },
    /// Open since `began`.
    Serving { tenure: Tenure, began: Time },
    /// Handing over to the last of `tried`.
    Leaving { tried: Vec<MemberId>, until: Time },
    /// The last hand-over was given up.
    Undecided { tried: Vec<MemberId> },
}

/// Whom this member has handed over to without a tenure having begun since. Who wants to lead no more is not known to
/// others, and hands over at once: without a memory, two such would hand leadership back and forth.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Passed {
    to: Vec<MemberId>,
    /// The tenure that was the last one then.
    during: Option<Tenure>,
    /// They may have changed their minds by then.
    until: Time,
}

impl Passed {
    fn forget(&mut self, now: Time, view: &TenureView) {
        let during = view.current.map(|current| current.tenure);
        if during != self.during || self.until <= now {
            *self = Self { during, ..Self::default() };
        }
    }

    fn remember(&mut self, to: MemberId, until: Time) {
        self.to.push(to);
        self.until = until;
    }
}

/// Keeps the tenures of one member. Call [`step`](Self::step) after whatever may have changed the view, and at the
/// deadline.
#[derive(Clone, Debug, Default)]
pub struct TenureKeeper {
    term: Term,
    phase: Phase,
    /// The open tenure, when it began on our clock, and how long it lasts.
    open: Option<(Tenure, Time, Duration)>,
    /// When it may let the travelling seat go first again: once in each hand-over, and not in vain all the time.
    passes_after: Time,
    passed: Passed,
    deadline: Option<Time>,
}

impl TenureKeeper {
    /// A keeper that knows of no tenure.
    pub fn new() -> Self {
        Self::default()
    }

    /// When to step next even if nothing happens.
    pub fn deadline(&self) -> Option<Time> {
        self.deadline
    }

    /// What is left of this member's own tenure, grace not counted; zero when it is overdue. `None` when it is not the one
    /// that this keeper saw last: one that has just begun has not lasted its time because the one before has.
    pub fn tenure_left(&self, now: Time, tenure: Tenure) -> Option<Duration> {
        let any = planted(Mutation::RenewedTenureTakenForOver);
        let (_, began, lasts) = self.open.filter(|(open, ..)| *open == tenure || any)?;
        Some((began + lasts).saturating_since(now))
    }

    /// Whether the next step may look for somebody to hand over to.
    pub fn seeks_successor(&self, now: Time, may_lead: bool, tenure: Duration) -> bool {
        let seeks = match self.phase {
            Phase::Idle | Phase::Beginning { .. } | Phase::Leaving { .. } => false,
            Phase::Serving { began, .. } => began + tenure <= now,
            Phase::Passing { .. } | Phase::Undecided { .. } => true,
        };
        seeks || !may_lead
    }

    /// Whether the next step looks at what becomes of the travelling seat.
    pub fn asks_for_travel(&self, now: Time, may_lead: bool, tenure: Duration) -> bool {
        self.phase == Phase::Idle || self.seeks_successor(now, may_lead, tenure)
    }

    /// Whether this leader waits for the travelling seat to change hands before a tenure begins; and then, whether it still
    /// waits for members that it has not heard.
    pub fn passing(&self, now: Time) -> Option<bool> {
        match self.phase {
            Phase::Passing { waits, .. } => Some(now < waits),
            _ => None,
        }
    }

    /// Whether it would let the travelling seat go before it begins a tenure.
    pub fn may_pass(&self, now: Time) -> bool {
        self.phase == Phase::Idle && self.passes_after <= now
    }

    /// This member does not lead in this term: it has no tenure to keep.
    pub fn follow(&mut self, term: Term) {
        *self = Self { term, passed: std::mem::take(&mut self.passed), ..Self::default() };
    }

    /// What to do now, one action at a time.
    pub fn step(&mut self, now: Time, view: &TenureView) -> Option<TenureAction> {
        if !view.leader || view.term != self.term {
            self.follow(view.term);
        }
        if !view.leader {
            return None;
        }
        // Whatever is waited for below, look again after an election timeout.
        self.deadline = Some(now + view.election_timeout);
        self.passed.forget(now, view);
        self.notice(now, view);
        match self.phase.clone() {
            Phase::Idle => self.idle(now, view),
            Phase::Passing { to, waits, until } => self.passes(now, view, to, (waits, until)),
            Phase::Beginning { before, until } => self.beginning(now, view, before, until),
            Phase::Serving { began, .. } => self.serving(now, view, began),
            Phase::Leaving { tried, until } => self.leaving(now, view, tried, until),
            Phase::Undecided { tried } => self.hand_over(now, view, tried),
        }
    }

    /// A tenure of ours was applied.
    fn notice(&mut self, now: Time, view: &TenureView) {
        let Some(tenure) = view.mine() else { return };
        let known = match &self.phase {
            Phase::Idle | Phase::Passing { .. } => false,
            Phase::Beginning { before, .. } => *before == Some(tenure),
            Phase::Serving { tenure: known, .. } => *known == tenure,
            Phase::Leaving { .. } | Phase::Undecided { .. } => true,
        };
        if !known {
            self.phase = Phase::Serving { tenure, began: now };
            self.open = Some((tenure, now, view.tenure));
        }
    }

    fn idle(&mut self, now: Time, view: &TenureView) -> Option<TenureAction> {
        if !view.committed_in_term || view.transferring {
            return None;
        }
        if self.passes_after <= now && matches!(view.travel, Travel::Awaited | Travel::Goes { .. }) {
            let until = now + view.election_timeout * PASSING_TIMEOUTS;
            self.passes_after = now + view.election_timeout * DECLINED_TIMEOUTS;
            return self.passes(now, view, None, (now + view.election_timeout, until));
        }
        if view.may_lead {
            return self.begin(now, view, None);
        }
        // It opens no tenure; without anybody else who may lead it stays leader all the same.
        let goes = view.must_go(&self.passed) || view.mover(&[], &self.passed).is_some();
        if goes { self.hand_over(now, view, Vec::new()) } else { None }
    }

    /// Hands over to the learner once it votes. When there is no such learner after all, or it takes too long, this member
    /// goes on as if there had been none.
    fn passes(
        &mut self,
        now: Time,
        view: &TenureView,
        to: Option<MemberId>,
        (waits, until): (Time, Time),
    ) -> Option<TenureAction> {
        let to = if let Travel::Goes { to, .. } = view.travel { Some(to) } else { to };
        let votes = |to| view.candidates.iter().any(|candidate| candidate.member == to);
        if to.is_some_and(votes) && !view.pending_membership {
            return self.hand_over(now, view, Vec::new());
        }
        let on_its_way = view.seats_change || view.pending_membership;
        let in_vain = !on_its_way && matches!(view.travel, Travel::Stays | Travel::Held);
        if until <= now || in_vain {
            self.phase = Phase::Idle;
            return self.idle(now, view);
        }
        self.phase = Phase::Passing { to, waits, until };
        self.deadline = Some(if now < waits { waits } else { until });
        None
    }

    fn begin(&mut self, now: Time, view: &TenureView, before: Option<Tenure>) -> Option<TenureAction> {
        if !view.key_ready {
            return None;
        }
        let until = now + view.election_timeout * BEGIN_TIMEOUTS;
        self.phase = Phase::Beginning { before, until };
        self.deadline = Some(until);
        Some(TenureAction::Begin)
    }

    fn beginning(
        &mut self,
        now: Time,
        view: &TenureView,
        before: Option<Tenure>,
        until: Time,
    ) -> Option<TenureAction> {
        if view.must_go(&self.passed) {
            return self.hand_over(now, view, Vec::new());
        }
        if now < until {
            self.deadline = Some(until);
            return None;
        }
        self.begin(now, view, before)
    }

    fn serving(&mut self, now: Time, view: &TenureView, began: Time) -> Option<TenureAction> {
        let due = began + view.tenure;
        let last = due + view.grace_now();
        if !view.must_go(&self.passed) && (now < due || (view.in_round && now < last)) {
            self.deadline = Some(if now < due { due } else { last });
            return None;
        }
        if view.transferring { None } else { self.hand_over(now, view, Vec::new()) }
    }

    fn leaving(
        &mut self,
        now: Time,
        view: &TenureView,
        tried: Vec<MemberId>,
        until: Time,
    ) -> Option<TenureAction> {
        // The engine gives a transfer up by itself, too; then there is nothing left to wait for.
        if planted(Mutation::HandOverNeverEnds) {
            return None;
        }
        if now < until && view.transferring || planted(Mutation::WokenInThePast) {
            self.deadline = Some(until);
            return None;
        }
        self.passed.to.retain(|passed| Some(passed) != tried.last());
        let after_passing = now < self.passes_after && view.mine().is_none() && view.may_lead;
        self.phase = if after_passing { Phase::Idle } else { Phase::Undecided { tried } };
        self.deadline = Some(now);
        Some(TenureAction::AbortTransfer)
    }

    /// Hands over to the next who was not tried. Nobody at all: the tenure is renewed. Everybody failed: step down.
    fn hand_over(&mut self, now: Time, view: &TenureView, mut tried: Vec<MemberId>) -> Option<TenureAction> {
        if view.pending_membership {
            return None;
        }
        let until = now + view.election_timeout;
        let successor = view.successor(&tried, &self.passed);
        match successor.or_else(|| view.mover(&tried, &self.passed)) {
            Some(to) if tried.len() < MAX_HANDOVERS => {
                tried.push(to);
                self.passed.remember(to, now + view.election_timeout * DECLINED_TIMEOUTS);
                self.phase = Phase::Leaving { tried, until };
                Some(TenureAction::HandOver { to })
            }
            // Whoever leads only because nobody else may opens no further tenure.
            None if tried.is_empty() && !view.may_lead => None,
            None if tried.is_empty() => self.begin(now, view, view.mine()),
            _ => {
                // Stepping down ends the term for us; should it not, it is tried again.
                self.phase = Phase::Undecided { tried };
                Some(TenureAction::StepDown)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: u64 = 5_000;
    const GRACE: u64 = 1_000;
    const ELECTION: u64 = 300;

    fn at(ms: u64) -> Time {
        Time::since_start(Duration::from_millis(ms))
    }

    fn candidate(member: u64, tenures: u64) -> Candidate {
        Candidate { member: MemberId(member), may_lead: true, tenures, caught_up: true, alive: true }
    }

    /// Member 1 has just won term 3; members 2 and 3 vote too.
    fn view() -> TenureView {
        TenureView {
            me: MemberId(1),
            leader: true,
            term: Term(3),
            may_lead: true,
            committed_in_term: true,
            key_ready: true,
            current: None,
            in_round: false,
            failed_attempts: 0,
            pending_membership: false,
            seats_change: false,
            transferring: false,
            travel: Travel::Stays,
            candidates: vec![candidate(2, 4), candidate(3, 1)],
            tenure: Duration::from_millis(T),
            grace: Duration::from_millis(GRACE),
            election_timeout: Duration::from_millis(ELECTION),
        }
    }

    fn open(tenure: u64) -> Option<CurrentTenure> {
        Some(CurrentTenure { tenure: Tenure(tenure), holder: MemberId(1), term: Term(3) })
    }

    /// A keeper whose tenure 9 began at 0.
    fn serving(view: &mut TenureView) -> TenureKeeper {
        let mut keeper = TenureKeeper::new();
        assert_eq!(keeper.step(at(0), view), Some(TenureAction::Begin));
        view.current = open(9);
        assert_eq!(keeper.step(at(0), view), None);
        keeper
    }

    #[test]
    fn a_tenure_begins_once_when_the_term_is_committed_and_a_key_is_ready() {
        let mut keeper = TenureKeeper::new();
        assert_eq!(keeper.step(at(0), &TenureView { committed_in_term: false, ..view() }), None);
        assert_eq!(keeper.step(at(1), &TenureView { key_ready: false, ..view() }), None);
        assert_eq!(keeper.step(at(2), &view()), Some(TenureAction::Begin));
        assert_eq!(keeper.step(at(3), &view()), None, "it is on its way");
        let retry = keeper.deadline().unwrap();
        assert_eq!(keeper.step(retry, &view()), Some(TenureAction::Begin), "it got lost");
        let applied = TenureView { current: open(9), ..view() };
        assert_eq!(keeper.step(at(9_000), &applied), None);
        assert_eq!(keeper.tenure_left(at(10_000), Tenure(9)), Some(Duration::from_millis(T - 1_000)));
    }

    const GOES: Travel = Travel::Goes { to: MemberId(7), from: MemberId(3) };

    #[test]
    fn whoever_takes_over_while_a_learner_served_least_hands_over_to_it_once_it_votes() {
        let mut view = TenureView { travel: Travel::Awaited, ..view() };
        let mut keeper = TenureKeeper::new();
        assert!(keeper.may_pass(at(0)));
        assert_eq!(keeper.step(at(0), &view), None, "it begins no tenure");
        assert_eq!((keeper.passing(at(0)), keeper.deadline()), (Some(true), Some(at(ELECTION))));
        view.travel = GOES;
        assert_eq!(keeper.step(at(1), &view), None);
        // The seat is given, and the change of voters under way.
        (view.travel, view.pending_membership) = (Travel::Stays, true);
        assert_eq!(keeper.step(at(2), &view), None);
        view.candidates.push(candidate(7, 0));
        assert_eq!(keeper.step(at(3), &view), None);
        view.pending_membership = false;
        assert_eq!(keeper.step(at(4), &view), Some(TenureAction::HandOver { to: MemberId(7) }));
        // It comes to nothing: another try in this term would keep everybody without a tenure.
        view.travel = GOES;
        assert_eq!(keeper.step(at(4 + ELECTION), &view), Some(TenureAction::AbortTransfer));
        assert_eq!(keeper.step(at(5 + ELECTION), &view), Some(TenureAction::Begin));
    }

    #[test]
    fn a_seat_that_does_not_travel_is_not_waited_for_long() {
        let passing = |travel| {
            let mut keeper = TenureKeeper::new();
            assert_eq!(keeper.step(at(0), &TenureView { travel, ..view() }), None);
            keeper
        };
        let mut keeper = passing(Travel::Awaited);
        assert_eq!(keeper.passing(at(ELECTION)), Some(false), "only those that were heard count now");
        let stays = view();
        assert_eq!(keeper.step(at(ELECTION), &stays), Some(TenureAction::Begin));
        let mut keeper = passing(GOES);
        let late = ELECTION * u64::from(PASSING_TIMEOUTS);
        let on_its_way = TenureView { seats_change: true, ..view() };
        assert_eq!(keeper.step(at(late - 1), &on_its_way), None);
        let mut declined = keeper.clone();
        assert_eq!(
            declined.step(at(late - 1), &stays),
            Some(TenureAction::Begin),
            "it is not on its way any more"
        );
        assert_eq!(keeper.step(at(late), &on_its_way), Some(TenureAction::Begin));
        assert!(!keeper.may_pass(at(late)));
    }

    #[test]
    fn whoever_holds_the_travelling_seat_begins_a_tenure_and_hands_over_to_somebody_who_can_move_it() {
        let mut view = TenureView { travel: Travel::Held, ..view() };
        let mut keeper = serving(&mut view);
        view.candidates.iter_mut().for_each(|candidate| candidate.may_lead = false);
        assert_eq!(keeper.step(at(T), &view), Some(TenureAction::HandOver { to: MemberId(2) }));
        let mut never_leads = TenureView { may_lead: false, current: None, ..view };
        never_leads.candidates[0].alive = false;
        let mut keeper = TenureKeeper::new();
        assert_eq!(keeper.step(at(0), &never_leads), Some(TenureAction::HandOver { to: MemberId(3) }));
    }

    #[test]
    fn a_tenure_of_an_earlier_term_does_not_count() {
        let old = CurrentTenure { tenure: Tenure(5), holder: MemberId(1), term: Term(2) };
        let mut keeper = TenureKeeper::new();
        let action = keeper.step(at(0), &TenureView { current: Some(old), ..view() });
        assert_eq!(action, Some(TenureAction::Begin));
    }

    #[test]
    fn ties_go_to_the_lower_id_and_only_the_fit_are_asked() {
        let mut view = view();
        view.candidates =
            vec![candidate(4, 1), candidate(3, 1), candidate(2, 0), candidate(5, 0), candidate(6, 0)];
        view.candidates[2].may_lead = false;
        view.candidates[3].caught_up = false;
        view.candidates[4].alive = false;
        let mut keeper = serving(&mut view);
        assert_eq!(keeper.step(at(T), &view), Some(TenureAction::HandOver { to: MemberId(3) }));
    }

    #[test]
    fn a_round_may_finish_within_the_grace_which_grows_with_failed_attempts() {
        for (failed, last) in [(0, GRACE), (1, 2 * GRACE), (2, 4 * GRACE), (3, T), (40, T)] {
            let mut view = TenureView { in_round: true, failed_attempts: failed, ..view() };
            let mut keeper = serving(&mut view);
            assert_eq!(keeper.step(at(T), &view), None);
            assert_eq!(keeper.deadline(), Some(at(T + last)));
            let mut ended = keeper.clone();
            let boundary = TenureView { in_round: false, ..view.clone() };
            assert!(matches!(ended.step(at(T + 1), &boundary), Some(TenureAction::HandOver { .. })));
            assert!(matches!(keeper.step(at(T + last), &view), Some(TenureAction::HandOver { .. })));
        }
    }

    #[test]
    fn no_more_than_a_few_are_tried() {
        let mut view = view();
        view.candidates = (2..20).map(|member| candidate(member, 0)).collect();
        let mut keeper = serving(&mut view);
        let mut asked = 0;
        let mut now = T;
        loop {
            match keeper.step(at(now), &view) {
                Some(TenureAction::HandOver { .. }) => asked += 1,
                Some(TenureAction::StepDown) => break,
                _ => now += ELECTION,
            }
        }
        assert_eq!(asked, MAX_HANDOVERS);
    }

    #[test]
    fn while_membership_changes_nothing_is_handed_over() {
        let mut view = view();
        let mut keeper = serving(&mut view);
        view.pending_membership = true;
        assert_eq!(keeper.step(at(T), &view), None);
        assert_eq!(keeper.deadline(), Some(at(T + ELECTION)), "it looks again");
        view.pending_membership = false;
        assert!(matches!(keeper.step(at(T + 1), &view), Some(TenureAction::HandOver { .. })));
    }

    #[test]
    fn without_a_successor_the_tenure_is_renewed() {
        let mut view = TenureView { candidates: Vec::new(), ..view() };
        let mut keeper = serving(&mut view);
        assert_eq!(keeper.step(at(T), &view), Some(TenureAction::Begin));
        assert_eq!(keeper.step(at(T + 1), &view), None, "the old one is still current");
        view.current = open(20);
        assert_eq!(
            keeper.tenure_left(at(T + 2), Tenure(20)),
            None,
            "that the old one is over says nothing of it"
        );
        assert_eq!(keeper.step(at(T + 2), &view), None);
        assert_eq!(keeper.tenure_left(at(T + 2), Tenure(20)), Some(Duration::from_millis(T)));
    }
}
