//! Federated learning against what each device could learn alone, and against handing everything over.
//!
//! What devices have is in a folder of each, and what is kept apart from all of them is scored. The mean of the updates
//! is that of algorithm 1 of McMahan et al. 2017, as rafty's aggregators compute it; what is left out here are only
//! peers and envelopes.

mod plot;

pub use plot::Words;

use rafty_learning::{DataSet, Task, evaluate, initial_weights, read_model, train};
use rafty_types::Metrics;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What an example answers with.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Who learns, and who is kept apart: folders of data.
pub struct Parties {
    /// One for each device.
    pub devices: Vec<PathBuf>,
    /// Accuracy is the mean over these; no device has any of them.
    pub unseen: Vec<PathBuf>,
}

/// Accuracy on what no device has, in percent, after each round.
#[derive(Default)]
pub struct Curves {
    /// All devices, each keeping its data.
    pub federated: Vec<f64>,
    /// Each device by itself, with as many epochs; the mean of them.
    pub alone: Vec<f64>,
    /// One that has the data of all, with as many epochs.
    pub pooled: Vec<f64>,
}

impl Parties {
    /// Trains for so many rounds in all three ways, from the same first weights. `name` is said while it runs.
    ///
    /// # Errors
    /// Data that cannot be read or does not fit the task.
    pub fn compare(&self, name: &str, task: &Task, rounds: usize, seed: u64) -> Outcome<Curves> {
        let open = |folder: &PathBuf| DataSet::open(folder, task);
        let unseen = self.unseen.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        let devices = self.devices.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        let everything = tempfile::tempdir()?;
        self.devices.iter().try_for_each(|device| link_all(device, everything.path()))?;
        let pool = DataSet::open(everything.path(), task)?;
        let base = initial_weights(task, seed);
        let mut curves = Curves::default();
        let (mut federated, mut pooled) = (base.clone(), base.clone());
        let mut alone = vec![base; devices.len()];
        for round in 0..rounds as u64 {
            let trained = devices.iter().map(|data| train(task, &federated, data, seed + round, &()));
            let trained: Vec<_> = trained.collect::<Result<_, _>>()?;
            federated = weighted_mean(trained.iter().map(|one| (&one.weights[..], one.num_examples as f64)));
            pooled = train(task, &pooled, &pool, seed + round, &())?.weights;
            for (weights, data) in alone.iter_mut().zip(&devices) {
                *weights = train(task, weights, data, seed + round, &())?.weights;
            }
            curves.federated.push(accuracy(task, &federated, &unseen)?);
            curves.pooled.push(accuracy(task, &pooled, &unseen)?);
            let each = alone.iter().map(|weights| accuracy(task, weights, &unseen));
            let each: Vec<f64> = each.collect::<Outcome<_>>()?;
            curves.alone.push(each.iter().sum::<f64>() / each.len() as f64);
            if std::io::stderr().is_terminal() {
                eprint!("\r{name}: round {} of {rounds} ", round + 1);
            }
        }
        Ok(curves)
    }
}

/// Prints a line for each comparison as soon as it is done and one for their mean, and draws that into `picture`. `first` is
/// what the names of the comparisons are called.
///
/// # Errors
/// Those of the comparisons; a file that cannot be written.
pub fn report(
    first: &str,
    comparisons: impl Iterator<Item = Outcome<(String, Curves)>>,
    words: &Words<'_>,
    picture: Option<&Path>,
) -> Outcome<()> {
    println!("{first:<8} federated   alone (mean)   pooled");
    let mut all = Vec::new();
    for compared in comparisons {
        let (name, curves) = compared?;
        println!("{}", curves.row(&name));
        all.push(curves);
    }
    let mean = Curves::mean(&all);
    println!("{}", mean.row("mean"));
    picture.map_or(Ok(()), |file| plot::draw(&mean, words, file))
}

impl Curves {
    /// The mean of several, which have as many rounds.
    fn mean(all: &[Self]) -> Self {
        let of = |curve: fn(&Self) -> &[f64]| {
            let rounds = all.iter().map(|curves| curve(curves).len()).min().unwrap_or_default();
            let at = |round| all.iter().map(|curves| curve(curves)[round]).sum::<f64>() / all.len() as f64;
            (0..rounds).map(at).collect()
        };
        Self {
            federated: of(|curves| &curves.federated),
            alone: of(|curves| &curves.alone),
            pooled: of(|curves| &curves.pooled),
        }
    }

    /// What all three have reached at the end.
    fn row(&self, name: &str) -> String {
        let last = |curve: &[f64]| curve.last().copied().unwrap_or_default();
        let (federated, alone, pooled) = (last(&self.federated), last(&self.alone), last(&self.pooled));
        format!("{name:<8} {federated:>7.1} %   {alone:>10.1} %  {pooled:>5.1} %")
    }
}

/// Scores the model that `rafty model export` wrote on the data in a folder, and prints that in one line; `unit` is what
/// an example of it is called.
///
/// # Errors
/// A file that is no model, data that cannot be read.
pub fn score(model: &Path, folder: &Path, unit: &str) -> Outcome<()> {
    let (task, weights) = read_model(&std::fs::read(model)?)?;
    let data = DataSet::open(folder, &task)?;
    let measured = evaluate(&task, &weights, &data)?;
    println!("{:.1} % of {} {unit}", percent(&measured), measured.examples);
    Ok(())
}

/// How an example ends: with what went wrong on stderr.
pub fn end(done: Outcome<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Files and folders below `from`, under the same names below `to`.
fn link_all(from: &Path, to: &Path) -> Outcome<()> {
    for file in std::fs::read_dir(from)? {
        let file = file?;
        let place = to.join(file.file_name());
        if file.file_type()?.is_dir() {
            std::fs::create_dir_all(&place)?;
            link_all(&file.path(), &place)?;
        } else {
            std::fs::hard_link(file.path(), place)?;
        }
    }
    Ok(())
}

fn accuracy(task: &Task, weights: &[f32], unseen: &[DataSet]) -> Outcome<f64> {
    let mut sum = 0.0;
    for data in unseen {
        sum += percent(&evaluate(task, weights, data)?);
    }
    Ok(sum / unseen.len() as f64)
}

/// The share that was told right.
fn percent(measured: &Metrics) -> f64 {
    100.0 * measured.correct as f64 / measured.examples.max(1) as f64
}

fn weighted_mean<'a>(updates: impl Iterator<Item = (&'a [f32], f64)>) -> Vec<f32> {
    let (mut sum, mut total) = (Vec::new(), 0.0);
    for (weights, count) in updates {
        sum.resize(weights.len(), 0.0);
        sum.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += count * f64::from(*weight));
        total += count;
    }
    sum.into_iter().map(|weight| (weight / total) as f32).collect()
}
