//! Real members under real faults: killed, paused, cut off, on bad links and bad disks, while clients write and rounds
//! are under way.
//!
//! What clients were told is written down as they are told it, and compared with what every member holds afterwards:
//! nothing acknowledged is lost, nothing denied is there, nothing counts twice, no read is stale; every round is
//! published once. Each test is short by default; `RAFTY_FAULTS=200` gives so many faults instead, and each test says
//! in one line what it did and what came of it. What a machine cannot do (no root, no compiler) is skipped with a word,
//! or fails with `RAFTY_REQUIRE_ALL=1`.
#![cfg(target_os = "linux")] // signals, namespaces, limits and file systems of Linux

#[path = "../support/mod.rs"]
mod support;

mod bad_links;
mod cables;
mod copied_disks;
mod depth;
mod descriptors;
mod disk_advice;
mod disks;
mod failing_disk;
mod full_disk;
mod full_spool;
mod kills;
mod links;
mod load;
mod moves;
mod networks;
mod partitions;
mod pauses;
mod place;
mod power_cuts;
mod rounds;
mod scene;
mod slow_links;
mod wall_clocks;
mod world;
