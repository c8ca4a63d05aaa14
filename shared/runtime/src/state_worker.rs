//! The thread that brings the replicated state into bytes, digests it and reads snapshots: all that takes as long as
//! the state is large.
//!
//! The node hands out states that share what they have in common with its own, which goes on meanwhile. A state machine
//! of a user that panics ends its job, which is reported as failed, and nothing else.

use crate::log_writer::{LogLevel, log};
use crate::work::be_nice;
use rafty_node::{FrozenState, ReadState, UnreadState};
use rafty_types::{Digest, Index};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// How many jobs may wait: the node has one snapshot taken, one read and one state digested at a time, and one digest is
/// made for people at a time.
const QUEUE: usize = 4;
/// Making digests takes at most one part in so many of the thread's time.
const DIGEST_SHARE: u32 = 10;
/// How long after a digest that failed the next one is made at the earliest.
const DIGEST_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// What the thread is to do.
pub(crate) enum StateJob {
    /// Bring a state into bytes.
    TakeSnapshot(FrozenState),
    /// Read a snapshot that has come.
    ReadSnapshot(UnreadState),
    /// Digest a state for people.
    Digest(FrozenState),
    /// Digest the state as of a mark.
    DigestMark(Index, FrozenState),
}

/// What it did.
pub(crate) enum StateDone {
    /// The bytes of the state as of an index.
    SnapshotTaken { index: Index, data: Arc<[u8]> },
    /// A snapshot was read, or cannot be.
    SnapshotRead(ReadState),
    /// The digest of the state as of an index, and how long it took.
    Digest { index: Index, digest: Digest, took: Duration },
    /// The digest of the state as of a mark.
    MarkDigested { mark: Index, digest: Digest },
    /// The snapshot of the state as of an index could not be taken.
    SnapshotFailed { index: Index },
    /// No digest for people came about.
    DigestFailed,
    /// No digest of the state as of a mark came about.
    MarkFailed { mark: Index },
}

impl StateJob {
    fn perform(self) -> StateDone {
        let failed = self.failed();
        // After a panic nothing of the state in the job is used again: it goes with the job.
        catch_unwind(AssertUnwindSafe(|| self.bring_about())).unwrap_or_else(|_| {
            log(
                LogLevel::Warning,
                "the state machine panicked when its state was written, read or digested; nothing was changed, and it is \
                 tried again later",
            );
            failed
        })
    }

    /// What is reported when it panics.
    fn failed(&self) -> StateDone {
        match self {
            Self::TakeSnapshot(state) => StateDone::SnapshotFailed { index: state.index() },
            Self::ReadSnapshot(_) => StateDone::SnapshotRead(ReadState::failed("the state machine panicked")),
            Self::DigestMark(mark, _) => StateDone::MarkFailed { mark: *mark },
            Self::Digest(_) => StateDone::DigestFailed,
        }
    }

    fn bring_about(self) -> StateDone {
        match self {
            Self::TakeSnapshot(state) => {
                StateDone::SnapshotTaken { index: state.index(), data: state.snapshot() }
            }
            Self::ReadSnapshot(snapshot) => StateDone::SnapshotRead(snapshot.read()),
            Self::DigestMark(mark, state) => StateDone::MarkDigested { mark, digest: state.digest() },
            Self::Digest(state) => {
                let begun = Instant::now();
                let digest = state.digest();
                StateDone::Digest { index: state.index(), digest, took: begun.elapsed() }
            }
        }
    }
}

/// The way to the thread.
pub(crate) struct StateWorker(SyncSender<StateJob>);

impl StateWorker {
    /// Starts the thread. `report` is called on it.
    pub(crate) fn start(report: impl Fn(StateDone) + Send + 'static) -> std::io::Result<Self> {
        let (sender, jobs) = sync_channel::<StateJob>(QUEUE);
        let body = move || {
            be_nice();
            while let Ok(job) = jobs.recv() {
                report(job.perform());
            }
        };
        thread::Builder::new().name("rafty-state".into()).spawn(body)?;
        Ok(Self(sender))
    }

    /// Hands a job over. Comes back done only when the thread is not there any more.
    pub(crate) fn order(&self, job: StateJob) -> Option<StateDone> {
        match self.0.try_send(job) {
            Ok(()) => None,
            Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => Some(job.perform()),
        }
    }
}

/// The newest digest of the state, and when another one may be made.
#[derive(Default)]
pub(crate) struct DigestCache {
    newest: Option<(Index, Digest)>,
    under_way: bool,
    not_before: Option<Instant>,
}

impl DigestCache {
    pub(crate) fn newest(&self) -> Option<(Index, Digest)> {
        self.newest
    }

    /// Whether a digest is to be made now that somebody asks, the state being the one of this index.
    pub(crate) fn begin(&mut self, applied: Index, now: Instant) -> bool {
        let stale = self.newest.is_none_or(|(index, _)| index != applied);
        let due = stale && !self.under_way && self.not_before.is_none_or(|at| at <= now);
        self.under_way |= due;
        due
    }

    pub(crate) fn made(&mut self, index: Index, digest: Digest, took: Duration, now: Instant) {
        self.newest = Some((index, digest));
        self.under_way = false;
        self.not_before = Some(now + took * DIGEST_SHARE);
    }

    /// The next one that somebody asks for is made anew.
    pub(crate) fn failed(&mut self, now: Instant) {
        self.under_way = false;
        self.not_before = Some(now + DIGEST_AGAIN_AFTER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rafty_dictionary::Replicated;
    use rafty_types::{RestoreError, StateMachine, Term};
    use std::sync::mpsc::channel;

    /// Panics whenever its state is asked for.
    #[derive(Clone)]
    struct Panicking;

    impl StateMachine for Panicking {
        fn apply(&mut self, _: Index, _: Term, _: &[u8]) -> Vec<u8> {
            Vec::new()
        }
        fn snapshot(&self) -> Vec<u8> {
            panic!("on purpose")
        }
        fn restore(&mut self, _: &[u8]) -> Result<(), RestoreError> {
            panic!("on purpose")
        }
        fn digest(&self) -> Digest {
            panic!("on purpose")
        }
    }

    #[test]
    fn a_machine_that_panics_fails_its_jobs_and_the_thread_goes_on() {
        let frozen = || FrozenState::of(&Replicated::new(Panicking));
        let (report, done) = channel();
        let worker = StateWorker::start(move |done| report.send(done).unwrap()).unwrap();
        let perform = |job| {
            assert!(worker.order(job).is_none(), "the thread is there");
            done.recv().unwrap()
        };
        for _ in 0..2 {
            let index = frozen().index();
            let taken = perform(StateJob::TakeSnapshot(frozen()));
            assert!(matches!(taken, StateDone::SnapshotFailed { index: of } if of == index));
            let digested = perform(StateJob::DigestMark(Index(7), frozen()));
            assert!(matches!(digested, StateDone::MarkFailed { mark: Index(7) }));
            assert!(matches!(perform(StateJob::Digest(frozen())), StateDone::DigestFailed));
        }
    }

    #[test]
    fn a_digest_is_made_on_demand_one_at_a_time_and_rests_ten_times_as_long_as_it_took() {
        let (mut cache, start) = (DigestCache::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert!(cache.begin(Index(5), at(0)));
        assert!(!cache.begin(Index(6), at(1)), "one is under way");
        cache.made(Index(5), Digest::of(b"5"), Duration::from_millis(7), at(8));
        assert_eq!(cache.newest(), Some((Index(5), Digest::of(b"5"))));
        assert!(!cache.begin(Index(5), at(1_000)), "it is of the present state");
        assert!(!cache.begin(Index(6), at(77)) && cache.begin(Index(6), at(78)));
    }
}
