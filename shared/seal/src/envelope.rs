//! Sealing for recipients, and opening as one of them.
//!
//! Every envelope is bound to one label in three places: the wrapped content key, each chunk of the content and the
//! sender's signature. So it opens for that purpose only. Whether the label is fresh, and the sender a member, is
//! for the caller to know.

use crate::header::{MAX_RECIPIENTS, SignedHeader, verify};
use crate::stream::{MAX_PLAINTEXT_LEN, Stream, holds};
use crate::{Identity, RsaKey, RsaPublic, canonical};
use rafty_types::{Digest, EnvelopeHeader, Label, MemberId, PeerKey, Recipient};
use rand_core::CryptoRng;
use std::collections::BTreeSet;
use std::io::{self, Read, Seek, Write};
use zeroize::Zeroizing;

/// Nothing was sealed. What was written of the ciphertext is worthless and to be dropped.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// None, too many, or one twice.
    #[error("an envelope has 1 to {MAX_RECIPIENTS} recipients, each once; nothing was sealed")]
    Recipients,
    /// A recipient's key cannot encrypt.
    #[error("the RSA key of member {0} does not encrypt; nothing was sealed; it must rotate its key")]
    Key(MemberId),
    /// The plaintext is not the one the label names.
    #[error("the plaintext is not what its label says; nothing was sealed; read it again or make it anew")]
    WrongContent,
    /// The plaintext is longer than [`MAX_PLAINTEXT_LEN`].
    #[error("an envelope holds at most {MAX_PLAINTEXT_LEN} bytes; nothing was sealed")]
    TooLong,
    /// Reading the plaintext or writing the ciphertext failed.
    #[error("sealing failed on the way in or out: {0}; nothing was sealed; try again")]
    Io(#[from] io::Error),
}

/// Nothing was opened. What was written of the plaintext is not to be trusted and must be dropped.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The envelope is not what it should be. Deliberately one word for all the ways in which that can be.
    #[error("the envelope is not authentic; nothing was opened; it was dropped")]
    NotAuthentic,
    /// Reading the ciphertext or writing the plaintext failed: says nothing about the envelope.
    #[error("opening failed on the way in or out: {0}; nothing was opened; try again")]
    Io(#[from] io::Error),
}

/// What a recipient holds an envelope against.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// The purpose it must have, built from what the recipient knows; only `content` may come from the header.
    pub label: &'a Label,
    /// The key the roster has for `label.sender`.
    pub sender_key: &'a PeerKey,
    /// The recipient.
    pub member: MemberId,
    /// The recipient's pair that the envelope must be sealed to.
    pub key: &'a RsaKey,
}

/// Encrypts all of `plaintext` for `recipients` and signs as `identity`, which must be that of `label.sender`.
///
/// Reads and writes each byte once, in memory of two chunks. [`ciphertext_len`](crate::ciphertext_len) tells how much
/// is written.
///
/// # Errors
/// See [`SealError`]. In particular `label.content` must be the digest of the plaintext.
pub fn seal(
    label: Label,
    recipients: &[(MemberId, RsaPublic)],
    identity: &Identity,
    plaintext: &mut dyn Read,
    ciphertext: &mut dyn Write,
    rng: &mut dyn CryptoRng,
) -> Result<SignedHeader, SealError> {
    let members: BTreeSet<_> = recipients.iter().map(|(member, _)| member).collect();
    if members.is_empty() || members.len() != recipients.len() || members.len() > MAX_RECIPIENTS {
        return Err(SealError::Recipients);
    }
    let mut key = Zeroizing::new([0; 32]);
    let mut nonce = [0; 7];
    rng.fill_bytes(&mut key[..]);
    rng.fill_bytes(&mut nonce);
    let recipients = recipients
        .iter()
        .map(|(member, public)| wrap(&label, *member, public, &key, rng))
        .collect::<Result<_, _>>()?;
    let stream = Stream { key: &key, nonce: &nonce, purpose: &purpose(&label) };
    let encrypted = stream.encrypt(plaintext, ciphertext)?;
    if encrypted.content != label.content {
        return Err(SealError::WrongContent);
    }
    let header = EnvelopeHeader {
        label,
        sender_key: identity.key(),
        content_key_hash: Digest::of(&key[..]),
        nonce,
        ciphertext_len: encrypted.ciphertext_len,
        ciphertext_digest: encrypted.ciphertext,
        recipients,
    };
    Ok(SignedHeader::sign(header, identity))
}

/// Decrypts an envelope after checking it against `opening`: signature and sender, label, recipient, ciphertext,
/// content key, each chunk, and the content's digest, in this order.
///
/// Reads `ciphertext` twice from its beginning, in memory of one chunk; `plaintext` is written from the second pass
/// on, when only a forgery by the signed sender itself can still fail. `rng` blinds the RSA operation.
///
/// # Errors
/// See [`OpenError`]. Whatever it is, `plaintext` must be dropped.
pub fn open(
    signed: &SignedHeader,
    opening: &Opening<'_>,
    ciphertext: &mut (impl Read + Seek),
    plaintext: &mut dyn Write,
    rng: &mut dyn CryptoRng,
) -> Result<(), OpenError> {
    let header = signed.header();
    if !verify(signed, opening.sender_key) || header.label != *opening.label {
        return Err(OpenError::NotAuthentic);
    }
    let recipient = recipient(header, opening).ok_or(OpenError::NotAuthentic)?;

    ciphertext.rewind()?;
    if !holds(ciphertext, header.ciphertext_len, &header.ciphertext_digest)? {
        return Err(OpenError::NotAuthentic);
    }
    let binding = binding(&header.label, recipient.member, recipient.key_id);
    let key = opening.key.unwrap(&recipient.wrapped_key, binding, rng);
    if blake3::hash(&key[..]) != header.content_key_hash.0 {
        return Err(OpenError::NotAuthentic);
    }
    ciphertext.rewind()?;
    let stream = Stream { key: &key, nonce: &header.nonce, purpose: &purpose(&header.label) };
    let content = stream.decrypt(header.ciphertext_len, ciphertext, plaintext)?;
    if content != header.label.content {
        return Err(OpenError::NotAuthentic);
    }
    Ok(plaintext.flush()?)
}

fn recipient<'a>(header: &'a EnvelopeHeader, opening: &Opening<'_>) -> Option<&'a Recipient> {
    let key_id = opening.key.key_id();
    header.recipients.iter().find(|one| one.member == opening.member && one.key_id == key_id)
}

fn wrap(
    label: &Label,
    member: MemberId,
    public: &RsaPublic,
    key: &[u8; 32],
    rng: &mut dyn CryptoRng,
) -> Result<Recipient, SealError> {
    let key_id = public.key_id();
    let wrapped_key =
        public.wrap(key, binding(label, member, key_id), rng).map_err(|_| SealError::Key(member))?;
    Ok(Recipient { member, key_id, wrapped_key })
}

/// The OAEP label: a wrapped key opens for one purpose, as one member, with one key.
fn binding(label: &Label, member: MemberId, key_id: Digest) -> Vec<u8> {
    canonical(b"rafty content key v2", &(label, member, key_id))
}

/// The associated data of every chunk: content decrypts for one purpose.
fn purpose(label: &Label) -> Digest {
    Digest::of(&canonical(b"rafty envelope content v2", label))
}
