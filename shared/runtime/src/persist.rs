//! The thread that syncs: whatever waits goes to the disk together, with one sync.
//!
//! A slow card delays acknowledgements, never heartbeats. After an error nothing is acknowledged until the log was
//! opened anew and took everything that waits.

use rafty_storage::{Log, Standing};
use rafty_types::{Batch, PersistId, Time};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

/// How many batches go to the disk together at most.
const MAX_GROUP: usize = 1_024;
/// How long to wait before a failed disk is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// A disk that takes longer for a batch has failed as far as others must wait for it: a leader applies nothing that it
/// has not synced. Far longer than a slow card takes for what it has and what waits behind that.
pub(crate) const SYNC_WITHIN: Duration = Duration::from_secs(10);

/// What was given to the thread and is not on the disk yet, and since when. As bounded as the thread's queue.
#[derive(Default)]
pub(crate) struct Unsynced(VecDeque<(PersistId, Time)>);

impl Unsynced {
    pub(crate) fn given(&mut self, id: PersistId, now: Time) {
        self.0.push_back((id, now));
    }

    pub(crate) fn synced(&mut self, up_to: PersistId) {
        while self.0.front().is_some_and(|(id, _)| *id <= up_to) {
            self.0.pop_front();
        }
    }

    /// Whether the disk hangs: the oldest batch waits for longer than a disk may take.
    pub(crate) fn is_overdue(&self, now: Time) -> bool {
        self.0.front().is_some_and(|(_, given)| now.saturating_since(*given) >= SYNC_WITHIN)
    }
}

/// What the thread says.
pub(crate) enum Synced {
    /// This batch and all before it are on the disk.
    UpTo(PersistId),
    /// The disk does not take anything: why.
    Failing(String),
    /// It works again.
    Healed,
}

/// The way to the thread. Its queue is bounded by consensus, which has a bounded number of batches under way.
pub(crate) struct Persister(Sender<(PersistId, Batch)>);

impl Persister {
    /// Starts the thread over an open log in `dir`. `say` is called on it.
    pub(crate) fn start(
        log: Log,
        dir: PathBuf,
        say: impl Fn(Synced) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (sender, batches) = channel();
        let body = move || sync(log, &dir, &batches, &say);
        thread::Builder::new().name("rafty-sync".into()).spawn(body)?;
        Ok(Self(sender))
    }

    pub(crate) fn write(&self, id: PersistId, batch: Batch) {
        // The thread ends only with the process.
        let _ = self.0.send((id, batch));
    }
}

fn sync(mut log: Log, dir: &Path, batches: &Receiver<(PersistId, Batch)>, say: &impl Fn(Synced)) {
    while let Ok((mut last, first)) = batches.recv() {
        let mut group = vec![first];
        while group.len() < MAX_GROUP
            && let Ok((id, batch)) = batches.try_recv()
        {
            last = id;
            group.push(batch);
        }
        let before = log.standing();
        let written = log.write(&group);
        if let Err(error) = &written {
            drop(log);
            log = heal(dir, before, &group, error.to_string(), say);
        }
        say(Synced::UpTo(last));
        if written.is_err() {
            say(Synced::Healed);
        }
    }
}

/// Opens the log anew and writes what waits, however long that takes. Says why it does not work, and when the reason
/// is another one.
fn heal(dir: &Path, before: Standing, group: &[Batch], mut why: String, say: &impl Fn(Synced)) -> Log {
    say(Synced::Failing(why.clone()));
    loop {
        thread::sleep(TRY_AGAIN);
        let now = match write_anew(dir, before, group) {
            Ok(log) => return log,
            Err(now) => now,
        };
        if now != why {
            say(Synced::Failing(now.clone()));
            why = now;
        }
    }
}

fn write_anew(dir: &Path, before: Standing, group: &[Batch]) -> Result<Log, String> {
    let (mut log, _) = Log::open(dir).map_err(|error| error.to_string())?;
    log.write_again(before, group).map_err(|error| error.to_string())?;
    Ok(log)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_oldest_batch_tells_whether_the_disk_hangs() {
        let at = |ms: u64| Time::since_start(Duration::from_millis(ms));
        let mut unsynced = Unsynced::default();
        assert!(!unsynced.is_overdue(at(60_000)), "nothing waits");
        unsynced.given(PersistId(1), at(0));
        unsynced.given(PersistId(2), at(4_000));
        unsynced.given(PersistId(3), at(9_000));
        assert!(!unsynced.is_overdue(at(9_999)) && unsynced.is_overdue(at(10_000)));
        unsynced.synced(PersistId(2));
        assert!(!unsynced.is_overdue(at(18_999)) && unsynced.is_overdue(at(19_000)));
        unsynced.synced(PersistId(3));
        assert!(!unsynced.is_overdue(at(60_000)));
    }
}
