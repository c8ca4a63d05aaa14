//! The form of RSA public keys: what can be told without big numbers, in the same way by every member.
//!
//! It is the whole of what sealing asks of a key. Nothing is encrypted here, and that nobody knows its factors cannot be
//! told by anyone.

/// Shortest modulus of a key that is accepted, in bits.
pub const MIN_MODULUS_BITS: usize = 2_048;
/// Longest modulus of a key that is accepted, in bits.
pub const MAX_MODULUS_BITS: usize = 4_096;
/// The only public exponent, 65,537, as it stands in a key.
const EXPONENT: [u8; 5] = [0x02, 0x03, 0x01, 0x00, 0x01];
/// What stands before the modulus: the heads of the sequence and of the first integer, and its zero.
const HEAD_LEN: usize = 9;

/// Whether `der` is an RSA public key that can be sealed to: PKCS#1 DER in its only form, with an odd modulus of
/// [`MIN_MODULUS_BITS`] to [`MAX_MODULUS_BITS`] bits in whole bytes and the exponent 65,537.
pub fn is_rsa_public(der: &[u8]) -> bool {
    let modulus = der.len().checked_sub(EXPONENT.len()).and_then(|end| der.get(HEAD_LEN..end));
    modulus.is_some_and(|modulus| is_modulus(modulus) && rsa_public_der(modulus) == der)
}

fn is_modulus(bytes: &[u8]) -> bool {
    let in_bounds = (MIN_MODULUS_BITS / 8..=MAX_MODULUS_BITS / 8).contains(&bytes.len());
    let is_whole = bytes.first().is_some_and(|first| first & 0x80 != 0);
    in_bounds && is_whole && bytes.last().is_some_and(|last| last % 2 == 1)
}

/// The PKCS#1 DER of the key with this modulus, which has 256 to 65,000 bytes and begins with a set bit.
pub fn rsa_public_der(modulus: &[u8]) -> Vec<u8> {
    let len = |len: usize| (len as u16).to_be_bytes();
    let (integer, whole) = (len(modulus.len() + 1), len(HEAD_LEN - 4 + modulus.len() + EXPONENT.len()));
    let head = [0x30, 0x82, whole[0], whole[1], 0x02, 0x82, integer[0], integer[1], 0x00];
    [&head[..], modulus, &EXPONENT].concat()
}
