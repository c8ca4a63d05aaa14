//! Entries and batches for the tests of the log.

#![allow(dead_code, unreachable_pub)] // each test file uses its part

use rafty_storage::{Log, Recovered};
use rafty_types::*;
use std::path::Path;

/// An entry whose content follows from its index and term.
pub fn entry(index: u64, term: u64) -> Entry {
    let payload = match index % 5 {
        0 => Payload::Empty,
        1 => Payload::Membership(MembershipChange { steps: vec![MembershipStep::AddVoter(MemberId(index))] }),
        _ => Payload::Command(format!("command {index} of term {term}").into_bytes().into()),
    };
    Entry { index: Index(index), term: Term(term), payload }
}

pub fn entries(indices: std::ops::RangeInclusive<u64>, term: u64) -> Vec<Entry> {
    indices.map(|index| entry(index, term)).collect()
}

pub fn append(indices: std::ops::RangeInclusive<u64>, term: u64) -> Batch {
    Batch { entries: entries(indices, term), ..Batch::default() }
}

pub fn snapshot(index: u64, term: u64) -> Snapshot {
    let membership = Membership { voters: vec![MemberId(1), MemberId(2)], ..Membership::default() };
    let data = format!("state at {index}").repeat(3).into_bytes();
    Snapshot { meta: SnapshotMeta { index: Index(index), term: Term(term), membership }, data: data.into() }
}

pub fn compact(index: u64, term: u64, first_kept: u64) -> Batch {
    let compaction = Compaction { snapshot: snapshot(index, term), first_kept: Index(first_kept) };
    Batch { compaction: Some(compaction), ..Batch::default() }
}

pub fn hard_state(term: u64, voted_for: u64, commit: u64) -> HardState {
    let voted_for = (voted_for > 0).then_some(MemberId(voted_for));
    HardState { term: Term(term), voted_for, commit: Index(commit) }
}

pub fn remember(hard_state: HardState) -> Batch {
    Batch { hard_state: Some(hard_state), ..Batch::default() }
}

/// What stands in the log at `dir`.
pub fn reopen(dir: &Path) -> Recovered {
    Log::open(dir).unwrap().1
}

pub fn new_log(dir: &Path) -> Log {
    Log::create(dir).unwrap();
    Log::open(dir).unwrap().0
}

/// The names of the files in `dir`, sorted.
pub fn files(dir: &Path) -> Vec<String> {
    let names = std::fs::read_dir(dir).unwrap().map(|item| item.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}
