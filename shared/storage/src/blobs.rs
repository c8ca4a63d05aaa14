//! Model versions and updates, each in a file named by its digest.
//!
//! A blob is there whole or not at all, and whoever reads one to its end has read what the digest names. It does not
//! decide which blobs are needed (see [`Blobs::keep_only`]), and it does not encrypt.

use crate::disk::{self, DiskError, Unfinished};
use rafty_types::Digest;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// Longest blob, in bytes: 1 GiB.
pub const MAX_BLOB_LEN: u64 = 1024 * 1024 * 1024;

/// The blobs in one directory. All methods may be called from several threads at once.
#[derive(Debug)]
pub struct Blobs {
    dir: PathBuf,
}

/// Why a blob could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// It is not here.
    #[error("blob {0} is not here; fetch it from another member")]
    Missing(Digest),
    /// Its file holds something else. It should be removed and fetched again.
    #[error("blob {0} is damaged; remove it and fetch it from another member")]
    Damaged(Digest),
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl Blobs {
    /// Opens `dir`, which is created if it is missing, and removes what a killed process left unfinished there.
    ///
    /// # Errors
    /// The disk failed.
    pub fn open(dir: &Path) -> Result<Self, DiskError> {
        disk::create_private_dir(dir)?;
        disk::remove_unfinished(dir)?;
        Ok(Self { dir: dir.to_path_buf() })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Starts a blob whose digest is known when all of it was written.
    ///
    /// # Errors
    /// The disk failed.
    pub fn writer(&self) -> Result<BlobWriter, DiskError> {
        let unfinished = Unfinished::create(&self.dir, true)?;
        Ok(BlobWriter {
            unfinished,
            hasher: blake3::Hasher::new(),
            left: MAX_BLOB_LEN,
            dir: self.dir.clone(),
        })
    }

    /// Keeps `bytes`; durable when it returns.
    ///
    /// # Errors
    /// The disk failed; nothing is kept.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, DiskError> {
        let mut writer = self.writer()?;
        writer.write_all(bytes).map_err(DiskError::of("write", &self.dir))?;
        writer.commit()
    }

    /// The whole blob.
    ///
    /// # Errors
    /// It is missing or damaged, or the disk failed.
    pub fn get(&self, digest: Digest) -> Result<Vec<u8>, BlobError> {
        let file = self.open_file(digest)?;
        let mut bytes = Vec::new();
        file.take(MAX_BLOB_LEN).read_to_end(&mut bytes).map_err(DiskError::of("read", &self.path(digest)))?;
        if Digest::of(&bytes) == digest { Ok(bytes) } else { Err(BlobError::Damaged(digest)) }
    }

    /// Reads the blob piece by piece: memory stays small whatever its size.
    ///
    /// # Errors
    /// It is missing, or the disk failed.
    pub fn open_reader(&self, digest: Digest) -> Result<BlobReader, BlobError> {
        Ok(BlobReader { file: self.open_file(digest)?, hasher: blake3::Hasher::new(), digest })
    }

    /// Whether a blob of this digest is here. Whether it is whole shows when it is read.
    pub fn contains(&self, digest: Digest) -> bool {
        self.path(digest).is_file()
    }

    /// How many bytes it has, or `None` if it is not here.
    ///
    /// # Errors
    /// The disk failed.
    pub fn len(&self, digest: Digest) -> Result<Option<u64>, DiskError> {
        let path = self.path(digest);
        match path.metadata() {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(DiskError::of("look at", &path)(error)),
        }
    }

    /// The blobs that are here, sorted.
    ///
    /// # Errors
    /// The disk failed.
    pub fn digests(&self) -> Result<Vec<Digest>, DiskError> {
        let mut digests: Vec<Digest> =
            disk::names(&self.dir)?.iter().filter_map(|name| digest_of(name)).collect();
        digests.sort_unstable();
        Ok(digests)
    }

    /// Where a blob lies, or would lie.
    pub fn path(&self, digest: Digest) -> PathBuf {
        self.dir.join(digest.to_string())
    }

    /// Puts a blob under another name too, replacing what has that name; durable when it returns. Nothing is copied.
    ///
    /// # Errors
    /// It is missing, or the disk failed; what had the name has it still.
    pub fn link(&self, digest: Digest, name: &Path) -> Result<(), BlobError> {
        if !self.contains(digest) {
            return Err(BlobError::Missing(digest));
        }
        Ok(disk::replace_by_link(&self.path(digest), name)?)
    }

    /// Removes a blob. One that is not here is no error.
    ///
    /// # Errors
    /// The disk failed.
    pub fn remove(&self, digest: Digest) -> Result<(), DiskError> {
        disk::remove_where(&self.dir, |name| digest_of(name) == Some(digest)).map(|_| ())
    }

    /// Removes every blob but these and says how many went. What is being written stays.
    ///
    /// # Errors
    /// The disk failed; some may be removed.
    pub fn keep_only(&self, kept: &[Digest]) -> Result<usize, DiskError> {
        disk::remove_where(&self.dir, |name| digest_of(name).is_some_and(|digest| !kept.contains(&digest)))
    }

    fn open_file(&self, digest: Digest) -> Result<File, BlobError> {
        let path = self.path(digest);
        match File::open(&path) {
            Ok(file) => Ok(file),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(BlobError::Missing(digest)),
            Err(error) => Err(DiskError::of("open", &path)(error).into()),
        }
    }
}

fn digest_of(name: &str) -> Option<Digest> {
    // Names are compared as they are written: other spellings of a digest are not blobs.
    name.parse().ok().filter(|digest: &Digest| digest.to_string() == name)
}

/// A blob that is being written, of at most [`MAX_BLOB_LEN`] bytes. Dropped before [`BlobWriter::commit`], it leaves
/// nothing.
#[derive(Debug)]
pub struct BlobWriter {
    unfinished: Unfinished,
    hasher: blake3::Hasher,
    left: u64,
    dir: PathBuf,
}

impl BlobWriter {
    /// Keeps what was written; durable when it returns. A blob of the same digest is replaced, which also heals a
    /// damaged one.
    ///
    /// # Errors
    /// The disk failed; nothing is kept.
    pub fn commit(self) -> Result<Digest, DiskError> {
        let digest = self.digest();
        self.unfinished.finish(&self.dir.join(digest.to_string()))?;
        Ok(digest)
    }

    /// Of what was written so far.
    pub fn digest(&self) -> Digest {
        Digest(*self.hasher.finalize().as_bytes())
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX);
        if room == 0 && !bytes.is_empty() {
            return Err(io::Error::new(ErrorKind::FileTooLarge, "a blob has at most 1 GiB"));
        }
        let written = self.unfinished.file.write(&bytes[..bytes.len().min(room)])?;
        self.hasher.update(&bytes[..written]);
        self.left -= written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.unfinished.file.flush()
    }
}

/// Reads a blob. Its end is reached without an error only if all of it was what the digest names, so nothing that was
/// read counts before that.
#[derive(Debug)]
pub struct BlobReader {
    file: File,
    hasher: blake3::Hasher,
    digest: Digest,
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        if read == 0 && !buffer.is_empty() && Digest(*self.hasher.finalize().as_bytes()) != self.digest {
            return Err(io::Error::new(ErrorKind::InvalidData, BlobError::Damaged(self.digest)));
        }
        Ok(read)
    }
}
