//! Snapshots: one file each, named by index and digest, referred to from the store.
//!
//! A file that the store does not refer to is rubbish, so the reference is what makes a snapshot count. Which one is
//! referred to is the log's business.

use crate::disk::{self, DiskError, Unfinished};
use rafty_types::{Digest, Snapshot, SnapshotMeta};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

const PREFIX: &str = "snapshot-";

/// What the store keeps of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SnapshotRef {
    meta: SnapshotMeta,
    len: u64,
    digest: Digest,
}

impl SnapshotRef {
    /// Writes `snapshot` into `dir`; durable when it returns.
    pub(crate) fn save(snapshot: &Snapshot, dir: &Path) -> Result<Self, DiskError> {
        let digest = Digest::of(&snapshot.data);
        let reference = Self { meta: snapshot.meta.clone(), len: snapshot.data.len() as u64, digest };
        let path = reference.path(dir);
        let mut unfinished = Unfinished::create(dir, true)?;
        unfinished.file.write_all(&snapshot.data).map_err(DiskError::of("write", &path))?;
        unfinished.finish(&path)?;
        Ok(reference)
    }

    /// Reads it back. `Ok(None)` if its file is missing or holds anything else.
    pub(crate) fn load(&self, dir: &Path) -> Result<Option<Snapshot>, DiskError> {
        let path = self.path(dir);
        let read = || -> io::Result<Option<Vec<u8>>> {
            let mut file = File::open(&path)?;
            if file.metadata()?.len() != self.len {
                return Ok(None);
            }
            let mut data = Vec::new();
            file.read_to_end(&mut data)?;
            Ok(Some(data))
        };
        match read() {
            Ok(data) => Ok(data
                .filter(|data| Digest::of(data) == self.digest)
                .map(|data| Snapshot { meta: self.meta.clone(), data: data.into() })),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(DiskError::of("read", &path)(error)),
        }
    }

    pub(crate) fn index(&self) -> u64 {
        self.meta.index.0
    }

    fn path(&self, dir: &Path) -> PathBuf {
        dir.join(self.name())
    }

    fn name(&self) -> String {
        format!("{PREFIX}{}-{}", self.meta.index, self.digest)
    }
}

/// Removes every snapshot in `dir` but the one referred to.
pub(crate) fn remove_others(dir: &Path, kept: Option<&SnapshotRef>) -> Result<(), DiskError> {
    let kept = kept.map(SnapshotRef::name);
    disk::remove_where(dir, |name| name.starts_with(PREFIX) && Some(name) != kept.as_deref()).map(|_| ())
}
