//! RSA pairs that open envelopes, and the public halves that others seal to.
//!
//! Encryption is RSA-OAEP with SHA-256 and a label; decryption is always blinded. Nothing is ever signed with RSA.

use rafty_types::{Digest, MAX_MODULUS_BITS, MAX_RSA_KEY_LEN, MIN_MODULUS_BITS};
use rand_core::CryptoRng;
use rsa::pkcs1::{DecodeRsaPublicKey, EncodeRsaPublicKey};
use rsa::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use rsa::traits::PublicKeyParts;
use rsa::{BoxedUint, Oaep, RsaPrivateKey, RsaPublicKey};
use sha2::Sha256;
use std::fmt;
use zeroize::Zeroizing;

/// Length of the modulus of a new key, in bits.
pub const MODULUS_BITS: usize = 3072;
/// Longest PKCS#8 document of a pair, in bytes; one of 4096 bits takes some 2,400.
const MAX_PAIR_LEN: usize = 4096;
/// The only public exponent in use.
const EXPONENT: u64 = 65537;

/// A key was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It does not parse.
    #[error("this is not an RSA key in DER; nothing was changed; ask its owner for the key again")]
    Malformed,
    /// It parses, and is of no use here.
    #[error(
        "the RSA key must have {MIN_MODULUS_BITS} to {MAX_MODULUS_BITS} bits in whole bytes and the exponent \
         {EXPONENT}; nothing was changed; its owner must make a new one"
    )]
    OutOfBounds,
}

/// The public half of an [`RsaKey`]: what others seal to.
#[derive(Clone, PartialEq, Eq)]
pub struct RsaPublic {
    key: RsaPublicKey,
    der: Vec<u8>,
    id: Digest,
}

impl RsaPublic {
    /// Reads PKCS#1 DER. Each key has exactly one accepted form, so that its id is its own.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] for other bytes, [`KeyError::OutOfBounds`] for a modulus or exponent not in use here.
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        if der.len() > MAX_RSA_KEY_LEN {
            return Err(KeyError::OutOfBounds);
        }
        let public = Self::new(RsaPublicKey::from_pkcs1_der(der).map_err(|_| KeyError::Malformed)?)?;
        // Not left to the decoder's strictness: two forms of one key would be two keys by id.
        if public.der == der { Ok(public) } else { Err(KeyError::Malformed) }
    }

    fn new(key: RsaPublicKey) -> Result<Self, KeyError> {
        let bits = key.n().bits_vartime() as usize;
        let in_bounds = (MIN_MODULUS_BITS..=MAX_MODULUS_BITS).contains(&bits) && bits.is_multiple_of(8);
        if !in_bounds || *key.e() != BoxedUint::from(EXPONENT) {
            return Err(KeyError::OutOfBounds);
        }
        let der = key.to_pkcs1_der().map_err(|_| KeyError::Malformed)?.into_vec();
        Ok(Self { id: Digest::of(&der), der, key })
    }

    /// PKCS#1 DER, at most [`MAX_RSA_KEY_LEN`] bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Names the key: the digest of its DER.
    pub fn key_id(&self) -> Digest {
        self.id
    }

    /// Encrypts a content key so that it comes out again only with the same `binding`. As long as the modulus.
    pub(crate) fn wrap(
        &self,
        content_key: &[u8; 32],
        binding: Vec<u8>,
        rng: &mut dyn CryptoRng,
    ) -> rsa::Result<Vec<u8>> {
        self.key.encrypt(rng, Oaep::<Sha256>::new_with_label(binding), content_key)
    }
}

impl fmt::Debug for RsaPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RsaPublic({})", self.id.short())
    }
}

/// An RSA pair. The secret is wiped on drop and shows in no `Debug`.
pub struct RsaKey {
    key: RsaPrivateKey,
    public: RsaPublic,
}

impl RsaKey {
    /// A new pair of [`MODULUS_BITS`]. Takes from a third of a second to minutes, depending on the device and on
    /// luck: never on a thread that has other duties.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        let key = RsaPrivateKey::new(rng, MODULUS_BITS).expect("a pair of this length can always be made");
        Self::new(key).expect("a pair of this length is within the bounds")
    }

    /// Reads a PKCS#8 document in DER and checks that it is a sound pair.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] for other bytes, [`KeyError::OutOfBounds`] for a modulus or exponent not in use here.
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        if der.len() > MAX_PAIR_LEN {
            return Err(KeyError::OutOfBounds);
        }
        Self::new(RsaPrivateKey::from_pkcs8_der(der).map_err(|_| KeyError::Malformed)?)
    }

    fn new(key: RsaPrivateKey) -> Result<Self, KeyError> {
        let public = RsaPublic::new(key.to_public_key())?;
        Ok(Self { key, public })
    }

    /// The pair as a PKCS#8 document in DER, to be kept where only this peer reads.
    pub fn to_der(&self) -> Zeroizing<Vec<u8>> {
        self.key.to_pkcs8_der().expect("a checked pair always encodes").to_bytes()
    }

    /// The public half.
    pub fn public(&self) -> &RsaPublic {
        &self.public
    }

    /// The public half as PKCS#1 DER.
    pub fn public_der(&self) -> Vec<u8> {
        self.public.der.clone()
    }

    /// Names the pair: the digest of its public half's DER.
    pub fn key_id(&self) -> Digest {
        self.public.id
    }

    /// The content key in `wrapped`. Where there is none, the answer is a random key that matches nothing: whoever
    /// watches cannot tell this failure from a later one (Manger 2001).
    pub(crate) fn unwrap(
        &self,
        wrapped: &[u8],
        binding: Vec<u8>,
        rng: &mut dyn CryptoRng,
    ) -> Zeroizing<[u8; 32]> {
        let mut content_key = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut content_key[..]);
        let padding = Oaep::<Sha256>::new_with_label(binding);
        if let Ok(found) = self.key.decrypt_blinded(rng, padding, wrapped).map(Zeroizing::new)
            && found.len() == content_key.len()
        {
            content_key.copy_from_slice(&found);
        }
        content_key
    }
}

impl fmt::Debug for RsaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RsaKey({})", self.public.id.short())
    }
}
