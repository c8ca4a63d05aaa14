//! Raft's hard state, entries and snapshot: what a member must not forget.
//!
//! Entries and hard state lie in one `redb` file, a snapshot in a file of its own that the store refers to. A group of
//! batches is one transaction, so after a power cut the log stands before the group or after it, never between; and
//! once [`Log::write`] has returned, it stands after.
//!
//! [`Log::open`] either gives back exactly what was acknowledged or says [`OpenError::Damaged`]. It does not repair:
//! a member with a damaged log must not vote with it, so it enrols again under a new id.

use crate::acknowledged::Acknowledged;
use crate::bounds::{Bounds, Misuse};
use crate::disk::{self, DiskError};
use crate::origin::{self, Origin};
use crate::snapshot_file::{self, SnapshotRef};
use crate::store::{Contents, Fault, KNOWN_FORMATS, Store};
use rafty_types::{Batch, Entry, HardState, Incarnations, Index, Snapshot};
use redb::StorageBackend;
use redb::backends::FileBackend;
use std::fs::OpenOptions;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

#[cfg(test)]
mod power_cut;

const FILE: &str = "log.redb";

/// A member's log, open for writing.
#[derive(Debug)]
pub struct Log {
    dir: PathBuf,
    store: Store,
    acknowledged: Acknowledged,
    /// How many groups were written.
    group: u64,
    bounds: Bounds,
    failed: bool,
}

/// What stood in a log when it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Its `commit` is at least the snapshot's index and at most the last entry's.
    pub hard_state: HardState,
    /// With index 0 and no data if there is none.
    pub snapshot: Snapshot,
    /// Consecutive. The first follows the snapshot or lies before that; the last is not before the snapshot.
    pub entries: Vec<Entry>,
    /// The starts that this log was used in; none when it was made by an older program.
    pub incarnations: Incarnations,
}

/// Why a log could not be opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No log was created here, or it is gone.
    #[error("there is no log in {}; if this member has had one, it must enrol again", .0.display())]
    Missing(PathBuf),
    /// A log stands where one was to be created.
    #[error("there is a log in {} already; open it, or set it aside first", .0.display())]
    Exists(PathBuf),
    /// It is not what was written.
    #[error("the log in {} is damaged: {what}; this member must enrol again", dir.display())]
    Damaged {
        /// The log's directory.
        dir: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// It was written by a newer program.
    #[error(
        "the log in {} has format {found}, and this program reads {} and {}; nothing was changed; \
         use the version of rafty that wrote it, or a newer one",
        dir.display(), KNOWN_FORMATS[0], KNOWN_FORMATS[1]
    )]
    Newer {
        /// The log's directory.
        dir: PathBuf,
        /// Its format.
        found: u32,
    },
    /// It is open already.
    #[error("the log in {} is in use; stop the other process first", .0.display())]
    InUse(PathBuf),
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Why a group of batches was not acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A batch does not fit onto the log. Nothing was written; the log can still be used.
    #[error("{0}; nothing was written")]
    Misuse(#[from] Misuse),
    /// The disk or a quota is full. Free some space and open the log again.
    #[error("the disk is full ({0}); nothing was acknowledged; free some space and open the log again")]
    Full(io::Error),
    /// The disk failed. A failed sync says nothing about what is on the disk, so it is not tried again.
    #[error(
        "the log cannot be written ({0}); nothing was acknowledged; check the disk and open the log again"
    )]
    Io(io::Error),
    /// The log turned out to be damaged while it was written.
    #[error(
        "the log is damaged: {0}; nothing was acknowledged; open it again to learn whether it can be used"
    )]
    Damaged(String),
    /// An earlier write failed.
    #[error("an earlier write failed; nothing was written; open the log again")]
    Closed,
}

impl Log {
    /// Makes an empty log in `dir`, which is created if it is missing; durable when it returns.
    ///
    /// This is apart from [`Log::open`] so that a log that was lost is never taken for one that never was.
    ///
    /// # Errors
    /// There is a log already, or the disk failed; then there is none.
    pub fn create(dir: &Path) -> Result<(), OpenError> {
        disk::create_private_dir(dir)?;
        let path = dir.join(FILE);
        if path.try_exists().map_err(DiskError::of("look for", &path))? {
            return Err(OpenError::Exists(dir.to_path_buf()));
        }
        Acknowledged::create(dir)?;
        let unfinished = disk::Unfinished::create(dir, true)?;
        let file = unfinished.file.try_clone().map_err(DiskError::of("create", &path))?;
        Store::create(FileBackend::new(file).map_err(|error| opening(dir, error.into()))?)
            .map_err(|fault| opening(dir, fault))?;
        // The rename that follows keeps what is noted.
        let made = unfinished.file.metadata().map_err(DiskError::of("look at", &path))?;
        origin::write(dir, &made)?;
        Ok(unfinished.finish(&path)?)
    }

    /// What the files say about where the log in `dir` comes from: whether it is a copy. Ask before it is voted with.
    ///
    /// # Errors
    /// There is no log, or the disk failed.
    pub fn origin(dir: &Path) -> Result<Origin, DiskError> {
        origin::of(dir, &dir.join(FILE))
    }

    /// Takes the log in `dir` for the original from now on; durable when it returns.
    ///
    /// # Errors
    /// There is no log, or the disk failed.
    pub fn take_as_original(dir: &Path) -> Result<(), DiskError> {
        let path = dir.join(FILE);
        origin::write(dir, &std::fs::metadata(&path).map_err(DiskError::of("look at", &path))?)
    }

    /// Opens the log in `dir` and checks all of it. One of the format before is converted first, whole or not at all.
    ///
    /// # Errors
    /// Anything but exactly what was acknowledged is an error; see [`OpenError`].
    pub fn open(dir: &Path) -> Result<(Self, Recovered), OpenError> {
        let path = dir.join(FILE);
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(OpenError::Missing(dir.to_path_buf()));
            }
            Err(error) => return Err(DiskError::of("open", &path)(error).into()),
        };
        let file = FileBackend::new(file).map_err(|error| opening(dir, error.into()))?;
        Self::open_on(dir, file)
    }

    fn open_on(dir: &Path, file: impl StorageBackend) -> Result<(Self, Recovered), OpenError> {
        let store = Store::open(file).map_err(|fault| opening(dir, fault))?;
        let contents = store.read().map_err(|fault| opening(dir, fault))?;
        let (acknowledged, noted) = Acknowledged::open(dir)?.ok_or_else(|| {
            opening(dir, Fault::Damaged("the note of what was acknowledged cannot be read".into()))
        })?;
        let group = contents.group;
        if group < noted {
            let what = format!("of the {noted} groups that were acknowledged only {group} are there");
            return Err(opening(dir, Fault::Damaged(what)));
        }
        let kept = contents.snapshot.clone();
        let (bounds, recovered) = recover(dir, contents)?;
        disk::remove_unfinished(dir)?;
        snapshot_file::remove_others(dir, kept.as_ref())?;
        Ok((Self { dir: dir.to_path_buf(), store, acknowledged, group, bounds, failed: false }, recovered))
    }

    /// Writes `batches` in order as one group; all of it is durable when it returns.
    ///
    /// Within a batch the order is: install, entries, hard state, compaction. The commit index never falls below the
    /// snapshot's, and a compaction that an installed snapshot has overtaken changes nothing.
    ///
    /// # Errors
    /// Nothing is acknowledged. After any error but [`WriteError::Misuse`] the log refuses to write until it is
    /// opened again, and what it holds then may or may not include this group.
    pub fn write(&mut self, batches: &[Batch]) -> Result<(), WriteError> {
        if self.failed {
            return Err(WriteError::Closed);
        }
        let mut after = self.bounds;
        let mut snapshot = None;
        for batch in batches {
            after = after.after(batch)?;
            let compacted = batch.compaction.as_ref().map(|compaction| &compaction.snapshot);
            let mut offered = compacted.into_iter().chain(&batch.install);
            snapshot = offered.find(|offered| offered.meta.index == after.snapshot).or(snapshot);
        }
        if batches.iter().all(|batch| *batch == Batch::default()) {
            return Ok(());
        }
        self.commit(batches, after, snapshot).inspect_err(|_| self.failed = true)?;
        self.bounds = after;
        Ok(())
    }

    /// Where the log stands: what [`write_again`](Self::write_again) needs when the next group fails.
    pub fn standing(&self) -> Standing {
        Standing { group: self.group, bounds: self.bounds }
    }

    /// Writes a group that another log of this directory failed to write, which stood at `before`. It may be there all the same,
    /// when the disk failed at the very end, and is written over then: what the disk failed to sync may not be there after a power
    /// cut.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    pub fn write_again(&mut self, before: Standing, batches: &[Batch]) -> Result<(), WriteError> {
        if before.group.checked_add(1) == Some(self.group) {
            (self.group, self.bounds) = (before.group, before.bounds);
        }
        self.write(batches)
    }

    fn commit(
        &mut self,
        batches: &[Batch],
        after: Bounds,
        snapshot: Option<&Snapshot>,
    ) -> Result<(), WriteError> {
        let saved = snapshot.map(|snapshot| SnapshotRef::save(snapshot, &self.dir)).transpose();
        let saved = saved.map_err(|error| writing(Fault::Io(error.source)))?;
        self.store.write(self.group + 1, batches, self.bounds, after, saved.as_ref()).map_err(writing)?;
        self.group += 1;
        self.acknowledged.note(self.group).map_err(|error| writing(Fault::Io(error)))?;
        if saved.is_some() {
            // An older snapshot that stays costs space until the next start, nothing else.
            let _ = snapshot_file::remove_others(&self.dir, saved.as_ref());
        }
        Ok(())
    }
}

/// Where a log stands after a group.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    group: u64,
    bounds: Bounds,
}

/// Checks that the parts of a log fit together.
fn recover(dir: &Path, contents: Contents) -> Result<(Bounds, Recovered), OpenError> {
    let damaged = |what: String| OpenError::Damaged { dir: dir.to_path_buf(), what };
    let Contents { mut hard_state, snapshot, entries, incarnations, .. } = contents;
    let covered = snapshot.as_ref().map_or(0, SnapshotRef::index);
    let first = entries.first().map_or(covered.saturating_add(1), |entry| entry.index.0);
    let last = entries.last().map_or(covered, |entry| entry.index.0);
    if (first..).zip(&entries).any(|(index, entry)| entry.index.0 != index) {
        return Err(damaged("entries are missing".into()));
    }
    if first > covered.saturating_add(1) || last < covered {
        return Err(damaged(format!("entries {first} to {last} do not meet the snapshot at {covered}")));
    }
    if hard_state.commit.0 > last {
        let commit = hard_state.commit;
        return Err(damaged(format!("it is committed up to {commit}, but ends at {last}")));
    }
    let snapshot = match snapshot {
        None => Snapshot::default(),
        Some(reference) => {
            let loaded = reference.load(dir)?;
            loaded.ok_or_else(|| {
                damaged(format!("the snapshot at {covered} is missing or not what was written"))
            })?
        }
    };
    hard_state.commit = hard_state.commit.max(Index(covered));
    let bounds = Bounds { snapshot: Index(covered), first: Index(first), last: Index(last), hard_state };
    Ok((bounds, Recovered { hard_state, snapshot, entries, incarnations }))
}

fn opening(dir: &Path, fault: Fault) -> OpenError {
    let dir = dir.to_path_buf();
    match fault {
        Fault::Damaged(what) => OpenError::Damaged { dir, what },
        Fault::Newer { found } => OpenError::Newer { dir, found },
        Fault::InUse => OpenError::InUse(dir),
        Fault::Io(source) => DiskError { action: "open", path: dir.join(FILE), source }.into(),
    }
}

fn writing(fault: Fault) -> WriteError {
    match fault {
        Fault::Io(error) if disk::is_full(&error) => WriteError::Full(error),
        Fault::Io(error) => WriteError::Io(error),
        Fault::Damaged(what) => WriteError::Damaged(what),
        Fault::Newer { found } => {
            WriteError::Damaged(format!("its format {found} is that of a newer program"))
        }
        Fault::InUse => WriteError::Closed,
    }
}
