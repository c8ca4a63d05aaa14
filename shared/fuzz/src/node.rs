//! What members say to a member: frames, envelopes and snapshots, to a whole node that leads, follows, trains or
//! aggregates.
//!
//! They come from members, authenticated, so anything may be in them but the sender. Orders to workers are carried out
//! as a sound shell does, well or not at all; nothing is trained and nothing is sealed.

use crate::raft;
use crate::choices::Choices;
use crate::world::{CLUSTER, founded, identity, issued, rsa_key};
use rafty_dictionary::{Entries, Replicated};
use rafty_node::{Boot, Input, Node, Output, Request, RequestId, TenureKey};
use rafty_rounds::{Arrival, EnvelopeHandle, Work, WorkId, WorkResult};
use rafty_types::{
    Command, ControlCommand, Digest, Entry, EnvelopeHeader, EnvelopeKind, Frame, HardState, Label, MemberId,
    Membership, Message, MessageKind, Metrics, Payload, MemberKind, PersistId, Proposal, Recipient, Refusal,
    RestCause, Settings, Snapshot, SnapshotMeta, Stamp, Term, Time, TokenRecord, state_digest_statement,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

const ME: MemberId = MemberId(1);
/// Steps that follow from one step of the fuzzer at most: what a shell answers by itself.
const MOST_ANSWERS: usize = 64;
/// Requests under way at most.
const MOST_REQUESTS: u64 = 64;

/// The first byte chooses the peer set; then steps.
pub fn frames(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let Some(choice) = choices.next() else { return };
    let mut shell = Shell::new(choice);
    while let Some(step) = choices.next() {
        if let Some(input) = shell.input(step, &mut choices) {
            shell.handle(input);
        }
        if shell.halted {
            break;
        }
    }
    assert_eq!(shell.node.state().broken_invariant(), None);
    let _ = shell.node.status(None);
}

/// What surrounds a node, and what the node has promised it.
struct Shell {
    node: Node<Entries>,
    now: Time,
    newest_batch: u64,
    orders: BTreeMap<WorkId, Work>,
    /// Envelopes that the node may still name.
    spool: BTreeSet<EnvelopeHandle>,
    last_handle: u64,
    asked: u64,
    open_requests: BTreeSet<RequestId>,
    /// Whether the other members vote for this one and take what it appends.
    obeyed: bool,
    halted: bool,
}

impl Shell {
    fn new(choice: u8) -> Self {
        let (snapshot, hard_state) = disk(if choice & 1 > 0 { 3 } else { 1 });
        let boot = Boot {
            advertised_name: None,
            me: ME,
            hard_state,
            snapshot,
            entries: Vec::new(),
            told: Vec::new(),
            pending_update: None,
            held: Vec::new(),
            wall_ms: 1_700_000_000_000,
            settings: Settings::default(),
            trains: choice & 2 == 0,
            incarnations: Default::default(),
            suspected: false,
            address: None,
            signer: Arc::new(identity(ME)),
            seed: u64::from(choice),
        };
        let node = Node::new(boot, Entries::default(), Time::ZERO).expect("a sound disk");
        Self {
            node,
            now: Time::ZERO,
            newest_batch: 0,
            orders: BTreeMap::new(),
            spool: BTreeSet::new(),
            last_handle: 0,
            asked: 0,
            open_requests: BTreeSet::new(),
            obeyed: choice & 4 == 0,
            halted: false,
        }
    }

    fn input(&mut self, step: u8, choices: &mut Choices<'_>) -> Option<Input> {
        Some(match step % 32 {
            0..6 => self.drawn_frame(choices)?,
            6..11 => {
                let kind = KINDS[usize::from(choices.below(12))];
                let message = raft::message(self.node.consensus(), kind, choices);
                self.said_by(message.from, Frame::Raft(Box::new(message)))?
            }
            11 => {
                let message = raft::message(self.node.consensus(), MessageKind::Snapshot, choices);
                let data = if choices.is() { disk(3).0.data } else { [1; 8].into() };
                Input::Snapshot { from: message.from, message: Box::new(message), data }
            }
            12..15 => self.envelope(choices)?,
            15..19 => self.report(choices)?,
            19..22 => self.request(choices)?,
            22 => Input::SnapshotSent { to: choices.member(), arrived: choices.is() },
            23 => Input::Unreachable(choices.member()),
            24 => Input::Transfer(choices.member()),
            25 => Input::Retire(choices.is()),
            26 => Input::Watch(choices.is()),
            27 => Input::Persisted(PersistId(choices.number(self.newest_batch).min(self.newest_batch))),
            28 => {
                self.now = self.now + Duration::from_millis(u64::from(choices.byte()) * 100);
                Input::Tick
            }
            29 => Input::Persisted(PersistId(self.newest_batch)),
            30 => {
                let arrival = if choices.is() { Arrival::Begins } else { Arrival::Breaks };
                Input::Arrival { from: choices.member(), content: Digest([choices.byte(); 32]), arrival }
            }
            _ => {
                self.now = self.node.deadline().unwrap_or(self.now).max(self.now);
                Input::Tick
            }
        })
    }

    /// The transport knows members only.
    fn said_by(&self, from: MemberId, frame: Frame) -> Option<Input> {
        let known = self.node.state().control().members().contains_key(&from) && from != ME;
        known.then_some(Input::Frame { from, frame })
    }

    /// Any frame, its numbers made those of now more often than not.
    fn drawn_frame(&mut self, choices: &mut Choices<'_>) -> Option<Input> {
        let (from, exact) = (choices.member(), choices.is());
        let (mut frame, rest) = postcard::take_from_bytes::<Frame>(choices.0).ok()?;
        choices.0 = rest;
        if exact {
            self.make_current(&mut frame);
        }
        self.said_by(from, frame)
    }

    fn make_current(&self, frame: &mut Frame) {
        let control = self.node.state().control();
        let Some(active) = control.active_run() else { return };
        let open = active.open.as_ref();
        match frame {
            Frame::Announce { run, version, model } | Frame::FetchModel { run, version, model } => {
                (*run, *version) = (active.id, active.version);
                *model = active.model.unwrap_or(*model);
            }
            Frame::Progress { run, round, .. } => {
                *run = active.id;
                *round = open.map_or(*round, |open| open.round);
            }
            Frame::Verdict { tenure, run, round, attempt, .. } => {
                let (Some(open), Some(current)) = (open, control.tenure()) else { return };
                (*tenure, *run, *round, *attempt) = (current.tenure, active.id, open.round, open.attempt);
            }
            _ => {}
        }
    }

    fn envelope(&mut self, choices: &mut Choices<'_>) -> Option<Input> {
        let control = self.node.state().control();
        let (run, tenure) = (control.active_run()?, control.tenure()?);
        let open = run.open.as_ref();
        let from = choices.member();
        if !control.members().contains_key(&from) {
            return None;
        }
        let off = |choices: &mut Choices<'_>, number: u64| if choices.byte() > 200 { number + 1 } else { number };
        let label = Label {
            set: rafty_types::SetId::first(CLUSTER),
            tenure: rafty_types::Tenure(off(choices, tenure.tenure.0)),
            run: run.id,
            round: rafty_types::Round(off(choices, open.map_or(run.round.0, |open| open.round.0))),
            attempt: rafty_types::Attempt(off(choices, open.map_or(0, |open| open.attempt.0))),
            version: rafty_types::Version(choices.number(run.version.0 + 4).saturating_sub(4)),
            kind: [EnvelopeKind::Update, EnvelopeKind::Publication, EnvelopeKind::Model]
                [usize::from(choices.below(3))],
            content: digest(choices.byte()),
            segment: 0,
            segments: 1,
            sender: if choices.byte() > 200 { choices.member() } else { from },
        };
        let to = if choices.byte() > 200 { choices.member() } else { ME };
        let recipient = Recipient { member: to, key_id: Digest::default(), wrapped_key: vec![0; 384] };
        let header = Box::new(EnvelopeHeader {
            label,
            sender_key: identity(from).key(),
            content_key_hash: Digest::default(),
            nonce: [0; 7],
            ciphertext_len: 16,
            ciphertext_digest: Digest::default(),
            recipients: vec![recipient],
        });
        Some(Input::Envelope { from, header, handle: self.spooled() })
    }

    fn spooled(&mut self) -> EnvelopeHandle {
        self.last_handle += 1;
        self.spool.insert(EnvelopeHandle(self.last_handle));
        EnvelopeHandle(self.last_handle)
    }

    /// A worker reports on the oldest order, or on a later one.
    fn report(&mut self, choices: &mut Choices<'_>) -> Option<Input> {
        let which = usize::from(choices.below(4)).min(self.orders.len().saturating_sub(1));
        let id = *self.orders.keys().nth(which)?;
        let work = self.orders.remove(&id)?;
        let fate = choices.byte();
        let result = if fate > 220 { WorkResult::Failed("drawn".into()) } else { self.done(&work, fate) };
        Some(Input::WorkDone { id, result })
    }

    fn done(&mut self, work: &Work, fate: u8) -> WorkResult {
        match work {
            Work::DeriveInitial { .. } | Work::Combine { .. } => WorkResult::Model { digest: digest(fate) },
            Work::Train { .. } if fate > 210 => WorkResult::NoData,
            Work::Train { .. } if fate > 200 => {
                WorkResult::HeldUp { cause: RestCause::DiskFull, reason: "drawn".into() }
            }
            Work::Train { .. } => {
                WorkResult::Trained { update: digest(fate), num_examples: u64::from(fate) + 1 }
            }
            Work::SealUpdate { .. } | Work::SealModel { .. } => {
                WorkResult::Sealed { envelope: self.spooled() }
            }
            Work::OpenUpdate { .. } | Work::OpenModel { .. } if fate > 200 => {
                WorkResult::Refused(Refusal::NotAuthentic)
            }
            Work::OpenUpdate { .. } => {
                WorkResult::Opened { num_examples: u64::from(fate) + 1, metrics: Metrics::default() }
            }
            Work::OpenModel { label, .. } => WorkResult::Model { digest: label.content },
            Work::LookAgain { .. }
            | Work::StopTraining { .. }
            | Work::Adopt { .. }
            | Work::DropModels { .. }
            | Work::DropUpdate { .. }
            | Work::ForgetAttempt { .. } => WorkResult::Done,
        }
    }

    fn request(&mut self, choices: &mut Choices<'_>) -> Option<Input> {
        let request = match choices.below(4) {
            0 => Request::Read,
            1 => Request::Commit { client: None, session: None, command: Command::Control(run_submitted()) },
            2 => Request::CommitHere { client: None, session: None, command: self.command(choices)? },
            _ => Request::Commit { client: None, session: None, command: self.command(choices)? },
        };
        self.asked += 1;
        if self.asked > MOST_REQUESTS {
            return None;
        }
        let id = RequestId(self.asked);
        self.open_requests.insert(id);
        let until = self.now + Duration::from_millis(u64::from(choices.byte()) * 50);
        Some(Input::Request { id, request: Box::new(request), until })
    }

    fn command(&mut self, choices: &mut Choices<'_>) -> Option<Command> {
        let (command, rest) = postcard::take_from_bytes(choices.0).ok()?;
        choices.0 = rest;
        Some(command)
    }

    /// Tells the node what happened, and whatever follows from what it says.
    fn handle(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        for _ in 0..MOST_ANSWERS {
            let Some(input) = inputs.pop_front() else { break };
            for output in self.node.handle(self.now, input) {
                inputs.extend(self.obey(output));
            }
        }
    }

    fn obey(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::Persist(id, _) => {
                assert_eq!(id.0, self.newest_batch + 1, "batches are numbered one after another");
                self.newest_batch = id.0;
                return None;
            }
            Output::Send { to, frame } | Output::SendAfter(_, to, frame) => {
                assert_ne!(to, ME, "nothing is sent to oneself");
                let Frame::Raft(message) = frame else { return None };
                let answer = self.obeyed.then(|| agreed(&message)).flatten()?;
                return self.said_by(to, Frame::Raft(Box::new(answer)));
            }
            Output::Reply { id, .. } => {
                assert!(self.open_requests.remove(&id), "{id:?} was answered twice, or never asked");
            }
            Output::Work { id, work } => {
                if let Work::OpenUpdate { envelope, .. } | Work::OpenModel { envelope, .. } = &*work {
                    assert!(self.spool.contains(envelope), "{envelope:?} was dropped before it was opened");
                }
                assert!(self.orders.insert(id, *work).is_none(), "{id:?} names two orders");
            }
            Output::TakeSnapshot(state) => {
                return Some(Input::SnapshotTaken { index: state.index(), data: state.snapshot() });
            }
            Output::ReadSnapshot(snapshot) => return Some(Input::SnapshotRead(snapshot.read())),
            Output::DigestState { mark, state } => {
                let digest = state.digest();
                let statement = state_digest_statement(rafty_types::SetId::first(CLUSTER), ME, mark, digest);
                let signature = identity(ME).sign(&statement);
                return Some(Input::StateDigested { mark, digest, signature });
            }
            Output::MakeTenureKey => return Some(Input::TenureKey(self.tenure_key())),
            Output::SendEnvelope { handle, .. } => assert!(self.spool.contains(&handle)),
            Output::DropEnvelope(handle) | Output::WithdrawEnvelope(handle) => {
                assert!(self.spool.remove(&handle), "{handle:?} was dropped twice");
            }
            Output::Halt(_) => self.halted = true,
            _ => {}
        }
        None
    }

    fn tenure_key(&mut self) -> TenureKey {
        self.last_handle += 1;
        TenureKey { rsa_public: rsa_key(1_000 + self.last_handle) }
    }
}

const KINDS: [MessageKind; 12] = [
    MessageKind::Append,
    MessageKind::AppendResponse,
    MessageKind::RequestVote,
    MessageKind::RequestVoteResponse,
    MessageKind::RequestPreVote,
    MessageKind::RequestPreVoteResponse,
    MessageKind::Heartbeat,
    MessageKind::HeartbeatResponse,
    MessageKind::TransferLeader,
    MessageKind::TimeoutNow,
    MessageKind::ReadIndex,
    MessageKind::ReadIndexResponse,
];

/// What a willing member answers.
fn agreed(message: &Message) -> Option<Message> {
    let (to, from) = (message.from, message.to);
    match message.kind {
        MessageKind::Append => {
            let index = message.entries.last().map_or(message.index, |entry| entry.index);
            let answer = Message { kind: MessageKind::AppendResponse, to, from, index, ..message.clone() };
            Some(Message { entries: Vec::new(), ..answer })
        }
        MessageKind::Heartbeat => {
            Some(Message { kind: MessageKind::HeartbeatResponse, to, from, ..message.clone() })
        }
        _ => raft::grant(message),
    }
}

fn digest(number: u8) -> Digest {
    Digest([number % 8; 32])
}

fn run_submitted() -> ControlCommand {
    ControlCommand::RunSubmitted(rafty_types::RunSpec {
        name: "digits".into(),
        task: "a task".into(),
        rounds: 3,
        seed: 7,
        strategy: rafty_types::Strategy::FedAvg,
    })
}

/// The disk of a peer set whose members all stand in its first snapshot.
fn disk(members: u8) -> (Snapshot, HardState) {
    static DISKS: OnceLock<[(Snapshot, HardState); 2]> = OnceLock::new();
    let [alone, three] = DISKS.get_or_init(|| [made(1), made(3)]);
    if members == 1 { alone.clone() } else { three.clone() }
}

fn made(members: u64) -> (Snapshot, HardState) {
    let mut state = founded();
    let token = TokenRecord {
        id: [1; 16],
        public_key: identity(MemberId(0)).key(),
        role: MemberKind::Operator,
        may_lead: true,
        ttl_ms: 3_600_000,
        uses: 9,
    };
    apply(&mut state, ControlCommand::TokenCreated(token.clone()));
    for _ in 1..members {
        let id = MemberId(state.applied().next().0);
        let enrolment = enrolment(id, token.id);
        apply(&mut state, ControlCommand::Enrol(enrolment));
    }
    let others: Vec<_> = state.control().desired_learners().into_iter().collect();
    // Seats are given in pairs.
    let give = others[..others.len() / 2 * 2].to_vec();
    if !give.is_empty() {
        apply(&mut state, ControlCommand::SeatChanged { give, take: Vec::new() });
    }
    let control = state.control();
    let (voters, learners) = (control.desired_voters(), control.desired_learners());
    let (voters, learners) = (voters.into_iter().collect(), learners.into_iter().collect());
    let membership = Membership { voters, learners, ..Membership::default() };
    let meta = SnapshotMeta { index: state.applied(), term: Term(1), membership };
    let data: Arc<[u8]> = state.snapshot().into();
    (Snapshot { meta, data }, HardState { term: Term(1), voted_for: None, commit: state.applied() })
}

pub(crate) fn enrolment(id: MemberId, token: [u8; 16]) -> rafty_types::Enrolment {
    let statement = rafty_types::EnrolmentStatement {
        set: rafty_types::SetId::first(CLUSTER),
        key: identity(id).key(),
        rsa_public: rsa_key(2),
        addresses: vec![([10, 0, 0, 2], 7_000).into()],
        exporter: [identity(id).key().0[0]; 32],
    };
    let bytes = statement.to_bytes();
    rafty_types::Enrolment {
        token,
        own_signature: identity(id).sign(&bytes),
        token_signature: identity(MemberId(0)).sign(&bytes),
        statement,
    }
}

fn apply(state: &mut Replicated<Entries>, command: ControlCommand) {
    let (index, term) = (state.applied().next(), Term(1));
    let command = Command::Control(command);
    let proposal = Proposal {
        origin: ME,
        term,
        stamp: Stamp::Elapsed { elapsed_ms: 0, wall_ms: 1_700_000_000_000 },
        session: None,
        client: None,
        issue: issued(state, ME, &command),
        command,
    };
    let entry = Entry { index, term, payload: Payload::Command(proposal.encode().into()) };
    let applied = state.apply(&entry);
    let refused = matches!(
        &applied.outcome,
        Some(rafty_dictionary::Outcome::Control(rafty_types::ControlResult::Rejected(_), _)) | None
    );
    assert!(!refused, "{applied:?}");
}
