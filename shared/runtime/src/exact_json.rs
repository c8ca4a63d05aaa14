//! MessagePack values as JSON that loses nothing: what JSON cannot say is an object with one key that begins with `$`.
//!
//! | in JSON | in MessagePack |
//! |---|---|
//! | `{"$bin": "00ff"}` | `bin`, in hexadecimal digits |
//! | `{"$ext": [5, "00ff"]}` | `ext`: its type and its bytes |
//! | `{"$f64": "NaN"}`, `"inf"`, `"-inf"` | a float that JSON has no number for |
//! | `{"$f32": "0.1"}` | a float of 32 bits |
//! | `{"$map": [[1, 2], …]}` | a map whose keys are not all different texts, or which would look like one of these |
//! | `{"$msgpack": "a1ff"}` | a value that none of these fits: too deep, a `str` that is not UTF-8, an unusual NaN |
//!
//! Integers may change their length in bytes, never their value.

use rafty_types::hex::Hex;
use rmpv::Value;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{Error as _, SerializeMap};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeSet;
use std::fmt;

/// How deep arrays and objects may lie in each other, well within what JSON readers take.
const MAX_JSON_DEPTH: usize = 100;

/// One MessagePack value, to be written as JSON.
pub struct Exact<'a>(pub &'a [u8]);

impl Serialize for Exact<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match rmpv::decode::read_value(&mut &*self.0) {
            Ok(value) if depth(&value).is_some_and(|depth| depth <= MAX_JSON_DEPTH) => {
                Node(&value).serialize(serializer)
            }
            _ => tagged(serializer, "$msgpack", &Hex(self.0).to_string()),
        }
    }
}

impl fmt::Display for Exact<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

fn tagged<S: Serializer>(serializer: S, tag: &str, content: &impl Serialize) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(tag, content)?;
    map.end()
}

/// Levels of JSON that a value takes; `None` for one that has no form in JSON.
fn depth(value: &Value) -> Option<usize> {
    match value {
        Value::Array(items) => Some(1 + deepest(items.iter())?),
        Value::Map(pairs) => {
            let inner = deepest(pairs.iter().flat_map(|(key, value)| [key, value]))?;
            Some(inner + if plain_keys(pairs) { 1 } else { 3 })
        }
        Value::Ext(..) => Some(2),
        Value::String(text) => text.is_str().then_some(1),
        Value::F32(number) => (!number.is_nan() || number.to_bits() == f32::NAN.to_bits()).then_some(1),
        Value::F64(number) => (!number.is_nan() || number.to_bits() == f64::NAN.to_bits()).then_some(1),
        _ => Some(1),
    }
}

fn deepest<'a>(mut values: impl Iterator<Item = &'a Value>) -> Option<usize> {
    values.try_fold(0, |deepest, value| Some(deepest.max(depth(value)?)))
}

/// Whether these pairs can be an object of JSON.
fn plain_keys(pairs: &[(Value, Value)]) -> bool {
    let keys: Option<BTreeSet<&str>> = pairs.iter().map(|(key, _)| key.as_str()).collect();
    keys.is_some_and(|keys| {
        keys.len() == pairs.len() && !(keys.len() == 1 && keys.iter().any(|key| key.starts_with('$')))
    })
}

struct Node<'a>(&'a Value);

impl<'a> Serialize for Node<'a> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Nil => serializer.serialize_unit(),
            Value::Boolean(value) => serializer.serialize_bool(*value),
            Value::Integer(number) => match (number.as_u64(), number.as_i64()) {
                (Some(number), _) => serializer.serialize_u64(number),
                (_, Some(number)) => serializer.serialize_i64(number),
                _ => Err(S::Error::custom("an integer of no known size")),
            },
            Value::F32(number) => tagged(serializer, "$f32", &number.to_string()),
            Value::F64(number) if json_keeps(*number) => serializer.serialize_f64(*number),
            Value::F64(number) => tagged(serializer, "$f64", &number.to_string()),
            Value::String(text) => serializer.serialize_str(text.as_str().unwrap_or_default()),
            Value::Binary(bytes) => tagged(serializer, "$bin", &Hex(bytes).to_string()),
            Value::Ext(kind, bytes) => tagged(serializer, "$ext", &(kind, Hex(bytes).to_string())),
            Value::Array(items) => serializer.collect_seq(items.iter().map(Node)),
            Value::Map(pairs) if plain_keys(pairs) => {
                let text = |key: &'a Value| key.as_str().unwrap_or_default();
                serializer.collect_map(pairs.iter().map(|(key, value)| (text(key), Node(value))))
            }
            Value::Map(pairs) => {
                let pairs: Vec<_> = pairs.iter().map(|(key, value)| (Node(key), Node(value))).collect();
                tagged(serializer, "$map", &pairs)
            }
        }
    }
}

/// Whether a number comes back from JSON as it was: our reader may be off by the last bit.
fn json_keeps(number: f64) -> bool {
    let read = serde_json::to_string(&number).ok().and_then(|text| serde_json::from_str::<f64>(&text).ok());
    read.is_some_and(|read| read.to_bits() == number.to_bits())
}

/// The bytes of one MessagePack value, read from JSON.
pub struct Bytes(pub Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = match deserializer.deserialize_any(NodeVisitor)? {
            Read::Whole(bytes) => return Ok(Self(bytes)),
            Read::Value(value) => value,
        };
        let mut bytes = Vec::new();
        rmpv::encode::write_value(&mut bytes, &value).map_err(D::Error::custom)?;
        Ok(Self(bytes))
    }
}

/// A part of what is read.
enum Read {
    Value(Value),
    /// A whole value as it was; it is never within another one.
    Whole(Vec<u8>),
}

impl Read {
    fn value<E: serde::de::Error>(self) -> Result<Value, E> {
        match self {
            Self::Value(value) => Ok(value),
            Self::Whole(_) => Err(E::custom("\"$msgpack\" stands for a whole value only")),
        }
    }
}

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Read;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value in JSON")
    }

    fn visit_unit<E>(self) -> Result<Read, E> {
        Ok(Read::Value(Value::Nil))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Read, E> {
        Ok(Read::Value(value.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Read, E> {
        Ok(Read::Value(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Read, E> {
        Ok(Read::Value(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Read, E> {
        Ok(Read::Value(number.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Read, E> {
        Ok(Read::Value(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Read, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element::<Read>()? {
            items.push(item.value()?);
        }
        Ok(Read::Value(Value::Array(items)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Read, A::Error> {
        let (mut pairs, mut keys) = (Vec::new(), BTreeSet::new());
        while let Some((key, value)) = map.next_entry::<String, Read>()? {
            if !keys.insert(key.clone()) {
                return Err(A::Error::custom(format!("the key {key:?} is there twice")));
            }
            pairs.push((Value::from(key), value.value()?));
        }
        match pairs.as_slice() {
            [(key, content)] => match key.as_str().filter(|key| key.starts_with('$')) {
                Some(tag) => untag(tag, content).map_err(A::Error::custom),
                None => Ok(Read::Value(Value::Map(pairs))),
            },
            _ => Ok(Read::Value(Value::Map(pairs))),
        }
    }
}

fn untag(tag: &str, content: &Value) -> Result<Read, String> {
    let unreadable = || format!("what {tag:?} holds cannot be read");
    let found = match tag {
        "$msgpack" => return whole(content).map(Read::Whole).ok_or_else(unreadable),
        "$bin" => bytes_of(content).map(Value::Binary),
        "$ext" => content.as_array().and_then(|parts| match parts.as_slice() {
            [kind, bytes] => Some(Value::Ext(kind.as_i64()?.try_into().ok()?, bytes_of(bytes)?)),
            _ => None,
        }),
        "$f32" => content.as_str().and_then(|text| text.parse().ok()).map(Value::F32),
        "$f64" => content.as_str().and_then(|text| text.parse().ok()).map(Value::F64),
        "$map" => content.as_array().and_then(|pairs| {
            let pair = |pair: &Value| match pair.as_array()?.as_slice() {
                [key, value] => Some((key.clone(), value.clone())),
                _ => None,
            };
            pairs.iter().map(pair).collect::<Option<_>>().map(Value::Map)
        }),
        _ => return Err(format!("{tag:?} is unknown to this version of rafty")),
    };
    found.map(Read::Value).ok_or_else(unreadable)
}

fn whole(content: &Value) -> Option<Vec<u8>> {
    let bytes = bytes_of(content)?;
    let mut rest = bytes.as_slice();
    rmpv::decode::read_value_ref(&mut rest).ok()?;
    rest.is_empty().then_some(bytes)
}

fn bytes_of(content: &Value) -> Option<Vec<u8>> {
    rafty_types::hex::parse_vec(content.as_str()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(value: &Value) -> Vec<u8> {
        let mut bytes = Vec::new();
        rmpv::encode::write_value(&mut bytes, value).unwrap();
        bytes
    }

    fn there_and_back(bytes: &[u8]) -> String {
        let text = serde_json::to_string(&Exact(bytes)).unwrap();
        let Bytes(back) = serde_json::from_str(&text).unwrap();
        assert_eq!(back, bytes, "{text}");
        text
    }

    #[test]
    fn what_json_can_say_is_said_in_its_own_words_and_order() {
        let map = [("b", Value::from(1)), ("a", Value::Array(vec![Value::Nil, true.into(), 0.25.into()]))];
        let map = Value::Map(map.into_iter().map(|(key, value)| (key.into(), value)).collect());
        assert_eq!(there_and_back(&encoded(&map)), r#"{"b":1,"a":[null,true,0.25]}"#);
        for number in [0, 127, 128, i64::MAX] {
            assert_eq!(there_and_back(&encoded(&number.into())), number.to_string());
        }
        assert_eq!(there_and_back(&encoded(&u64::MAX.into())), u64::MAX.to_string());
        assert_eq!(there_and_back(&encoded(&i64::MIN.into())), i64::MIN.to_string());
        assert_eq!(there_and_back(&encoded(&Value::F64(-0.0))), "-0.0");
    }

    #[test]
    fn what_json_has_no_words_for_is_told_apart() {
        let cases = [
            (Value::Binary(vec![0, 255]), r#"{"$bin":"00ff"}"#),
            (Value::Ext(-1, vec![0, 255]), r#"{"$ext":[-1,"00ff"]}"#),
            (Value::F64(f64::NAN), r#"{"$f64":"NaN"}"#),
            (Value::F64(f64::NEG_INFINITY), r#"{"$f64":"-inf"}"#),
            (Value::F32(0.1), r#"{"$f32":"0.1"}"#),
            (Value::Map(vec![(1.into(), Value::Nil)]), r#"{"$map":[[1,null]]}"#),
            (
                Value::Map(vec![("a".into(), 1.into()), ("a".into(), 2.into())]),
                r#"{"$map":[["a",1],["a",2]]}"#,
            ),
            (Value::Map(vec![("$bin".into(), "00".into())]), r#"{"$map":[["$bin","00"]]}"#),
        ];
        for (value, text) in cases {
            assert_eq!(there_and_back(&encoded(&value)), text);
            there_and_back(&encoded(&Value::Array(vec![value])));
        }
        let odd_nan = encoded(&Value::F64(f64::from_bits(0x7ff8_0000_0000_beef)));
        assert_eq!(there_and_back(&odd_nan), r#"{"$msgpack":"cb7ff800000000beef"}"#);
        assert_eq!(there_and_back(&[0xa1, 0xff]), r#"{"$msgpack":"a1ff"}"#);
    }

    #[test]
    fn numbers_and_depths_of_any_kind_come_back() {
        let mut rng = fastrand::Rng::with_seed(15);
        for _ in 0..20_000 {
            there_and_back(&encoded(&Value::F64(f64::from_bits(rng.u64(..)))));
            there_and_back(&encoded(&Value::F32(f32::from_bits(rng.u32(..)))));
        }
        let deepest = rafty_wire::client::MAX_DEPTH;
        let nested = |wrap: fn(Value) -> Value| (0..deepest).fold(Value::Nil, |inner, _| wrap(inner));
        there_and_back(&encoded(&nested(|inner| Value::Array(vec![inner]))));
        there_and_back(&encoded(&nested(|inner| Value::Map(vec![(1.into(), inner)]))));
    }

    #[test]
    fn what_was_written_by_somebody_else_is_refused_in_words() {
        for (text, why) in [
            (r#"{"$point":[1,2]}"#, "unknown to this version"),
            (r#"{"$bin":"0"}"#, "cannot be read"),
            (r#"{"$ext":[300,"00"]}"#, "cannot be read"),
            (r#"{"$msgpack":"c0c0"}"#, "cannot be read"),
            (r#"[{"$msgpack":"c0"}]"#, "a whole value only"),
            (r#"{"a":1,"a":2}"#, "twice"),
        ] {
            let error = serde_json::from_str::<Bytes>(text).map(drop).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
