//! How the replicated state lies in bytes: eight letters, a format number (u32), the length of the fixed part (u64),
//! the fixed part (postcard), and the rest is the user machine's. Numbers are little-endian.
//!
//! There is no checksum: storage and transport have their own.

use rafty_types::RestoreError;

const MAGIC: &[u8; 8] = b"raftysta";
const FORMAT: u32 = 5;

/// Puts the two parts together.
pub(crate) fn join(fixed: &[u8], user: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(MAGIC.len() + 12 + fixed.len() + user.len());
    bytes.extend(MAGIC);
    bytes.extend(FORMAT.to_le_bytes());
    bytes.extend((fixed.len() as u64).to_le_bytes());
    bytes.extend(fixed);
    bytes.extend(user);
    bytes
}

/// Takes the two parts apart: the fixed one and the user machine's.
pub(crate) fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), RestoreError> {
    let cut_short = || RestoreError("cut short".into());
    let (magic, rest) = bytes.split_first_chunk::<8>().ok_or_else(cut_short)?;
    let (format, rest) = rest.split_first_chunk::<4>().ok_or_else(cut_short)?;
    let (len, rest) = rest.split_first_chunk::<8>().ok_or_else(cut_short)?;
    if magic != MAGIC {
        return Err(RestoreError("not a state of rafty".into()));
    }
    if u32::from_le_bytes(*format) != FORMAT {
        return Err(RestoreError("written by another version of this program; update it".into()));
    }
    let len = usize::try_from(u64::from_le_bytes(*len)).map_err(|_| cut_short())?;
    rest.split_at_checked(len).ok_or_else(cut_short)
}
