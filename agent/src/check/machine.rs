//! The clock, the directory and its disk.

use super::Finding;
use crate::settings::Settings;
use crate::status;
use chrono::Datelike;
use rafty_runtime::{DirectoryOrigin, IF_MOVED, MemberError, MemberFile, Origin, copied_in_words};
use rustix::fs::statvfs;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// No rafty is older than this.
const FIRST_YEAR: i32 = 2026;
/// Less free space than this is too little for a model and a log, and less than that may soon be.
const MIN_FREE: u64 = 50_000_000;
const LOW_FREE: u64 = 500_000_000;
/// A sync that takes longer delays every write of the peer set that waits for this member.
const SLOW_SYNC: Duration = Duration::from_millis(100);
/// How often syncing is tried.
const SYNCS: u32 = 10;
/// How long the member that runs here is given to say what it knows of other clocks.
const STATUS_PATIENCE: Duration = Duration::from_secs(2);

/// The wall clock by itself and, where the member runs, beside those of the others.
pub(super) fn clock(dir: &Path) -> Finding {
    let now = chrono::Local::now();
    let says = now.format("%Y-%m-%d %H:%M %:z").to_string();
    if now.year() < FIRST_YEAR {
        let fix = "set it, or let it be set: `timedatectl set-ntp true`; rafty itself works, but times in logs and \
                   train_when.hours are wrong";
        return Finding::warning("clock", format!("it says {says}"), fix);
    }
    let running = status::fetch(dir, STATUS_PATIENCE);
    let apart = running.map(|status| status.node.clocks_apart).unwrap_or_default();
    match &apart[..] {
        [] => Finding::ok("clock", says),
        apart => Finding::warning("clock", apart.join("; "), "see the message"),
    }
}

pub(super) fn membership(dir: &Path, settings: &Settings) -> Finding {
    match MemberFile::read(dir) {
        Ok(member) => {
            let found = format!("member {} of `{}`, in {}", member.member, member.name, dir.display());
            Finding::ok("member", found)
        }
        Err(MemberError::NotMember(_)) if settings.token.is_some() => {
            Finding::ok("member", "not yet; `up` joins with the token that is set")
        }
        Err(MemberError::NotMember(_)) => Finding::problem(
            "member",
            format!("{} is no member's directory, and no token is set", dir.display()),
            "make a token with `rafty token create` and use it with `rafty-agent join`, or put it into rafty.toml on \
             the boot partition",
        ),
        Err(error) => Finding::problem("member", error.to_string(), "see the message"),
    }
}

pub(super) fn disk(dir: &Path) -> Finding {
    let place = dir.ancestors().find(|place| place.is_dir()).unwrap_or(Path::new("/"));
    let (free, has_inodes) = match statvfs(place) {
        // File systems that make inodes as they need them count none.
        Ok(found) => {
            (found.f_bavail.saturating_mul(found.f_frsize), found.f_files == 0 || found.f_favail > 0)
        }
        Err(error) => {
            return Finding::problem("disk", format!("{}: {error}", place.display()), "check the card");
        }
    };
    let mb = free / 1_000_000;
    let sync = match median_sync(place) {
        Ok(sync) => sync,
        Err(error) => {
            let found = format!("{} cannot be written ({mb} MB free): {error}", place.display());
            return Finding::problem("disk", found, advice(error.kind(), has_inodes));
        }
    };
    let found = format!("{mb} MB free, a sync takes {:.1} ms", sync.as_secs_f64() * 1e3);
    if free < MIN_FREE {
        return Finding::problem("disk", found, "make room, or use a larger card");
    }
    if free < LOW_FREE {
        return Finding::warning("disk", found, "make room: a round keeps several models");
    }
    match sync > SLOW_SYNC {
        true => Finding::warning("disk", found, "use a faster card: every write waits for it"),
        false => Finding::ok("disk", found),
    }
}

/// What helps where nothing can be written.
fn advice(error: ErrorKind, has_inodes: bool) -> &'static str {
    match error {
        ErrorKind::StorageFull if !has_inodes => {
            "no inode is left, so no file can be made (`df -i`): delete files, above all many small ones"
        }
        ErrorKind::StorageFull => "make room, or use a larger card",
        ErrorKind::QuotaExceeded => "make room: this user has used up its quota",
        ErrorKind::ReadOnlyFilesystem => {
            "the file system is mounted read-only, as after errors of a card: see `dmesg`, check or replace the card, and \
             mount it again"
        }
        ErrorKind::PermissionDenied => "run this as the user of the service, or use another --dir",
        _ => "check the card and its connection: see `dmesg`",
    }
}

/// Whether a member's directory is the one that it was made in, and whether its state is that of the others.
pub(super) fn directory(dir: &Path) -> Vec<Finding> {
    let DirectoryOrigin { origin, anomaly, divergence } = DirectoryOrigin::of(dir);
    let diverged = divergence.map(|what| Finding::problem("divergence", what, "run `rejoin`"));
    origin_finding(origin, anomaly).into_iter().chain(diverged).collect()
}

fn origin_finding(origin: Option<Origin>, anomaly: Option<String>) -> Option<Finding> {
    if let Some(anomaly) = anomaly {
        return Some(Finding::problem("copy", anomaly, "see the message"));
    }
    Some(match origin? {
        Origin::Original | Origin::Unnoted => Finding::ok("copy", "the log lies where it was made"),
        Origin::Unknown => Finding::warning(
            "copy",
            "this file system does not tell when a file was made: that a directory was copied is noticed only when other \
             members know better",
            "never start a copy of this directory, nor one that was restored from a backup",
        ),
        Origin::Copied => Finding::problem(
            "copy",
            copied_in_words("the directory"),
            format!("{IF_MOVED}; else run `rejoin`, or join anew in another --dir"),
        ),
    })
}

/// Writes 4 KiB and syncs it, some times.
fn median_sync(place: &Path) -> std::io::Result<Duration> {
    let path = place.join(format!(".rafty-check-{}", std::process::id()));
    let tried = (|| {
        let mut file = File::create(&path)?;
        let mut took = Vec::new();
        for _ in 0..SYNCS {
            let began = Instant::now();
            file.write_all(&[0; 4_096])?;
            file.sync_data()?;
            took.push(began.elapsed());
        }
        took.sort_unstable();
        Ok(took[took.len() / 2])
    })();
    let _ = std::fs::remove_file(path);
    tried
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_helps_depends_on_why_nothing_can_be_written() {
        assert!(advice(ErrorKind::StorageFull, false).contains("inode"));
        assert!(advice(ErrorKind::StorageFull, true).contains("room"));
        assert!(advice(ErrorKind::ReadOnlyFilesystem, true).contains("read-only"));
        assert!(advice(ErrorKind::PermissionDenied, true).contains("user"));
    }
}
