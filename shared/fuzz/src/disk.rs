//! What a member finds on its disk when it starts: whatever stands there, it starts or says that it cannot.
//!
//! Records are checksummed, so these bytes are past the checksum: another version of the program wrote them, or somebody
//! who computed it.

use crate::bounded;
use rafty_consensus::{Boot, Config, Consensus, Input, Output};
use rafty_types::{Entry, HardState, MemberId, PersistId, Settings, Snapshot, SnapshotMeta, Time};
use std::time::Duration;

/// An entry of three bytes takes some fifty, and is converted once.
const FACTOR: usize = 100;
/// Steps of a member that has started.
const STEPS: u32 = 40;

/// A hard state, the snapshot's metadata, and entries, in postcard.
pub fn boot(bytes: &[u8]) {
    let parts = bounded(bytes.len(), FACTOR, || {
        postcard::from_bytes::<(HardState, SnapshotMeta, Vec<Entry>)>(bytes).ok()
    });
    let Some((hard_state, meta, entries)) = parts else { return };
    let again = postcard::to_allocvec(&(hard_state, &meta, &entries)).expect("what was read encodes");
    assert!(again.len() <= bytes.len(), "there is one shortest encoding");
    let snapshot = Snapshot { meta, data: [].into() };
    let boot = Boot { id: MemberId(1), hard_state, snapshot, entries, ..Boot::default() };
    let config = Config::from_settings(&Settings::default());
    let Ok(mut member) = Consensus::new(config, boot, 7, Time::ZERO) else { return };
    assert!(member.commit() <= member.last_index());
    assert!(member.term() >= hard_state.term, "no term is forgotten");
    let mut now = Time::ZERO;
    for _ in 0..STEPS {
        now = now + Duration::from_millis(20);
        let outputs = member.handle(now, Input::Tick);
        for id in outputs.iter().filter_map(persisted) {
            member.handle(now, Input::Persisted(id));
        }
    }
}

fn persisted(output: &Output) -> Option<PersistId> {
    match output {
        Output::Persist(id, _) => Some(*id),
        _ => None,
    }
}
