//! Byte strings of fixed length in serde: hexadecimal text where people read, plain bytes elsewhere.
//!
//! Used by `#[serde(with = "crate::hex")]`. It does not shorten: what is written reads back.

use serde::de::{Error, SeqAccess, Visitor};
use serde::ser::SerializeTuple;
use serde::{Deserialize, Deserializer, Serializer};
use std::fmt;

pub(crate) fn serialize<S: Serializer, const N: usize>(
    bytes: &[u8; N],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        return serializer.collect_str(&Hex(bytes));
    }
    let mut tuple = serializer.serialize_tuple(N)?;
    bytes.iter().try_for_each(|byte| tuple.serialize_element(byte))?;
    tuple.end()
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
    deserializer: D,
) -> Result<[u8; N], D::Error> {
    if deserializer.is_human_readable() {
        let text = String::deserialize(deserializer)?;
        return parse(&text)
            .ok_or_else(|| D::Error::custom(format!("{} hexadecimal digits expected", 2 * N)));
    }
    deserializer.deserialize_tuple(N, Bytes)
}

/// Reads exactly `N` bytes from hexadecimal digits; `None` for anything else.
pub fn parse<const N: usize>(text: &str) -> Option<[u8; N]> {
    parse_vec(text)?.try_into().ok()
}

/// Reads any number of bytes from hexadecimal digits, two each; `None` for anything else.
pub fn parse_vec(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> =
        text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect::<Option<_>>()?;
    digits.len().is_multiple_of(2).then(|| digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// Bytes as hexadecimal digits, in lower case.
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

struct Bytes<const N: usize>;

impl<'de, const N: usize> Visitor<'de> for Bytes<N> {
    type Value = [u8; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{N} bytes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<[u8; N], A::Error> {
        let mut bytes = [0; N];
        for (position, byte) in bytes.iter_mut().enumerate() {
            *byte = seq.next_element()?.ok_or_else(|| A::Error::invalid_length(position, &self))?;
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::{ClusterId, Digest, PeerKey};

    #[test]
    fn plain_bytes_where_programs_read() {
        let digest = Digest::of(b"x");
        assert_eq!(postcard::to_allocvec(&digest).unwrap(), digest.0);
        assert_eq!(postcard::from_bytes::<Digest>(&digest.0), Ok(digest));
        assert_eq!(postcard::to_allocvec(&ClusterId([7; 16])).unwrap(), [7; 16]);
        assert!(postcard::from_bytes::<PeerKey>(&[1; 31]).is_err());
    }

    #[test]
    fn text_reads_back_and_nothing_else_does() {
        assert_eq!(parse::<2>("0aff"), Some([0x0a, 0xff]));
        for wrong in ["", "0af", "0afff", "0afg", "0aff00", "äääa"] {
            assert_eq!(parse::<2>(wrong), None, "{wrong}");
        }
    }
}
