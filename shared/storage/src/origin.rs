//! Whether the log still lies in the file it was made in.
//!
//! Raft is safe only while a voter's disk never forgets: a member that votes with an older copy of its log may vote twice
//! in one term, and may help to elect a leader that lacks entries it has acknowledged itself. A directory that was copied,
//! or restored from a backup, has its log in a new file: with another inode, or another birth time, neither of which `cp`,
//! `rsync` or `tar` can set. So both are noted when the log is made, and compared before it is used. Reboots, remounts and
//! renames within a file system keep them. The device number is not looked at: it changes over a reboot.
//!
//! What this does not find: an image of a whole file system (`dd`) keeps both. And where the system tells no birth time
//! there is no such protection: [`Origin::Unknown`].

use crate::disk::{self, DiskError};
use std::fs::Metadata;
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::time::UNIX_EPOCH;

const FILE: &str = "origin";
/// Longest note that is read, in bytes.
const MAX_LEN: u64 = 128;

/// What the files say about where a log comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It lies where it was made.
    Original,
    /// It lies in another file: the directory was copied, restored, or moved to another file system.
    Copied,
    /// Nothing was noted: it was made by an older program, or on a file system without birth times.
    Unnoted,
    /// The system tells no birth time here.
    Unknown,
}

/// Compares the file `log` with the note in its directory.
pub(crate) fn of(dir: &Path, log: &Path) -> Result<Origin, DiskError> {
    let metadata = std::fs::metadata(log).map_err(DiskError::of("look at", log))?;
    let path = dir.join(FILE);
    let noted = read(&path).map_err(DiskError::of("read", &path))?;
    Ok(match (note(&metadata), noted) {
        (None, None) => Origin::Unknown,
        (Some(_), None) => Origin::Unnoted,
        (Some(found), Some(noted)) if noted == found.as_bytes() => Origin::Original,
        // Where nothing tells when a file was made, this one was not.
        (_, Some(_)) => Origin::Copied,
    })
}

/// Notes that a log lies where it was made; durable when it returns. Without a birth time there is nothing to note.
pub(crate) fn write(dir: &Path, log: &Metadata) -> Result<(), DiskError> {
    match note(log) {
        Some(note) => disk::replace_file(&dir.join(FILE), note.as_bytes(), true),
        None => forget(&dir.join(FILE)),
    }
}

fn forget(note: &Path) -> Result<(), DiskError> {
    match std::fs::remove_file(note) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(DiskError::of("remove", note)(error)),
        _ => Ok(()),
    }
}

#[cfg(unix)]
fn note(log: &Metadata) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let born = log.created().ok()?.duration_since(UNIX_EPOCH).ok()?;
    // Some file systems answer with zero instead of an error.
    (!born.is_zero())
        .then(|| format!("inode {} born {}.{:09}\n", log.ino(), born.as_secs(), born.subsec_nanos()))
}

#[cfg(not(unix))]
fn note(_: &Metadata) -> Option<String> {
    None
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    match std::fs::File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file?.take(MAX_LEN).read_to_end(&mut bytes)?,
    };
    Ok(Some(bytes))
}

#[cfg(all(test, unix))]
mod tests {
    use super::Origin;
    use crate::Log;
    use std::path::Path;
    use std::process::Command;

    /// A log in `made`, or nothing where the system tells no birth times.
    fn made(root: &Path) -> Option<std::path::PathBuf> {
        let log = root.join("made");
        Log::create(&log).unwrap();
        (Log::origin(&log).unwrap() != Origin::Unknown).then_some(log)
    }

    fn run(root: &Path, line: &str) {
        assert!(
            Command::new("sh").args(["-c", line]).current_dir(root).status().unwrap().success(),
            "{line}"
        );
    }

    #[test]
    fn a_copy_is_told_from_the_original_and_may_be_taken_for_it() {
        let root = tempfile::tempdir().unwrap();
        let Some(log) = made(root.path()) else { return };
        let lines = [
            "cp -r made copy",
            "cp -a made copy",
            "mkdir copy && tar -C made -cf - . | tar -C copy -xpf -",
            // As rsync does: a new file beside the old one, then a rename.
            "cp -a made copy && cp -a made/log.redb copy/.log.redb.tmp && mv copy/.log.redb.tmp copy/log.redb",
            "mkdir copy && cp -a made/origin copy && dd if=made/log.redb of=copy/log.redb status=none",
        ];
        for line in lines {
            run(root.path(), line);
            let copy = root.path().join("copy");
            assert_eq!(Log::origin(&copy).unwrap(), Origin::Copied, "{line}");
            Log::take_as_original(&copy).unwrap();
            assert_eq!(Log::origin(&copy).unwrap(), Origin::Original, "{line}");
            assert_eq!(Log::origin(&log).unwrap(), Origin::Original, "{line}");
            std::fs::remove_dir_all(copy).unwrap();
        }
        // Put back over itself: the story of a restored backup.
        run(root.path(), "cp -a made backup && rm -r made && cp -a backup made");
        assert_eq!(Log::origin(&log).unwrap(), Origin::Copied);
    }

    #[test]
    fn what_is_written_or_renamed_is_the_original() {
        let root = tempfile::tempdir().unwrap();
        let Some(log) = made(root.path()) else { return };
        let (mut open, _) = Log::open(&log).unwrap();
        open.write(&[rafty_types::Batch::default()]).unwrap();
        drop(open);
        let elsewhere = root.path().join("elsewhere");
        std::fs::rename(&log, &elsewhere).unwrap();
        assert_eq!(Log::origin(&elsewhere).unwrap(), Origin::Original);
        std::fs::remove_file(elsewhere.join(super::FILE)).unwrap();
        assert_eq!(Log::origin(&elsewhere).unwrap(), Origin::Unnoted);
    }
}
