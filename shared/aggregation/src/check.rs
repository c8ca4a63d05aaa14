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

/// Holds an update against the version it was trained from, weight by weight in one fixed order, so that neither has to
/// be in memory as a whole.
#[derive(Clone, Copy, Debug)]
pub struct Distance {
    squares: f64,
    base_squares: f64,
    params: u64,
    finite: bool,
}

impl Default for Distance {
    fn default() -> Self {
        Self { squares: 0.0, base_squares: 0.0, params: 0, finite: true }
    }
}

impl Distance {
    /// Takes in a weight of the base and what it has become.
    pub fn add(&mut self, base: f32, update: f32) {
        self.squares += square(f64::from(update) - f64::from(base));
        self.base_squares += square(f64::from(base));
        self.params += 1;
        self.finite &= update.is_finite();
    }

    /// Judges what was taken in.
    ///
    /// # Errors
    /// [`Refusal::NotFinite`] or [`Refusal::OverNorm`] (see [`NORM_FACTOR`]).
    pub fn verdict(&self) -> Result<(), Refusal> {
        if !self.finite {
            return Err(Refusal::NotFinite);
        }
        let most = square(NORM_FACTOR) * (self.base_squares + self.params as f64);
        if self.squares <= most { Ok(()) } else { Err(Refusal::OverNorm) }
    }
}

fn square(number: f64) -> f64 {
    number * number
}
