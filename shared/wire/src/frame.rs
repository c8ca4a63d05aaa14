//! Frames: the unit type is the frame's variant.

use crate::header::{Header, WireError, join, split, value};
use rafty_types::{Frame, MAX_PROPOSAL_LEN};

/// Longest body of a frame, in bytes: the largest proposal, and as much again for what is appended with it. What the
/// engine may put into one append must stay below. A decoded frame of tiny entries takes some thirty times its length.
pub const MAX_FRAME_LEN: usize = 2 * MAX_PROPOSAL_LEN;

/// One more than the type of the last frame this version knows.
const KNOWN_KINDS: u8 = 19;

/// What a unit on a frame stream turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant)] // nearly always a frame, and moved on at once
pub enum Decoded {
    /// A frame.
    Frame(Frame),
    /// A frame of a newer version, of this type; to be counted and skipped.
    Unknown(u8),
}

/// A frame's type byte: its place in the enum, which never changes.
fn kind(frame: &Frame) -> u8 {
    match frame {
        Frame::Raft(_) => 0,
        Frame::Forward { .. } => 1,
        Frame::Forwarded { .. } => 2,
        Frame::Announce { .. } => 3,
        Frame::FetchModel { .. } => 4,
        Frame::Holds { .. } => 5,
        Frame::Progress { .. } => 6,
        Frame::Verdict { .. } => 7,
        Frame::Transfer { .. } => 8,
        Frame::AskRoster { .. } => 9,
        Frame::Roster { .. } => 10,
        Frame::Hello(_) => 11,
        Frame::HelloAnswer(_) => 12,
        Frame::StateDigest(_) => 13,
        Frame::DiskTrouble { .. } => 14,
        Frame::ForwardIssued { .. } => 15,
        Frame::AskVoters => 16,
        Frame::Voters { .. } => 17,
        Frame::ForwardForClient { .. } => 18,
    }
}

/// Header and body of `frame`.
///
/// # Errors
/// [`WireError::TooLong`] when the body would exceed [`MAX_FRAME_LEN`]; nothing can be sent then.
pub fn encode_frame(frame: &Frame) -> Result<Vec<u8>, WireError> {
    join(kind(frame), frame, MAX_FRAME_LEN)
}

/// Reads one frame that takes up all of `bytes`.
///
/// # Errors
/// Whatever is wrong with them, see [`WireError`].
pub fn decode_frame(bytes: &[u8]) -> Result<Decoded, WireError> {
    let (header, body) = split(bytes, MAX_FRAME_LEN)?;
    decode_frame_body(header, body)
}

/// Reads the frame whose header came first, from a stream.
///
/// # Errors
/// [`WireError::Malformed`] or [`WireError::Trailing`]; [`WireError::Kind`] when header and body disagree.
pub fn decode_frame_body(header: Header, body: &[u8]) -> Result<Decoded, WireError> {
    if header.kind >= KNOWN_KINDS {
        return Ok(Decoded::Unknown(header.kind));
    }
    let frame = value(body)?;
    match kind(&frame) == header.kind {
        true => Ok(Decoded::Frame(frame)),
        false => Err(WireError::Kind(header.kind)),
    }
}
