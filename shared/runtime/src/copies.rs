//! Directories that were copied: what the files say at the start, and what a member found out about itself.
//!
//! What is noted here is for `check`; nothing is decided by it.

use crate::log_writer::{LogLevel, log};
use crate::member::MemberFile;
use crate::up::UpError;
use rafty_node::Event;
use rafty_storage::{DataDir, Log, Origin};
use rafty_types::MemberId;
use smol::Executor;
use std::path::Path;
use std::sync::Arc;

/// What a member found out about its own disk, in words.
const ANOMALY_FILE: &str = "disk-anomaly";
/// Longest of them that is read, in bytes.
const MAX_ANOMALY_LEN: usize = 4_096;

/// What can be said about a member's directory without opening its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryOrigin {
    /// What the files say; `None` when there is no log or it cannot be read.
    pub origin: Option<Origin>,
    /// What the member found out when it ran last, in words.
    pub anomaly: Option<String>,
}

impl DirectoryOrigin {
    /// Looks at the directory `dir`.
    pub fn of(dir: &Path) -> Self {
        let anomaly = std::fs::read_to_string(dir.join(ANOMALY_FILE)).ok();
        let anomaly = anomaly.filter(|text| text.len() <= MAX_ANOMALY_LEN);
        Self { origin: Log::origin(&DataDir::log_in(dir)).ok(), anomaly }
    }
}

/// Whether the files look like a copy. A directory that was `moved` does not, and neither does that of a member that
/// knows nobody: there is nobody who could contradict it.
pub(crate) fn looks_copied(dir: &DataDir, member: &MemberFile, moved: bool) -> Result<bool, UpError> {
    let failed =
        |error: rafty_storage::DiskError| UpError::Disk { dir: dir.root().into(), why: error.to_string() };
    let origin = Log::origin(&dir.log()).map_err(failed)?;
    let alone = member.members.iter().all(|other| other.id == member.member);
    if origin == Origin::Copied && !moved && !alone {
        log(
            LogLevel::Warning,
            &format!(
                "{} looks like a copy: its log lies in another file than it was made in; this member does not vote until \
                 a majority without it has answered for it; if it was moved, and no other copy was used since, start it \
                 once with `up --moved`",
                dir.root().display()
            ),
        );
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
pub(crate) fn note_anomaly(dir: &DataDir, me: MemberId, event: &Event) {
    if let Event::DiskAnomaly { member, what } = event
        && *member == me
    {
        // It is told in the log, too.
        let _ = std::fs::write(dir.file(ANOMALY_FILE), what);
    }
}

/// A member starts: what it found out before may be over.
pub(crate) fn forget_anomaly(dir: &DataDir) {
    let _ = std::fs::remove_file(dir.file(ANOMALY_FILE));
}
