//! Content addresses.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// BLAKE3-256 of some bytes: names model versions, updates and envelopes, and compares replicated state.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(#[serde(with = "crate::hex")] pub [u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The first 12 hexadecimal digits, enough for a person to tell two apart.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_string()
    }

    /// The first eight bytes as a number: enough where only who makes two things alike would be harmed by it.
    pub fn prefix(&self) -> u64 {
        u64::from_le_bytes(*self.0.first_chunk().expect("8 of 32 bytes"))
    }
}

/// Small parts are collected up to so many bytes: the hash is many times as fast on long parts as on short ones.
const COLLECTED: usize = 16 * 1_024;

/// Makes a [`Digest`] of bytes that come in parts.
#[derive(Default)]
pub struct DigestWriter {
    hasher: blake3::Hasher,
    /// Not hashed yet; fewer than [`COLLECTED`].
    collected: Vec<u8>,
}

impl DigestWriter {
    /// Takes the next bytes.
    pub fn write(&mut self, bytes: &[u8]) {
        if self.collected.len() + bytes.len() < COLLECTED {
            return self.collected.extend_from_slice(bytes);
        }
        self.hasher.update(&self.collected).update(bytes);
        self.collected.clear();
    }

    /// The digest of all of them.
    pub fn finish(mut self) -> Digest {
        self.hasher.update(&self.collected);
        Digest(*self.hasher.finalize().as_bytes())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.short())
    }
}

impl FromStr for Digest {
    type Err = &'static str;

    /// Reads the 64 hexadecimal digits that [`Display`](fmt::Display) writes.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Parsing numbers would take a sign for a digit.
        if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err("a digest is 64 hexadecimal digits");
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| "a digest is 64 hexadecimal digits")?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| "a digest is 64 hexadecimal digits")?;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_digest_reads_back() {
        let digest = Digest::of(b"model");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert!("abc".parse::<Digest>().is_err());
        assert!("zz".repeat(32).parse::<Digest>().is_err());
        assert!("+f".repeat(32).parse::<Digest>().is_err());
    }

    #[test]
    fn parts_of_any_length_make_the_digest_of_the_whole() {
        let bytes: Vec<u8> = (0..4 * COLLECTED).map(|at| (at % 251) as u8).collect();
        for part in [1, 7, 1_000, COLLECTED - 1, COLLECTED, COLLECTED + 1, bytes.len()] {
            let mut writer = DigestWriter::default();
            bytes.chunks(part).for_each(|part| writer.write(part));
            assert_eq!(writer.finish(), Digest::of(&bytes), "parts of {part} bytes");
        }
        assert_eq!(DigestWriter::default().finish(), Digest::of(b""));
    }
}
