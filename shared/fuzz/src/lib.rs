//! What is done with the fuzzer's bytes: one function for each target.
//!
//! Each holds what the product says of foreign bytes against what it does with them. No bytes make it panic; none make
//! it hold more memory than a multiple of their length ([`bounded`]); what is accepted reads back as it was after it
//! was written again, and satisfies what its type promises. Where a signature or a checksum guards a decoder, one
//! target brings the bytes past it with a key that it knows.
//!
//! The functions are ordinary ones, so `cargo test` replays the seeds and every input that ever failed, without a
//! fuzzer. Making up inputs is libFuzzer's business, and seeds are made in [`seeds`].

pub mod client;
pub mod disk;
pub mod envelope;
pub mod history;
pub mod learning;
mod memory;
pub mod node;
pub mod peer;
pub mod raft;
pub mod seeds;
mod choices;
mod world;

pub use memory::bounded;

/// A target: what is done with some bytes. Panics when they reveal a fault.
pub type Target = fn(&[u8]);

/// Every target, by the name of its file in `fuzz_targets`. Those files name the functions themselves: a program that
/// contains one target only has fewer counters of coverage, which libFuzzer goes through after each input.
pub const TARGETS: &[(&str, Target)] = &[
    ("peer_unit", peer::unit),
    ("client_request", client::request),
    ("client_reply", client::reply),
    ("envelope_head", envelope::head),
    ("envelope_signed", envelope::signed),
    ("keys_and_tokens", envelope::keys_and_tokens),
    ("model_update", learning::update),
    ("snapshot", history::snapshot),
    ("log", history::log),
    ("boot", disk::boot),
    ("raft_message", raft::messages),
    ("node_frame", node::frames),
    ("task", learning::task),
    ("model_file", learning::model_file),
    ("table", learning::table),
    ("picture", learning::picture),
];
