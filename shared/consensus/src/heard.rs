//! When each member was last heard.
//!
//! The engine knows it too, but forgets it at every check of its quorum. Nothing is decided here.

use rafty_types::{MemberId, Membership, Time};
use std::collections::BTreeMap;
use std::time::Duration;

/// When members were last heard. Only those of the membership are kept.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    since: Time,
    last: BTreeMap<MemberId, Time>,
}

impl Heard {
    /// Begins anew, as if everybody had just been heard.
    pub(crate) fn restart(&mut self, now: Time) {
        self.since = now;
        self.last.clear();
    }

    pub(crate) fn note(&mut self, member: MemberId, now: Time) {
        self.last.insert(member, now);
    }

    pub(crate) fn was_heard(&self, member: MemberId) -> bool {
        self.last.contains_key(&member)
    }

    pub(crate) fn silence(&self, member: MemberId, now: Time) -> Duration {
        now.saturating_since(*self.last.get(&member).unwrap_or(&self.since))
    }

    pub(crate) fn keep(&mut self, membership: &Membership) {
        self.last.retain(|member, _| membership.contains(*member));
    }
}
