//! S1's first half: an update is trained and put on the disk before anybody hears of it.

use crate::trainer::{Contribution, HeldUp, Trainer};
use crate::work::WorkerContext;
use rafty_aggregation::{UpdateMeta, encode_update};
use rafty_learning::{TrainControl, read_model};
use rafty_rounds::{Work, WorkId, WorkResult};
use rafty_storage::{DiskError, PendingUpdate};
use rafty_types::{Digest, RestCause};
use rustix::fs::statvfs;
use std::sync::atomic::{AtomicU64, Ordering};

/// Room that is to be left beside an update, in bytes: the log goes on.
const SPARE: u64 = 1 << 20;

pub(super) fn train(
    context: &WorkerContext,
    trainer: Option<&mut (dyn Trainer + 'static)>,
    work: &Work,
    until: &Until<'_>,
) -> WorkResult {
    let Some(trainer) = trainer else { return WorkResult::NoData };
    match try_train(context, trainer, work, until) {
        Ok(Some(result)) => result,
        Ok(None) => WorkResult::NoData,
        Err(HeldUp { cause: RestCause::Training, reason }) => WorkResult::Failed(reason),
        Err(HeldUp { cause, reason }) => WorkResult::HeldUp { cause, reason },
    }
}

fn try_train(
    context: &WorkerContext,
    trainer: &mut dyn Trainer,
    work: &Work,
    until: &Until<'_>,
) -> Result<Option<WorkResult>, HeldUp> {
    let Work::Train { run, round, spec, base } = work else {
        return Err("this thread only trains".to_string().into());
    };
    let model = context.models.get(*base).map_err(|error| error.to_string())?;
    let (_, weights) = read_model(&model).map_err(|error| error.to_string())?;
    drop(model);
    let Some(contribution) = trainer.train(spec, &weights, until)? else { return Ok(None) };
    drop(weights);
    contribution.check()?;
    let Contribution { weights, num_examples, metrics } = contribution;
    let update = encode_update(&UpdateMeta { num_examples, metrics }, &weights);
    let update = context.updates.put(&update).map_err(disk)?;
    let pending = PendingUpdate { run: *run, round: *round, base: *base, update, num_examples };
    pending.save(&context.dir).map_err(disk)?;
    Ok(Some(WorkResult::Trained { update, num_examples }))
}

fn disk(error: DiskError) -> HeldUp {
    let cause = if error.is_full() { RestCause::DiskFull } else { RestCause::Training };
    HeldUp::by(cause, error)
}

/// Whether what held the last training up has gone.
pub(super) fn look_again(
    context: &WorkerContext,
    trainer: Option<&mut (dyn Trainer + 'static)>,
    cause: RestCause,
    base: Digest,
) -> WorkResult {
    let gone = match cause {
        RestCause::DiskFull => has_room(context, base),
        _ => trainer.is_some_and(|trainer| trainer.can_train_again()),
    };
    if gone { WorkResult::Done } else { WorkResult::Failed(format!("still: {cause}")) }
}

/// Whether there is room for an update, which is as large as its base, and for what else is written meanwhile.
fn has_room(context: &WorkerContext, base: Digest) -> bool {
    let Ok(Some(len)) = context.models.len(base) else { return false };
    let Ok(disk) = statvfs(context.dir.root()) else { return false };
    disk.f_bavail.saturating_mul(disk.f_frsize) >= len.saturating_add(SPARE)
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
