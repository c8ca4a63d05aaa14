//! The shell around rafty's pure machines.
//!
//! [`up`] runs a member: one loop brings the node what happens and does what it says. [`net`] carries frames,
//! envelopes and snapshots between peers; a thread syncs the log; threads seal, combine and train; people reach the
//! member over [`operator`], clients of the dictionary over TCP. [`setup`] makes a directory a member, by founding a peer set or by joining one.
//!
//! Nothing here decides: what is sent, believed or stored is the machines' business.

#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

mod address;
mod clients;
mod copies;
mod deadline_timer;
mod envelopes;
pub mod exact_json;
mod host_port;
mod interrupt;
mod level;
mod log_writer;
mod machine;
mod measure;
mod member;
mod member_status;
mod narrate;
pub mod net;
mod offers;
pub mod operator;
mod other_epochs;
mod persist;
mod random;
pub mod recover;
pub mod rejoin;
pub mod restore;
mod seek;
pub mod setup;
mod shell;
mod state_worker;
mod trainer;
mod up;
mod upkeep;
mod watchdog;
mod watchers;
mod work;

pub use address::{has_only_ipv6, is_of_this_machine};
pub use copies::DirectoryOrigin;
pub use host_port::{HostPort, HostPortError};
pub use log_writer::{LogLevel, flush_log, log};
pub use machine::UserMachine;
pub use member::{MemberError, MemberFile};
pub use rafty_node::{IF_MOVED, StartError, copied_in_words};
pub use rafty_storage::Origin;
pub use seek::Lookout;
pub use trainer::{Contribution, HeldUp, Trainer};
pub use up::{Running, UpError, up, up_with};
pub use upkeep::Lateness;
pub use watchdog::{Sign, Supervisor};
pub use work::CURRENT_MODEL;
