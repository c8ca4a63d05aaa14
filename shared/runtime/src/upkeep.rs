//! What being a member costs this device: timers that went off late, and bytes written, which wear an SD card out.
//!
//! It only counts.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A heartbeat that is later than this is noticed by others.
const LATE: Duration = Duration::from_millis(50);

/// How late the loop came to what was due: heartbeats, elections, rounds. Since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lateness {
    /// The worst, in milliseconds.
    pub worst_ms: u64,
    /// How often it was more than 50 ms.
    pub over_50_ms: u64,
}

impl Lateness {
    pub(crate) fn note(&mut self, late: Duration) {
        self.worst_ms = self.worst_ms.max(u64::try_from(late.as_millis()).unwrap_or(u64::MAX));
        self.over_50_ms += u64::from(late > LATE);
    }
}

/// Bytes that this process has had written to a disk; `None` where the system does not tell.
pub(crate) fn written_bytes() -> Option<u64> {
    written_in(&std::fs::read_to_string("/proc/self/io").ok()?)
}

/// Linux, proc_pid_io(5): what was written and then not dropped from the page cache.
fn written_in(io: &str) -> Option<u64> {
    let number = |name: &str| io.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
    Some(number("write_bytes:")?.saturating_sub(number("cancelled_write_bytes:").unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lateness_keeps_the_worst_and_counts_what_others_notice() {
        let mut lateness = Lateness::default();
        for ms in [0, 3, 50, 51, 80, 2] {
            lateness.note(Duration::from_millis(ms));
        }
        assert_eq!(lateness, Lateness { worst_ms: 80, over_50_ms: 2 });
    }

    #[test]
    fn what_was_written_and_thrown_away_again_does_not_count() {
        let io = "rchar: 5\nwchar: 9000\nwrite_bytes: 8192\ncancelled_write_bytes: 4096\n";
        assert_eq!(written_in(io), Some(4_096));
        assert_eq!(written_in("nothing of the kind"), None);
    }
}
