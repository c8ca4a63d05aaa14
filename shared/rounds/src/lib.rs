//! The federated round as pure state machines.
//!
//! [`Rounds`] is one member's whole part in federated rounds. Inside it are three machines that never wait for
//! each other: the *aggregator* side (`Idle`, `Collecting`, `Combining`, `Publishing`, `Failed`), which acts while
//! this member's own tenure is current; the *participant* side (`Waiting`, `Training`, `Sending`, `AwaitingModel`);
//! and *models*, which every member runs: it keeps the current model version on this member's disk.
//!
//! They decide on metadata. Whatever touches heavy bytes (training, sealing, opening, combining, storing) leaves as
//! a [`Work`] order and comes back as [`Input::WorkDone`]; envelopes are known by [`EnvelopeHandle`] only. The
//! replicated state comes as a [`View`] with every call; all that counts goes there by [`Output::Propose`] and
//! counts when the view shows it. So every machine looks at what *is* (the view, the clock, what it has in hand)
//! and does what is missing, and a lost frame, proposal or verdict is done again after a bounded while.
//!
//! Not here: no clock, no socket, no disk, no thread, no cryptography, no arithmetic on weights; no elections and
//! no end of a tenure (`consensus`), no rules on which command counts (`dictionary`).

mod aggregator;
mod expected;
mod label;
mod machine;
mod metrics;
mod models;
mod participant;
mod port;
mod step;
mod view;
mod work;

pub use aggregator::{AggregatorPhase, EARLIEST_DEADLINE_MS, LATEST_DEADLINE_MS, deadline_ms};
pub use machine::{Boot, Rounds};
pub use participant::{ParticipantPhase, PendingUpdate};
pub use port::{Arrival, DropReason, Input, Output, ProposalId, RoundEvent};
pub use view::{MemberView, OpenView, RunView, TenureView, View};
pub use work::{AttemptKey, EnvelopeHandle, Work, WorkId, WorkResult};
