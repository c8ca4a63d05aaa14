//! What a member keeps on disk.
//!
//! - [`DataDir`]: its directory, private and locked for the life of the process.
//! - [`Log`]: Raft's hard state, entries and snapshot; what [`Log::write`] was given is durable when it returns.
//! - [`Blobs`]: model versions and updates by digest; verified whenever they are read.
//! - [`Spool`]: envelopes on their way, bounded, gone at the next start.
//! - [`Backup`]: a state and its models in one file, checked before any of it is believed.
//! - [`PendingUpdate`]: what this member trained and has not seen published yet.
//!
//! Two rules hold everywhere. Damage is told apart from absence and is never read as data: every byte that is
//! handed out was checked against a checksum. And a file is either the old one or the new one, whole: it is written
//! under a temporary name, synced, renamed, and the directory synced.
//!
//! All of it blocks; the shell calls it on threads of its own. Nothing here knows what entries mean, encrypts,
//! talks to the network, or retries: a failed sync is reported, and its log refuses to go on.

mod acknowledged;
mod backup;
mod blobs;
mod bounds;
mod data_dir;
mod disk;
mod log;
mod origin;
mod pending;
mod record;
mod snapshot_file;
mod spool;
mod store;

pub use backup::{Backup, BackupError, write_backup};
pub use blobs::{BlobError, BlobReader, BlobWriter, Blobs, MAX_BLOB_LEN};
pub use bounds::Misuse;
pub use data_dir::{DataDir, DataDirError};
pub use disk::{DiskError, replace_file, replace_file_by};
pub use log::{Log, OpenError, Recovered, Standing, WriteError};
pub use origin::Origin;
pub use pending::{PendingError, PendingUpdate};
pub use spool::{MAX_SPOOL_BYTES, MAX_SPOOL_FILES, Spool, SpoolError, SpoolFile, SpoolHandle};
