//! Which bytes are a header.

mod fixture;

use fixture::*;
use proptest::prelude::*;
use rafty_seal::{HeaderError, MAX_HEADER_LEN, MAX_PLAINTEXT_LEN, SignedHeader, ciphertext_len};
use rafty_types::EnvelopeHeader;

fn sealed() -> SignedHeader {
    Envelope::of(b"an update", &[AGGREGATOR]).signed
}

#[test]
fn a_header_has_exactly_one_encoding() {
    let signed = sealed();
    let bytes = signed.encode();
    assert_eq!(SignedHeader::decode(&bytes), Ok(signed));
    for length in 0..bytes.len() {
        assert!(SignedHeader::decode(&bytes[..length]).is_err(), "cut to {length} bytes");
    }
    assert_eq!(SignedHeader::decode(&[&bytes[..], &[0]].concat()), Err(HeaderError::Malformed));
    // The tenure, 40, in one byte more than it needs.
    let tenure = 5 + 16 + 1 + 16 + 16;
    assert_eq!(bytes[tenure], 40);
    let long = [&bytes[..tenure], &[40 | 0x80, 0], &bytes[tenure + 1..]].concat();
    assert_eq!(SignedHeader::decode(&long), Err(HeaderError::Malformed));
}

#[test]
fn other_bytes_are_told_apart() {
    let mut bytes = sealed().encode();
    assert_eq!(SignedHeader::decode(b""), Err(HeaderError::NotAHeader));
    assert_eq!(SignedHeader::decode(b"rfse"), Err(HeaderError::NotAHeader));
    assert_eq!(SignedHeader::decode(&vec![0; MAX_HEADER_LEN + 1]), Err(HeaderError::TooLong));
    bytes[4] = 3;
    assert_eq!(SignedHeader::decode(&bytes), Err(HeaderError::UnknownVersion(3)));
}

#[test]
fn every_bound_bites() {
    let out_of_bounds = |change: fn(&mut EnvelopeHeader)| {
        let mut header = sealed().header().clone();
        change(&mut header);
        let decoded = SignedHeader::decode(&encoded(&header, &identity(PARTICIPANT)));
        matches!(decoded, Err(HeaderError::OutOfBounds(_)))
    };
    assert!(!out_of_bounds(|_| {}));
    assert!(out_of_bounds(|header| header.recipients.clear()));
    assert!(out_of_bounds(|header| header.recipients.push(header.recipients[0].clone())));
    assert!(out_of_bounds(|header| {
        let one = header.recipients[0].clone();
        header.recipients = (1..=33)
            .map(|id| rafty_types::Recipient { member: rafty_types::MemberId(id), ..one.clone() })
            .collect();
    }));
    assert!(out_of_bounds(|header| header.recipients[0].wrapped_key.truncate(255)));
    assert!(out_of_bounds(|header| header.recipients[0].wrapped_key.resize(513, 0)));
    assert!(out_of_bounds(|header| header.label.segment = 1));
    assert!(out_of_bounds(|header| header.label.segments = 0));
    for length in [0, 15, 65536 + 17, 65536 + 32, ciphertext_len(MAX_PLAINTEXT_LEN) + 17, u64::MAX] {
        let mut header = sealed().header().clone();
        header.ciphertext_len = length;
        let decoded = SignedHeader::decode(&encoded(&header, &identity(PARTICIPANT)));
        assert!(matches!(decoded, Err(HeaderError::OutOfBounds(_))), "{length} bytes of ciphertext");
    }
}

proptest! {
    #[test]
    fn no_bytes_do_harm(mut bytes in prop::collection::vec(any::<u8>(), 0..2048), with_magic: bool) {
        if with_magic {
            bytes.splice(0..0, *b"rfse\x02");
        }
        if let Ok(signed) = SignedHeader::decode(&bytes) {
            prop_assert_eq!(signed.encode(), bytes);
        }
    }

    #[test]
    fn damage_never_goes_unseen(at: prop::sample::Index, replacement: u8) {
        let mut bytes = sealed().encode();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != replacement);
        bytes[at] = replacement;
        let seen = SignedHeader::decode(&bytes)
            .map_or(true, |signed| !rafty_seal::verify(&signed, &identity(PARTICIPANT).key()));
        prop_assert!(seen);
    }
}
