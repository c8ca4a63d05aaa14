//! Every random choice of a run, from one seed.

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{CryptoRng, Rng, SeedableRng};
use std::time::Duration;

/// A source of choices. The same seed gives the same ones on any machine.
#[derive(Debug)]
pub struct SimRng(ChaCha8Rng);

impl SimRng {
    /// The choices of `seed`. Streams of one seed, told apart by `stream`, do not depend on each other.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        bytes[8..16].copy_from_slice(&stream.to_le_bytes());
        Self(ChaCha8Rng::from_seed(bytes))
    }

    /// Any number.
    pub fn roll(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }

    /// A number from the first to the second, both included.
    pub fn between(&mut self, (least, most): (u64, u64)) -> u64 {
        least + self.below(most - least + 1)
    }

    /// Yes, so many times in a hundred.
    pub fn percent(&mut self, chance: u64) -> bool {
        chance > 0 && self.below(100) < chance
    }

    /// Yes, so many times in a thousand.
    pub fn permille(&mut self, chance: u64) -> bool {
        chance > 0 && self.below(1_000) < chance
    }

    /// A time between two numbers of milliseconds.
    pub fn ms(&mut self, (least, most): (u64, u64)) -> Duration {
        Duration::from_micros(self.between((1_000 * least, 1_000 * most)))
    }

    /// One of them; none of none.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        if from.is_empty() { None } else { Some(from[self.below(from.len() as u64) as usize]) }
    }

    /// For keys and tokens.
    pub fn crypto(&mut self) -> &mut dyn CryptoRng {
        &mut self.0
    }
}
