//! Several members in one process, in virtual time: elections, replication, restarts, snapshots, membership,
//! hand-overs and reads, by script and by seed.

mod harness;
mod invariants;
mod scenarios;
mod seeds;
