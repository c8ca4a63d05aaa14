//! The eight bytes before every body.

/// Length of an encoded [`Header`], in bytes.
pub const HEADER_LEN: usize = 8;

const MAGIC: [u8; 2] = *b"rf";
const VERSION: u8 = 1;

/// What stands before a body: two bytes of magic, the version, the type, and the body's length in four bytes, big end first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Which type of unit follows.
    pub kind: u8,
    /// Length of the body in bytes.
    pub len: usize,
}

/// Bytes that are not a unit of this protocol, or a value too long to become one. Nothing was changed; the receiver
/// drops the bytes and counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Another protocol.
    #[error("the bytes do not start with rafty's magic")]
    Magic,
    /// Another version of this protocol.
    #[error(
        "the peer speaks version {0} of the peer protocol, this program speaks version {VERSION}; update the older one"
    )]
    Version(u8),
    /// Another type than the one expected here.
    #[error("a unit of type {0} does not belong here")]
    Kind(u8),
    /// Over the bound of its type.
    #[error("a body of {len} bytes is over the bound of {max}")]
    TooLong {
        /// What was declared or encoded.
        len: usize,
        /// What is allowed.
        max: usize,
    },
    /// Fewer bytes than declared.
    #[error("the bytes end before the unit does")]
    Truncated,
    /// More bytes than declared, or more than the value needs.
    #[error("bytes are left over behind the unit")]
    Trailing,
    /// The body is not a value of its type.
    #[error("the body is not a value of its type")]
    Malformed,
}

impl Header {
    /// As it goes over the wire.
    pub fn encode(self) -> [u8; HEADER_LEN] {
        let len = u32::try_from(self.len).unwrap_or(u32::MAX).to_be_bytes();
        [MAGIC[0], MAGIC[1], VERSION, self.kind, len[0], len[1], len[2], len[3]]
    }

    /// Reads a header whose body may have at most `max` bytes.
    ///
    /// # Errors
    /// [`WireError::Magic`], [`WireError::Version`] or [`WireError::TooLong`].
    pub fn decode(bytes: [u8; HEADER_LEN], max: usize) -> Result<Self, WireError> {
        let [m0, m1, version, kind, length @ ..] = bytes;
        if [m0, m1] != MAGIC {
            return Err(WireError::Magic);
        }
        if version != VERSION {
            return Err(WireError::Version(version));
        }
        let len = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if len > max {
            return Err(WireError::TooLong { len, max });
        }
        Ok(Self { kind, len })
    }
}

/// Splits `bytes` into a header and exactly the body it declares.
pub(crate) fn split(bytes: &[u8], max: usize) -> Result<(Header, &[u8]), WireError> {
    let (head, body) = bytes.split_first_chunk().ok_or(WireError::Truncated)?;
    let header = Header::decode(*head, max)?;
    match body.len().cmp(&header.len) {
        std::cmp::Ordering::Less => Err(WireError::Truncated),
        std::cmp::Ordering::Greater => Err(WireError::Trailing),
        std::cmp::Ordering::Equal => Ok((header, body)),
    }
}

/// Writes header and body of `value`.
pub(crate) fn join<T: serde::Serialize>(kind: u8, value: &T, max: usize) -> Result<Vec<u8>, WireError> {
    let mut unit = postcard::to_extend(value, vec![0; HEADER_LEN]).map_err(|_| WireError::Malformed)?;
    let len = unit.len() - HEADER_LEN;
    if len > max {
        return Err(WireError::TooLong { len, max });
    }
    unit[..HEADER_LEN].copy_from_slice(&Header { kind, len }.encode());
    Ok(unit)
}

/// Reads a value that takes up all of `body`.
pub(crate) fn value<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, WireError> {
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        Ok(_) => Err(WireError::Trailing),
        Err(_) => Err(WireError::Malformed),
    }
}
