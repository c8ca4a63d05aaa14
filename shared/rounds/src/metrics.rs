//! Participants' measures combined into one, in integers.
//!
//! What is measured, and how, is not known here.

use rafty_types::{Metrics, is_weight};

/// Combines measures with the weight of the update each came with: counts add up, the loss is weighted by held-out
/// examples and the training loss by `num_examples`. Each part is one that an opened update may claim, so that the sums of
/// all members are far from an overflow.
pub(crate) fn combine(parts: impl Iterator<Item = (u64, Metrics)>) -> Metrics {
    let (mut examples, mut correct, mut weight) = (0u64, 0u64, 0u128);
    let (mut loss, mut train_loss) = (0u128, 0u128);
    for (num_examples, part) in parts {
        debug_assert!(is_weight(num_examples) && part.are_of(1), "{num_examples} examples, {part:?}");
        examples += part.examples;
        correct += part.correct;
        weight += u128::from(num_examples);
        loss += u128::from(part.loss_micros) * u128::from(part.examples);
        train_loss += u128::from(part.train_loss_micros) * u128::from(num_examples);
    }
    let mean = |sum: u128, weight: u128| {
        sum.checked_div(weight).map_or(0, |mean| u64::try_from(mean).unwrap_or(u64::MAX))
    };
    Metrics {
        examples,
        correct,
        loss_micros: mean(loss, examples.into()),
        train_loss_micros: mean(train_loss, weight),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rafty_types::MAX_EXAMPLES;

    fn measured(examples: u64, correct: u64, loss: u64, train_loss: u64) -> Metrics {
        Metrics { examples, correct, loss_micros: loss, train_loss_micros: train_loss }
    }

    #[test]
    fn losses_are_weighted_by_what_they_were_measured_on() {
        let parts = [(300, measured(10, 5, 400, 100)), (100, measured(30, 30, 800, 500))];
        assert_eq!(combine(parts.into_iter()), measured(40, 35, 700, 200));
    }

    #[test]
    fn nothing_measured_gives_no_measure_and_the_most_of_all_members_is_exact() {
        assert_eq!(combine(std::iter::empty()), Metrics::default());
        let most = measured(MAX_EXAMPLES, MAX_EXAMPLES - 1, u64::MAX, u64::MAX);
        let all = combine([(MAX_EXAMPLES, most); 31].into_iter());
        assert_eq!(all, measured(31 * MAX_EXAMPLES, 31 * (MAX_EXAMPLES - 1), u64::MAX, u64::MAX));
    }
}
