//! Raft for rafty, as a pure machine around the `raft` crate.
//!
//! [`Consensus`] is one member: it takes an [`Input`] and the time, and answers with [`Output`]s. It replicates while
//! it syncs, judges every message before the engine sees it, changes membership by joint consensus and leaves joint
//! by itself, and confirms linearizable reads. Beside it stand two policies over plain views: [`TenureKeeper`] decides
//! when the leader's tenure begins and to whom it hands over, [`next_change`] and [`next_seat`] who belongs to the
//! engine's membership and who votes.
//!
//! ```
//! use rafty_consensus::{Boot, Config, Consensus, Input, Output, Role};
//! use rafty_types::{MemberId, Membership, Settings, Snapshot, SnapshotMeta, Index, Term, Time};
//! use std::time::Duration;
//!
//! let membership = Membership { voters: vec![MemberId(1)], ..Membership::default() };
//! let meta = SnapshotMeta { index: Index(1), term: Term(1), membership };
//! let snapshot = Snapshot { meta, data: [].into() };
//! let boot = Boot { id: MemberId(1), snapshot, ..Boot::default() };
//! let config = Config::from_settings(&Settings::default());
//! let mut member = Consensus::new(config, boot, 7, Time::ZERO).unwrap();
//!
//! let outputs = member.handle(Time::ZERO, Input::Tick);
//! assert_eq!(member.role(), Role::Leader);
//! let batch = outputs.iter().find_map(|output| match output {
//!     Output::Persist(id, _) => Some(*id),
//!     _ => None,
//! });
//! let outputs = member.handle(Time::ZERO, Input::Persisted(batch.unwrap()));
//! assert!(outputs.iter().any(|output| matches!(output, Output::Committed(entries) if entries.len() == 1)));
//! ```
//!
//! Nothing here does I/O, reads a clock or knows what a command means; what an aggregator does with its tenure is in
//! `rounds`, and who is enrolled is in `dictionary`.

mod abstention;
mod agreement;
mod boot;
mod check;
mod config;
mod convert;
mod disk;
mod heard;
mod io;
mod links;
mod log;
mod machine;
mod membership;
mod pre_vote;
mod random;
mod reads;
mod ready;
mod seats;
mod snapshots;
mod tenure;
mod views;
mod voices;

pub use abstention::promise_nothing_new;
pub use boot::{Boot, BootError};
pub use check::{MAX_CONTEXT, MAX_ENTRIES, MAX_ENTRY_BYTES, MAX_STEPS, Refused};
pub use config::Config;
pub use io::{Input, Output, Progress, Proposal, Queues, Role};
pub use links::Link;
pub use machine::Consensus;
pub use membership::{next_change, voters_after};
pub use seats::{Leading, Seat, SeatDecision, SeatView, Travel, next_seat, travel};
pub use tenure::{Candidate, CurrentTenure, TenureAction, TenureKeeper, TenureView};
