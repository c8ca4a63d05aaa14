//! Who can open an envelope, and what for.

mod fixture;

use fixture::*;
use proptest::prelude::*;
use rafty_seal::{CHUNK_LEN, OpenError, Opening, RsaPublic, SealError, ciphertext_len, open, seal, verify};
use rafty_types::{
    Attempt, ClusterId, Digest, EnvelopeHeader, EnvelopeKind, Label, MemberId, Recipient, Round, RunId,
    Tenure, Version,
};
use std::io::{self, Cursor, Read, Write};

#[test]
fn what_was_sealed_is_opened_whatever_its_length() {
    let key = rsa_key(AGGREGATOR);
    for length in [0, 1, CHUNK_LEN - 1, CHUNK_LEN, CHUNK_LEN + 1, 2 * CHUNK_LEN, 200 * 1024] {
        let envelope = Envelope::of(&content(length), &[AGGREGATOR]);
        assert_eq!(envelope.open_as(AGGREGATOR, &key).unwrap(), content(length), "{length} bytes");
        assert_eq!(envelope.ciphertext.len() as u64, ciphertext_len(length as u64), "{length} bytes");
        assert_eq!(envelope.signed.header().ciphertext_len, envelope.ciphertext.len() as u64);
    }
}

#[test]
fn every_recipient_opens_it_and_nobody_else() {
    let envelope = Envelope::of(b"a model", &[AGGREGATOR, PARTICIPANT]);
    for member in [AGGREGATOR, PARTICIPANT] {
        assert_eq!(envelope.open_as(member, &rsa_key(member)).unwrap(), b"a model");
    }
    // A bystander holds the whole envelope: it can check it, and cannot read it under any name.
    assert!(verify(&envelope.signed, &envelope.sender_key));
    for member in [AGGREGATOR, PARTICIPANT, BYSTANDER] {
        let opened = envelope.open_as(member, &rsa_key(BYSTANDER));
        assert!(matches!(opened, Err(OpenError::NotAuthentic)), "as member {member}");
    }
    // Nor does a recipient open it in the place of another.
    assert!(envelope.open_as(PARTICIPANT, &rsa_key(AGGREGATOR)).is_err());
    let clear = |bytes: &[u8]| bytes.windows(7).any(|window| window == b"a model");
    assert!(!clear(&envelope.ciphertext) && !clear(&envelope.signed.encode()));
}

#[test]
fn a_bystander_named_in_the_header_still_lacks_the_key() {
    let envelope = Envelope::of(b"an update", &[AGGREGATOR]);
    let bystander = rsa_key(BYSTANDER);
    let forged = envelope.forge(|header| {
        header.recipients[0].member = BYSTANDER;
        header.recipients[0].key_id = bystander.key_id();
    });
    assert!(matches!(forged.open_as(BYSTANDER, &bystander), Err(OpenError::NotAuthentic)));
}

/// One label for each way in which it can be another.
fn other_labels(label: &Label) -> Vec<(&'static str, Label)> {
    let with = |change: fn(&mut Label)| {
        let mut other = label.clone();
        change(&mut other);
        other
    };
    vec![
        ("cluster", with(|label| label.set.cluster = ClusterId([8; 16]))),
        ("epoch", with(|label| label.set.epoch = label.set.epoch.recovered([1; 16]))),
        ("tenure", with(|label| label.tenure = Tenure(41))),
        ("run", with(|label| label.run = RunId(13))),
        ("round", with(|label| label.round = Round(4))),
        ("attempt", with(|label| label.attempt = Attempt(2))),
        ("version", with(|label| label.version = Version(3))),
        ("kind", with(|label| label.kind = EnvelopeKind::Model)),
        ("content", with(|label| label.content = Digest::of(b"another"))),
        ("segment", with(|label| (label.segment, label.segments) = (1, 2))),
        ("segments", with(|label| label.segments = 2)),
        ("sender", with(|label| label.sender = BYSTANDER)),
    ]
}

#[test]
fn an_envelope_is_not_taken_for_another_purpose() {
    let mut envelope = Envelope::of(b"an update", &[AGGREGATOR]);
    for (field, other) in other_labels(&label(b"an update")) {
        envelope.label = other;
        assert!(envelope.is_refused(), "another {field}");
    }
}

#[test]
fn an_old_envelope_does_not_open_under_a_new_label_even_if_its_sender_signs_that() {
    let envelope = Envelope::of(b"an update", &[AGGREGATOR]);
    for (field, other) in other_labels(&label(b"an update")) {
        let mut replayed = envelope.forge(|header| header.label = other.clone());
        replayed.label = other;
        assert!(verify(&replayed.signed, &replayed.sender_key));
        assert!(replayed.is_refused(), "another {field}");
    }
}

#[test]
fn a_thief_cannot_pass_an_update_off_as_its_own() {
    let mut stolen = Envelope::of(b"an update", &[AGGREGATOR]);
    let thief = identity(BYSTANDER);
    let mut header = stolen.signed.header().clone();
    header.sender_key = thief.key();
    stolen.signed = sign(&header, &thief);
    assert!(stolen.is_refused(), "signed by another than the label's sender");
    header.label.sender = BYSTANDER;
    (stolen.signed, stolen.label, stolen.sender_key) = (sign(&header, &thief), header.label, thief.key());
    assert!(verify(&stolen.signed, &thief.key()));
    assert!(stolen.is_refused(), "signed by the thief as the thief");
}

#[test]
fn a_foreign_signature_is_worth_nothing() {
    let mut envelope = Envelope::of(b"an update", &[AGGREGATOR]);
    envelope.signed = sign(envelope.signed.header(), &identity(BYSTANDER));
    assert!(!verify(&envelope.signed, &envelope.sender_key));
    assert!(!verify(&envelope.signed, &identity(BYSTANDER).key()));
    assert!(envelope.is_refused());
}

#[test]
fn any_changed_byte_of_the_header_is_noticed() {
    let envelope = Envelope::of(b"an update", &[AGGREGATOR]);
    let bytes = envelope.signed.encode();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        let Ok(signed) = rafty_seal::SignedHeader::decode(&flipped) else { continue };
        assert!(!verify(&signed, &envelope.sender_key), "byte {at}");
        let forged = Envelope { signed, ..envelope.clone() };
        assert!(forged.is_refused(), "byte {at}");
    }
}

/// Beginning, middle and tag of each chunk.
fn places(length: usize) -> Vec<usize> {
    let chunk = CHUNK_LEN + 16;
    (0..length)
        .step_by(chunk)
        .flat_map(|start| {
            let end = length.min(start + chunk);
            [start, (start + end) / 2, end - 16, end - 1]
        })
        .collect()
}

#[test]
fn any_changed_byte_of_the_ciphertext_is_noticed() {
    let envelope = Envelope::of(&content(2 * CHUNK_LEN + 100), &[AGGREGATOR]);
    for at in places(envelope.ciphertext.len()) {
        let mut flipped = envelope.clone();
        flipped.ciphertext[at] ^= 0x10;
        assert!(flipped.is_refused(), "byte {at}, by the digest in the header");
        assert!(envelope.with_ciphertext(flipped.ciphertext).is_refused(), "byte {at}, by the chunk's tag");
    }
}

#[test]
fn nothing_can_be_cut_off_added_or_reordered() {
    let envelope = Envelope::of(&content(3 * CHUNK_LEN), &[AGGREGATOR]);
    let whole = &envelope.ciphertext;
    let chunks: Vec<&[u8]> = whole.chunks(CHUNK_LEN + 16).collect();
    let changed = [
        ("first chunk only", chunks[..1].concat()),
        ("last chunk missing", chunks[..2].concat()),
        ("first chunk missing", chunks[1..].concat()),
        ("last byte missing", whole[..whole.len() - 1].to_vec()),
        ("a little more", [whole, &[0; 20][..]].concat()),
        ("a chunk twice", [chunks[0], chunks[0], chunks[1], chunks[2]].concat()),
        ("last chunk twice", [whole, chunks[2]].concat()),
        ("two swapped", [chunks[1], chunks[0], chunks[2]].concat()),
        ("last one first", [chunks[2], chunks[0], chunks[1]].concat()),
        ("nearly nothing", vec![0; 16]),
    ];
    for (what, ciphertext) in changed {
        let unsigned = Envelope { ciphertext: ciphertext.clone(), ..envelope.clone() };
        assert!(unsigned.is_refused(), "{what}, by the header");
        assert!(envelope.with_ciphertext(ciphertext).is_refused(), "{what}, by the stream");
    }
    let nothing = Envelope { ciphertext: Vec::new(), ..envelope.clone() };
    assert!(nothing.is_refused());
}

/// OAEP with a label put together from its description.
fn wrapped(key: &[u8; 32], label: &Label, member: MemberId, key_id: Digest, public: &RsaPublic) -> Vec<u8> {
    use rsa::pkcs1::DecodeRsaPublicKey;
    let binding = postcard::to_allocvec(&(label, member, key_id)).unwrap();
    let padding =
        rsa::Oaep::<sha2::Sha256>::new_with_label([b"rafty content key v2\0", &binding[..]].concat());
    rsa::RsaPublicKey::from_pkcs1_der(public.der()).unwrap().encrypt(&mut rng(5), padding, key).unwrap()
}

#[test]
fn a_sender_cannot_give_recipients_different_keys() {
    let envelope = Envelope::of(b"an update", &[AGGREGATOR]);
    let aggregator = rsa_key(AGGREGATOR);
    let mut drawn = [0; 32];
    chacha20::rand_core::Rng::fill_bytes(&mut rng(7), &mut drawn);
    let rewrap = |key: &[u8; 32], label: &Label, member| {
        let wrapped_key = wrapped(key, label, member, aggregator.key_id(), aggregator.public());
        envelope.forge(|header| header.recipients[0].wrapped_key = wrapped_key)
    };
    let genuine = rewrap(&drawn, &envelope.label, AGGREGATOR);
    assert_eq!(
        genuine.open_as(AGGREGATOR, &aggregator).unwrap(),
        b"an update",
        "the test wraps as the crate does"
    );
    assert!(rewrap(&[1; 32], &envelope.label, AGGREGATOR).is_refused(), "another key");
    assert!(rewrap(&drawn, &envelope.label, BYSTANDER).is_refused(), "wrapped for another member");
    let next = Label { attempt: Attempt(2), ..envelope.label.clone() };
    assert!(rewrap(&drawn, &next, AGGREGATOR).is_refused(), "wrapped for another attempt");
    let mut moved = rewrap(&drawn, &next, AGGREGATOR).forge(|header| header.label = next.clone());
    moved.label = next;
    assert!(moved.is_refused(), "wrapped anew for another attempt, around the old content");
    let misnamed = envelope.forge(|header| {
        let key_id = Digest::of(b"another key");
        let wrapped_key = wrapped(&drawn, &header.label, AGGREGATOR, key_id, aggregator.public());
        header.recipients[0] = Recipient { member: AGGREGATOR, key_id, wrapped_key };
    });
    assert!(misnamed.is_refused(), "wrapped with one key under the name of another");
}

#[test]
fn no_field_of_a_signed_header_may_lie() {
    let envelope = Envelope::of(&content(CHUNK_LEN), &[AGGREGATOR]);
    assert!(!envelope.forge(|_| {}).is_refused());
    assert!(envelope.forge(|header| header.content_key_hash = Digest::of(b"another")).is_refused());
    assert!(envelope.forge(|header| header.ciphertext_digest = Digest::of(b"another")).is_refused());
    assert!(envelope.forge(|header| header.ciphertext_len -= 1).is_refused());
    assert!(envelope.forge(|header| header.ciphertext_len += 17).is_refused());
    assert!(envelope.forge(|header| header.nonce[6] ^= 1).is_refused());
    assert!(envelope.forge(|header| header.recipients[0].key_id = Digest::of(b"another")).is_refused());
}

/// An envelope of one chunk for the aggregator, put together from its description, whatever its label says.
fn sealed_by_hand(label: Label, content: &[u8]) -> Envelope {
    use chacha20poly1305::aead::{Aead, KeyInit, Payload};
    let (key, public) = ([3; 32], rsa_key(AGGREGATOR).public().clone());
    let purpose = [b"rafty envelope content v2\0", &postcard::to_allocvec(&label).unwrap()[..]].concat();
    let payload = Payload { msg: content, aad: &Digest::of(&purpose).0 };
    let nonce = [5, 5, 5, 5, 5, 5, 5, 0, 0, 0, 0, 1]; // prefix, chunk 0, the last one
    let cipher = chacha20poly1305::ChaCha20Poly1305::new(&key.into());
    let ciphertext = cipher.encrypt(&nonce.into(), payload).unwrap();
    let wrapped_key = wrapped(&key, &label, AGGREGATOR, public.key_id(), &public);
    let header = EnvelopeHeader {
        label: label.clone(),
        sender_key: identity(PARTICIPANT).key(),
        content_key_hash: Digest::of(&key),
        nonce: [5; 7],
        ciphertext_len: ciphertext.len() as u64,
        ciphertext_digest: Digest::of(&ciphertext),
        recipients: vec![Recipient { member: AGGREGATOR, key_id: public.key_id(), wrapped_key }],
    };
    let signed = sign(&header, &identity(PARTICIPANT));
    Envelope { signed, ciphertext, label, sender_key: header.sender_key }
}

#[test]
fn the_content_must_be_what_the_label_says() {
    let honest = sealed_by_hand(label(b"an update"), b"an update");
    assert_eq!(honest.open_as(AGGREGATOR, &rsa_key(AGGREGATOR)).unwrap(), b"an update");
    assert!(sealed_by_hand(label(b"an update"), b"a trap").is_refused());
}

#[test]
fn wrapped_keys_cannot_be_swapped_or_replaced_by_noise() {
    let envelope = Envelope::of(b"a model", &[AGGREGATOR, PARTICIPANT]);
    let swapped = envelope.forge(|header| {
        let [first, second] = &mut header.recipients[..] else { unreachable!() };
        std::mem::swap(&mut first.wrapped_key, &mut second.wrapped_key);
    });
    assert!(swapped.is_refused());
    for noise in [vec![0; 384], vec![0xff; 384], vec![1; 256], vec![1; 512]] {
        assert!(envelope.forge(|header| header.recipients[0].wrapped_key = noise).is_refused());
    }
}

#[test]
fn sealing_says_what_is_wrong() {
    let public = rsa_key(AGGREGATOR).public().clone();
    let seal_for = |count: u64, text: &[u8]| {
        let recipients: Vec<_> = (1..=count).map(|id| (MemberId(id), public.clone())).collect();
        let sender = identity(PARTICIPANT);
        seal(label(b"text"), &recipients, &sender, &mut &*text, &mut io::sink(), &mut rng(1))
    };
    assert!(matches!(seal_for(0, b"text"), Err(SealError::Recipients)));
    assert!(matches!(seal_for(33, b"text"), Err(SealError::Recipients)));
    assert!(matches!(seal_for(1, b"other"), Err(SealError::WrongContent)));
    let most = seal_for(32, b"text").unwrap();
    assert_eq!(rafty_seal::SignedHeader::decode(&most.encode()), Ok(most));

    let twice = [(AGGREGATOR, public.clone()), (AGGREGATOR, public)];
    let sealed =
        seal(label(b""), &twice, &identity(PARTICIPANT), &mut io::empty(), &mut io::sink(), &mut rng(1));
    assert!(matches!(sealed, Err(SealError::Recipients)));
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("a bad sector"))
    }
}

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::StorageFull.into())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl io::Seek for Broken {
    fn seek(&mut self, _: io::SeekFrom) -> io::Result<u64> {
        Ok(0)
    }
}

#[test]
fn a_failing_disk_is_not_taken_for_a_forgery() {
    let (key, sender) = (rsa_key(AGGREGATOR), identity(PARTICIPANT));
    let recipients = [(AGGREGATOR, key.public().clone())];
    let into_broken = seal(label(b"x"), &recipients, &sender, &mut &b"x"[..], &mut Broken, &mut rng(1));
    assert!(matches!(into_broken, Err(SealError::Io(_))));
    let from_broken = seal(label(b"x"), &recipients, &sender, &mut Broken, &mut io::sink(), &mut rng(1));
    assert!(matches!(from_broken, Err(SealError::Io(_))));

    let envelope = Envelope::of(b"x", &[AGGREGATOR]);
    let opening =
        Opening { label: &envelope.label, sender_key: &sender.key(), member: AGGREGATOR, key: &key };
    let from_broken = open(&envelope.signed, &opening, &mut Broken, &mut io::sink(), &mut rng(1));
    assert!(matches!(from_broken, Err(OpenError::Io(_))));
    let mut ciphertext = Cursor::new(&envelope.ciphertext);
    let into_broken = open(&envelope.signed, &opening, &mut ciphertext, &mut Broken, &mut rng(1));
    assert!(matches!(into_broken, Err(OpenError::Io(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_round_trip_gives_the_same_bytes(bytes in prop::collection::vec(any::<u8>(), 0..3 * CHUNK_LEN), two: bool) {
        let recipients: &[_] = if two { &[PARTICIPANT, AGGREGATOR] } else { &[AGGREGATOR] };
        let envelope = Envelope::of(&bytes, recipients);
        prop_assert_eq!(envelope.open_as(AGGREGATOR, &rsa_key(AGGREGATOR)).unwrap(), bytes);
    }
}
