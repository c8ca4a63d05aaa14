//! How the replicated state lies in bytes: eight letters, a format number (u32), the length of the fixed part (u64),
//! the fixed part (postcard), and the rest is the user machine's. Numbers are little-endian.
//!
//! There is no checksum: storage and transport have their own.

use rafty_types::RestoreError;

const MAGIC: &[u8; 8] = b"raftysta";
const FORMAT: u32 = 5;
/// Written by the version before this, and still read; see `migration`.
pub(crate) const OLD_FORMAT: u32 = 4;

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

/// Takes the two parts apart: the fixed one, of this format or the old one as the number says, and the user machine's.
pub(crate) fn split(bytes: &[u8]) -> Result<(u32, &[u8], &[u8]), RestoreError> {
    let cut_short = || RestoreError("cut short".into());
    let (magic, rest) = bytes.split_first_chunk::<8>().ok_or_else(cut_short)?;
    let (format, rest) = rest.split_first_chunk::<4>().ok_or_else(cut_short)?;
    let (len, rest) = rest.split_first_chunk::<8>().ok_or_else(cut_short)?;
    if magic != MAGIC {
        return Err(RestoreError("not a state of rafty".into()));
    }
    let format = u32::from_le_bytes(*format);
    if ![OLD_FORMAT, FORMAT].contains(&format) {
        return Err(RestoreError(format!(
            "it has format {format}, and this program reads {OLD_FORMAT} and {FORMAT}; it was written by another \
             version of the program; use that one"
        )));
    }
    let len = usize::try_from(u64::from_le_bytes(*len)).map_err(|_| cut_short())?;
    let (fixed, user) = rest.split_at_checked(len).ok_or_else(cut_short)?;
    Ok((format, fixed, user))
}
