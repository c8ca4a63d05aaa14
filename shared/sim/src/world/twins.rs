//! Two processes with one identity: a copy of a member's disk is started beside the original, and the connections of the
//! others take turns between them. Whoever has no turn runs on and hears nothing.

use super::{Happening, Turn, World};
use crate::disk::Disk;
use crate::faults::Who;
use crate::member::{FIRST_OF_TWIN, Member};
use crate::rng::SimRng;
use crate::tally::{Evil, Sometimes};
use rafty_seal::Identity;
use rafty_types::{MemberId, Time};
use std::time::Duration;

/// How long a turn lasts, in milliseconds.
const TURN: (u64, u64) = (200, 6_000);

/// The one of two that has no turn.
pub(super) struct Twin {
    waiting: Member,
    next_turn: Time,
    rng: SimRng,
}

impl World {
    /// Starts a copy of a member's disk beside it.
    pub(super) fn start_twin(&mut self, who: Who, which: u64, raw: bool, lasts: Duration) {
        let Some(id) = self.who(who) else { return };
        let Some(backup) = self.pick_copy(id, which, raw) else { return self.back_up() };
        let member = &self.members[&id];
        if self.twins.contains_key(&id) || member.forgot() || !self.can_spare(id) {
            return;
        }
        self.tally.evil(Evil::Twin);
        let identity = Identity::from_secret_bytes(&member.identity.to_secret_bytes());
        let disk = Disk { shelf: Default::default(), ..backup };
        let mut waiting = Member::new(id, identity, member.told.clone(), disk);
        (waiting.epoch, waiting.put_back, waiting.trains) =
            (FIRST_OF_TWIN + self.counter, raw, member.trains);
        (waiting.last_seen, waiting.last_named) = (member.last_seen.clone(), member.last_named.clone());
        waiting.place = self.another_place();
        let rng = SimRng::new(self.rng.roll(), 1);
        self.twins.insert(id, Twin { waiting, next_turn: self.now, rng });
        self.next_turn(id);
        self.later(lasts, Turn::TwinEnds(id));
    }

    /// The other one of two has its turn.
    pub(super) fn next_turn(&mut self, id: MemberId) {
        let now = self.now;
        let Some(twin) = self.twins.get_mut(&id).filter(|twin| twin.next_turn == now) else { return };
        let after = twin.rng.ms(TURN);
        twin.next_turn = now + after;
        self.swap(id);
        self.later(after, Turn::Alternates(id));
    }

    fn swap(&mut self, id: MemberId) {
        let now = self.now;
        let (Some(member), Some(twin)) = (self.members.get_mut(&id), self.twins.get_mut(&id)) else { return };
        if let Some(process) = &mut member.process {
            process.paused.get_or_insert((now, false));
        }
        std::mem::swap(member, &mut twin.waiting);
        self.invariants.other_disk(id, member);
        self.due.remove(&id);
        if member.process.is_some() {
            self.resume(id);
        } else if member.halted.is_none() && !self.restarts.contains(&id) {
            self.start_unless_unfindable(id);
        }
    }

    /// The copy is switched off for good.
    pub(super) fn end_twin(&mut self, id: MemberId) {
        if self.is_twin(id) {
            self.swap(id);
        }
        self.invariants.logs.one_disk(id);
        let Some(Twin { waiting: copy, .. }) = self.twins.remove(&id) else { return };
        self.requests_are_lost(id, copy.epoch);
        if let Some(member) = self.members.get_mut(&id) {
            member.held_by_copy = member.held_by_copy.max(copy.disk.last());
        }
        if copy.halted.is_some() {
            self.tally.saw(Sometimes::TwinStopped);
        }
    }

    /// Whether the one of two that has its turn is the copy.
    pub(super) fn is_twin(&self, id: MemberId) -> bool {
        self.members.get(&id).is_some_and(Member::is_twin)
    }

    /// Something happens to a process that has no turn: it sees that when it has one.
    pub(super) fn happens_to_waiting(&mut self, id: MemberId, epoch: u64, what: Happening) {
        let waiting = self.twins.get_mut(&id).map(|twin| &mut twin.waiting).filter(|one| one.epoch == epoch);
        if let Some(process) = waiting.and_then(|waiting| waiting.process.as_mut())
            && !matches!(what, Happening::Frame { .. })
        {
            process.held.push(what);
        }
    }
}
