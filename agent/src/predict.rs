//! What the newest model says of a file. Needs no running member and no network.

use crate::{Failure, output};
use rafty_learning::{Loss, Task, predict, read_model, read_samples};
use serde_json::json;
use std::path::Path;

/// The newest model in a member's directory.
pub(crate) const NEWEST: &str = "current.safetensors";

/// Prints a line for each example of `file`: its position, its class and how sure the model is; or the numbers that it
/// tells.
pub(crate) fn predictions(model: &Path, file: &Path, as_json: bool) -> Result<(), Failure> {
    let bytes = std::fs::read(model).map_err(|error| {
        let hint = "nothing was changed; a member has a model after the first round it saw, or give --model";
        Failure::failed(format!("the model {} cannot be read: {error}; {hint}", model.display()))
    })?;
    let (task, weights) = read_model(&bytes)?;
    let mut lines = Vec::new();
    for (position, sample) in read_samples(file, &task)?.iter().enumerate() {
        lines.push(prediction(&task, position, &predict(&task, &weights, sample)?, as_json));
    }
    if as_json { output::json(lines.join("\n")) } else { output::lines(lines) }
}

fn prediction(task: &Task, position: usize, told: &[f32], as_json: bool) -> String {
    match task.loss {
        Loss::CrossEntropy => class(task, position, told, as_json),
        Loss::MeanSquaredError if as_json => json!({ "example": position, "outputs": told }).to_string(),
        Loss::MeanSquaredError => {
            let told: Vec<String> = told.iter().map(ToString::to_string).collect();
            format!("{position}\t{}", told.join("\t"))
        }
    }
}

fn class(task: &Task, position: usize, chances: &[f32], as_json: bool) -> String {
    let best = chances.iter().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b));
    let (class, chance) = best.map_or((0, 0.0), |(class, chance)| (class, *chance));
    let name = task.class_name(class);
    if as_json {
        return json!({"example": position, "class": class, "name": name, "chances": chances}).to_string();
    }
    format!("{position}\t{name}\t{:.1} %", chance * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regression_tells_its_numbers_and_a_classifier_its_class() {
        let line = Task::from_toml(
            "name = 'line'\ninput = [1]\noutputs = 2\ntolerance = 0.5\nloss = 'mean_squared_error'\n\
             layers = [{ linear = { out = 2 } }]\noptimiser = { sgd = { lr = 0.1 } }\n\
             data = { format = 'csv', target_columns = [1, 2] }\n",
        )
        .unwrap();
        assert_eq!(prediction(&line, 3, &[1.5, -2.0], false), "3\t1.5\t-2");
        assert_eq!(prediction(&line, 3, &[1.5, -2.0], true), r#"{"example":3,"outputs":[1.5,-2.0]}"#);
        let digits = Task::digits_mlp();
        let mut chances = [0.0; 10];
        chances[7] = 0.75;
        assert_eq!(prediction(&digits, 0, &chances, false), "0\t7\t75.0 %");
    }
}
