//! A seeded simulator of whole members.
//!
//! It drives the shipping [`rafty_node::Node`], and with it consensus, the replicated state and rounds, of 1 to 31
//! members with a virtual clock, network and disk. All chance comes from one seed: the same seed gives the same run,
//! event by event, on any machine and however the program was built.
//!
//! A run ([`story`]) has two phases. First the world turns on its members ([`faults`], [`rates`]) while clients and
//! federated rounds go on; then everything works again. After every step the [`invariants`] are checked; after healing
//! there must be a leader, progress of writes and rounds, and equal states everywhere. What clients saw of each key
//! must be [linearizable](linearizability).
//!
//! Heavy work (training, sealing, opening, combining) is played by [`worker`], with times and sizes but without
//! weights; the disk is what the storage crate promises, not its files; the network is what the transport promises, not
//! QUIC. Those are for tests with real processes.

pub mod agenda;
pub mod clock;
pub mod disk;
pub mod faults;
pub mod history;
pub mod invariants;
pub mod linearizability;
pub mod links;
pub mod member;
pub mod network;
pub mod observer;
pub mod rates;
pub mod recovery;
pub mod report;
pub mod rng;
pub mod run;
pub mod shrink;
pub mod slow_links;
pub mod story;
pub mod tally;
pub mod terms;
pub mod trace;
pub mod worker;
pub mod world;
