//! Going on after a majority was lost: what of a survivor's log is kept, and the log it goes on with.
//!
//! The operator decides, and the shell reads and writes; here only states and batches are made, so that the simulator
//! does what a program does.

use rafty_dictionary::Replicated;
use rafty_types::{
    Batch, Entry, HardState, Index, MemberId, Membership, Rejection, Snapshot, SnapshotMeta, StateMachine,
    Term,
};

/// The state after the last of `entries`, committed or not. Nobody can say any more which of them were, and a lost
/// majority may have acknowledged any of them.
///
/// # Errors
/// In words, when the snapshot cannot be read, an entry is missing, or this program cannot apply one.
pub fn replay<U: StateMachine>(
    snapshot: &Snapshot,
    entries: &[Entry],
    machine: U,
) -> Result<Replicated<U>, String> {
    let mut state = Replicated::new(machine);
    if snapshot.meta.index > Index(0) {
        state.restore(&snapshot.data).map_err(|error| format!("the state cannot be read: {error}"))?;
    }
    for entry in entries {
        if entry.index <= state.applied() {
            continue;
        }
        if entry.index != state.applied().next() {
            return Err(format!("entries before {} are missing", entry.index));
        }
        state.apply(entry);
        if let Some(level) = state.halted() {
            return Err(format!("the set is at feature level {level}; update this program"));
        }
    }
    Ok(state)
}

/// Brings `state` into a new epoch with these random `bits`, in which only `survivor` votes; gives what replaces its
/// whole log, as one batch. `term` is the highest that the survivor knows.
///
/// # Errors
/// When `survivor` is no member; nothing was changed then.
pub fn recover<U: StateMachine>(
    state: &mut Replicated<U>,
    survivor: MemberId,
    term: Term,
    bits: [u8; 16],
) -> Result<Batch, Rejection> {
    state.recover(survivor, bits)?;
    let (index, term) = (state.applied(), term.next());
    let membership = Membership { voters: vec![survivor], ..Membership::default() };
    let meta = SnapshotMeta { index, term, membership };
    let install = Snapshot { meta, data: state.snapshot().into() };
    let hard_state = HardState { term, voted_for: None, commit: index };
    Ok(Batch { install: Some(install), hard_state: Some(hard_state), ..Batch::default() })
}
