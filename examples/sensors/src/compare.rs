//! Federated learning against what each person could learn alone, and against handing everything over.
//!
//! Every pair of people is kept apart once, and the other eight learn. The mean of the updates is that of algorithm 1 of
//! McMahan et al. 2017, as rafty's aggregators compute it; what is left out here are only peers and envelopes.

use crate::{Outcome, percent, plot, watch};
use rafty_learning::{DataSet, Task, evaluate, initial_weights, train};
use std::io::IsTerminal;
use std::path::Path;

/// Who is kept apart together.
const PAIRS: [[u32; 2]; 5] = [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]];
const ROUNDS: usize = 20;

/// Accuracy on people who were never recorded, in percent, after each round; the mean over all pairs.
#[derive(Default)]
pub(crate) struct Curves {
    pub(crate) federated: Vec<f64>,
    pub(crate) alone: Vec<f64>,
    pub(crate) pooled: Vec<f64>,
}

pub(crate) fn run(picture: Option<&Path>) -> Outcome<()> {
    let task = Task::from_toml(include_str!("../task.toml"))?;
    let folder = tempfile::tempdir()?;
    let recordings = watch::recordings()?;
    for subject in watch::SUBJECTS {
        watch::write(&recordings, subject, &folder.path().join(subject.to_string()))?;
    }
    println!("apart    federated    alone (mean of 8)    pooled");
    let mut all = Vec::new();
    for apart in PAIRS {
        let curves = keep_apart(&task, folder.path(), apart)?;
        let last = |curve: &[f64]| curve.last().copied().unwrap_or_default();
        let [a, b] = apart;
        println!(
            "{a:>2}, {b:>2}   {:>7.1} %   {:>15.1} %   {:>7.1} %",
            last(&curves.federated),
            last(&curves.alone),
            last(&curves.pooled)
        );
        all.push(curves);
    }
    let mean = Curves {
        federated: mean_of(all.iter().map(|curves| &curves.federated[..])),
        alone: mean_of(all.iter().map(|curves| &curves.alone[..])),
        pooled: mean_of(all.iter().map(|curves| &curves.pooled[..])),
    };
    let at_end = [&mean.federated, &mean.alone, &mean.pooled].map(|curve| curve[ROUNDS - 1]);
    println!("mean     {:>7.1} %   {:>15.1} %   {:>7.1} %", at_end[0], at_end[1], at_end[2]);
    picture.map_or(Ok(()), |file| plot::draw(&mean, file))
}

fn keep_apart(task: &Task, folder: &Path, apart: [u32; 2]) -> Outcome<Curves> {
    let of = |subject: u32| DataSet::open(&folder.join(subject.to_string()), task);
    let unseen = apart.iter().map(|subject| of(*subject)).collect::<Result<Vec<_>, _>>()?;
    let learners = watch::SUBJECTS.filter(|subject| !apart.contains(subject));
    let learners = learners.map(of).collect::<Result<Vec<_>, _>>()?;
    let everything = tempfile::tempdir()?;
    for subject in watch::SUBJECTS.filter(|subject| !apart.contains(subject)) {
        link_all(&folder.join(subject.to_string()), everything.path())?;
    }
    let pool = DataSet::open(everything.path(), task)?;
    let seed = u64::from(apart[0]);
    let base = initial_weights(task, seed);
    let mut curves = Curves::default();
    let (mut federated, mut pooled) = (base.clone(), base.clone());
    let mut alone = vec![base; learners.len()];
    for round in 0..ROUNDS as u64 {
        let trained = learners.iter().map(|data| train(task, &federated, data, seed + round, &()));
        let trained: Vec<_> = trained.collect::<Result<_, _>>()?;
        federated = weighted_mean(trained.iter().map(|one| (&one.weights[..], one.num_examples as f64)));
        pooled = train(task, &pooled, &pool, seed + round, &())?.weights;
        for (weights, data) in alone.iter_mut().zip(&learners) {
            *weights = train(task, weights, data, seed + round, &())?.weights;
        }
        curves.federated.push(accuracy(task, &federated, &unseen)?);
        curves.pooled.push(accuracy(task, &pooled, &unseen)?);
        let each = alone.iter().map(|weights| accuracy(task, weights, &unseen));
        let each: Vec<f64> = each.collect::<Outcome<_>>()?;
        curves.alone.push(each.iter().sum::<f64>() / each.len() as f64);
        if std::io::stderr().is_terminal() {
            eprint!("\rpeople {apart:?} apart: round {} of {ROUNDS} ", round + 1);
        }
    }
    Ok(curves)
}

fn link_all(from: &Path, to: &Path) -> Outcome<()> {
    for file in std::fs::read_dir(from)? {
        let file = file?;
        std::fs::hard_link(file.path(), to.join(file.file_name()))?;
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

fn weighted_mean<'a>(updates: impl Iterator<Item = (&'a [f32], f64)>) -> Vec<f32> {
    let (mut sum, mut total) = (Vec::new(), 0.0);
    for (weights, count) in updates {
        sum.resize(weights.len(), 0.0);
        sum.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += count * f64::from(*weight));
        total += count;
    }
    sum.into_iter().map(|weight| (weight / total) as f32).collect()
}

fn mean_of<'a>(curves: impl Iterator<Item = &'a [f64]> + Clone) -> Vec<f64> {
    let count = curves.clone().count() as f64;
    (0..ROUNDS).map(|round| curves.clone().map(|curve| curve[round]).sum::<f64>() / count).collect()
}
