//! Shared bytes as one run of bytes, not one by one. What is written is the same.

use serde::{Deserializer, Serializer};
use std::borrow::Cow;
use std::sync::Arc;

pub(crate) fn serialize<S: Serializer>(bytes: &Arc<[u8]>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<[u8]>, D::Error> {
    let bytes: Cow<'de, [u8]> = serde_bytes::deserialize(deserializer)?;
    Ok(Arc::from(&*bytes))
}
