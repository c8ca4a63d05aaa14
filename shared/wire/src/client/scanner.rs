//! Where a MessagePack value ends, found while its bytes arrive; each byte is looked at once.
//!
//! It builds nothing and allocates at most [`MAX_DEPTH`] counters, whatever lengths the bytes declare.

use rmp::Marker;

/// How deep arrays and maps may lie in each other.
pub const MAX_DEPTH: usize = 64;
/// A marker and the longest length behind it.
const MAX_HEAD: usize = 5;

/// Bytes that are no value, or too large a one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// It has, or declares, more bytes than allowed.
    #[error("it has more than {0} bytes")]
    TooLong(u64),
    /// Arrays and maps lie too deep in each other.
    #[error("its arrays and maps lie more than {MAX_DEPTH} deep in each other")]
    TooDeep,
    /// The byte 0xc1 begins no value.
    #[error("no MessagePack value begins with the byte 0xc1")]
    NoMarker,
}

/// Looks for the end of one value.
#[derive(Clone, Debug)]
pub struct Scanner {
    max: u64,
    taken: u64,
    /// Values that must still begin; each takes at least a byte.
    owed: u64,
    /// Bytes of the value under way whose meaning does not matter.
    skip: u64,
    /// Values that each open array or map still lacks, the outermost first.
    open: Vec<u64>,
    /// A marker and the length behind it, as far as they are here.
    head: [u8; MAX_HEAD],
    head_len: usize,
}

impl Scanner {
    /// A scanner for a value of at most `max` bytes.
    pub fn new(max: usize) -> Self {
        let max = max as u64;
        Self { max, taken: 0, owed: 1, skip: 0, open: Vec::new(), head: [0; MAX_HEAD], head_len: 0 }
    }

    /// Takes the next bytes. When the value ends among them: how many of them belong to it.
    ///
    /// # Errors
    /// See [`ScanError`]; where a next value would begin is not known then.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Option<usize>, ScanError> {
        let mut rest = bytes;
        while self.owed > 0 || self.skip > 0 {
            let Some((first, tail)) = rest.split_first() else { return Ok(None) };
            if self.skip == 0 {
                self.taken += 1;
                self.head_byte(*first)?;
                rest = tail;
            } else {
                let step = usize::try_from(self.skip).unwrap_or(usize::MAX).min(rest.len());
                self.skip -= step as u64;
                self.taken += step as u64;
                rest = &rest[step..];
            }
        }
        Ok(Some(bytes.len() - rest.len()))
    }

    fn head_byte(&mut self, byte: u8) -> Result<(), ScanError> {
        self.head[self.head_len] = byte;
        self.head_len += 1;
        let marker = Marker::from_u8(self.head[0]);
        if self.head_len <= len_of_length(marker) {
            return Ok(());
        }
        let length = self.head[1..self.head_len].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        self.head_len = 0;
        let Some((skip, values)) = contents(marker, length) else { return Err(ScanError::NoMarker) };
        self.begin(skip, values)
    }

    /// A value begins, of `skip` bytes behind its head, or of so many `values`.
    fn begin(&mut self, skip: u64, values: u64) -> Result<(), ScanError> {
        self.skip = skip;
        self.owed = self.owed - 1 + values;
        if self.taken + self.skip + self.owed > self.max {
            return Err(ScanError::TooLong(self.max));
        }
        if values == 0 {
            self.end();
        } else if self.open.len() == MAX_DEPTH {
            return Err(ScanError::TooDeep);
        } else {
            self.open.push(values);
        }
        Ok(())
    }

    /// A value is whole, and perhaps what it lies in.
    fn end(&mut self) {
        while let Some(lacks) = self.open.last_mut() {
            *lacks -= 1;
            if *lacks > 0 {
                return;
            }
            self.open.pop();
        }
    }
}

/// How many bytes of length stand behind a marker.
fn len_of_length(marker: Marker) -> usize {
    match marker {
        Marker::Str8 | Marker::Bin8 | Marker::Ext8 => 1,
        Marker::Str16 | Marker::Bin16 | Marker::Ext16 | Marker::Array16 | Marker::Map16 => 2,
        Marker::Str32 | Marker::Bin32 | Marker::Ext32 | Marker::Array32 | Marker::Map32 => 4,
        _ => 0,
    }
}

/// Bytes to skip and values to come behind a marker and its length. `None` for the marker that is not in use.
fn contents(marker: Marker, length: u64) -> Option<(u64, u64)> {
    Some(match marker {
        Marker::Reserved => return None,
        Marker::FixPos(_) | Marker::FixNeg(_) | Marker::Null | Marker::True | Marker::False => (0, 0),
        Marker::U8 | Marker::I8 => (1, 0),
        Marker::U16 | Marker::I16 | Marker::FixExt1 => (2, 0),
        Marker::FixExt2 => (3, 0),
        Marker::U32 | Marker::I32 | Marker::F32 => (4, 0),
        Marker::FixExt4 => (5, 0),
        Marker::U64 | Marker::I64 | Marker::F64 => (8, 0),
        Marker::FixExt8 => (9, 0),
        Marker::FixExt16 => (17, 0),
        Marker::FixStr(len) => (len.into(), 0),
        Marker::Str8 | Marker::Str16 | Marker::Str32 | Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => {
            (length, 0)
        }
        // An extension has its type before its bytes.
        Marker::Ext8 | Marker::Ext16 | Marker::Ext32 => (length + 1, 0),
        Marker::FixArray(values) => (0, values.into()),
        Marker::Array16 | Marker::Array32 => (0, length),
        Marker::FixMap(pairs) => (0, 2 * u64::from(pairs)),
        Marker::Map16 | Marker::Map32 => (0, 2 * length),
    })
}
