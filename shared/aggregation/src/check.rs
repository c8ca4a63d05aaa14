//! Whether an update can be what training makes of its base version.
//!
//! A sanity check: it catches what diverged or was garbled. It is no defence against a participant that poisons the
//! model within the bound.

use rafty_types::Refusal;

/// How far an update may be from its base, as a multiple of the largest distance that is plausible: with root mean
/// squares over the weights, `rms(update - base) <= NORM_FACTOR * sqrt(rms(base)^2 + 1)`.
///
/// Generous on purpose. Initialised weights are some 0.05 on average and local training moves them by less than
/// that; a training that diverges passes 10 within a few steps. The 1 lets models through that start from zeros.
pub const NORM_FACTOR: f64 = 10.0;

/// Holds an update against the version it was trained from.
///
/// # Errors
/// [`Refusal::WrongShape`], [`Refusal::NotFinite`] or [`Refusal::OverNorm`] (see [`NORM_FACTOR`]).
pub fn check(base: &[f32], update: &[f32]) -> Result<(), Refusal> {
    if update.len() != base.len() {
        return Err(Refusal::WrongShape);
    }
    if !all_finite(update) {
        return Err(Refusal::NotFinite);
    }
    let distance: f64 =
        base.iter().zip(update).map(|(&from, &to)| square(f64::from(to) - f64::from(from))).sum();
    let norm: f64 = base.iter().map(|&weight| square(f64::from(weight))).sum();
    let most = square(NORM_FACTOR) * (norm + base.len() as f64);
    if distance <= most { Ok(()) } else { Err(Refusal::OverNorm) }
}

pub(crate) fn all_finite(weights: &[f32]) -> bool {
    weights.iter().all(|weight| weight.is_finite())
}

fn square(number: f64) -> f64 {
    number * number
}
