//! Nodes with their disks, on a network that delivers at once and a clock that a script moves.

use crate::show;
use rafty_dictionary::{Entries, Replicated, is_issued};
use rafty_node::{Boot, Input, Node, Output, Request, RequestId, TenureKey};
use rafty_rounds::{Work, WorkResult};
use rafty_seal::Identity;
use rafty_types::{
    Batch, ClusterId, Command, ControlCommand, Digest, Enrolment, EnrolmentStatement, Entry, Frame, Genesis,
    HardState, Incarnations, Index, Issue, IssueSerial, Member, MemberId, MemberKind, Membership, Message,
    MessageKind, Payload, PersistId, Proposal, SetId, Settings, Signature, Snapshot, SnapshotMeta, Stamp,
    Term, Time, TokenRecord, state_digest_statement,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::error::Error;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

const CLUSTER: ClusterId = ClusterId([7; 16]);
const FOUNDER: MemberId = MemberId(1);
/// The wall clock when a script begins, in milliseconds since 1970.
const WALL_MS: u64 = 1_700_000_000_000;
/// An index that nobody reaches.
const FAR: Index = Index(1_000_000);
/// Steps until what has not settled by then is said to never settle.
const MAX_STEPS: usize = 100_000;

#[derive(Clone, Default)]
struct Disk {
    hard_state: HardState,
    snapshot: Snapshot,
    entries: Vec<Entry>,
    incarnations: Incarnations,
}

#[derive(Default)]
pub(crate) struct Peer {
    node: Option<Node<Entries>>,
    disk: Disk,
    writing: BTreeMap<PersistId, Batch>,
    delayed: Vec<(PersistId, MemberId, Frame)>,
    roster: BTreeSet<MemberId>,
    told: Vec<rafty_types::Member>,
    pub(crate) hangs: bool,
    starts: u64,
    pub(crate) keys_made: u64,
}

#[derive(Default)]
pub(crate) struct Peers {
    now: Time,
    settings: Settings,
    peers: BTreeMap<MemberId, Peer>,
    /// What happens next, and to whom.
    agenda: VecDeque<(MemberId, Input)>,
    pub(crate) cut: BTreeSet<(MemberId, MemberId)>,
    makes_keys: bool,
    /// Who waits for a tenure key.
    want_keys: BTreeSet<MemberId>,
    requests: u64,
    /// The script's output so far.
    pub(crate) said: String,
}

/// The identity of the member that is enrolled as number `number`, the founder being 0.
fn identity(number: usize) -> Identity {
    Identity::from_secret_bytes(&[number as u8 + 1; 32])
}

/// A key of its own for each owner; nobody has the other half.
fn rsa_key(of: &str) -> Vec<u8> {
    let mut modulus = [0xff; 256];
    modulus[1..33].copy_from_slice(&rafty_types::Digest::of(of.as_bytes()).0);
    rafty_types::rsa_public_der(&modulus)
}

fn founder() -> Member {
    Member {
        id: FOUNDER,
        key: identity(0).key(),
        rsa_public: rsa_key("the founder"),
        role: MemberKind::Operator,
        may_lead: true,
        addresses: vec![([10, 0, 0, 1], 7_000).into()],
        seat: true,
        tenures: 0,
    }
}

fn genesis(settings: &Settings) -> Genesis {
    Genesis { cluster: CLUSTER, name: "script".into(), settings: settings.clone(), founder: founder() }
}

/// The id of the token.
const TOKEN: [u8; 16] = [1; 16];

/// A token that admits many, whose secret everybody here knows.
fn token(role: MemberKind, may_lead: bool) -> TokenRecord {
    TokenRecord { id: TOKEN, public_key: identity(200).key(), role, may_lead, ttl_ms: 36_000_000, uses: 100 }
}

fn enrolment(number: usize) -> Enrolment {
    let newcomer = identity(number);
    let statement = EnrolmentStatement {
        set: rafty_types::SetId::first(CLUSTER),
        key: newcomer.key(),
        rsa_public: rsa_key(&number.to_string()),
        addresses: vec![([10, 0, 0, number as u8 + 1], 7_000).into()],
        exporter: [number as u8; 32],
    };
    let bytes = statement.to_bytes();
    let (own_signature, token_signature) = (newcomer.sign(&bytes), identity(200).sign(&bytes));
    Enrolment { token: TOKEN, statement, own_signature, token_signature }
}

impl Peers {
    /// Founds a peer set; its newcomers may lead, or may not.
    pub(crate) fn found(
        &mut self,
        members: u64,
        tenure: Option<Duration>,
        voters: Option<u32>,
        (role, newcomers_lead): (MemberKind, bool),
    ) {
        let defaults = Settings {
            heartbeat: Duration::from_millis(50),
            election_min: Duration::from_millis(200),
            election_max: Duration::from_millis(400),
            tenure: tenure.unwrap_or(Duration::from_secs(600)),
            grace: Duration::from_secs(1),
            replace_after: Duration::from_secs(10),
            ..Settings::default()
        };
        self.settings = Settings { target_voters: voters.unwrap_or(defaults.target_voters), ..defaults };
        self.makes_keys = true;
        let mut state = Replicated::found(genesis(&self.settings), Entries::default()).unwrap();
        let mut apply = |command| {
            let (index, term) = (state.applied().next(), Term(1));
            let issue = is_issued(&command).then(|| {
                let serial = IssueSerial { incarnation: 0, count: index.0 };
                let signature = Signature::default();
                let issue = Issue { by: FOUNDER, serial, seen: state.applied(), seen_ms: 0, signature };
                issue.signed(&identity(0), SetId::first(CLUSTER), &command)
            });
            let proposal = Proposal {
                origin: FOUNDER,
                term,
                stamp: Stamp::Elapsed { elapsed_ms: 0, wall_ms: WALL_MS },
                session: None,
                client: None,
                issue,
                command: Command::Control(command),
            };
            let payload = Payload::Command(proposal.encode().into());
            state.apply(&Entry { index, term, payload });
            MemberId(index.0)
        };
        apply(ControlCommand::TokenCreated(token(role, newcomers_lead)));
        let mut ids = vec![FOUNDER];
        for number in 1..members {
            let id = apply(ControlCommand::Enrol(enrolment(number as usize)));
            ids.push(id);
            // Seats are given in pairs; where an even number is wanted, the last member learns. A command that gives none
            // is refused, and lets the next id be odd, too, as the scripts name them.
            let give = if number % 2 == 0 { ids[ids.len() - 2..].to_vec() } else { Vec::new() };
            apply(ControlCommand::SeatChanged { give, take: Vec::new() });
        }
        let learners = state.control().desired_learners().into_iter().collect();
        let voters = state.control().desired_voters().into_iter().collect();
        let membership = Membership { voters, learners, ..Membership::default() };
        let meta = SnapshotMeta { index: state.applied(), term: Term(1), membership };
        let hard_state = HardState { term: Term(1), voted_for: None, commit: state.applied() };
        let snapshot = Snapshot { meta, data: state.snapshot().into() };
        let disk = Disk { hard_state, snapshot, ..Disk::default() };
        for id in ids {
            self.peers.insert(id, Peer { disk: disk.clone(), ..Peer::default() });
            self.start(id);
        }
    }

    pub(crate) fn join(&mut self, at: MemberId) -> Result<(), Box<dyn Error>> {
        let command = Command::Control(ControlCommand::Enrol(enrolment(self.peers.len())));
        self.ask(at, Request::Commit { client: None, session: None, command }, Duration::from_secs(2))?;
        let control = self.member(at).node.as_ref().ok_or("it does not run")?.state().control();
        let newcomer = control.members().keys().copied().max().ok_or("nobody")?;
        let told: Vec<_> = control.members().values().cloned().collect();
        let roster = told.iter().map(|member| member.id).collect();
        self.peers.insert(newcomer, Peer { roster, told, ..Peer::default() });
        self.start(newcomer);
        self.settle()
    }

    pub(crate) fn member(&mut self, id: MemberId) -> &mut Peer {
        self.peers.get_mut(&id).unwrap_or_else(|| panic!("nobody has made n{id}"))
    }

    pub(crate) fn start(&mut self, id: MemberId) {
        let (now, settings) = (self.now, self.settings.clone());
        let enrolled = self.peers.keys().position(|other| *other == id).unwrap();
        let peer = self.member(id);
        peer.starts += 1;
        let Disk { hard_state, snapshot, entries, incarnations } = peer.disk.clone();
        let told = peer.told.clone();
        let boot = Boot {
            advertised_name: None,
            me: id,
            hard_state,
            snapshot,
            entries,
            told,
            pending_update: None,
            held: Vec::new(),
            wall_ms: WALL_MS,
            settings,
            trains: false,
            incarnations,
            suspected: false,
            address: None,
            signer: Arc::new(identity(enrolled)),
            seed: id.0 + 100 * peer.starts,
        };
        match Node::new(boot, Entries::default(), now) {
            Ok(node) => {
                peer.node = Some(node);
                // The shell hears what it wants done at first; so members know each other before time goes on.
                self.agenda.push_back((id, Input::WallClock(WALL_MS)));
            }
            Err(error) => self.say(&format!("n{id} cannot start: {error}")),
        }
    }

    pub(crate) fn kill(&mut self, id: MemberId) {
        let peer = self.member(id);
        peer.node = None;
        peer.writing.clear();
        peer.delayed.clear();
    }

    pub(crate) fn cut(&mut self, id: MemberId, others: &[MemberId]) {
        let everybody: Vec<_> = self.peers.keys().copied().collect();
        let others = if others.is_empty() { &everybody } else { others };
        self.cut.extend(others.iter().map(|other| (id.min(*other), id.max(*other))));
    }

    pub(crate) fn ask(
        &mut self,
        at: MemberId,
        request: Request,
        within: Duration,
    ) -> Result<(), Box<dyn Error>> {
        self.requests += 1;
        let (id, until) = (RequestId(self.requests), self.now + within);
        self.say_to(at, Input::Request { id, request: Box::new(request), until })
    }

    pub(crate) fn say_to(&mut self, id: MemberId, input: Input) -> Result<(), Box<dyn Error>> {
        self.agenda.push_back((id, input));
        self.settle()
    }

    /// A member is told that these laptops belong to the set.
    pub(crate) fn invents(
        &mut self,
        to: MemberId,
        by: MemberId,
        invented: &[MemberId],
    ) -> Result<(), Box<dyn Error>> {
        let member =
            |id: &MemberId| Member { id: *id, key: identity(100 + id.0 as usize).key(), ..founder() };
        let members = invented.iter().map(member).collect();
        let frame = Frame::Roster { index: FAR, members };
        self.say_to(to, Input::Frame { from: by, frame })
    }

    pub(crate) fn usurps(
        &mut self,
        to: MemberId,
        by: MemberId,
        voter: MemberId,
    ) -> Result<(), Box<dyn Error>> {
        let heartbeat = Message::new(MessageKind::Heartbeat, by, to, Term(9));
        self.say_to(to, Input::Frame { from: by, frame: Frame::Raft(Box::new(heartbeat)) })?;
        let frame = Frame::Voters { index: FAR, term: Term(9), voters: vec![voter] };
        self.say_to(to, Input::Frame { from: by, frame })
    }

    /// Lets all happen that needs no time.
    pub(crate) fn settle(&mut self) -> Result<(), Box<dyn Error>> {
        for _ in 0..MAX_STEPS {
            if let Some((id, input)) = self.agenda.pop_front() {
                self.handle(id, input);
                continue;
            }
            let writes = |(_, peer): &(&MemberId, &Peer)| !peer.hangs && !peer.writing.is_empty();
            let Some((id, _)) = self.peers.iter().find(writes) else { return Ok(()) };
            self.sync(*id);
        }
        Err("it never settles".into())
    }

    pub(crate) fn wait(&mut self, span: Duration) -> Result<(), Box<dyn Error>> {
        let end = self.now + span;
        self.settle()?;
        loop {
            let due = |(id, peer): (&MemberId, &Peer)| Some((peer.node.as_ref()?.deadline()?, *id));
            let Some((at, id)) = self.peers.iter().filter_map(due).min().filter(|(at, _)| *at <= end) else {
                self.now = end;
                return Ok(());
            };
            self.now = self.now.max(at);
            self.say_to(id, Input::Tick)?;
        }
    }

    fn sync(&mut self, id: MemberId) {
        let peer = self.member(id);
        let writing = std::mem::take(&mut peer.writing);
        let Some((last, _)) = writing.last_key_value() else { return };
        let last = *last;
        writing.values().for_each(|batch| peer.disk.write(batch));
        let delayed = std::mem::take(&mut peer.delayed);
        delayed.into_iter().for_each(|(_, to, frame)| self.send(id, to, frame));
        self.agenda.push_back((id, Input::Persisted(last)));
    }

    fn handle(&mut self, id: MemberId, input: Input) {
        let now = self.now;
        let Some(node) = &mut self.member(id).node else { return };
        let outputs = node.handle(now, input);
        outputs.into_iter().for_each(|output| self.perform(id, output));
    }

    fn perform(&mut self, id: MemberId, output: Output) {
        let known = match &output {
            Output::Roster(members) => members.iter().map(|member| member.id).collect(),
            _ => BTreeSet::new(),
        };
        if let Some(line) =
            show::output(&output).filter(|_| known.is_empty() || known != self.member(id).roster)
        {
            self.say(&format!("n{id} {line}"));
        }
        match output {
            Output::Send { to, frame } => self.send(id, to, frame),
            Output::SendAfter(batch, to, frame) => self.member(id).delayed.push((batch, to, frame)),
            Output::Persist(batch_id, batch) => drop(self.member(id).writing.insert(batch_id, *batch)),
            Output::SendSnapshot { to, message, data } => {
                let arrived = self.passes(id, to);
                if arrived {
                    self.agenda.push_back((to, Input::Snapshot { from: id, message, data }));
                }
                self.agenda.push_back((id, Input::SnapshotSent { to, arrived }));
            }
            Output::TakeSnapshot(state) => {
                let (index, data) = (state.index(), state.snapshot());
                self.agenda.push_back((id, Input::SnapshotTaken { index, data }));
            }
            Output::ReadSnapshot(snapshot) => {
                self.agenda.push_back((id, Input::SnapshotRead(snapshot.read())));
            }
            Output::DigestState { mark, state } => {
                let enrolled = self.peers.keys().position(|other| *other == id).unwrap();
                let digest = state.digest();
                let statement = state_digest_statement(rafty_types::SetId::first(CLUSTER), id, mark, digest);
                let signature = identity(enrolled).sign(&statement);
                self.agenda.push_back((id, Input::StateDigested { mark, digest, signature }));
            }
            Output::MakeTenureKey if self.makes_keys => self.make_key(id),
            Output::MakeTenureKey => drop(self.want_keys.insert(id)),
            Output::Roster(_) => self.member(id).roster = known,
            Output::Work { id: order, work } => {
                let result = match *work {
                    Work::DeriveInitial { .. } => WorkResult::Model { digest: Digest::of(b"version 0") },
                    _ => WorkResult::Done,
                };
                self.agenda.push_back((id, Input::WorkDone { id: order, result }));
            }
            Output::Halt(_) => self.kill(id),
            _ => {}
        }
    }

    /// Tenure keys are made at once from now on, or not at all.
    pub(crate) fn make_keys(&mut self, made: bool) -> Result<(), Box<dyn Error>> {
        self.makes_keys = made;
        let waiting = if made { std::mem::take(&mut self.want_keys) } else { BTreeSet::new() };
        waiting.into_iter().for_each(|id| self.make_key(id));
        self.settle()
    }

    fn make_key(&mut self, id: MemberId) {
        let peer = self.member(id);
        peer.keys_made += 1;
        let rsa_public = rsa_key(&format!("tenure {} of n{id}", peer.keys_made));
        self.agenda.push_back((id, Input::TenureKey(TenureKey { rsa_public })));
    }

    fn passes(&self, from: MemberId, to: MemberId) -> bool {
        let knows =
            |one: &MemberId, other| self.peers.get(one).is_some_and(|peer| peer.roster.contains(other));
        knows(&from, &to) && knows(&to, &from) && !self.cut.contains(&(from.min(to), from.max(to)))
    }

    fn send(&mut self, from: MemberId, to: MemberId, frame: Frame) {
        if self.passes(from, to) {
            self.agenda.push_back((to, Input::Frame { from, frame }));
        }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.said, "{line}").unwrap();
    }

    pub(crate) fn status(&mut self, of: &[MemberId]) {
        let of = if of.is_empty() { self.peers.keys().copied().collect() } else { of.to_vec() };
        for id in of {
            let line = match &self.member(id).node {
                Some(node) => show::status(node),
                None => "does not run".to_owned(),
            };
            self.say(&format!("n{id} {line}"));
        }
    }
}

impl Disk {
    fn write(&mut self, batch: &Batch) {
        batch.write_to(&mut self.hard_state, &mut self.snapshot, &mut self.entries);
        self.incarnations = batch.incarnations.clone().unwrap_or(std::mem::take(&mut self.incarnations));
    }
}
