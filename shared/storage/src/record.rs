//! Values as they lie in the store and in small files: postcard, then a checksum that also covers what the value is for.
//!
//! The checksum finds damage. It is no protection against someone who means to deceive.

use rafty_types::Entry;
use serde::{Serialize, de::DeserializeOwned};

/// Bytes of the checksum behind a value: BLAKE3, cut.
const CHECKSUM: usize = 8;

/// The record of `value`, to be found under `key` and nowhere else.
pub(crate) fn pack<T: Serialize>(key: &[u8], value: &T) -> Vec<u8> {
    let mut bytes = postcard::to_allocvec(value).expect("values in memory always encode");
    bytes.extend(checksum(key, &bytes));
    bytes
}

/// The value of a record found under `key`, or `None` if it is not what was packed.
pub(crate) fn unpack<T: DeserializeOwned>(key: &[u8], record: &[u8]) -> Option<T> {
    let (bytes, sum) = record.split_last_chunk::<CHECKSUM>()?;
    if *sum != checksum(key, bytes) {
        return None;
    }
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Some(value),
        _ => None,
    }
}

pub(crate) fn pack_entry(entry: &Entry) -> Vec<u8> {
    pack(&entry.index.0.to_le_bytes(), entry)
}

pub(crate) fn unpack_entry(index: u64, record: &[u8]) -> Option<Entry> {
    unpack(&index.to_le_bytes(), record).filter(|entry: &Entry| entry.index.0 == index)
}

fn checksum(key: &[u8], bytes: &[u8]) -> [u8; CHECKSUM] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(key.len() as u64).to_le_bytes()).update(key).update(bytes);
    let hash = hasher.finalize();
    *hash.as_bytes().first_chunk().expect("a hash is longer than a checksum")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rafty_types::{Index, Payload, Term};

    #[test]
    fn only_the_very_bytes_under_the_very_key_read_back() {
        let payload = Payload::Command(b"set lamp on".to_vec().into());
        let entry = Entry { index: Index(7), term: Term(2), payload };
        let record = pack_entry(&entry);
        assert_eq!(unpack_entry(7, &record), Some(entry));
        assert_eq!(unpack_entry(8, &record), None);
        for bit in 0..record.len() * 8 {
            let mut flipped = record.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(unpack_entry(7, &flipped), None, "bit {bit}");
        }
        for len in 0..record.len() {
            assert_eq!(unpack_entry(7, &record[..len]), None, "cut to {len}");
        }
    }
}
