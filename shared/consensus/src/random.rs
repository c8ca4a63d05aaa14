//! A small seeded generator: everything drawn here is the same again in a replay.
//!
//! It serves election timeouts and nonces. It is not for keys.

/// SplitMix64 (Steele, Lea and Flood 2014).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `low..=high`; `low` when the range is empty.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        let span = u128::from(high.saturating_sub(low)) + 1;
        let offset = (u128::from(self.next()) * span) >> 64;
        low + u64::try_from(offset).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_stay_in_range_reach_both_ends_and_repeat() {
        let (mut first, mut second) = (Random::new(7), Random::new(7));
        let drawn: Vec<_> = (0..1_000).map(|_| first.between(15, 30)).collect();
        assert!(drawn.iter().all(|draw| (15..=30).contains(draw)));
        assert!(drawn.contains(&15) && drawn.contains(&30));
        assert_eq!(drawn, (0..1_000).map(|_| second.between(15, 30)).collect::<Vec<_>>());
    }
}
