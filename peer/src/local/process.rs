//! One child process that never outlives this one.
//!
//! Its standard input is a pipe that gets a secret at most: when this program ends, however it ends, the pipe closes and
//! the child ends too. Its output goes to a file. It does not know what the child does.

use super::Interrupt;
use rafty_agent::Failure;
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How often is looked whether a child has ended.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How much of a child's output is quoted when it failed, in characters.
const QUOTE: usize = 300;

/// A program and its first words.
#[derive(Clone)]
pub(crate) struct Program {
    path: PathBuf,
    words: Vec<OsString>,
}

impl Program {
    /// This program, again.
    pub(crate) fn this(words: &[&str]) -> Result<Self, Failure> {
        let path = std::env::current_exe().map_err(|error| {
            Failure::failed(format!("cannot find this program to start it again: {error}"))
        })?;
        Ok(Self { path, words: words.iter().map(OsString::from).collect() })
    }

    pub(crate) fn other(path: &Path) -> Self {
        Self { path: path.into(), words: Vec::new() }
    }

    pub(crate) fn with(&self, word: &str) -> Self {
        let mut more = self.clone();
        more.words.push(word.into());
        more
    }

    /// Starts it, in a process group of its own: Ctrl-C is this program's to handle.
    pub(crate) fn start(&self, words: &[OsString], log: &Path) -> Result<Process, Failure> {
        let failed =
            |what: &dyn std::fmt::Display, error| Failure::failed(format!("cannot start {what}: {error}"));
        let output = File::options().create(true).append(true).open(log);
        let output = output.map_err(|error| failed(&log.display(), error))?;
        let errors = output.try_clone().map_err(|error| failed(&log.display(), error))?;
        let child = Command::new(&self.path)
            .args(&self.words)
            .args(words)
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(|error| failed(&self.path.display(), error))?;
        Ok(Process { child })
    }

    /// The same, and gives it a secret as a line on its standard input: its words are seen by every user.
    pub(crate) fn start_with_secret(
        &self,
        words: &[OsString],
        secret: &str,
        log: &Path,
    ) -> Result<Process, Failure> {
        let mut process = self.start(words, log)?;
        let told = process.child.stdin.as_mut().map_or(Ok(()), |input| writeln!(input, "{secret}"));
        told.map_err(|error| Failure::failed(format!("cannot tell {}: {error}", self.path.display())))?;
        Ok(process)
    }
}

/// A child; killed when dropped.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// SIGKILL, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGSTOP: it does nothing until it [goes on](Self::go_on).
    pub(crate) fn stand_still(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub(crate) fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        // One that has ended is missed by whoever looks whether it runs.
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    /// Its number in the system.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for it to end well.
    pub(crate) fn finish(
        &mut self,
        within: Duration,
        interrupt: &Interrupt,
        log: &Path,
    ) -> Result<(), Failure> {
        let until = Instant::now() + within;
        while Instant::now() < until {
            interrupt.check()?;
            match self.ended() {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(ended_badly(status, log)),
                None => std::thread::sleep(LOOK_EVERY),
            }
        }
        Err(Failure::failed(format!("a step took longer than {within:?}; see {}", log.display())))
    }

    /// Fails when it has ended, although it should not.
    pub(crate) fn must_run(&mut self, log: &Path) -> Result<(), Failure> {
        self.ended().map_or(Ok(()), |status| Err(ended_badly(status, log)))
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// A line of its `/proc` status in MB: `VmRSS` is its memory now, `VmHWM` the most it ever had.
    pub(crate) fn memory_mb(&self, what: &str) -> Option<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        memory_mb(&status, what)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn memory_mb(status: &str, what: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some((kib / 102.4).round() / 10.0)
}

fn ended_badly(status: ExitStatus, log: &Path) -> Failure {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    let last: String = last.chars().take(QUOTE).collect();
    Failure::failed(format!("a member ended with {status}: {last}; see {}", log.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_proc() {
        let status = "Name:\trafty\nVmHWM:\t   40960 kB\nVmRSS:\t    2048 kB\n";
        assert_eq!(memory_mb(status, "VmHWM"), Some(40.0));
        assert_eq!(memory_mb(status, "VmRSS"), Some(2.0));
        assert_eq!(memory_mb(status, "VmSwap"), None);
    }

    #[test]
    fn a_child_ends_when_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut process = Program::other(Path::new("cat")).start(&[], &log).unwrap();
        assert!(process.ended().is_none());
        let proc_entry = PathBuf::from(format!("/proc/{}", process.child.id()));
        assert!(proc_entry.exists());
        drop(process);
        assert!(!proc_entry.exists());
    }

    #[test]
    fn a_child_that_fails_is_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let words = ["-c", "echo what went wrong >&2; exit 3"].map(OsString::from);
        let mut process = Program::other(Path::new("sh")).start(&words, &log).unwrap();
        let failure = process.finish(Duration::from_secs(10), &Interrupt::never(), &log).unwrap_err();
        assert!(failure.message.contains("what went wrong"), "{failure}");
    }
}
