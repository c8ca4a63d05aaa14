//! The tables of the log in a `redb` file. Only this file knows redb.
//!
//! A commit is one sync. So redb takes a damaged last commit for a torn one and falls back to the one before: each commit
//! has a number, by which the log finds out. Opening checks every page.
//!
//! It does not know which batches are allowed; see `bounds`.

use crate::bounds::Bounds;
use crate::record;
use crate::snapshot_file::SnapshotRef;
use rafty_types::{Batch, Entry, HardState, Incarnations, Payload, Proposal};
use redb::{Builder, Database, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};
use std::io::{self, ErrorKind};

/// Entries by index, as records.
const LOG: TableDefinition<u64, &[u8]> = TableDefinition::new("log");
/// Everything else by name, as records.
const STATE: TableDefinition<&str, &[u8]> = TableDefinition::new("state");
const FORMAT: &str = "format";
const HARD_STATE: &str = "hard_state";
const SNAPSHOT: &str = "snapshot";
const GROUP: &str = "group";
const INCARNATIONS: &str = "incarnations";

/// Version of what the tables hold.
const CURRENT_FORMAT: u32 = 3;
/// The version before, which is converted when it is opened.
const OLD_FORMAT: u32 = 2;
/// What an entry whose command could not be read becomes, so that it cannot be read by accident: no proposal.
const UNREADABLE: [u8; 1] = [0];
/// Bytes of pages that redb may keep in memory; the log is read only when it is opened.
const CACHE: usize = 2 * 1024 * 1024;

/// Why the store cannot be read or written.
#[derive(Debug)]
pub(crate) enum Fault {
    Damaged(String),
    Newer { found: u32 },
    InUse,
    Io(io::Error),
}

/// What stands in the store; every record was checked, nothing else.
pub(crate) struct Contents {
    /// How many groups were written.
    pub(crate) group: u64,
    pub(crate) hard_state: HardState,
    pub(crate) snapshot: Option<SnapshotRef>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) incarnations: Incarnations,
}

#[derive(Debug)]
pub(crate) struct Store(Database);

/// The formats of a log that this program opens.
pub(crate) const KNOWN_FORMATS: [u32; 2] = [OLD_FORMAT, CURRENT_FORMAT];

impl Store {
    /// Makes a store with an empty log on an empty file.
    pub(crate) fn create(file: impl StorageBackend) -> Result<(), Fault> {
        let store = Self::over(file)?;
        store.transaction(|log, state| {
            log.retain(|_, _| false)?;
            put(state, FORMAT, &CURRENT_FORMAT)?;
            put(state, GROUP, &0_u64)?;
            put(state, HARD_STATE, &HardState::default())
        })?;
        store.0.close().map_err(Fault::from)
    }

    /// Opens a store and checks every page of it.
    pub(crate) fn open(file: impl StorageBackend) -> Result<Self, Fault> {
        if file.len()? == 0 {
            return Err(Fault::Damaged("the log's file is empty".into()));
        }
        let store = Self::over(file)?;
        match store.format()? {
            CURRENT_FORMAT => {}
            OLD_FORMAT => store.convert()?,
            found if found > CURRENT_FORMAT => return Err(Fault::Newer { found }),
            other => return Err(damaged(format!("its format {other} is unknown to this program"))),
        }
        Ok(store)
    }

    fn format(&self) -> Result<u32, Fault> {
        let record =
            self.0.begin_read()?.open_table(STATE)?.get(FORMAT)?.map(|record| record.value().to_vec());
        record
            .and_then(|bytes| record::unpack(FORMAT.as_bytes(), &bytes))
            .ok_or_else(|| damaged("its format cannot be read"))
    }

    /// Makes a log of the old format one of today's, in one transaction: it is the one or the other, whatever happens
    /// meanwhile. Each entry by itself, so that the same entry has the same bytes on every member.
    fn convert(&self) -> Result<(), Fault> {
        self.transaction(|log, state| {
            let indexes: Vec<u64> =
                log.iter()?.map(|row| row.map(|(index, _)| index.value())).collect::<Result<_, _>>()?;
            for index in indexes {
                let record = log.get(index)?.map(|record| record.value().to_vec());
                let entry = record.and_then(|record| record::unpack_entry(index, &record));
                let entry = entry.ok_or_else(|| damaged(format!("entry {index} cannot be read")))?;
                if let Payload::Command(old) = &entry.payload {
                    let converted = Proposal::from_format_2(old).map(|proposal| proposal.encode());
                    let payload = Payload::Command(converted.unwrap_or(UNREADABLE.into()).into());
                    log.insert(index, record::pack_entry(&Entry { payload, ..entry }).as_slice())?;
                }
            }
            put(state, FORMAT, &CURRENT_FORMAT)
        })
    }

    fn over(file: impl StorageBackend) -> Result<Self, Fault> {
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
        Ok(Self(builder.create_with_backend(file)?))
    }

    pub(crate) fn read(&self) -> Result<Contents, Fault> {
        let read = self.0.begin_read()?;
        let state = read.open_table(STATE)?;
        let record = |key: &str| Ok::<_, Fault>(state.get(key)?.map(|record| record.value().to_vec()));
        let hard_state = record(HARD_STATE)?
            .and_then(|bytes| record::unpack(HARD_STATE.as_bytes(), &bytes))
            .ok_or_else(|| damaged("the hard state cannot be read"))?;
        let group = record(GROUP)?
            .and_then(|bytes| record::unpack(GROUP.as_bytes(), &bytes))
            .ok_or_else(|| damaged("the number of the last group cannot be read"))?;
        let snapshot = match record(SNAPSHOT)? {
            None => None,
            Some(bytes) => Some(
                record::unpack(SNAPSHOT.as_bytes(), &bytes)
                    .ok_or_else(|| damaged("the reference to the snapshot cannot be read"))?,
            ),
        };
        let incarnations = match record(INCARNATIONS)? {
            None => Incarnations::default(),
            Some(bytes) => record::unpack(INCARNATIONS.as_bytes(), &bytes)
                .ok_or_else(|| damaged("the starts of this member cannot be read"))?,
        };
        let mut entries = Vec::new();
        for row in read.open_table(LOG)?.iter()? {
            let (index, bytes) = row?;
            let entry = record::unpack_entry(index.value(), bytes.value());
            entries.push(entry.ok_or_else(|| damaged(format!("entry {} cannot be read", index.value())))?);
        }
        Ok(Contents { group, hard_state, snapshot, entries, incarnations })
    }

    /// Writes `batches`, which lead from `before` to `after`, in one transaction as this group; durable when it returns.
    pub(crate) fn write(
        &self,
        group: u64,
        batches: &[Batch],
        mut before: Bounds,
        after: Bounds,
        snapshot: Option<&SnapshotRef>,
    ) -> Result<(), Fault> {
        self.transaction(|log, state| {
            for batch in batches {
                before = write_entries(log, batch, before)?;
            }
            if let Some(snapshot) = snapshot {
                put(state, SNAPSHOT, snapshot)?;
            }
            if let Some(incarnations) = batches.iter().rev().find_map(|batch| batch.incarnations.as_ref()) {
                put(state, INCARNATIONS, incarnations)?;
            }
            put(state, HARD_STATE, &after.hard_state)?;
            put(state, GROUP, &group)
        })
    }

    #[cfg(test)]
    pub(crate) fn set_format(&self, format: u32) {
        self.transaction(|_, state| put(state, FORMAT, &format)).unwrap();
    }

    fn transaction(
        &self,
        fill: impl FnOnce(&mut LogTable<'_>, &mut StateTable<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let transaction = self.0.begin_write()?;
        fill(&mut transaction.open_table(LOG)?, &mut transaction.open_table(STATE)?)?;
        Ok(transaction.commit()?)
    }
}

type LogTable<'a> = redb::Table<'a, u64, &'static [u8]>;
type StateTable<'a> = redb::Table<'a, &'static str, &'static [u8]>;

/// Brings the log's table from `before` to what stands after `batch`.
fn write_entries(log: &mut LogTable<'_>, batch: &Batch, before: Bounds) -> Result<Bounds, Fault> {
    if batch.install.is_some() {
        log.retain(|_, _| false)?;
    }
    if let Some(head) = batch.entries.first()
        && head.index <= before.last
    {
        log.retain_in(head.index.0.., |_, _| false)?;
    }
    for entry in &batch.entries {
        log.insert(entry.index.0, record::pack_entry(entry).as_slice())?;
    }
    let after = before.after(batch).map_err(|misuse| damaged(misuse.to_string()))?;
    if batch.compaction.is_some() {
        log.retain_in(..after.first.0, |_, _| false)?;
    }
    Ok(after)
}

fn put<T: serde::Serialize>(state: &mut StateTable<'_>, key: &str, value: &T) -> Result<(), Fault> {
    state.insert(key, record::pack(key.as_bytes(), value).as_slice())?;
    Ok(())
}

fn damaged(what: impl Into<String>) -> Fault {
    Fault::Damaged(what.into())
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // So redb reports a file that is too short, or not its own.
            ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::InvalidInput => {
                Self::Damaged(error.to_string())
            }
            _ => Self::Io(error),
        }
    }
}

impl From<redb::Error> for Fault {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::Io(error) => error.into(),
            redb::Error::DatabaseAlreadyOpen => Self::InUse,
            other => Self::Damaged(other.to_string()),
        }
    }
}

macro_rules! through_redb_error {
    ($($error:ty),*) => {$(
        impl From<$error> for Fault {
            fn from(error: $error) -> Self {
                redb::Error::from(error).into()
            }
        }
    )*};
}

through_redb_error!(
    redb::DatabaseError,
    redb::StorageError,
    redb::TableError,
    redb::TransactionError,
    redb::CommitError
);
