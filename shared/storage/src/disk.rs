//! Files that are never half there: temporary name, write, sync, rename, sync of the directory.
//!
//! It does not lock, and it does not check what is read: checksums are their owners' business.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// What the names of unfinished files begin with; whatever carries it is rubbish after a restart.
pub(crate) const UNFINISHED: &str = ".new-";

/// The disk did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}; nothing is half written; check the disk and try again", path.display())]
pub struct DiskError {
    /// What was tried, as a verb.
    pub action: &'static str,
    /// With which file or directory.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl DiskError {
    /// Whether the disk or a quota is full: free some space and try again.
    pub fn is_full(&self) -> bool {
        is_full(&self.source)
    }

    pub(crate) fn of<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self { action, path: path.to_path_buf(), source }
    }
}

pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// Replaces the file at `path` by one that holds `bytes`, or leaves it as it is; durable when it returns.
///
/// A `secret` file is readable by its owner alone from the moment it exists.
///
/// # Errors
/// The old file, if there was one, is still there. After a power cut, if no error was returned, the new one is.
pub fn replace_file(path: &Path, bytes: &[u8], secret: bool) -> Result<(), DiskError> {
    Unfinished::create(parent(path), secret)?.fill(bytes, path)
}

/// The same by way of the file `beside`, in the same folder, for a place that no [`DataDir`](crate::DataDir) clears up: what
/// an attempt that was cut off left there is removed by the next one. Only one process may do it at a time.
///
/// # Errors
/// As [`replace_file`].
pub fn replace_file_by(beside: &Path, path: &Path, bytes: &[u8], secret: bool) -> Result<(), DiskError> {
    Unfinished::create_anew(beside.to_path_buf(), secret)?.fill(bytes, path)
}

/// Gives the file `of` the name `path` too, atomically and durably.
pub(crate) fn replace_by_link(of: &Path, path: &Path) -> Result<(), DiskError> {
    let staged = parent(path).join(unfinished_name());
    std::fs::hard_link(of, &staged).map_err(DiskError::of("link", of))?;
    std::fs::rename(&staged, path).map_err(DiskError::of("replace", path))?;
    // A rename between two names of one file does nothing, and leaves the staged one.
    let _ = std::fs::remove_file(&staged);
    sync_dir(parent(path))
}

fn unfinished_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{UNFINISHED}{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A file without a name of its own yet. Dropped before [`Unfinished::finish`], it is gone.
#[derive(Debug)]
pub(crate) struct Unfinished {
    pub(crate) file: File,
    path: PathBuf,
}

impl Unfinished {
    pub(crate) fn create(dir: &Path, secret: bool) -> Result<Self, DiskError> {
        Self::create_anew(dir.join(unfinished_name()), secret)
    }

    /// What is left there has a mode of its own, and perhaps readers: it goes, and is never written to.
    fn create_anew(path: PathBuf, secret: bool) -> Result<Self, DiskError> {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(DiskError::of("remove", &path)(error));
            }
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, if secret { 0o600 } else { 0o644 });
        let file = options.open(&path).map_err(DiskError::of("create", &path))?;
        Ok(Self { file, path })
    }

    fn fill(mut self, bytes: &[u8], name: &Path) -> Result<(), DiskError> {
        self.file.write_all(bytes).map_err(DiskError::of("write", name))?;
        self.finish(name)
    }

    /// Gives it its name. Whatever had that name is replaced.
    pub(crate) fn finish(self, name: &Path) -> Result<(), DiskError> {
        self.file.sync_all().map_err(DiskError::of("sync", name))?;
        std::fs::rename(&self.path, name).map_err(DiskError::of("replace", name))?;
        sync_dir(parent(name))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // After `finish` there is nothing of this name; otherwise the next start would remove it.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Makes renames and removals in `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), DiskError> {
    // Elsewhere a directory cannot be opened as a file; its journal keeps renames in order.
    if cfg!(unix) {
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(DiskError::of("sync", dir))?;
    }
    Ok(())
}

/// Creates `dir` and what is missing above it, for its owner alone.
pub(crate) fn create_private_dir(dir: &Path) -> Result<(), DiskError> {
    let missing: Vec<&Path> =
        dir.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists()).collect();
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(DiskError::of("create", dir))?;
    missing.into_iter().try_for_each(|created| sync_dir(parent(created)))
}

/// Removes what a killed process left unfinished in `dir`.
pub(crate) fn remove_unfinished(dir: &Path) -> Result<(), DiskError> {
    remove_where(dir, |name| name.starts_with(UNFINISHED)).map(|_| ())
}

/// Removes the files of `dir` whose name `unwanted` picks, and says how many.
pub(crate) fn remove_where(dir: &Path, unwanted: impl Fn(&str) -> bool) -> Result<usize, DiskError> {
    let mut removed = 0;
    for name in names(dir)?.iter().filter(|name| unwanted(name)) {
        let path = dir.join(name);
        std::fs::remove_file(&path).map_err(DiskError::of("remove", &path))?;
        removed += 1;
    }
    Ok(removed)
}

/// The names in `dir`. One that is not UTF-8 is not ours, and is left out.
pub(crate) fn names(dir: &Path) -> Result<Vec<String>, DiskError> {
    let list = || {
        let mut names = Vec::new();
        for item in std::fs::read_dir(dir)? {
            names.extend(item?.file_name().into_string());
        }
        Ok(names)
    };
    list().map_err(DiskError::of("list", dir))
}

/// Whether a file of this name is unfinished.
pub(crate) fn is_unfinished(name: &str) -> bool {
    name.starts_with(UNFINISHED)
}

pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_is_whole_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("member.json");
        replace_file(&path, b"old", false).unwrap();
        replace_file(&path, b"new", false).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(names(dir.path()).unwrap(), ["member.json"]);
    }

    #[test]
    fn a_failed_replacement_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("taken");
        std::fs::create_dir(&path).unwrap();
        let error = replace_file(&path, b"new", false).unwrap_err();
        assert_eq!(error.action, "replace");
        assert_eq!(names(dir.path()).unwrap(), ["taken"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_secret_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("identity");
        std::fs::write(&path, b"readable by all").unwrap();
        replace_file(&path, b"key", true).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[cfg(unix)]
    #[test]
    fn what_was_left_behind_gets_no_secret() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let (path, beside) = (dir.path().join("agent.toml"), dir.path().join("agent.new"));
        std::fs::write(&beside, b"cut off").unwrap();
        std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o644)).unwrap();
        let mut reader = File::open(&beside).unwrap();
        replace_file_by(&beside, &path, b"token", true).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read(&path).unwrap(), b"token");
        let mut seen = String::new();
        std::io::Read::read_to_string(&mut reader, &mut seen).unwrap();
        assert_eq!((seen.as_str(), names(dir.path()).unwrap()), ("cut off", vec!["agent.toml".to_string()]));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_told_apart() {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap().write_all(b"x").unwrap_err();
        assert!(DiskError::of("write", Path::new("x"))(full).is_full());
        assert!(!DiskError::of("write", Path::new("x"))(ErrorKind::NotFound.into()).is_full());
    }
}
