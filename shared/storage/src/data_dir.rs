//! The directory of a member: private, of a known layout, and held by one process at a time.
//!
//! It says where things lie. What the log, the blobs and the spool hold is theirs; keys and settings are the programs',
//! which write them with [`replace_file`](crate::replace_file).

use crate::disk::{self, DiskError, UNFINISHED, create_private_dir, remove_unfinished, replace_file};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

const LAYOUT: &str = "layout";
const LOCK: &str = "lock";
const CURRENT_LAYOUT: &str = "rafty 3\n";
/// Of the version before. It differs in the log's format only, which the log converts; so that a program of that version
/// does not take a new log for a damaged one, the layout's number rises first.
const OLD_LAYOUT: &str = "rafty 2\n";
/// Longest `layout` file that is read, in bytes.
const MAX_LAYOUT_LEN: u64 = 64;

/// A member's directory, locked as long as this lives.
#[derive(Debug)]
pub struct DataDir {
    root: PathBuf,
    _lock: File,
}

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process has it.
    #[error("{} is in use by another rafty process; stop that one, or choose another directory", .0.display())]
    InUse(PathBuf),
    /// Something else lies in it.
    #[error("{} is not a rafty directory and not empty; nothing was changed; choose another one", .0.display())]
    Foreign(PathBuf),
    /// A program of another version made it.
    #[error("{} has the layout {found:?}, which this program does not know; nothing was changed; \
             use the version of rafty that made it", path.display())]
    UnknownLayout {
        /// The directory.
        path: PathBuf,
        /// What its `layout` file says.
        found: String,
    },
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl DataDir {
    /// Opens `root` and locks it; it is created if it is missing.
    ///
    /// Creating ends with the file `layout`. A directory without it that holds nothing else was being created when
    /// the process died, and is finished now.
    ///
    /// # Errors
    /// It is in use, foreign or of an unknown layout, or the disk failed.
    pub fn open(root: &Path) -> Result<Self, DataDirError> {
        create_private_dir(root)?;
        if read_layout(root)?.is_none() && holds_anything(root)? {
            return Err(DataDirError::Foreign(root.to_path_buf()));
        }
        let lock = lock(root)?;
        match read_layout(root)? {
            Some(found) if found == CURRENT_LAYOUT => {}
            Some(found) if found == OLD_LAYOUT => {
                replace_file(&root.join(LAYOUT), CURRENT_LAYOUT.as_bytes(), false)?;
            }
            Some(found) => return Err(DataDirError::UnknownLayout { path: root.to_path_buf(), found }),
            None => replace_file(&root.join(LAYOUT), CURRENT_LAYOUT.as_bytes(), false)?,
        }
        make_private(root)?;
        remove_unfinished(root)?;
        Ok(Self { root: root.to_path_buf(), _lock: lock })
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the file `name` lies, for [`replace_file`](crate::replace_file).
    pub fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A file that is of use to this process only: the next start removes it.
    pub fn temporary(&self, name: &str) -> PathBuf {
        self.root.join(format!("{UNFINISHED}{name}"))
    }

    /// For [`Log`](crate::Log).
    pub fn log(&self) -> PathBuf {
        Self::log_in(&self.root)
    }

    /// Where the log of the directory `root` lies, for those who only look.
    pub fn log_in(root: &Path) -> PathBuf {
        root.join("log")
    }

    /// For [`Blobs`](crate::Blobs).
    pub fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    /// For [`Spool`](crate::Spool).
    pub fn spool(&self) -> PathBuf {
        self.root.join("spool")
    }

    /// Where [`set_log_aside`](Self::set_log_aside) puts a log.
    pub fn log_aside(&self) -> PathBuf {
        self.root.join("log.damaged")
    }

    /// Renames a log that is damaged or not to be used any more to `log.damaged`, so that a new one can be created and
    /// someone may still look at it. One that was set aside before is removed. The log must not be open. Without a log
    /// nothing happens.
    ///
    /// # Errors
    /// The disk failed; the log is where it was.
    pub fn set_log_aside(&self) -> Result<(), DiskError> {
        let (log, aside) = (self.log(), self.log_aside());
        if !log.try_exists().map_err(DiskError::of("look for", &log))? {
            return Ok(());
        }
        match std::fs::remove_dir_all(&aside) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(DiskError::of("remove", &aside)(error));
            }
            _ => {}
        }
        std::fs::rename(&log, &aside).map_err(DiskError::of("rename", &log))?;
        disk::sync_dir(&self.root)
    }
}

fn read_layout(root: &Path) -> Result<Option<String>, DiskError> {
    let path = root.join(LAYOUT);
    let read = || -> io::Result<String> {
        let mut text = Vec::new();
        File::open(&path)?.take(MAX_LAYOUT_LEN).read_to_end(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    };
    match read() {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(DiskError::of("read", &path)(error)),
    }
}

fn holds_anything(root: &Path) -> Result<bool, DiskError> {
    // `lost+found` is there when the directory is a file system of its own.
    let ignored = |name: &String| name == LOCK || name == "lost+found" || disk::is_unfinished(name);
    Ok(!disk::names(root)?.iter().all(ignored))
}

fn lock(root: &Path) -> Result<File, DataDirError> {
    let path = root.join(LOCK);
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(DiskError::of("create", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DataDirError::InUse(root.to_path_buf())),
        Err(TryLockError::Error(error)) => Err(DiskError::of("lock", &path)(error).into()),
    }
}

fn make_private(root: &Path) -> Result<(), DiskError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let private = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(root, private).map_err(DiskError::of("make private", root))?;
    }
    Ok(())
}
