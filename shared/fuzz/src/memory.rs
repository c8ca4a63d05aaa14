//! How much memory reading some bytes takes, measured by counting.
//!
//! It counts what the whole process holds, so one measurement runs at a time.

use peak_alloc::PeakAlloc;
use std::sync::Mutex;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Lets tests, which run on several threads, measure one after another.
static MEASURED: Mutex<()> = Mutex::new(());

/// What serde reserves on the word of a length before it has seen a byte of it, for each of a few nested lists.
const RESERVED: usize = 4 * 1024 * 1024;

/// Does `work` on `len` foreign bytes.
///
/// # Panics
/// When it held more than `factor` times as many at once, beside a few reserved megabytes.
pub fn bounded<T>(len: usize, factor: usize, work: impl FnOnce() -> T) -> T {
    let _one_at_a_time = MEASURED.lock();
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let done = work();
    let held = MEMORY.peak_usage().saturating_sub(before);
    let most = RESERVED + factor * len;
    assert!(held <= most, "{len} bytes made {held} of memory, more than {most}");
    done
}
