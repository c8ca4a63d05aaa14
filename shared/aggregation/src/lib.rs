//! Aggregation: how an update is encoded, which updates are taken, and how they become the next model.
//!
//! An update is a participant's whole model after local training, one flat vector of `f32` weights, with how many
//! examples it was trained on and what it measured ([`UpdateMeta`]). [`encode_update`] and [`decode_update`] give it
//! its bytes, [`Distance`] holds it against the version it started from, and [`FedAvg`] folds updates into their
//! weighted mean (McMahan et al. 2017, algorithm 1), one at a time, in the memory of one model.
//!
//! ```
//! use rafty_aggregation::{Distance, FedAvg, UpdateMeta, decode_update, encode_update};
//!
//! let base = [0.0, 0.0];
//! let mut combined = FedAvg::new(base.len());
//! for (num_examples, weights) in [(100, [1.0, 4.0]), (300, [3.0, 0.0])] {
//!     let bytes = encode_update(&UpdateMeta { num_examples, ..UpdateMeta::default() }, &weights);
//!     let update = decode_update(&bytes, base.len())?;
//!     let mut distance = Distance::default();
//!     base.iter().zip(update.weights()).for_each(|(base, weight)| distance.add(*base, weight));
//!     distance.verdict()?;
//!     combined.fold(update.weights(), update.meta.num_examples)?;
//! }
//! assert_eq!(combined.mean(), Ok(&[2.5, 1.0][..]));
//! # Ok::<(), rafty_types::Refusal>(())
//! ```
//!
//! Nothing here does I/O, knows what a weight means, or decides whose update counts: shapes are in `learning`,
//! participants and metrics in `rounds`. An aggregator's result is committed by its digest and never computed a
//! second time elsewhere, so floating point may be used; all sums are nevertheless taken in one fixed order.

mod check;
mod fedavg;
mod update;

pub use check::{Distance, NORM_FACTOR};
pub use fedavg::{Empty, FedAvg};
pub use update::{Update, UpdateMeta, decode_update, encode_update, update_len, write_update};
