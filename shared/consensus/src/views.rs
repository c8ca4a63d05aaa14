//! What can be seen of the machine without changing it.

use crate::convert::{member, own_hard_state};
use crate::io::{Progress, Queues, Role};
use crate::machine::Consensus;
use raft::ProgressState;
use rafty_types::{HardState, Index, MemberId, Membership, SnapshotMeta};
use std::time::Duration;

/// A member that never stands for election takes its leader for lost after this many of the longest election timeouts.
const LOST_AFTER_TIMEOUTS: usize = 2;

impl Consensus {
    /// Who leads, as far as known. Nobody when this member has not heard the leader for some election timeouts: a member that
    /// cannot stand for election would remember it for ever.
    pub fn leader(&self) -> Option<MemberId> {
        let raft = &self.raw.raft;
        let waits = self.role() != Role::Leader && (!raft.promotable() || self.abstains());
        let is_lost = || raft.election_elapsed >= self.config.election_ticks().1 * LOST_AFTER_TIMEOUTS;
        member(raft.leader_id).filter(|_| !waits || !is_lost())
    }

    /// The last entry handed out as committed, or restored by a snapshot.
    pub fn applied(&self) -> Index {
        Index(self.applied)
    }

    /// The membership in force at the applied index.
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    /// What a restart must remember, as of now; not all of it need be synced.
    pub fn hard_state(&self) -> HardState {
        own_hard_state(&self.raw.raft.hard_state())
    }

    /// Whether a hand-over is under way.
    pub fn is_transferring(&self) -> bool {
        self.raw.raft.lead_transferee.is_some()
    }

    /// Whether a membership change may be under way: proposed and not applied, or joint. May err on the side of
    /// caution just after an election.
    pub fn has_pending_membership(&self) -> bool {
        self.membership.is_joint() || self.raw.raft.has_pending_conf()
    }

    /// Whether an entry of the current term is committed. A leader knows the true commit index only then.
    pub fn committed_in_term(&self) -> bool {
        self.raw.raft.commit_to_current_term()
    }

    /// The longest election timeout, as stretched for a slow or lossy network.
    pub fn election_timeout(&self) -> Duration {
        self.links.stretched(self.config.election_max)
    }

    /// How far each member is, in order of ids. Empty unless this member leads.
    pub fn progress(&self) -> Vec<Progress> {
        if self.role() != Role::Leader {
            return Vec::new();
        }
        let timeout = self.election_timeout();
        let of = |(id, progress): (&u64, &raft::Progress)| {
            let member = MemberId(*id);
            let silent =
                if member == self.me { Default::default() } else { self.heard.silence(member, self.now) };
            Progress {
                member,
                matched: Index(progress.matched),
                next: Index(progress.next_idx),
                active: silent < timeout,
                silent,
                heard: member == self.me || self.heard.was_heard(member),
                snapshot_pending: progress.state == ProgressState::Snapshot,
            }
        };
        let mut all: Vec<_> = self.raw.raft.prs().iter().map(of).collect();
        all.sort_by_key(|progress| progress.member);
        all
    }

    /// The last entry that is on the disk.
    pub fn synced_index(&self) -> Index {
        Index(self.raw.raft.raft_log.persisted)
    }

    /// What the newest snapshot stands for; index 0 before the first.
    pub fn snapshot(&self) -> &SnapshotMeta {
        &self.raw.store().snapshot().meta
    }

    /// Whether a follower needs a newer snapshot than there is: compact soon.
    pub fn snapshot_wanted(&self) -> bool {
        self.role() == Role::Leader && self.raw.store().snapshot_wanted()
    }

    /// How many entries the log holds.
    pub fn log_len(&self) -> usize {
        self.raw.store().len()
    }

    /// How many bytes they take.
    pub fn log_bytes(&self) -> u64 {
        self.raw.store().bytes()
    }

    /// How full the queues are.
    pub fn queues(&self) -> Queues {
        Queues {
            unsynced: self.unsynced.len(),
            reads: self.reads.len(),
            uncommitted: self.last_index().0 - self.commit().0,
            uncommitted_bytes: self.raw.raft.uncommitted_size() as u64,
            snapshots: self.sending.len(),
        }
    }
}
