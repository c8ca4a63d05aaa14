//! `rafty model`: hands out what was learned.

use super::ask;
use rafty_agent::status::unexpected;
use rafty_agent::{Failure, output, place};
use rafty_runtime::operator::{Reply, Request};
use serde_json::json;
use std::path::Path;

/// Copies the newest model. The file is there whole or not at all.
pub(crate) fn export(dir: &Path, to: &Path, json: bool) -> Result<(), Failure> {
    place::text(to, "--to")?;
    let model = match ask(dir, &Request::Model)? {
        Reply::Model(model) => model,
        other => return Err(unexpected(&other)),
    };
    copy(&model.path, to).map_err(|error| {
        let why = "nothing was changed; try again, or another --to";
        Failure::failed(format!("cannot copy the model to {}: {error}; {why}", to.display()))
    })?;
    if json {
        let (run, version, digest) = (model.run, model.version, model.digest);
        output::json(json!({ "path": to, "run": run, "version": version, "digest": digest }))?;
    } else {
        output::note(format_args!(
            "version {} of run {} ({}) is in:",
            model.version,
            model.run,
            model.digest.short()
        ));
        output::line(to.display())?;
    }
    Ok(())
}

/// Copies beside its place and renames, so that nobody reads half a model.
pub(crate) fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut beside = tempfile::NamedTempFile::new_in(folder)?;
    std::io::copy(&mut std::fs::File::open(from)?, &mut beside)?;
    beside.as_file().sync_all()?;
    beside.persist(to)?;
    Ok(())
}
