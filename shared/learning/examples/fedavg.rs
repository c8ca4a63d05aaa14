//! Measures training on the handwritten digits: how long an epoch takes on one thread, what centralised training
//! reaches, and what federated averaging reaches with five parties of unlike data.
//!
//! ```sh
//! cargo run --release -p rafty-learning --example fedavg -- examples/digits [cnn|mlp] [rounds] [seeds]
//! ```
//!
//! The mean of the updates is computed here as in algorithm 1 of McMahan et al. 2017; rafty itself does that in
//! `rafty-aggregation`.

use rafty_learning::{DataSet, Task, evaluate, initial_weights, split_dirichlet, train};
use std::time::Instant;

const TRAINING: usize = 8_000;
const PARTIES: usize = 5;
const ALPHA: f64 = 0.5;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let folder =
        arguments.next().ok_or("usage: fedavg DIGITS_FOLDER [cnn|mlp|TASK.toml] [rounds] [seeds]")?;
    let task = task(&arguments.next().unwrap_or_else(|| "cnn".into()))?;
    let rounds: u32 = arguments.next().map_or(Ok(20), |text| text.parse())?;
    let seeds: u64 = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let read = |name: &str| std::fs::read(std::path::Path::new(&folder).join(name));
    let digits = DataSet::from_idx(&read("digits-images.idx3.gz")?, &read("digits-labels.idx1.gz")?, &task)?;
    let everyone: Vec<usize> = (0..TRAINING).collect();
    let test = part(&digits, &(TRAINING..digits.len()).collect::<Vec<_>>(), &task)?;
    println!("{}: {} weights", task.name, task.num_params());
    let whole = Task { holdout_percent: 0, ..task.clone() };
    speed(&whole, &part(&digits, &everyone[..1_600], &whole)?)?;
    for epochs in [1, 3] {
        let task = Task { local_epochs: epochs, ..whole.clone() };
        let accuracies: Outcome<Vec<f64>> = (0..seeds)
            .map(|seed| {
                let data = part(&digits, &everyone, &task)?;
                let trained = train(&task, &initial_weights(&task, seed), &data, seed, &())?;
                accuracy(&task, &trained.weights, &test)
            })
            .collect();
        println!("centralised, {epochs} epochs: {}", percent(&accuracies?));
    }
    for seed in 0..seeds {
        let shares = split_dirichlet(&digits.labels()[..TRAINING], PARTIES, ALPHA, seed);
        let parties: Outcome<Vec<_>> = shares.iter().map(|share| part(&digits, share, &task)).collect();
        println!("federated, seed {seed}: {}", percent(&federate(&task, &parties?, &test, rounds, seed)?));
    }
    Ok(())
}

fn task(word: &str) -> Outcome<Task> {
    match word {
        "cnn" => Ok(Task::digits_cnn()),
        "mlp" => Ok(Task::digits_mlp()),
        file => Ok(Task::from_toml(&std::fs::read_to_string(file)?)?),
    }
}

/// Some of the digits as a device would have them: in a folder of its own.
fn part(digits: &DataSet, positions: &[usize], task: &Task) -> Outcome<DataSet> {
    let folder = tempfile::tempdir()?;
    digits.write_idx_folder(folder.path(), positions)?;
    Ok(DataSet::open(folder.path(), task)?)
}

fn speed(task: &Task, data: &DataSet) -> Outcome<()> {
    let base = initial_weights(task, 0);
    let mut times: Vec<_> = (0..5)
        .map(|seed| {
            let start = Instant::now();
            train(task, &base, data, seed, &()).map(|_| start.elapsed().as_millis())
        })
        .collect::<Result<_, _>>()?;
    times.sort_unstable();
    let start = Instant::now();
    evaluate(task, &base, data)?;
    let evaluation = start.elapsed().as_millis();
    println!(
        "an epoch of {} examples: {times:?} ms; evaluating them: {evaluation} ms",
        data.training().len()
    );
    Ok(())
}

fn federate(task: &Task, parties: &[DataSet], test: &DataSet, rounds: u32, seed: u64) -> Outcome<Vec<f64>> {
    let mut global = initial_weights(task, seed);
    let mut accuracies = Vec::new();
    for round in 0..rounds {
        let mut sum = vec![0.0f64; global.len()];
        let mut total = 0.0;
        for (party, data) in parties.iter().enumerate() {
            let seed = seed << 32 | u64::from(round) << 8 | party as u64;
            let trained = train(task, &global, data, seed, &())?;
            let weight = trained.num_examples as f64;
            sum.iter_mut().zip(&trained.weights).for_each(|(sum, w)| *sum += weight * f64::from(*w));
            total += weight;
        }
        global = sum.iter().map(|sum| (sum / total) as f32).collect();
        accuracies.push(accuracy(task, &global, test)?);
    }
    Ok(accuracies)
}

fn accuracy(task: &Task, weights: &[f32], test: &DataSet) -> Outcome<f64> {
    let metrics = evaluate(task, weights, test)?;
    Ok(metrics.correct as f64 / metrics.examples as f64)
}

fn percent(accuracies: &[f64]) -> String {
    accuracies.iter().map(|accuracy| format!("{:.1}", 100.0 * accuracy)).collect::<Vec<_>>().join(" ")
}
