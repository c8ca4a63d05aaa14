//! How peer sets begin and grow: members that are there from the start, newcomers with tokens, and members that come
//! back without their log.

use super::clients::clients_with_tokens;
use super::{PendingReply, Turn, World, ms};
use crate::disk::Disk;
use crate::faults::Who;
use crate::invariants::Clients;
use crate::member::{Member, WALL_MS, home};
use crate::observer::Observer;
use crate::tally::{Evil, Sometimes};
use rafty_dictionary::{Replicated, is_issued};
use rafty_node::{Answer, Request};
use rafty_seal::{Identity, RsaKey, RsaPublic, Token, enrol, re_enrol};
use rafty_types::{
    ClientRecord, Command, ControlCommand, ControlResult, Enrolment, Entry, Genesis, HardState, Index, Issue,
    IssueSerial, MemberId, MemberKind, Membership, Payload, Proposal, Rejection, SetId, Signature, Snapshot,
    SnapshotMeta, Stamp, Term,
};
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

/// A hundred hours: how long a token is good that no run outlasts.
pub const LONG_MS: u64 = 360_000_000;
/// How long an enrolment may take.
const ENROL_WITHIN: Duration = ms(20_000);
/// When a member without its log asks again.
const ASK_AGAIN: Duration = ms(1_000);
/// Members that are enrolled at the same time at most.
const MAX_MEMBERS: usize = 14;
const FOUNDER: MemberId = MemberId(1);

/// One participant key for all: nothing is sealed with it here, and making one takes long.
fn rsa_public() -> RsaPublic {
    static KEY: OnceLock<RsaPublic> = OnceLock::new();
    let made = || RsaKey::from_der(include_bytes!("../../../seal/tests/keys/participant.der"));
    KEY.get_or_init(|| made().expect("a fixed test key").public().clone()).clone()
}

/// Somebody who wants to become a member.
pub(super) struct Newcomer {
    identity: Identity,
    token: Token,
    at: MemberId,
    /// Whether the peer set knows the token.
    enrols: bool,
}

impl World {
    /// A peer set with one member.
    pub fn founder(&mut self) -> MemberId {
        let identity = Identity::generate(self.rng.crypto());
        let state = self.state_of(&identity);
        self.settle(vec![(FOUNDER, identity)], &state);
        FOUNDER
    }

    /// A peer set of laptops, all of which may lead, that stand in its first snapshot; as many as wanted vote.
    pub fn found(&mut self, members: u64) -> Vec<MemberId> {
        self.found_of(&vec![MemberKind::Operator; members as usize])
    }

    /// A peer set of members with these roles, which knows the tokens of clients.
    pub fn found_for_clients(&mut self, roles: &[MemberKind]) -> Vec<MemberId> {
        self.found_with(roles, let_clients_in)
    }

    /// The same of members with these roles. The first is the founder, a laptop; seats are dealt in this order.
    pub fn found_of(&mut self, roles: &[MemberKind]) -> Vec<MemberId> {
        self.found_with(roles, |_, _| ())
    }

    fn found_with(
        &mut self,
        roles: &[MemberKind],
        then: impl Fn(&mut Replicated<Observer>, &Identity),
    ) -> Vec<MemberId> {
        let identity = Identity::generate(self.rng.crypto());
        let mut state = self.state_of(&identity);
        let mut people = vec![(FOUNDER, identity)];
        let key = people[0].1.key();
        let mut tokens = Vec::new();
        for role in [MemberKind::Operator, MemberKind::Agent] {
            if roles[1..].contains(&role) || role == MemberKind::Operator {
                let token = Token::generate(self.set.cluster, &key, self.rng.crypto());
                let record = token.record(role, true, LONG_MS, 100);
                apply(&mut state, &people[0].1, ControlCommand::TokenCreated(record));
                tokens.push((role, token));
            }
        }
        for (number, role) in (1..).zip(&roles[1..]) {
            let (_, token) = tokens.iter().find(|(of, _)| of == role).expect("a token of each role");
            let identity = Identity::generate(self.rng.crypto());
            let enrolment =
                enrol(&identity, &rsa_public(), token, self.set, [number as u8; 32], vec![home(number)]);
            let id = MemberId(apply(&mut state, &people[0].1, ControlCommand::Enrol(enrolment)).0);
            people.push((id, identity));
        }
        // As many as wanted, and an odd number.
        let voters = people.len().min(self.settings.target_voters as usize);
        let give: Vec<_> = people[1..voters - (voters + 1) % 2].iter().map(|(id, _)| *id).collect();
        if !give.is_empty() {
            apply(&mut state, &people[0].1, ControlCommand::SeatChanged { give, take: Vec::new() });
        }
        then(&mut state, &people[0].1);
        let ids = people.iter().map(|(id, _)| *id).collect();
        self.settle(people, &state);
        ids
    }

    fn state_of(&self, founder: &Identity) -> Replicated<Observer> {
        let founder = rafty_types::Member {
            id: FOUNDER,
            key: founder.key(),
            rsa_public: rsa_public().der().to_vec(),
            role: MemberKind::Operator,
            may_lead: true,
            addresses: vec![home(0)],
            seat: true,
            tenures: 0,
        };
        let genesis = Genesis {
            cluster: self.set.cluster,
            name: "sim".into(),
            settings: self.settings.clone(),
            founder,
        };
        Replicated::found(genesis, Observer::default()).expect("a sound genesis")
    }

    fn settle(&mut self, people: Vec<(MemberId, Identity)>, state: &Replicated<Observer>) {
        let voters = state.control().desired_voters().into_iter().collect();
        let learners = state.control().desired_learners().into_iter().collect();
        let membership = Membership { voters, learners, ..Membership::default() };
        let meta = SnapshotMeta { index: state.applied(), term: Term(1), membership };
        let disk = Disk {
            hard_state: HardState { term: Term(1), voted_for: None, commit: state.applied() },
            snapshot: Snapshot { meta, data: state.snapshot().into() },
            ..Disk::default()
        };
        self.founded_at = state.applied();
        for (id, identity) in people {
            let mut member = Member::new(id, identity, Vec::new(), disk.clone());
            member.place = place_of(state, id);
            self.members.insert(id, member);
        }
        let ids: Vec<_> = self.members.keys().copied().collect();
        ids.into_iter().for_each(|id| self.start(id));
    }

    /// A peer set that goes on in another epoch with this member.
    pub fn go_on(&mut self, set: SetId, member: Member) {
        self.set = set;
        self.founded_at = member.disk.snapshot.meta.index;
        let mut state = Replicated::new(Observer::default());
        state.restore(&member.disk.snapshot.data).expect("a sound snapshot");
        self.elapsed_before_ms = state.elapsed_ms();
        let id = member.id;
        self.members.insert(id, member);
        self.start(id);
    }

    /// The statement of a known member that wants to come back into the set in the epoch `set`, where it is called `replaced`.
    pub fn comes_back(
        &mut self,
        identity: &Identity,
        id: MemberId,
        replaced: MemberId,
        set: SetId,
    ) -> Enrolment {
        let place = self.members.get(&id).map_or_else(|| home(id.0), |member| member.place);
        re_enrol(identity, replaced, &rsa_public(), set, self.exporter(), vec![place])
    }

    /// Lets a newcomer join at a member. It gets the id at which its enrolment is committed.
    ///
    /// # Errors
    /// Why it was refused.
    pub fn join(&mut self, at: MemberId, token: &Token) -> Result<MemberId, Rejection> {
        let (identity, enrolment) = self.newcomer(token);
        let id = MemberId(self.commit(at, ControlCommand::Enrol(enrolment))?.0);
        self.move_in(id, identity, at, Disk::default());
        Ok(id)
    }

    /// Somebody who holds a token, and its statement.
    pub fn newcomer(&mut self, token: &Token) -> (Identity, Enrolment) {
        let identity = Identity::generate(self.rng.crypto());
        let enrolment = self.statement(&identity, token);
        (identity, enrolment)
    }

    fn statement(&mut self, identity: &Identity, token: &Token) -> Enrolment {
        let address = home(self.rng.roll());
        let set = SetId { cluster: token.cluster, ..self.set };
        enrol(identity, &rsa_public(), token, set, self.exporter(), vec![address])
    }

    /// Of a connection that no other statement was made on.
    fn exporter(&mut self) -> [u8; 32] {
        let mut exporter = [0; 32];
        exporter[..8].copy_from_slice(&self.rng.roll().to_le_bytes());
        exporter
    }

    /// A member starts that was just enrolled at another.
    pub fn move_in(&mut self, id: MemberId, identity: Identity, at: MemberId, disk: Disk) {
        Clients::newcomers_are_told_by_who_knows_them(id, self.node(at));
        let state = self.node(at).state();
        let members = state.control().members().values();
        let mut member = Member::new(id, identity, members.clone().cloned().collect(), disk);
        member.place = place_of(state, id);
        member.last_seen = members.filter_map(|other| Some((other.key, *other.addresses.first()?))).collect();
        self.members.insert(id, member);
        self.start(id);
        self.names_a_far_term_to_a_newcomer(id);
    }

    /// A token that the peer set knows.
    pub fn token(&mut self, at: MemberId, ttl_ms: u64, uses: u32) -> Token {
        let (token, record) = self.new_token(at, MemberKind::Operator, ttl_ms, uses);
        self.commit(at, record).expect("a token");
        token
    }

    fn new_token(
        &mut self,
        at: MemberId,
        role: MemberKind,
        ttl_ms: u64,
        uses: u32,
    ) -> (Token, ControlCommand) {
        let responder = self.members[&at].identity.key();
        let token = Token::generate(self.set.cluster, &responder, self.rng.crypto());
        let record = token.record(role, true, ttl_ms, uses);
        (token, ControlCommand::TokenCreated(record))
    }

    // As faults.

    pub(super) fn newcomer_joins(&mut self, at: Who) {
        let Some(at) = self.who(at).and_then(|at| self.operator(at)) else { return };
        if self.node(at).state().control().members().len() >= MAX_MEMBERS {
            return;
        }
        self.tally.evil(Evil::Join);
        let identity = Identity::generate(self.rng.crypto());
        let role = if self.rng.percent(self.devices) { MemberKind::Agent } else { MemberKind::Operator };
        let (token, command) = self.new_token(at, role, LONG_MS, 1);
        self.newcomers.push(Some(Newcomer { identity, token, at, enrols: false }));
        self.ask_as(PendingReply::Newcomer(self.newcomers.len() - 1), at, control(command), ENROL_WITHIN);
    }

    /// A newcomer is answered: first about its token, then about itself. One that hears nothing good stays away.
    pub(super) fn newcomer_answered(&mut self, number: usize, answer: &Answer) {
        let Some(newcomer) = self.newcomers[number].take() else { return };
        let Answer::Control(ControlResult::Done, index) = answer else { return };
        let Newcomer { identity, token, at, enrols } = newcomer;
        if !self.runs(at) {
            return;
        }
        if enrols {
            return self.move_in(MemberId(index.0), identity, at, Disk::default());
        }
        self.strangers_keep_nobody_out(at, &token);
        let enrolment = self.statement(&identity, &token);
        self.newcomers[number] = Some(Newcomer { identity, token, at, enrols: true });
        let command = control(ControlCommand::Enrol(enrolment));
        self.ask_as(PendingReply::Newcomer(number), at, command, ENROL_WITHIN);
    }

    fn strangers_keep_nobody_out(&mut self, at: MemberId, token: &Token) {
        let now = self.now;
        let process = self.members.get_mut(&at).expect("it runs").process();
        let local = process.local(now);
        let waits = process.knocks.wait(local, token.id, true);
        assert!(
            waits.is_none(),
            "strangers keep nobody out: a newcomer with a token is to wait {waits:?} at {at}"
        );
    }

    /// A member without its log asks somebody it knows to enrol it anew, in place of the member it was last told it is.
    pub(super) fn re_enrol(&mut self, id: MemberId, replaced: MemberId) {
        let Some(member) = self.members.get(&id).filter(|member| member.disk.damaged) else { return };
        let identity = Identity::from_secret_bytes(&member.identity.to_secret_bytes());
        let enrolment = self.comes_back(&identity, id, replaced, self.set);
        let open: Vec<_> = self.running().into_iter().filter(|at| self.network.is_open(id, *at)).collect();
        match self.rng.pick(&open) {
            None => self.later(ASK_AGAIN, Turn::ReEnrols(id)),
            Some(_) if self.keeps_to_itself(&enrolment) => self.later(ASK_AGAIN, Turn::ReEnrols(id)),
            Some(at) => {
                let command = control(ControlCommand::Enrol(enrolment));
                self.ask_as(PendingReply::ReEnrols(id), at, command, ENROL_WITHIN);
            }
        }
    }

    pub(super) fn re_enrolled(&mut self, id: MemberId, at: MemberId, answer: &Answer) {
        match answer {
            Answer::Control(ControlResult::Done, index) if self.runs(at) => {
                let Some(member) = self.members.remove(&id) else { return };
                self.tally.saw(Sometimes::ReEnrolled);
                let disk = Disk { shelf: member.disk.shelf, ..Disk::default() };
                let (id, place, away) = (MemberId(index.0), member.place, member.away);
                self.move_in(id, member.identity, at, disk);
                if let Some(member) = self.members.get_mut(&id) {
                    (member.place, member.away) = (place, away);
                }
            }
            // An answer was lost.
            Answer::Control(ControlResult::Rejected(Rejection::Renamed(now)), _) => {
                self.tally.saw(Sometimes::ReturnNamedAnother);
                self.re_enrol(id, *now);
            }
            // Whoever was asked belongs no more itself.
            Answer::Control(ControlResult::Rejected(Rejection::NotAllowed), _) => {
                self.later(ASK_AGAIN, Turn::ReEnrols(id));
            }
            Answer::Control(ControlResult::Rejected(why), _) => {
                let why = why.to_string();
                self.trace.note(self.now, || format!("{id} cannot come back: {why}"));
                self.members.remove(&id);
            }
            _ => self.later(ASK_AGAIN, Turn::ReEnrols(id)),
        }
    }
}

fn place_of(state: &Replicated<Observer>, id: MemberId) -> SocketAddr {
    let known = state.control().member(id).and_then(|member| member.addresses.first());
    known.copied().unwrap_or_else(|| home(id.0))
}

pub(super) fn control(command: ControlCommand) -> Request {
    Request::Commit { client: None, session: None, command: Command::Control(command) }
}

/// The clients that have tokens.
fn let_clients_in(state: &mut Replicated<Observer>, founder: &Identity) {
    for (name, id) in clients_with_tokens() {
        let (stored_key, server_key) = ([0; 32], [0; 32]);
        let record = ClientRecord { name, id, stored_key, server_key, read_only: false, ttl_ms: LONG_MS };
        apply(state, founder, ControlCommand::ClientCreated(record));
    }
}

/// Applies a command of the founder's to a state that no node runs yet.
fn apply(state: &mut Replicated<Observer>, founder: &Identity, command: ControlCommand) -> Index {
    let (index, term) = (state.applied().next(), Term(1));
    let issue = is_issued(&command).then(|| {
        let serial = IssueSerial { incarnation: 0, count: index.0 };
        let signature = Signature::default();
        let issue = Issue { by: FOUNDER, serial, seen: state.applied(), seen_ms: 0, signature };
        issue.signed(founder, state.control().set(), &command)
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
    let applied = state.apply(&Entry { index, term, payload: Payload::Command(proposal.encode().into()) });
    let done = rafty_dictionary::Outcome::Control(ControlResult::Done, index);
    assert_eq!(applied.outcome, Some(done));
    index
}
