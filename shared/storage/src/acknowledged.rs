//! Which group of batches the log has acknowledged last, noted beside the store without a sync.
//!
//! A store that syncs once for a commit cannot tell a last commit that was damaged from one that was torn by a power cut:
//! it falls back to the one before either way. With this note the log can: a group is noted once it is synced, so a
//! store that ends before the noted group has lost what was acknowledged. A kill loses no note, and after a power cut it
//! may be behind, never ahead. What it does not find: a power cut *and* damage of what was synced last, at once.

use crate::disk::{self, DiskError};
use crate::record;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

const FILE: &str = "acknowledged";
/// Bytes of a note: the number and its checksum, so that it lies in one sector.
const LEN: u64 = 16;

/// The note of an open log.
#[derive(Debug)]
pub(crate) struct Acknowledged(File);

impl Acknowledged {
    /// Makes the note of a log without a group; durable when it returns.
    pub(crate) fn create(dir: &Path) -> Result<(), DiskError> {
        disk::replace_file(&dir.join(FILE), &note(0), true)
    }

    /// Opens the note, and gives the group in it; `None` when it is missing or not what was written.
    pub(crate) fn open(dir: &Path) -> Result<Option<(Self, u64)>, DiskError> {
        let path = dir.join(FILE);
        let mut bytes = Vec::new();
        let mut file = match OpenOptions::new().read(true).write(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(DiskError::of("open", &path))?,
        };
        (&mut file).take(LEN + 1).read_to_end(&mut bytes).map_err(DiskError::of("read", &path))?;
        let group = record::unpack::<[u8; 8]>(FILE.as_bytes(), &bytes).map(u64::from_le_bytes);
        Ok(group.map(|group| (Self(file), group)))
    }

    /// Notes that `group` is synced.
    pub(crate) fn note(&mut self, group: u64) -> io::Result<()> {
        self.0.seek(SeekFrom::Start(0))?;
        self.0.write_all(&note(group))
    }
}

fn note(group: u64) -> Vec<u8> {
    record::pack(FILE.as_bytes(), &group.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_back_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Acknowledged::open(dir.path()).unwrap().is_none());
        Acknowledged::create(dir.path()).unwrap();
        for group in [0, 1, 300, u64::MAX] {
            let (mut open, before) = Acknowledged::open(dir.path()).unwrap().unwrap();
            assert!(before <= group);
            open.note(group).unwrap();
            assert_eq!(Acknowledged::open(dir.path()).unwrap().unwrap().1, group);
        }
        let path = dir.path().join(FILE);
        let sound = std::fs::read(&path).unwrap();
        assert_eq!(sound.len() as u64, LEN);
        for bit in 0..sound.len() * 8 {
            let mut flipped = sound.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, flipped).unwrap();
            assert!(Acknowledged::open(dir.path()).unwrap().is_none(), "bit {bit}");
        }
    }
}
