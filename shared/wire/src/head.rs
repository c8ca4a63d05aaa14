//! What opens a bulk stream, what answers it, and the two messages of a join.

use crate::header::{Header, WireError, join, split, value};
use rafty_types::{ClusterId, Digest, Enrolment, Epoch, Member, MemberId, Message, Settings};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Longest encoded envelope header, in bytes: 32 recipients with RSA-4096 keys take some 20 KiB.
pub const MAX_ENVELOPE_HEADER_LEN: usize = 64 * 1024;
/// Longest body of an envelope, in bytes.
pub const MAX_BULK_LEN: u64 = 512 * 1024 * 1024;
/// Longest snapshot, in bytes: the dictionary holds at most 64 MiB, and members, runs and sessions far less.
pub const MAX_SNAPSHOT_LEN: u64 = 128 * 1024 * 1024;
/// Longest chunk of a snapshot, in bytes.
pub const MAX_CHUNK_LEN: u64 = 1024 * 1024;

/// A unit that is not a frame.
pub trait Head: Serialize + DeserializeOwned {
    /// Its type byte; frames have those below 128.
    const KIND: u8;
    /// Longest body, in bytes.
    const MAX_LEN: usize;

    /// Whether the lengths it declares are within their bounds.
    fn is_within_bounds(&self) -> bool {
        true
    }
}

/// Opens a bulk stream and says what follows on it. Grows at the end only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BulkHead {
    /// An envelope's ciphertext.
    Envelope {
        /// The encoded signed header, at most [`MAX_ENVELOPE_HEADER_LEN`] bytes. Opaque here.
        header: Vec<u8>,
        /// Length of the ciphertext that follows, in bytes, at most [`MAX_BULK_LEN`].
        body_len: u64,
    },
    /// A piece of a snapshot.
    SnapshotChunk {
        /// The engine's message that the snapshot belongs to; carries the metadata.
        message: Box<Message>,
        /// Where in the snapshot the piece starts, in bytes.
        offset: u64,
        /// Length of the piece, in bytes, at most [`MAX_CHUNK_LEN`]. An empty piece at 0 of a snapshot that is not empty
        /// asks how much of it is there.
        len: u64,
        /// Length of the whole snapshot, in bytes, at most [`MAX_SNAPSHOT_LEN`].
        total: u64,
        /// Digest of the whole snapshot.
        digest: Digest,
    },
    /// A long envelope, part of which may be there since its stream broke earlier. The receiver answers the head with
    /// [`BulkReply::TakenUpTo`] before the rest of the ciphertext comes, and then as for [`Self::Envelope`].
    LongEnvelope {
        /// As in [`Self::Envelope`]; with the sender it names the part that is there.
        header: Vec<u8>,
        /// Length of the whole ciphertext, in bytes, at most [`MAX_BULK_LEN`].
        body_len: u64,
    },
}

impl BulkHead {
    /// Bytes that follow the head on its stream, at most.
    pub fn body_len(&self) -> u64 {
        match self {
            Self::Envelope { body_len, .. } | Self::LongEnvelope { body_len, .. } => *body_len,
            Self::SnapshotChunk { len, .. } => *len,
        }
    }
}

/// The receiver's word on a bulk stream. Grows at the end only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BulkReply {
    /// All bytes are there and handed on.
    Accepted,
    /// They were not taken; nothing was changed.
    Refused,
    /// So much of the snapshot or envelope is there already, from its start, in bytes. Answers an empty piece at 0, and
    /// the head of a long envelope.
    TakenUpTo(u64),
}

/// What a newcomer says under the join protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRequest {
    /// Its signed statement.
    pub enrolment: Enrolment,
}

/// What it is answered. Grows at the end only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant)] // made once in a newcomer's life
pub enum JoinReply {
    /// It is a member; its enrolment is committed.
    Granted {
        /// Its id.
        member: MemberId,
        /// The peer set it joined.
        cluster: ClusterId,
        /// The peer set's name.
        name: String,
        /// The settings all members agree on.
        settings: Settings,
        /// All members, the newcomer among them.
        members: Vec<Member>,
    },
    /// It is not; nothing was changed.
    Refused {
        /// Why, in words for people.
        reason: String,
    },
    /// The statement was made for another epoch; nothing was changed.
    OtherEpoch {
        /// The epoch of the member that was asked.
        epoch: Epoch,
    },
    /// Who comes back is another member by now than it said; nothing was changed.
    Renamed {
        /// Which one.
        member: MemberId,
    },
}

impl Head for BulkHead {
    const KIND: u8 = 128;
    const MAX_LEN: usize = MAX_ENVELOPE_HEADER_LEN + 1024;

    fn is_within_bounds(&self) -> bool {
        match self {
            Self::Envelope { header, body_len } | Self::LongEnvelope { header, body_len } => {
                header.len() <= MAX_ENVELOPE_HEADER_LEN && *body_len <= MAX_BULK_LEN
            }
            Self::SnapshotChunk { offset, len, total, .. } => {
                *total <= MAX_SNAPSHOT_LEN
                    && *len <= MAX_CHUNK_LEN
                    && offset.checked_add(*len).is_some_and(|end| end <= *total)
            }
        }
    }
}

impl Head for BulkReply {
    const KIND: u8 = 129;
    const MAX_LEN: usize = 16;
}

impl Head for JoinRequest {
    const KIND: u8 = 130;
    const MAX_LEN: usize = 16 * 1024;
}

impl Head for JoinReply {
    const KIND: u8 = 131;
    const MAX_LEN: usize = 1024 * 1024;
}

/// Header and body of `head`.
///
/// # Errors
/// [`WireError::TooLong`] when the body would exceed its bound, [`WireError::Malformed`] when a length it declares
/// does; nothing can be sent then.
pub fn encode_head<H: Head>(head: &H) -> Result<Vec<u8>, WireError> {
    match head.is_within_bounds() {
        true => join(H::KIND, head, H::MAX_LEN),
        false => Err(WireError::Malformed),
    }
}

/// Reads one head that takes up all of `bytes`.
///
/// # Errors
/// Whatever is wrong with them, see [`WireError`].
pub fn decode_head<H: Head>(bytes: &[u8]) -> Result<H, WireError> {
    let (header, body) = split(bytes, H::MAX_LEN)?;
    decode_head_body(header, body)
}

/// Reads the head whose header came first, from a stream.
///
/// # Errors
/// [`WireError::Kind`], [`WireError::Malformed`] or [`WireError::Trailing`].
pub fn decode_head_body<H: Head>(header: Header, body: &[u8]) -> Result<H, WireError> {
    if header.kind != H::KIND {
        return Err(WireError::Kind(header.kind));
    }
    let head: H = value(body)?;
    match head.is_within_bounds() {
        true => Ok(head),
        false => Err(WireError::Malformed),
    }
}
