//! What a log gives back after it was closed and opened again.

mod kit;

use kit::*;
use rafty_storage::{Log, OpenError, WriteError};
use rafty_types::*;

#[test]
fn a_lost_log_is_not_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let dir = &dir.path().join("log");
    assert!(matches!(Log::open(dir), Err(OpenError::Missing(_))));
    drop(new_log(dir));
    assert!(matches!(Log::create(dir), Err(OpenError::Exists(_))));
    let recovered = reopen(dir);
    assert_eq!(recovered.hard_state, HardState::default());
    assert_eq!(recovered.snapshot, Snapshot::default());
    assert_eq!(recovered.entries, []);
    std::fs::remove_file(dir.join("log.redb")).unwrap();
    assert!(matches!(Log::open(dir), Err(OpenError::Missing(_))));
}

#[test]
fn a_group_of_batches_stands_in_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = new_log(dir.path());
    let first = Batch { hard_state: Some(hard_state(1, 2, 0)), ..append(1..=5, 1) };
    let second = Batch { hard_state: Some(hard_state(2, 0, 3)), ..append(4..=4, 2) };
    log.write(&[first, second]).unwrap();
    drop(log);
    let recovered = reopen(dir.path());
    assert_eq!(recovered.hard_state, hard_state(2, 0, 3));
    assert_eq!(recovered.entries, [entries(1..=3, 1), entries(4..=4, 2)].concat());
}

#[test]
fn an_installed_snapshot_replaces_the_whole_log() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = new_log(dir.path());
    log.write(&[append(1..=9, 1), compact(4, 1, 3)]).unwrap();
    let install = Batch { install: Some(snapshot(7, 3)), ..append(8..=8, 3) };
    log.write(&[install]).unwrap();
    drop(log);
    let recovered = reopen(dir.path());
    assert_eq!(recovered.snapshot, snapshot(7, 3));
    assert_eq!(recovered.entries, entries(8..=8, 3));
    assert_eq!(recovered.hard_state.commit, Index(7), "a snapshot holds committed entries only");
    let snapshots = files(dir.path()).into_iter().filter(|file| file.starts_with("snapshot-"));
    assert_eq!(snapshots.count(), 1, "the older snapshot is gone");
}

#[test]
fn a_compaction_keeps_the_tail_it_names() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = new_log(dir.path());
    log.write(&[append(1..=20, 1), compact(10, 1, 6)]).unwrap();
    log.write(&[append(21..=22, 1)]).unwrap();
    drop(log);
    let recovered = reopen(dir.path());
    assert_eq!((recovered.snapshot, recovered.entries), (snapshot(10, 1), entries(6..=22, 1)));

    let (mut log, _) = Log::open(dir.path()).unwrap();
    log.write(&[compact(22, 1, 23)]).unwrap();
    log.write(&[append(23..=24, 2)]).unwrap();
    drop(log);
    let recovered = reopen(dir.path());
    assert_eq!((recovered.snapshot, recovered.entries), (snapshot(22, 1), entries(23..=24, 2)));
}

#[test]
fn a_compaction_overtaken_by_an_installed_snapshot_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = new_log(dir.path());
    log.write(&[append(1..=9, 1)]).unwrap();
    let install = Batch { install: Some(snapshot(30, 2)), ..Batch::default() };
    log.write(&[install, compact(8, 1, 5), append(31..=31, 2)]).unwrap();
    drop(log);
    let recovered = reopen(dir.path());
    assert_eq!((recovered.snapshot, recovered.entries), (snapshot(30, 2), entries(31..=31, 2)));
}

#[test]
fn what_does_not_fit_is_refused_and_the_log_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = new_log(dir.path());
    log.write(&[append(1..=10, 1), compact(5, 1, 3), remember(hard_state(2, 1, 8))]).unwrap();
    let gap = Batch { entries: vec![entry(11, 2), entry(13, 2)], ..Batch::default() };
    let backwards = Batch { install: Some(snapshot(7, 2)), ..Batch::default() };
    let refused = [
        (gap, "not consecutive"),
        (append(13..=13, 2), "do not fit"),
        (append(5..=9, 2), "do not fit"),
        (append(6..=7, 2), "but the log ends at 7"),
        (backwards, "cannot replace"),
        (compact(12, 2, 12), "a compaction at 12"),
        (compact(8, 1, 10), "that keeps 10 on"),
        (remember(hard_state(1, 1, 8)), "forget"),
        (remember(hard_state(2, 3, 8)), "forget"),
    ];
    for (batch, why) in refused {
        let error = log.write(&[append(11..=11, 2), batch.clone()]).unwrap_err();
        assert!(matches!(error, WriteError::Misuse(_)), "{batch:?}: {error}");
        assert!(error.to_string().contains(why), "{batch:?}: {error}");
    }
    log.write(&[append(11..=11, 2), remember(hard_state(2, 1, 11))]).unwrap();
    drop(log);
    let recovered = reopen(dir.path());
    assert_eq!(recovered.entries, [entries(3..=10, 1), entries(11..=11, 2)].concat());
    assert_eq!(recovered.hard_state, hard_state(2, 1, 11));
}

#[test]
fn a_log_is_open_once() {
    let dir = tempfile::tempdir().unwrap();
    let log = new_log(dir.path());
    assert!(matches!(Log::open(dir.path()), Err(OpenError::InUse(_))));
    drop(log);
    assert!(Log::open(dir.path()).is_ok());
}

#[test]
fn rubbish_of_a_killed_process_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = new_log(dir.path());
    log.write(&[append(1..=5, 1), compact(3, 1, 2)]).unwrap();
    drop(log);
    let mine = files(dir.path());
    std::fs::write(dir.path().join(".new-1-1"), "half").unwrap();
    std::fs::write(dir.path().join("snapshot-4-00"), "not referred to").unwrap();
    assert_eq!(reopen(dir.path()).snapshot, snapshot(3, 1));
    assert_eq!(files(dir.path()), mine);
}

#[test]
fn after_a_failure_the_log_refuses_until_it_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = new_log(dir.path());
    log.write(&[append(1..=5, 1)]).unwrap();
    // A directory of the snapshot's name makes its rename fail.
    let blocked = Digest::of(&snapshot(3, 1).data);
    let blocked = dir.path().join(format!("snapshot-3-{blocked}"));
    std::fs::create_dir(&blocked).unwrap();
    assert!(matches!(log.write(&[append(6..=6, 1), compact(3, 1, 2)]), Err(WriteError::Io(_))));
    assert!(matches!(log.write(&[append(6..=6, 1)]), Err(WriteError::Closed)));
    std::fs::remove_dir(&blocked).unwrap();
    drop(log);
    let (mut log, recovered) = Log::open(dir.path()).unwrap();
    assert_eq!(recovered.entries, entries(1..=5, 1));
    log.write(&[append(6..=6, 1), compact(3, 1, 2)]).unwrap();
}
