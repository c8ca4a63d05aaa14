//! The user machine that comes with rafty: a dictionary of keys and values.
//!
//! Keys are the raw bytes of what the user wrote (of a `str`, its UTF-8), values one MessagePack value each, kept as
//! they came. Reading MessagePack, and showing the members under the key `cluster`, is the client protocol's
//! business.

use rafty_types::{Digest, DigestWriter, Index, RestoreError, StateMachine, Term};
use rpds::RedBlackTreeMapSync;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Longest key, in bytes.
pub const MAX_KEY_LEN: usize = 1_024;
/// Longest value, in bytes.
pub const MAX_VALUE_LEN: usize = 1_024 * 1_024;
/// Most bytes of all keys and values together: they are held in memory, and again while a snapshot is made.
pub const MAX_ENTRIES_LEN: usize = 64 * 1_024 * 1_024;
/// The key that lists the members; nobody writes it.
pub const CLUSTER_KEY: &[u8] = b"cluster";

const FORMAT: u8 = 1;

/// What can be asked of [`Entries`]. Grows at the end only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryCommand {
    /// Stores a value.
    Set {
        /// At most [`MAX_KEY_LEN`] bytes.
        #[serde(with = "serde_bytes")]
        key: Vec<u8>,
        /// One MessagePack value of at most [`MAX_VALUE_LEN`] bytes.
        #[serde(with = "serde_bytes")]
        value: Vec<u8>,
    },
    /// Removes a key and its value.
    Delete {
        /// Which.
        #[serde(with = "serde_bytes")]
        key: Vec<u8>,
    },
}

impl EntryCommand {
    /// The bytes of a [`Command::User`](rafty_types::Command::User).
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("a command always encodes")
    }

    /// Reads what [`encode`](Self::encode) wrote. `None` for anything else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (command, rest) = postcard::take_from_bytes(bytes).ok()?;
        rest.is_empty().then_some(command)
    }
}

/// What [`Entries`] answers. Grows at the end only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryResult {
    /// It is done.
    Done,
    /// There was no such key to delete; nothing was changed.
    Missing,
    /// Not done; nothing was changed.
    Refused(EntryRefusal),
}

impl EntryResult {
    fn encode(self) -> Vec<u8> {
        postcard::to_allocvec(&self).expect("a result always encodes")
    }

    /// Reads what [`Entries`] answered. `None` for anything else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }
}

/// Why a key or value was not written. Grows at the end only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum EntryRefusal {
    /// The key lists the members.
    #[error("the key `cluster` lists the members and cannot be written; choose another key")]
    ReadOnlyKey,
    /// Too long a key.
    #[error("a key takes at most {MAX_KEY_LEN} bytes; nothing was changed")]
    KeyTooLong,
    /// Too long a value.
    #[error("a value takes at most {MAX_VALUE_LEN} bytes; nothing was changed")]
    ValueTooLong,
    /// No room.
    #[error(
        "the dictionary holds at most {MAX_ENTRIES_LEN} bytes; nothing was changed, delete something first"
    )]
    Full,
    /// Not a command.
    #[error("the command cannot be read; nothing was changed")]
    Malformed,
}

/// The dictionary. A clone is made at once and shares all that neither of the two changes later.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    map: RedBlackTreeMapSync<Vec<u8>, Arc<[u8]>>,
    len: usize,
}

impl Entries {
    /// The value of `key`, one MessagePack value.
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.map.get(key).map(|value| &**value)
    }

    /// The same, to be kept.
    pub fn get_shared(&self, key: &[u8]) -> Option<Arc<[u8]>> {
        self.map.get(key).cloned()
    }

    /// Keys and values in the order of the keys' bytes.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        self.map.iter().map(|(key, value)| (key.as_slice(), &**value))
    }

    /// Bytes of all keys and values together, at most [`MAX_ENTRIES_LEN`].
    pub fn byte_len(&self) -> usize {
        self.len
    }

    fn set(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<EntryResult, EntryRefusal> {
        check_key(&key)?;
        if value.len() > MAX_VALUE_LEN {
            return Err(EntryRefusal::ValueTooLong);
        }
        let replaced = self.map.get(&key).map_or(0, |old| key.len() + old.len());
        let len = self.len - replaced + key.len() + value.len();
        if len > MAX_ENTRIES_LEN {
            return Err(EntryRefusal::Full);
        }
        self.len = len;
        self.map.insert_mut(key, value.into());
        Ok(EntryResult::Done)
    }

    fn delete(&mut self, key: &[u8]) -> Result<EntryResult, EntryRefusal> {
        check_key(key)?;
        let Some(value) = self.map.get(key) else { return Ok(EntryResult::Missing) };
        self.len -= key.len() + value.len();
        self.map.remove_mut(key);
        Ok(EntryResult::Done)
    }
}

fn check_key(key: &[u8]) -> Result<(), EntryRefusal> {
    match key {
        CLUSTER_KEY => Err(EntryRefusal::ReadOnlyKey),
        _ if key.len() > MAX_KEY_LEN => Err(EntryRefusal::KeyTooLong),
        _ => Ok(()),
    }
}

impl StateMachine for Entries {
    fn apply(&mut self, _: Index, _: Term, command: &[u8]) -> Vec<u8> {
        let result = match EntryCommand::decode(command) {
            Some(EntryCommand::Set { key, value }) => self.set(key, value),
            Some(EntryCommand::Delete { key }) => self.delete(&key),
            None => Err(EntryRefusal::Malformed),
        };
        result.unwrap_or_else(EntryResult::Refused).encode()
    }

    /// A format byte, then per entry two lengths (u32, little-endian), the key and the value.
    fn snapshot(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + self.len + 8 * self.map.size());
        bytes.push(FORMAT);
        for (key, value) in self.iter() {
            bytes.extend(head(key, value));
            bytes.extend(key);
            bytes.extend(value);
        }
        bytes
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError> {
        let unreadable = |why: &str| RestoreError(format!("entries: {why}"));
        let (format, mut rest) = snapshot.split_first().ok_or_else(|| unreadable("empty"))?;
        if *format != FORMAT {
            return Err(unreadable("unknown format"));
        }
        let mut entries = Self::default();
        while !rest.is_empty() {
            let (key, value) = take_entry(&mut rest).ok_or_else(|| unreadable("cut short"))?;
            if entries.map.last().is_some_and(|(last, _)| last.as_slice() >= key) {
                return Err(unreadable("keys out of order"));
            }
            entries.set(key.to_vec(), value.to_vec()).map_err(|why| unreadable(&why.to_string()))?;
        }
        *self = entries;
        Ok(())
    }

    /// That of the snapshot, of which no copy is made for it.
    fn digest(&self) -> Digest {
        let mut digest = DigestWriter::default();
        digest.write(&[FORMAT]);
        for (key, value) in self.iter() {
            [&head(key, value)[..], key, value].into_iter().for_each(|part| digest.write(part));
        }
        digest.finish()
    }
}

/// The two lengths before an entry in a snapshot.
fn head(key: &[u8], value: &[u8]) -> [u8; 8] {
    let len = |part: &[u8]| u32::try_from(part.len()).expect("keys and values are bounded");
    (u64::from(len(key)) | u64::from(len(value)) << 32).to_le_bytes()
}

fn take_entry<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let key_len = take_len(rest)?;
    let value_len = take_len(rest)?;
    Some((rest.split_off(..key_len)?, rest.split_off(..value_len)?))
}

fn take_len(rest: &mut &[u8]) -> Option<usize> {
    let (len, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    usize::try_from(u32::from_le_bytes(*len)).ok()
}
