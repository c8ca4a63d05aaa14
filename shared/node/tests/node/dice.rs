//! Every random choice of a run, from one seed.

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{CryptoRng, Rng, SeedableRng};
use std::time::Duration;

pub(crate) struct Dice(ChaCha20Rng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Self(ChaCha20Rng::from_seed(bytes))
    }

    pub(crate) fn roll(&mut self) -> u64 {
        self.0.next_u64()
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }

    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    /// A time between two numbers of milliseconds.
    pub(crate) fn ms(&mut self, (least, most): (u64, u64)) -> Duration {
        Duration::from_micros(1_000 * least + self.below(1_000 * (most - least) + 1))
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        if from.is_empty() { None } else { Some(from[self.below(from.len() as u64) as usize]) }
    }

    /// For keys and tokens.
    pub(crate) fn rng(&mut self) -> &mut dyn CryptoRng {
        &mut self.0
    }
}
