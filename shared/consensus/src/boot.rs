//! What a member starts with, and whether that is fit to start with.
//!
//! A member whose log or hard state is damaged must not vote with it: it re-enrols under a new id.

use crate::check::{MAX_NUMBER, check_membership, check_meta, follow};
use crate::log::Log;
use rafty_types::{Entry, HardState, Index, MemberId, Payload, Snapshot, Term};

/// What the disk held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Boot {
    /// Who this is.
    pub id: MemberId,
    /// The last hard state written.
    pub hard_state: HardState,
    /// The newest snapshot: index 0 and an empty membership for a newcomer.
    pub snapshot: Snapshot,
    /// The log. It may begin before the snapshot's end, with no gap to it.
    pub entries: Vec<Entry>,
    /// Whether this disk may be an older copy, and so may have forgotten votes and entries. Then the member does not stand
    /// for election, gives no votes, confirms no reads, and acknowledges only what is committed without it.
    pub abstains: bool,
}

/// The member cannot start. Nothing was changed. Unless the settings are at fault, its log is damaged: enrol it anew.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BootError {
    /// The id is 0.
    #[error("a member's id is never 0; nothing was changed")]
    NoId,
    /// The snapshot's metadata is impossible.
    #[error("the snapshot at index {0} is damaged; enrol this member anew")]
    BadSnapshot(Index),
    /// Entries are missing or out of order.
    #[error("the log is damaged between the snapshot at index {0} and its end; enrol this member anew")]
    BadLog(Index),
    /// The term is beyond what counting reaches.
    #[error("the log's term {0} is impossible: the log is damaged; enrol this member anew")]
    BadTerm(Term),
    /// Committed entries are missing.
    #[error("the log ends at index {last} but {commit} was committed; enrol this member anew")]
    LostEntries {
        /// What was committed.
        commit: Index,
        /// Where the log ends.
        last: Index,
    },
    /// The settings contradict each other.
    #[error("the settings do not fit together: {0}; nothing was changed")]
    BadConfig(String),
}

/// The log in memory that the engine starts on.
pub(crate) fn open(boot: Boot, batch: usize) -> Result<Log, BootError> {
    let meta = &boot.snapshot.meta;
    if boot.id == MemberId(0) {
        return Err(BootError::NoId);
    }
    let founded =
        meta.index == Index(0) && meta.term == Term(0) && check_membership(&meta.membership).is_ok();
    if !founded && check_meta(meta).is_err() {
        return Err(BootError::BadSnapshot(meta.index));
    }
    let mut entries = boot.entries;
    if entries.last().is_some_and(|last| last.index < meta.index) {
        entries.clear();
    }
    let anchor = anchor(&mut entries, (meta.index, meta.term)).ok_or(BootError::BadLog(meta.index))?;
    let start = starting_state(boot.hard_state, (meta.index, meta.term), &entries);
    if start.term.0 > MAX_NUMBER {
        return Err(BootError::BadTerm(start.term));
    }
    let last = entries.last().map_or(anchor.0, |entry| entry.index);
    if start.commit > last {
        return Err(BootError::LostEntries { commit: start.commit, last });
    }
    let anchor = (anchor.0.0, anchor.1.0);
    Ok(Log::new(anchor, entries.into(), boot.snapshot, boot.hard_state, start, batch))
}

/// The entry before the first one that can be used. Its term must be known; so when the log begins before the
/// snapshot's end, the first entry becomes the anchor.
fn anchor(entries: &mut Vec<Entry>, snapshot: (Index, Term)) -> Option<(Index, Term)> {
    let Some(first) = entries.first() else { return Some(snapshot) };
    let anchor = match first.index {
        Index(1) => (Index(0), Term(0)),
        index if index == snapshot.0.next() => snapshot,
        index if index <= snapshot.0 && index > Index(0) => (index, entries.remove(0).term),
        _ => return None,
    };
    let agrees = |at: &Entry| at.index != snapshot.0 || at.term == snapshot.1;
    let whole = follow(anchor.0, anchor.1, entries) && entries.iter().all(agrees);
    let anchored = anchor.0 != snapshot.0 || anchor.1 == snapshot.1;
    (whole && anchored).then_some(anchor)
}

/// The hard state, brought up to what the log proves. A write that was cut short may have left it behind.
fn starting_state(written: HardState, snapshot: (Index, Term), entries: &[Entry]) -> HardState {
    let mut start = written;
    let term = entries.last().map_or(snapshot.1, |entry| entry.term.max(snapshot.1));
    if start.term < term {
        start = HardState { term, voted_for: None, ..start };
    }
    // A membership change is only proposed when the one before is committed. Whoever forgot that could campaign
    // with a quorum that no longer exists.
    let is_change = |entry: &&Entry| matches!(entry.payload, Payload::Membership(_));
    let proven = entries.iter().rev().filter(is_change).nth(1).map_or(Index(0), |entry| entry.index);
    start.commit = start.commit.max(snapshot.0).max(proven);
    start
}

#[cfg(test)]
mod tests {
    use super::*;
    use rafty_types::{Membership, MembershipChange, SnapshotMeta};

    fn entry(index: u64, term: u64) -> Entry {
        Entry { index: Index(index), term: Term(term), payload: Payload::Empty }
    }

    fn boot(snapshot: (u64, u64), entries: Vec<Entry>) -> Boot {
        let membership = Membership { voters: vec![MemberId(1)], ..Membership::default() };
        let meta = SnapshotMeta { index: Index(snapshot.0), term: Term(snapshot.1), membership };
        let snapshot = Snapshot { meta, data: [].into() };
        Boot { id: MemberId(1), hard_state: HardState::default(), snapshot, entries, abstains: false }
    }

    #[test]
    fn a_log_that_begins_before_the_snapshots_end_is_anchored_on_its_first_entry() {
        let log = open(boot((4, 2), vec![entry(3, 1), entry(4, 2), entry(5, 2)]), 9).unwrap();
        assert_eq!((log.first(), log.last(), log.term_at(3)), (4, 5, Some(1)));
        let log = open(boot((4, 2), vec![entry(2, 1), entry(3, 1)]), 9).unwrap();
        assert_eq!((log.first(), log.last()), (5, 4), "what the snapshot holds whole is dropped");
    }

    #[test]
    fn damaged_logs_are_refused() {
        let gap = open(boot((4, 2), vec![entry(6, 2)]), 9);
        let hole = open(boot((4, 2), vec![entry(5, 2), entry(7, 2)]), 9);
        let backwards = open(boot((4, 2), vec![entry(5, 1)]), 9);
        let conflict = open(boot((4, 2), vec![entry(3, 1), entry(4, 1), entry(5, 3)]), 9);
        for outcome in [gap, hole, backwards, conflict] {
            assert_eq!(outcome.err(), Some(BootError::BadLog(Index(4))));
        }
        let mut lost = boot((4, 2), vec![entry(5, 2)]);
        lost.hard_state.commit = Index(6);
        assert_eq!(open(lost, 9).err(), Some(BootError::LostEntries { commit: Index(6), last: Index(5) }));
        let mut late = boot((4, 2), vec![]);
        late.hard_state.term = Term(u64::MAX);
        assert_eq!(
            open(late, 9).err(),
            Some(BootError::BadTerm(Term(u64::MAX))),
            "an election would overflow"
        );
        assert_eq!(
            open(boot((4, 2), vec![entry(5, u64::MAX)]), 9).err(),
            Some(BootError::BadTerm(Term(u64::MAX)))
        );
        assert_eq!(open(Boot::default(), 9).err(), Some(BootError::NoId));
    }

    #[test]
    fn two_membership_entries_prove_that_the_first_is_committed() {
        let change =
            |index| Entry { payload: Payload::Membership(MembershipChange::default()), ..entry(index, 2) };
        let entries = vec![entry(5, 2), change(6), entry(7, 2), change(8), entry(9, 3)];
        let start = starting_state(HardState::default(), (Index(4), Term(2)), &entries);
        assert_eq!(start, HardState { term: Term(3), voted_for: None, commit: Index(6) });
    }
}
