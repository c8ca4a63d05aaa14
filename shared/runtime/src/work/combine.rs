//! S2 and after: updates are opened, checked, folded in, and become the next model.
//!
//! Memory is that of two models, however many participants there are: the mean, and one update at a time.

use crate::envelopes::Spooled;
use crate::work::WorkerContext;
use rafty_aggregation::{Distance, FedAvg, Update, UpdateMeta, decode_update, update_len};
use rafty_learning::{Task, read_model, weights_begin, write_model};
use rafty_rounds::{AttemptKey, WorkResult};
use rafty_seal::{OpenError, Opening};
use rafty_types::{Digest, Label, PeerKey, Refusal, RunSpec};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::sync::{Arc, PoisonError};

/// Bytes of the base that are read at once.
const BASE_BUFFER: usize = 256 * 1024;

/// The updates of one attempt, combined so far. What they are held against stays on the disk.
pub(crate) struct Accumulator {
    base: Base,
    combined: FedAvg,
}

/// Opens an update, checks it against its base, and folds it in. Anything that fails leaves the accumulator as it was.
pub(crate) fn open_update(
    context: &WorkerContext,
    envelope: Option<(Arc<Spooled>, PeerKey)>,
    label: &Label,
    base: Digest,
) -> WorkResult {
    let Some((envelope, sender_key)) = envelope else { return WorkResult::Refused(Refusal::NotAuthentic) };
    let mut accumulators = context.accumulators.lock().unwrap_or_else(PoisonError::into_inner);
    let accumulator = match accumulators.entry(AttemptKey::of(label)) {
        std::collections::btree_map::Entry::Occupied(there) => there.into_mut(),
        std::collections::btree_map::Entry::Vacant(place) => match Accumulator::new(context, base) {
            Ok(accumulator) => place.insert(accumulator),
            Err(why) => return WorkResult::Failed(why),
        },
    };
    let plaintext = match decrypt(context, &envelope, &sender_key, label, accumulator.base.params) {
        Ok(plaintext) => plaintext,
        Err(result) => return result,
    };
    match accumulator.accept(&plaintext) {
        Ok(Ok(UpdateMeta { num_examples, metrics })) => WorkResult::Opened { num_examples, metrics },
        Ok(Err(refusal)) => WorkResult::Refused(refusal),
        Err(why) => WorkResult::Failed(why.to_string()),
    }
}

/// Finishes an attempt's accumulator into a model on the disk.
pub(crate) fn combine(context: &WorkerContext, key: AttemptKey, spec: &RunSpec) -> WorkResult {
    let accumulators = context.accumulators.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(accumulator) = accumulators.get(&key) else {
        return WorkResult::Failed("no update was folded in for this attempt".into());
    };
    let stored = (|| {
        let task = Task::from_toml(&spec.task).map_err(|error| error.to_string())?;
        let weights = accumulator.combined.mean().map_err(|error| error.to_string())?;
        let mut blob = context.models.writer().map_err(|error| error.to_string())?;
        write_model(&spec.task, task.layout(), weights, &mut blob).map_err(|error| error.to_string())?;
        blob.commit().map_err(|error| error.to_string())
    })();
    match stored {
        Ok(digest) => WorkResult::Model { digest },
        Err(why) => WorkResult::Failed(why),
    }
}

pub(crate) fn forget(context: &WorkerContext, key: AttemptKey) -> WorkResult {
    context.accumulators.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
    WorkResult::Done
}

impl Accumulator {
    fn new(context: &WorkerContext, base: Digest) -> Result<Self, String> {
        let base = Base::open(context, base)?;
        let combined = FedAvg::new(base.params);
        Ok(Self { base, combined })
    }

    /// Holds an update against its base and folds it in.
    fn accept(&mut self, plaintext: &[u8]) -> io::Result<Result<UpdateMeta, Refusal>> {
        let update = match decode_update(plaintext, self.base.params) {
            Ok(update) => update,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let folded = match self.base.distance(&update)?.verdict() {
            Ok(()) => self.combined.fold(update.weights(), update.meta.num_examples),
            Err(refusal) => Err(refusal),
        };
        Ok(folded.map(|()| update.meta))
    }
}

/// The model that updates are held against, in its file.
struct Base {
    file: File,
    params: usize,
    begin: u64,
}

impl Base {
    /// Reads it once as a whole, to know that it is what its digest names and lies as this program writes it.
    fn open(context: &WorkerContext, base: Digest) -> Result<Self, String> {
        let model = context.models.get(base).map_err(|error| error.to_string())?;
        let (_, weights) = read_model(&model).map_err(|error| error.to_string())?;
        let (params, begin) = (weights.len(), weights_begin(model.len() as u64, weights.len()));
        let (stored, _) = model[begin as usize..].as_chunks();
        if !stored.iter().copied().map(f32::from_le_bytes).eq(weights) {
            return Err("the model's weights do not lie as rafty writes them".into());
        }
        let file = File::open(context.models.path(base)).map_err(|error| error.to_string())?;
        Ok(Self { file, params, begin })
    }

    fn distance(&self, update: &Update<'_>) -> io::Result<Distance> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(self.begin))?;
        let (mut distance, mut weights) = (Distance::default(), update.weights());
        let mut buffer = vec![0; BASE_BUFFER];
        while weights.len() > 0 {
            let bytes = &mut buffer[..BASE_BUFFER.min(weights.len() * size_of::<f32>())];
            file.read_exact(bytes)?;
            let (base, _) = bytes.as_chunks();
            let pairs = base.iter().zip(weights.by_ref());
            pairs.for_each(|(base, weight)| distance.add(f32::from_le_bytes(*base), weight));
        }
        Ok(distance)
    }
}

/// The plaintext of an update with at most so many `params`, or what to report instead.
fn decrypt(
    context: &WorkerContext,
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
    let key = header.recipients.iter().find_map(|recipient| context.tenure_keys.get(recipient.key_id));
    let key = key.ok_or(WorkResult::Refused(Refusal::NotAuthentic))?;
    let opening = Opening { label, sender_key, member: context.me, key: &key };
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
