//! The node itself: what happened goes to the machine it concerns, and what they say goes out.

use crate::apply::{Arriving, Compactor};
use crate::disk_troubles::DiskTroubles;
use crate::divergence::{self, Digests};
use crate::io::{Boot, Input, Output, TenureKey};
use crate::issuer::Issuer;
use crate::requests::{Answer, Asked, Duty, Proposer, RequestId, Requests};
use crate::roster::Roster;
use crate::round_driver::RoundDriver;
use crate::starts::Starts;
use crate::voters::VotersQuestion;
use crate::{Event, leader::Duties};
use rafty_consensus as consensus;
use rafty_consensus::{Consensus, Refused};
use rafty_dictionary::Replicated;
use rafty_types::{
    Command, ForwardOutcome, Frame, MemberId, Message, MessageKind, Mutation, PersistId, RestoreError,
    Settings, Stamp, StateMachine, Time, planted,
};
use std::collections::VecDeque;
use std::time::Duration;

/// A member counts as alive for this many longest election timeouts after it was last heard.
const ALIVE_FOR_TIMEOUTS: u32 = 4;
/// A member answers when it was heard within so many heartbeats: it replies to each.
const ANSWERS_FOR_HEARTBEATS: u32 = 4;

/// A member of a peer set, as one pure machine.
pub struct Node<U: StateMachine> {
    pub(crate) me: MemberId,
    pub(crate) now: Time,
    pub(crate) consensus: Consensus,
    pub(crate) state: Replicated<U>,
    pub(crate) round_driver: RoundDriver,
    pub(crate) duties: Duties,
    pub(crate) requests: Requests,
    pub(crate) compactor: Compactor,
    pub(crate) starts: Starts,
    pub(crate) issuer: Issuer,
    pub(crate) digests: Digests,
    pub(crate) disk_troubles: DiskTroubles,
    /// A snapshot from the leader that is being read.
    pub(crate) arriving: Option<Arriving>,
    /// What was read of the snapshot that consensus is being given.
    pub(crate) read: Option<Replicated<U>>,
    pub(crate) out: Vec<Output>,
    pub(crate) halted: bool,
    /// Whether each user command is told when it is applied.
    pub(crate) watched: bool,
    /// This member was sent away; it ends by then.
    pub(crate) roster: Roster,
    pub(crate) voters_question: VotersQuestion,
    /// What consensus shall be told next. Bounded by what one input can cause.
    inputs: VecDeque<consensus::Input>,
    /// What was proposed and not handed to consensus yet. Bounded by the tickets of requests.
    pub(crate) proposals: Vec<consensus::Proposal>,
    stepping: bool,
    /// What the wall clock showed, in milliseconds since 1970, and when by this member's clock.
    wall_at: (u64, Time),
    /// What time it was for the peer set, in milliseconds, and when by this member's clock.
    elapsed_at: (u64, Time),
    /// Until the replicated settings are known.
    boot_settings: Settings,
}

/// What is on the disk does not make a member.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The log does not make sense.
    #[error("the log on this disk is not usable: {0}; nothing was changed; this member must join anew")]
    Log(String),
    /// The snapshot cannot be read.
    #[error("the snapshot on this disk is not usable: {0}; nothing was changed; this member must join anew")]
    Snapshot(#[from] RestoreError),
    /// The state was found to differ from that of a majority.
    #[error("{0}; nothing was changed")]
    Diverged(String),
}

impl<U: StateMachine> Node<U> {
    /// A node over what was recovered from the disk. `user` is the user machine in its initial state.
    ///
    /// # Errors
    /// When what was recovered is no log and state of a member.
    pub fn new(boot: Boot, user: U, now: Time) -> Result<Self, StartError> {
        divergence::refuse(boot.incarnations.diverged)?;
        let mut state = Replicated::new(user);
        if boot.snapshot.meta.index.0 > 0 {
            state.restore(&boot.snapshot.data)?;
        }
        if state.applied() != boot.snapshot.meta.index {
            return Err(RestoreError("it is that of another index".into()).into());
        }
        let settings =
            if state.control().initialised() { state.control().settings() } else { &boot.settings };
        let config = consensus::Config::from_settings(settings);
        let compactor = Compactor::new(boot.snapshot.data.len());
        let round_driver = RoundDriver::new(&boot);
        let starts = Starts::new(&boot, now);
        let issuer = Issuer::new(boot.signer.clone(), starts.incarnation());
        let log = consensus::Boot {
            id: boot.me,
            hard_state: boot.hard_state,
            snapshot: boot.snapshot,
            entries: boot.entries,
            abstains: starts.abstains(),
        };
        let consensus = Consensus::new(config, log, boot.seed, now)
            .map_err(|error| StartError::Log(error.to_string()))?;
        let roster = Roster::new(consensus.membership().clone(), boot.told);
        let mut node = Self {
            me: boot.me,
            now,
            consensus,
            state,
            round_driver,
            duties: Duties::default(),
            requests: Requests::default(),
            compactor,
            starts,
            issuer,
            digests: Digests::default(),
            disk_troubles: DiskTroubles::default(),
            arriving: None,
            read: None,
            out: Vec::new(),
            halted: false,
            watched: false,
            roster,
            voters_question: VotersQuestion::default(),
            inputs: VecDeque::new(),
            proposals: Vec::new(),
            stepping: false,
            wall_at: (boot.wall_ms, now),
            elapsed_at: (0, now),
            boot_settings: boot.settings,
        };
        node.time_applied();
        node.publish_roster();
        node.judge_own_record();
        node.write_incarnations();
        node.ask_before_leading();
        Ok(node)
    }

    /// Takes in what happened and says what may be done.
    pub fn handle(&mut self, now: Time, input: Input) -> Vec<Output> {
        self.handle_all(now, [input])
    }

    /// Takes in all that happened meanwhile, in order. What is proposed then travels together.
    pub fn handle_all(&mut self, now: Time, inputs: impl IntoIterator<Item = Input>) -> Vec<Output> {
        self.now = now;
        for input in inputs {
            // Whose state has diverged only notes that on its disk.
            let ends = self.starts.has_diverged() && !matches!(input, Input::Persisted(_));
            if !self.halted && !ends {
                self.dispatch(input);
            }
        }
        if self.starts.has_diverged() && !self.halted {
            self.write_incarnations();
        } else if !self.halted {
            self.settle();
            self.halt_if_removed();
        }
        std::mem::take(&mut self.out)
    }

    /// When [`Input::Tick`] is due.
    pub fn deadline(&self) -> Option<Time> {
        if self.halted || self.starts.has_diverged() {
            return None;
        }
        let deadlines = [
            self.consensus.deadline(),
            self.requests.deadline(),
            self.round_driver.deadline(),
            self.duties.deadline(),
            self.starts.deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// The replicated state as applied here.
    pub fn state(&self) -> &Replicated<U> {
        &self.state
    }

    /// Raft's view.
    pub fn consensus(&self) -> &Consensus {
        &self.consensus
    }

    /// The peer set's settings, or the ones to start with.
    pub fn settings(&self) -> &Settings {
        if self.state.control().initialised() { self.state.control().settings() } else { &self.boot_settings }
    }

    /// Milliseconds since 1970 by this member's wall clock: for display only.
    pub(crate) fn wall_ms(&self) -> u64 {
        let (wall_ms, at) = self.wall_at;
        wall_ms.saturating_add(ms_of(self.now.saturating_since(at)))
    }

    /// What time it is for the peer set: how many milliseconds have passed for it, as far as this member can tell.
    ///
    /// That is what it applied, and its own monotonic time since then. What it applies later moves it forward only:
    /// entries are applied after they were stamped, so under load a leader that went back to each would hardly get on.
    pub fn elapsed_ms(&self) -> u64 {
        let (elapsed_ms, at) = self.elapsed_at;
        elapsed_ms.saturating_add(ms_of(self.now.saturating_since(at)))
    }

    /// Entries or a snapshot were applied: time may have moved forward.
    pub(crate) fn time_applied(&mut self) {
        let applied = self.state.elapsed_ms();
        if applied > self.elapsed_ms() {
            self.elapsed_at = (applied, self.now);
        }
    }

    /// What this member stamps on what it proposes as leader.
    pub(crate) fn stamp(&self) -> Stamp {
        let wall_ms = self.wall_ms();
        let by_wall = planted(Mutation::ExpiryByWallClock);
        Stamp::Elapsed { elapsed_ms: if by_wall { wall_ms } else { self.elapsed_ms() }, wall_ms }
    }

    pub(crate) fn is_leader(&self) -> bool {
        self.consensus.role() == consensus::Role::Leader
    }

    /// Whether the leader heard a member lately. A new leader gives everybody some time, but not those that the leaders
    /// before it did not hear any more.
    pub(crate) fn is_alive(&self, progress: &consensus::Progress) -> bool {
        progress.silent < self.consensus.election_timeout() * ALIVE_FOR_TIMEOUTS
            && (progress.heard || !self.is_known_silent(progress))
    }

    /// Whether the leaders before this one did not hear a member any more.
    pub(crate) fn is_known_silent(&self, progress: &consensus::Progress) -> bool {
        self.state.control().silent_since_ms(progress.member).is_some()
    }

    /// Whether a member has just answered the leader. Who may vote is decided by that: whoever is given a seat after it
    /// has died is one more voice that is missing.
    pub(crate) fn answers(&self, progress: &consensus::Progress) -> bool {
        let heartbeat = self.consensus.heartbeat_to(progress.member);
        progress.heard && progress.silent < heartbeat * ANSWERS_FOR_HEARTBEATS
    }

    fn dispatch(&mut self, input: Input) {
        match input {
            Input::Tick => {
                if self.consensus.deadline().is_some_and(|deadline| deadline <= self.now) {
                    self.step(consensus::Input::Tick);
                }
                self.tick_sides();
            }
            Input::Frame { from, frame } => self.frame(from, frame),
            Input::Persisted(id) => {
                self.step(consensus::Input::Persisted(id));
                self.incarnations_persisted(id);
            }
            Input::WorkDone { id, result } => self.work_done(id, result),
            Input::Envelope { from, header, handle } => self.envelope(from, *header, handle),
            Input::Arrival { from, content, arrival } => self.arrival(from, content, arrival),
            Input::Snapshot { from, message, data } => self.snapshot_arrived(from, message, data),
            Input::SnapshotTaken { index, data } => self.snapshot_taken(index, data),
            Input::SnapshotFailed { index } => self.snapshot_failed(index),
            Input::StateDigestFailed { mark } => self.state_digest_failed(mark),
            Input::SnapshotRead(state) => self.snapshot_read(state),
            Input::StateDigested { mark, digest, signature } => self.state_digested(mark, digest, signature),
            Input::SnapshotSent { to, arrived } => {
                self.step(consensus::Input::SnapshotSent { to, ok: arrived });
            }
            Input::DiskTrouble(why) => self.own_disk_trouble(why),
            Input::Unreachable(member) => self.step(consensus::Input::Unreachable(member)),
            Input::Measured(links) => self.step(consensus::Input::Measured(links)),
            Input::WallClock(wall_ms) => self.wall_at = (wall_ms, self.now),
            Input::TenureKey(key) => self.duties.key_made(key),
            Input::Request { id, request, until } => self.request(id, *request, until),
            Input::Watch(watched) => self.watched = watched,
            Input::Transfer(to) => self.transfer(to),
            Input::Retire(retiring) => self.duties.retire(retiring),
        }
    }

    /// What follows from anything that happened: duties of a leader, requests that can be sent, work of a round.
    fn settle(&mut self) {
        self.write_incarnations();
        self.say_hello_if_due();
        self.lead_if_answered();
        self.perform_duties();
        self.ask_if_alone();
        self.say_disk_trouble_again();
        self.compact_if_due();
        self.order_digest();
        self.serve_requests();
        self.flush_proposals();
        debug_assert!(self.round_driver.heard_all(), "the round machines were not told something");
    }

    fn frame(&mut self, from: MemberId, frame: Frame) {
        match frame {
            Frame::Raft(message) => {
                if message.from == from {
                    self.step(consensus::Input::Message(message));
                    self.note_led(from);
                    self.introduce_to(from);
                } else {
                    self.dropped(from, "a Raft message in another member's name");
                }
            }
            Frame::Forward { request, session, command } => {
                let asked = Asked { client: None, issue: None, command: *command };
                self.forwarded_to_me(from, request, session, asked)
            }
            Frame::ForwardForClient { request, client, session, command } => {
                let asked = Asked { client: Some(client), issue: None, command: *command };
                self.forwarded_to_me(from, request, session, asked)
            }
            Frame::ForwardIssued { request, session, issue, command } => {
                let asked = Asked { client: None, issue: Some(*issue), command: Command::Control(*command) };
                self.forwarded_to_me(from, request, session, asked)
            }
            Frame::Forwarded { request, outcome } => self.forward_answered(from, request, outcome),
            Frame::Transfer { to } => {
                // A request that comes to a member that does not lead any more ends here.
                if !self.is_laptop(from) && !planted(Mutation::AnybodyMovesLeadership) {
                    self.dropped(from, "that another member shall lead, which only laptops may ask for");
                } else if self.is_leader() {
                    self.transfer(to);
                }
            }
            Frame::Hello(hello) => self.hello(from, &hello),
            Frame::HelloAnswer(answer) => self.hello_answered(from, &answer),
            Frame::StateDigest(said) => self.digest_heard(from, &said),
            Frame::DiskTrouble { why } => self.disk_trouble_heard(from, why),
            Frame::AskRoster { known } => self.asked_for_roster(from, known),
            Frame::Roster { index, members } => self.told_roster(from, index, members),
            Frame::AskVoters => self.asked_who_votes(from),
            Frame::Voters { index, term, voters } => self.told_who_votes(from, index, term, voters),
            frame => self.side_frame(from, frame),
        }
    }

    pub(crate) fn dropped(&mut self, from: MemberId, reason: &str) {
        self.out.push(Output::Dropped { from, reason: reason.to_string() });
    }

    /// Tells consensus what happened, and does what it says. What arises for consensus meanwhile waits until all that
    /// it said before was done: batches must leave in order.
    pub(crate) fn step(&mut self, input: consensus::Input) {
        self.inputs.push_back(input);
        if self.stepping {
            return;
        }
        self.stepping = true;
        while let Some(input) = self.inputs.pop_front() {
            for output in self.consensus.handle(self.now, input) {
                self.consensus_said(output);
            }
        }
        self.stepping = false;
    }

    fn consensus_said(&mut self, output: consensus::Output) {
        use consensus::Output as Said;
        match output {
            Said::Send(message) => self.say(None, message),
            Said::SendAfter(id, message) => self.say(Some(id), message),
            Said::Persist(id, batch) => {
                if batch.incarnations.is_some() {
                    self.starts.written(id);
                }
                self.out.push(Output::Persist(id, batch));
            }
            Said::SendSnapshot { message, snapshot } => {
                self.out.push(Output::SendSnapshot { to: message.to, message, data: snapshot.data });
            }
            Said::Restore(snapshot) => self.restore(&snapshot),
            Said::Committed(entries) => self.committed(&entries),
            Said::Proposed { request, index, term } => {
                if let Some(displaced) = self.requests.logged(request, index, term) {
                    self.proposal_lost(displaced, &ForwardOutcome::Unknown);
                }
            }
            Said::Dropped { request } => {
                if let Some(proposer) = self.requests.dropped(request) {
                    self.proposal_lost(proposer, &ForwardOutcome::Dropped);
                }
            }
            Said::ReadReady { request, index } => {
                self.requests.read_known(RequestId(request), index);
                self.answer_reads();
            }
            Said::ReadFailed { request } => {
                self.requests.read_failed(RequestId(request), self.pause_until());
            }
            Said::RoleChanged { role, term, leader } => self.role_changed(role, term, leader),
            Said::MembershipChanged(membership) => self.engine_changed(membership),
            Said::Refused { from, why } => {
                if matches!(why, Refused::NoVoice | Refused::TermTooFarAhead) {
                    self.ask_who_votes();
                }
                self.dropped(from.unwrap_or(self.me), &why.to_string());
            }
        }
    }

    /// Says what consensus has to say, once the disk holds what was written up to `after`.
    fn say(&mut self, after: Option<PersistId>, mut message: Box<Message>) {
        let to = message.to;
        // Who votes shall know for which process: what it acknowledges soon, it acknowledges to that one.
        let hello = (message.kind == MessageKind::RequestVote).then(|| self.hello_for(to)).flatten();
        let let_out = self.starts.lets_out(&mut message, self.consensus.commit());
        let frames = hello.map(Frame::Hello).into_iter().chain(let_out.then_some(Frame::Raft(message)));
        self.out.extend(frames.map(|frame| match after {
            Some(id) => Output::SendAfter(id, to, frame),
            None => Output::Send { to, frame },
        }));
    }

    fn role_changed(&mut self, role: consensus::Role, term: rafty_types::Term, leader: Option<MemberId>) {
        let answers_end = self.now + self.settings().election_max * ALIVE_FOR_TIMEOUTS;
        self.requests.leader_changed(leader, answers_end);
        self.duties.term_changed();
        self.starts.proposal_over();
        self.digests.proposal_over();
        let role = format!("{role:?}").to_lowercase();
        self.out.push(Output::Event(Event::Role { role, term, leader }));
    }

    /// A proposal will not be answered by an entry of its own.
    pub(crate) fn proposal_lost(&mut self, proposer: Proposer, outcome: &ForwardOutcome) {
        let unknown = *outcome == ForwardOutcome::Unknown;
        match proposer {
            Proposer::Request(id) if unknown => {
                if !self.requests.try_again(id) {
                    self.end_request(id, Answer::Unknown);
                }
            }
            Proposer::Request(id) => self.requests.not_proposed(id, self.pause_until()),
            Proposer::Forward { from, request } => {
                let frame = Frame::Forwarded { request, outcome: outcome.clone() };
                self.out.push(Output::Send { to: from, frame });
            }
            Proposer::Duty(Duty::Round(id)) => self.round_proposal_lost(id),
            Proposer::Duty(Duty::Incarnations) => self.starts.proposal_over(),
            Proposer::Duty(Duty::Digests) => self.digests.proposal_over(),
            Proposer::Duty(Duty::Tenure | Duty::Seat) => self.duties.proposal_over(proposer),
        }
    }

    /// A tenure key the node can use, for tests and status.
    pub fn has_tenure_key(&self) -> bool {
        self.duties.key().is_some()
    }
}

fn ms_of(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// How long the leader waits before it proposes a change of membership again.
pub(crate) const RECONCILE_EVERY: Duration = Duration::from_millis(200);

impl TenureKey {
    pub(crate) fn id(&self) -> rafty_types::Digest {
        rafty_types::Digest::of(&self.rsa_public)
    }
}
