//! A member's directory while it is made: beside its place, or inside one that exists, so that nothing half-made is left.

use super::SetupError;
use crate::interrupt;
use crate::member::MEMBER_FILE;
use std::fs::{DirEntry, File};
use std::path::{Path, PathBuf};

/// A directory in the making, beside its place.
pub(super) struct Staged {
    pub(super) dir: PathBuf,
    kept: bool,
}

impl Drop for Staged {
    fn drop(&mut self) {
        let mut making = interrupt::making();
        if !self.kept {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
        making.remove(&self.dir);
    }
}

/// The directory in the making, in a place that is there and empty, where it may be the only one that can be written.
const IN_THE_MAKING: &str = ".new";

pub(super) fn stage(place: &Path) -> Result<Staged, SetupError> {
    remove_left_behind(place);
    let inside = place.join(IN_THE_MAKING);
    if inside.join(MEMBER_FILE).exists() {
        // It was all there, and then it was cut off on its way to its place.
        move_up(&inside, place)
            .map_err(|why| SetupError::Disk { dir: place.into(), why: why.to_string() })?;
    }
    let is_other =
        |entry: std::io::Result<DirEntry>| entry.is_ok_and(|entry| entry.file_name() != IN_THE_MAKING);
    if std::fs::read_dir(place).is_ok_and(|mut entries| entries.any(is_other)) {
        return Err(SetupError::Already(place.into()));
    }
    let dir = if place.is_dir() {
        inside
    } else {
        let mut name = place.file_name().unwrap_or_default().to_os_string();
        name.push(format!("{IN_THE_MAKING}-{}", std::process::id()));
        place.with_file_name(name)
    };
    let _ = std::fs::remove_dir_all(&dir);
    interrupt::begin(&dir);
    Ok(Staged { dir, kept: false })
}

/// Removes what earlier tries for this place have left beside it, which holds keys: those whose process was killed, and
/// never one whose process is there. Of a failure nothing is said: the place itself can still be used.
fn remove_left_behind(place: &Path) {
    let (Some(beside), Some(name)) = (place.parent(), place.file_name()) else { return };
    let begins = format!("{}{IN_THE_MAKING}-", name.to_string_lossy());
    for entry in std::fs::read_dir(beside).into_iter().flatten().flatten() {
        let process = entry.file_name().to_str().and_then(|name| name.strip_prefix(&begins)?.parse().ok());
        let gone = process.and_then(rustix::process::Pid::from_raw).is_some_and(|process| {
            rustix::process::test_kill_process(process) == Err(rustix::io::Errno::SRCH)
        });
        // A link is not ours, and what it leads to less so.
        if gone && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Moves what a directory holds into the one above, the member file last: with it the directory is a member's.
fn move_up(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let name = entry?.file_name();
        if name != MEMBER_FILE {
            std::fs::rename(from.join(&name), to.join(&name))?;
        }
    }
    File::open(to)?.sync_all()?;
    std::fs::rename(from.join(MEMBER_FILE), to.join(MEMBER_FILE))?;
    std::fs::remove_dir(from)?;
    File::open(to)?.sync_all()
}

/// Moves a finished directory to its place. It holds all files of a member.
pub(super) fn settle(mut staged: Staged, place: &Path) -> std::io::Result<()> {
    // A signal either comes before this and removes it all, or finds a member.
    let mut making = interrupt::making();
    let moved = match staged.dir.ends_with(IN_THE_MAKING) {
        true => move_up(&staged.dir, place),
        false => std::fs::rename(&staged.dir, place),
    };
    if moved.is_ok() {
        making.remove(&staged.dir);
        staged.kept = true;
    }
    // Dropping what is staged takes the lock again.
    drop(making);
    moved
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::IDENTITY_FILE;

    /// A directory in the making that has everything but its place.
    fn made(place: &Path) -> Staged {
        let staged = stage(place).unwrap();
        std::fs::create_dir_all(staged.dir.join("log")).unwrap();
        for file in [IDENTITY_FILE, MEMBER_FILE] {
            std::fs::write(staged.dir.join(file), file).unwrap();
        }
        staged
    }

    fn names(place: &Path) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(place)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn in_a_place_that_is_there_nothing_is_made_beside_it() {
        let base = tempfile::tempdir().unwrap();
        let place = base.path().join("state");
        std::fs::create_dir(&place).unwrap();
        let mut staged = made(&place);
        assert_eq!((names(base.path()), names(&place)), (vec!["state".into()], vec![".new".into()]));
        move_up(&staged.dir, &place).unwrap();
        staged.kept = true;
        assert_eq!(names(&place), [IDENTITY_FILE, "log", MEMBER_FILE]);
        assert!(matches!(stage(&place), Err(SetupError::Already(_))));
    }

    #[test]
    fn what_was_given_up_leaves_nothing_and_can_be_begun_again() {
        let base = tempfile::tempdir().unwrap();
        drop(made(base.path()));
        assert!(names(base.path()).is_empty());
        let dir = base.path().join(".new");
        std::fs::create_dir_all(dir.join("log")).unwrap();
        drop(stage(base.path()).unwrap());
        assert!(names(base.path()).is_empty(), "a cut-off attempt is no member");
    }

    #[test]
    fn what_a_killed_process_left_beside_a_place_is_removed_at_the_next_try() {
        let base = tempfile::tempdir().unwrap();
        let place = base.path().join("m");
        let mut ended = std::process::Command::new("true").spawn().unwrap();
        ended.wait().unwrap();
        let (gone, here) = (ended.id(), std::os::unix::process::parent_id());
        for name in
            [format!("m.new-{gone}"), format!("m.new-{here}"), "m.new-x".into(), format!("n.new-{gone}")]
        {
            std::fs::create_dir_all(base.path().join(name).join("log")).unwrap();
        }
        drop(stage(&place).unwrap());
        let mut left = vec![format!("m.new-{here}"), "m.new-x".into(), format!("n.new-{gone}")];
        left.sort();
        assert_eq!(names(base.path()), left);
    }

    #[test]
    fn a_member_that_was_cut_off_on_its_way_to_its_place_is_one_afterwards() {
        for moved in [&[][..], &["log"], &["log", IDENTITY_FILE]] {
            let base = tempfile::tempdir().unwrap();
            let mut staged = made(base.path());
            staged.kept = true;
            for name in moved {
                std::fs::rename(staged.dir.join(name), base.path().join(name)).unwrap();
            }
            assert!(matches!(stage(base.path()), Err(SetupError::Already(_))));
            assert_eq!(names(base.path()), [IDENTITY_FILE, "log", MEMBER_FILE]);
        }
    }
}
