//! The weighted mean of updates, one update at a time.
//!
//! It keeps the mean itself and not a sum, so it takes the memory of one model, is finished after every update, and
//! never overflows. Which updates go in, and how often, is for the caller to see to.

use rafty_types::{Refusal, is_weight};

/// Federated averaging (McMahan et al. 2017, algorithm 1): the mean of whole models, weighted by `num_examples`.
///
/// Each step computes in `f64` and rounds once to `f32`, so after k updates a weight is off by at most
/// (k - 1) * 2^-24 of the largest magnitude it has among them: for 31 updates less than two millionths. A single
/// update comes out bit for bit, and so does one that all participants agree on.
#[derive(Clone, Debug)]
pub struct FedAvg {
    params: usize,
    mean: Vec<f32>,
    examples: u64,
}

/// There is no mean of nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no update was folded in, so there is no mean; the round goes on with the next attempt")]
pub struct Empty;

impl FedAvg {
    /// Ready for updates of `params` weights.
    pub fn new(params: usize) -> Self {
        Self { params, mean: Vec::new(), examples: 0 }
    }

    /// Takes an update in with the weight `num_examples`. Goes over the weights twice.
    ///
    /// # Errors
    /// [`Refusal::WrongShape`], [`Refusal::BadWeight`] (no examples, more than [`MAX_EXAMPLES`](rafty_types::MAX_EXAMPLES),
    /// or 2^64 in all) or [`Refusal::NotFinite`]. The mean is then as it was.
    pub fn fold(
        &mut self,
        weights: impl ExactSizeIterator<Item = f32> + Clone,
        num_examples: u64,
    ) -> Result<(), Refusal> {
        if weights.len() != self.params {
            return Err(Refusal::WrongShape);
        }
        let total = self.examples.checked_add(num_examples).filter(|_| is_weight(num_examples));
        let total = total.ok_or(Refusal::BadWeight)?;
        if !weights.clone().all(f32::is_finite) {
            return Err(Refusal::NotFinite);
        }
        if self.examples == 0 {
            self.mean = weights.collect();
        } else {
            let share = num_examples as f64 / total as f64;
            for (mean, weight) in self.mean.iter_mut().zip(weights) {
                let before = f64::from(*mean);
                *mean = (before + (f64::from(weight) - before) * share) as f32;
            }
        }
        self.examples = total;
        Ok(())
    }

    /// The mean of what was folded in so far. More may be folded in afterwards.
    ///
    /// # Errors
    /// [`Empty`] when there is nothing yet.
    pub fn mean(&self) -> Result<&[f32], Empty> {
        if self.examples == 0 { Err(Empty) } else { Ok(&self.mean) }
    }
}
