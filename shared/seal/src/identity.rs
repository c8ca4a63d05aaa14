//! A peer's Ed25519 pair: who it is.
//!
//! It signs; it never encrypts. Checking a signature needs only the public half and is [`PeerKey::verify`].

use ed25519_dalek::{Signer, SigningKey};
use rafty_types::{PeerKey, Sign, Signature};
use rand_core::CryptoRng;
use std::fmt;
use zeroize::Zeroizing;

/// What stands before the 32 secret bytes in the PKCS#8 form of an Ed25519 key (RFC 8410, section 7). Written out
/// because the encoders at hand leave copies of the secret behind.
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, // sequence of 46 bytes
    0x02, 0x01, 0x00, // version 1, which has no public key
    0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, // algorithm 1.3.101.112
    0x04, 0x22, 0x04, 0x20, // the 32 bytes, as an octet string in an octet string
];

/// An Ed25519 pair (RFC 8032). The secret is wiped on drop and shows in no `Debug`.
pub struct Identity(SigningKey);

impl Identity {
    /// A new identity from 32 bytes of `rng`.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        let mut secret = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut secret[..]);
        Self::from_secret_bytes(&secret)
    }

    /// The identity with this secret. Any 32 bytes are one.
    pub fn from_secret_bytes(secret: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(secret))
    }

    /// The secret, to be kept where only this peer reads.
    pub fn to_secret_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The pair as a PKCS#8 version 1 document in DER, 48 bytes, as TLS libraries take it.
    pub fn to_pkcs8_der(&self) -> Zeroizing<Vec<u8>> {
        let mut der = Zeroizing::new(Vec::with_capacity(PKCS8_PREFIX.len() + 32));
        der.extend_from_slice(&PKCS8_PREFIX);
        der.extend_from_slice(self.0.as_bytes());
        der
    }

    /// The public half.
    pub fn key(&self) -> PeerKey {
        PeerKey(self.0.verifying_key().to_bytes())
    }

    /// Signs `message`, which must say for itself what it is for, as the statements in `rafty_types` do.
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature::from_bytes(&self.0.sign(message).to_bytes())
    }
}

impl Sign for Identity {
    fn sign(&self, statement: &[u8]) -> Signature {
        self.sign(statement)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.key())
    }
}
