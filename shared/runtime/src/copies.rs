//! Directories that were copied: what the files say at the start, and what a member found out about itself.
//!
//! What is noted here is for `check`; nothing is decided by it.

use crate::log_writer::{LogLevel, log};
use crate::member::MemberFile;
use crate::up::UpError;
use rafty_node::{Event, IF_MOVED, copied_in_words};
use rafty_storage::{DataDir, Log, Origin};
use rafty_types::MemberId;
use smol::Executor;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// What a member found out about its own disk, in words.
const ANOMALY_FILE: &str = "disk-anomaly";
/// That its replicated state has diverged, in words.
const DIVERGENCE_FILE: &str = "diverged";
/// The longest of these notes that is read, in bytes.
const MAX_NOTE_LEN: u64 = 4_096;

/// What can be said about a member's directory without opening its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryOrigin {
    /// What the files say; `None` when there is no log or it cannot be read.
    pub origin: Option<Origin>,
    /// What the member found out when it ran last, in words.
    pub anomaly: Option<String>,
    /// That its replicated state has diverged, in words; it starts no more.
    pub divergence: Option<String>,
}

impl DirectoryOrigin {
    /// Looks at the directory `dir`.
    pub fn of(dir: &Path) -> Self {
        let (anomaly, divergence) = (note(&dir.join(ANOMALY_FILE)), note(&dir.join(DIVERGENCE_FILE)));
        Self { origin: Log::origin(&DataDir::log_in(dir)).ok(), anomaly, divergence }
    }
}

/// A note, when there is one that this program may have written.
fn note(path: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(MAX_NOTE_LEN + 1).read_to_string(&mut text).ok()?;
    (text.len() as u64 <= MAX_NOTE_LEN).then_some(text)
}

/// Whether the files look like a copy. A directory that was `moved` does not, and neither does that of a member that
/// knows nobody: there is nobody who could contradict it.
pub(crate) fn looks_copied(dir: &DataDir, member: &MemberFile, moved: bool) -> Result<bool, UpError> {
    let failed =
        |error: rafty_storage::DiskError| UpError::Disk { dir: dir.root().into(), why: error.to_string() };
    let origin = Log::origin(&dir.log()).map_err(failed)?;
    let alone = member.members.iter().all(|other| other.id == member.member);
    if origin == Origin::Copied && !moved && !alone {
        let directory = dir.root().display().to_string();
        log(LogLevel::Warning, &format!("{}; {IF_MOVED}", copied_in_words(&directory)));
        return Ok(true);
    }
    if origin == Origin::Copied {
        log(LogLevel::Warning, &format!("{} is taken for the original", dir.root().display()));
    }
    Log::take_as_original(&dir.log()).map_err(failed)?;
    Ok(false)
}

/// The files count as the original from now on. If that cannot be written, the next start asks again.
pub(crate) fn take_as_original(executor: &Arc<Executor<'static>>, dir: &Arc<DataDir>) {
    let log_dir = dir.log();
    let write = smol::unblock(move || Log::take_as_original(&log_dir));
    let tell = async move {
        if let Err(error) = write.await {
            log(
                LogLevel::Warning,
                &format!("{error}; at the next start this directory looks like a copy again"),
            );
        }
    };
    executor.spawn(tell).detach();
}

/// Notes what a member found out about itself, for `check`. It happens at most a few times in a member's life.
pub(crate) fn note_anomaly(dir: &DataDir, me: MemberId, event: &Event, diverged: bool) {
    if let Event::DiskAnomaly { member, what } = event
        && *member == me
    {
        // It is told in the log, too.
        let _ = std::fs::write(dir.file(if diverged { DIVERGENCE_FILE } else { ANOMALY_FILE }), what);
    }
}

/// A member starts: what it found out before may be over.
pub(crate) fn forget_anomaly(dir: &DataDir) {
    for file in [ANOMALY_FILE, DIVERGENCE_FILE] {
        let _ = std::fs::remove_file(dir.file(file));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_read_up_to_their_bound_and_each_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| std::fs::write(folder.path().join(file), text).unwrap();
        write(ANOMALY_FILE, "an older copy");
        write(DIVERGENCE_FILE, &"x".repeat(MAX_NOTE_LEN as usize));
        let found = DirectoryOrigin::of(folder.path());
        assert_eq!(found.anomaly.as_deref(), Some("an older copy"));
        assert_eq!(found.divergence.map(|text| text.len() as u64), Some(MAX_NOTE_LEN));
        write(DIVERGENCE_FILE, &"x".repeat(MAX_NOTE_LEN as usize + 1));
        assert_eq!(DirectoryOrigin::of(folder.path()).divergence, None);
    }
}
