//! What this member trained for a round that it has not seen published yet.
//!
//! The update itself is a blob; this is the note that says what it is for. It is written before the update is first
//! sent, so that a killed process sends it again instead of training again. When to do either is `rounds`' business.

use crate::data_dir::DataDir;
use crate::disk::{self, DiskError, replace_file};
use crate::record;
use rafty_types::{Digest, Round, RunId};
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;

const FILE: &str = "pending-update";

/// One trained update. A member has at most one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingUpdate {
    /// The run it belongs to.
    pub run: RunId,
    /// The round it was trained in.
    pub round: Round,
    /// The model it was trained from.
    pub base: Digest,
    /// The blob that holds it.
    pub update: Digest,
    /// Its weight.
    pub num_examples: u64,
}

/// Why the note cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PendingError {
    /// It is not what was written.
    #[error("the note on the pending update is damaged; clear it and train again")]
    Damaged,
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl PendingUpdate {
    /// Writes the note in place of an older one; durable when it returns.
    ///
    /// # Errors
    /// The disk failed; the older one stands.
    pub fn save(&self, dir: &DataDir) -> Result<(), DiskError> {
        replace_file(&dir.file(FILE), &record::pack(FILE.as_bytes(), self), true)
    }

    /// Reads the note, if there is one.
    ///
    /// # Errors
    /// It is damaged, or the disk failed.
    pub fn load(dir: &DataDir) -> Result<Option<Self>, PendingError> {
        let path = dir.file(FILE);
        match std::fs::read(&path) {
            Ok(bytes) => record::unpack(FILE.as_bytes(), &bytes).map(Some).ok_or(PendingError::Damaged),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(DiskError::of("read", &path)(error).into()),
        }
    }

    /// Removes the note; durable when it returns. Without one nothing happens.
    ///
    /// # Errors
    /// The disk failed.
    pub fn clear(dir: &DataDir) -> Result<(), DiskError> {
        disk::remove_where(dir.root(), |name| name == FILE)?;
        disk::sync_dir(dir.root())
    }
}
