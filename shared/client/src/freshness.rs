//! How old what a dictionary shows may be.

use std::time::{Duration, Instant};

/// When a [`DistributedDict`](crate::DistributedDict) asks a member again before it answers a read. The first read
/// always does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Refresh {
    /// At every read.
    #[default]
    Always,
    /// Only when told to: by `refresh`, or by another policy.
    Lock,
    /// At every n-th read; 0 is taken for 1.
    Count(u32),
    /// At the first read after so long.
    Time(Duration),
}

/// A policy, and what it has to remember.
#[derive(Debug, Default)]
pub(crate) struct Freshness {
    policy: Refresh,
    /// When a member was asked last, and how often the answer was read since.
    asked: Option<(Instant, u32)>,
}

impl Freshness {
    pub(crate) fn policy(&self) -> Refresh {
        self.policy
    }

    /// Sets a policy; what was read before counts as read now.
    pub(crate) fn set_policy(&mut self, policy: Refresh) {
        self.policy = policy;
        if let Some((_, reads)) = &mut self.asked {
            *reads = 0;
        }
    }

    /// Whether a read must ask a member first.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        let Some((asked, reads)) = self.asked else { return true };
        match self.policy {
            Refresh::Always => true,
            Refresh::Lock => false,
            Refresh::Count(count) => reads >= count.max(1),
            Refresh::Time(time) => now.saturating_duration_since(asked) >= time,
        }
    }

    /// Whether a member was ever asked.
    pub(crate) fn has_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// A member was asked.
    pub(crate) fn asked(&mut self, now: Instant) {
        self.asked = Some((now, 0));
    }

    /// What it answered was read.
    pub(crate) fn read(&mut self) {
        if let Some((_, reads)) = &mut self.asked {
            *reads = reads.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_secs(1);

    /// Which of ten reads, a second apart, ask a member; `change` may set another policy before a read.
    fn asking(policy: Refresh, change: impl Fn(usize, &mut Freshness)) -> Vec<usize> {
        let mut freshness = Freshness::default();
        freshness.set_policy(policy);
        let mut now = Instant::now();
        let mut asked = Vec::new();
        for read in 0..10 {
            change(read, &mut freshness);
            if freshness.is_due(now) {
                freshness.asked(now);
                asked.push(read);
            }
            freshness.read();
            now += STEP;
        }
        asked
    }

    #[test]
    fn policies_ask_when_they_say() {
        let unchanged = |_: usize, _: &mut Freshness| {};
        assert_eq!(asking(Refresh::default(), unchanged).len(), 10);
        assert_eq!(asking(Refresh::Lock, unchanged), [0]);
        assert_eq!(asking(Refresh::Count(4), unchanged), [0, 4, 8]);
        assert_eq!(asking(Refresh::Count(0), unchanged).len(), 10);
        assert_eq!(asking(Refresh::Time(3 * STEP), unchanged), [0, 3, 6, 9]);
        assert_eq!(asking(Refresh::Time(Duration::ZERO), unchanged).len(), 10);
    }

    #[test]
    fn a_policy_can_change_at_any_time() {
        let unlocked = asking(Refresh::Lock, |read, freshness| {
            if read == 8 {
                freshness.set_policy(Refresh::Always);
            }
        });
        assert_eq!(unlocked, [0, 8, 9]);
        let counted = asking(Refresh::Lock, |read, freshness| {
            if read == 5 {
                freshness.set_policy(Refresh::Count(3));
            }
        });
        assert_eq!(counted, [0, 8]);
    }
}
