//! Envelopes on their way in or out: files that nobody needs after a restart, so they are never synced.
//!
//! Their bytes are bounded together: each file reserves its size before it exists and cannot outgrow it. It does not
//! check what the files hold; envelopes carry their own proof.

use crate::disk::{self, DiskError};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Most bytes a spool may be opened for: 16 GiB.
pub const MAX_SPOOL_BYTES: u64 = 16 * 1024 * 1024 * 1024;
/// Most files in a spool.
pub const MAX_SPOOL_FILES: usize = 1024;

/// Temporary files in one directory. All methods may be called from several threads at once.
#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
    max_bytes: u64,
    state: Mutex<Reserved>,
}

#[derive(Debug, Default)]
struct Reserved {
    last: u64,
    bytes: u64,
    files: BTreeMap<SpoolHandle, u64>,
}

/// Names a file of a spool for the life of the process; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpoolHandle(pub u64);

/// Why a file could not be spooled.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// There is no room for it now.
    #[error(
        "the spool has no room for {wanted} more bytes; nothing was created; try again when a transfer has ended"
    )]
    Full {
        /// How many bytes were asked for.
        wanted: u64,
    },
    /// No file has this handle.
    #[error("the spool has no file {}; it was removed", .0.0)]
    Missing(SpoolHandle),
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl Spool {
    /// Opens `dir`, which is created if it is missing, and removes every file in it. At most `max_bytes` bytes, and
    /// never more than [`MAX_SPOOL_BYTES`], will lie in it.
    ///
    /// # Errors
    /// The disk failed.
    pub fn open(dir: &Path, max_bytes: u64) -> Result<Self, DiskError> {
        disk::create_private_dir(dir)?;
        disk::remove_where(dir, |_| true)?;
        let max_bytes = max_bytes.min(MAX_SPOOL_BYTES);
        Ok(Self { dir: dir.to_path_buf(), max_bytes, state: Mutex::default() })
    }

    /// Creates a file of at most `len` bytes, which are reserved until it is removed.
    ///
    /// # Errors
    /// There is no room, or the disk failed; nothing is reserved then.
    pub fn create(&self, len: u64) -> Result<(SpoolHandle, SpoolFile), SpoolError> {
        let handle = self.reserve(len)?;
        let path = self.path(handle);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
        match file {
            Ok(file) => Ok((handle, SpoolFile { file, at: 0, len })),
            Err(error) => {
                self.release(handle);
                Err(DiskError::of("create", &path)(error).into())
            }
        }
    }

    /// Opens a file for reading from its start.
    ///
    /// # Errors
    /// It was removed, or the disk failed.
    pub fn open_file(&self, handle: SpoolHandle) -> Result<File, SpoolError> {
        let path = self.path(handle);
        match File::open(&path) {
            Ok(file) => Ok(file),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(SpoolError::Missing(handle)),
            Err(error) => Err(DiskError::of("open", &path)(error).into()),
        }
    }

    /// Where the file lies.
    pub fn path(&self, handle: SpoolHandle) -> PathBuf {
        self.dir.join(handle.0.to_string())
    }

    /// Removes a file and gives its bytes back. One that was removed before is no error.
    ///
    /// # Errors
    /// The disk failed; the bytes stay reserved.
    pub fn remove(&self, handle: SpoolHandle) -> Result<(), DiskError> {
        let path = self.path(handle);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(DiskError::of("remove", &path)(error)),
            _ => {
                self.release(handle);
                Ok(())
            }
        }
    }

    /// How many bytes are reserved.
    pub fn reserved(&self) -> u64 {
        self.state().bytes
    }

    fn reserve(&self, len: u64) -> Result<SpoolHandle, SpoolError> {
        let mut state = self.state();
        let bytes = state.bytes.checked_add(len).filter(|bytes| *bytes <= self.max_bytes);
        let Some(bytes) = bytes.filter(|_| state.files.len() < MAX_SPOOL_FILES) else {
            return Err(SpoolError::Full { wanted: len });
        };
        state.bytes = bytes;
        state.last += 1;
        let handle = SpoolHandle(state.last);
        state.files.insert(handle, len);
        Ok(handle)
    }

    fn release(&self, handle: SpoolHandle) {
        let mut state = self.state();
        state.bytes -= state.files.remove(&handle).unwrap_or(0);
    }

    fn state(&self) -> std::sync::MutexGuard<'_, Reserved> {
        // Nothing between lock and unlock can panic half-way, so a poisoned lock guards whole numbers still.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A new file of a spool. Writing beyond what was reserved fails with [`ErrorKind::StorageFull`].
#[derive(Debug)]
pub struct SpoolFile {
    file: File,
    at: u64,
    len: u64,
}

impl SpoolFile {
    /// The file itself, for a writer that keeps to the length it asked for.
    pub fn into_file(self) -> File {
        self.file
    }
}

impl Write for SpoolFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = usize::try_from(self.len.saturating_sub(self.at)).unwrap_or(usize::MAX);
        if room == 0 && !bytes.is_empty() {
            return Err(io::Error::new(
                ErrorKind::StorageFull,
                "a spooled file outgrows what was reserved for it",
            ));
        }
        let written = self.file.write(&bytes[..bytes.len().min(room)])?;
        self.at += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Read for SpoolFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for SpoolFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = self.file.seek(to)?;
        Ok(self.at)
    }
}
