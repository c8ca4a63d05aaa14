//! A disk that dies at any of its operations, forgetting any part of what was not synced.

use super::{Log, OpenError, Recovered, WriteError};
use crate::acknowledged::Acknowledged;
use crate::store::Store;
use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};
use rafty_types::{
    Batch, Command, Compaction, Entry, HardState, Index, Payload, Proposal, Snapshot, SnapshotMeta, Stamp,
    Term,
};
use redb::StorageBackend;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;
const GROUPS: u64 = 12;

/// A disk in memory, shared between the one that uses it and the one that cuts its power.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<Mutex<Platter>>);

#[derive(Debug, Default)]
struct Platter {
    synced: Vec<u8>,
    cached: Vec<u8>,
    unsynced: Vec<Change>,
    /// How many operations it still does, and how it fails then.
    dies: Option<(usize, ErrorKind)>,
}

#[derive(Clone, Debug)]
enum Change {
    Len(usize),
    Sector(usize, Vec<u8>),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Len(len) => bytes.resize(*len, 0),
            Self::Sector(at, data) => {
                bytes.resize(bytes.len().max(at + data.len()), 0);
                bytes[*at..at + data.len()].copy_from_slice(data);
            }
        }
    }
}

impl Platter {
    fn operate(&mut self) -> io::Result<()> {
        match &mut self.dies {
            Some((0, kind)) => Err((*kind).into()),
            Some((left, _)) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.cached);
        self.unsynced.push(change);
    }
}

impl Disk {
    fn platter(&self) -> std::sync::MutexGuard<'_, Platter> {
        self.0.lock().unwrap()
    }

    fn dies_after(&self, operations: usize, kind: ErrorKind) {
        self.platter().dies = Some((operations, kind));
    }

    /// The disk after the power came back: of what was not synced, `coins` say what is there.
    fn after_cut(&self, mut coins: u64) -> Self {
        let platter = self.platter();
        let mut bytes = platter.synced.clone();
        for change in &platter.unsynced {
            coins = coins.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if coins >> 63 == 1 {
                change.apply(&mut bytes);
            }
        }
        Self(Arc::new(Mutex::new(Platter { synced: bytes.clone(), cached: bytes, ..Platter::default() })))
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.platter().cached.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let platter = self.platter();
        let at = usize::try_from(offset).unwrap();
        let bytes = platter.cached.get(at..at + out.len()).ok_or(ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut platter = self.platter();
        platter.operate()?;
        platter.change(Change::Len(usize::try_from(len).unwrap()));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut platter = self.platter();
        platter.operate()?;
        platter.synced = platter.cached.clone();
        platter.unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut platter = self.platter();
        platter.operate()?;
        let (mut at, mut data) = (usize::try_from(offset).unwrap(), data);
        while !data.is_empty() {
            let (sector, rest) = data.split_at(data.len().min(SECTOR - at % SECTOR));
            platter.change(Change::Sector(at, sector.to_vec()));
            (at, data) = (at + sector.len(), rest);
        }
        Ok(())
    }
}

/// The group of batches number `group`, counted from 1: three entries, every other of which replaces one of before.
fn group(group: u64) -> Vec<Batch> {
    let first = 2 * group - 1;
    let payload = |index: u64| Payload::Command(vec![index as u8; 40 * group as usize].into());
    let entry = |index| Entry { index: Index(index), term: Term(group), payload: payload(index) };
    let hard_state = HardState { term: Term(group), voted_for: None, commit: Index(first) };
    let entries = (first..=first + 2).map(entry).collect();
    let compaction = group.is_multiple_of(3).then(|| {
        let meta = SnapshotMeta { index: Index(first), term: Term(group), ..SnapshotMeta::default() };
        let snapshot = Snapshot { meta, data: vec![group as u8; 100].into() };
        Compaction { snapshot, first_kept: Index(first - 2) }
    });
    vec![Batch { entries, hard_state: Some(hard_state), compaction, ..Batch::default() }]
}

fn new_disk(dir: &Path) -> (Disk, Log) {
    let disk = Disk::default();
    Acknowledged::create(dir).unwrap();
    Store::create(disk.clone()).unwrap();
    let (log, _) = Log::open_on(dir, disk.clone()).unwrap();
    (disk, log)
}

/// What a log holds after each number of groups, none included.
fn expected() -> Vec<Recovered> {
    let after = |groups| {
        let dir = tempfile::tempdir().unwrap();
        let (disk, mut log) = new_disk(dir.path());
        (1..=groups).for_each(|number| log.write(&group(number)).unwrap());
        drop(log);
        Log::open_on(dir.path(), disk).unwrap().1
    };
    (0..=GROUPS).map(after).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_power_cut_loses_nothing_acknowledged_and_leaves_no_half_group(dies in 0..220usize, coins in any::<u64>()) {
        static EXPECTED: std::sync::OnceLock<Vec<Recovered>> = std::sync::OnceLock::new();
        let expected = EXPECTED.get_or_init(expected);
        let dir = tempfile::tempdir().unwrap();
        let (disk, mut log) = new_disk(dir.path());
        disk.dies_after(dies, ErrorKind::Other);
        let acknowledged = (1..=GROUPS).take_while(|number| log.write(&group(*number)).is_ok()).count();
        drop(log);
        let (_, recovered) = Log::open_on(dir.path(), disk.after_cut(coins)).unwrap();
        let next = (acknowledged + 1).min(expected.len() - 1);
        prop_assert!(
            recovered == expected[acknowledged] || recovered == expected[next],
            "{acknowledged} groups were acknowledged: {recovered:?}"
        );
    }
}

#[test]
fn a_full_disk_is_told_apart_and_the_log_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, mut log) = new_disk(dir.path());
    log.write(&group(1)).unwrap();
    disk.dies_after(1, ErrorKind::StorageFull);
    assert!(matches!(log.write(&group(2)), Err(WriteError::Full(_))));
    disk.platter().dies = None;
    assert!(matches!(log.write(&group(2)), Err(WriteError::Closed)), "a failed sync is not tried again");
    drop(log);
    let (mut log, recovered) = Log::open_on(dir.path(), disk).unwrap();
    assert!(recovered == expected()[1] || recovered == expected()[2]);
    log.write(&group(2)).unwrap();
    log.write(&group(3)).unwrap();
}

/// What waits at once on a slow disk: a candidate's vote for itself, one for another in the next term, whose entries replace some,
/// a snapshot, and what comes after it.
fn busy_group() -> Vec<Batch> {
    let voted = |term, voted_for: Option<u64>| Batch {
        hard_state: Some(HardState {
            term: Term(term),
            voted_for: voted_for.map(rafty_types::MemberId),
            commit: Index(7),
        }),
        ..Batch::default()
    };
    let entry = |index| Entry { index: Index(index), term: Term(9), payload: Payload::Empty };
    let appended = |from, to| Batch { entries: (from..=to).map(entry).collect(), ..voted(9, Some(3)) };
    let meta = SnapshotMeta { index: Index(9), term: Term(9), ..SnapshotMeta::default() };
    let snapshot = Snapshot { meta, data: vec![9; 100].into() };
    let compaction = Some(Compaction { snapshot, first_kept: Index(10) });
    vec![
        voted(8, None),
        voted(8, Some(1)),
        voted(9, None),
        voted(9, Some(3)),
        appended(8, 12),
        Batch { compaction, ..appended(10, 11) },
        appended(12, 14),
    ]
}

#[test]
fn a_group_that_was_not_acknowledged_is_written_again_whatever_of_it_is_there() {
    for kind in [ErrorKind::StorageFull, ErrorKind::Other] {
        let (mut fails, mut there) = (0, 0);
        for dies in 0.. {
            let dir = tempfile::tempdir().unwrap();
            let (disk, mut log) = new_disk(dir.path());
            (1..=4).for_each(|number| log.write(&group(number)).unwrap());
            let before = log.standing();
            disk.dies_after(dies, kind);
            let written = log.write(&busy_group()).is_ok();
            drop(log);
            disk.platter().dies = None;
            let (mut log, recovered) = Log::open_on(dir.path(), disk.clone()).unwrap();
            there += usize::from(!written && recovered.hard_state.term == Term(9));
            log.write_again(before, &busy_group())
                .unwrap_or_else(|error| panic!("it failed at {dies}, then: {error}"));
            drop(log);
            let (_, recovered) = Log::open_on(dir.path(), disk).unwrap();
            let last = recovered.entries.last().map(|entry| entry.index);
            assert_eq!(
                (recovered.hard_state.voted_for, last),
                (Some(rafty_types::MemberId(3)), Some(Index(14)))
            );
            if written {
                break;
            }
            fails += 1;
        }
        assert!(fails > 1 && there > 0, "{fails} failures, after {there} of which it was there all the same");
    }
}

#[test]
fn the_disk_of_these_tests_does_forget() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, mut log) = new_disk(dir.path());
    disk.dies_after(2, ErrorKind::Other);
    assert!(matches!(log.write(&group(1)), Err(WriteError::Io(_))));
    let platter = disk.platter();
    assert!(!platter.unsynced.is_empty() && platter.synced != platter.cached);
}

#[test]
fn a_recovery_replaces_the_log_whole_or_not_at_all() {
    let expected = expected();
    let before = expected.last().unwrap();
    let meta =
        SnapshotMeta { index: Index(2 * GROUPS + 1), term: Term(GROUPS + 1), ..SnapshotMeta::default() };
    let hard_state = HardState { term: meta.term, voted_for: None, commit: meta.index };
    let install = Snapshot { meta, data: vec![42; 5_000].into() };
    let recovery = Batch { install: Some(install.clone()), hard_state: Some(hard_state), ..Batch::default() };
    for kind in [ErrorKind::StorageFull, ErrorKind::Other] {
        let mut cuts = 0;
        for dies in 0.. {
            let dir = tempfile::tempdir().unwrap();
            let (disk, mut log) = new_disk(dir.path());
            (1..=GROUPS).for_each(|number| log.write(&group(number)).unwrap());
            disk.dies_after(dies, kind);
            let written = log.write(std::slice::from_ref(&recovery)).is_ok();
            drop(log);
            for coins in [0, 7, 1 << 63, u64::MAX] {
                let (_, recovered) = Log::open_on(dir.path(), disk.after_cut(coins)).unwrap();
                let after = recovered.snapshot == install && recovered.entries.is_empty();
                let whole = after && recovered.hard_state == hard_state || !written && recovered == *before;
                assert!(whole, "cut at {dies}, {coins}: {recovered:?}");
            }
            if written {
                break;
            }
            cuts += 1;
        }
        assert!(cuts > 1, "the disk failed at {cuts} places only");
    }
}

/// A proposal as format 2 has it: origin, term, a wall clock's stamp, no session, a user command.
fn old_proposal(index: u64) -> Vec<u8> {
    let command = Command::User(vec![index as u8; 30]);
    let origin_term_stamp = (1_u64, index, 1_700_000_000_000_u64, None::<(u64, u64)>);
    postcard::to_allocvec(&(origin_term_stamp, command)).unwrap()
}

/// A disk with a log of format 2 of 40 entries, some of which no program can read.
fn old_disk(dir: &Path) -> (Disk, Vec<Entry>) {
    let (disk, mut log) = new_disk(dir);
    let payload = |index: u64| match index % 8 {
        0 => Payload::Empty,
        1 => Payload::Command(vec![255; 9].into()),
        _ => Payload::Command(old_proposal(index).into()),
    };
    let entry = |index| Entry { index: Index(index), term: Term(1), payload: payload(index) };
    let entries: Vec<_> = (1..=40).map(entry).collect();
    let hard_state = HardState { term: Term(1), voted_for: None, commit: Index(40) };
    let batch = Batch { entries: entries.clone(), hard_state: Some(hard_state), ..Batch::default() };
    log.write(&[batch]).unwrap();
    log.store.set_format(2);
    drop(log);
    (disk, entries)
}

fn is_converted(old: &Entry, new: &Entry) -> bool {
    let stamp = |data: &[u8]| Proposal::decode(data, 1).map(|proposal| (proposal.stamp, proposal.command));
    (old.index, old.term) == (new.index, new.term)
        && match (&old.payload, &new.payload) {
            (Payload::Command(old), Payload::Command(_)) if **old == [255; 9] => new.payload.len() == 1,
            (Payload::Command(_), Payload::Command(data)) => {
                let command = Command::User(vec![old.index.0 as u8; 30]);
                stamp(data) == Some((Stamp::Wall(1_700_000_000_000), command))
            }
            (old, new) => old == new,
        }
}

#[test]
fn a_log_of_the_format_before_is_converted_whole_or_not_at_all() {
    for kind in [ErrorKind::StorageFull, ErrorKind::Other] {
        let mut cuts = 0;
        for dies in 0.. {
            let dir = tempfile::tempdir().unwrap();
            let (disk, old) = old_disk(dir.path());
            disk.dies_after(dies, kind);
            let opened = Log::open_on(dir.path(), disk.clone()).map(drop);
            // Whatever of it arrived on the disk, the next start opens it with all that it held.
            for coins in [0, 7, u64::MAX] {
                let (_, recovered) = Log::open_on(dir.path(), disk.after_cut(coins)).unwrap();
                assert_eq!(recovered.entries.len(), old.len());
                let pairs = old.iter().zip(&recovered.entries);
                pairs.for_each(|(old, new)| assert!(is_converted(old, new), "{old:?} became {new:?}"));
                assert_eq!(recovered.hard_state.commit, Index(40));
            }
            if opened.is_ok() {
                break;
            }
            cuts += 1;
        }
        assert!(cuts > 3, "the disk failed at {cuts} places only");
    }
}

#[test]
fn a_log_of_a_newer_format_is_refused_with_both_versions() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, log) = new_disk(dir.path());
    log.store.set_format(4);
    drop(log);
    let error = Log::open_on(dir.path(), disk.clone()).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 4, .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("has format 4") && text.contains("reads 2 and 3"), "{text}");
}
