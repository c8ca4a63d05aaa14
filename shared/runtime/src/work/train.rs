//! S1's first half: an update is trained and put on the disk before anybody hears of it.

use crate::trainer::{Contribution, Trainer};
use crate::work::Bench;
use rafty_aggregation::{UpdateMeta, encode_update};
use rafty_learning::{TrainControl, read_model};
use rafty_rounds::{Work, WorkId, WorkResult};
use rafty_storage::PendingUpdate;
use std::sync::atomic::{AtomicU64, Ordering};

pub(super) fn train(
    bench: &Bench,
    trainer: Option<&mut (dyn Trainer + 'static)>,
    work: &Work,
    until: &Until<'_>,
) -> WorkResult {
    let Some(trainer) = trainer else { return WorkResult::NoData };
    match try_train(bench, trainer, work, until) {
        Ok(Some(result)) => result,
        Ok(None) => WorkResult::NoData,
        Err(why) => WorkResult::Failed(why),
    }
}

fn try_train(
    bench: &Bench,
    trainer: &mut dyn Trainer,
    work: &Work,
    until: &Until<'_>,
) -> Result<Option<WorkResult>, String> {
    let Work::Train { run, round, spec, base } = work else { return Err("this thread only trains".into()) };
    let model = bench.models.get(*base).map_err(|error| error.to_string())?;
    let (_, weights) = read_model(&model).map_err(|error| error.to_string())?;
    drop(model);
    let Some(contribution) = trainer.train(spec, &weights, until)? else { return Ok(None) };
    drop(weights);
    let Contribution { weights, num_examples, metrics } = contribution;
    let update = encode_update(&UpdateMeta { num_examples, metrics }, &weights);
    let update = bench.updates.put(&update).map_err(|error| error.to_string())?;
    let pending = PendingUpdate { run: *run, round: *round, base: *base, update, num_examples };
    pending.save(&bench.dir).map_err(|error| error.to_string())?;
    Ok(Some(WorkResult::Trained { update, num_examples }))
}

/// Training goes on until its order is the one that was stopped.
pub(super) struct Until<'a> {
    pub(super) order: WorkId,
    pub(super) stopped: &'a AtomicU64,
}

impl TrainControl for Until<'_> {
    fn progress(&self, _done: u64, _total: u64) {}

    fn cancelled(&self) -> bool {
        self.stopped.load(Ordering::Relaxed) == self.order.0
    }
}
