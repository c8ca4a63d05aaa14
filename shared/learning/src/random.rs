//! Random numbers that are the same on every machine, from a seed.
//!
//! Uniform draws use integers and exactly rounded operations only, so weights derived from them agree bit for bit
//! between architectures. [`Random::ln_gamma_variate`] uses logarithms and is exempt: nothing replicated depends on it.
//! Not for secrets.

/// SplitMix64 (Steele, Lea and Flood 2014).
pub(crate) struct Random(u64);

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

impl Random {
    /// The `stream`-th of the independent sequences of `seed`.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut mixer = Self(seed);
        let base = mixer.next();
        Self(base ^ Self(stream.wrapping_mul(GOLDEN)).next())
    }

    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0. Multiply and shift; its bias is below bound / 2^64.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// Evenly from [-1, 1), in steps of 2^-23: each step is an `f32` without rounding.
    pub(crate) fn signed_unit(&mut self) -> f32 {
        let steps = (self.next() >> 40) as f32;
        steps / (1u32 << 23) as f32 - 1.0
    }

    /// Evenly from [0, 1), in steps of 2^-53.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Any order of `items`, each equally likely (Fisher and Yates).
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// From the gamma distribution with this shape and scale 1 (Marsaglia and Tsang 2000), as its logarithm: with a
    /// small shape the value itself is often too small for an `f64`.
    pub(crate) fn ln_gamma_variate(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            let boost = (1.0 - self.unit()).ln() / shape;
            return self.ln_gamma_variate(shape + 1.0) + boost;
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        // Each try is accepted with a chance above 0.95: 1,000 refusals in a row do not happen.
        for _ in 0..1_000 {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            let u = 1.0 - self.unit();
            if v > 0.0 && u.ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return (d * v).ln();
            }
        }
        d.ln()
    }

    /// From the standard normal distribution (Box and Muller).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_splitmix64() {
        // From the reference program of its authors, seeded with 1234567.
        let mut random = Random(1_234_567);
        assert_eq!([random.next(), random.next()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn gamma_variates_have_the_mean_of_their_shape() {
        for shape in [0.5, 3.0] {
            let mut random = Random::new(1, 2);
            let mean = (0..20_000).map(|_| random.ln_gamma_variate(shape).exp()).sum::<f64>() / 20_000.0;
            assert!((mean - shape).abs() < 0.05 * shape.max(1.0), "mean {mean} for shape {shape}");
        }
    }
}
