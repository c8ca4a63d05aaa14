//! A map's fields by name, each with its exact bytes. A field is decoded when it is asked for, and then typed.

use super::request::{ErrorCode, RequestError};
use super::scanner::Scanner;
use rmp::Marker;
use serde::Deserialize;

/// Most fields of a request's map.
const MAX_FIELDS: usize = 32;

pub(super) struct Fields<'a>(Vec<(&'a str, &'a [u8])>);

impl<'a> Fields<'a> {
    /// The fields of `map`, one whole value. `what` it is, for words.
    pub(super) fn of(what: &str, map: &'a [u8]) -> Result<Self, RequestError> {
        let malformed = |why: &str| RequestError::new(ErrorCode::Malformed, format!("{what} {why}"));
        let (pairs, mut rest) = map_head(map).ok_or_else(|| malformed("is not a map"))?;
        if pairs > MAX_FIELDS {
            return Err(malformed("has too many fields"));
        }
        let mut fields = Vec::with_capacity(pairs);
        for _ in 0..pairs {
            let name = take(&mut rest)
                .and_then(text)
                .ok_or_else(|| malformed("has a field whose name is no str"))?;
            let value = take(&mut rest).ok_or_else(|| malformed("ends too early"))?;
            if fields.iter().any(|(other, _)| *other == name) {
                return Err(malformed(&format!("has the field `{name}` twice")));
            }
            fields.push((name, value));
        }
        Ok(Self(fields))
    }

    /// The bytes of a field.
    pub(super) fn bytes(&self, name: &str) -> Option<&'a [u8]> {
        self.0.iter().find(|(field, _)| *field == name).map(|(_, bytes)| *bytes)
    }

    /// The bytes of a field that must be there.
    pub(super) fn required(&self, name: &str) -> Result<&'a [u8], RequestError> {
        let missing = || RequestError::new(ErrorCode::Malformed, format!("the field `{name}` is missing"));
        self.bytes(name).ok_or_else(missing)
    }

    /// A field of a type; `nil` counts as absent.
    pub(super) fn typed<T: Deserialize<'a>>(&self, name: &str) -> Result<Option<T>, RequestError> {
        let Some(bytes) = self.bytes(name) else { return Ok(None) };
        rmp_serde::from_slice(bytes)
            .map_err(|why| RequestError::new(ErrorCode::Malformed, format!("the field `{name}`: {why}")))
    }

    /// A field that is a `str`.
    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, RequestError> {
        let wrong =
            || RequestError::new(ErrorCode::Malformed, format!("the field `{name}` must be a str of UTF-8"));
        self.bytes(name).map(|bytes| text(bytes).ok_or_else(wrong)).transpose()
    }

    /// A field that must be there and be a `str`.
    pub(super) fn required_text(&self, name: &str) -> Result<&'a str, RequestError> {
        self.required(name)?;
        self.text(name).map(Option::unwrap_or_default)
    }

    /// A field that must be there and be a `bin`: its content.
    pub(super) fn required_bin(&self, name: &str) -> Result<&'a [u8], RequestError> {
        let wrong = || RequestError::new(ErrorCode::Malformed, format!("the field `{name}` must be a bin"));
        bin(self.required(name)?).ok_or_else(wrong)
    }
}

/// How many pairs a map has, and the bytes behind its head.
pub(super) fn map_head(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut rest = bytes;
    let pairs = rmp::decode::read_map_len(&mut rest).ok()?;
    Some((usize::try_from(pairs).ok()?, rest))
}

/// Takes the next whole value.
pub(super) fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = Scanner::new(rest.len()).feed(rest).ok()??;
    rest.split_off(..len)
}

/// What a `bin` holds. `None` for anything else.
pub(super) fn bin(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes;
    let len = rmp::decode::read_bin_len(&mut rest).ok()?;
    (rest.len() == usize::try_from(len).ok()?).then_some(rest)
}

/// What a `str` says. `None` for anything else, `bin` included.
pub(super) fn text(bytes: &[u8]) -> Option<&str> {
    match Marker::from_u8(*bytes.first()?) {
        Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32 => rmp_serde::from_slice(bytes).ok(),
        _ => None,
    }
}
