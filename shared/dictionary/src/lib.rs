//! The replicated state: what every member of a peer set agrees on.
//!
//! [`Replicated`] runs two machines over one log. The fixed [`Control`] part knows the members, the tenures and the
//! training runs with their rounds; the user machine is whatever implements [`StateMachine`], by default the
//! dictionary's [`Entries`]. Around both lie [sessions](Outcome), so that a command counts once however often it is
//! proposed. [`Replicated::apply`] takes one committed entry and answers with an [`Applied`]: what the proposer is
//! told, and the [`Event`]s that other parts of the program act upon.
//!
//! Apply is total and deterministic: any bytes are answered, nothing panics, a refused command changes neither the
//! control part nor the user machine, and the same log gives the same digest on every peer. Each rule first
//! checks and then changes, in one file per subject; who may issue what is one table, [`may`].
//!
//! ```
//! use rafty_dictionary::{Entries, EntryCommand, Replicated};
//! use rafty_types::*;
//!
//! let founder = Member {
//!     id: MemberId(1),
//!     key: PeerKey([1; 32]),
//!     rsa_public: rsa_public_der(&[0xff; 384]),
//!     role: MemberKind::Operator,
//!     may_lead: true,
//!     addresses: vec!["192.168.1.7:7000".parse().unwrap()],
//!     seat: true,
//!     tenures: 0,
//! };
//! let genesis =
//!     Genesis { cluster: ClusterId([3; 16]), name: "garden".into(), settings: Settings::default(), founder };
//! let mut state = Replicated::found(genesis, Entries::default())?;
//!
//! let blue = EntryCommand::Set { key: b"colour".to_vec(), value: b"\xa4blue".to_vec() };
//! let command = Command::User(blue.encode());
//! let stamp = Stamp::Elapsed { elapsed_ms: 0, wall_ms: 0 };
//! let proposal = Proposal { origin: MemberId(1), term: Term(1), stamp, session: None, client: None, issue: None, command };
//! let payload = Payload::Command(proposal.encode().into());
//! state.apply(&Entry { index: Index(2), term: Term(1), payload });
//! assert_eq!(state.user().get(b"colour"), Some(&b"\xa4blue"[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Nothing here reads a clock, draws randomness or does I/O: time is what leaders stamp on entries. Electing
//! leaders is in `consensus`, collecting updates in `rounds`; this crate only says which of their results count.
//!
//! [`StateMachine`]: rafty_types::StateMachine

mod applied;
mod clients;
mod clock;
mod control;
mod divergence;
mod entries;
mod incarnations;
mod invariants;
mod issues;
mod levels;
mod migration;
mod permission;
mod reachable;
mod replicated;
mod roster;
mod round;
mod runs;
mod sessions;
mod snapshot;
mod tenures;

pub use applied::{Applied, Event, Outcome};
pub use clients::MAX_CLIENTS;
pub use clock::{Expiring, MAX_STEP_MS, MAX_TTL_MS, MENDED_TTL_MS};
pub use control::Control;
pub use divergence::{Divergence, MARK_EVERY_MS};
pub use entries::{
    CLUSTER_KEY, Entries, EntryCommand, EntryRefusal, EntryResult, MAX_ENTRIES_LEN, MAX_KEY_LEN,
    MAX_VALUE_LEN,
};
pub use issues::{KEPT_ISSUES, MAX_ISSUE_AGE, MAX_ISSUE_AGE_MS};
pub use permission::{is_issued, leader_only, may};
pub use replicated::{FEATURE_LEVEL, FoundError, Replicated};
pub use roster::{MAX_ENROLMENTS, MAX_TOKEN_USES, MAX_TOKENS};
pub use round::{MAX_FAILURES, MAX_REASON_LEN, MAX_REFUSED, MAX_RESTING, MAX_ROUND_MS, OpenRound};
pub use runs::{
    KEPT_RECORDS, KEPT_ROUNDS, KEPT_RUNS, KEPT_VERSIONS, KeptModels, MAX_ROUNDS, RoundRecord, RunState,
    RunStatus,
};
pub use sessions::{KEPT_RESULTS, MAX_KEPT_RESULT_LEN, MAX_SESSIONS};
pub use tenures::{KEPT_TENURES, TenureRecord, TenureState};
