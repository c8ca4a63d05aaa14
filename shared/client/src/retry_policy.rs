//! How often a request is tried, and how long it pauses in between: bounded, whatever members answer.

use rafty_wire::client::Address;
use std::time::Duration;

/// Redirects followed at once; the next one waits like a failure, since members may point at each other.
const MAX_HOPS: u32 = 3;

/// Bounds of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long it may take altogether.
    pub patience: Duration,
    /// How often it is sent, at most.
    pub tries: u32,
    /// How long a member may take to accept a connection.
    pub connect_within: Duration,
    /// How long a member may take to answer. It is asked to wait for a leader half as long. Reads ask everybody once
    /// in a hurry before: a quarter of this for the first byte of an answer, a sixteenth for a leader.
    pub answer_within: Duration,
    /// The pause behind the first failure; it doubles with each further one.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(30),
            tries: 16,
            connect_within: Duration::from_secs(2),
            answer_within: Duration::from_secs(8),
            first_pause: Duration::from_millis(25),
            longest_pause: Duration::from_secs(2),
        }
    }
}

impl Limits {
    /// How long the first byte of an answer, and a leader, are waited for while somebody else can still be asked: one
    /// member that is cut off or hangs must not hold up what the others can answer.
    pub(crate) fn quick(&self) -> Option<(Duration, Duration)> {
        (self.tries > 1).then_some((self.answer_within / 4, self.answer_within / 16))
    }

    /// The pause behind so many failures in a row, at least one: between half and the whole of what has doubled.
    /// `random` is in 0..1; it keeps clients that failed together from coming back together.
    fn pause(&self, failures: u32, random: f64) -> Duration {
        let doubled = self.first_pause.saturating_mul(2u32.saturating_pow(failures - 1));
        let whole = doubled.min(self.longest_pause);
        whole / 2 + (whole / 2).mul_f64(random)
    }
}

/// One request's way from member to member.
#[derive(Debug)]
pub(crate) struct RetryPolicy {
    limits: Limits,
    /// Whom to ask in turn, from the front again when all were asked.
    order: Vec<Address>,
    asked: usize,
    /// The way that a member showed.
    shown: Option<Address>,
    hops: u32,
    failures: u32,
    tries_left: u32,
}

impl RetryPolicy {
    pub(crate) fn new(limits: Limits, order: Vec<Address>) -> Self {
        // Nobody is left out, however few tries were meant.
        let tries_left = limits.tries.max(u32::try_from(order.len()).unwrap_or(u32::MAX));
        Self { limits, order, asked: 0, shown: None, hops: 0, failures: 0, tries_left }
    }

    /// Whom to ask now. `None` when it was tried often enough.
    pub(crate) fn next(&mut self) -> Option<Address> {
        self.tries_left = self.tries_left.checked_sub(1)?;
        if let Some(leader) = self.shown.take() {
            return Some(leader);
        }
        let next = self.order.get(self.asked % self.order.len().max(1)).cloned();
        self.asked += 1;
        next
    }

    /// Whether nobody is asked a second time yet, and somebody else could be asked.
    pub(crate) fn is_first_round(&self) -> bool {
        self.order.len() > 1 && self.asked <= self.order.len()
    }

    /// A member said who leads. Gives the pause before that one is asked.
    pub(crate) fn redirected(&mut self, leader: Address, random: f64) -> Duration {
        self.shown = Some(leader);
        self.hops += 1;
        if self.hops <= MAX_HOPS { Duration::ZERO } else { self.failed(random) }
    }

    /// A member did not answer, or could not. Gives the pause before the next one is asked.
    pub(crate) fn failed(&mut self, random: f64) -> Duration {
        self.hops = 0;
        self.failures += 1;
        self.limits.pause(self.failures, random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(port: u16) -> Address {
        Address("127.0.0.1".into(), port)
    }

    #[test]
    fn pauses_double_within_bounds_and_never_overflow() {
        let limits = Limits::default();
        let mut before = Duration::ZERO;
        for failures in 1..200 {
            let (least, most) = (limits.pause(failures, 0.0), limits.pause(failures, 1.0));
            assert!(least >= before / 2 && most >= before && most <= limits.longest_pause);
            assert_eq!(least * 2, most);
            before = most;
        }
        assert_eq!(limits.pause(1, 1.0), limits.first_pause);
        assert_eq!(limits.pause(3, 1.0), 4 * limits.first_pause);
        assert_eq!(before, limits.longest_pause);
    }

    #[test]
    fn members_that_point_at_each_other_are_asked_a_bounded_number_of_times_and_ever_more_slowly() {
        let mut retry_policy = RetryPolicy::new(Limits::default(), vec![member(1), member(2)]);
        let (mut asked, mut paused) = (0, Vec::new());
        while let Some(who) = retry_policy.next() {
            asked += 1;
            let other = if who == member(1) { member(2) } else { member(1) };
            paused.push(retry_policy.redirected(other, 1.0));
        }
        assert_eq!(asked, Limits::default().tries);
        let pauses: Vec<_> = paused.iter().filter(|pause| **pause > Duration::ZERO).collect();
        assert_eq!(pauses.len(), paused.len() / 4, "three hops at once, then a pause");
        assert!(pauses.is_sorted() && pauses.first() < pauses.last());
    }

    #[test]
    fn all_are_asked_in_turn_and_the_one_that_was_shown_comes_first() {
        let mut retry_policy = RetryPolicy::new(Limits::default(), vec![member(1), member(2)]);
        let mut ports = Vec::new();
        for shown in [None, None, Some(9), None, None] {
            ports.extend(retry_policy.next().map(|who| who.1));
            match shown {
                Some(port) => retry_policy.redirected(member(port), 0.0),
                None => retry_policy.failed(0.0),
            };
        }
        assert_eq!(ports, [1, 2, 1, 9, 2]);
    }

    #[test]
    fn everybody_is_asked_before_the_tries_are_over() {
        let limits = Limits { tries: 2, ..Limits::default() };
        let mut retry_policy = RetryPolicy::new(limits, (1..=20).map(member).collect());
        let (mut ports, mut first) = (Vec::new(), 0);
        while let Some(who) = retry_policy.next() {
            ports.push(who.1);
            first += usize::from(retry_policy.is_first_round());
            retry_policy.failed(0.0);
        }
        assert_eq!((ports, first), ((1..=20).collect(), 20));
    }

    #[test]
    fn without_a_member_nobody_is_asked() {
        assert_eq!(RetryPolicy::new(Limits::default(), Vec::new()).next(), None);
    }
}
