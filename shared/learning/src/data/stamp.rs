//! Whether files changed, told without reading them.

use super::{DataError, file};
use rafty_types::Digest;
use std::path::Path;
use std::time::UNIX_EPOCH;

/// Names, lengths and times of all files of a data set. Two that are equal stand for the same files, unless one was
/// changed and given back its length and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp(Digest);

impl Stamp {
    pub(super) fn of(path: &Path) -> Result<Self, DataError> {
        let mut text = Vec::new();
        for file in file::all_files(path)? {
            // A file that has just gone away is one that is not there.
            let Ok(metadata) = file.metadata() else { continue };
            let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            text.extend(file.as_os_str().as_encoded_bytes());
            text.push(0);
            text.extend(metadata.len().to_le_bytes());
            text.extend(modified.unwrap_or_default().as_nanos().to_le_bytes());
        }
        Ok(Self(Digest::of(&text)))
    }
}
