//! When a member looks for the others: elections are over after seconds, so whoever hears no leader for longer may be looking
//! in the wrong places.

use rafty_types::{Mutation, PeerKey, Time, planted};
use std::collections::BTreeMap;
use std::time::Duration;

/// For so long nobody looks.
const LEADERLESS_FOR: Duration = Duration::from_secs(3);
/// The pause after the first look; each is twice as long as the one before, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(3);
const LONGEST_PAUSE: Duration = Duration::from_secs(12);

/// When to look, and the names under which members are found.
#[derive(Clone, Debug)]
pub struct Search<Name> {
    leaderless_since: Option<Time>,
    looks: bool,
    next: Option<Time>,
    pause: Duration,
    names: BTreeMap<PeerKey, Name>,
}

impl<Name> Default for Search<Name> {
    fn default() -> Self {
        Self {
            leaderless_since: None,
            looks: false,
            next: None,
            pause: Duration::ZERO,
            names: BTreeMap::new(),
        }
    }
}

impl<Name: Clone> Search<Name> {
    /// Members are found under these names.
    pub fn named(&mut self, names: impl IntoIterator<Item = (PeerKey, Name)>) {
        self.names.extend(names);
    }

    /// The names of members that are still some.
    pub fn retain(&mut self, is_member: impl Fn(&PeerKey) -> bool) {
        self.names.retain(|key, _| is_member(key));
    }

    /// The name of each member that has one.
    pub fn names(&self) -> &BTreeMap<PeerKey, Name> {
        &self.names
    }

    /// Whether somebody is to look now: without a leader, one look at a time. Whoever looks asks anew for all names given
    /// here: what they mean may have changed.
    pub fn due(&mut self, has_leader: bool, now: Time) -> Option<BTreeMap<PeerKey, Name>> {
        if has_leader {
            (self.leaderless_since, self.pause) = (None, Duration::ZERO);
            return None;
        }
        let since = *self.leaderless_since.get_or_insert(now);
        let is_due =
            now.saturating_since(since) >= LEADERLESS_FOR && self.next.is_none_or(|next| next <= now);
        if !is_due || self.looks {
            return None;
        }
        let is_first = self.next.is_none();
        self.looks = true;
        Some(if is_first || !planted(Mutation::NamesResolvedOnce) {
            self.names.clone()
        } else {
            BTreeMap::new()
        })
    }

    /// The look is over.
    pub fn looked(&mut self, now: Time) {
        self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        (self.looks, self.next) = (false, Some(now + self.pause));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn it_looks_after_a_while_without_a_leader_and_once_at_a_time() {
        let mut search = Search::<&str>::default();
        let due = |search: &mut Search<_>, has_leader, seconds| search.due(has_leader, at(seconds)).is_some();
        assert!(!due(&mut search, false, 0) && !due(&mut search, false, 2));
        assert!(due(&mut search, false, 3));
        assert!(!due(&mut search, false, 60), "it still looks");
        search.looked(at(61));
        assert!(!due(&mut search, false, 62) && due(&mut search, false, 64));
        search.looked(at(64));
        assert!(!due(&mut search, false, 69) && due(&mut search, false, 70));
        search.looked(at(70));
        assert!(!due(&mut search, true, 80) && !due(&mut search, false, 82));
        assert!(due(&mut search, false, 85));
        search.looked(at(85));
        assert!(due(&mut search, false, 88), "pauses begin anew");
    }

    #[test]
    fn names_are_asked_for_at_each_look() {
        let (mut search, key) = (Search::default(), PeerKey([7; 32]));
        search.named([(key, "laptop.local:7400"), (PeerKey([8; 32]), "gone.local:7400")]);
        search.retain(|one| *one == key);
        assert_eq!(search.due(false, at(0)), None);
        for (looks, looked) in [(3, 3), (6, 6), (12, 12)] {
            assert_eq!(search.due(false, at(looks)), Some([(key, "laptop.local:7400")].into()));
            search.looked(at(looked));
        }
    }
}
