//! The bytes of version 1, pinned: what was sealed or printed by an older program must stay readable.
//!
//! When a test here fails, the format changed: give it a new version instead. The files were written by
//! `cargo test -p rafty-seal --test golden -- --ignored`.

mod fixture;

use fixture::*;
use rafty_seal::{CHUNK_LEN, SignedHeader, Token};
use rafty_types::{ClusterId, Digest};
use std::path::PathBuf;

const HEADER: &[u8] = include_bytes!("golden/header.bin");
const CIPHERTEXT: &[u8] = include_bytes!("golden/ciphertext.bin");
const TOKEN: &str = include_str!("golden/token.txt");
/// Of two chunks of ciphertext, too long to keep.
const TWO_CHUNKS: &str = include_str!("golden/two_chunks.txt");

fn envelope() -> Envelope {
    Envelope::of(b"the quick brown fox", &[AGGREGATOR, PARTICIPANT])
}

fn token() -> Token {
    Token::generate(ClusterId([9; 16]), &identity(AGGREGATOR).key(), &mut rng(5))
}

fn two_chunks() -> String {
    Digest::of(&Envelope::of(&content(CHUNK_LEN + 1), &[AGGREGATOR]).ciphertext).to_string()
}

#[test]
fn sealing_writes_the_same_bytes_as_ever() {
    let envelope = envelope();
    assert_eq!(envelope.signed.encode(), HEADER);
    assert_eq!(envelope.ciphertext, CIPHERTEXT);
    assert_eq!(two_chunks(), TWO_CHUNKS);
}

#[test]
fn what_was_sealed_long_ago_opens() {
    let kept = Envelope {
        signed: SignedHeader::decode(HEADER).unwrap(),
        ciphertext: CIPHERTEXT.to_vec(),
        ..envelope()
    };
    assert_eq!(kept.open_as(PARTICIPANT, &rsa_key(PARTICIPANT)).unwrap(), b"the quick brown fox");
}

#[test]
fn a_header_is_what_its_description_says() {
    assert_eq!(encoded(envelope().signed.header(), &identity(PARTICIPANT)), HEADER);
}

#[test]
fn a_token_reads_as_ever() {
    assert_eq!(*token().to_text(), TOKEN);
    assert_eq!(TOKEN.parse(), Ok(token()));
}

#[test]
#[ignore = "writes the files; only for a new version of the format"]
fn write() {
    let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    std::fs::write(golden.join("header.bin"), envelope().signed.encode()).unwrap();
    std::fs::write(golden.join("ciphertext.bin"), envelope().ciphertext).unwrap();
    std::fs::write(golden.join("token.txt"), &*token().to_text()).unwrap();
    std::fs::write(golden.join("two_chunks.txt"), two_chunks()).unwrap();
}
