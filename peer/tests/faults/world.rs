//! A world of a test's own: namespaces of the kernel, in which it may be root, cut cables and mount disks.
//!
//! The test program starts itself again in there. Whatever it makes goes when it ends, however it ends.

use crate::depth::{is_deep, skip};
use std::process::{Command, Stdio};

/// Says that this is the inner program.
const INSIDE: &str = "RAFTY_FAULTS_INSIDE";

/// What a test wants to have for itself. Members of the outer world cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum World {
    /// A network, and mounts of its own.
    Network,
    /// Mounts of file systems in memory.
    Mounts,
    /// Mounts of disks, which only the true root may.
    Disks,
}

impl World {
    /// What is unshared, the first that is allowed: as root, or as who is root in there only.
    fn ways(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Network => &[&["--mount", "--net"], &["--map-root-user", "--mount", "--net"]],
            Self::Mounts => &[&["--mount"], &["--map-root-user", "--mount"]],
            Self::Disks => &[&["--mount"]],
        }
    }

    /// Runs `body` in such a world; `test` is the name of the test that asks. `tools` are looked for first.
    pub(crate) fn enter(self, test: &str, tools: &[&str], body: impl FnOnce()) {
        if std::env::var_os(INSIDE).is_some() {
            return body();
        }
        if let Some(missing) = tools.iter().find(|tool| !is_there(tool)) {
            return skip(&format!("there is no program `{missing}`"));
        }
        let allowed = |way: &&&[&str]| runs(Command::new("unshare").args(**way).arg("true"));
        let Some(way) = self.ways().iter().find(allowed) else {
            return skip(&format!("this user may not make a world of {self:?}"));
        };
        if self == Self::Disks && !runs(Command::new("losetup").arg("--find")) {
            return skip("there is no loop device");
        }
        // While it can be downloaded for: there may be no network inside.
        crate::support::rafty_agent();
        let mut inside = Command::new("unshare");
        inside.args(*way).args(["--fork", "--kill-child"]).arg(std::env::current_exe().expect("a program"));
        inside
            .args(["--exact", test, "--include-ignored", "--nocapture", "--test-threads=1"])
            .env(INSIDE, "1");
        if is_deep() {
            // It takes long; who waits wants to see something.
            assert!(inside.status().expect("unshare runs").success(), "see above");
            return;
        }
        let output = inside.output().expect("unshare runs");
        print!("{}", String::from_utf8_lossy(&output.stdout));
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "see above");
    }
}

/// Whether there is a program of this name.
pub(crate) fn is_there(tool: &str) -> bool {
    runs(Command::new("sh").args(["-c", "command -v \"$0\"", tool]))
}

fn runs(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Runs a tool that must do what it is asked.
pub(crate) fn tool(words: &[&str]) {
    let output =
        Command::new(words[0]).args(&words[1..]).output().unwrap_or_else(|why| panic!("{words:?}: {why}"));
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}
