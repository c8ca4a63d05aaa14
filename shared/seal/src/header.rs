//! The signed head of an envelope and its bytes.
//!
//! A [`SignedHeader`] is within all bounds by construction: only sealing and [`SignedHeader::decode`] make one.
//! Whether its signature holds is another question, and [`verify`] answers it.

use crate::stream::{MAX_PLAINTEXT_LEN, ciphertext_len, plaintext_len};
use crate::{Identity, MAX_MODULUS_BITS, MIN_MODULUS_BITS, canonical};
use rafty_types::{EnvelopeHeader, PeerKey, Signature};
use std::collections::BTreeSet;

/// Most recipients of one envelope.
pub const MAX_RECIPIENTS: usize = 32;
/// Longest encoded header, in bytes. 32 recipients with 4096-bit keys take some 18,000.
pub const MAX_HEADER_LEN: usize = 64 * 1024;
/// What every encoded header starts with.
const MAGIC: [u8; 4] = *b"rfse";
/// The version of the encoding, and of all that is bound into an envelope.
const VERSION: u8 = 2;

/// An envelope's header with the sender's signature over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedHeader {
    header: EnvelopeHeader,
    signature: Signature,
}

/// Bytes are not a header. Nothing was changed; what they belong to is to be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// More bytes than any header has.
    #[error("an envelope header has at most {MAX_HEADER_LEN} bytes; it was dropped")]
    TooLong,
    /// Not a header at all.
    #[error("these bytes are not an envelope header; they were dropped")]
    NotAHeader,
    /// From a newer program.
    #[error("envelope header version {0} is unknown here; it was dropped; update this program")]
    UnknownVersion(u8),
    /// Cut off, with something behind it, or in another than its one encoding.
    #[error("the envelope header does not parse; it was dropped")]
    Malformed,
    /// A field is out of its bounds.
    #[error("the envelope header is out of bounds ({0}); it was dropped")]
    OutOfBounds(&'static str),
}

impl SignedHeader {
    pub(crate) fn sign(header: EnvelopeHeader, identity: &Identity) -> Self {
        let signature = identity.sign(&signed_bytes(&header));
        Self { header, signature }
    }

    /// What was signed.
    pub fn header(&self) -> &EnvelopeHeader {
        &self.header
    }

    /// The sender's signature.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The one encoding of this header, at most [`MAX_HEADER_LEN`] bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.push(VERSION);
        bytes.extend(
            postcard::to_allocvec(&(&self.header, &self.signature)).expect("plain data always encodes"),
        );
        bytes
    }

    /// Reads what [`encode`](Self::encode) wrote, and nothing else.
    ///
    /// # Errors
    /// What is wrong with the bytes. The signature is not looked at.
    pub fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        if bytes.len() > MAX_HEADER_LEN {
            return Err(HeaderError::TooLong);
        }
        let body = match bytes.strip_prefix(&MAGIC).and_then(<[u8]>::split_first) {
            Some((&VERSION, body)) => body,
            Some((&version, _)) => return Err(HeaderError::UnknownVersion(version)),
            None => return Err(HeaderError::NotAHeader),
        };
        let (header, signature) = postcard::from_bytes(body).map_err(|_| HeaderError::Malformed)?;
        let signed = Self { header, signature };
        // The decoder is lenient about trailing bytes and long forms of numbers.
        if signed.encode() != bytes {
            return Err(HeaderError::Malformed);
        }
        check_bounds(&signed.header)?;
        Ok(signed)
    }
}

fn check_bounds(header: &EnvelopeHeader) -> Result<(), HeaderError> {
    let members: BTreeSet<_> = header.recipients.iter().map(|recipient| recipient.member).collect();
    let wrapped = MIN_MODULUS_BITS / 8..=MAX_MODULUS_BITS / 8;
    let rules = [
        (!header.recipients.is_empty() && header.recipients.len() <= MAX_RECIPIENTS, "number of recipients"),
        (members.len() == header.recipients.len(), "a recipient twice"),
        (
            header.recipients.iter().all(|one| wrapped.contains(&one.wrapped_key.len())),
            "length of a wrapped key",
        ),
        (header.label.segment < header.label.segments, "segment number"),
        (header.ciphertext_len <= ciphertext_len(MAX_PLAINTEXT_LEN), "length of the ciphertext"),
        (plaintext_len(header.ciphertext_len).is_some(), "length of the ciphertext"),
    ];
    match rules.into_iter().find(|(holds, _)| !holds) {
        Some((_, rule)) => Err(HeaderError::OutOfBounds(rule)),
        None => Ok(()),
    }
}

/// Whether the holder of `sender_key`, which the roster knows as the label's sender, signed this header. For
/// everybody, recipient or not.
pub fn verify(signed: &SignedHeader, sender_key: &PeerKey) -> bool {
    signed.header.sender_key == *sender_key
        && sender_key.verify(&signed_bytes(&signed.header), &signed.signature)
}

fn signed_bytes(header: &EnvelopeHeader) -> Vec<u8> {
    canonical(b"rafty envelope v2", header)
}
