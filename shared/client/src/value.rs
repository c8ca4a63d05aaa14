//! A value of the dictionary: the exact bytes of one MessagePack value.

use crate::ClientError;
use rafty_wire::client::{MAX_VALUE_LEN, Scanner};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt;

/// One MessagePack value, bit for bit as it was written.
#[derive(Clone, PartialEq, Eq)]
pub struct Value(Vec<u8>);

impl Value {
    /// Writes a value; structures become maps by field name, which other languages read.
    ///
    /// # Errors
    /// [`ClientError::Encode`] when MessagePack has no words for it, or when it has more than [`MAX_VALUE_LEN`] bytes.
    pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Self, ClientError> {
        let bytes = rmp_serde::to_vec_named(value).map_err(|why| ClientError::Encode(why.to_string()))?;
        Self::from_bytes(bytes)
    }

    /// Takes bytes that are one MessagePack value already.
    ///
    /// # Errors
    /// [`ClientError::Encode`] when they are not, or are more than [`MAX_VALUE_LEN`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, ClientError> {
        match Scanner::new(MAX_VALUE_LEN).feed(&bytes) {
            Ok(Some(len)) if len == bytes.len() => Ok(Self(bytes)),
            Ok(_) => Err(ClientError::Encode("these bytes are not one whole value".into())),
            Err(why) => Err(ClientError::Encode(why.to_string())),
        }
    }

    /// What a member sent: whole, since it was taken from a whole reply.
    pub(crate) fn received(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// The exact bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads it as a type.
    ///
    /// # Errors
    /// [`ClientError::Decode`] when it is of another type.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        rmp_serde::from_slice(&self.0).map_err(|why| ClientError::Decode(why.to_string()))
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match rmpv::decode::read_value_ref(&mut self.0.as_slice()) {
            Ok(value) => value.fmt(f),
            Err(_) => write!(f, "{:02x?}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn values_keep_their_bits() {
        let nan = f64::from_bits(0x7ff8_0000_0000_beef);
        assert_eq!(Value::encode(&nan).unwrap().decode::<f64>().unwrap().to_bits(), nan.to_bits());
        // A number written longer than it needs to be stays so.
        let long = Value::from_bytes(vec![0xcf, 0, 0, 0, 0, 0, 0, 0, 1]).unwrap();
        assert_eq!((long.bytes().len(), long.decode::<u8>()), (9, Ok(1)));
    }

    #[test]
    fn only_one_whole_value_is_a_value() {
        let too_long = rmp_serde::to_vec(&"x".repeat(MAX_VALUE_LEN)).unwrap();
        for bytes in [vec![], vec![0x92, 1], vec![1, 2], vec![0xc1], too_long] {
            assert!(matches!(Value::from_bytes(bytes), Err(ClientError::Encode(_))));
        }
        assert!(matches!(Value::encode("lamp").unwrap().decode::<u8>(), Err(ClientError::Decode(_))));
    }

    #[test]
    fn it_shows_what_it_says() {
        let lamps = BTreeMap::from([("kitchen", true)]);
        assert!(format!("{:?}", Value::encode(&lamps).unwrap()).contains("kitchen"));
    }
}
