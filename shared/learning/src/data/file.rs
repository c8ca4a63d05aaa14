//! Finds, reads and unpacks files, never more than [`MAX_DATA_LEN`] of them.

use super::{DataError, MAX_DATA_LEN};
use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Most entries of a folder that are looked at.
const MAX_ENTRIES: usize = 10_000;

/// The two IDX files in `folder`, or `None` when both are missing.
pub(crate) fn images_and_labels(folder: &Path) -> Result<Option<(PathBuf, PathBuf)>, DataError> {
    let files = files_in(folder)?;
    let find = |name: &str| {
        files.iter().find(|file| {
            let file = file.file_name().and_then(|file| file.to_str()).unwrap_or_default();
            file.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest == ".gz")
        })
    };
    match (find("images.idx"), find("labels.idx")) {
        (Some(images), Some(labels)) => Ok(Some((images.clone(), labels.clone()))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(malformed(folder, "it has images.idx but no labels.idx")),
        (None, Some(_)) => Err(malformed(folder, "it has labels.idx but no images.idx")),
    }
}

/// `path` itself if it is a file, or the one CSV file in it, or `None` when there is none.
pub(crate) fn table_file(path: &Path) -> Result<Option<PathBuf>, DataError> {
    if path.is_file() {
        return Ok(Some(path.into()));
    }
    let is_table = |file: &PathBuf| {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.ends_with(".csv") || name.ends_with(".csv.gz")
    };
    let tables: Vec<PathBuf> = files_in(path)?.into_iter().filter(is_table).collect();
    match tables.as_slice() {
        [] => Ok(None),
        [table] => Ok(Some(table.clone())),
        [..] => Err(malformed(path, "it has more than one CSV file; name the one to use")),
    }
}

/// The files in `folder`, sorted, so that the choice among them is always the same.
fn files_in(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let list = || -> io::Result<Vec<PathBuf>> {
        fs::read_dir(folder)?.take(MAX_ENTRIES).map(|entry| Ok(entry?.path())).collect()
    };
    let mut files = list().map_err(|error| access(folder, &error))?;
    files.sort();
    Ok(files)
}

/// The whole file, unpacked if need be.
pub(crate) fn read_unpacked(path: &Path) -> Result<Vec<u8>, DataError> {
    Ok(unpack(&path.display().to_string(), &read(path)?)?.into_owned())
}

/// The whole file, as it is.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| access(path, &error))?;
    file.take(MAX_DATA_LEN + 1).read_to_end(&mut bytes).map_err(|error| access(path, &error))?;
    match bytes.len() as u64 {
        0..=MAX_DATA_LEN => Ok(bytes),
        _ => Err(DataError::TooLarge(path.display().to_string())),
    }
}

/// The bytes as they are, or what they hold if gzip packed them.
pub(super) fn unpack<'a>(what: &str, bytes: &'a [u8]) -> Result<Cow<'a, [u8]>, DataError> {
    if !bytes.starts_with(&GZIP_MAGIC) {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(bytes)
        .take(MAX_DATA_LEN + 1)
        .read_to_end(&mut unpacked)
        .map_err(|error| DataError::Malformed { what: what.into(), reason: error.to_string() })?;
    match unpacked.len() as u64 {
        0..=MAX_DATA_LEN => Ok(Cow::Owned(unpacked)),
        _ => Err(DataError::TooLarge(what.into())),
    }
}

pub(super) fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), DataError> {
    fs::create_dir_all(folder).map_err(|error| access(folder, &error))?;
    let path = folder.join(name);
    fs::write(&path, bytes).map_err(|error| access(&path, &error))
}

fn access(path: &Path, error: &io::Error) -> DataError {
    DataError::Access { path: path.into(), reason: error.to_string() }
}

fn malformed(path: &Path, reason: &str) -> DataError {
    DataError::Malformed { what: path.display().to_string(), reason: reason.into() }
}
