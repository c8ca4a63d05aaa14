//! Models and updates on this member's disk.

use crate::work::WorkerContext;
use rafty_aggregation::Distance;
use rafty_learning::{Task, encode_model, initial_weights, read_weights, write_model};
use rafty_rounds::WorkResult;
use rafty_storage::{Blobs, PendingUpdate, replace_file};
use rafty_types::{Digest, DigestWriter, Refusal, RunId, RunSpec, Version};
use std::io::{self, Write};

/// The newest model, for people: replaced whole at every version.
pub const CURRENT_MODEL: &str = "current.safetensors";

pub(crate) fn derive_initial(context: &WorkerContext, spec: &RunSpec) -> WorkResult {
    let stored = (|| {
        let task = Task::from_toml(&spec.task).map_err(|error| error.to_string())?;
        let model = encode_model(&spec.task, task.layout(), &initial_weights(&task, spec.seed));
        context.models.put(&model).map_err(|error| error.to_string())
    })();
    match stored {
        Ok(digest) => WorkResult::Model { digest },
        Err(why) => WorkResult::Failed(why),
    }
}

/// Whether a stored blob is a model of the task, as this program writes it, and may come after `base`.
///
/// # Errors
/// What the disk says, or a task or base that cannot be read.
pub(crate) fn check_model(
    models: &Blobs,
    model: Digest,
    spec: &RunSpec,
    base: Option<Digest>,
) -> Result<Result<(), Refusal>, String> {
    let in_words = |error: &dyn std::fmt::Display| error.to_string();
    let task = Task::from_toml(&spec.task).map_err(|error| in_words(&error))?;
    let weights_of = |model| {
        let bytes = models.get(model).map_err(|error| in_words(&error))?;
        Ok::<_, String>(read_weights(&bytes, &task.layout()))
    };
    let weights = match weights_of(model)? {
        Ok(weights) => weights,
        Err(error) => return Ok(Err(error.refusal())),
    };
    let mut written = Digests::default();
    write_model(&spec.task, task.layout(), &weights, &mut written).map_err(|error| in_words(&error))?;
    if written.0.finish() != model {
        return Ok(Err(Refusal::Malformed));
    }
    let Some(base) = base else { return Ok(Ok(())) };
    let base = weights_of(base)?.map_err(|error| in_words(&error))?;
    let mut distance = Distance::default();
    base.iter().zip(&weights).for_each(|(base, weight)| distance.add(*base, *weight));
    Ok(distance.verdict())
}

/// Keeps of all that is written its digest.
#[derive(Default)]
struct Digests(DigestWriter);

impl Write for Digests {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes a model the newest one for people. The model's file is linked, not copied: cards wear.
pub(crate) fn adopt(context: &WorkerContext, run: RunId, version: Version, model: Digest) -> WorkResult {
    let note = serde_json::json!({ "run": run, "version": version, "digest": model.to_string() });
    let adopted = context
        .models
        .link(model, &context.dir.file(CURRENT_MODEL))
        .map_err(|error| error.to_string())
        .and_then(|()| {
            let bytes = note.to_string();
            replace_file(&context.dir.file("current.json"), bytes.as_bytes(), false)
                .map_err(|error| error.to_string())
        });
    match adopted {
        Ok(()) => WorkResult::Done,
        Err(why) => WorkResult::Failed(why),
    }
}

pub(crate) fn drop_models(context: &WorkerContext, models: &[Digest]) -> WorkResult {
    models
        .iter()
        .map(|model| context.models.remove(*model))
        .find_map(Result::err)
        .map_or(WorkResult::Done, failed)
}

pub(crate) fn drop_update(context: &WorkerContext, update: Digest) -> WorkResult {
    // The next update may have been trained meanwhile: its note stays.
    let noted = PendingUpdate::load(&context.dir).ok().flatten();
    let cleared = match noted.filter(|noted| noted.update == update) {
        Some(_) => PendingUpdate::clear(&context.dir),
        None => Ok(()),
    };
    cleared.and_then(|()| context.updates.remove(update)).map_or_else(failed, |()| WorkResult::Done)
}

fn failed(error: impl ToString) -> WorkResult {
    WorkResult::Failed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rafty_types::Strategy;

    const TASK: &str = r#"
name = "tiny"
input = [2]
classes = 2
loss = "cross_entropy"
optimiser = { adam = { lr = 0.01 } }
data = { format = "csv", label_column = 2 }
layers = [{ linear = { out = 3 } }, "relu", { linear = { out = 2 } }]
"#;

    #[test]
    fn what_nobody_could_train_from_is_no_model() {
        let folder = tempfile::tempdir().unwrap();
        let models = Blobs::open(folder.path()).unwrap();
        let task = |text: &str| RunSpec {
            name: "a run".into(),
            task: text.into(),
            rounds: 1,
            seed: 1,
            strategy: Strategy::FedAvg,
        };
        let spec = task(TASK);
        let parsed = Task::from_toml(TASK).unwrap();
        let weights = initial_weights(&parsed, 1);
        let encode = |weights: &[f32]| encode_model(TASK, parsed.layout(), weights);
        let check = |bytes: &[u8], spec: &RunSpec, base: Option<&[u8]>| {
            let base = base.map(|base| models.put(base).unwrap());
            check_model(&models, models.put(bytes).unwrap(), spec, base).unwrap()
        };
        let (good, next) = (encode(&weights), encode(&weights.iter().map(|w| w + 0.5).collect::<Vec<_>>()));
        assert_eq!(check(&good, &spec, None), Ok(()));
        assert_eq!(check(&next, &spec, Some(&good)), Ok(()));

        let with = |weight: f32| {
            let mut other = weights.clone();
            other[0] = weight;
            encode(&other)
        };
        assert_eq!(check(b"no model", &spec, None), Err(Refusal::Malformed));
        assert_eq!(check(&[&good[..], &[0; 4]].concat(), &spec, None), Err(Refusal::Malformed));
        assert_eq!(check(&with(f32::NAN), &spec, None), Err(Refusal::NotFinite));
        assert_eq!(check(&with(1e9), &spec, Some(&good)), Err(Refusal::OverNorm));
        let wider = task(&TASK.replace("out = 3", "out = 4"));
        assert_eq!(check(&good, &wider, None), Err(Refusal::WrongShape));
        let renamed = task(&format!("{TASK}# the same shape, another task"));
        assert_eq!(check(&good, &renamed, None), Err(Refusal::Malformed));
    }
}
