//! Decisions out of the fuzzer's bytes: which step comes next, and numbers that are mostly near what is plausible.
//!
//! When the bytes end, so do the decisions.

use rafty_types::{MemberId, Membership, MembershipChange, MembershipStep, Payload};

/// What is left of the input.
pub(crate) struct Choices<'a>(pub(crate) &'a [u8]);

impl Choices<'_> {
    /// The next byte; `None` at the end.
    pub(crate) fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// The next byte, or 0 at the end.
    pub(crate) fn byte(&mut self) -> u8 {
        self.next().unwrap_or(0)
    }

    pub(crate) fn below(&mut self, bound: u8) -> u8 {
        self.byte() % bound
    }

    pub(crate) fn is(&mut self) -> bool {
        self.byte() & 1 > 0
    }

    /// Close to `centre`, at an edge of what a number can be, or any.
    pub(crate) fn number(&mut self, centre: u64) -> u64 {
        match self.byte() {
            0xff => u64::MAX,
            0xfe => (1 << 60) + 1,
            0xfd => 1 << 60,
            0xfc => 0,
            0xfb => u64::from_be_bytes(std::array::from_fn(|_| self.byte())),
            near => centre.saturating_add(u64::from(near % 16)).saturating_sub(4),
        }
    }

    /// One of six members, or nobody.
    pub(crate) fn member(&mut self) -> MemberId {
        match self.byte() {
            0xff => MemberId(u64::MAX),
            0xfe => MemberId(0),
            byte => MemberId(1 + u64::from(byte % 6)),
        }
    }

    fn members(&mut self, most: u8) -> Vec<MemberId> {
        (0..self.below(most + 1)).map(|_| self.member()).collect()
    }

    pub(crate) fn membership(&mut self) -> Membership {
        let joint = if self.is() { 3 } else { 0 };
        let mut membership = Membership {
            voters: self.members(4),
            learners: self.members(2),
            voters_outgoing: self.members(joint),
            learners_next: self.members(joint / 3),
        };
        if self.is() {
            let Membership { voters, learners, voters_outgoing, learners_next } = &mut membership;
            for members in [voters, learners, voters_outgoing, learners_next] {
                members.sort_unstable();
                members.dedup();
            }
        }
        membership
    }

    pub(crate) fn change(&mut self) -> MembershipChange {
        let step = |choices: &mut Self| match choices.below(3) {
            0 => MembershipStep::AddVoter(choices.member()),
            1 => MembershipStep::AddLearner(choices.member()),
            _ => MembershipStep::Remove(choices.member()),
        };
        MembershipChange { steps: (0..self.below(4)).map(|_| step(self)).collect() }
    }

    pub(crate) fn payload(&mut self) -> Payload {
        match self.below(4) {
            0 => Payload::Empty,
            1 => Payload::Membership(self.change()),
            _ => Payload::Command(vec![1; usize::from(self.byte())].into()),
        }
    }
}
