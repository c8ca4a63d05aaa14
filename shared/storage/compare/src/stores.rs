//! The stores behind one shape: a log of byte strings with consecutive numbers.

use protobuf::well_known_types::BytesValue;
use raft_engine::{Config, Engine, LogBatch, MessageExt, ReadableSize, RecoveryMode};
use redb::ReadableTable;
use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::ops::RangeInclusive;
use std::path::Path;

/// Whatever went wrong, in words.
pub type Failed = Box<dyn Error>;

/// A log of byte strings with consecutive numbers, and one small record beside it as the hard state.
pub trait Store {
    /// Appends `entries` from number `first` on and replaces the hard state; durable when it returns.
    fn append(&mut self, first: u64, entries: &[Vec<u8>]) -> Result<(), Failed>;
    /// Removes the numbers in `range`, which are the lowest.
    fn forget(&mut self, range: RangeInclusive<u64>) -> Result<(), Failed>;
    /// Everything in it, in order.
    fn read(&self) -> Result<Vec<(u64, Vec<u8>)>, Failed>;
}

/// The names of the stores that [`open`] knows.
pub const NAMES: [&str; 5] = ["plain", "redb", "redb, two-phase", "fjall", "raft-engine"];

/// Opens or creates the store `name` in `dir`.
pub fn open(name: &str, dir: &Path) -> Result<Box<dyn Store>, Failed> {
    std::fs::create_dir_all(dir)?;
    Ok(match name {
        "plain" => Box::new(Plain::open(dir)?),
        "redb" => Box::new(Redb::open(dir, false)?),
        "redb, two-phase" => Box::new(Redb::open(dir, true)?),
        "fjall" => Box::new(Fjall::open(dir)?),
        "raft-engine" => Box::new(RaftEngine::open(dir)?),
        other => return Err(format!("no store is called {other}").into()),
    })
}

/// The floor: one file, no checksums, no removal. What the disk can do at best.
struct Plain(File, std::path::PathBuf);

impl Plain {
    fn open(dir: &Path) -> Result<Self, Failed> {
        let path = dir.join("log");
        Ok(Self(OpenOptions::new().create(true).append(true).open(&path)?, path))
    }
}

impl Store for Plain {
    fn append(&mut self, first: u64, entries: &[Vec<u8>]) -> Result<(), Failed> {
        let mut bytes = Vec::new();
        for (number, entry) in (first..).zip(entries) {
            bytes.extend(number.to_le_bytes());
            bytes.extend((entry.len() as u32).to_le_bytes());
            bytes.extend(entry);
        }
        self.0.write_all(&bytes)?;
        Ok(self.0.sync_data()?)
    }

    fn forget(&mut self, _: RangeInclusive<u64>) -> Result<(), Failed> {
        Ok(())
    }

    fn read(&self) -> Result<Vec<(u64, Vec<u8>)>, Failed> {
        let mut bytes = Vec::new();
        File::open(&self.1)?.read_to_end(&mut bytes)?;
        let mut entries = Vec::new();
        let mut rest = bytes.as_slice();
        while let Some((number, after)) = rest.split_first_chunk::<8>() {
            let (len, after) = after.split_first_chunk::<4>().ok_or("torn")?;
            let len = u32::from_le_bytes(*len) as usize;
            entries.push((u64::from_le_bytes(*number), after.get(..len).ok_or("torn")?.to_vec()));
            rest = &after[len..];
        }
        Ok(entries)
    }
}

struct Redb {
    database: redb::Database,
    two_phase: bool,
}

const LOG: redb::TableDefinition<u64, &[u8]> = redb::TableDefinition::new("log");
const STATE: redb::TableDefinition<u8, &[u8]> = redb::TableDefinition::new("state");

impl Redb {
    fn open(dir: &Path, two_phase: bool) -> Result<Self, Failed> {
        let database = redb::Builder::new()
            .set_cache_size(4 << 20)
            .set_check_integrity_on_open(true)
            .create(dir.join("log.redb"))?;
        Ok(Self { database, two_phase })
    }

    fn write(&self) -> Result<redb::WriteTransaction, Failed> {
        let mut write = self.database.begin_write()?;
        write.set_two_phase_commit(self.two_phase);
        Ok(write)
    }
}

impl Store for Redb {
    fn append(&mut self, first: u64, entries: &[Vec<u8>]) -> Result<(), Failed> {
        let write = self.write()?;
        {
            let mut log = write.open_table(LOG)?;
            for (number, entry) in (first..).zip(entries) {
                log.insert(number, entry.as_slice())?;
            }
            let last = first + entries.len() as u64 - 1;
            write.open_table(STATE)?.insert(0, last.to_le_bytes().as_slice())?;
        }
        Ok(write.commit()?)
    }

    fn forget(&mut self, range: RangeInclusive<u64>) -> Result<(), Failed> {
        let write = self.write()?;
        write.open_table(LOG)?.retain_in(range, |_, _| false)?;
        Ok(write.commit()?)
    }

    fn read(&self) -> Result<Vec<(u64, Vec<u8>)>, Failed> {
        use redb::ReadableDatabase;
        let read = self.database.begin_read()?;
        let log = read.open_table(LOG)?;
        let entries = log.iter()?.map(|row| row.map(|(n, e)| (n.value(), e.value().to_vec())));
        Ok(entries.collect::<Result<_, _>>()?)
    }
}

struct Fjall {
    database: fjall::Database,
    log: fjall::Keyspace,
    state: fjall::Keyspace,
}

impl Fjall {
    fn open(dir: &Path) -> Result<Self, Failed> {
        let database = fjall::Database::builder(dir.join("fjall")).worker_threads(1).open()?;
        let options = || fjall::KeyspaceCreateOptions::default().max_memtable_size(1 << 20);
        let (log, state) = (database.keyspace("log", options)?, database.keyspace("state", options)?);
        Ok(Self { database, log, state })
    }

    fn batch(&self) -> fjall::OwnedWriteBatch {
        self.database.batch().durability(Some(fjall::PersistMode::SyncData))
    }
}

impl Store for Fjall {
    fn append(&mut self, first: u64, entries: &[Vec<u8>]) -> Result<(), Failed> {
        let mut batch = self.batch();
        for (number, entry) in (first..).zip(entries) {
            batch.insert(&self.log, number.to_be_bytes(), entry.as_slice());
        }
        let last = first + entries.len() as u64 - 1;
        batch.insert(&self.state, [0], last.to_le_bytes());
        Ok(batch.commit()?)
    }

    fn forget(&mut self, range: RangeInclusive<u64>) -> Result<(), Failed> {
        let mut batch = self.batch();
        range.for_each(|number| batch.remove(&self.log, number.to_be_bytes()));
        Ok(batch.commit()?)
    }

    fn read(&self) -> Result<Vec<(u64, Vec<u8>)>, Failed> {
        let row = |guard: fjall::Guard| -> Result<_, Failed> {
            let (key, value) = guard.into_inner()?;
            Ok((u64::from_be_bytes(key.as_ref().try_into()?), value.to_vec()))
        };
        self.log.iter().map(row).collect()
    }
}

struct RaftEngine(Engine);

#[derive(Clone)]
struct Numbered;

impl MessageExt for Numbered {
    type Entry = BytesValue;

    fn index(entry: &BytesValue) -> u64 {
        let number = entry.value.first_chunk().expect("written with its number in front");
        u64::from_le_bytes(*number)
    }
}

const REGION: u64 = 1;

impl RaftEngine {
    fn open(dir: &Path) -> Result<Self, Failed> {
        let config = Config {
            dir: dir.join("engine").to_string_lossy().into_owned(),
            recovery_mode: RecoveryMode::TolerateTailCorruption,
            target_file_size: ReadableSize::mb(4),
            purge_threshold: ReadableSize::mb(16),
            batch_compression_threshold: ReadableSize(0),
            recovery_threads: 1,
            ..Config::default()
        };
        Ok(Self(Engine::open(config)?))
    }
}

impl Store for RaftEngine {
    fn append(&mut self, first: u64, entries: &[Vec<u8>]) -> Result<(), Failed> {
        let mut batch = LogBatch::default();
        let numbered: Vec<_> = (first..)
            .zip(entries)
            .map(|(number, entry)| {
                let mut value = BytesValue::new();
                value.set_value([&number.to_le_bytes(), entry.as_slice()].concat());
                value
            })
            .collect();
        batch.add_entries::<Numbered>(REGION, &numbered)?;
        let last = first + entries.len() as u64 - 1;
        batch.put(REGION, b"state".to_vec(), last.to_le_bytes().to_vec())?;
        self.0.write(&mut batch, true)?;
        Ok(())
    }

    fn forget(&mut self, range: RangeInclusive<u64>) -> Result<(), Failed> {
        self.0.compact_to(REGION, range.end() + 1);
        self.0.purge_expired_files()?;
        Ok(())
    }

    fn read(&self) -> Result<Vec<(u64, Vec<u8>)>, Failed> {
        let (Some(first), Some(last)) = (self.0.first_index(REGION), self.0.last_index(REGION)) else {
            return Ok(Vec::new());
        };
        let mut entries = Vec::new();
        self.0.fetch_entries_to::<Numbered>(REGION, first, last + 1, None, &mut entries)?;
        Ok(entries.into_iter().map(|e| (Numbered::index(&e), e.value[8..].to_vec())).collect())
    }
}
