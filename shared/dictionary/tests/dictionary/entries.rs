//! The user machine that comes with rafty.

use rafty_dictionary::{
    CLUSTER_KEY, Entries, EntryCommand, EntryRefusal, EntryResult, MAX_ENTRIES_LEN, MAX_KEY_LEN,
    MAX_VALUE_LEN,
};
use rafty_types::{Index, StateMachine, Term};

fn apply(entries: &mut Entries, command: &[u8]) -> EntryResult {
    EntryResult::decode(&entries.apply(Index(2), Term(1), command)).expect("an answer")
}

fn set(entries: &mut Entries, key: &[u8], value: Vec<u8>) -> EntryResult {
    apply(entries, &EntryCommand::Set { key: key.to_vec(), value }.encode())
}

fn delete(entries: &mut Entries, key: &[u8]) -> EntryResult {
    apply(entries, &EntryCommand::Delete { key: key.to_vec() }.encode())
}

#[test]
fn what_is_out_of_bounds_is_refused_and_changes_nothing() {
    let mut entries = Entries::default();
    set(&mut entries, b"a", vec![1]);
    let before = entries.digest();
    let refused = EntryResult::Refused;
    assert_eq!(set(&mut entries, CLUSTER_KEY, vec![1]), refused(EntryRefusal::ReadOnlyKey));
    assert_eq!(delete(&mut entries, CLUSTER_KEY), refused(EntryRefusal::ReadOnlyKey));
    assert_eq!(set(&mut entries, &[0; MAX_KEY_LEN + 1], vec![1]), refused(EntryRefusal::KeyTooLong));
    assert_eq!(set(&mut entries, b"a", vec![0; MAX_VALUE_LEN + 1]), refused(EntryRefusal::ValueTooLong));
    assert_eq!(apply(&mut entries, &[9, 9, 9]), refused(EntryRefusal::Malformed));
    assert_eq!(apply(&mut entries, &[]), refused(EntryRefusal::Malformed));
    assert_eq!(entries.digest(), before);
}

#[test]
fn a_full_dictionary_takes_no_more_until_something_is_deleted() {
    let mut entries = Entries::default();
    let value = || vec![0; MAX_VALUE_LEN];
    let room = MAX_ENTRIES_LEN / (MAX_VALUE_LEN + 1);
    for n in 0..room {
        assert_eq!(set(&mut entries, &[n as u8], value()), EntryResult::Done);
    }
    assert_eq!(set(&mut entries, b"more", value()), EntryResult::Refused(EntryRefusal::Full));
    assert_eq!(set(&mut entries, &[0], value()), EntryResult::Done, "replacing takes no room");
    assert_eq!(delete(&mut entries, &[1]), EntryResult::Done);
    assert_eq!(set(&mut entries, b"m", value()), EntryResult::Done);
    assert!(entries.byte_len() <= MAX_ENTRIES_LEN);
}

#[test]
fn a_snapshot_reads_back_and_anything_else_changes_nothing() {
    let mut entries = Entries::default();
    set(&mut entries, b"a", vec![1]);
    set(&mut entries, b"bc", vec![]);
    let snapshot = entries.snapshot();
    let mut copy = Entries::default();
    copy.restore(&snapshot).unwrap();
    assert_eq!((&copy, copy.byte_len()), (&entries, 4));

    let swapped = [&snapshot[..1], &snapshot[11..], &snapshot[1..11]].concat();
    let twice = [&snapshot[..], &snapshot[11..]].concat();
    let mut reserved = vec![1, 7, 0, 0, 0, 0, 0, 0, 0];
    reserved.extend(CLUSTER_KEY);
    let foreign =
        [vec![], vec![2], vec![1, 255, 255, 255, 255, 255, 255, 255, 255], swapped, twice, reserved];
    let cut = (2..snapshot.len()).filter(|end| *end != 11).map(|end| snapshot[..end].to_vec());
    for bytes in foreign.into_iter().chain(cut) {
        assert!(copy.restore(&bytes).is_err(), "{bytes:?}");
        assert_eq!(copy, entries);
    }
}
