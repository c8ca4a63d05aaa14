//! A device program with a model of one's own: a straight line through points, fitted by least squares instead of by
//! gradients. Everything else (joining, voting, sealing, aggregating) is rafty-agent's.

use rafty_agent::run_with;
use rafty_learning::TrainControl;
use rafty_runtime::{Contribution, HeldUp, Trainer};
use rafty_types::{Metrics, RestCause, RunSpec};
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    run_with(std::env::args_os(), |points| Box::new(Line(points)))
}

/// The line y = slope · x + height through the points in a file, `x,y` on each line.
struct Line(PathBuf);

impl Trainer for Line {
    fn train(
        &mut self,
        _: &RunSpec,
        base: &[f32],
        _: &dyn TrainControl,
    ) -> Result<Option<Contribution>, HeldUp> {
        let text = std::fs::read_to_string(&self.0).map_err(|error| HeldUp::by(RestCause::Data, error))?;
        let points: Vec<(f64, f64)> = text.lines().filter_map(point).collect();
        let Some((slope, height)) = fitted(&points) else { return Ok(None) };
        if base.len() != 2 {
            return Err(format!(
                "the task has {} weights, a line has 2; submit task.toml of this example",
                base.len()
            )
            .into());
        }
        let weights = vec![slope as f32, height as f32];
        Ok(Some(Contribution { weights, num_examples: points.len() as u64, metrics: Metrics::default() }))
    }
}

fn point(line: &str) -> Option<(f64, f64)> {
    let (x, y) = line.split_once(',')?;
    Some((x.trim().parse().ok()?, y.trim().parse().ok()?))
}

/// Least squares; none for points that lie above each other.
fn fitted(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let spread: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    let slope = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum::<f64>() / spread;
    slope.is_finite().then_some((slope, y - slope * x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_task_has_the_weights_of_a_line() {
        let task = rafty_learning::Task::from_toml(include_str!("../task.toml")).unwrap();
        assert_eq!(task.num_params(), 2);
    }

    #[test]
    fn a_line_is_fitted_and_weighted_by_its_points() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "x,y\n0,1\n1,3\n2,5\n\n3,").unwrap();
        let spec = RunSpec {
            name: "line".into(),
            task: String::new(),
            rounds: 1,
            seed: 0,
            strategy: rafty_types::Strategy::FedAvg,
        };
        let trained = Line(file.path().into()).train(&spec, &[0.0, 0.0], &()).unwrap().unwrap();
        assert_eq!((trained.weights, trained.num_examples), (vec![2.0, 1.0], 3));
        assert!(Line(file.path().into()).train(&spec, &[0.0], &()).is_err());
        std::fs::write(file.path(), "1,1\n1,2\n").unwrap();
        assert!(Line(file.path().into()).train(&spec, &[0.0, 0.0], &()).unwrap().is_none());
    }
}
