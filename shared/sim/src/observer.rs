//! The dictionary, watched: a command without a session must not be applied twice, whoever tried again.

use rafty_dictionary::{Entries, EntryCommand};
use rafty_types::{Digest, Index, RestoreError, StateMachine, Term};
use std::sync::Arc;

/// What the name of a key begins with that is set for the only time and never deleted.
const ONCE: &[u8] = b"once ";

/// The entries, with an eye on keys that are set once.
#[derive(Clone, Debug, Default)]
pub struct Observer {
    /// The dictionary.
    pub entries: Entries,
    /// What no command ever changes: anything but 0 is a state that has rotted on its disk.
    pub rot: u8,
}

impl StateMachine for Observer {
    fn apply(&mut self, index: Index, term: Term, command: &[u8]) -> Vec<u8> {
        if let Some(key) = once(command) {
            let words = String::from_utf8_lossy(&key);
            assert!(
                self.entries.get(&key).is_none(),
                "exactly once: `{words}` was applied twice, again at index {index}"
            );
        }
        self.entries.apply(index, term, command)
    }

    fn snapshot(&self) -> Vec<u8> {
        // The rot is the last byte of a snapshot, see [`rotted`].
        [&self.entries.snapshot()[..], &[self.rot]].concat()
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError> {
        let (rot, entries) = snapshot.split_last().ok_or_else(|| RestoreError("no rot".into()))?;
        self.entries.restore(entries)?;
        self.rot = *rot;
        Ok(())
    }

    fn digest(&self) -> Digest {
        Digest::of(&[&self.entries.digest().0[..], &[self.rot]].concat())
    }
}

/// How rotten a state is whose snapshot this is.
pub fn rot_of(snapshot: &[u8]) -> u8 {
    snapshot.last().copied().unwrap_or_default()
}

/// The same snapshot, as rotten as that.
pub fn rotted(snapshot: Arc<[u8]>, rot: u8) -> Arc<[u8]> {
    match snapshot.split_last() {
        Some((before, entries)) if *before != rot => [entries, &[rot]].concat().into(),
        _ => snapshot,
    }
}

/// A command that sets the key of this number, for the only time.
pub fn set_once(number: u64) -> Vec<u8> {
    let key = [ONCE, number.to_string().as_bytes()].concat();
    EntryCommand::Set { key, value: vec![1] }.encode()
}

/// The key that a command sets for the only time. Read without a decoder: the encoding is the variant, a length below
/// 128 and the bytes.
pub fn once(command: &[u8]) -> Option<Vec<u8>> {
    let variant = EntryCommand::Set { key: Vec::new(), value: Vec::new() }.encode()[0];
    let (len, rest) = command.strip_prefix(&[variant])?.split_first()?;
    let key = rest.get(..usize::from(*len))?;
    key.starts_with(ONCE).then(|| key.to_vec())
}
