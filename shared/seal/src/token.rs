//! Admission tokens: what an operator hands to a newcomer.
//!
//! A token is a secret. The replicated state keeps only the public half of a pair derived from it, so whoever reads
//! that state can check a newcomer and cannot become one. When a token expires, and how often it serves, is decided
//! where `Enrol` is applied.

use crate::Identity;
use base32ct::{Base32Unpadded, Encoding};
use rafty_types::{ClusterId, MemberKind, PeerKey, TokenRecord};
use rand_core::CryptoRng;
use std::fmt;
use std::str::FromStr;
use zeroize::Zeroizing;

/// What a token's text starts with.
const PREFIX: &str = "rafty1-";
/// Cluster, id, secret and responder, in bytes.
const BODY_LEN: usize = 16 + 16 + 32 + 16;
/// Finds typing errors, in bytes. Five of them make the whole a multiple of 40 bits, so that base 32 has no slack.
const CHECKSUM_LEN: usize = 5;
/// Characters behind the prefix.
const TEXT_LEN: usize = (BODY_LEN + CHECKSUM_LEN) / 5 * 8;
/// Longest text that is looked at, in bytes; what a person pastes may hold spaces and line breaks.
const MAX_PASTED_LEN: usize = 4096;

/// Admits a newcomer to one peer set. The secret is wiped on drop and shows in no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The peer set it admits to.
    pub cluster: ClusterId,
    /// Names it.
    pub id: [u8; 16],
    /// The first half of the BLAKE3 of the key of the peer that answers the newcomer.
    pub responder: [u8; 16],
    secret: Zeroizing<[u8; 32]>,
}

/// A text is not a token. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Something else was pasted.
    #[error(
        "this is not a token: a token starts with `{PREFIX}`; copy the whole line that `token create` printed"
    )]
    NotAToken,
    /// Its end is missing.
    #[error("the token is cut off: {missing} characters are missing at its end; copy the whole line")]
    CutOff {
        /// How many characters.
        missing: usize,
    },
    /// Something stands behind it.
    #[error("there is something behind the token; copy only the line that `token create` printed")]
    TooLong,
    /// A character that no token has.
    #[error(
        "character {position} of the token is wrong: behind `{PREFIX}` stand only the letters a to z and the \
         digits 2 to 7"
    )]
    BadCharacter {
        /// Which, counted from 1 at the start of the token, without spaces.
        position: usize,
    },
    /// Right in form, wrong in content.
    #[error("there is a typing error in the token; copy it instead of typing it")]
    Typo,
}

impl Token {
    /// A new token with id and secret from `rng`, to be answered by the peer with the key `responder`.
    pub fn generate(cluster: ClusterId, responder: &PeerKey, rng: &mut dyn CryptoRng) -> Self {
        let (mut id, mut secret) = ([0; 16], Zeroizing::new([0; 32]));
        rng.fill_bytes(&mut id);
        rng.fill_bytes(&mut secret[..]);
        Self { cluster, id, responder: short_hash(responder), secret }
    }

    /// Whether the peer with this key is the one that shall answer.
    pub fn is_answered_by(&self, key: &PeerKey) -> bool {
        self.responder == short_hash(key)
    }

    /// The pair that proves possession of this token.
    pub fn signing_identity(&self) -> Identity {
        let mut hasher = blake3::Hasher::new_derive_key("rafty 2026 admission token signing key v1");
        hasher.update(&self.cluster.0).update(&self.id).update(&self.secret[..]);
        let mut secret = Zeroizing::new([0; 32]);
        hasher.finalize_xof().fill(&mut secret[..]);
        Identity::from_secret_bytes(&secret)
    }

    /// What the replicated state keeps of it: `ttl_ms` is how long it is good, in milliseconds of the peer set's time, `uses`
    /// how many newcomers it admits.
    pub fn record(&self, role: MemberKind, may_lead: bool, ttl_ms: u64, uses: u32) -> TokenRecord {
        TokenRecord { id: self.id, public_key: self.signing_identity().key(), role, may_lead, ttl_ms, uses }
    }

    /// The token as one line of 143 characters, to be copied. It holds the secret, so there is no `Display`.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0; BODY_LEN + CHECKSUM_LEN]);
        bytes[..16].copy_from_slice(&self.cluster.0);
        bytes[16..32].copy_from_slice(&self.id);
        bytes[32..64].copy_from_slice(&self.secret[..]);
        bytes[64..BODY_LEN].copy_from_slice(&self.responder);
        let checksum = checksum(&bytes[..BODY_LEN]);
        bytes[BODY_LEN..].copy_from_slice(&checksum);
        let mut text = Zeroizing::new([0; TEXT_LEN]);
        let text = Base32Unpadded::encode(&bytes[..], &mut text[..]).expect("the lengths match");
        Zeroizing::new([PREFIX, text].concat())
    }
}

impl FromStr for Token {
    type Err = TokenError;

    /// Reads what [`Token::to_text`] wrote. Capitals, spaces and line breaks do no harm.
    fn from_str(text: &str) -> Result<Self, TokenError> {
        let compact = compact(text);
        let encoded = compact.strip_prefix(PREFIX).ok_or(TokenError::NotAToken)?;
        if text.len() > MAX_PASTED_LEN {
            return Err(TokenError::TooLong);
        }
        if let Some(at) = encoded.chars().position(|one| !matches!(one, 'a'..='z' | '2'..='7')) {
            return Err(TokenError::BadCharacter { position: PREFIX.len() + at + 1 });
        }
        match encoded.len() {
            length if length < TEXT_LEN => return Err(TokenError::CutOff { missing: TEXT_LEN - length }),
            length if length > TEXT_LEN => return Err(TokenError::TooLong),
            _ => {}
        }
        let mut bytes = Zeroizing::new([0; BODY_LEN + CHECKSUM_LEN]);
        Base32Unpadded::decode(encoded, &mut bytes[..]).map_err(|_| TokenError::Typo)?;
        let (body, sum) = bytes.split_at(BODY_LEN);
        if sum != checksum(body) {
            return Err(TokenError::Typo);
        }
        Ok(Self {
            cluster: ClusterId(part(&body[..16])),
            id: part(&body[16..32]),
            secret: Zeroizing::new(part(&body[32..64])),
            responder: part(&body[64..]),
        })
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// The pasted text without spaces, in lower case.
fn compact(text: &str) -> Zeroizing<String> {
    // With all the room it needs, so that no half-filled copy is left behind.
    let mut compact = Zeroizing::new(String::with_capacity(text.len().min(MAX_PASTED_LEN)));
    let letters = text.chars().filter(|one| !one.is_whitespace()).take(MAX_PASTED_LEN / 4);
    letters.for_each(|one| compact.push(one.to_ascii_lowercase()));
    compact
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM_LEN] {
    part(&blake3::derive_key("rafty 2026 admission token checksum v1", body)[..CHECKSUM_LEN])
}

/// By which a newcomer knows the peer that answers it: the first half of the BLAKE3 of its key.
pub fn short_hash(key: &PeerKey) -> [u8; 16] {
    part(&blake3::hash(&key.0).as_bytes()[..16])
}

fn part<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("the lengths are constants")
}
