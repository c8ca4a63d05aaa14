//! Both programs as processes, and waiting with a bound.
#![allow(dead_code)] // each test uses a part of it

pub(crate) mod peer_set;
pub(crate) mod trainers;

use serde_json::Value;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long anything that must come about may take, on a slow machine too.
pub(crate) const WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A folder with both programs, to be used instead of those that are built for the tests.
const PROGRAMS: &str = "RAFTY_PROGRAMS";

/// The laptop program.
pub(crate) fn rafty() -> PathBuf {
    match std::env::var_os(PROGRAMS) {
        Some(folder) => Path::new(&folder).join("rafty"),
        None => env!("CARGO_BIN_EXE_rafty").into(),
    }
}

/// The device program beside it. Cargo does not tell where a program of another package is, nor builds it when only
/// this package is tested: so it is built here, with the features of the whole workspace, which is nothing to do when
/// it is new.
pub(crate) fn rafty_agent() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let folder = rafty().parent().expect("a program is in a folder").to_path_buf();
        if std::env::var_os(PROGRAMS).is_some() {
            return folder.join("rafty-agent");
        }
        let release = folder.ends_with("release").then_some("--release");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--workspace", "--bin", "rafty-agent"]).args(release);
        // What cargo says of this package would be news to the build scripts of others, and build them again.
        let own =
            |name: &str| ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| name.starts_with(prefix));
        for (name, _) in std::env::vars().filter(|(name, _)| own(name)) {
            cargo.env_remove(name);
        }
        let built = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo runs");
        assert!(built.success(), "rafty-agent is built");
        folder.join("rafty-agent")
    };
    BUILT.get_or_init(build).clone()
}

/// A program with its first words and nothing of the user's surroundings.
pub(crate) fn command(program: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(words).env_remove("RAFTY_DIR").env("RAFTY_SETTINGS", "").stdin(Stdio::null());
    command
}

/// Runs a program to its end.
pub(crate) fn run(program: &Path, words: &[&str]) -> Output {
    run_command(command(program, words))
}

/// Runs a command to its end.
pub(crate) fn run_command(mut command: Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    finish(child.expect("the program starts"), &command)
}

fn finish(mut child: Child, command: &Command) -> Output {
    let reader = |mut pipe: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = pipe.read_to_end(&mut bytes);
            bytes
        })
    };
    let stdout = reader(Box::new(child.stdout.take().expect("a pipe")));
    let stderr = reader(Box::new(child.stderr.take().expect("a pipe")));
    let until = Instant::now() + 3 * WITHIN;
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            break status;
        }
        if Instant::now() > until {
            let _ = child.kill();
            panic!("{command:?} did not end: {}", String::from_utf8_lossy(&stderr.join().unwrap()));
        }
        std::thread::sleep(LOOK_EVERY);
    };
    Output { status, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

/// Runs a program that must do what it is asked; its standard output.
pub(crate) fn ok(program: &Path, words: &[&str]) -> String {
    let output = run(program, words);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {:?}: {stderr}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

/// Like [`ok`], with `--json`.
pub(crate) fn json(program: &Path, words: &[&str]) -> Value {
    json_of(command(program, words))
}

/// The same of a command, which ends in a program and its words.
pub(crate) fn json_of(mut asked: Command) -> Value {
    asked.arg("--json");
    let words = format!("{asked:?}");
    let output = run_command(asked);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}: {:?}: {stderr}", output.status);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{words}: {error}"))
}

/// Waits until `look` sees something.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + WITHIN;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < end, "{what} did not come about");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// The line in `DIR.log` before a start.
pub(crate) const STARTED: &str = "== started";

/// A member that runs; killed when dropped. What it says is added to the file `DIR.log`.
pub(crate) struct Up {
    child: Child,
}

impl Up {
    pub(crate) fn start(program: &Path, dir: &str) -> Self {
        Self::start_command(command(program, &[]), dir)
    }

    /// Starts `command`, which ends in a program, as the member in `dir`.
    pub(crate) fn start_command(command: Command, dir: &str) -> Self {
        Self::start_with(command, dir, &[])
    }

    /// The same, with more words behind `up`.
    pub(crate) fn start_with(mut command: Command, dir: &str, more: &[&str]) -> Self {
        let mut log = File::options().create(true).append(true).open(format!("{dir}.log")).expect("a log");
        writeln!(log, "{STARTED}").expect("a log");
        let errors = log.try_clone().expect("a log");
        let words = ["up", "--exit-with-parent", "--dir", dir];
        let member = command.args(words).args(more).stdin(Stdio::piped()).stdout(log).stderr(errors);
        Self { child: member.spawn().expect("it starts") }
    }

    /// Starts the member in `dir`, which logs to `errors`.
    pub(crate) fn start_with_stderr(program: &Path, dir: &str, errors: Stdio) -> Self {
        let mut command = command(program, &["up", "--exit-with-parent", "--dir", dir]);
        let member = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(errors);
        Self { child: member.spawn().expect("it starts") }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL: from here on it does nothing any more. Dropping waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("a child");
    }

    /// Its exit code once it has ended.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        self.child.try_wait().expect("a child").map(|status| status.code().expect("it was not killed"))
    }

    /// SIGTERM, and its exit code.
    pub(crate) fn terminate(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs").success());
        until("the end of a member", || self.child.try_wait().expect("a child")).code()
    }

    /// Closes its standard input, as the end of whoever started it would, and waits for its end.
    pub(crate) fn orphan(mut self) {
        drop(self.child.stdin.take());
        until("the end of an orphan", || self.child.try_wait().expect("a child"));
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
