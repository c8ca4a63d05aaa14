//! Whether the data can be read, fits to the task, and the task to the memory.

use super::Finding;
use crate::device::Device;
use crate::limits::Limits;
use crate::predict::NEWEST;
use crate::settings::Settings;
use rafty_learning::{DataSet, Task, read_model};
use rafty_runtime::MemberFile;
use std::path::{Path, PathBuf};

pub(super) fn findings(dir: &Path, settings: &Settings, task: Option<&Path>) -> Vec<Finding> {
    let mut findings = vec![limits(settings)];
    let stored = MemberFile::read(dir).ok().and_then(|member| member.data);
    let Some(data) = settings.data.clone().or(stored) else {
        let fix = "set `data`, or go without: the device then votes and aggregates, and does not train";
        findings.push(Finding::warning("data", "none is set", fix));
        return findings;
    };
    if let Err(error) = std::fs::metadata(&data) {
        let found = format!("{}: {error}", data.display());
        findings.push(Finding::problem("data", found, "put the data there, or set `data` to where it is"));
        return findings;
    }
    match the_task(dir, task) {
        Ok(Some(task)) => findings.extend(held_against(&task, &data, settings)),
        Ok(None) => findings.push(proposed(&data)),
        Err(finding) => findings.push(finding),
    }
    findings
}

fn limits(settings: &Settings) -> Finding {
    match Limits::from(settings).forbid(&Device::default()) {
        None => Finding::ok("training", "allowed now"),
        Some(why) => {
            Finding::warning("training", format!("not allowed now: {why}"), "change train_when, or wait")
        }
    }
}

/// The one in `file`, or else that of the newest model here, if there is one.
fn the_task(dir: &Path, file: Option<&Path>) -> Result<Option<Task>, Finding> {
    if let Some(file) = file {
        let text = std::fs::read_to_string(file).map_err(|error| error.to_string());
        let task = text.and_then(|text| Task::from_toml(&text).map_err(|error| error.to_string()));
        return task
            .map(Some)
            .map_err(|why| Finding::problem("task", format!("{}: {why}", file.display()), "mend it"));
    }
    let newest: PathBuf = dir.join(NEWEST);
    let Ok(bytes) = std::fs::read(&newest) else { return Ok(None) };
    read_model(&bytes).map(|(task, _)| Some(task)).map_err(|error| {
        Finding::problem(
            "task",
            format!("{}: {error}", newest.display()),
            "it is fetched again in the next round",
        )
    })
}

fn held_against(task: &Task, data: &Path, settings: &Settings) -> Vec<Finding> {
    let set = match DataSet::open(data, task) {
        Ok(set) => set,
        Err(error) => {
            let fix = format!("put data for the task `{}` there, or set `data` to where it is", task.name);
            return vec![Finding::problem("data", error.to_string(), fix)];
        }
    };
    let report = set.report();
    let found = format!("for `{}`: {report}; {} held out", task.name, set.holdout().len());
    let data = match (set.is_empty(), report.refused) {
        (true, _) => Finding::warning("data", found, format!("put examples into {}", data.display())),
        (false, 1..) => Finding::warning("data", found, "mend what is refused; the rest is trained on"),
        (false, 0) => Finding::ok("data", found),
    };
    vec![data, memory(task, settings)]
}

fn memory(task: &Task, settings: &Settings) -> Finding {
    let needed = task.training_bytes();
    match Limits::from(settings).too_large(needed, &Device::default()) {
        Some(why) => Finding::problem(
            "memory",
            why,
            "the device takes no part in rounds of this task; submit one with a smaller batch_size or fewer weights",
        ),
        None => Finding::ok("memory", format!("training needs about {} MB", needed.div_ceil(1_000_000))),
    }
}

/// Without a task, only whether one could be made for it.
fn proposed(data: &Path) -> Finding {
    match Task::for_data(data) {
        Ok(task) => {
            let found = format!(
                "{} holds examples of shape {:?} in {} classes",
                data.display(),
                task.input,
                task.classes
            );
            Finding::ok("data", found)
        }
        Err(error) => Finding::warning(
            "data",
            format!("there is no task yet, and {error}"),
            "check it again with --task FILE, or when a run has begun",
        ),
    }
}
