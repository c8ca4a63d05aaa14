//! The bytes of an update: a header of fixed length, then the weights.
//!
//! All numbers are little-endian. The weights begin at a multiple of 8 bytes, and the length of the whole is exact.
//! What the weights are is not looked at here.

use rafty_types::{Metrics, Refusal, is_weight};
use std::io::{self, Write};

/// What every update starts with; the last byte is the version of the encoding.
const MAGIC: [u8; 8] = *b"rftyupd\x01";
/// Magic, number of examples, four metrics, number of weights.
const HEADER_LEN: usize = 8 + 8 + 4 * 8 + 8;
/// Weights that are encoded at a time.
const BLOCK_LEN: usize = 4096;

/// What a participant says of its update.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UpdateMeta {
    /// How many examples it was trained on: its weight among the updates.
    pub num_examples: u64,
    /// What the participant measured, mostly of the version it started from.
    pub metrics: Metrics,
}

/// How many bytes an update of `params` weights has. Saturates.
pub fn update_len(params: usize) -> usize {
    params.saturating_mul(size_of::<f32>()).saturating_add(HEADER_LEN)
}

/// The bytes of an update.
pub fn encode_update(meta: &UpdateMeta, weights: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(update_len(weights.len()));
    write_update(meta, weights, &mut bytes).expect("a vector takes every write");
    bytes
}

/// Writes the bytes of an update in memory of one small block.
///
/// # Errors
/// Those of `sink`; what was written until then is no update.
pub fn write_update(meta: &UpdateMeta, weights: &[f32], sink: &mut dyn Write) -> io::Result<()> {
    let Metrics { examples, correct, loss_micros, train_loss_micros } = meta.metrics;
    sink.write_all(&MAGIC)?;
    let numbers =
        [meta.num_examples, examples, correct, loss_micros, train_loss_micros, weights.len() as u64];
    sink.write_all(numbers.map(u64::to_le_bytes).as_flattened())?;
    for weights in weights.chunks(BLOCK_LEN) {
        let block: Vec<[u8; 4]> = weights.iter().map(|weight| weight.to_le_bytes()).collect();
        sink.write_all(block.as_flattened())?;
    }
    Ok(())
}

/// An update as it lies in its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update<'a> {
    /// What its participant says of it.
    pub meta: UpdateMeta,
    weights: &'a [[u8; 4]],
}

impl Update<'_> {
    /// The weights, in the order of the model's layout.
    pub fn weights(&self) -> impl ExactSizeIterator<Item = f32> + Clone {
        self.weights.iter().copied().map(f32::from_le_bytes)
    }
}

/// Reads an update of `expected_params` weights. Copies none of them.
///
/// # Errors
/// [`Refusal::Malformed`] for bytes that are no update or claim impossible metrics, [`Refusal::WrongShape`] for
/// another number of weights, [`Refusal::BadWeight`] for no examples or more than
/// [`MAX_EXAMPLES`](rafty_types::MAX_EXAMPLES).
pub fn decode_update(bytes: &[u8], expected_params: usize) -> Result<Update<'_>, Refusal> {
    let (header, weights) = bytes.split_at_checked(HEADER_LEN).ok_or(Refusal::Malformed)?;
    let numbers = header.strip_prefix(&MAGIC).ok_or(Refusal::Malformed)?;
    let mut numbers = numbers.as_chunks().0.iter().copied().map(u64::from_le_bytes);
    let mut next = || numbers.next().ok_or(Refusal::Malformed);
    let num_examples = next()?;
    let metrics =
        Metrics { examples: next()?, correct: next()?, loss_micros: next()?, train_loss_micros: next()? };
    let params = next()?;
    let (weights, rest) = weights.as_chunks();
    if !rest.is_empty() || weights.len() as u64 != params {
        return Err(Refusal::Malformed);
    }
    if !metrics.are_of(1) {
        return Err(Refusal::Malformed);
    }
    if weights.len() != expected_params {
        return Err(Refusal::WrongShape);
    }
    if !is_weight(num_examples) {
        return Err(Refusal::BadWeight);
    }
    Ok(Update { meta: UpdateMeta { num_examples, metrics }, weights })
}
