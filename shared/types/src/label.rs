//! What an envelope is for: bound into its encryption, so that it opens nowhere else.

use crate::{Attempt, Digest, MemberId, PeerKey, Round, RunId, SetId, Tenure, Version};
use serde::{Deserialize, Serialize};

/// What an envelope carries. Grows at the end only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EnvelopeKind {
    /// S1: a participant's update, sealed with the tenure key.
    Update,
    /// S3: a new model version, sealed for the cohort and every peer that may lead.
    Publication,
    /// A committed model version, sealed to one peer that missed it.
    Model,
}

/// The purpose of an envelope. Every field is bound by the RSA label and the signature: an envelope opens only
/// for the purpose it was sealed for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Label {
    /// The peer set and its epoch.
    pub set: SetId,
    /// The tenure in which it was sealed.
    pub tenure: Tenure,
    /// The run it belongs to.
    pub run: RunId,
    /// The round it belongs to.
    pub round: Round,
    /// The attempt of the round.
    pub attempt: Attempt,
    /// For an update the version it was trained from; for a model the version it is.
    pub version: Version,
    /// What it carries.
    pub kind: EnvelopeKind,
    /// Digest of the plaintext; not secret among members, and how a receiver knows whether it already has it.
    pub content: Digest,
    /// Segment number, from 0.
    pub segment: u32,
    /// Number of segments; 1 until updates travel layer by layer.
    pub segments: u32,
    /// Who sealed it.
    pub sender: MemberId,
}

/// One recipient of an envelope.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Recipient {
    /// Who can open it.
    pub member: MemberId,
    /// Digest of the RSA public key (PKCS#1 DER) the content key is wrapped with.
    pub key_id: Digest,
    /// RSA-OAEP-SHA256 of the content key; 384 bytes for RSA-3072.
    pub wrapped_key: Vec<u8>,
}

/// The signed head of an envelope; everybody may read it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EnvelopeHeader {
    /// What the envelope is for.
    pub label: Label,
    /// The sender's identity key, which the signature is checked against and the roster must know as `label.sender`.
    pub sender_key: PeerKey,
    /// BLAKE3 of the content key, so that every recipient knows that all were given the same one.
    pub content_key_hash: Digest,
    /// Nonce prefix of the STREAM construction.
    pub nonce: [u8; 7],
    /// Length of the ciphertext in bytes.
    pub ciphertext_len: u64,
    /// BLAKE3 of the ciphertext.
    pub ciphertext_digest: Digest,
    /// Who can open it; at most 32.
    pub recipients: Vec<Recipient>,
}

impl EnvelopeHeader {
    /// Whether `member` can open the envelope.
    pub fn is_for(&self, member: MemberId) -> bool {
        self.recipients.iter().any(|recipient| recipient.member == member)
    }
}
