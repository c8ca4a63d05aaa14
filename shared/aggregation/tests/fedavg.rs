//! The mean is the mean: against a direct computation in `f64`.

use proptest::prelude::*;
use rafty_aggregation::{Empty, FedAvg};
use rafty_types::{MAX_EXAMPLES, Refusal};

type Update = (Vec<f32>, u64);

fn mean(updates: &[Update]) -> Vec<f32> {
    let mut combined = FedAvg::new(updates[0].0.len());
    for (weights, num_examples) in updates {
        combined.fold(weights.iter().copied(), *num_examples).unwrap();
    }
    combined.mean().unwrap().to_vec()
}

fn direct_mean(updates: &[Update]) -> Vec<f64> {
    let total: f64 = updates.iter().map(|(_, num_examples)| *num_examples as f64).sum();
    let weighted =
        |at: usize| updates.iter().map(move |(weights, count)| f64::from(weights[at]) * *count as f64);
    (0..updates[0].0.len()).map(|at| weighted(at).sum::<f64>() / total).collect()
}

/// The bound that the documentation gives, with room for the noise of `f64` and the smallest numbers.
fn bound(updates: &[Update], at: usize) -> f64 {
    let largest = updates.iter().map(|(weights, _)| f64::from(weights[at].abs())).fold(0.0, f64::max);
    let steps = (updates.len() - 1) as f64;
    steps * (largest * 2f64.powi(-24) + 2f64.powi(-149)) + largest * 1e-14
}

fn finite() -> impl Strategy<Value = f32> {
    prop_oneof![-1.0f32..1.0, any::<f32>().prop_filter("finite", |weight| weight.is_finite())]
}

fn num_examples() -> impl Strategy<Value = u64> {
    prop_oneof![1u64..2_000, Just(MAX_EXAMPLES)]
}

fn updates() -> impl Strategy<Value = Vec<Update>> {
    (1usize..9).prop_flat_map(|params| {
        prop::collection::vec((prop::collection::vec(finite(), params), num_examples()), 1..32)
    })
}

proptest! {
    #[test]
    fn it_is_the_weighted_mean_within_the_stated_bound(updates in updates()) {
        for (at, (found, exact)) in mean(&updates).iter().zip(direct_mean(&updates)).enumerate() {
            let error = (f64::from(*found) - exact).abs();
            prop_assert!(error <= bound(&updates, at), "weight {at}: {found} instead of {exact}");
        }
    }

    #[test]
    fn the_order_of_updates_does_not_matter_beyond_the_bound(updates in updates(), turn: prop::sample::Index) {
        let mut turned = updates.clone();
        turned.rotate_left(turn.index(updates.len()));
        turned.reverse();
        for (at, (one, other)) in mean(&updates).iter().zip(mean(&turned)).enumerate() {
            let difference = (f64::from(*one) - f64::from(other)).abs();
            prop_assert!(difference <= 2.0 * bound(&updates, at), "weight {at}: {one} or {other}");
        }
    }

    #[test]
    fn agreement_stays_exact(weights in prop::collection::vec(finite(), 1..9), counts in prop::collection::vec(1u64..=MAX_EXAMPLES, 1..32)) {
        let updates: Vec<Update> = counts.into_iter().map(|count| (weights.clone(), count)).collect();
        prop_assert_eq!(mean(&updates), weights);
    }

    #[test]
    fn the_mean_lies_between_the_updates(updates in updates()) {
        for (at, found) in mean(&updates).into_iter().enumerate() {
            let values = updates.iter().map(|(weights, _)| weights[at]);
            prop_assert!(values.clone().fold(f32::MAX, f32::min) <= found);
            prop_assert!(found <= values.fold(f32::MIN, f32::max));
        }
    }
}

/// Weights of this many parts in one are summed without any rounding.
const PARTS: i128 = 1 << 20;
/// Means are compared in so many parts in one.
const FINE: i128 = 1 << 60;
/// What `f64` may lose in a step beside the rounding to `f32`: 2^-40.
const NOISE: i128 = FINE >> 40;

proptest! {
    #[test]
    fn it_is_the_mean_that_whole_numbers_give_within_a_rounding_a_step(
        updates in prop::collection::vec((-(1i128 << 23)..1 << 23, num_examples()), 1..32),
    ) {
        let weight = |parts: i128| parts as f32 / PARTS as f32;
        let drawn: Vec<Update> = updates.iter().map(|(parts, count)| (vec![weight(*parts)], *count)).collect();
        let found = (f64::from(mean(&drawn)[0]) * FINE as f64) as i128;
        let total: i128 = updates.iter().map(|(_, count)| i128::from(*count)).sum();
        let sum: i128 = updates.iter().map(|(parts, count)| parts * i128::from(*count)).sum();
        let largest = updates.iter().map(|(parts, _)| parts.abs()).max().unwrap_or(0);
        let steps = updates.len() as i128 - 1;
        let allowed = steps * (largest * (FINE / PARTS) / (1 << 24) + NOISE) + 2;
        let exact = sum * (FINE / PARTS) / total;
        prop_assert!((found - exact).abs() <= allowed, "{found} instead of {exact}, more than {allowed} off");
    }
}

#[test]
fn one_participant_keeps_every_bit() {
    let weights = vec![-0.0, 0.1, f32::MIN_POSITIVE / 4.0, f32::MAX, -3.5];
    let bits = |weights: &[f32]| weights.iter().map(|weight| weight.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&mean(&[(weights.clone(), 17)])), bits(&weights));
}

#[test]
fn more_examples_weigh_more() {
    assert_eq!(mean(&[(vec![0.0], 1), (vec![1.0], 3)]), [0.75]);
    assert_eq!(mean(&[(vec![f32::MAX], 1), (vec![f32::MIN], 1)]), [0.0]);
}

#[test]
fn a_refused_update_changes_nothing() {
    let mut combined = FedAvg::new(2);
    assert_eq!(combined.mean(), Err(Empty));
    combined.fold([1.0, 2.0].into_iter(), 10).unwrap();
    assert_eq!(combined.fold([1.0].into_iter(), 10), Err(Refusal::WrongShape));
    assert_eq!(combined.fold([1.0, 2.0, 3.0].into_iter(), 10), Err(Refusal::WrongShape));
    assert_eq!(combined.fold([5.0, 6.0].into_iter(), 0), Err(Refusal::BadWeight));
    assert_eq!(combined.fold([5.0, 6.0].into_iter(), MAX_EXAMPLES + 1), Err(Refusal::BadWeight));
    assert_eq!(combined.fold([5.0, 6.0].into_iter(), u64::MAX), Err(Refusal::BadWeight));
    assert_eq!(combined.fold([5.0, f32::NAN].into_iter(), 10), Err(Refusal::NotFinite));
    assert_eq!(combined.fold([f32::INFINITY, 6.0].into_iter(), 10), Err(Refusal::NotFinite));
    assert_eq!(combined.mean(), Ok(&[1.0, 2.0][..]));
}

#[test]
fn a_model_without_weights_is_still_counted() {
    let mut combined = FedAvg::new(0);
    assert_eq!(combined.mean(), Err(Empty));
    combined.fold([].into_iter(), 1).unwrap();
    assert_eq!(combined.mean(), Ok(&[][..]));
}
