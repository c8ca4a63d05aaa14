//! A signal while a directory is made: nothing half-made stays, least of all keys.
//!
//! Without this a process that waits to join would just be gone, and `Drop` with it.

use async_signal::{Signal, Signals};
use signal_hook::consts::{SIGINT, SIGTERM};
use smol::stream::StreamExt;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

/// The directories that this process is making.
static MAKING: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
/// A running member sees to signals itself.
static MEMBER_RUNS: AtomicBool = AtomicBool::new(false);

/// Held while a directory goes to its place, which a signal waits for.
pub(crate) fn making() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    MAKING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `dir` is removed when this process ends by a signal.
pub(crate) fn begin(dir: &Path) {
    making().insert(dir.to_path_buf());
}

/// From now on signals are somebody else's.
pub(crate) fn member_runs() {
    MEMBER_RUNS.store(true, Ordering::SeqCst);
}

/// From now on SIGTERM and SIGINT remove every directory that [`found`](crate::setup::found) and
/// [`join`](crate::setup::join) are making, and then end the process as they would have without this. For programs that
/// do nothing else meanwhile. A member that runs ends in its own way.
///
/// # Errors
/// The system refused.
pub fn end_cleanly_on_signals() -> std::io::Result<()> {
    static ONCE: Once = Once::new();
    if ONCE.is_completed() {
        return Ok(());
    }
    let mut signals = Signals::new([Signal::Term, Signal::Int])?;
    let wait = move || {
        while let Some(signal) = smol::block_on(signals.next()) {
            if MEMBER_RUNS.load(Ordering::SeqCst) {
                continue;
            }
            // Kept to the end: nothing may go to its place any more.
            let making = making();
            making.iter().for_each(|dir| drop(std::fs::remove_dir_all(dir)));
            let number = if matches!(signal, Ok(Signal::Int)) { SIGINT } else { SIGTERM };
            let _ = signal_hook::low_level::emulate_default_handler(number);
            std::process::exit(128 + number);
        }
    };
    std::thread::Builder::new().name("rafty-signals".into()).spawn(wait)?;
    ONCE.call_once(|| {});
    Ok(())
}
