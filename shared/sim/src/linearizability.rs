//! Whether a history of one register can be explained by operations that take effect one after the other, each at
//! some moment between its call and its return.
//!
//! The search is Wing and Gong's (1993) with Lowe's memory (2017): of the operations under way it tries one after the
//! other as the next to take effect, and never visits the same set of effects with the same value twice. An
//! operation that never returned may have taken effect at any time after its call, or never; the two need no
//! telling apart, since nothing is known of what it answered: never is the same as after everything else.
//!
//! It judges one key at a time, which is enough: linearizability is local (Herlihy and Wing 1990).

use rafty_types::Time;
use std::collections::HashSet;

/// Most operations in a history. Registers are given up before they have more.
pub const MAX_OPERATIONS: usize = 128;

/// What was asked of a register, and what it answered when it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Stores a value.
    Set(u64),
    /// Removes the value; `Some(true)` when there was one, `None` when nothing is known.
    Delete(Option<bool>),
    /// Reads the value.
    Get(Option<u64>),
}

/// One operation, from its call to its return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// What it was.
    pub action: Action,
    /// When it was called.
    pub called: Time,
    /// When it returned; `None` when it never did.
    pub returned: Option<Time>,
}

/// Whether there is an order of effects that explains every answer.
///
/// # Panics
/// On more than [`MAX_OPERATIONS`] operations.
pub fn is_linearizable(history: &[Operation]) -> bool {
    assert!(history.len() <= MAX_OPERATIONS, "a history of {} operations is too long", history.len());
    let answered: u128 =
        (0..history.len()).filter(|at| history[*at].returned.is_some()).map(|at| 1 << at).sum();
    let mut seen = HashSet::new();
    // Every state is what has taken effect, and the value that this left.
    let mut open = vec![(0u128, None)];
    while let Some((done, value)) = open.pop() {
        if done & answered == answered {
            return true;
        }
        for next in candidates(history, done) {
            if let Some(after) = effect(history[next].action, value) {
                let state = (done | 1 << next, after);
                if seen.insert(state) {
                    open.push(state);
                }
            }
        }
    }
    false
}

/// Operations that may take effect next: those called before every other that is left has returned.
fn candidates(history: &[Operation], done: u128) -> impl Iterator<Item = usize> {
    let left = move |at: &usize| done & (1 << *at) == 0;
    let first_return = (0..history.len()).filter(left).filter_map(|at| history[at].returned).min();
    (0..history.len())
        .filter(left)
        .filter(move |at| first_return.is_none_or(|returned| history[*at].called <= returned))
}

/// The value after an action on `value`; `None` when it could not have answered what it did.
fn effect(action: Action, value: Option<u64>) -> Option<Option<u64>> {
    match action {
        Action::Set(new) => Some(Some(new)),
        Action::Delete(there) => (there.is_none() || there == Some(value.is_some())).then_some(None),
        Action::Get(read) => (read == value).then_some(value),
    }
}

#[cfg(test)]
mod tests {
    use super::Action::{Delete, Get, Set};
    use super::*;
    use crate::rng::SimRng;
    use std::time::Duration;

    fn at(ms: u64) -> Time {
        Time::since_start(Duration::from_millis(ms))
    }

    fn op(action: Action, called: u64, returned: u64) -> Operation {
        Operation { action, called: at(called), returned: Some(at(returned)) }
    }

    fn pending(action: Action, called: u64) -> Operation {
        Operation { action, called: at(called), returned: None }
    }

    #[test]
    fn good_histories_are_explained() {
        let good: [&[Operation]; 8] = [
            &[],
            &[op(Set(1), 0, 1), op(Get(Some(1)), 2, 3)],
            // Reads under way together with a write may see either value, in an order that fits.
            &[op(Set(1), 0, 1), op(Set(2), 2, 9), op(Get(Some(1)), 3, 4), op(Get(Some(2)), 5, 6)],
            &[op(Set(1), 0, 9), op(Get(None), 0, 9), op(Delete(Some(true)), 5, 9), op(Get(None), 10, 11)],
            // What never returned may count late, early, or never.
            &[pending(Set(1), 0), op(Get(None), 1, 2), op(Get(Some(1)), 3, 4)],
            &[pending(Set(1), 0), op(Set(2), 1, 2), op(Get(Some(2)), 3, 4), op(Get(Some(1)), 5, 6)],
            &[pending(Set(1), 0), op(Get(None), 50, 60)],
            &[op(Set(1), 0, 1), pending(Delete(None), 2), op(Delete(Some(false)), 3, 4)],
        ];
        for (number, history) in good.iter().enumerate() {
            assert!(is_linearizable(history), "good history {number}");
        }
    }

    #[test]
    fn bad_histories_are_not() {
        let bad: [&[Operation]; 9] = [
            // A read that misses a finished write, and one that sees what nobody wrote.
            &[op(Set(1), 0, 1), op(Get(None), 2, 3)],
            &[op(Get(Some(7)), 0, 1)],
            // A value read before its write was called.
            &[op(Get(Some(1)), 0, 1), op(Set(1), 2, 3)],
            // Two reads one after the other that see a new value, then the old one again.
            &[op(Set(1), 0, 1), op(Set(2), 2, 20), op(Get(Some(2)), 3, 4), op(Get(Some(1)), 5, 6)],
            // An unknown write that is seen, overwritten, and seen again.
            &[
                pending(Set(1), 0),
                op(Get(Some(1)), 1, 2),
                op(Set(2), 3, 4),
                op(Get(Some(2)), 5, 6),
                op(Get(Some(1)), 7, 8),
            ],
            // A lost acknowledged write.
            &[op(Set(1), 0, 1), op(Set(2), 2, 3), op(Get(Some(1)), 4, 5)],
            // Two deletes that both found the one value.
            &[op(Set(1), 0, 1), op(Delete(Some(true)), 2, 3), op(Delete(Some(true)), 4, 5)],
            &[op(Set(1), 0, 1), op(Delete(Some(false)), 2, 3)],
            &[op(Delete(Some(true)), 0, 1)],
        ];
        for (number, history) in bad.iter().enumerate() {
            assert!(!is_linearizable(history), "bad history {number}");
        }
    }

    /// A history of a real register: each operation takes effect at a moment of its own, between call and return.
    fn real(rng: &mut SimRng, len: u64) -> Vec<Operation> {
        let mut effects: Vec<_> = (0..len).map(|number| (rng.below(10 * len), number)).collect();
        effects.sort_unstable();
        let mut value = None;
        let mut history = Vec::new();
        for (moment, number) in effects {
            let action = match rng.below(4) {
                0 => Get(value),
                1 => Delete(Some(value.is_some())),
                _ => Set(number),
            };
            value = effect(action, value).expect("a real register");
            let lost = rng.percent(15) && !matches!(action, Get(_));
            let action = if lost && matches!(action, Delete(_)) { Delete(None) } else { action };
            let (before, after) = (rng.below(20), rng.below(20));
            let returned = (!lost).then(|| at(100 + moment + after));
            history.push(Operation { action, called: at(100 + moment - before), returned });
        }
        history
    }

    #[test]
    fn what_a_real_register_did_is_always_explained() {
        let mut rng = SimRng::new(5, 0);
        for _ in 0..300 {
            let history = real(&mut rng, 30);
            assert!(is_linearizable(&history), "{history:#?}");
        }
    }

    /// The definition itself: some order of all effects, or all but some pending ones, that keeps to real time.
    fn by_definition(history: &[Operation], done: u128, value: Option<u64>) -> bool {
        let left = |at: &usize| done & (1 << *at) == 0;
        if (0..history.len()).filter(left).all(|at| history[at].returned.is_none()) {
            return true;
        }
        (0..history.len()).filter(left).any(|next| {
            let overtakes =
                |other: usize| history[other].returned.is_some_and(|at| at < history[next].called);
            let in_time = !(0..history.len()).filter(left).any(overtakes);
            let after = effect(history[next].action, value).filter(|_| in_time);
            after.is_some_and(|after| by_definition(history, done | 1 << next, after))
        })
    }

    #[test]
    fn small_histories_are_judged_as_by_definition() {
        let (mut rng, mut bad) = (SimRng::new(6, 0), 0);
        for _ in 0..2_000 {
            let mut history = real(&mut rng, 6);
            // One wrong answer, which may or may not show.
            let lie = rng.below(6) as usize;
            if let Get(read) = &mut history[lie].action {
                *read = rng.percent(50).then(|| rng.below(6));
            }
            let truth = by_definition(&history, 0, None);
            bad += u32::from(!truth);
            assert_eq!(is_linearizable(&history), truth, "{history:#?}");
        }
        assert!(bad > 50, "too few bad histories to tell: {bad}");
    }
}
