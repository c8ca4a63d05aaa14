//! Takes from the engine what it has ready, and turns it into outputs.
//!
//! What the engine asks to be written goes into the log in memory at once and to the disk by a batch; what it may
//! only say once that is synced goes out as `SendAfter`. This is the only place that hands out entries.

use crate::abstention::promise_nothing_new;
use crate::convert::{engine_change, membership, own_entry, own_hard_state, own_message, own_meta};
use crate::disk::Load;
use crate::io::{Output, Role};
use crate::machine::Consensus;
use raft::eraftpb;
use rafty_types::{
    Batch, Entry, Index, MembershipChange, Message, MessageKind, Mutation, Payload, PersistId, Snapshot,
    planted,
};

/// Times the engine is asked for more in one go. Each answer hands out what the one before made possible; two or
/// three are usual.
const MAX_ROUNDS: usize = 64;

impl Consensus {
    /// Takes everything the engine has, and asks it the reads that wait.
    pub(crate) fn settle(&mut self) {
        if planted(Mutation::OldTermCommitted) && self.role() == Role::Leader {
            let counted = self.raw.raft.mut_prs().maximal_committed_index().0;
            self.raw.raft.raft_log.commit_to(counted);
        }
        self.drain();
        for _ in 0..MAX_ROUNDS {
            if !self.ask_reads() {
                break;
            }
            self.drain();
        }
        self.leave_joint();
        self.drain();
        self.forget_told_voters();
    }

    pub(crate) fn drain(&mut self) {
        for _ in 0..MAX_ROUNDS {
            if !self.raw.has_ready() {
                return;
            }
            self.take_ready();
        }
        debug_assert!(!self.raw.has_ready(), "the engine never comes to rest");
    }

    fn take_ready(&mut self) {
        self.note_role();
        let mut ready = self.raw.ready();
        self.last_ready = ready.number();
        let snapshot = (!ready.snapshot().is_empty()).then(|| self.arriving(ready.snapshot()));
        let entries: Vec<_> = ready.take_entries().iter().map(own_entry).collect();
        let committed = ready.committed_entries().last().map(|entry| entry.index);
        let leads = self.role() == Role::Leader;
        let messages = if leads { ready.take_messages() } else { ready.take_persisted_messages() };
        let reads = ready.take_read_states();
        let vital = ready.must_sync();

        if let Some(snapshot) = &snapshot {
            self.raw.mut_store().install(snapshot.clone());
        }
        self.raw.mut_store().append(&entries);
        self.raw.advance_append_async(ready);

        let install = snapshot.clone();
        let before = self.unsynced.newest();
        let newest = if vital { Some(self.write(install, entries)) } else { before };
        if newest.is_none() || leads && planted(Mutation::OwnAckBeforeSync) {
            self.raw.on_persist_ready(self.last_ready);
        }
        let early = snapshot.is_some() && planted(Mutation::SnapshotAckBeforeSync);
        self.send(messages, leads || early, newest);
        for read in reads {
            let index = Index(read.index);
            let requests = self.reads.answered(&read.request_ctx);
            self.outputs.extend(requests.into_iter().map(|request| Output::ReadReady { request, index }));
        }
        if let Some(snapshot) = snapshot {
            self.restore(snapshot);
        }
        if let Some(last) = committed {
            self.apply(last);
        }
    }

    /// The snapshot that the engine accepted, with the bytes that came beside it.
    fn arriving(&mut self, engine: &eraftpb::Snapshot) -> Snapshot {
        Snapshot { meta: own_meta(engine), data: self.arrived.take().unwrap_or_default() }
    }

    fn note_role(&mut self) {
        let now = (self.role(), self.term(), self.leader());
        if now == self.shown {
            return;
        }
        self.draw_election();
        if (now.0, now.1) != (self.shown.0, self.shown.1) {
            self.heard.restart(self.now);
            self.sending.clear();
            self.links.term_began();
        }
        self.shown = now;
        self.reads.ask_again();
        let (role, term, leader) = now;
        self.outputs.push(Output::RoleChanged { role, term, leader });
    }

    /// Hands out a batch of the engine's. The hard state goes along whenever it changed, and with it the commit
    /// index: it is not worth a write of its own, but whoever has an entry must not forget which membership
    /// changes before it were committed.
    fn write(&mut self, install: Option<Snapshot>, entries: Vec<Entry>) -> PersistId {
        let load = Load {
            ready: Some(self.last_ready),
            install: install.as_ref().map(|snapshot| snapshot.meta.index.0),
            vital: true,
            term: self.raw.raft.term,
        };
        self.persist(Batch { install, entries, ..Batch::default() }, load)
    }

    pub(crate) fn persist(&mut self, mut batch: Batch, load: Load) -> PersistId {
        let hard_state = own_hard_state(&self.raw.raft.hard_state());
        if hard_state != self.raw.store().hard_state {
            self.raw.mut_store().hard_state = hard_state;
            batch.hard_state = Some(hard_state);
        }
        let id = self.unsynced.push(load);
        self.outputs.push(Output::Persist(id, Box::new(batch)));
        id
    }

    /// Sorted by recipient: the engine's own order depends on a hash that differs between 32 and 64 bit.
    fn send(&mut self, mut messages: Vec<eraftpb::Message>, leads: bool, unsynced: Option<PersistId>) {
        messages.sort_by_key(|message| message.to);
        // A lone voter leads before its term is synced. Were its entries to travel, it could forget the term in a
        // crash and give the same index and term to other entries.
        let term_synced = self.unsynced.term >= self.raw.raft.term;
        for engine in messages {
            let Some(mut message) = own_message(&engine, self.raw.store()) else { continue };
            if leads && self.links.spares(&message, self.now) {
                continue;
            }
            self.agreement.note(&message);
            if self.abstains() {
                promise_nothing_new(&mut message, self.commit());
            }
            if message.kind == MessageKind::RequestPreVote {
                self.pre_vote.sent(&message);
            }
            let at_once = if leads { term_synced } else { promises_nothing(&message) }
                || planted(Mutation::VoteBeforeSync) && message.kind == MessageKind::RequestVoteResponse
                || planted(Mutation::AckBeforeSync) && message.kind == MessageKind::AppendResponse;
            match (message.kind, unsynced) {
                (MessageKind::Snapshot, _) => self.send_snapshot(Box::new(message)),
                (_, Some(id)) if !at_once => {
                    if self.unsynced.hold(id, &message) {
                        self.outputs.push(Output::SendAfter(id, Box::new(message)));
                    }
                }
                _ => self.outputs.push(Output::Send(Box::new(message))),
            }
        }
    }

    fn restore(&mut self, snapshot: Snapshot) {
        self.applied = snapshot.meta.index.0;
        let membership = snapshot.meta.membership.clone();
        self.outputs.push(Output::Restore(snapshot));
        self.set_membership(membership);
    }

    /// Hands out what is committed up to `last`, and lets the engine go on.
    fn apply(&mut self, last: u64) {
        let mut entries = Vec::new();
        for index in self.applied + 1..=last {
            let entry = self.raw.store().get(index).cloned();
            let entry = entry.expect("what the engine hands out as committed stands in the log");
            let change = match &entry.payload {
                Payload::Membership(change) => Some(change.clone()),
                Payload::Empty | Payload::Command(_) => None,
            };
            entries.push(entry);
            if let Some(change) = change {
                self.outputs.push(Output::Committed(std::mem::take(&mut entries)));
                self.change_membership(&change);
            }
        }
        if !entries.is_empty() {
            self.outputs.push(Output::Committed(entries));
        }
        self.applied = last;
        self.raw.advance_apply_to(last);
    }

    /// A change that the engine rejects is rejected by every member, for all have the same membership here.
    fn change_membership(&mut self, change: &MembershipChange) {
        let Ok(mut state) = self.raw.apply_conf_change(&engine_change(change)) else { return };
        if planted(Mutation::SingleStepMembership) {
            state = self.raw.apply_conf_change(&engine_change(&MembershipChange::default())).unwrap_or(state);
        }
        self.set_membership(membership(&state));
        if self.role() == Role::Leader && !self.membership.votes(self.me) {
            // The engine would lead on and stumble over its own missing progress.
            let term = self.raw.raft.term;
            self.raw.raft.become_follower(term, raft::INVALID_ID);
        }
    }

    fn set_membership(&mut self, membership: rafty_types::Membership) {
        self.heard.keep(&membership);
        self.membership = membership;
        if own_hard_state(&self.raw.raft.hard_state()) != self.raw.store().hard_state {
            self.persist(Batch::default(), Load { term: self.raw.raft.term, ..Load::default() });
        }
        self.membership_in = self.unsynced.newest();
        if self.membership_in.is_none() {
            self.tell_membership();
        }
    }

    /// What the disk does not hold may be forgotten in a crash. Whoever left is told so when that cannot happen.
    pub(crate) fn tell_membership(&mut self) {
        self.outputs.push(Output::MembershipChanged(self.membership.clone()));
    }

    /// Proposes to leave joint as soon as that is possible, again and again until it is done.
    fn leave_joint(&mut self) {
        let possible = self.role() == Role::Leader
            && self.membership.is_joint()
            && !self.raw.raft.has_pending_conf()
            && !self.is_transferring();
        if possible && self.leave_joint_at <= self.now {
            self.leave_joint_at = self.now + self.config.heartbeat;
            // What is dropped is proposed again after a heartbeat.
            let _ = self.propose_change(&MembershipChange::default());
        }
    }

    /// Whether the engine was asked something.
    fn ask_reads(&mut self) -> bool {
        let failed = self.reads.given_up(self.now);
        self.outputs.extend(failed.into_iter().map(|request| Output::ReadFailed { request }));
        let possible = match self.role() {
            Role::Leader => self.committed_in_term(),
            _ => self.leader().is_some(),
        };
        let question = self.reads.question(self.now, possible);
        let asks = question.is_some();
        if let Some(context) = question {
            self.raw.read_index(context);
        }
        asks
    }
}

/// What a member that does not lead says whether or not its disk keeps up. A heartbeat's answer confirms a read and shows
/// life; both are true now, and a vote that could contradict it is synced before it is sent. A pre-vote binds nobody.
fn promises_nothing(message: &Message) -> bool {
    use MessageKind::{HeartbeatResponse, ReadIndex, RequestPreVote, RequestPreVoteResponse};
    matches!(message.kind, HeartbeatResponse | ReadIndex | RequestPreVote | RequestPreVoteResponse)
}
