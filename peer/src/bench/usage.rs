//! What a benchmark took of its machine: CPU time of the members and of the load apart, and what the disk can do.

use super::machine::{cpu_of_ended_children_s, cpu_s, syncs_per_second};
use crate::local::LocalSet;
use rafty_agent::Failure;
use serde::Serialize;
use std::path::Path;

/// What was taken.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Usage {
    /// CPU time of all members, in seconds.
    members_cpu_s: f64,
    /// CPU time of this process: clients, and whoever looks on.
    load_cpu_s: f64,
    /// Syncs of 4 KiB that this disk does in a second, one after the other.
    fdatasync_per_s: f64,
}

impl Usage {
    /// Begins to count, before any member is started; or see [`Usage::since_now`].
    pub(crate) fn begin(dir: &Path) -> Result<Self, Failure> {
        let fdatasync_per_s = syncs_per_second(dir).map_err(Failure::failed)?;
        Ok(Self { members_cpu_s: cpu_of_ended_children_s(), load_cpu_s: cpu_s("self"), fdatasync_per_s })
    }

    /// Counts from now instead, with members that run already.
    pub(crate) fn since_now(self, set: &LocalSet) -> Self {
        Self { members_cpu_s: members_s(set), load_cpu_s: cpu_s("self"), ..self }
    }

    /// What was taken since then.
    pub(crate) fn end(self, set: &LocalSet) -> Self {
        Self {
            members_cpu_s: members_s(set) - self.members_cpu_s,
            load_cpu_s: cpu_s("self") - self.load_cpu_s,
            ..self
        }
    }
}

/// Of the members that run, and of those that ended.
fn members_s(set: &LocalSet) -> f64 {
    let running = set.members.iter().map(|member| cpu_s(&member.process.id().to_string()));
    running.sum::<f64>() + cpu_of_ended_children_s()
}

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "CPU                 members {:.2} s, load {:.2} s",
            self.members_cpu_s, self.load_cpu_s
        )?;
        write!(f, "disk                {:.0} syncs/s", self.fdatasync_per_s)
    }
}
