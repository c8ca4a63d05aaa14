//! What holds for all requests, however they arrive, and for all bytes.

use proptest::collection::vec;
use proptest::prelude::*;
use rafty_types::{Serial, SessionId};
use rafty_wire::client::*;
use std::time::Duration;

/// The bytes of any MessagePack value.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let number =
        |marker: u8, len| vec(any::<u8>(), len).prop_map(move |body| [&[marker][..], &body].concat());
    let counted = |marker: u8| {
        vec(any::<u8>(), 0..40).prop_map(move |body| {
            let len = u8::try_from(body.len()).unwrap();
            [&[marker, len][..], &body].concat()
        })
    };
    let ext = (any::<u8>(), vec(any::<u8>(), 0..40)).prop_map(|(kind, body)| {
        let len = u8::try_from(body.len()).unwrap();
        [&[0xc7, len, kind][..], &body].concat()
    });
    let leaf = prop_oneof![
        prop::sample::select(vec![0x00, 0x7f, 0xe0, 0xff, 0xc0, 0xc2, 0xc3]).prop_map(|byte| vec![byte]),
        number(0xcf, 8),
        number(0xca, 4),
        number(0xd8, 17),
        counted(0xd9),
        counted(0xc4),
        ext,
    ];
    leaf.prop_recursive(6, 40, 8, |inner| {
        let array = vec(inner.clone(), 0..8).prop_map(|all| {
            let len = u16::try_from(all.len()).unwrap().to_be_bytes();
            [&[0xdc][..], &len, &all.concat()].concat()
        });
        let map = vec((inner.clone(), inner), 0..8).prop_map(|all| {
            let mut bytes = vec![0x80 | u8::try_from(all.len()).unwrap()];
            all.into_iter().for_each(|(key, value)| bytes.extend([key, value].concat()));
            bytes
        });
        prop_oneof![array, map]
    })
}

fn ask() -> impl Strategy<Value = Ask> {
    let key = "\\PC{0,20}";
    let consistency =
        prop::sample::select(vec![Consistency::Available, Consistency::Linearizable, Consistency::Stale]);
    let change = prop_oneof![
        (key, value()).prop_map(|(key, value)| Change::Set { key, value }),
        key.prop_map(|key| Change::Delete { key }),
        vec(any::<u8>(), 0..40).prop_map(Change::Command),
    ];
    let session = prop::option::of((any::<u64>().prop_map(SessionId), (1u64..).prop_map(Serial)));
    let action = prop::sample::select(vec![ConfigAction::Add, ConfigAction::Delete]);
    prop_oneof![
        (prop::option::of(key), consistency.clone(), any::<bool>())
            .prop_map(|(key, consistency, framed)| Ask::Get { key, consistency, framed }),
        (vec(any::<u8>(), 0..40), consistency)
            .prop_map(|(query, consistency)| Ask::Query { query, consistency }),
        (change, session).prop_map(|(change, session)| Ask::Append { change, session }),
        (action, key, any::<u16>()).prop_map(|(action, address, port)| Ask::Config { action, address, port }),
        Just(Ask::Session),
        Just(Ask::Diagnostic),
        any::<[u8; 16]>().prop_map(|client| Ask::Proof { client }),
    ]
}

fn request() -> impl Strategy<Value = Request> {
    let timeout = prop::option::of((0u64..=60_000).prop_map(Duration::from_millis));
    (ask(), any::<bool>(), timeout, any::<bool>(), any::<bool>()).prop_map(
        |(ask, keep, timeout, token, forward)| Request {
            ask,
            keep,
            timeout,
            token: token.then(|| ClientToken::from_secret([7; 32].into())),
            forward,
        },
    )
}

/// Everything that a parser reads out of pieces.
fn read(pieces: &[&[u8]]) -> Result<Vec<Request>, RequestError> {
    let mut parser = Parser::default();
    let mut found = Vec::new();
    for piece in pieces {
        parser.feed(piece);
        while let Some(request) = parser.next_request()? {
            found.push(request);
        }
    }
    Ok(found)
}

proptest! {
    #[test]
    fn a_request_is_read_as_it_was_written_wherever_it_is_split(request in request()) {
        let bytes = request.encode();
        for at in 0..=bytes.len() {
            let (one, two) = bytes.split_at(at);
            prop_assert_eq!(read(&[one, two]).unwrap(), vec![request.clone()]);
        }
        let single: Vec<_> = bytes.chunks(1).collect();
        prop_assert_eq!(read(&single).unwrap(), vec![request]);
    }

    #[test]
    fn requests_in_a_row_are_read_in_order(requests in vec(request(), 1..8), size in 1usize..64) {
        let bytes: Vec<u8> = requests.iter().flat_map(Request::encode).collect();
        let pieces: Vec<_> = bytes.chunks(size).collect();
        prop_assert_eq!(read(&pieces).unwrap(), requests);
    }

    #[test]
    fn of_a_request_cut_short_nothing_is_read(request in request()) {
        let bytes = request.encode();
        for len in 0..bytes.len() {
            prop_assert_eq!(read(&[&bytes[..len]]).unwrap(), vec![]);
            prop_assert!(Request::decode(&bytes[..len]).is_err());
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..300), size in 1usize..64) {
        let pieces: Vec<_> = bytes.chunks(size).collect();
        let whole = read(&[&bytes]);
        prop_assert_eq!(read(&pieces), whole);
        let _ = (Request::decode(&bytes), Reply::decode(&bytes), decode_entries(&bytes), decode_value(&bytes));
    }

    #[test]
    fn a_flipped_byte_never_makes_more_than_was_sent(request in request(), at in any::<usize>(), bit in 0u8..8) {
        let mut bytes = request.encode();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        let held: usize = read(&[&bytes]).iter().flatten().map(Request::byte_len).sum();
        prop_assert!(held <= bytes.len());
    }

    #[test]
    fn a_scanner_finds_the_same_end_as_a_decoder(value in value(), tail in vec(any::<u8>(), 0..9)) {
        let bytes = [&value[..], &tail].concat();
        prop_assert_eq!(Scanner::new(1 << 20).feed(&bytes), Ok(Some(value.len())));
        let mut rest = &bytes[..];
        let decoded = rmpv::decode::read_value(&mut rest);
        prop_assert!(decoded.is_ok());
        prop_assert_eq!(rest, &tail[..]);
    }

    #[test]
    fn entries_come_back_bit_by_bit(entries in prop::collection::btree_map("\\PC{0,20}", value(), 0..20)) {
        let all = || entries.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
        let pairs = entries.iter().map(|(key, value)| (key.as_bytes(), value.as_slice()));
        let bytes = encode_entries(&[Address("::1".into(), 7)], pairs, 0);
        prop_assert_eq!(decode_entries(&bytes).unwrap().split_off(1), all().collect::<Vec<_>>());
        for value in entries.values() {
            let bytes = encode_value(Some(value));
            prop_assert_eq!(decode_value(&bytes), Some(Some(&value[..])));
        }
    }
}

#[test]
fn long_requests_in_small_pieces_take_no_longer_than_their_bytes() {
    // Were each piece scanned from the beginning, this would be 10^11 steps.
    let value = [&b"\xdc\xff\xff"[..], &[0x07; 65_535]].concat();
    let values = [&b"\x9f"[..], &value.repeat(15)].concat();
    let change = Change::Set { key: "k".into(), value: values };
    let request = Request {
        ask: Ask::Append { change, session: None },
        keep: false,
        timeout: None,
        token: None,
        forward: false,
    };
    let bytes = request.encode();
    let pieces: Vec<_> = bytes.chunks(1).collect();
    assert_eq!(read(&pieces).unwrap(), [request]);
}
