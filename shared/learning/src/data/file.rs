//! Finds, reads and unpacks files, never more than [`MAX_DATA_LEN`] of them.

use super::{DataError, MAX_DATA_LEN};
use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// How the names of tables, arrays and images end.
pub(crate) const TABLES: [&str; 2] = [".csv", ".csv.gz"];
pub(crate) const ARRAYS: [&str; 1] = [".npy"];
pub(crate) const IMAGES: [&str; 3] = [".png", ".jpg", ".jpeg"];

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Most entries of a folder and the folders in it.
const MAX_ENTRIES: usize = 1_000_000;

/// The two IDX files in `folder`, packed or not, or `None` when both are missing.
pub(crate) fn images_and_labels(folder: &Path) -> Result<Option<(PathBuf, PathBuf)>, DataError> {
    pair(folder, "images.idx", "labels.idx", ".gz")
}

/// The two NPY files in `folder`, or `None` when both are missing.
pub(crate) fn features_and_labels(folder: &Path) -> Result<Option<(PathBuf, PathBuf)>, DataError> {
    pair(folder, "features.npy", "labels.npy", "")
}

fn pair(
    folder: &Path,
    first: &str,
    second: &str,
    packed: &str,
) -> Result<Option<(PathBuf, PathBuf)>, DataError> {
    let files = files_in(folder)?;
    let find = |name: &str| {
        files.iter().find(|file| {
            let file = file.file_name().and_then(|file| file.to_str()).unwrap_or_default();
            file.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest == packed)
        })
    };
    match (find(first), find(second)) {
        (Some(first), Some(second)) => Ok(Some((first.clone(), second.clone()))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(malformed(folder, &format!("it has {first} but no {second}"))),
        (None, Some(_)) => Err(malformed(folder, &format!("it has {second} but no {first}"))),
    }
}

/// `path` itself if it is a file, or the one CSV file in it, or `None` when there is none.
pub(crate) fn table_file(path: &Path) -> Result<Option<PathBuf>, DataError> {
    if path.is_file() {
        return Ok(Some(path.into()));
    }
    let tables: Vec<PathBuf> = files_in(path)?.into_iter().filter(|file| ends_with(file, &TABLES)).collect();
    match tables.as_slice() {
        [] => Ok(None),
        [table] => Ok(Some(table.clone())),
        [..] => Err(malformed(
            path,
            "it has more than one CSV file; name the one to use, or let the task say `spool = true`",
        )),
    }
}

/// `path` itself if it is a file, or all files in that folder and the folders in it that have one of these endings.
pub(crate) fn files(path: &Path, endings: &[&str]) -> Result<Vec<PathBuf>, DataError> {
    let mut files = all_files(path)?;
    files.retain(|file| file == path || ends_with(file, endings));
    Ok(files)
}

/// `path` itself if it is a file, or every file in that folder and the folders in it, sorted. What is being written,
/// by its name (`.*`, `*.part`, `*.tmp`), and what is no ordinary file is left out; so is a folder in it that must not
/// be looked into, `lost+found` for instance.
pub(super) fn all_files(path: &Path) -> Result<Vec<PathBuf>, DataError> {
    if path.is_file() {
        return Ok(vec![path.into()]);
    }
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    for entry in files_in(path)? {
        if entry.is_dir() { folders.push(entry) } else { files.push(entry) }
    }
    for folder in folders {
        match files_in(&folder) {
            Err(DataError::Access { .. }) => continue,
            inside => files.extend(inside?),
        }
        if files.len() > MAX_ENTRIES {
            return Err(malformed(path, &format!("it has more than {MAX_ENTRIES} files")));
        }
    }
    files.retain(|file| file.is_file());
    files.sort();
    Ok(files)
}

/// What is in `folder`, sorted, so that the choice among it is always the same.
fn files_in(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let list = || -> io::Result<Vec<PathBuf>> {
        fs::read_dir(folder)?.take(MAX_ENTRIES + 1).map(|entry| Ok(entry?.path())).collect()
    };
    let mut files = list().map_err(|error| access(folder, &error))?;
    if files.len() > MAX_ENTRIES {
        return Err(malformed(folder, &format!("it has more than {MAX_ENTRIES} files")));
    }
    files.retain(|file| !is_unfinished(file));
    files.sort();
    Ok(files)
}

/// Whether a name says that the file is hidden or still being written.
fn is_unfinished(file: &Path) -> bool {
    let name = file.file_name().map(|name| name.as_encoded_bytes()).unwrap_or_default();
    name.starts_with(b".") || name.ends_with(b".part") || name.ends_with(b".tmp")
}

fn ends_with(file: &Path, endings: &[&str]) -> bool {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_lowercase();
    endings.iter().any(|ending| name.ends_with(ending))
}

/// The file for reading from its begin, unpacked if need be, and how long it is as it stands.
pub(super) fn open(path: &Path) -> Result<(Box<dyn BufRead>, u64), DataError> {
    let file = File::open(path).map_err(|error| access(path, &error))?;
    let len = file.metadata().map_err(|error| access(path, &error))?.len();
    let mut file = BufReader::new(file);
    let packed = file.fill_buf().map_err(|error| access(path, &error))?.starts_with(&GZIP_MAGIC);
    Ok(match packed {
        true => (Box::new(BufReader::new(flate2::read::GzDecoder::new(file))), len),
        false => (Box::new(file), len),
    })
}

/// The whole file, unpacked if need be.
pub(crate) fn read_unpacked(path: &Path) -> Result<Vec<u8>, DataError> {
    Ok(unpack(&path.display().to_string(), &read_all(path)?)?.into_owned())
}

/// The whole file, as it is.
pub(super) fn read_all(path: &Path) -> Result<Vec<u8>, DataError> {
    read(path, MAX_DATA_LEN)
}

/// The whole file, as it is, if it has at most so many bytes.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| access(path, &error))?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| access(path, &error))?;
    match bytes.len() as u64 <= limit {
        true => Ok(bytes),
        false => Err(DataError::TooLarge(path.display().to_string())),
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
