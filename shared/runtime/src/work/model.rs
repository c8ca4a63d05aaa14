//! Models and updates on this member's disk.

use crate::work::Bench;
use rafty_learning::{Task, encode_model, initial_weights};
use rafty_rounds::WorkResult;
use rafty_storage::{PendingUpdate, replace_file};
use rafty_types::{Digest, RunId, RunSpec, Version};

/// The newest model, for people: replaced whole at every version.
pub const CURRENT_MODEL: &str = "current.safetensors";

pub(crate) fn derive_initial(bench: &Bench, spec: &RunSpec) -> WorkResult {
    let stored = (|| {
        let task = Task::from_toml(&spec.task).map_err(|error| error.to_string())?;
        let model = encode_model(&spec.task, task.layout(), &initial_weights(&task, spec.seed));
        bench.models.put(&model).map_err(|error| error.to_string())
    })();
    match stored {
        Ok(digest) => WorkResult::Model { digest },
        Err(why) => WorkResult::Failed(why),
    }
}

/// Makes a model the newest one for people. The model's file is linked, not copied: cards wear.
pub(crate) fn adopt(bench: &Bench, run: RunId, version: Version, model: Digest) -> WorkResult {
    let note = serde_json::json!({ "run": run, "version": version, "digest": model.to_string() });
    let adopted =
        bench.models.link(model, &bench.dir.file(CURRENT_MODEL)).map_err(|error| error.to_string()).and_then(
            |()| {
                let bytes = note.to_string();
                replace_file(&bench.dir.file("current.json"), bytes.as_bytes(), false)
                    .map_err(|error| error.to_string())
            },
        );
    match adopted {
        Ok(()) => WorkResult::Done,
        Err(why) => WorkResult::Failed(why),
    }
}

pub(crate) fn drop_models(bench: &Bench, models: &[Digest]) -> WorkResult {
    models
        .iter()
        .map(|model| bench.models.remove(*model))
        .find_map(Result::err)
        .map_or(WorkResult::Done, failed)
}

pub(crate) fn drop_update(bench: &Bench, update: Digest) -> WorkResult {
    // The next update may have been trained meanwhile: its note stays.
    let noted = PendingUpdate::load(&bench.dir).ok().flatten();
    let cleared = match noted.filter(|noted| noted.update == update) {
        Some(_) => PendingUpdate::clear(&bench.dir),
        None => Ok(()),
    };
    cleared.and_then(|()| bench.updates.remove(update)).map_or_else(failed, |()| WorkResult::Done)
}

fn failed(error: impl ToString) -> WorkResult {
    WorkResult::Failed(error.to_string())
}
