//! The shell around the node: it brings what happens to it, in one loop, and does what it says.
//!
//! Sockets, timers, the disk, threads and people meet here. The loop itself never waits for any of them: syncing,
//! heavy work and big transfers are elsewhere, and every queue into it is bounded.

use crate::clients::{ClientCall, ClientDesk};
use crate::copies;
use crate::deadline_timer::DeadlineTimer;
use crate::envelopes::{Envelopes, Spooled, broadcast};
use crate::machine::UserMachine;
use crate::member::MemberFile;
use crate::member_status::MemberStatus;
use crate::narrate::Narrator;
use crate::net::{JoinDecision, Net, NetEvent, NetEvents, RosterPeer, Sighting};
use crate::offers::Offer;
use crate::operator::listener::{Call, OperatorListener};
use crate::operator::{self, EnvelopeCounts, wall_ms};
use crate::persist::{Persister, SYNC_WITHIN, Synced, Unsynced};
use crate::seek::{self, Seeker};
use crate::state_worker::{DigestCache, StateDone, StateJob, StateWorker};
use crate::upkeep::Lateness;
use crate::watchdog::{Sign, Watchdog};
use crate::watchers::Watchers;
use crate::work::{Order, Report, WorkerContext, Workers};
use rafty_node::{Answer, Input, Knocks, Node, Output, RequestId};
use rafty_rounds::{EnvelopeHandle, Work, WorkResult};
use rafty_seal::{SignedHeader, Token};
use rafty_storage::SpoolHandle;
use rafty_types::{Epoch, Frame, Member, MemberId, PersistId, Rejection, Time, state_digest_statement};
use rafty_wire::JoinReply;
use rafty_wire::client::ClientToken;
use smol::Executor;
use smol::channel::{Receiver, Sender};
use smol::future::{FutureExt, pending, poll_fn};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many events may wait for the loop.
pub(crate) const QUEUE: usize = 4_096;
/// How many events the loop takes in at once; then it looks at its timer again.
const MAX_TOGETHER: usize = 128;
/// How long a stopping member waits for its leadership to be taken over.
const RETIRE_WITHIN: Duration = Duration::from_secs(3);
/// How long a newcomer's enrolment may take.
const JOIN_WITHIN: Duration = Duration::from_secs(20);

/// Something for the loop, from a thread or a task of this process.
pub(crate) enum LoopEvent {
    /// The sync thread.
    Synced(Synced),
    /// A worker thread.
    Reported(Report),
    /// The thread for the replicated state.
    StateDone(StateDone),
    /// A snapshot was sent, or not.
    SnapshotSent { to: MemberId, arrived: bool },
    /// How good the ways to the others are.
    Measured(Vec<rafty_consensus::Link>),
    /// Where this member can be reached now.
    Located(SocketAddr),
    /// Where members may be.
    Sighted(Vec<Sighting>),
    /// An envelope that a member would send.
    Offered(Box<Offer>),
    /// A person.
    Called(Call),
    /// The process shall end.
    Stop,
}

/// Everything the loop holds.
pub(crate) struct Shell<U: UserMachine> {
    pub(crate) executor: Arc<Executor<'static>>,
    pub(crate) started: Instant,
    pub(crate) me: MemberId,
    pub(crate) member: MemberFile,
    pub(crate) roster_notes: Sender<MemberFile>,
    pub(crate) node: Node<U>,
    pub(crate) net: Net,
    pub(crate) net_events: NetEvents,
    pub(crate) events: Receiver<LoopEvent>,
    pub(crate) loop_back: Sender<LoopEvent>,
    pub(crate) persister: Persister,
    pub(crate) unsynced: Unsynced,
    pub(crate) disk_hangs: bool,
    pub(crate) workers: Workers,
    pub(crate) state_worker: StateWorker,
    pub(crate) digests: DigestCache,
    pub(crate) context: Arc<WorkerContext>,
    pub(crate) narrator: Narrator,
    pub(crate) watchers: Watchers,
    /// Held so that its socket goes with the shell.
    pub(crate) _operator_listener: OperatorListener,
    pub(crate) client_calls: Receiver<ClientCall>,
    pub(crate) clients: ClientDesk,
    pub(crate) envelopes: Envelopes,
    pub(crate) envelope_counts: EnvelopeCounts,
    pub(crate) member_status: MemberStatus,
    pub(crate) delayed: BTreeMap<PersistId, Vec<(MemberId, Frame)>>,
    pub(crate) requests: BTreeMap<RequestId, PendingReply>,
    pub(crate) knocks: Knocks,
    pub(crate) seeker: Seeker,
    pub(crate) last_request: u64,
    pub(crate) trouble: Option<String>,
    /// Members that are in another epoch of the peer set, and in which.
    pub(crate) other_epochs: BTreeMap<MemberId, Epoch>,
    pub(crate) stopping: Option<Instant>,
    pub(crate) timer: DeadlineTimer,
    pub(crate) watchdog: Watchdog,
    pub(crate) lateness: Lateness,
}

/// Who waits for the answer to a request.
pub(crate) enum PendingReply {
    /// A person.
    Person(Call),
    /// A person who gets a token when the peer set knows it.
    Token(Call, Token),
    /// A newcomer.
    Newcomer(Sender<JoinDecision>),
    /// A person who gets a client's token when the peer set knows it.
    ClientToken(Call, ClientToken),
    /// A client of the dictionary.
    Client(ClientCall),
    /// A client whose token is not known here, or not yet.
    Stranger(ClientCall),
}

/// How the loop ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was asked to.
    Stopped,
    /// The peer set does not have it any more: in words.
    Removed(String),
    /// Its state differs from that of a majority: in words.
    Diverged(String),
    /// The node halted: why.
    Halted(String),
}

impl<U: UserMachine> Shell<U> {
    /// Runs until the member ends.
    pub(crate) async fn run(mut self) -> Ended {
        self.digest_if_stale();
        let ended = self.run_loop().await;
        if matches!(ended, Ended::Removed(_)) {
            self.tell_who_removed_it();
        }
        ended
    }

    async fn run_loop(&mut self) -> Ended {
        loop {
            self.watchdog.turn(Instant::now());
            let mut inputs = self.next().await;
            self.gather(&mut inputs);
            self.seek_if_leaderless();
            inputs.extend(self.look_at_disk());
            while !inputs.is_empty() {
                let outputs = self.node.handle_all(self.now(), std::mem::take(&mut inputs));
                // Before a leader is answered, which may send a snapshot then.
                self.net.follow(self.node.consensus().leader());
                for output in outputs {
                    match self.perform(output) {
                        Ok(next) => inputs.extend(next),
                        Err(ended) => return ended,
                    }
                }
            }
            if self.has_retired() {
                return Ended::Stopped;
            }
            if self.member_status.is_removed(self.started.elapsed(), self.is_gone()) {
                return Ended::Removed("the other members do not let this one in".into());
            }
        }
    }

    /// Whether this member has applied its own removal.
    fn is_gone(&self) -> bool {
        let control = self.node.state().control();
        control.initialised() && control.member(self.me).is_none()
    }

    pub(crate) fn now(&self) -> Time {
        Time::since_start(self.started.elapsed())
    }

    /// Waits for whatever comes first and says what it means for the node.
    async fn next(&mut self) -> Vec<Input> {
        let deadline = self.node.deadline().map(|deadline| self.started + deadline.elapsed());
        let timer = &mut self.timer;
        let timer = async {
            match deadline {
                Some(deadline) => poll_fn(|context| timer.poll_at(deadline, context)).await,
                None => pending().await,
            }
            Woken::Timer
        };
        let net = async { self.net_events.recv().await.map_or(Woken::Ended, Woken::Net) };
        let own = async { self.events.recv().await.map_or(Woken::Ended, Woken::Own) };
        let client = async { self.client_calls.recv().await.map_or(Woken::Ended, Woken::Client) };
        // The timer is asked first: heartbeats go out however much comes in. Clients are asked last.
        match timer.or(own).or(net).or(client).await {
            Woken::Timer => {
                self.lateness.note(deadline.map_or(Duration::ZERO, |deadline| deadline.elapsed()));
                vec![Input::Tick]
            }
            Woken::Ended => vec![Input::Tick],
            Woken::Net(event) => self.net_said(event).into_iter().collect(),
            Woken::Own(event) => self.on_event(event),
            Woken::Client(call) => self.client_called(call).into_iter().collect(),
        }
    }

    /// Adds what else has happened already, so that it is done together.
    fn gather(&mut self, inputs: &mut Vec<Input>) {
        for _ in 0..MAX_TOGETHER {
            if let Ok(event) = self.events.try_recv() {
                inputs.extend(self.on_event(event));
            } else if let Some(event) = self.net_events.try_recv() {
                inputs.extend(self.net_said(event));
            } else if let Ok(call) = self.client_calls.try_recv() {
                inputs.extend(self.client_called(call));
            } else {
                return;
            }
        }
    }

    fn seek_if_leaderless(&mut self) {
        let has_leader = self.node.consensus().leader().is_some();
        let Some(look) = self.seeker.due(has_leader, self.now()) else { return };
        let report = self.loop_back.clone();
        let look = async move {
            let found = smol::unblock(move || look.around()).await;
            // Closed only when the loop has ended.
            let _ = report.send(LoopEvent::Sighted(found)).await;
        };
        self.executor.spawn(look).detach();
    }

    fn note_last_seen(&mut self) {
        let Some(seen) = self.seeker.news(&self.net, self.node.advertised_names()) else { return };
        let dir = self.context.dir.clone();
        self.executor.spawn(smol::unblock(move || seek::write(&dir, &seen))).detach();
    }

    fn net_said(&mut self, event: NetEvent) -> Option<Input> {
        match event {
            NetEvent::Frame { from, frame } => Some(Input::Frame { from, frame }),
            NetEvent::Envelope { from, header, handle, .. } => {
                self.envelope_arrived(from, &header, SpoolHandle(handle))
            }
            NetEvent::Arrival { from, header, arrival } => {
                let content = SignedHeader::decode(&header).ok()?.header().label.content;
                Some(Input::Arrival { from, content, arrival })
            }
            NetEvent::Snapshot { from, message, data } => {
                Some(Input::Snapshot { from, message: Box::new(message), data })
            }
            NetEvent::Connected(member) => {
                self.other_epochs.remove(&member);
                self.member_status.let_in(member);
                None
            }
            NetEvent::Disconnected(member) => {
                self.member_status.cut_off(member);
                Some(Input::Unreachable(member))
            }
            NetEvent::Refused(member) => {
                self.member_status.refused(member, self.started.elapsed());
                None
            }
            NetEvent::OtherEpoch { member, epoch } => {
                self.met_other_epoch(member, epoch);
                None
            }
            NetEvent::NotSpooled { from, why } => {
                self.narrator
                    .dropped(from, &format!("the disk cannot keep it: {why}; `check` says what helps"));
                None
            }
            NetEvent::Join { enrolment, reply } => self.enrol(enrolment, reply),
        }
    }

    fn envelope_arrived(&mut self, from: MemberId, header: &[u8], body: SpoolHandle) -> Option<Input> {
        let head = match SignedHeader::decode(header) {
            Ok(head) => head,
            Err(error) => {
                // A file that stays behind goes at the next start.
                let _ = self.context.spool.remove(body);
                self.narrator.dropped(from, &error.to_string());
                return None;
            }
        };
        let header = Box::new(head.header().clone());
        self.envelope_counts.received += 1;
        self.envelope_counts.for_me += u64::from(header.is_for(self.me));
        let handle = self.envelopes.name(Arc::new(Spooled::new(head, self.context.spool.clone(), body)));
        Some(Input::Envelope { from, header, handle })
    }

    fn enrol(&mut self, enrolment: rafty_types::Enrolment, reply: Sender<JoinDecision>) -> Option<Input> {
        let control = self.node.state().control();
        let is_known = control.tokens().contains_key(&enrolment.token)
            || control.member_by_key(&enrolment.statement.key).is_some();
        if let Some(after) = self.knocks.wait(self.now(), enrolment.token, is_known) {
            let _ = reply.try_send(JoinDecision::Busy { after });
            return None;
        }
        let command = rafty_types::Command::Control(rafty_types::ControlCommand::Enrol(enrolment));
        let request = rafty_node::Request::Commit { client: None, session: None, command };
        Some(self.request(PendingReply::Newcomer(reply), request, JOIN_WITHIN))
    }

    pub(crate) fn request(
        &mut self,
        pending: PendingReply,
        request: rafty_node::Request,
        within: Duration,
    ) -> Input {
        let input = self.own_request(request, within);
        self.requests.insert(RequestId(self.last_request), pending);
        input
    }

    /// A request whose answer nobody waits for.
    pub(crate) fn own_request(&mut self, request: rafty_node::Request, within: Duration) -> Input {
        self.last_request += 1;
        Input::Request {
            id: RequestId(self.last_request),
            request: Box::new(request),
            until: self.now() + within,
        }
    }

    fn on_event(&mut self, event: LoopEvent) -> Vec<Input> {
        match event {
            LoopEvent::Synced(Synced::UpTo(id)) => {
                self.unsynced.synced(id);
                self.send_delayed(id);
                vec![Input::Persisted(id)]
            }
            LoopEvent::Synced(Synced::Failing(why)) => self.disk_fails(why),
            LoopEvent::Synced(Synced::Healed) => self.disk_works(),
            LoopEvent::Reported(report) => vec![self.reported(report)],
            LoopEvent::StateDone(done) => self.state_done(done).into_iter().collect(),
            LoopEvent::SnapshotSent { to, arrived } => vec![Input::SnapshotSent { to, arrived }],
            LoopEvent::Measured(links) => {
                let looked = [Input::Measured(links), Input::WallClock(wall_ms())];
                looked.into_iter().chain(self.told_level()).collect()
            }
            LoopEvent::Located(address) => {
                self.note_last_seen();
                self.located(address).into_iter().collect()
            }
            LoopEvent::Sighted(sightings) => {
                self.seeker.looked(self.now());
                self.net.look_at(&sightings);
                Vec::new()
            }
            LoopEvent::Offered(offer) => {
                self.offered(&offer);
                Vec::new()
            }
            LoopEvent::Called(call) => self.called(call),
            LoopEvent::Stop => {
                self.watchdog.give(Sign::Stopping);
                self.stopping.get_or_insert_with(Instant::now);
                vec![Input::Retire(true)]
            }
        }
    }

    /// A disk that hangs says nothing: it is noticed by what it does not say, and by what it says after all.
    fn look_at_disk(&mut self) -> Vec<Input> {
        match (self.unsynced.is_overdue(self.now()), self.disk_hangs) {
            (true, false) if self.trouble.is_none() => {
                self.disk_hangs = true;
                self.disk_fails(format!("a sync takes longer than {SYNC_WITHIN:?}"))
            }
            (false, true) => self.disk_works(),
            _ => Vec::new(),
        }
    }

    fn disk_fails(&mut self, why: String) -> Vec<Input> {
        self.narrator
            .say(&format!("the disk does not take anything: {why}; nothing is acknowledged until it does"));
        self.trouble = Some(why.clone());
        vec![Input::DiskTrouble(Some(why)), Input::Retire(true)]
    }

    fn disk_works(&mut self) -> Vec<Input> {
        if self.trouble.take().is_some() {
            self.narrator.say("the disk works again");
        }
        self.disk_hangs = false;
        vec![Input::DiskTrouble(None), Input::Retire(self.stopping.is_some())]
    }

    /// What was to wait for this batch, or for one before it, can go.
    fn send_delayed(&mut self, id: PersistId) {
        let later = self.delayed.split_off(&PersistId(id.0 + 1));
        for (to, frame) in std::mem::replace(&mut self.delayed, later).into_values().flatten() {
            self.net.send(to, &frame);
        }
    }

    fn reported(&mut self, report: Report) -> Input {
        match report {
            Report::Done(id, result) => Input::WorkDone { id, result },
            Report::Sealed(id, envelope) => {
                let envelope = self.envelopes.name(envelope);
                Input::WorkDone { id, result: WorkResult::Sealed { envelope } }
            }
            Report::TenureKey(key) => Input::TenureKey(key),
        }
    }

    /// Whether a stopping member may end: it does not lead any more, nobody else could, or it has waited long enough.
    fn has_retired(&self) -> bool {
        let leads = self.node.consensus().role() == rafty_consensus::Role::Leader;
        let alone = self.node.consensus().membership().voters == [self.me];
        self.stopping.is_some_and(|since| !leads || alone || since.elapsed() >= RETIRE_WITHIN)
    }

    fn perform(&mut self, output: Output) -> Result<Option<Input>, Ended> {
        match output {
            Output::Send { to, frame } => self.net.send(to, &frame),
            Output::SendAfter(id, to, frame) => self.delayed.entry(id).or_default().push((to, frame)),
            Output::Persist(id, batch) => {
                self.clients.appended(batch.entries.len());
                self.unsynced.given(id, self.now());
                self.persister.write(id, *batch);
            }
            Output::SendSnapshot { to, message, data } => self.send_snapshot(to, *message, data),
            Output::TakeSnapshot(state) => return Ok(self.order_of_state(StateJob::TakeSnapshot(state))),
            Output::ReadSnapshot(snapshot) => {
                return Ok(self.order_of_state(StateJob::ReadSnapshot(snapshot)));
            }
            Output::DigestState { mark, state } => {
                return Ok(self.order_of_state(StateJob::DigestMark(mark, state)));
            }
            Output::Reply { id, answer } => return Ok(self.answered(id, answer)),
            Output::Work { id, work } => return Ok(self.order(id, *work)),
            Output::MakeTenureKey => self.workers.make_tenure_key(),
            Output::ForgetTenureKeys { except } => self.context.tenure_keys.forget(except),
            Output::SendEnvelope { to, handle } => return Ok(self.send_envelope(&to, handle)),
            Output::DropEnvelope(handle) => self.envelopes.forget(handle),
            Output::WithdrawEnvelope(handle) => self.envelopes.withdraw(handle),
            Output::Roster(members) => {
                let peers: Vec<_> = members.iter().map(roster_peer).collect();
                self.net.set_roster(self.me, &peers);
                let before = self.seeker.take_before();
                if !before.is_empty() {
                    self.net.look_at(&before);
                }
                self.member_status.known(self.me, &peers);
                self.note_roster(members);
            }
            Output::UserApplied { index, command } => return Ok(self.entry_changed(index, &command)),
            Output::UserRestored => self.entries_restored(),
            Output::NoCopy => copies::take_as_original(&self.executor, &self.context.dir),
            Output::Event(event) => {
                copies::note_anomaly(&self.context.dir, self.me, &event, self.node.has_diverged());
                self.narrator.tell(&event);
            }
            Output::Dropped { from, reason } => self.narrator.dropped(from, &reason),
            Output::Halt(why) => return Err(self.halted(why)),
        }
        Ok(None)
    }

    fn halted(&self, why: String) -> Ended {
        if self.node.has_diverged() {
            return Ended::Diverged(why);
        }
        if self.is_gone() { Ended::Removed(why) } else { Ended::Halted(why) }
    }

    /// Who asked this member to remove itself gets no other answer: the node that would give it has ended.
    fn tell_who_removed_it(&mut self) {
        for pending in std::mem::take(&mut self.requests).into_values() {
            match pending {
                PendingReply::Person(call) if matches!(call.request, operator::Request::Revoke { member } if member == self.me) =>
                {
                    call.answer(&operator::Reply::Done { index: None });
                }
                _ => {}
            }
        }
    }

    fn note_roster(&mut self, members: Vec<Member>) {
        if self.member.members != members {
            self.member.members = members;
            // When too many wait, a later change writes all of it.
            let _ = self.roster_notes.try_send(self.member.clone());
        }
    }

    fn order(&mut self, id: rafty_rounds::WorkId, work: Work) -> Option<Input> {
        let about = match &work {
            Work::OpenUpdate { envelope, label, .. } | Work::OpenModel { envelope, label, .. } => {
                Some((*envelope, label.sender))
            }
            _ => None,
        };
        let envelope = about.and_then(|(handle, _)| self.envelopes.get(handle));
        let members = self.node.state().control().members();
        let sender_key = about.and_then(|(_, sender)| members.get(&sender)).map(|member| member.key);
        let refused = self.workers.order(Order { id, work, envelope, sender_key }).err()?;
        Some(self.reported(refused))
    }

    fn order_of_state(&mut self, job: StateJob) -> Option<Input> {
        let done = self.state_worker.order(job)?;
        self.state_done(done)
    }

    fn state_done(&mut self, done: StateDone) -> Option<Input> {
        match done {
            StateDone::SnapshotTaken { index, data } => Some(Input::SnapshotTaken { index, data }),
            StateDone::SnapshotFailed { index } => Some(Input::SnapshotFailed { index }),
            StateDone::MarkFailed { mark } => Some(Input::StateDigestFailed { mark }),
            StateDone::DigestFailed => {
                self.digests.failed(Instant::now());
                None
            }
            StateDone::SnapshotRead(state) => Some(Input::SnapshotRead(state)),
            StateDone::MarkDigested { mark, digest } => {
                let set = self.node.state().control().set();
                let statement = state_digest_statement(set, self.me, mark, digest);
                let signature = self.context.secrets.identity.sign(&statement);
                Some(Input::StateDigested { mark, digest, signature })
            }
            StateDone::Digest { index, digest, took } => {
                self.digests.made(index, digest, took, Instant::now());
                None
            }
        }
    }

    /// Has the state digested, unless the newest digest is of this state, or was made just now.
    pub(crate) fn digest_if_stale(&mut self) {
        if self.digests.begin(self.node.state().applied(), Instant::now()) {
            // A digest is no input of the node.
            let _ = self.order_of_state(StateJob::Digest(self.node.freeze()));
        }
    }

    fn send_snapshot(&self, to: MemberId, message: rafty_types::Message, data: Arc<[u8]>) {
        let sent = self.net.send_snapshot(to, message, data);
        let report = self.loop_back.clone();
        let arrived = async move {
            let arrived = sent.taken().await;
            // Closed only when the loop has ended.
            let _ = report.send(LoopEvent::SnapshotSent { to, arrived }).await;
        };
        self.executor.spawn(arrived).detach();
    }

    /// Sends an envelope to others. A copy for this member comes back at once.
    fn send_envelope(&mut self, to: &[MemberId], handle: EnvelopeHandle) -> Option<Input> {
        let envelope = self.envelopes.get(handle)?;
        let others = to.iter().copied().filter(|member| *member != self.me).collect();
        self.executor.spawn(broadcast(self.net.clone(), envelope.clone(), others)).detach();
        let header = envelope.head.header();
        let header = (to.contains(&self.me) && header.is_for(self.me)).then(|| Box::new(header.clone()))?;
        Some(Input::Envelope { from: self.me, header, handle: self.envelopes.name(envelope) })
    }

    fn answered(&mut self, id: RequestId, answer: Answer) -> Option<Input> {
        match self.requests.remove(&id) {
            Some(PendingReply::Person(call)) => self.answer_person(&call, answer),
            Some(PendingReply::Token(call, token)) => self.hand_out_token(&call, &token, answer),
            Some(PendingReply::Newcomer(reply)) => {
                let decision = JoinDecision::Reply(self.join_reply(answer));
                let _ = reply.try_send(decision);
            }
            Some(PendingReply::ClientToken(call, token)) => self.hand_out_client_token(&call, &token, answer),
            Some(PendingReply::Client(call)) => return self.answer_client(call, answer),
            Some(PendingReply::Stranger(call)) => return self.stranger_looked_up(call, answer),
            None => {}
        }
        None
    }

    fn join_reply(&self, answer: Answer) -> JoinReply {
        use rafty_types::ControlResult::{Done, Rejected};
        let reason = match answer {
            Answer::Control(Done, index) => {
                let control = self.node.state().control();
                if control.member(MemberId(index.0)).is_none() {
                    let reason = "this member is behind and cannot tell who the others are; ask for a new token and \
                                  join at another one";
                    return JoinReply::Refused { reason: reason.into() };
                }
                return JoinReply::Granted {
                    member: MemberId(index.0),
                    cluster: control.cluster(),
                    name: control.name().to_string(),
                    settings: control.settings().clone(),
                    members: control.members().values().cloned().collect(),
                };
            }
            Answer::Control(Rejected(Rejection::Renamed(member)), _) => return JoinReply::Renamed { member },
            Answer::Control(Rejected(why), _) => format!("{why}; nothing was changed"),
            Answer::NoLeader | Answer::Busy | Answer::Redirect(_) | Answer::ChangePending => {
                "the peer set has no leader now; nothing was changed; try again".into()
            }
            Answer::Unknown | Answer::User(..) | Answer::Readable(_) => {
                "leadership changed on the way; it is not known whether the token was used; try again"
                    .to_string()
            }
        };
        JoinReply::Refused { reason }
    }
}

enum Woken {
    Timer,
    Net(NetEvent),
    Own(LoopEvent),
    Client(ClientCall),
    Ended,
}

pub(crate) fn roster_peer(member: &Member) -> RosterPeer {
    RosterPeer { id: member.id, key: member.key, addresses: member.addresses.clone() }
}
