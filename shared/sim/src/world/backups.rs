//! Copies of members' logs, and what happens when one is put back.

use super::World;
use crate::disk::Disk;
use crate::faults::Who;
use crate::member::{Member, Process};
use crate::observer::{Observer, rotted};
use crate::tally::{Evil, Sometimes};
use rafty_node::recovery::replay;
use rafty_types::{Entry, Hello, MemberId, MembershipStep, Payload, RecordedIncarnation};
use std::collections::BTreeSet;
use std::time::Duration;

/// Copies of a member that are kept.
const MAX_BACKUPS: usize = 4;
/// Nothing strikes for so long while the copy of a lone voter asks.
const CALM_FOR: Duration = Duration::from_secs(20);
/// A copy that cannot be found is started later.
const STARTED_LATER: Duration = Duration::from_secs(1);

impl World {
    pub(super) fn back_up(&mut self) {
        self.tally.evil(Evil::Backup);
        for id in self.running() {
            let member = self.members.get_mut(&id).expect("it runs");
            if member.backups.len() >= MAX_BACKUPS {
                // The first one stays: it may be from a time when its member alone voted.
                member.backups.remove(1);
            }
            // Rot stays where it is.
            let mut copy = member.disk.clone();
            copy.snapshot.data = rotted(copy.snapshot.data, 0);
            member.backups.push(copy);
        }
    }

    /// Puts back a copy of a member's log, where the others can do without what it forgets. A raw copy looks like the
    /// original: it is found only by those who know better, so it is put back only where all others do.
    pub(super) fn put_back(&mut self, who: Who, which: u64, raw: bool, down: Duration) {
        let Some(id) = self.who(who) else { return };
        let Some(backup) = self.pick_copy(id, which, raw) else { return self.back_up() };
        if self.twins.contains_key(&id) || !self.can_spare(id) {
            return;
        }
        self.tally.evil(if raw { Evil::RawCopy } else { Evil::FileCopy });
        self.kill(id);
        let member = self.members.get_mut(&id).expect("a member");
        // Models and updates stay: they are named by what they are.
        let shelf = std::mem::take(&mut member.disk.shelf);
        member.disk = Disk { shelf, ..backup };
        member.put_back = raw;
        self.start_later(down, id);
    }

    /// One of the copies of a member's log; a raw one only where all others know better.
    pub(super) fn pick_copy(&self, id: MemberId, which: u64, raw: bool) -> Option<Disk> {
        let backups = self.members[&id].backups.iter();
        let found = |disk: &Disk| match voted_alone(disk, id) {
            true => self.has_witness_against(id, disk),
            false => self.all_know_better(id, &disk.hello()),
        };
        let fit: Vec<_> =
            backups.filter(|disk| self.can_be_told(id, disk) && (!raw || found(disk))).collect();
        // Of those that all know better the newest is the hardest to find, but for one whose member asks nobody.
        let lone = fit.iter().position(|disk| voted_alone(disk, id));
        let newest = fit.len().wrapping_sub(1);
        let choice = if raw { lone.unwrap_or(newest) } else { (which % fit.len().max(1) as u64) as usize };
        fit.get(choice).map(|disk| Disk { looks_copied: !raw || disk.looks_copied, ..(*disk).clone() })
    }

    /// Starts a member. A raw copy from a time when its member alone voted asks whom it knows: it is started when one of
    /// them knows better and can answer, and nothing strikes until that was heard. Against the rest no system could do
    /// anything.
    pub(super) fn start_unless_unfindable(&mut self, id: MemberId) {
        let Some(member) = self.members.get(&id) else { return };
        let lone_copy = member.put_back && voted_alone(&member.disk, id) && member.process.is_none();
        if lone_copy && !self.has_witness_against(id, &member.disk) {
            return self.start_later(STARTED_LATER, id);
        }
        if lone_copy {
            self.tally.saw(Sometimes::LoneCopyStarted);
            self.calm = Some((id, self.now + CALM_FOR));
        }
        self.start(id);
    }

    /// Whether a copy is asking, so that nothing shall strike now.
    pub(super) fn is_calm(&mut self) -> bool {
        let asks = |id: MemberId| self.runs(id) && self.node(id).asks_before_leading();
        self.calm.is_some_and(|(id, until)| self.now < until && asks(id))
    }

    /// Whether a copy can be told who votes by today's members that it knows and that are no copies themselves.
    fn can_be_told(&self, id: MemberId, copy: &Disk) -> bool {
        let belongs = |other: &MemberId| {
            self.members.get(other).is_some_and(|member| member.halted.is_none() && !member.forgot())
        };
        let others = known_to(copy).into_iter().filter(|other| *other != id && belongs(other));
        self.are_believed(&others.collect(), copy)
    }

    /// Whether these members, together, are believed who votes by one with this disk: a voter that it knows and a laptop are,
    /// and two devices that say the same.
    fn are_believed(&self, others: &BTreeSet<MemberId>, disk: &Disk) -> bool {
        others.len() >= 2 || others.iter().any(|id| voters_on(disk).contains(id) || self.is_laptop(*id))
    }

    fn is_laptop(&self, id: MemberId) -> bool {
        let mut running = self.members.values().filter_map(|member| member.process.as_ref());
        running.any(|process| process.node.is_laptop(id))
    }

    /// Whether everybody who stays when this member is lost knows somebody else who does, and who is believed: whoever was
    /// away while the others joined can be told of them only by whom it knew before.
    pub(super) fn leaves_nobody_alone(&self, lost: MemberId) -> bool {
        let stays = |member: &&Member| {
            let goes = member.id == lost || self.sent_away.contains(&member.id);
            !goes && member.halted.is_none() && !member.forgot()
        };
        let stay: BTreeSet<_> = self.members.values().filter(stays).map(|member| member.id).collect();
        let is_alone = |id: &MemberId| {
            let others = self.known_by(*id).into_iter().filter(|known| known != id && stay.contains(known));
            let (others, disk): (BTreeSet<_>, _) = (others.collect(), &self.members[id].disk);
            // Nobody else leads without the vote of whoever votes alone.
            others.is_empty() || !voted_alone(disk, *id) && !self.are_believed(&others, disk)
        };
        stay.len() < 2 || !stay.iter().any(is_alone)
    }

    fn known_by(&self, id: MemberId) -> Vec<MemberId> {
        let member = &self.members[&id];
        let known = |process: &Process| process.node.state().control().members().keys().copied().collect();
        member.process.as_ref().map_or_else(|| known_to(&member.disk), known)
    }

    /// Somebody whom the copy of a lone voter knows, which knows of committed entries beyond the copy's end.
    fn has_witness_against(&self, id: MemberId, copy: &Disk) -> bool {
        known_to(copy).iter().filter(|other| **other != id).any(|other| {
            let knows_better = |process: &Process| {
                process.paused.is_none() && process.node.consensus().commit() > copy.last()
            };
            self.members.get(other).is_some_and(|member| member.process.as_ref().is_some_and(knows_better))
                && self.lets_in(*other, id)
                && self.network.is_open(*other, id)
                && self.network.is_open(id, *other)
                && self.finds_at_once(id, *other)
        })
    }

    /// Whether a member that is started now finds another one where it was seen last.
    fn finds_at_once(&self, id: MemberId, other: MemberId) -> bool {
        let (member, other) = (&self.members[&id], &self.members[&other]);
        let seen = member.last_seen.get(&other.identity.key());
        self.finding.is_none() || !member.away && !other.away && seen == Some(&other.place)
    }

    /// Whether every other member's disk holds a record that shows the copy to be one.
    fn all_know_better(&self, id: MemberId, hello: &Hello) -> bool {
        let others = self.members.values().filter(|member| member.id != id && member.halted.is_none());
        others
            .map(|member| recorded_on_disk(member, id))
            .all(|recorded| recorded.is_some_and(|recorded| knows_better(recorded, hello)))
    }

    /// Somebody has seen that a member runs on an older copy, and joins it anew.
    pub(super) fn joins_anew(&mut self, id: MemberId) {
        if self.is_twin(id) {
            return self.end_twin(id);
        }
        let outdated = self.runs(id) && self.node(id).is_outdated();
        if outdated {
            self.lose_disk(id, Duration::ZERO, Evil::JoinedAnew);
        }
    }
}

/// Whether a disk is from a time when its member alone voted.
fn voted_alone(disk: &Disk, id: MemberId) -> bool {
    voters_on(disk) == BTreeSet::from([id])
}

/// Who votes by what is committed on a disk, as far as it knows that.
pub(super) fn voters_on(disk: &Disk) -> BTreeSet<MemberId> {
    let meta = &disk.snapshot.meta;
    let mut voters: BTreeSet<MemberId> = meta.membership.voters.iter().copied().collect();
    for entry in committed(disk).filter(|entry| entry.index > meta.index) {
        let Payload::Membership(change) = &entry.payload else { continue };
        for step in &change.steps {
            match step {
                MembershipStep::AddVoter(member) => voters.insert(*member),
                MembershipStep::AddLearner(member) | MembershipStep::Remove(member) => voters.remove(member),
            };
        }
    }
    voters
}

/// Whether a record goes beyond what a disk knows of the start that it records.
fn knows_better(recorded: RecordedIncarnation, hello: &Hello) -> bool {
    let same = hello.starts.iter().find(|start| start.nonce == recorded.incarnation.nonce);
    let newest = hello.starts.last().map_or(0, |start| start.number);
    same.map_or(recorded.incarnation.number >= newest, |start| recorded.incarnation.number > start.number)
}

/// The members of the state on a disk.
fn known_to(disk: &Disk) -> Vec<MemberId> {
    let entries: Vec<_> = committed(disk).cloned().collect();
    let state = replay(&disk.snapshot, &entries, Observer::default());
    state.map(|state| state.control().members().keys().copied().collect()).unwrap_or_default()
}

fn committed(disk: &Disk) -> impl Iterator<Item = &Entry> {
    disk.entries.iter().filter(|entry| entry.index <= disk.hard_state.commit)
}

/// What a member would know of another after a power cut.
fn recorded_on_disk(member: &Member, of: MemberId) -> Option<RecordedIncarnation> {
    let disk = &member.disk;
    let entries: Vec<_> = committed(disk).cloned().collect();
    let state = replay(&disk.snapshot, &entries, Observer::default()).ok()?;
    state.control().incarnation(of)
}
