//! What comes over TCP: requests to a member, in whatever pieces, and replies to a client.

use crate::bounded;
use rafty_wire::client::{
    Address, Ask, Change, Diagnostic, MAX_KEY_LEN, MAX_REQUEST_LEN, MAX_TIMEOUT, MAX_VALUE_LEN, Parser,
    Reply, Request, RequestError, Scanner, decode_answer, decode_entries, decode_value, encode_answer,
    encode_entries, encode_value,
};

/// A request is held twice while it is decoded; its fields, and those of its data, are looked up in lists.
const REQUEST_FACTOR: usize = 40;
/// An entry of two bytes becomes two slices, in a list that grows.
const REPLY_FACTOR: usize = 100;

/// The first byte says how large the pieces are; the rest arrives in them.
pub fn request(bytes: &[u8]) {
    let Some((&size, bytes)) = bytes.split_first() else { return };
    let whole = bounded(bytes.len(), REQUEST_FACTOR, || read(bytes, bytes.len().max(1)));
    let pieces = read(bytes, usize::from(size).max(1));
    assert_eq!(pieces, whole, "the pieces make a difference");
    let (requests, error) = whole;
    let held: usize = requests.iter().map(Request::byte_len).sum();
    assert!(held <= bytes.len(), "requests hold more than was sent");
    requests.iter().for_each(check_request);
    if let Some(error) = error {
        assert!((1..=200).contains(&error.detail.chars().count()), "{error:?}");
    }
}

/// All requests up to the first error that nothing can be understood behind, and that error.
fn read(bytes: &[u8], size: usize) -> (Vec<Request>, Option<RequestError>) {
    let mut parser = Parser::default();
    let mut found = Vec::new();
    for piece in bytes.chunks(size) {
        parser.feed(piece);
        loop {
            match parser.next_request() {
                Ok(Some(request)) => found.push(request),
                Ok(None) => break,
                Err(error) if error.keep => {}
                Err(error) => return (found, Some(error)),
            }
        }
        assert!(parser.pending() <= MAX_REQUEST_LEN, "more waits than a request has");
    }
    (found, None)
}

fn check_request(request: &Request) {
    assert_eq!(Request::decode(&request.encode()).as_ref(), Ok(request));
    assert!(request.timeout.is_none_or(|timeout| timeout <= MAX_TIMEOUT));
    match &request.ask {
        Ask::Append { change, session } => {
            assert!(session.is_none_or(|(_, serial)| serial.0 > 0));
            check_change(change);
        }
        Ask::Get { key, .. } => assert!(key.as_ref().is_none_or(|key| key.len() <= MAX_KEY_LEN)),
        Ask::Query { query, .. } => assert!(query.len() <= MAX_VALUE_LEN),
        Ask::Config { .. } | Ask::Session | Ask::Diagnostic | Ask::Proof { .. } => {}
    }
}

fn check_change(change: &Change) {
    match change {
        Change::Set { key, value } => {
            assert!(key.len() <= MAX_KEY_LEN && value.len() <= MAX_VALUE_LEN);
            check_value(value);
        }
        Change::Delete { key } => assert!(key.len() <= MAX_KEY_LEN),
        Change::Command(command) => assert!(command.len() <= MAX_VALUE_LEN),
    }
}

/// Other programs' decoders agree that it is one whole value.
fn check_value(value: &[u8]) {
    assert_eq!(Scanner::new(value.len()).feed(value), Ok(Some(value.len())));
    let mut rest = value;
    rmpv::decode::read_value_ref(&mut rest).expect("a stored value can be read");
    assert!(rest.is_empty(), "a stored value is one value");
}

/// The bytes as each reply that a client may await.
pub fn reply(bytes: &[u8]) {
    bounded(bytes.len(), REPLY_FACTOR, || {
        if let Some(reply) = Reply::decode(bytes) {
            assert_eq!(Reply::decode(&reply.encode()), Some(reply));
        }
        if let Ok(diagnostic) = rmp_serde::from_slice::<Diagnostic>(bytes) {
            assert_eq!(rmp_serde::from_slice(&diagnostic.encode()).ok(), Some(diagnostic));
        }
        if let Ok(cluster) = rmp_serde::from_slice::<Vec<Address>>(bytes) {
            let again = rafty_wire::client::encode_cluster(&cluster);
            assert_eq!(rmp_serde::from_slice(&again).ok(), Some(cluster));
        }
        if let Some(entries) = decode_entries(bytes) {
            entries.iter().for_each(|(_, value)| check_value(value));
            let pairs = entries.iter().map(|(key, value)| (key.as_bytes(), *value));
            let again = encode_entries(&[], pairs, bytes.len());
            assert_eq!(decode_entries(&again).map(|mut all| all.split_off(1)), Some(entries));
        }
        if let Some(value) = decode_value(bytes) {
            value.iter().for_each(|value| check_value(value));
            assert_eq!(decode_value(&encode_value(value)), Some(value));
        }
        if let Some(answer) = decode_answer(bytes) {
            assert_eq!(decode_answer(&encode_answer(answer)), Some(answer));
        }
    });
}
