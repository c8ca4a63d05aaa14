//! The machine itself: what each input does.

use crate::abstention::asks_for_a_voice;
use crate::agreement::Agreement;
use crate::boot::{Boot, BootError, open};
use crate::check::{Facts, MAX_ENTRIES, Refused, check, check_change};
use crate::config::{Config, Ticker};
use crate::convert::{change_bytes, command_entry, engine_change, engine_message, member};
use crate::disk::Unsynced;
use crate::heard::Heard;
use crate::io::{Input, Output, Proposal, Role};
use crate::links::{Link, Links};
use crate::log::Log;
use crate::pre_vote::PreVote;
use crate::random::Random;
use crate::reads::Reads;
use crate::snapshots::Sending;
use crate::voices::Voices;
use raft::{RawNode, StateRole};
use rafty_types::{
    Index, MAX_PROPOSAL_LEN, MemberId, Membership, MembershipChange, Message, MessageKind, Mutation,
    PersistId, Term, Time, planted,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Entries of a leader that are not committed; beyond it proposals are dropped.
const MAX_UNCOMMITTED: u64 = 4_096;
/// Proposals that travel together at most.
const MAX_TOGETHER: usize = 128;

/// One member's Raft, as a pure machine.
///
/// It reads no clock, owns no socket and writes no disk: [`handle`](Self::handle) is told what happened and when, and
/// says what to do. The same seed and the same inputs give the same outputs.
pub struct Consensus {
    pub(crate) config: Config,
    pub(crate) me: MemberId,
    pub(crate) raw: RawNode<Log>,
    pub(crate) membership: Membership,
    /// The batch after which the disk holds that membership.
    pub(crate) membership_in: Option<PersistId>,
    pub(crate) now: Time,
    pub(crate) ticker: Ticker,
    pub(crate) random: Random,
    /// The election timeout in ticks, ours instead of the engine's.
    pub(crate) drawn: usize,
    pub(crate) pre_vote: PreVote,
    pub(crate) outputs: Vec<Output>,
    pub(crate) unsynced: Unsynced,
    /// The engine's number of the last batch of its work.
    pub(crate) last_ready: u64,
    /// The last entry handed out as committed, or restored.
    pub(crate) applied: u64,
    pub(crate) reads: Reads,
    /// Followers that were sent a snapshot and are not level yet.
    pub(crate) sending: BTreeMap<MemberId, Sending>,
    /// The bytes of the snapshot that the engine is being given.
    pub(crate) arrived: Option<Arc<[u8]>>,
    pub(crate) heard: Heard,
    pub(crate) agreement: Agreement,
    pub(crate) voices: Voices,
    pub(crate) links: Links,
    pub(crate) shown: (Role, Term, Option<MemberId>),
    pub(crate) leave_joint_at: Time,
    /// Whether this disk may have forgotten what it promised; see [`Boot::abstains`].
    pub(crate) abstaining: bool,
}

impl Consensus {
    /// Starts a member on what its disk held. `seed` must differ between members and between processes.
    ///
    /// # Errors
    /// When what the disk held is damaged, or the configuration contradicts itself.
    pub fn new(config: Config, boot: Boot, seed: u64, now: Time) -> Result<Self, BootError> {
        let me = boot.id;
        let (written, abstaining) = (boot.hard_state, boot.abstains);
        let log = open(boot, config.log_batch())?;
        let membership = log.snapshot().meta.membership.clone();
        let applied = log.snapshot().meta.index.0;
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let raw = RawNode::new(&config.engine(me, applied), log, &logger)
            .map_err(|error| BootError::BadConfig(error.to_string()))?;
        let mut random = Random::new(seed);
        let mut consensus = Self {
            ticker: Ticker::new(config.tick(), now),
            reads: Reads::new(me, random.next(), config.election_min),
            shown: (Role::Follower, Term(raw.raft.term), None),
            unsynced: Unsynced::new(written.term.0),
            me,
            raw,
            membership,
            membership_in: None,
            now,
            random,
            drawn: 0,
            pre_vote: PreVote::default(),
            outputs: Vec::new(),
            last_ready: 0,
            applied,
            sending: BTreeMap::new(),
            arrived: None,
            heard: Heard::default(),
            agreement: Agreement::default(),
            voices: Voices::default(),
            links: Links::default(),
            leave_joint_at: now,
            abstaining,
            config,
        };
        consensus.draw_election();
        consensus.settle();
        if consensus.membership.voters == [me] && !consensus.membership.is_joint() {
            // Nobody else could be leading, so there is nothing to wait for.
            consensus.raw.raft.election_elapsed = consensus.drawn;
        }
        Ok(consensus)
    }

    /// Takes one input and says what to do.
    pub fn handle(&mut self, now: Time, input: Input) -> Vec<Output> {
        self.now = self.now.max(now);
        let outcome = match input {
            Input::Tick => self.tick(),
            Input::Message(message) => self.message(&message),
            Input::Propose(proposals) => self.propose(&proposals),
            Input::Read { request } => self.read(request),
            Input::Persisted(id) => self.persisted(id),
            Input::Unreachable(member) => self.unreachable(member),
            Input::Measured(links) => self.measured(&links),
            Input::SnapshotArrived { message, data } => self.snapshot_arrived(&message, data),
            Input::ForgetAcknowledged { member, last } => self.forget_acknowledged(member, last),
            Input::VotersTold { by, index, term, voters } => self.voters_told(by, index, term, &voters),
            Input::SnapshotSent { to, ok } => self.snapshot_sent(to, ok),
            Input::Compact { meta, data } => self.compact(meta, data),
            Input::Change(change) => self.change(&change),
            Input::Transfer { to } => self.transfer(to),
            Input::AbortTransfer => self.abort_transfer(),
            Input::StepDown => self.step_down(),
            Input::Abstain => self.abstain(),
            Input::VoteAgain => self.vote_again(),
            Input::Incarnations(incarnations) => self.write_incarnations(incarnations),
        };
        if let Err((from, why)) = outcome {
            self.outputs.push(Output::Refused { from, why });
        }
        self.settle();
        std::mem::take(&mut self.outputs)
    }

    /// When [`Input::Tick`] is due.
    pub fn deadline(&self) -> Option<Time> {
        Some(self.ticker.next)
    }

    fn tick(&mut self) -> Outcome {
        for _ in 0..self.ticker.due(self.now) {
            self.tick_engine();
            self.drain();
        }
        self.watch_snapshots();
        Ok(())
    }

    fn tick_engine(&mut self) {
        // The engine draws from a generator of its own wherever it resets itself; only here the value matters.
        self.raw.raft.set_randomized_election_timeout(self.drawn);
        if !self.links.tick_counts() {
            // Slowed by a slow network: the engine's count stands still in this tick.
            self.raw.raft.election_elapsed = self.raw.raft.election_elapsed.saturating_sub(1);
        }
        let due = self.raw.raft.election_elapsed + 1 >= self.drawn;
        let campaigns = due && self.role() != Role::Leader && self.raw.raft.promotable();
        if campaigns && self.abstains() {
            // The leader is gone: that is to be seen here, too.
            self.raw.raft.election_elapsed += 1;
            return;
        }
        // Votes wait for the disk, and the engine insists that whoever wins has synced its log.
        if campaigns && !self.is_synced() {
            return;
        }
        if campaigns {
            self.pre_vote.begin();
        }
        self.raw.tick();
        if campaigns {
            self.draw_election();
        } else {
            self.repeat_pre_vote();
        }
    }

    fn repeat_pre_vote(&mut self) {
        if self.raw.raft.state == StateRole::PreCandidate {
            self.outputs
                .extend(self.pre_vote.repeat().into_iter().map(|again| Output::Send(Box::new(again))));
        } else {
            self.pre_vote.end();
        }
    }

    /// Draws the next election timeout. Who stands first turns with the term, so that a failed election is followed by
    /// another one.
    pub(crate) fn draw_election(&mut self) {
        let (leader, voters) = (self.leader(), &self.membership.voters);
        let rivals: Vec<_> = voters.iter().filter(|voter| Some(**voter) != leader).collect();
        let place = rivals.iter().position(|voter| **voter == self.me).map_or(0, |at| {
            let first = (self.raw.raft.term % rivals.len() as u64) as usize;
            (at + rivals.len() - first) % rivals.len()
        });
        self.drawn = self.config.draw_election(&mut self.random, place, rivals.len());
    }

    /// The engine takes what was acknowledged for granted. Nothing is known of what this follower has: its last entries may
    /// be others. What is committed stays committed.
    fn forget_acknowledged(&mut self, member: MemberId, last: Index) -> Outcome {
        let leads = self.role() == Role::Leader && member != self.me;
        let next = last.min(self.last_index()).next();
        if let Some(progress) = self.raw.raft.mut_prs().get_mut(member.0).filter(|_| leads) {
            progress.matched = 0;
            progress.become_probe();
            progress.next_idx = next.0;
        }
        Ok(())
    }

    fn message(&mut self, message: &Message) -> Outcome {
        let from = Some(message.from);
        if message.kind == MessageKind::Snapshot {
            return Err((from, Refused::BadKind));
        }
        self.step(message).map_err(|why| (from, why))
    }

    fn snapshot_arrived(&mut self, message: &Message, data: Arc<[u8]>) -> Outcome {
        let from = Some(message.from);
        if message.kind != MessageKind::Snapshot {
            return Err((from, Refused::BadKind));
        }
        self.arrived = Some(data);
        self.step(message).map_err(|why| (from, why))?;
        self.drain();
        self.arrived = None;
        Ok(())
    }

    fn step(&mut self, message: &Message) -> Result<(), Refused> {
        check(message, &self.facts())?;
        self.check_voice(message)?;
        if self.abstains() && asks_for_a_voice(message.kind) {
            return Ok(());
        }
        let mut engine = engine_message(message);
        if message.kind == MessageKind::Heartbeat {
            engine.commit = self.agreement.commits(message, self.commit(), self.last_index()).0;
        }
        if planted(Mutation::VoteForgotten) && message.kind == MessageKind::RequestVote {
            self.raw.raft.vote = raft::INVALID_ID;
        }
        let asks = matches!(message.kind, MessageKind::RequestVote | MessageKind::RequestPreVote);
        if planted(Mutation::VoteForAnyLog) && asks {
            (engine.log_term, engine.index) = (message.term.0, u64::MAX);
        }
        self.raw.step(engine).map_err(|_| Refused::Engine)?;
        if self.membership.contains(message.from) {
            self.heard.note(message.from, self.now);
        }
        Ok(())
    }

    fn facts(&self) -> Facts {
        let commit = self.commit();
        Facts {
            me: self.me,
            term: self.term(),
            leader: member(self.raw.raft.leader_id),
            leads: self.role() == Role::Leader,
            may_campaign: self.raw.raft.promotable(),
            synced: self.is_synced(),
            last_index: self.last_index(),
            committed: (commit, self.raw.store().term_at(commit.0).map(Term)),
            pending_reads: self.raw.raft.pending_read_count(),
        }
    }

    /// Whether everything an election rests on is on the disk.
    fn is_synced(&self) -> bool {
        let log = &self.raw.raft.raft_log;
        self.unsynced.allows_election() && log.persisted == log.last_index()
    }

    fn propose(&mut self, mut proposals: &[Proposal]) -> Outcome {
        while !proposals.is_empty() {
            let (together, later) = proposals.split_at(self.fit_together(proposals));
            self.propose_together(together);
            proposals = later;
        }
        Ok(())
    }

    /// How many of the first proposals go in one step, so that the append that carries them keeps its bounds.
    fn fit_together(&self, proposals: &[Proposal]) -> usize {
        let most = (MAX_ENTRIES - self.config.log_batch()).min(MAX_TOGETHER);
        let mut bytes = 0;
        let fits = |proposal: &&Proposal| {
            bytes += proposal.data.len() as u64;
            bytes <= self.config.append_bytes
        };
        proposals.iter().take(most).take_while(fits).count().max(1)
    }

    fn propose_together(&mut self, proposals: &[Proposal]) {
        let room = MAX_UNCOMMITTED.saturating_sub(self.last_index().0 - self.commit().0);
        let fits = |proposal: &&Proposal| (1..=MAX_PROPOSAL_LEN).contains(&proposal.data.len());
        let entries = proposals.iter().filter(fits).take(usize::try_from(room).unwrap_or(usize::MAX));
        let entries: Vec<_> = entries.map(|proposal| command_entry(&proposal.data)).collect();
        let (before, mut left) = (self.last_index(), entries.len() as u64);
        let taken = self.role() == Role::Leader && left > 0 && self.step_proposal(entries);
        let term = self.term();
        let mut index = before;
        for proposal in proposals {
            let request = proposal.request;
            self.outputs.push(if taken && left > 0 && fits(&proposal) {
                left -= 1;
                index = index.next();
                Output::Proposed { request, index, term }
            } else {
                Output::Dropped { request }
            });
        }
    }

    fn step_proposal(&mut self, entries: Vec<raft::eraftpb::Entry>) -> bool {
        let mut message = raft::eraftpb::Message::default();
        message.set_msg_type(raft::eraftpb::MessageType::MsgPropose);
        message.from = self.me.0;
        message.set_entries(entries.into());
        self.raw.step(message).is_ok()
    }

    fn read(&mut self, request: u64) -> Outcome {
        if planted(Mutation::StaleRead) {
            self.outputs.push(Output::ReadReady { request, index: Index(self.applied) });
            return Ok(());
        }
        if !self.reads.push(request) {
            self.outputs.push(Output::ReadFailed { request });
        }
        Ok(())
    }

    fn persisted(&mut self, id: PersistId) -> Outcome {
        let Some(load) = self.unsynced.synced(id) else { return Ok(()) };
        if self.membership_in.take_if(|due| *due <= id).is_some() {
            self.tell_membership();
        }
        let all = self.unsynced.newest().is_none().then_some(self.last_ready);
        if let Some(number) = all.or(load.ready) {
            self.raw.on_persist_ready(number);
        }
        if let Some(index) = load.install
            && index > self.raw.raft.raft_log.applied
        {
            // Restored long ago; the engine only lets us say so now.
            self.raw.advance_apply_to(index);
        }
        Ok(())
    }

    fn unreachable(&mut self, member: MemberId) -> Outcome {
        self.raw.report_unreachable(member.0);
        Ok(())
    }

    fn measured(&mut self, links: &[Link]) -> Outcome {
        self.links.measured(links, &self.membership);
        self.links.adapt(&self.config, self.me, &self.membership, self.leader());
        Ok(())
    }

    fn change(&mut self, change: &MembershipChange) -> Outcome {
        self.must_lead()?;
        check_change(change, &self.membership).map_err(|why| (None, why))?;
        if self.has_pending_membership() || self.is_transferring() {
            return Err((None, Refused::ChangePending));
        }
        self.propose_change(change).map_err(|why| (None, why))
    }

    pub(crate) fn propose_change(&mut self, change: &MembershipChange) -> Result<(), Refused> {
        let proposed = self.raw.propose_conf_change(change_bytes(change), engine_change(change));
        proposed.map_err(|_| Refused::Busy)
    }

    fn transfer(&mut self, to: MemberId) -> Outcome {
        self.must_lead()?;
        if to == self.me || !self.membership.voters.contains(&to) {
            return Err((None, Refused::BadTransfer));
        }
        self.raw.transfer_leader(to.0);
        Ok(())
    }

    fn abort_transfer(&mut self) -> Outcome {
        self.raw.raft.abort_leader_transfer();
        Ok(())
    }

    fn step_down(&mut self) -> Outcome {
        self.must_lead()?;
        let term = self.raw.raft.term;
        self.raw.raft.become_follower(term, raft::INVALID_ID);
        Ok(())
    }

    fn must_lead(&self) -> Outcome {
        if self.role() == Role::Leader { Ok(()) } else { Err((None, Refused::NotLeader)) }
    }

    /// Whether the way to a member is slow: then this member's timeouts outlast few heartbeats of it.
    pub fn is_slow(&self, member: MemberId) -> bool {
        self.links.is_slow(member)
    }

    /// A member says whether its timeouts outlast few heartbeats; believed, since it harms itself alone.
    pub fn note_patient(&mut self, member: MemberId, patient: bool) {
        self.links.note_patient(member, patient);
    }

    /// How often this member, as leader, says to another one that it lives.
    pub fn heartbeat_to(&self, member: MemberId) -> Duration {
        self.links.heartbeat(member, self.config.heartbeat)
    }

    /// What this member is.
    pub fn role(&self) -> Role {
        match self.raw.raft.state {
            StateRole::Follower => Role::Follower,
            StateRole::Candidate | StateRole::PreCandidate => Role::Candidate,
            StateRole::Leader => Role::Leader,
        }
    }

    /// The latest term seen.
    pub fn term(&self) -> Term {
        Term(self.raw.raft.term)
    }

    /// The last entry of the log.
    pub fn last_index(&self) -> Index {
        Index(self.raw.raft.raft_log.last_index())
    }

    /// The last entry known to be committed.
    pub fn commit(&self) -> Index {
        Index(self.raw.raft.raft_log.committed)
    }
}

/// Who sent what was not taken, and why it was not.
pub(crate) type Outcome = Result<(), (Option<MemberId>, Refused)>;
