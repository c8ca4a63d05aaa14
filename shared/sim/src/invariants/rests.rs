//! A rest of a participant ends when its cause has gone.

use crate::member::Member;
use rafty_types::{MemberId, RestCause, Time};
use std::collections::BTreeMap;
use std::time::Duration;

/// The cause is looked at every three seconds; the worker and the loop may be busy meanwhile.
const WITHIN: Duration = Duration::from_secs(10);
/// So many rests in a row are looked at in good time; after more failures the device looks less often.
const TRUSTED: u32 = 2;

/// Since when members rest though there is room on their disks, each by its own clock.
#[derive(Default)]
pub struct Rests(BTreeMap<(MemberId, u64), Since>);

struct Since {
    since: Time,
    /// When the rest is to end at the latest, by its own word.
    ends: Time,
    rests: u32,
}

impl Rests {
    /// Looks at all members, from time to time. Returns whether one has stopped resting before its time was up.
    pub fn end_when_their_cause_has_gone(&mut self, now: Time, members: &BTreeMap<MemberId, Member>) -> bool {
        let mut ended = false;
        for member in members.values() {
            let Some(process) = &member.process else { continue };
            let (key, local) = ((member.id, member.epoch), process.local(now));
            let own = process.node.resting().into_iter().find(|rest| rest.member == member.id);
            let Some(rest) = own.filter(|rest| rest.cause == RestCause::DiskFull) else {
                ended |= self.0.remove(&key).is_some_and(|since| local < since.ends);
                continue;
            };
            let ends = local + Duration::from_millis(rest.left_ms);
            let since = self.0.entry(key).or_insert(Since { since: local, ends, rests: 0 });
            if member.device.disk_fails_until > now || process.paused.is_some() {
                since.since = local;
            }
            if ends > since.ends {
                // Another rest.
                *since = Since { since: local, ends, rests: since.rests + 1 };
            }
            let waited = local.saturating_since(since.since);
            assert!(
                waited < WITHIN || since.rests >= TRUSTED,
                "rests end when their cause has gone: member {} rests for {waited:?} with room on its disk",
                member.id
            );
        }
        self.0.retain(|(id, epoch), _| {
            members.get(id).is_some_and(|m| m.epoch == *epoch && m.process.is_some())
        });
        ended
    }
}
