//! Requests that are none: each gets a reason, and none costs more than its own bytes.

use rafty_wire::client::*;

/// Feeds all bytes and gives what comes first.
fn first(bytes: &[u8]) -> Result<Option<Request>, RequestError> {
    let mut parser = Parser::default();
    for chunk in bytes.chunks(4096) {
        parser.feed(chunk);
        match parser.next_request() {
            Ok(None) => {}
            found => return found,
        }
    }
    Ok(None)
}

fn refused(bytes: &[u8]) -> (ErrorCode, bool) {
    let error = first(bytes).expect_err("no request");
    assert!(error.detail.chars().count() <= 200 && !error.detail.is_empty());
    (error.code, error.keep)
}

/// A map of fields that are encoded already.
fn map(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0x80 | u8::try_from(fields.len()).unwrap()];
    for (name, value) in fields {
        bytes.push(0xa0 | u8::try_from(name.len()).unwrap());
        bytes.extend(name.as_bytes());
        bytes.extend(*value);
    }
    bytes
}

fn append(key: &[u8], value: &[u8], keep: bool) -> Vec<u8> {
    let data = map(&[("action", b"\xa6change"), ("key", key), ("value", value)]);
    map(&[("type", b"\xa6append"), ("keep", &[if keep { 0xc3 } else { 0xc2 }]), ("data", &data)])
}

/// A `bin` of so many bytes, its head included.
fn bin(len: usize) -> Vec<u8> {
    let body = u32::try_from(len - 5).unwrap();
    let mut bytes = vec![0xc6];
    bytes.extend(body.to_be_bytes());
    bytes.resize(len, 7);
    bytes
}

#[test]
fn a_value_may_have_a_mebibyte_and_no_byte_more() {
    let largest = bin(MAX_VALUE_LEN);
    let Ok(Some(request)) = first(&append(b"\xa1k", &largest, false)) else { panic!("it fits") };
    let Ask::Append { change: Change::Set { value, .. }, .. } = request.ask else { panic!("a change") };
    assert!(value == largest);
    let longer = append(b"\xa1k", &bin(MAX_VALUE_LEN + 1), true);
    assert_eq!(refused(&longer), (ErrorCode::TooLong, true), "the next request can still be found");
}

#[test]
fn what_is_declared_too_long_is_refused_before_it_arrives() {
    for head in [
        &b"\xdf\xff\xff\xff\xff"[..],
        b"\xc6\x7f\xff\xff\xff",
        b"\xdd\x00\x20\x00\x00",
        b"\x81\xdb\xff\xff\xff\xff",
    ] {
        assert_eq!(refused(head), (ErrorCode::TooLong, false), "{head:02x?}");
    }
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| [vec![0x91; depth], vec![0x01]].concat();
    // The request and its data are the first two.
    assert!(matches!(first(&append(b"\xa1k", &nested(MAX_DEPTH - 2), false)), Ok(Some(_))));
    assert_eq!(refused(&append(b"\xa1k", &nested(MAX_DEPTH - 1), false)), (ErrorCode::TooDeep, false));
    assert_eq!(refused(&vec![0x91; 1_000_000]), (ErrorCode::TooDeep, false));
}

#[test]
fn keys_are_text_of_bounded_length() {
    for key in [
        &b"\x01"[..],
        b"\xc0",
        b"\xc4\x01k",
        b"\x91\xa1k",
        b"\xa1\xff",
        b"\xcb\x40\x00\x00\x00\x00\x00\x00\x00",
    ] {
        let error = first(&append(key, b"\x01", true)).unwrap_err();
        assert_eq!((error.code, error.keep), (ErrorCode::Malformed, true), "{key:02x?}");
        assert!(error.detail.contains("`key` must be a str"), "{}", error.detail);
    }
    let text =
        |len: usize| [&[0xda][..], &u16::try_from(len).unwrap().to_be_bytes(), &vec![b'k'; len]].concat();
    assert!(matches!(first(&append(&text(MAX_KEY_LEN), b"\x01", false)), Ok(Some(_))));
    assert_eq!(refused(&append(&text(MAX_KEY_LEN + 1), b"\x01", false)).0, ErrorCode::TooLong);
}

#[test]
fn wrong_requests_are_told_what_is_wrong() {
    let cases: &[(&[u8], &str)] = &[
        (b"\x93\xa3get\xc0\xc0", "not a map"),
        (b"\xa3get", "not a map"),
        (b"\x80", "`type` is missing"),
        (b"\x81\x01\xa3get", "name is no str"),
        (b"\x82\xa4type\xa3get\xa4type\xa3get", "twice"),
        (b"\x82\xa4type\xa3get\xa4keep\x01", "`keep`"),
        (b"\x82\xa4type\xa3get\xaatimeout_ms\xff", "`timeout_ms`"),
        (b"\x82\xa4type\xa3get\xaatimeout_ms\xce\x00\x00\xea\x61", "60,000"),
        (b"\x82\xa4type\xa3get\xabconsistency\xa5fresh", "consistency"),
        (b"\x81\xa4type\xa6append", "`data` is missing"),
        (b"\x82\xa4type\xa6append\xa4data\x90", "`data` is not a map"),
        (b"\x82\xa4type\xa6append\xa4data\x81\xa3key\xa1k", "`action` is missing"),
        (b"\x82\xa4type\xa6append\xa4data\x82\xa3key\xa1k\xa6action\xa6change", "`value` is missing"),
        (b"\x82\xa4type\xa6append\xa4data\x82\xa3key\xa1k\xa6action\xa4drop", "`action`"),
        (b"\x83\xa4type\xa6append\xa4data\x82\xa3key\xa1k\xa6action\xa6delete\xa7session\x05", "go together"),
        (b"\x84\xa4type\xa6append\xa4data\x82\xa3key\xa1k\xa6action\xa6delete\xa7session\x05\xa6serial\x00", "from 1"),
        (b"\x82\xa4type\xa6config\xa6action\xa3add", "`address` is missing"),
        (b"\x84\xa4type\xa6config\xa6action\xa3add\xa7address\xa1h\xa4port\xce\x00\x01\x00\x00", "`port`"),
        (b"\x82\xa4type\xa5proof\xa6client\xc4\x01a", "16 bytes"),
        (b"\xc1", "0xc1"),
    ];
    for (bytes, says) in cases {
        let error = first(bytes).unwrap_err();
        assert_eq!(error.code, ErrorCode::Malformed, "{bytes:02x?}");
        assert!(error.detail.contains(says), "{bytes:02x?}: {}", error.detail);
    }
    for none in [&b"\x01"[..], b"\xa0", b"\xc4\x01r", b"\xa5guess"] {
        let asked = map(&[("token", none), ("type", b"\xa3fly"), ("keep", b"\xc3")]);
        assert_eq!(refused(&asked), (ErrorCode::Unauthorized, true), "{none:02x?}");
    }
    assert!(matches!(first(&map(&[("token", b"\xc0"), ("type", b"\xa3get")])), Ok(Some(_))));
    assert_eq!(refused(b"\x81\xa4type\xa3fly"), (ErrorCode::UnknownType, false));
    let long = [&b"\x81\xa4type\xda\x10\x00"[..], &[b'y'; 4096]].concat();
    assert_eq!(refused(&long), (ErrorCode::UnknownType, false));
}

#[test]
fn a_reply_is_read_only_when_it_is_one_value_and_not_too_deep() {
    let redirect = |more: &[u8]| {
        let fields = [("type", &b"\xa8redirect"[..]), ("leader", b"\x92\xa1h\x07"), ("more", more)];
        Reply::decode(&map(&fields))
    };
    let deep = |depth: usize| [&[0x91].repeat(depth)[..], &[0xc0]].concat();
    assert!(redirect(&deep(MAX_DEPTH - 1)).is_some(), "unknown fields are ignored");
    assert_eq!(redirect(&deep(MAX_DEPTH)), None);
    // Each of these lengths alone had a mebibyte reserved.
    assert_eq!(redirect(&b"\xdd\xff\xff\xff\xff".repeat(100)), None);
    assert_eq!(Reply::decode(&[&Reply::done().encode()[..], &[0]].concat()), None);
}
