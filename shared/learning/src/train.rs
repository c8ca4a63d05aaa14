//! Training, measuring and predicting with flat weights.
//!
//! What it does not do: keep anything between two calls. An error leaves nothing changed.

use crate::data::{Scale, Targets};
use crate::network::{Batch, Descent, Network};
use crate::random::Random;
use crate::{DataSet, Loss, Task};
use rafty_types::Metrics;

/// Millionths of loss that a single example counts at most: an exploded model has a finite measure too.
const MAX_LOSS_MICROS: f64 = 1e12;

/// What training tells and asks while it runs, after each batch.
pub trait TrainControl {
    /// `done` of `total` examples have been trained on, all epochs together: none while the holdout is measured.
    fn progress(&self, done: u64, total: u64);
    /// Whether to stop now.
    fn cancelled(&self) -> bool;
}

/// Nobody listens, nobody stops it.
impl TrainControl for () {
    fn progress(&self, _: u64, _: u64) {}
    fn cancelled(&self) -> bool {
        false
    }
}

/// What training gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// The new weights, in the task's layout.
    pub weights: Vec<f32>,
    /// How many examples they were trained on.
    pub num_examples: u64,
    /// Mean loss of the last epoch, in millionths.
    pub train_loss_micros: u64,
    /// How good the *base* weights are on the local holdout, and `train_loss_micros` again.
    pub holdout: Metrics,
}

/// Nothing was trained or measured; nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrainError {
    /// Another number of weights than the task has.
    #[error("the model has {found} weights, but the task has {expected}; use the model of this task")]
    WrongLength {
        /// The task's.
        expected: usize,
        /// What was given.
        found: usize,
    },
    /// Another number of values than one example has.
    #[error("the example has {found} values, but one of the task has {expected}")]
    WrongExample {
        /// The task's.
        expected: usize,
        /// What was given.
        found: usize,
    },
    /// The examples are not of the task's shape or classes.
    #[error("the examples were read for another task; read them again for this one")]
    WrongData,
    /// There is nothing to train on.
    #[error("there are no examples to train on; put some into the data folder")]
    NoExamples,
    /// A weight or loss is NaN or infinite.
    #[error(
        "{0} is not a finite number, so training was given up; use a smaller learning rate or check the scale of the data"
    )]
    NotFinite(String),
    /// [`TrainControl::cancelled`] said so.
    #[error("training was cancelled")]
    Cancelled,
}

/// Measures `base` on the local holdout, then trains it for the task's local epochs on the other examples.
///
/// Runs on the calling thread. The same arguments give the same weights on one machine.
///
/// # Errors
/// Wrong lengths, no examples, a loss that is not finite, or cancelled: see [`TrainError`].
pub fn train(
    task: &Task,
    base: &[f32],
    data: &DataSet,
    seed: u64,
    control: &dyn TrainControl,
) -> Result<Trained, TrainError> {
    let mut network = network(task, base)?;
    let source = Source::new(task, data)?;
    if data.training().is_empty() {
        return Err(TrainError::NoExamples);
    }
    let mut order = data.training().to_vec();
    let total = order.len() as u64 * u64::from(task.local_epochs);
    let mut holdout = measure(task, &network, &source, data.holdout(), || {
        control.progress(0, total);
        control.cancelled()
    })?;
    let mut descent = Descent::new(task);
    let mut done = 0;
    let mut loss = 0.0;
    for epoch in 1..=task.local_epochs {
        let mut random = Random::new(seed, u64::from(epoch));
        random.shuffle(&mut order);
        let mut sum = 0.0;
        for positions in order.chunks(task.batch_size) {
            if control.cancelled() {
                return Err(TrainError::Cancelled);
            }
            let batch_loss = network.step(&source.batch(positions), &mut descent, &mut random);
            if !batch_loss.is_finite() {
                return Err(TrainError::NotFinite(format!("the loss in epoch {epoch}")));
            }
            sum += f64::from(batch_loss) * positions.len() as f64;
            done += positions.len() as u64;
            control.progress(done, total);
        }
        loss = sum / order.len() as f64;
    }
    let weights = network.weights();
    check_finite("a weight after training", &weights)?;
    holdout.train_loss_micros = micros(loss);
    let num_examples = order.len() as u64;
    Ok(Trained { weights, num_examples, train_loss_micros: holdout.train_loss_micros, holdout })
}

/// Measures `weights` on all examples of `data`, held out or not. No examples give no measure.
///
/// # Errors
/// [`TrainError::WrongLength`], [`TrainError::WrongData`], or a weight that is [`TrainError::NotFinite`].
pub fn evaluate(task: &Task, weights: &[f32], data: &DataSet) -> Result<Metrics, TrainError> {
    let network = network(task, weights)?;
    let all: Vec<usize> = (0..data.len()).collect();
    measure(task, &network, &Source::new(task, data)?, &all, || false)
}

/// The probability of each class for one example, or the outputs of a regression. The example is given as the numbers
/// of its file: the task's scaling is applied here.
///
/// # Errors
/// [`TrainError::WrongLength`], [`TrainError::WrongExample`], or a weight that is [`TrainError::NotFinite`].
pub fn predict(task: &Task, weights: &[f32], sample: &[f32]) -> Result<Vec<f32>, TrainError> {
    let network = network(task, weights)?;
    if sample.len() != task.example_len() {
        return Err(TrainError::WrongExample { expected: task.example_len(), found: sample.len() });
    }
    let mut values = Vec::with_capacity(sample.len());
    Scale::of(task).apply(sample, &mut values);
    let outputs = network.outputs(&values);
    if task.loss == Loss::MeanSquaredError {
        return Ok(outputs);
    }
    let log_sum = log_sum_exp(&outputs);
    Ok(outputs.iter().map(|logit| (f64::from(*logit) - log_sum).exp() as f32).collect())
}

fn network<'a>(task: &'a Task, weights: &[f32]) -> Result<Network<'a>, TrainError> {
    let expected = task.num_params();
    if weights.len() != expected {
        return Err(TrainError::WrongLength { expected, found: weights.len() });
    }
    check_finite("a weight of the model", weights)?;
    Ok(Network::new(task, weights))
}

fn check_finite(what: &str, weights: &[f32]) -> Result<(), TrainError> {
    match weights.iter().all(|weight| weight.is_finite()) {
        true => Ok(()),
        false => Err(TrainError::NotFinite(what.into())),
    }
}

/// Examples as batches.
struct Source<'a> {
    data: &'a DataSet,
    scale: Scale,
    outputs: usize,
}

impl<'a> Source<'a> {
    fn new(task: &Task, data: &'a DataSet) -> Result<Self, TrainError> {
        let targets_hold = match data.targets() {
            Targets::Classes(classes) => {
                task.loss == Loss::CrossEntropy
                    && classes.iter().all(|class| (*class as usize) < task.classes)
            }
            Targets::Numbers(numbers) => numbers.len() == data.len() * task.outputs,
        };
        match data.shape() == task.input && targets_hold {
            true => Ok(Self { data, scale: Scale::of(task), outputs: task.num_outputs() }),
            false => Err(TrainError::WrongData),
        }
    }

    fn batch(&self, positions: &[usize]) -> Batch {
        let mut values = Vec::new();
        for position in positions {
            self.scale.apply(&self.data.sample(*position).unwrap_or_default(), &mut values);
        }
        Batch { values, targets: self.data.targets().of(positions, self.outputs) }
    }
}

/// `cancelled` is asked after each batch.
fn measure(
    task: &Task,
    network: &Network<'_>,
    source: &Source<'_>,
    positions: &[usize],
    cancelled: impl Fn() -> bool,
) -> Result<Metrics, TrainError> {
    let mut correct = 0;
    let mut loss = 0.0;
    for positions in positions.chunks(task.batch_size) {
        let batch = source.batch(positions);
        let outputs = network.outputs(&batch.values);
        for (right, example_loss) in judged(task, &outputs, &batch.targets) {
            correct += u64::from(right);
            loss += micros(example_loss) as f64;
        }
        if cancelled() {
            return Err(TrainError::Cancelled);
        }
    }
    let mean = if positions.is_empty() { 0.0 } else { loss / positions.len() as f64 };
    Ok(Metrics { examples: positions.len() as u64, correct, loss_micros: mean as u64, train_loss_micros: 0 })
}

/// Of each example in a batch whether it counts as right, and its loss.
fn judged(task: &Task, outputs: &[f32], targets: &Targets) -> Vec<(bool, f64)> {
    let outputs = outputs.chunks(task.num_outputs());
    match targets {
        Targets::Classes(classes) => outputs
            .zip(classes)
            .map(|(logits, class)| {
                let class = *class as usize;
                (largest(logits) == class, log_sum_exp(logits) - f64::from(logits[class]))
            })
            .collect(),
        Targets::Numbers(numbers) => outputs
            .zip(numbers.chunks(task.outputs))
            .map(|(outputs, targets)| {
                let errors =
                    || outputs.iter().zip(targets).map(|(output, target)| f64::from(output - target));
                let near = errors().all(|error| error.abs() <= f64::from(task.tolerance));
                (near, errors().map(|error| error * error).sum::<f64>() / targets.len() as f64)
            })
            .collect(),
    }
}

/// The first of the largest.
fn largest(logits: &[f32]) -> usize {
    (1..logits.len()).fold(0, |best, class| if logits[class] > logits[best] { class } else { best })
}

/// ln Σ exp, without overflow.
fn log_sum_exp(logits: &[f32]) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - largest).exp()).sum();
    f64::from(largest) + sum.ln()
}

fn micros(loss: f64) -> u64 {
    let micros = (loss * 1e6).round();
    if micros.is_nan() { MAX_LOSS_MICROS as u64 } else { micros.clamp(0.0, MAX_LOSS_MICROS) as u64 }
}
