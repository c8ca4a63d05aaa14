//! `rafty load`: entries from a file that `dump --json` wrote.
//!
//! The whole file is read and judged before the first entry is set. Setting is the same however often it is done, so a
//! load that was cut off is finished by running it again.

use super::{client, of_client};
use rafty_agent::{Failure, output};
use rafty_client::{Change, ClientError};
use rafty_dictionary::CLUSTER_KEY;
use rafty_runtime::exact_json::Bytes;
use rafty_wire::client::{MAX_KEY_LEN, MAX_VALUE_LEN, Scanner};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Longest file, in bytes: a full dictionary, each byte of it written in six.
const MAX_FILE_LEN: u64 = 512 * 1024 * 1024;
/// How many entries are set at the same time, so that one sync of the disks serves many.
const AT_ONCE: usize = 32;
/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// Entries to be set.
#[derive(Debug, Default, PartialEq, Eq)]
struct Loaded(BTreeMap<String, Vec<u8>>);

/// Sets every entry of the file, or of standard input when it is `-`. Others stay as they are.
pub(crate) fn load(dir: &Path, file: &Path, json: bool) -> Result<(), Failure> {
    let refused = |why: String| {
        Failure::refused(format!(
            "{} cannot be loaded: {why}; nothing was changed; give a file that `rafty dump --json` wrote",
            file.display()
        ))
    };
    let text = read(file).map_err(|error| refused(error.to_string()))?;
    let Loaded(entries) = serde_json::from_slice(&text).map_err(|error| refused(error.to_string()))?;
    let total = entries.len();
    set_all(dir, entries.into_iter().collect())?;
    if json {
        return output::json(json!({ "loaded": total }));
    }
    output::note(format_args!("{total} entries are set"));
    Ok(())
}

fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let source: Box<dyn Read> = if file == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(file)?)
    };
    source.take(MAX_FILE_LEN + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_FILE_LEN {
        return Err(std::io::Error::other(format!("it has more than {MAX_FILE_LEN} bytes")));
    }
    Ok(text)
}

/// Sets entries, several at a time, until one fails.
fn set_all(dir: &Path, entries: Vec<(String, Vec<u8>)>) -> Result<(), Failure> {
    let client = client(dir)?;
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let failed: Mutex<Option<ClientError>> = Mutex::new(None);
    let told = Mutex::new(Instant::now());
    let has_failed = || failed.lock().is_ok_and(|failed| failed.is_some());
    let work = || {
        while let Some((key, value)) = entries.get(next.fetch_add(1, Ordering::Relaxed)) {
            if has_failed() {
                return;
            }
            match client.append_log(Change::Set { key: key.clone(), value: value.clone() }) {
                Ok(_) => tell(done.fetch_add(1, Ordering::Relaxed) + 1, entries.len(), &told),
                Err(error) => {
                    let _ = failed.lock().map(|mut failed| failed.get_or_insert(error).clone());
                }
            }
        }
    };
    thread::scope(|scope| (0..AT_ONCE.min(entries.len())).for_each(|_| drop(scope.spawn(work))));
    let Some(error) = failed.into_inner().unwrap_or_default() else { return Ok(()) };
    let (done, total) = (done.into_inner(), entries.len());
    let failure = of_client(error);
    Err(Failure::new(
        failure.code,
        format!(
            "{}; before that {done} of {total} entries were set, and nothing else was changed; run the command again, \
             it may set entries twice",
            failure.message
        ),
    ))
}

fn tell(done: usize, total: usize, told: &Mutex<Instant>) {
    let Ok(mut told) = told.try_lock() else { return };
    if told.elapsed() >= TELL_EVERY {
        *told = Instant::now();
        output::note(format_args!("{done} of {total} entries are set"));
    }
}

impl<'de> Deserialize<'de> for Loaded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Loaded;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one object whose fields are the entries")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Loaded, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some((key, Bytes(value))) = map.next_entry::<String, Bytes>()? {
            check(&key, &value).map_err(serde::de::Error::custom)?;
            if entries.insert(key.clone(), value).is_some() {
                return Err(serde::de::Error::custom(format!("the entry {key:?} is there twice")));
            }
        }
        Ok(Loaded(entries))
    }
}

/// What a member would refuse, found before anything is set.
fn check(key: &str, value: &[u8]) -> Result<(), String> {
    if key.as_bytes() == CLUSTER_KEY {
        return Err("the entry \"cluster\" lists the members and cannot be set".into());
    }
    if key.len() > MAX_KEY_LEN {
        return Err(format!("a key has {} bytes, and at most {MAX_KEY_LEN} are allowed", key.len()));
    }
    match Scanner::new(MAX_VALUE_LEN).feed(value) {
        Ok(_) => Ok(()),
        Err(why) => Err(format!("the value of {key:?} cannot be set: {why}")),
    }
}
