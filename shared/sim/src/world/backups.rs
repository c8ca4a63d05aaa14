//! Copies of members' logs, and what happens when one is put back.

use super::World;
use crate::disk::Disk;
use crate::faults::Who;
use crate::member::Member;
use crate::tally::Evil;
use crate::witness::Witness;
use rafty_node::recovery::replay;
use rafty_types::{Entry, Hello, MemberId, MembershipStep, Payload, RecordedIncarnation};
use std::collections::BTreeSet;
use std::time::Duration;

/// Copies of a member that are kept.
const MAX_BACKUPS: usize = 4;

impl World {
    pub(super) fn back_up(&mut self) {
        self.tally.evil(Evil::Backup);
        for id in self.running() {
            let member = self.members.get_mut(&id).expect("it runs");
            if member.backups.len() >= MAX_BACKUPS {
                member.backups.remove(0);
            }
            member.backups.push(member.disk.clone());
        }
    }

    /// Puts back a copy of a member's log, where the others can do without what it forgets. A raw copy looks like the
    /// original: it is found only by those who know better, so it is put back only where all others do.
    pub(super) fn put_back(&mut self, who: Who, which: u64, raw: bool, down: Duration) {
        let Some(id) = self.who(who) else { return };
        let backups = self.members[&id].backups.iter();
        let found = |disk: &Disk| !voted_alone(disk, id) && self.all_know_better(id, &disk.hello());
        let fit: Vec<_> = backups.filter(|disk| !raw || found(disk)).collect();
        // The newest of those that all know better is the hardest to find.
        let choice = if raw { fit.len().wrapping_sub(1) } else { (which % fit.len().max(1) as u64) as usize };
        let Some(backup) = fit.get(choice).map(|disk| (*disk).clone()) else { return self.back_up() };
        if !self.can_spare(id) {
            return;
        }
        self.tally.evil(if raw { Evil::RawCopy } else { Evil::FileCopy });
        self.kill(id);
        let member = self.members.get_mut(&id).expect("a member");
        // Models and updates stay: they are named by what they are.
        let shelf = std::mem::take(&mut member.disk.shelf);
        let looks_copied = !raw || backup.looks_copied;
        member.disk = Disk { shelf, looks_copied, ..backup };
        member.put_back = raw;
        self.start_later(down, id);
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
        let outdated = self.runs(id) && self.node(id).is_outdated();
        if outdated {
            self.lose_disk(id, Duration::ZERO, Evil::JoinedAnew);
        }
    }
}

/// Whether a disk is from a time when its member alone voted. A raw copy of it asks nobody before it leads, so nobody can
/// find it in time.
fn voted_alone(disk: &Disk, id: MemberId) -> bool {
    let meta = &disk.snapshot.meta;
    let mut voters: BTreeSet<MemberId> = meta.membership.voters.iter().copied().collect();
    let behind = |entry: &&Entry| entry.index > meta.index && entry.index <= disk.hard_state.commit;
    for entry in disk.entries.iter().filter(behind) {
        let Payload::Membership(change) = &entry.payload else { continue };
        for step in &change.steps {
            match step {
                MembershipStep::AddVoter(member) => voters.insert(*member),
                MembershipStep::AddLearner(member) | MembershipStep::Remove(member) => voters.remove(member),
            };
        }
    }
    voters == BTreeSet::from([id])
}

/// Whether a record goes beyond what a disk knows of the start that it records.
fn knows_better(recorded: RecordedIncarnation, hello: &Hello) -> bool {
    let same = hello.starts.iter().find(|start| start.nonce == recorded.incarnation.nonce);
    let newest = hello.starts.last().map_or(0, |start| start.number);
    same.map_or(recorded.incarnation.number >= newest, |start| recorded.incarnation.number > start.number)
}

/// What a member would know of another after a power cut.
fn recorded_on_disk(member: &Member, of: MemberId) -> Option<RecordedIncarnation> {
    let disk = &member.disk;
    let committed = disk.entries.iter().filter(|entry| entry.index <= disk.hard_state.commit);
    let entries: Vec<_> = committed.cloned().collect();
    let state = replay(&disk.snapshot, &entries, Witness::default()).ok()?;
    state.control().incarnation(of)
}
