//! A new peer set from a backup: with its dictionary, runs and models, and nobody in it but the founder.
//!
//! Identities are in no backup, so the members of the set that was backed up join anew.

use crate::host_port::HostPort;
use crate::machine::UserMachine;
use crate::member::{MODELS, MemberFile};
use crate::setup::{Founding, SetupError, establish};
use rafty_dictionary::{Entries, Replicated};
use rafty_storage::{Backup, BackupError, Blobs};
use rafty_types::{Index, Member, RestoreError, RunId};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// A backup that can be restored. Nothing is made before [`restore`](Self::restore).
pub struct Restorable<U: UserMachine = Entries> {
    backup: Backup,
    state: Replicated<U>,
}

/// Where the new set's first member is.
#[derive(Clone, Debug)]
pub struct Restoring {
    /// Its directory; must not exist, or be empty.
    pub dir: PathBuf,
    /// The new set's name; that of the backup when not given.
    pub name: Option<String>,
    /// The UDP address to listen on.
    pub listen: SocketAddr,
    /// Where others reach it, when that is not where it listens.
    pub advertise: Option<HostPort>,
}

/// What a backup holds.
#[derive(Clone, Debug)]
pub struct BackupPreview {
    /// The name of the set.
    pub name: String,
    /// The last entry that is in it.
    pub index: Index,
    /// What the clock of the last entry's leader showed, in milliseconds since 1970; `None` before there was one.
    pub wall_ms: Option<u64>,
    /// Its runs.
    pub runs: Vec<RunId>,
    /// How many models it holds.
    pub models: u32,
    /// Who belonged to the set.
    pub members: Vec<Member>,
}

/// A backup was not restored. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RestoreBackupError {
    /// The file.
    #[error("cannot restore: {0}; nothing was changed")]
    Backup(#[from] BackupError),
    /// What it holds.
    #[error(
        "cannot restore: the state in the backup cannot be used: {0}; nothing was changed; use another backup"
    )]
    State(#[from] RestoreError),
    /// The directory.
    #[error(transparent)]
    Setup(#[from] SetupError),
}

impl Restorable<Entries> {
    /// Reads the backup of a set with the dictionary.
    ///
    /// # Errors
    /// It is missing, foreign, of another format, cut short or damaged.
    pub fn open(file: &Path) -> Result<Self, RestoreBackupError> {
        Self::open_with(file, Entries::default())
    }
}

impl<U: UserMachine> Restorable<U> {
    /// The same of a set with another machine, in its initial state.
    ///
    /// # Errors
    /// As [`open`](Restorable::open).
    pub fn open_with(file: &Path, machine: U) -> Result<Self, RestoreBackupError> {
        let backup = Backup::open(file)?;
        let mut state = Replicated::new(machine);
        state.restore(backup.state())?;
        Ok(Self { backup, state })
    }

    /// What it holds.
    pub fn preview(&self) -> BackupPreview {
        let control = self.state.control();
        BackupPreview {
            name: control.name().to_string(),
            index: self.state.applied(),
            wall_ms: self.state.wall_ms(),
            runs: control.runs().keys().copied().collect(),
            models: self.backup.models(),
            members: control.members().values().cloned().collect(),
        }
    }

    /// The user machine.
    pub fn user(&self) -> &U {
        self.state.user()
    }

    /// Founds a new peer set with it, under the settings of the old one.
    ///
    /// # Errors
    /// The directory is used, or cannot be made. Nothing is left behind.
    pub fn restore(self, restoring: &Restoring) -> Result<MemberFile, RestoreBackupError> {
        let control = self.state.control();
        let founding = Founding {
            dir: restoring.dir.clone(),
            name: restoring.name.clone().unwrap_or_else(|| control.name().to_string()),
            listen: restoring.listen,
            advertise: restoring.advertise.clone(),
            settings: control.settings().clone(),
        };
        let (state, backup) = (self.state, self.backup);
        let first = state.applied().next();
        let found = |genesis| state.founded_anew(genesis).map_err(|error| error.to_string());
        let fill = |dir: &rafty_storage::DataDir| {
            let blobs = Blobs::open(&dir.file(MODELS)).map_err(|error| error.to_string())?;
            backup.copy_models(&blobs).map_err(|error| error.to_string())
        };
        Ok(establish(&founding, first, found, fill)?)
    }
}
