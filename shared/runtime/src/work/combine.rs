//! S2 and after: updates are opened, checked, folded in, and become the next model.
//!
//! Memory is that of a few models, however many participants there are: one update is in memory at a time.

use crate::envelopes::Spooled;
use crate::work::Bench;
use rafty_aggregation::{FedAvg, check, decode_update, update_len};
use rafty_learning::{Task, read_model, write_model};
use rafty_rounds::{AttemptKey, WorkResult};
use rafty_seal::{OpenError, Opening};
use rafty_types::{Digest, Label, PeerKey, Refusal, RunSpec};
use std::fs::File;
use std::io::BufReader;
use std::sync::{Arc, PoisonError};

/// The updates of one attempt, combined so far.
pub(crate) struct Accumulator {
    base: Vec<f32>,
    combined: FedAvg,
}

/// Opens an update, checks it against its base, and folds it in. Anything that fails leaves the accumulator as it was.
pub(crate) fn open_update(
    bench: &Bench,
    envelope: Option<(Arc<Spooled>, PeerKey)>,
    label: &Label,
    base: Digest,
) -> WorkResult {
    let Some((envelope, sender_key)) = envelope else { return WorkResult::Refused(Refusal::NotAuthentic) };
    let mut accumulators = bench.accumulators.lock().unwrap_or_else(PoisonError::into_inner);
    let accumulator = match accumulators.entry(AttemptKey::of(label)) {
        std::collections::btree_map::Entry::Occupied(there) => there.into_mut(),
        std::collections::btree_map::Entry::Vacant(place) => match Accumulator::new(bench, base) {
            Ok(accumulator) => place.insert(accumulator),
            Err(why) => return WorkResult::Failed(why),
        },
    };
    let update = match decrypt(bench, &envelope, &sender_key, label, accumulator.base.len()) {
        Ok(update) => update,
        Err(result) => return result,
    };
    let (meta, weights) = match decode_update(&update, accumulator.base.len()) {
        Ok(decoded) => decoded,
        Err(refusal) => return WorkResult::Refused(refusal),
    };
    drop(update);
    if let Err(refusal) = check(&accumulator.base, &weights) {
        return WorkResult::Refused(refusal);
    }
    match accumulator.combined.fold(&weights, meta.num_examples) {
        Ok(()) => WorkResult::Opened { num_examples: meta.num_examples, metrics: meta.metrics },
        Err(refusal) => WorkResult::Refused(refusal),
    }
}

/// Finishes an attempt's accumulator into a model on the disk.
pub(crate) fn combine(bench: &Bench, key: AttemptKey, spec: &RunSpec) -> WorkResult {
    let accumulators = bench.accumulators.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(accumulator) = accumulators.get(&key) else {
        return WorkResult::Failed("no update was folded in for this attempt".into());
    };
    let stored = (|| {
        let task = Task::from_toml(&spec.task).map_err(|error| error.to_string())?;
        let weights = accumulator.combined.mean().map_err(|error| error.to_string())?;
        let model = write_model(&spec.task, task.layout(), weights);
        bench.models.put(&model).map_err(|error| error.to_string())
    })();
    match stored {
        Ok(digest) => WorkResult::Model { digest },
        Err(why) => WorkResult::Failed(why),
    }
}

pub(crate) fn forget(bench: &Bench, key: AttemptKey) -> WorkResult {
    bench.accumulators.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
    WorkResult::Done
}

impl Accumulator {
    fn new(bench: &Bench, base: Digest) -> Result<Self, String> {
        let model = bench.models.get(base).map_err(|error| error.to_string())?;
        let (_, base) = read_model(&model).map_err(|error| error.to_string())?;
        let combined = FedAvg::new(base.len());
        Ok(Self { base, combined })
    }
}

/// The plaintext of an update with at most so many `params`, or what to report instead.
fn decrypt(
    bench: &Bench,
    envelope: &Spooled,
    sender_key: &PeerKey,
    label: &Label,
    params: usize,
) -> Result<Vec<u8>, WorkResult> {
    let header = envelope.head.header();
    let most = rafty_seal::ciphertext_len(update_len(params) as u64);
    if header.ciphertext_len > most {
        return Err(WorkResult::Refused(Refusal::WrongShape));
    }
    let key = header.recipients.iter().find_map(|recipient| bench.tenure_keys.get(recipient.key_id));
    let key = key.ok_or(WorkResult::Refused(Refusal::NotAuthentic))?;
    let opening = Opening { label, sender_key, member: bench.me, key: &key };
    let mut plaintext = Vec::with_capacity(update_len(params));
    let opened = File::open(envelope.path()).map_err(OpenError::Io).and_then(|file| {
        let mut ciphertext = BufReader::new(file);
        rafty_seal::open(&envelope.head, &opening, &mut ciphertext, &mut plaintext, &mut crate::random::rng())
    });
    match opened {
        Ok(()) => Ok(plaintext),
        Err(OpenError::NotAuthentic) => Err(WorkResult::Refused(Refusal::NotAuthentic)),
        Err(OpenError::Io(error)) => Err(WorkResult::Failed(error.to_string())),
    }
}
