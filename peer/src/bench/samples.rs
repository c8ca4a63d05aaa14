//! How it goes while it goes: pace, memory and disk, once a second.

use super::machine::disk_mb;
use crate::local::LocalSet;
use serde::Serialize;
use std::time::{Duration, Instant};

/// How often is looked.
const EVERY: Duration = Duration::from_secs(1);

/// One look. Memory and disk are those of the member that takes most.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Sample {
    /// Since the beginning, in seconds.
    pub(crate) at_s: f64,
    /// Since the look before.
    pub(crate) requests_per_s: f64,
    pub(crate) memory_mb: f64,
    pub(crate) disk_mb: f64,
}

/// Looks at the members of a set.
pub(crate) struct Sampler<'a> {
    set: &'a LocalSet,
    began: Instant,
    last: (Instant, u32),
    samples: Vec<Sample>,
}

impl<'a> Sampler<'a> {
    pub(crate) fn begin(set: &'a LocalSet) -> Self {
        let now = Instant::now();
        Self { set, began: now, last: (now, 0), samples: Vec::new() }
    }

    /// Looks, if it is time; `done` requests are answered.
    pub(crate) fn look(&mut self, done: u32) {
        if self.last.0.elapsed() >= EVERY {
            self.sample(done);
        }
    }

    /// Looks for the last time.
    pub(crate) fn end(mut self, done: u32) -> Vec<Sample> {
        self.sample(done);
        self.samples
    }

    fn sample(&mut self, done: u32) {
        let now = Instant::now();
        let lasted = now.duration_since(self.last.0).as_secs_f64().max(f64::MIN_POSITIVE);
        let largest =
            |of: &dyn Fn(&crate::local::Local) -> f64| self.set.members.iter().map(of).fold(0.0, f64::max);
        self.samples.push(Sample {
            at_s: now.duration_since(self.began).as_secs_f64(),
            requests_per_s: f64::from(done.saturating_sub(self.last.1)) / lasted,
            memory_mb: largest(&|member| member.process.memory_mb("VmRSS").unwrap_or_default()),
            disk_mb: largest(&|member| disk_mb(&member.dir)),
        });
        self.last = (now, done);
    }
}
