//! The vocabulary of rafty.
//!
//! Every other crate speaks in these words: ids, [`Term`], [`Index`], [`Tenure`], [`Round`], [`Version`],
//! [`Digest`], the layout of model weights, monotonic [`Time`], the commands of the replicated log, the
//! messages between peers, and the [`StateMachine`] trait that the log drives.
//!
//! Nothing here does I/O, reads a clock or draws randomness, and nothing here knows how a word is used:
//! elections are in `consensus`, applying in `dictionary`, collecting in `rounds`, bytes on the wire in `wire`.

mod arrivals;
mod bytes;
mod client;
mod command;
mod digest;
mod epoch;
pub mod format_2;
mod frame;
pub mod hex;
mod id;
mod incarnation;
mod issue;
mod key;
mod label;
mod machine;
mod message;
pub mod mutation;
mod printable;
mod rest;
mod rsa;
mod setting;
mod settings;
mod state_digest;
pub mod time;
mod update;
#[cfg(feature = "verify-cache")]
pub mod verify_cache;
mod weights;

pub use arrivals::{Arrivals, KEPT_ARRIVALS};
pub use client::{ClientId, ClientRecord};
pub use command::*;
pub use digest::{Digest, DigestWriter};
pub use epoch::{Epoch, EpochRelation, SetId};
pub use frame::*;
pub use id::*;
pub use incarnation::*;
pub use issue::{Issue, IssueSerial, Sign};
pub use key::{PeerKey, Signature};
pub use label::{EnvelopeHeader, EnvelopeKind, Label, Recipient};
pub use machine::{RestoreError, StateMachine};
pub use message::*;
pub use mutation::{Mutation, planted};
pub use printable::{printable, printable_json};
pub use rest::{MAX_REST_MS, MAX_REST_REASON_LEN, Rest, RestCause};
pub use rsa::{MAX_MODULUS_BITS, MIN_MODULUS_BITS, is_rsa_public, rsa_public_der};
pub use setting::{SETTINGS, Setting, SettingValue};
pub use settings::{Settings, SettingsError};
pub use state_digest::*;
pub use time::Time;
pub use update::{Accepted, MAX_EXAMPLES, is_weight};
pub use weights::{Layout, TensorSpec};
