//! Bits flipped and files cut short: a log gives back exactly what was acknowledged, or says that it is damaged.

mod kit;

use kit::*;
use rafty_storage::{Log, OpenError, Recovered};
use std::path::{Path, PathBuf};

/// How many bits are flipped in each state, one at a time, spread over all bytes that are not zero.
const FLIPS: usize = 150;

/// Files of a log with a snapshot: as a clean shutdown leaves them, and as a kill does.
fn written(killed: bool) -> (Vec<(PathBuf, Vec<u8>)>, Recovered) {
    let dir = tempfile::tempdir().unwrap();
    let mut log = new_log(dir.path());
    for first in (1..=600).step_by(300) {
        log.write(&[append(first..=first + 299, 1)]).unwrap();
    }
    log.write(&[remember(hard_state(1, 2, 550)), compact(540, 1, 10)]).unwrap();
    let read = |dir: &Path| {
        let content = |name| (PathBuf::from(&name), std::fs::read(dir.join(&name)).unwrap());
        files(dir).into_iter().map(content).collect()
    };
    let as_killed = read(dir.path());
    drop(log);
    let as_closed = read(dir.path());
    (if killed { as_killed } else { as_closed }, reopen(dir.path()))
}

/// Opens a copy of `files` in which `change` was made to the bytes of `changed`.
fn open_changed(
    files: &[(PathBuf, Vec<u8>)],
    changed: &Path,
    change: impl Fn(&mut Vec<u8>),
) -> Option<Recovered> {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let mut bytes = bytes.clone();
        if name == changed {
            change(&mut bytes);
        }
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    match Log::open(dir.path()) {
        Ok((_, recovered)) => Some(recovered),
        Err(OpenError::Damaged { .. }) => None,
        Err(other) => panic!("{}: {other}", changed.display()),
    }
}

fn flip_all_over(killed: bool) {
    let (files, expected) = written(killed);
    let bytes = files.iter().flat_map(|(name, bytes)| (0..bytes.len()).map(move |at| (name, at, bytes[at])));
    let places: Vec<_> = bytes.filter(|(.., byte)| *byte != 0).collect();
    let mut found = 0;
    for flip in 0..FLIPS {
        let (name, at, _) = places[flip * places.len() / FLIPS];
        match open_changed(&files, name, |bytes| bytes[at] ^= 1 << (flip % 8)) {
            None => found += 1,
            Some(recovered) => assert_eq!(recovered, expected, "{} at {at}", name.display()),
        }
    }
    assert!(found > FLIPS / 4, "only {found} of {FLIPS} flips were found");
}

#[test]
fn a_flipped_bit_in_a_closed_log_is_never_read() {
    flip_all_over(false);
}

#[test]
fn a_flipped_bit_in_the_log_of_a_killed_process_is_never_read() {
    flip_all_over(true);
}

#[test]
fn a_file_cut_short_is_never_read() {
    for killed in [false, true] {
        let (files, expected) = written(killed);
        for (name, bytes) in &files {
            for part in 0..20 {
                let len = bytes.len() * part / 20;
                if let Some(recovered) = open_changed(&files, name, |bytes| bytes.truncate(len)) {
                    assert_eq!(recovered, expected, "{} cut to {len}", name.display());
                }
            }
        }
    }
}

#[test]
fn a_snapshot_that_is_gone_or_another_is_damage() {
    let (files, _) = written(false);
    let (name, _) = files.iter().find(|(name, _)| name.to_string_lossy().starts_with("snapshot-")).unwrap();
    assert_eq!(open_changed(&files, name, |bytes| bytes[7] ^= 1), None);
    assert_eq!(open_changed(&files, name, |bytes| bytes.push(0)), None);
    let without: Vec<_> = files.iter().filter(|(other, _)| other != name).cloned().collect();
    assert_eq!(open_changed(&without, name, |_| ()), None);
}

#[test]
fn a_file_that_is_no_log_at_all_is_damage() {
    let (files, _) = written(false);
    let name = Path::new("log.redb");
    assert_eq!(open_changed(&files, name, Vec::clear), None);
    assert_eq!(open_changed(&files, name, |bytes| bytes.fill(0)), None);
    assert_eq!(open_changed(&files, name, |bytes| *bytes = b"hello\n".repeat(5_000)), None);
}
