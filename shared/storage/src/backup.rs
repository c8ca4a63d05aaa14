//! Backups: a replicated state and the models that it names, in one file.
//!
//! Eight letters, a format number (u32), the length of the state (u64), how many models follow (u32), the state, each
//! model as its digest, length (u64) and bytes, and last a BLAKE3 digest of all before it. Numbers are little-endian. The
//! file is written whole or not at all, and its digest is checked before anything in it is believed. What a state means is
//! its owner's affair.

use crate::blobs::{BlobError, Blobs, MAX_BLOB_LEN};
use crate::disk::{DiskError, Unfinished, parent};
use rafty_types::Digest;
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"raftybak";
const FORMAT: u32 = 1;
const DIGEST_LEN: usize = 32;
/// Magic, format, length of the state, number of models.
const HEAD_LEN: usize = 24;
/// Longest state, in bytes.
const MAX_STATE_LEN: u64 = 256 * 1024 * 1024;
/// Most models.
const MAX_MODELS: u32 = 1_024;

/// A backup was not written, or cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// It is something else.
    #[error("{} is not a backup of rafty", .0.display())]
    Foreign(PathBuf),
    /// A program of another version wrote it.
    #[error("{} has backup format {found}, and this program reads {FORMAT}; use the version that wrote it", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// Some of it is missing or altered.
    #[error("{} is cut short or damaged; use another backup", .0.display())]
    Damaged(PathBuf),
    /// The state or the models are more than a backup holds.
    #[error("the state or the number of models is too large for a backup")]
    TooLarge,
    /// A model could not be read, or stored.
    #[error(transparent)]
    Model(#[from] BlobError),
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Writes the file `to`, readable by its owner alone, with `state` and these of the models in `blobs`. Gives its length in
/// bytes. An older file of that name is replaced when all is well.
///
/// # Errors
/// A model is missing or damaged, or the disk failed; a file of that name is as it was.
pub fn write_backup(to: &Path, state: &[u8], models: &[Digest], blobs: &Blobs) -> Result<u64, BackupError> {
    let count = u32::try_from(models.len()).ok().filter(|count| *count <= MAX_MODELS);
    let count = count.filter(|_| state.len() as u64 <= MAX_STATE_LEN).ok_or(BackupError::TooLarge)?;
    let unfinished = Unfinished::create(parent(to), true)?;
    let mut out = Hashed { inner: &unfinished.file, hasher: blake3::Hasher::new(), len: 0 };
    write_head(&mut out, state, count).map_err(DiskError::of("write", to))?;
    for model in models {
        let len = blobs.len(*model)?.ok_or(BlobError::Missing(*model))?;
        let mut reader = blobs.open_reader(*model)?;
        let mut copy = || -> io::Result<u64> {
            out.write_all(&model.0)?;
            out.write_all(&len.to_le_bytes())?;
            io::copy(&mut reader, &mut out)
        };
        match copy() {
            Ok(copied) if copied == len => {}
            Ok(_) => return Err(BlobError::Damaged(*model).into()),
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                return Err(BlobError::Damaged(*model).into());
            }
            Err(error) => return Err(DiskError::of("write", to)(error).into()),
        }
    }
    let (digest, len) = (*out.hasher.finalize().as_bytes(), out.len);
    (&unfinished.file).write_all(&digest).map_err(DiskError::of("write", to))?;
    unfinished.finish(to)?;
    Ok(len + DIGEST_LEN as u64)
}

fn write_head(out: &mut impl Write, state: &[u8], models: u32) -> io::Result<()> {
    out.write_all(MAGIC)?;
    out.write_all(&FORMAT.to_le_bytes())?;
    out.write_all(&(state.len() as u64).to_le_bytes())?;
    out.write_all(&models.to_le_bytes())?;
    out.write_all(state)
}

/// What is written, digested on its way.
struct Hashed<T> {
    inner: T,
    hasher: blake3::Hasher,
    len: u64,
}

impl<T: Write> Write for Hashed<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.len += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// A backup that is whole.
#[derive(Debug)]
pub struct Backup {
    path: PathBuf,
    file: BufReader<File>,
    state: Vec<u8>,
    models: u32,
}

impl Backup {
    /// Opens a backup and reads all of it once, to see that it is whole.
    ///
    /// # Errors
    /// It is missing, foreign, of another format, cut short or damaged.
    pub fn open(path: &Path) -> Result<Self, BackupError> {
        let failed = |error: io::Error| match error.kind() {
            ErrorKind::UnexpectedEof => BackupError::Damaged(path.into()),
            _ => DiskError::of("read", path)(error).into(),
        };
        let file = File::open(path).map_err(DiskError::of("open", path))?;
        let len = file.metadata().map_err(failed)?.len();
        let mut file = BufReader::new(file);
        let mut head = Vec::new();
        (&mut file).take(HEAD_LEN as u64).read_to_end(&mut head).map_err(failed)?;
        // An empty or short file that begins like a backup is a damaged one; any other is none.
        if !head.starts_with(&MAGIC[..head.len().min(MAGIC.len())]) || head.is_empty() {
            return Err(BackupError::Foreign(path.into()));
        }
        let Ok::<[u8; HEAD_LEN], _>(head) = head.try_into() else {
            return Err(BackupError::Damaged(path.into()));
        };
        let found = u32::from_le_bytes(head[8..12].try_into().expect("four bytes"));
        if found != FORMAT {
            return Err(BackupError::Format { path: path.into(), found });
        }
        let state_len = u64::from_le_bytes(head[12..20].try_into().expect("eight bytes"));
        let models = u32::from_le_bytes(head[20..24].try_into().expect("four bytes"));
        let body = len.checked_sub(DIGEST_LEN as u64).ok_or(BackupError::Damaged(path.into()))?;
        if state_len > MAX_STATE_LEN || state_len > body || models > MAX_MODELS {
            return Err(BackupError::Damaged(path.into()));
        }
        file.rewind().map_err(failed)?;
        let mut hasher = blake3::Hasher::new();
        io::copy(&mut (&mut file).take(body), &mut hasher).map_err(failed)?;
        let mut digest = [0; DIGEST_LEN];
        file.read_exact(&mut digest).map_err(failed)?;
        if hasher.finalize() != digest {
            return Err(BackupError::Damaged(path.into()));
        }
        file.seek(SeekFrom::Start(HEAD_LEN as u64)).map_err(failed)?;
        let mut state = vec![0; usize::try_from(state_len).map_err(|_| BackupError::TooLarge)?];
        file.read_exact(&mut state).map_err(failed)?;
        Ok(Self { path: path.into(), file, state, models })
    }

    /// The replicated state.
    pub fn state(&self) -> &[u8] {
        &self.state
    }

    /// How many models there are.
    pub fn models(&self) -> u32 {
        self.models
    }

    /// Stores the models in `blobs`.
    ///
    /// # Errors
    /// The file has changed since it was opened, or the disk failed; some models may be stored.
    pub fn copy_models(mut self, blobs: &Blobs) -> Result<(), BackupError> {
        let damaged = || BackupError::Damaged(self.path.clone());
        for _ in 0..self.models {
            let (mut digest, mut len) = ([0; DIGEST_LEN], [0; 8]);
            self.file
                .read_exact(&mut digest)
                .and_then(|()| self.file.read_exact(&mut len))
                .map_err(|_| damaged())?;
            let len = u64::from_le_bytes(len);
            if len > MAX_BLOB_LEN {
                return Err(damaged());
            }
            let mut writer = blobs.writer()?;
            let copied = io::copy(&mut (&mut self.file).take(len), &mut writer);
            if copied.map_err(DiskError::of("copy a model to", blobs.dir()))? != len
                || writer.digest() != Digest(digest)
            {
                return Err(damaged());
            }
            writer.commit()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place {
        dir: tempfile::TempDir,
        blobs: Blobs,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let blobs = Blobs::open(&dir.path().join("blobs")).unwrap();
            Self { dir, blobs }
        }

        fn file(&self) -> PathBuf {
            self.dir.path().join("backup")
        }

        fn written(&self, state: &[u8], models: &[&[u8]]) -> Vec<Digest> {
            let digests: Vec<_> = models.iter().map(|model| self.blobs.put(model).unwrap()).collect();
            let len = write_backup(&self.file(), state, &digests, &self.blobs).unwrap();
            assert_eq!(len, self.file().metadata().unwrap().len());
            digests
        }
    }

    #[test]
    fn what_was_written_is_read_back() {
        let place = Place::new();
        let digests = place.written(b"state", &[b"one", b"", &[7; 100_000]]);
        let backup = Backup::open(&place.file()).unwrap();
        assert_eq!((backup.state(), backup.models()), (&b"state"[..], 3));
        let other = Place::new();
        backup.copy_models(&other.blobs).unwrap();
        for digest in digests {
            assert_eq!(other.blobs.get(digest).unwrap(), place.blobs.get(digest).unwrap());
        }
    }

    #[test]
    fn a_model_that_is_missing_or_damaged_leaves_the_older_backup() {
        let place = Place::new();
        let digest = place.written(b"old", &[b"model"])[0];
        for damage in [&|path: &Path| std::fs::write(path, b"lodel").unwrap(), &|path: &Path| {
            std::fs::remove_file(path).unwrap()
        }] as [&dyn Fn(&Path); 2]
        {
            damage(&place.blobs.path(digest));
            let error = write_backup(&place.file(), b"new", &[digest], &place.blobs).unwrap_err();
            assert!(matches!(error, BackupError::Model(_)), "{error}");
            assert_eq!(Backup::open(&place.file()).unwrap().state(), b"old");
            let names = std::fs::read_dir(place.dir.path()).unwrap().count();
            assert_eq!(names, 2, "nothing unfinished is left");
        }
    }

    #[test]
    fn a_file_that_is_cut_altered_or_of_another_kind_is_none() {
        let place = Place::new();
        place.written(b"state", &[b"model"]);
        let whole = std::fs::read(place.file()).unwrap();
        let opened = |bytes: &[u8]| {
            std::fs::write(place.file(), bytes).unwrap();
            Backup::open(&place.file()).map(drop)
        };
        for len in 1..whole.len() {
            assert!(matches!(opened(&whole[..len]), Err(BackupError::Damaged(_))), "cut at {len}");
        }
        for at in 0..whole.len() {
            let mut altered = whole.clone();
            altered[at] ^= 1;
            let error = opened(&altered).unwrap_err();
            let expected = match at {
                0..8 => matches!(error, BackupError::Foreign(_)),
                8..12 => matches!(error, BackupError::Format { .. }),
                _ => matches!(error, BackupError::Damaged(_)),
            };
            assert!(expected, "at {at}: {error}");
        }
        assert!(matches!(opened(b""), Err(BackupError::Foreign(_))));
        assert!(matches!(opened(&[&whole[..], b"more"].concat()), Err(BackupError::Damaged(_))));
        assert!(opened(&whole).is_ok());
    }
}
