//! Envelopes and whatever else an outsider or a member hands over that is about keys.
//!
//! [`head`] is what everybody can send. [`signed`] is what only a member can: its bytes are signed with the key of a
//! participant, so that everything behind the check of the signature is reached.

use crate::bounded;
use crate::world::{AGGREGATOR, PARTICIPANT, aggregator_key, identity, label, participant_update, rng};
use rafty_seal::{
    MAX_MODULUS_BITS, MAX_RECIPIENTS, MIN_MODULUS_BITS, OpenError, Opening, RsaPublic, SignedHeader, Token,
    open, verify,
};
use rafty_types::{Digest, EnvelopeHeader, Signature, is_rsa_public};
use rafty_wire::client::ClientToken;
use std::io::Cursor;

/// A recipient of a few bytes takes some hundred; out-of-bounds heads are only judged when they are read whole.
const FACTOR: usize = 64;

/// The bytes as a signed head.
pub fn head(bytes: &[u8]) {
    let Ok(signed) = bounded(bytes.len(), FACTOR, || SignedHeader::decode(bytes)) else { return };
    assert_eq!(signed.encode(), bytes, "a head has one encoding");
    let header = signed.header();
    assert!((1..=MAX_RECIPIENTS).contains(&header.recipients.len()));
    assert!(header.label.segment < header.label.segments);
    assert!(header.recipients.iter().all(|one| header.is_for(one.member)));
    let participant = identity(PARTICIPANT);
    if verify(&signed, &participant.key()) {
        assert_eq!(header.label, label(), "the participant signed no other label");
    }
}

/// The first byte says how much the forger puts right; then the length of the ciphertext in two bytes, the ciphertext,
/// and the header in postcard.
pub fn signed(bytes: &[u8]) {
    let [flags, high, low, rest @ ..] = bytes else { return };
    let Some((ciphertext, header)) = rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))
    else {
        return;
    };
    let Ok(mut header) = postcard::from_bytes::<EnvelopeHeader>(header) else { return };
    let participant = identity(PARTICIPANT);
    header.sender_key = participant.key();
    if flags & 1 > 0 {
        header.ciphertext_len = ciphertext.len() as u64;
        header.ciphertext_digest = Digest::of(ciphertext);
    }
    let expected = label();
    if flags & 2 > 0 {
        header.label = expected.clone();
    }
    let Ok(signed) = SignedHeader::decode(&sign(&header)) else { return };
    assert!(verify(&signed, &participant.key()), "rightly signed");

    let original = participant_update();
    let key = aggregator_key();
    let opening = Opening {
        label: if flags & 4 > 0 { &header.label } else { &expected },
        sender_key: &participant.key(),
        member: AGGREGATOR,
        key,
    };
    let mut plaintext = Vec::new();
    let mut ciphertext = Cursor::new(ciphertext);
    match open(&signed, &opening, &mut ciphertext, &mut plaintext, &mut rng(8)) {
        // The fuzzer does not know the content key, so what opens is what was sealed, for what it was sealed for.
        Ok(()) => {
            assert_eq!(plaintext, original.content);
            assert_eq!(*ciphertext.get_ref(), original.ciphertext);
            assert_eq!(header.label, expected);
        }
        Err(OpenError::NotAuthentic) => {}
        Err(OpenError::Io(error)) => panic!("memory does not fail: {error}"),
    }
}

/// A header of version 1, put together from its description and signed by the participant.
pub(crate) fn sign(header: &EnvelopeHeader) -> Vec<u8> {
    let body = postcard::to_allocvec(header).expect("a header always encodes");
    let signature: Signature = identity(PARTICIPANT).sign(&[b"rafty envelope v2\0", &body[..]].concat());
    [b"rfse\x02", &body[..], &signature.to_bytes()].concat()
}

/// The bytes as an RSA key, as both kinds of token, and as a digest.
pub fn keys_and_tokens(bytes: &[u8]) {
    let key = bounded(bytes.len(), FACTOR, || RsaPublic::from_der(bytes));
    assert_eq!(key.is_ok(), is_rsa_public(bytes), "its form tells whether it can be sealed to");
    if let Ok(key) = key {
        assert_eq!(key.der(), bytes, "a key has one form");
        assert_eq!(key.key_id(), Digest::of(bytes));
        let modulus = MIN_MODULUS_BITS / 8..=MAX_MODULUS_BITS / 8 + 64;
        assert!(modulus.contains(&bytes.len()));
    }
    let Ok(text) = str::from_utf8(bytes) else { return };
    bounded(bytes.len(), FACTOR, || {
        if let Ok(token) = text.parse::<Token>() {
            assert_eq!(token.to_text().parse(), Ok(token));
        }
        if let Ok(token) = text.parse::<ClientToken>() {
            assert_eq!(*token.to_text(), *text.trim(), "a client's token has one form");
            assert_eq!(token.to_text().parse(), Ok(token));
        }
        if let Ok(digest) = text.parse::<Digest>() {
            assert_eq!(digest.to_string(), text.to_lowercase());
        }
    });
}
