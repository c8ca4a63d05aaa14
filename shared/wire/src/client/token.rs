//! A client's token: by it a member knows the client, and the client any member.
//!
//! A token is a secret of 256 bits; everything else is derived from it, one way. Members keep a [`ClientRecord`]: what
//! the secret hashes to, and a key by which a member proves that it knows the record. The proof is a MAC of the
//! certificate that the member shows in its TLS handshake, so it is worth nothing on any other connection; a client that
//! has checked it may send the token. No certificate has to be known before, and none outlives a member's process.
//!
//! It draws no randomness, knows no time, and does not say which token counts.

use base32ct::{Base32Unpadded, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use rafty_types::ClientRecord;
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;
use zeroize::Zeroizing;

/// What a token's text starts with.
const PREFIX: &str = "rafty-client1-";
/// Of the secret, in bytes.
const SECRET_LEN: usize = 32;
/// Finds typing errors, in bytes. Three of them make the whole a multiple of 40 bits, so that base 32 has no slack.
const CHECKSUM_LEN: usize = 3;
/// Characters behind the prefix.
const TEXT_LEN: usize = (SECRET_LEN + CHECKSUM_LEN) / 5 * 8;

/// What the secret is used for.
const ID: &str = "rafty client token id v1";
const STORED_KEY: &str = "rafty client token stored key v1";
const SERVER_KEY: &str = "rafty client token server key v1";
const CHECKSUM: &str = "rafty client token checksum v1";
/// What a server key is used for.
const PROOF: &str = "rafty client port certificate v1";

/// Lets a client use a peer set's dictionary. The secret is wiped on drop and shows in no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientToken(Zeroizing<[u8; SECRET_LEN]>);

/// A text is not a client's token. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientTokenError {
    /// Something else was pasted.
    #[error(
        "this is not a client's token: it starts with `{PREFIX}`; copy the line that `client create` printed"
    )]
    NotAToken,
    /// Not the whole of it, or more.
    #[error(
        "a client's token has {TEXT_LEN} characters behind `{PREFIX}`, this one {0}; copy the whole line"
    )]
    WrongLength(usize),
    /// Right in form, wrong in content.
    #[error("there is a typing error in the client's token; copy it instead of typing it")]
    Typo,
}

impl ClientToken {
    /// The token of a secret, which must be drawn at random.
    pub fn from_secret(secret: Zeroizing<[u8; SECRET_LEN]>) -> Self {
        Self(secret)
    }

    /// By which a client says who it is before it shows the token. Not a secret.
    pub fn id(&self) -> [u8; 16] {
        *self.derive(ID).first_chunk().expect("the lengths are constants")
    }

    /// What the replicated state keeps of it: `ttl_ms` is how long it is good, in milliseconds of the peer set's time.
    pub fn record(&self, name: String, read_only: bool, ttl_ms: u64) -> ClientRecord {
        let (stored_key, server_key) = (self.derive(STORED_KEY), self.derive(SERVER_KEY));
        ClientRecord { name, id: self.id(), stored_key, server_key, read_only, ttl_ms }
    }

    /// Whether the record is this token's. Takes the same time whatever differs.
    pub fn is_of(&self, record: &ClientRecord) -> bool {
        keyed(&self.0, STORED_KEY.as_bytes()).verify_slice(&record.stored_key).is_ok()
    }

    /// Whether whoever showed this certificate, in DER, has proved that it knows the token's record. Takes the same time
    /// whatever differs.
    pub fn is_proved(&self, proof: &[u8], certificate: &[u8]) -> bool {
        proof_of(&self.derive(SERVER_KEY), certificate).verify_slice(proof).is_ok()
    }

    /// The token as one line to be copied. It is the secret, so there is no `Display`.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0; SECRET_LEN + CHECKSUM_LEN]);
        bytes[..SECRET_LEN].copy_from_slice(&self.0[..]);
        bytes[SECRET_LEN..].copy_from_slice(&self.checksum());
        let mut text = Zeroizing::new([0; TEXT_LEN]);
        let text = Base32Unpadded::encode(&bytes[..], &mut text[..]).expect("the lengths match");
        Zeroizing::new([PREFIX, text].concat())
    }

    fn checksum(&self) -> [u8; CHECKSUM_LEN] {
        *self.derive(CHECKSUM).first_chunk().expect("the lengths are constants")
    }

    fn derive(&self, purpose: &str) -> [u8; 32] {
        keyed(&self.0, purpose.as_bytes()).finalize().into_bytes().into()
    }
}

/// How a member proves that it knows a client's record on a connection on which it shows this certificate, in DER.
pub fn prove(record: &ClientRecord, certificate: &[u8]) -> [u8; 32] {
    proof_of(&record.server_key, certificate).finalize().into_bytes().into()
}

fn proof_of(server_key: &[u8; 32], certificate: &[u8]) -> Hmac<Sha256> {
    let mut mac = keyed(server_key, PROOF.as_bytes());
    mac.update(&Sha256::digest(certificate));
    mac
}

fn keyed(key: &[u8; 32], message: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key may have any length");
    mac.update(message);
    mac
}

impl FromStr for ClientToken {
    type Err = ClientTokenError;

    /// Reads what [`ClientToken::to_text`] wrote; white space around it does no harm.
    fn from_str(text: &str) -> Result<Self, ClientTokenError> {
        let encoded = text.trim().strip_prefix(PREFIX).ok_or(ClientTokenError::NotAToken)?;
        if encoded.len() != TEXT_LEN {
            return Err(ClientTokenError::WrongLength(encoded.len()));
        }
        let mut bytes = Zeroizing::new([0; SECRET_LEN + CHECKSUM_LEN]);
        Base32Unpadded::decode(encoded, &mut bytes[..]).map_err(|_| ClientTokenError::Typo)?;
        let token = Self(Zeroizing::new(*bytes.first_chunk().expect("the lengths are constants")));
        let typo = token.checksum() != bytes[SECRET_LEN..];
        if typo { Err(ClientTokenError::Typo) } else { Ok(token) }
    }
}

impl fmt::Debug for ClientToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClientToken").finish_non_exhaustive()
    }
}
