//! Transfers of envelopes that are under way: to whom, and when one is given up.

use rafty_types::{MemberId, Mutation, Time, planted};
use std::collections::BTreeSet;
use std::time::Duration;

/// A transfer during which nothing comes from the other end for so long is given up, however long it may take else.
const SILENT_FOR: Duration = Duration::from_secs(30);

/// To whom a copy of one envelope is under way. Over a slow link one takes longer than a round waits before it sends again:
/// a second copy beside the first would only slow both down.
#[derive(Clone, Debug, Default)]
pub struct UnderWay(BTreeSet<MemberId>);

impl UnderWay {
    /// Of these, those to whom none is; now one is.
    pub fn begin(&mut self, to: &[MemberId]) -> Vec<MemberId> {
        to.iter().copied().filter(|member| self.0.insert(*member)).collect()
    }

    /// The copy for a member has arrived, or was given up.
    pub fn end(&mut self, member: MemberId) {
        self.0.remove(&member);
    }
}

/// Whether the other end of a transfer is still there, by the packets that have come from it.
#[derive(Clone, Copy, Debug)]
pub struct Silence {
    packets: u64,
    since: Time,
}

impl Silence {
    /// From now on.
    pub fn since(now: Time, packets: u64) -> Self {
        Self { packets, since: now }
    }

    /// Whether it has lasted too long, so many packets having come by now.
    pub fn is_too_long(&mut self, now: Time, packets: u64) -> bool {
        if packets != self.packets {
            *self = Self::since(now, packets);
        }
        now.saturating_since(self.since) >= SILENT_FOR && !planted(Mutation::TransferUnbounded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn to_whom_a_copy_is_under_way_goes_no_second_one() {
        let (mut under_way, one, other) = (UnderWay::default(), MemberId(1), MemberId(3));
        assert_eq!(under_way.begin(&[one]), [one]);
        assert_eq!(under_way.begin(&[one, other]), [other]);
        under_way.end(one);
        assert_eq!(under_way.begin(&[one, other]), [one]);
    }

    #[test]
    fn a_transfer_is_given_up_after_silence_and_not_while_packets_come() {
        let at = |seconds| Time::ZERO + Duration::from_secs(seconds);
        let mut silence = Silence::since(at(0), 7);
        assert!(!silence.is_too_long(at(29), 7) && !silence.is_too_long(at(40), 8));
        assert!(!silence.is_too_long(at(69), 8) && silence.is_too_long(at(70), 8));
    }
}
