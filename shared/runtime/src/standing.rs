//! Whether this member still belongs: what the others say when it calls.
//!
//! A member that is removed is cut off at once, so it seldom sees its own removal in the log; it hears of it when
//! nobody lets it in any more. It decides nothing else.

use crate::net::RosterPeer;
use rafty_types::MemberId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long the others must have refused. One that is behind does not know a newcomer yet, for a moment.
const REFUSED_FOR: Duration = Duration::from_secs(5);
/// After so long without a leader it does not matter any more who lets this member in: those that were removed together
/// let each other in.
const LEADERLESS_FOR: Duration = Duration::from_secs(60);

/// What the others said last.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    others: BTreeSet<MemberId>,
    let_in: BTreeSet<MemberId>,
    /// Since when, as time since the start.
    refused: BTreeMap<MemberId, Duration>,
    /// When this member last had a leader.
    led: Duration,
}

impl Standing {
    /// These are the members, as far as this one knows.
    pub(crate) fn known(&mut self, me: MemberId, peers: &[RosterPeer]) {
        self.others = peers.iter().map(|peer| peer.id).filter(|id| *id != me).collect();
        self.let_in.retain(|member| self.others.contains(member));
        self.refused.retain(|member, _| self.others.contains(member));
    }

    pub(crate) fn let_in(&mut self, by: MemberId) {
        self.refused.remove(&by);
        self.let_in.insert(by);
    }

    pub(crate) fn cut_off(&mut self, by: MemberId) {
        self.let_in.remove(&by);
    }

    pub(crate) fn refused(&mut self, by: MemberId, now: Duration) {
        self.refused.entry(by).or_insert(now);
    }

    /// This member has a leader.
    pub(crate) fn has_leader(&mut self, now: Duration) {
        self.led = now;
    }

    /// Whether nobody lets it in, or nobody who has a leader, and at least half of the others have said so for a while:
    /// with this member that is a majority which does not have it.
    pub(crate) fn is_removed(&self, now: Duration) -> bool {
        let firm = self.refused.values().filter(|since| now.saturating_sub(**since) >= REFUSED_FOR).count();
        let alone = self.let_in.is_empty() || now.saturating_sub(self.led) >= LEADERLESS_FOR;
        alone && firm > 0 && firm * 2 >= self.others.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rafty_types::PeerKey;

    const ME: MemberId = MemberId(1);

    fn among(others: &[u64]) -> Standing {
        let peer = |id: &u64| RosterPeer { id: MemberId(*id), key: PeerKey::default(), addresses: vec![] };
        let mut standing = Standing::default();
        standing.known(ME, &others.iter().chain(&[ME.0]).map(peer).collect::<Vec<_>>());
        standing
    }

    #[test]
    fn it_is_removed_when_half_of_the_others_say_so_and_go_on_saying_so() {
        let mut standing = among(&[2, 3, 4]);
        standing.refused(MemberId(2), Duration::ZERO);
        assert!(!standing.is_removed(REFUSED_FOR), "one of three");
        standing.refused(MemberId(3), Duration::from_secs(1));
        assert!(!standing.is_removed(REFUSED_FOR), "the second only just");
        standing.refused(MemberId(3), REFUSED_FOR);
        assert!(
            standing.is_removed(REFUSED_FOR + Duration::from_secs(1)),
            "saying it again starts nothing anew"
        );
    }

    #[test]
    fn whoever_is_let_in_somewhere_belongs() {
        let mut standing = among(&[2, 3]);
        standing.refused(MemberId(2), Duration::ZERO);
        standing.refused(MemberId(3), Duration::ZERO);
        standing.let_in(MemberId(3));
        assert!(!standing.is_removed(2 * REFUSED_FOR));
        standing.cut_off(MemberId(3));
        assert!(standing.is_removed(2 * REFUSED_FOR));
        standing.let_in(MemberId(2));
        standing.cut_off(MemberId(2));
        assert!(!standing.is_removed(2 * REFUSED_FOR), "being away is not a refusal");
    }

    #[test]
    fn those_that_were_removed_together_do_not_keep_each_other() {
        let mut standing = among(&[2, 3]);
        standing.refused(MemberId(2), Duration::ZERO);
        standing.let_in(MemberId(3));
        standing.has_leader(REFUSED_FOR);
        assert!(!standing.is_removed(LEADERLESS_FOR), "it had a leader not long ago");
        assert!(standing.is_removed(REFUSED_FOR + LEADERLESS_FOR));
    }

    #[test]
    fn whoever_knows_nobody_or_was_refused_by_former_members_is_not_removed() {
        assert!(!among(&[]).is_removed(REFUSED_FOR));
        let mut standing = among(&[2]);
        standing.refused(MemberId(2), Duration::ZERO);
        standing.known(ME, &[]);
        assert!(!standing.is_removed(REFUSED_FOR));
    }
}
