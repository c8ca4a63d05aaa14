//! NPY, the format of NumPy's arrays: a magic number, a dictionary as Python writes it, then the values.
//!
//! The dictionary is looked through, not parsed: three keys matter, and nothing nests.
//! What it does not do: complex, half precision, structured or big-endian numbers, or columns first.

use super::row::Cell;
use super::{DataError, file};
use std::io::{BufRead, Read};
use std::path::Path;

const MAGIC: &[u8] = b"\x93NUMPY";
/// Longest dictionary; NumPy's own are 118 bytes.
const MAX_HEAD_LEN: usize = 4_096;
const MAX_DIMENSIONS: usize = 8;

/// An array whose head was read. Its values come one row after another.
pub(crate) struct Array<R> {
    what: String,
    source: R,
    kind: Kind,
    /// The sizes of all dimensions.
    pub(crate) shape: Vec<usize>,
    /// How many rows, entries of the first dimension, were read.
    read: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
    F64,
}

/// Why an array cannot be used.
pub(crate) enum Fault {
    /// It is shorter than its head says, or has none yet: it may be being written.
    Unfinished(DataError),
    Broken(DataError),
}

impl From<Fault> for DataError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Unfinished(error) | Fault::Broken(error) => error,
        }
    }
}

impl Array<Box<dyn BufRead>> {
    /// The array in a file.
    pub(crate) fn read(path: &Path) -> Result<Self, DataError> {
        let (source, len) = file::open(path)?;
        Ok(Self::open(&path.display().to_string(), source, len)?)
    }
}

impl<R: Read> Array<R> {
    /// Reads the head of an array in a file of `len` bytes.
    pub(crate) fn open(what: &str, mut source: R, len: u64) -> Result<Self, Fault> {
        let malformed = |reason: String| DataError::Malformed { what: what.into(), reason };
        let broken = |reason: &str| Fault::Broken(malformed(reason.into()));
        let mut take = |count: usize| {
            let mut bytes = vec![0; count];
            let read = source.read_exact(&mut bytes);
            read.map(|()| bytes)
                .map_err(|error| Fault::Unfinished(malformed(format!("within its head: {error}"))))
        };
        let begin = take(MAGIC.len() + 2)?;
        let version = begin[MAGIC.len()];
        if !begin.starts_with(MAGIC) || !(1..=3).contains(&version) {
            return Err(broken("it is not an NPY file of version 1 to 3"));
        }
        let size = take(if version == 1 { 2 } else { 4 })?;
        let head_len = size.iter().rev().fold(0usize, |len, byte| len << 8 | usize::from(*byte));
        if head_len > MAX_HEAD_LEN {
            return Err(broken("its head is longer than that of any array of numbers"));
        }
        let head = take(head_len)?;
        let (kind, shape) = parse(&head).map_err(|reason| broken(&reason))?;
        let values = shape.iter().try_fold(1u64, |product, &size| product.checked_mul(size as u64));
        let expected = values.and_then(|values| values.checked_mul(kind.len() as u64));
        let found = len.saturating_sub((begin.len() + size.len() + head_len) as u64);
        let fault = malformed(format!("its head says shape {shape:?}, but {found} bytes of values follow"));
        match expected {
            Some(expected) if expected == found => {
                Ok(Self { what: what.into(), source, kind, shape, read: 0 })
            }
            Some(expected) if expected > found => Err(Fault::Unfinished(fault)),
            _ => Err(Fault::Broken(fault)),
        }
    }

    /// Whether every value fits into a byte.
    pub(crate) fn is_bytes(&self) -> bool {
        self.kind == Kind::U8
    }

    /// How many values a row has.
    pub(crate) fn row_len(&self) -> usize {
        self.shape[1..].iter().product()
    }

    /// The next row. `None` behind the last, and when the file became shorter since.
    pub(crate) fn next_row(&mut self) -> Option<Vec<f64>> {
        if self.read >= self.shape[0] {
            return None;
        }
        self.read += 1;
        let mut bytes = vec![0; self.row_len() * self.kind.len()];
        self.source.read_exact(&mut bytes).ok()?;
        Some(bytes.chunks_exact(self.kind.len()).map(|value| self.kind.number(value)).collect())
    }

    /// The next row as `read` sees it, or why it cannot be used. `None` at the end.
    pub(super) fn next<T>(
        &mut self,
        read: &dyn Fn(&[Cell<'_>]) -> Result<T, String>,
    ) -> Option<Result<T, DataError>> {
        let row = self.next_row()?;
        let cells: Vec<Cell<'_>> = row.into_iter().map(Cell::Number).collect();
        Some(read(&cells).map_err(|problem| self.refusal(problem)))
    }

    /// That the row that was read last cannot be used. Rows are counted from 0, as in Python.
    pub(super) fn refusal(&self, problem: String) -> DataError {
        DataError::Row { place: format!("{}, row [{}]", self.what, self.read.saturating_sub(1)), problem }
    }
}

/// What the dictionary says: the type of the values, and the shape.
fn parse(head: &[u8]) -> Result<(Kind, Vec<usize>), String> {
    let text = str::from_utf8(head).map_err(|_| "its head is not text")?;
    let after = |key: &str| {
        let rest = text.split_once(&format!("'{key}':")).map(|(_, rest)| rest.trim_start());
        rest.ok_or_else(|| format!("its head has no `{key}`"))
    };
    let name = after("descr")?.strip_prefix('\'').and_then(|rest| rest.split('\'').next());
    let kind = name.and_then(Kind::of).ok_or(
        "its values are not numbers that are read: use <f4, <f8 or little-endian integers, as with .astype('<f4')",
    )?;
    if !after("fortran_order")?.starts_with("False") {
        return Err("it is stored columns first; write it with numpy.ascontiguousarray".into());
    }
    let sizes = after("shape")?.strip_prefix('(').and_then(|rest| rest.split(')').next());
    let sizes = sizes.ok_or("its shape is none")?.split(',').map(str::trim).filter(|size| !size.is_empty());
    let shape: Vec<usize> =
        sizes.map(|size| size.parse().map_err(|_| "its shape is none")).collect::<Result<_, _>>()?;
    match shape.len() {
        // Of rows without values there could be any number in a file of no bytes.
        1..=MAX_DIMENSIONS if shape[1..].contains(&0) => Err(format!("its shape {shape:?} has no values")),
        1..=MAX_DIMENSIONS => Ok((kind, shape)),
        _ => Err(format!("it has {} dimensions; 1 to {MAX_DIMENSIONS} are read", shape.len())),
    }
}

impl Kind {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "|u1" | "|b1" => Self::U8,
            "|i1" => Self::I8,
            "<u2" => Self::U16,
            "<i2" => Self::I16,
            "<u4" => Self::U32,
            "<i4" => Self::I32,
            "<u8" => Self::U64,
            "<i8" => Self::I64,
            "<f4" => Self::F32,
            "<f8" => Self::F64,
            _ => return None,
        })
    }

    /// Bytes of one value.
    fn len(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// A value of so many bytes as [`len`](Self::len) says.
    fn number(self, bytes: &[u8]) -> f64 {
        let mut wide = [0; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        let unsigned = u64::from_le_bytes(wide);
        match self {
            Self::U8 | Self::U16 | Self::U32 | Self::U64 => unsigned as f64,
            Self::I8 => f64::from(unsigned as i8),
            Self::I16 => f64::from(unsigned as i16),
            Self::I32 => f64::from(unsigned as i32),
            Self::I64 => unsigned as i64 as f64,
            Self::F32 => f64::from(f32::from_bits(unsigned as u32)),
            Self::F64 => f64::from_bits(unsigned),
        }
    }
}
