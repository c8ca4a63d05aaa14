//! Proposals as bytes of the log.
//!
//! Only the encoding; what a proposal may do is judged elsewhere.

use rafty_types::{MAX_PROPOSAL_LEN, Proposal};

/// A proposal is longer than [`MAX_PROPOSAL_LEN`]. Nothing was proposed; send a smaller value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the command takes {len} bytes, {MAX_PROPOSAL_LEN} are allowed; nothing was changed, send a smaller value"
)]
pub struct ProposalTooLong {
    /// Its encoded length in bytes.
    pub len: usize,
}

/// The bytes of `proposal` as a log entry carries them.
///
/// # Errors
/// When they are more than [`MAX_PROPOSAL_LEN`].
pub fn encode_proposal(proposal: &Proposal) -> Result<Vec<u8>, ProposalTooLong> {
    let bytes = postcard::to_allocvec(proposal).expect("a proposal always encodes");
    if bytes.len() > MAX_PROPOSAL_LEN { Err(ProposalTooLong { len: bytes.len() }) } else { Ok(bytes) }
}

/// Reads back what [`encode_proposal`] wrote. `None` for anything else.
///
/// A program that knows later commands must treat one above the committed feature level as unreadable here, so that
/// it does exactly what a program without it does.
pub(crate) fn decode_proposal(bytes: &[u8]) -> Option<Proposal> {
    if bytes.len() > MAX_PROPOSAL_LEN {
        return None;
    }
    let (proposal, rest) = postcard::take_from_bytes(bytes).ok()?;
    rest.is_empty().then_some(proposal)
}
