//! Which change leads from the engine's membership to the desired one.
//!
//! The dictionary holds what is desired; these functions say which step leads there from what is. They propose
//! nothing themselves.

use crate::check::MAX_STEPS;
use rafty_types::{MemberId, Membership, MembershipChange, MembershipStep};
use std::collections::BTreeSet;

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
}
