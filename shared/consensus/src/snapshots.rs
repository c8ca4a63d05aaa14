//! Our own snapshots, and those on their way to followers.
//!
//! A compaction keeps what such a follower will need next, until it is level or has had its time. How the bytes
//! travel is not known here.

use crate::check::Refused;
use crate::disk::Load;
use crate::io::Output;
use crate::machine::{Consensus, Outcome};
use raft::SnapshotStatus;
use rafty_types::{
    Batch, Compaction, Index, MemberId, Message, Mutation, Snapshot, SnapshotMeta, Term, Time, planted,
};
use std::sync::Arc;
use std::time::Duration;

/// A follower that is not level after this time no longer holds up compaction; a snapshot that was not reported sent
/// by then counts as failed.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(30);

/// A follower that was sent a snapshot.
pub(crate) struct Sending {
    index: u64,
    left: Time,
    reported: bool,
}

impl Consensus {
    pub(crate) fn send_snapshot(&mut self, message: Box<Message>) {
        let snapshot = self.raw.store().snapshot().clone();
        let sending = Sending { index: snapshot.meta.index.0, left: self.now, reported: false };
        self.sending.insert(message.to, sending);
        self.outputs.push(Output::SendSnapshot { message, snapshot });
    }

    pub(crate) fn snapshot_sent(&mut self, to: MemberId, ok: bool) -> Outcome {
        match self.sending.get_mut(&to) {
            Some(sending) if ok => sending.reported = true,
            _ => drop(self.sending.remove(&to)),
        }
        self.raw.report_snapshot(to.0, if ok { SnapshotStatus::Finish } else { SnapshotStatus::Failure });
        Ok(())
    }

    /// Forgets followers that are level, and those whose time is over.
    pub(crate) fn watch_snapshots(&mut self) {
        let (now, applied, tail) = (self.now, self.applied, self.config.tail);
        let members: Vec<_> = self.sending.keys().copied().collect();
        for member in members {
            let matched = self.matched(member);
            let sending = &self.sending[&member];
            let level = sending.reported && matched >= sending.index && matched + tail >= applied;
            let late = now.saturating_since(sending.left) >= SNAPSHOT_TIMEOUT;
            let lost = late && !sending.reported;
            if level || late {
                self.sending.remove(&member);
            }
            if lost {
                self.raw.report_snapshot(member.0, SnapshotStatus::Failure);
            }
        }
    }

    fn matched(&self, member: MemberId) -> u64 {
        self.raw.raft.prs().get(member.0).map_or(0, |progress| progress.matched)
    }

    /// What a snapshot of the state stands for that is applied now.
    pub fn applied_meta(&self) -> SnapshotMeta {
        let term = self.raw.store().term_at(self.applied).unwrap_or_default();
        SnapshotMeta { index: Index(self.applied), term: Term(term), membership: self.membership.clone() }
    }

    /// Takes a snapshot of a state that was applied, now or earlier, and drops the front of the log.
    pub(crate) fn compact(&mut self, meta: SnapshotMeta, data: Arc<[u8]>) -> Outcome {
        let log = self.raw.store();
        let index = meta.index.0;
        let newer = index <= self.applied && meta.index > log.snapshot().meta.index;
        if !newer || log.term_at(index) != Some(meta.term.0) {
            return Err((None, Refused::BadCompaction));
        }
        let too_far = if planted(Mutation::CompactedTooFar) { self.applied + 2 } else { 0 };
        let first_kept = self.first_kept(index).max(too_far);
        let snapshot = Snapshot { meta, data };
        self.raw.mut_store().compact(snapshot.clone(), first_kept);
        let compaction = Some(Compaction { snapshot, first_kept: Index(first_kept) });
        let term = self.raw.raft.term;
        self.persist(Batch { compaction, ..Batch::default() }, Load { term, ..Load::default() });
        Ok(())
    }

    /// Leaves a tail for followers that are a little behind, and whatever follows a snapshot on its way.
    fn first_kept(&self, index: u64) -> u64 {
        let log = self.raw.store();
        let by_count = (index + 1).saturating_sub(self.config.tail);
        let by_bytes = log.first_within(index, self.config.tail_bytes);
        let needs = self.sending.iter().map(|(member, sending)| sending.index.max(self.matched(*member)) + 1);
        let pin = needs.min().unwrap_or(u64::MAX);
        by_count.max(by_bytes).min(pin).max(log.first())
    }
}
