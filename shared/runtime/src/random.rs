//! Randomness from the system, for keys and nonces.

/// The system's generator. Panics when the system has no randomness, without which nothing here is safe.
pub(crate) fn rng() -> impl rand_core::CryptoRng {
    rand_core::UnwrapErr(getrandom::SysRng)
}
