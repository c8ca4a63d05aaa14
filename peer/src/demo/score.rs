//! Tries each published version on the held-out images, on a thread of its own.
//!
//! The bytes are read at once, since members drop old versions; the trying can wait.

use rafty_learning::{DataSet, evaluate, read_model};
use rafty_types::Round;
use std::sync::mpsc::{Receiver, Sender, channel};

/// A scorer at work.
pub(crate) struct Scorer {
    orders: Sender<(Round, Vec<u8>)>,
    scores: Receiver<Score>,
}

/// What came out: the share that is right, or why it could not be tried.
pub(crate) type Score = (Round, Result<f64, String>);

impl Scorer {
    pub(crate) fn start(held_out: DataSet) -> Self {
        let (orders, ordered) = channel::<(Round, Vec<u8>)>();
        let (scored, scores) = channel();
        std::thread::spawn(move || {
            for (round, model) in ordered {
                if scored.send((round, score(&model, &held_out))).is_err() {
                    return;
                }
            }
        });
        Self { orders, scores }
    }

    /// Orders a version to be tried.
    pub(crate) fn order(&self, round: Round, model: Vec<u8>) {
        // The thread ends only after this sender.
        let _ = self.orders.send((round, model));
    }

    /// What was tried since.
    pub(crate) fn scores(&self) -> impl Iterator<Item = Score> {
        self.scores.try_iter()
    }
}

fn score(model: &[u8], held_out: &DataSet) -> Result<f64, String> {
    let (task, weights) = read_model(model).map_err(|error| error.to_string())?;
    let metrics = evaluate(&task, &weights, held_out).map_err(|error| error.to_string())?;
    Ok(metrics.correct as f64 / metrics.examples.max(1) as f64)
}
