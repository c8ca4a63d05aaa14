//! Log lines on stderr, written by a thread of their own.
//!
//! Stderr may be a pipe that nobody reads or a slow terminal. Whoever logs only puts a line into a bounded queue; when
//! that is full, the line is dropped and counted, and the count is written as soon as there is room again.

use rafty_types::printable;
use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes of lines that may wait for stderr.
const MAX_QUEUED_BYTES: usize = 256 * 1024;
/// What a queued line takes beside its bytes.
const LINE_COST: usize = 64;
/// How long a program that ends waits for its last lines to be written.
const FLUSH_WITHIN: Duration = Duration::from_millis(500);

/// How much a line matters: syslog's numbers (RFC 5424). systemd's journal reads them from a prefix, see sd-daemon(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Something does not work, or a person should know of it.
    Warning = 4,
    /// Everything else.
    Info = 6,
}

/// Logs a line to this process's stderr. Never blocks: the line is dropped and counted when too many wait.
pub fn log(level: LogLevel, line: &str) {
    STDERR.log(level, line);
}

/// Waits, for half a second at most, until the lines logged so far are written. For a program that ends.
pub fn flush_log() {
    STDERR.flush(FLUSH_WITHIN);
}

static STDERR: LazyLock<LogWriter> = LazyLock::new(|| {
    let for_journal = std::env::var_os("JOURNAL_STREAM").is_some();
    LogWriter::start(std::io::stderr(), for_journal)
});

/// The way to a writing thread.
struct LogWriter(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    for_journal: bool,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<String>,
    bytes: usize,
    /// Lines that were not taken, as long as that was not told.
    dropped: u64,
    /// Whether the thread has taken a line that it has not written yet.
    writing: bool,
}

impl LogWriter {
    fn start(to: impl Write + Send + 'static, for_journal: bool) -> Self {
        let shared = Arc::new(Shared { queue: Mutex::default(), changed: Condvar::new(), for_journal });
        let lines = shared.clone();
        // Without the thread nothing is logged, and the member goes on all the same.
        let _ = thread::Builder::new().name("rafty-log".into()).spawn(move || lines.write_all_to(to));
        Self(shared)
    }

    fn log(&self, level: LogLevel, line: &str) {
        let line = self.0.format(level, line);
        let mut queue = self.0.lock();
        if queue.dropped > 0 {
            let notice = self.0.dropped_notice(queue.dropped);
            if queue.push(notice) {
                queue.dropped = 0;
            }
        }
        if queue.dropped > 0 || !queue.push(line) {
            queue.dropped += 1;
        }
        drop(queue);
        self.0.changed.notify_all();
    }

    fn flush(&self, within: Duration) {
        let until = Instant::now() + within;
        let mut queue = self.0.lock();
        while queue.writing || queue.dropped > 0 || !queue.lines.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.0.changed.wait_timeout(queue, left);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a line says may be somebody else's text: it stays one line, and gives a terminal no orders.
    fn format(&self, level: LogLevel, line: &str) -> String {
        let line = printable(line);
        match self.for_journal {
            true => format!("<{}>{line}\n", level as u8),
            false => format!("{line}\n"),
        }
    }

    fn dropped_notice(&self, dropped: u64) -> String {
        let lines = if dropped == 1 { "line was" } else { "lines were" };
        self.format(LogLevel::Warning, &format!("{dropped} log {lines} dropped: stderr is read too slowly"))
    }

    /// The thread's body. The lock is never held while it writes.
    fn write_all_to(&self, mut to: impl Write) {
        let mut queue = self.lock();
        loop {
            let Some(line) = queue.pop().or_else(|| self.take_notice(&mut queue)) else {
                queue.writing = false;
                self.changed.notify_all();
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            queue.writing = true;
            drop(queue);
            // A full disk or a closed pipe takes nothing: a member goes on all the same.
            let _ = to.write_all(line.as_bytes());
            queue = self.lock();
        }
    }

    fn take_notice(&self, queue: &mut Queue) -> Option<String> {
        let dropped = std::mem::take(&mut queue.dropped);
        (dropped > 0).then(|| self.dropped_notice(dropped))
    }
}

impl Queue {
    /// `false` when there is no room.
    fn push(&mut self, line: String) -> bool {
        let cost = line.len() + LINE_COST;
        if self.bytes + cost > MAX_QUEUED_BYTES {
            return false;
        }
        self.bytes += cost;
        self.lines.push_back(line);
        true
    }

    fn pop(&mut self) -> Option<String> {
        let line = self.lines.pop_front()?;
        self.bytes = self.bytes.saturating_sub(line.len() + LINE_COST);
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};

    /// How much longer than needed a test waits for a thread.
    const LONG: Duration = Duration::from_secs(60);

    fn pipe() -> (BufReader<std::io::PipeReader>, std::io::PipeWriter) {
        let (reader, writer) = std::io::pipe().expect("the system gives a pipe");
        (BufReader::new(reader), writer)
    }

    #[test]
    fn lines_come_in_order_and_with_a_level_for_the_journal() {
        for (for_journal, expected) in [
            (true, "<6>one\n<4>two\\u{a}<4>three\\u{1b}[2J\n"),
            (false, "one\ntwo\\u{a}<4>three\\u{1b}[2J\n"),
        ] {
            let (mut read, write) = pipe();
            let log = LogWriter::start(write, for_journal);
            log.log(LogLevel::Info, "one");
            log.log(LogLevel::Warning, "two\n<4>three\u{1b}[2J");
            log.flush(LONG);
            let mut lines = String::new();
            for _ in 0..2 {
                read.read_line(&mut lines).unwrap();
            }
            assert_eq!(lines, expected);
        }
    }

    #[test]
    fn a_pipe_that_nobody_reads_stops_nobody_and_what_was_dropped_is_counted_later() {
        let (read, write) = pipe();
        let log = LogWriter::start(write, false);
        let line = "x".repeat(999);
        // Ten times what the pipe and the queue hold.
        let all = 10 * (MAX_QUEUED_BYTES + 64 * 1024) / line.len();
        (0..all).for_each(|_| log.log(LogLevel::Info, &line));
        assert!(log.0.lock().bytes <= MAX_QUEUED_BYTES);
        // How often there is room meanwhile is the threads' business; together the counts are right.
        let (mut came, mut dropped) = (0, 0);
        for read in read.lines().map(Result::unwrap) {
            match read.split_once(" log line") {
                Some((count, rest)) => {
                    assert!(rest.ends_with(" dropped: stderr is read too slowly"), "{read}");
                    dropped += count.parse::<usize>().unwrap();
                }
                None => {
                    assert_eq!(read, line);
                    came += 1;
                }
            }
            if came + dropped == all {
                break;
            }
        }
        assert!(dropped > 0 && came > 0, "{came} came, {dropped} were dropped");
    }

    #[test]
    fn a_flush_waits_for_nobody_who_does_not_read() {
        let (_read, write) = pipe();
        let log = LogWriter::start(write, false);
        (0..1_000).for_each(|_| log.log(LogLevel::Info, &"y".repeat(999)));
        let (before, within) = (Instant::now(), Duration::from_millis(20));
        log.flush(within);
        assert!(before.elapsed() >= within && before.elapsed() < LONG);
    }

    #[test]
    fn a_closed_pipe_loses_lines_and_nothing_else() {
        let (read, write) = pipe();
        drop(read);
        let log = LogWriter::start(write, false);
        log.log(LogLevel::Info, "nobody reads this");
        let before = Instant::now();
        log.flush(LONG);
        assert!(before.elapsed() < LONG, "it does not wait for a reader");
    }
}
