//! What the newest model says of a file. Needs no running member and no network.

use crate::Failure;
use rafty_learning::{Task, predict, read_model, read_samples};
use serde_json::json;
use std::fmt::Write;
use std::path::Path;

/// The newest model in a member's directory.
pub(crate) const NEWEST: &str = "current.safetensors";

/// One line for each example of `file`: its position, its class and how sure the model is.
pub(crate) fn predictions(model: &Path, file: &Path, as_json: bool) -> Result<String, Failure> {
    let bytes = std::fs::read(model).map_err(|error| {
        let hint = "nothing was changed; a member has a model after the first round it saw, or give --model";
        Failure::failed(format!("the model {} cannot be read: {error}; {hint}", model.display()))
    })?;
    let (task, weights) = read_model(&bytes)?;
    let mut text = String::new();
    for (position, sample) in read_samples(file, &task)?.iter().enumerate() {
        let line = prediction(&task, position, &predict(&task, &weights, sample)?, as_json);
        writeln!(text, "{line}").expect("a string takes any text");
    }
    Ok(text)
}

fn prediction(task: &Task, position: usize, chances: &[f32], as_json: bool) -> String {
    let best = chances.iter().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b));
    let (class, chance) = best.map_or((0, 0.0), |(class, chance)| (class, *chance));
    let name = task.class_name(class);
    if as_json {
        return json!({"example": position, "class": class, "name": name, "chances": chances}).to_string();
    }
    format!("{position}\t{name}\t{:.1} %", chance * 100.0)
}
