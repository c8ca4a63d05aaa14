//! Whether this member still belongs: what the others say when it calls.
//!
//! A member that is removed is cut off at once, so it seldom sees its own removal in the log; it hears of it when
//! nobody lets it in any more, or only a few do: others that were removed and let each other in. It decides nothing else.

use crate::net::RosterPeer;
use rafty_types::MemberId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long the others must have refused. One that is behind does not know a newcomer yet, for a moment.
const REFUSED_FOR: Duration = Duration::from_secs(5);
/// The same when some let it in, or do not answer: those that do may have been removed as well, or be the first to know a
/// newcomer, and those that refuse may run on older copies of their disks.
const DOUBTED_FOR: Duration = Duration::from_secs(60);
/// How long a refusal stands; whoever refuses is asked again every few seconds.
const REFUSAL_STANDS: Duration = Duration::from_secs(20);

/// What the others said last.
#[derive(Debug, Default)]
pub(crate) struct MemberStatus {
    others: BTreeSet<MemberId>,
    let_in: BTreeSet<MemberId>,
    refused: BTreeMap<MemberId, Refusal>,
}

/// What a member says again and again, from when until when, as time since the start.
#[derive(Debug)]
struct Refusal {
    first: Duration,
    last: Duration,
}

impl Refusal {
    fn stands(&self, now: Duration) -> bool {
        now.saturating_sub(self.last) < REFUSAL_STANDS
    }
}

impl MemberStatus {
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
        let first = self.refused.get(&by).filter(|refusal| refusal.stands(now)).map_or(now, |it| it.first);
        self.refused.insert(by, Refusal { first, last: now });
    }

    /// Whether all others have refused it for a while. Or nobody lets it in, and at least half of the others have said so
    /// for long: with this member that is a majority which does not have it. Or most of all members have said so for long,
    /// whoever lets it in. Or one that refuses, when this member has applied its own removal (`is_gone`): whoever refuses
    /// then needs its voice no more.
    pub(crate) fn is_removed(&self, now: Duration, is_gone: bool) -> bool {
        let refused_for = |least| {
            let firm = |it: &&Refusal| it.stands(now) && now.saturating_sub(it.first) >= least;
            self.refused.values().filter(firm).count()
        };
        let (refused, doubted) = (refused_for(REFUSED_FOR), refused_for(DOUBTED_FOR));
        let by_all = refused > 0 && refused == self.others.len();
        let by_half = self.let_in.is_empty() && doubted > 0 && doubted * 2 >= self.others.len();
        let by_its_own_log = is_gone && refused_for(Duration::ZERO) > 0;
        by_its_own_log || by_all || by_half || doubted * 2 > self.others.len() + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rafty_types::PeerKey;

    const ME: MemberId = MemberId(1);

    fn among(others: &[u64]) -> MemberStatus {
        let peer = |id: &u64| RosterPeer { id: MemberId(*id), key: PeerKey::default(), addresses: vec![] };
        let mut status = MemberStatus::default();
        status.known(ME, &others.iter().chain(&[ME.0]).map(peer).collect::<Vec<_>>());
        status
    }

    fn say(status: &mut MemberStatus, refuse: &[u64], until: Duration) {
        for second in 0..=until.as_secs() {
            refuse.iter().for_each(|by| status.refused(MemberId(*by), Duration::from_secs(second)));
        }
    }

    #[test]
    fn it_is_removed_soon_when_all_others_say_so_and_go_on_saying_so() {
        let mut status = among(&[2, 3]);
        status.refused(MemberId(2), Duration::ZERO);
        assert!(!status.is_removed(REFUSED_FOR, false), "one of two");
        status.refused(MemberId(3), Duration::from_secs(1));
        assert!(!status.is_removed(REFUSED_FOR, false), "the second only just");
        status.refused(MemberId(3), REFUSED_FOR);
        assert!(
            status.is_removed(REFUSED_FOR + Duration::from_secs(1), false),
            "saying it again starts nothing anew"
        );
    }

    #[test]
    fn who_knows_of_its_removal_waits_for_no_more_than_one_refusal() {
        let mut status = among(&[2, 3]);
        assert!(!status.is_removed(Duration::ZERO, true), "the engine may still need its voice");
        status.let_in(MemberId(3));
        status.refused(MemberId(2), Duration::ZERO);
        assert!(status.is_removed(Duration::ZERO, true) && !status.is_removed(Duration::ZERO, false));
    }

    #[test]
    fn half_of_the_others_must_say_so_for_long() {
        let mut status = among(&[2, 3]);
        say(&mut status, &[2], DOUBTED_FOR - Duration::from_secs(1));
        assert!(
            !status.is_removed(DOUBTED_FOR - Duration::from_secs(1), false),
            "it may run on an older copy"
        );
        say(&mut status, &[2], DOUBTED_FOR);
        assert!(status.is_removed(DOUBTED_FOR, false));
    }

    #[test]
    fn whoever_is_let_in_somewhere_belongs() {
        let mut status = among(&[2, 3]);
        status.let_in(MemberId(3));
        say(&mut status, &[2], DOUBTED_FOR);
        assert!(!status.is_removed(DOUBTED_FOR, false));
        status.cut_off(MemberId(3));
        assert!(status.is_removed(DOUBTED_FOR, false));
        status.let_in(MemberId(2));
        status.cut_off(MemberId(2));
        assert!(!status.is_removed(2 * DOUBTED_FOR, false), "being away is not a refusal");
    }

    #[test]
    fn those_that_were_removed_together_do_not_keep_each_other() {
        let mut status = among(&[2, 3, 4, 5]);
        status.let_in(MemberId(2));
        say(&mut status, &[3, 4, 5], Duration::ZERO);
        say(&mut status, &[3, 4], DOUBTED_FOR);
        assert!(!status.is_removed(DOUBTED_FOR, false), "the third said so once and has been away since");
        say(&mut status, &[5], DOUBTED_FOR);
        assert!(status.is_removed(DOUBTED_FOR, false));
    }

    #[test]
    fn whoever_knows_nobody_or_was_refused_by_former_members_is_not_removed() {
        assert!(!among(&[]).is_removed(REFUSED_FOR, false));
        let mut status = among(&[2]);
        status.refused(MemberId(2), Duration::ZERO);
        status.known(ME, &[]);
        assert!(!status.is_removed(REFUSED_FOR, false));
    }
}
