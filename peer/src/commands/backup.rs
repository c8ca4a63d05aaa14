//! `rafty backup` and `rafty restore`: all that a peer set holds but identities, in one file, and a new set from it.

use super::ask;
use rafty_agent::status::unexpected;
use rafty_agent::{Failure, joining, member, output, place};
use rafty_dictionary::{Entries, Replicated};
use rafty_runtime::operator::{Reply, Request};
use rafty_runtime::restore::{Restorable, RestoreBackupError, Restoring};
use rafty_storage::{Blobs, write_backup};
use rafty_types::Digest;
use serde_json::json;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// What an operator says to a backup.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct BackupArgs {
    /// The file; an older one of that name is replaced when the new one is whole
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// What this member has, even when no leader can say that it is the newest
    #[arg(long)]
    stale: bool,
}

/// What an operator says to a restore.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RestoreArgs {
    /// The file that `backup` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// A name for the new peer set [default: that of the old one]
    #[arg(long)]
    name: Option<String>,
    /// The UDP address to listen on [default: port 7400 on all addresses]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// Where others reach this member, when that is not where it listens
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<String>,
}

/// Writes dictionary, roster, runs and models to a file. No key and no token is in it.
pub(crate) fn backup(dir: &Path, args: &BackupArgs, json: bool) -> Result<(), Failure> {
    let to = place::absolute(&args.to, "--to")?;
    let ready = match ask(dir, &Request::Backup { stale: args.stale })? {
        Reply::Backup(ready) => ready,
        other => return Err(unexpected(&other)),
    };
    let failed = |error: &dyn std::fmt::Display| {
        Failure::failed(format!(
            "no backup was written: {error}; a file that was at {} is as it was",
            to.display()
        ))
    };
    let state = std::fs::read(&ready.state).map_err(|error| failed(&error))?;
    let _ = std::fs::remove_file(&ready.state);
    let blobs = Blobs::open(&ready.models).map_err(|error| failed(&error))?;
    let named = Replicated::<Entries>::models_in(&state).map_err(|error| failed(&error))?;
    if let Some(current) = named.current.filter(|current| !blobs.contains(*current)) {
        return Err(failed(&format_args!(
            "this member does not hold the current model {current} yet; back up on another member, or wait until \
             `rafty model export` works here"
        )));
    }
    let (held, missing): (Vec<Digest>, Vec<Digest>) =
        named.all.into_iter().partition(|model| blobs.contains(*model));
    let bytes = write_backup(&to, &state, &held, &blobs).map_err(|error| failed(&error))?;
    if json {
        return output::json(json!({
            "file": to, "index": ready.index, "bytes": bytes, "models": held.len(), "missing_models": missing,
        }));
    }
    output::note(format_args!(
        "{}: everything up to entry {}, {} models, {bytes} bytes; it holds the whole dictionary unencrypted",
        to.display(),
        ready.index,
        held.len()
    ));
    if !missing.is_empty() {
        output::note(format_args!(
            "{} older models are on other members only, and not in it: the new set cannot be rolled back to them",
            missing.len()
        ));
    }
    Ok(())
}

/// Founds a new peer set with what a backup holds.
pub(crate) fn restore(dir: PathBuf, args: &RestoreArgs, json: bool) -> Result<(), Failure> {
    let advertise = place::advertised(args.advertise.as_deref())?;
    let found = Restorable::open(&args.file).map_err(not_restored)?;
    let (preview, entries) = (found.preview(), found.user().iter().len());
    joining::listen_for_signals()?;
    let (name, listen) = (args.name.clone(), args.listen.unwrap_or_else(place::listen));
    let member =
        found.restore(&Restoring { dir: dir.clone(), name, listen, advertise }).map_err(not_restored)?;
    output::note(format_args!(
        "restored from entry {} of `{}`: {entries} entries of the dictionary, {} runs, {} models; its {} members are in no \
         backup and join anew",
        preview.index,
        preview.name,
        preview.runs.len(),
        preview.models,
        preview.members.len()
    ));
    member::welcome(&member, &dir, json, "rafty up")
}

fn not_restored(error: RestoreBackupError) -> Failure {
    match error {
        RestoreBackupError::Setup(error) => error.into(),
        other => Failure::failed(other),
    }
}
