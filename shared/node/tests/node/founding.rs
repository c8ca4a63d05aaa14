//! How worlds begin: by a founder alone, or with members that are there already.

use crate::member::{Disk, Member, WALL_MS};
use crate::sim::{Sim, ms};
use crate::witness::{Witness, set_once};
use rafty_dictionary::Replicated;
use rafty_node::{Answer, Request, RequestId};
use rafty_seal::{Identity, RsaKey, RsaPublic, Token, enrol};
use rafty_types::{
    Command, ControlCommand, ControlResult, Enrolment, Entry, Genesis, HardState, Index, MemberId,
    Membership, Payload, PeerKey, PeerRole, Proposal, Rejection, RunSpec, Settings, Snapshot, SnapshotMeta,
    Strategy, Term,
};
use std::sync::OnceLock;
use std::time::Duration;

/// Ten hours after the start: a token's end that no test reaches.
pub(crate) const LATE_MS: u64 = WALL_MS + 36_000_000;
const FOUNDER: MemberId = MemberId(1);

/// Times that are short enough for seconds of virtual time.
pub(crate) fn settings() -> Settings {
    Settings {
        heartbeat: ms(50),
        election_min: ms(200),
        election_max: ms(400),
        tenure: ms(3_000),
        grace: ms(1_500),
        replace_after: ms(10_000),
        first_deadline: ms(2_000),
        announce_every: ms(1_000),
        ..Settings::default()
    }
}

/// One participant key for all: nothing is sealed with it here, and making one takes long.
pub(crate) fn rsa_public() -> RsaPublic {
    static KEY: OnceLock<RsaPublic> = OnceLock::new();
    let made = || RsaKey::from_der(include_bytes!("../../../seal/tests/keys/participant.der"));
    KEY.get_or_init(|| made().expect("a fixed test key").public().clone()).clone()
}

fn address(id: u64) -> std::net::SocketAddr {
    ([10, 0, 0, (id % 250) as u8], 7_000).into()
}

impl Sim {
    /// A peer set with one member.
    pub(crate) fn founder(&mut self) -> MemberId {
        let identity = Identity::generate(self.dice.rng());
        let state = self.state_of(&identity);
        self.settle(vec![(FOUNDER, identity)], &state);
        FOUNDER
    }

    /// A peer set whose members, all voters that may lead, stand in its first snapshot.
    pub(crate) fn found(&mut self, members: u64) -> Vec<MemberId> {
        let identity = Identity::generate(self.dice.rng());
        let mut state = self.state_of(&identity);
        let mut people = vec![(FOUNDER, identity)];
        let key = people[0].1.key();
        let token = Token::generate(self.cluster, &key, self.dice.rng());
        let record = token.record(PeerRole::Peer, true, LATE_MS, 100);
        apply(&mut state, ControlCommand::TokenCreated(record));
        for number in 1..members {
            let identity = Identity::generate(self.dice.rng());
            let enrolment =
                enrol(&identity, &rsa_public(), &token, [number as u8; 32], vec![address(number)]);
            let id = MemberId(apply(&mut state, ControlCommand::Enrol(enrolment)).0);
            apply(&mut state, ControlCommand::SeatChanged { give: Some(id), take: None });
            people.push((id, identity));
        }
        let ids = people.iter().map(|(id, _)| *id).collect();
        self.settle(people, &state);
        ids
    }

    fn state_of(&self, founder: &Identity) -> Replicated<Witness> {
        let founder = rafty_types::Member {
            id: FOUNDER,
            key: founder.key(),
            rsa_public: rsa_public().der().to_vec(),
            role: PeerRole::Peer,
            may_lead: true,
            addresses: vec![address(0)],
            seat: true,
            tenures: 0,
        };
        let genesis =
            Genesis { cluster: self.cluster, name: "sim".into(), settings: self.settings.clone(), founder };
        Replicated::found(genesis, Witness::default()).expect("a sound genesis")
    }

    fn settle(&mut self, people: Vec<(MemberId, Identity)>, state: &Replicated<Witness>) {
        let voters = people.iter().map(|(id, _)| *id).collect();
        let membership = Membership { voters, ..Membership::default() };
        let meta = SnapshotMeta { index: state.applied(), term: Term(1), membership };
        let disk = Disk {
            hard_state: HardState { term: Term(1), voted_for: None, commit: state.applied() },
            snapshot: Snapshot { meta, data: state.snapshot().into() },
            ..Disk::default()
        };
        for (id, identity) in people {
            self.members.insert(id, Member::new(id, identity, [id].into(), disk.clone()));
        }
        let ids: Vec<_> = self.members.keys().copied().collect();
        ids.into_iter().for_each(|id| self.start(id));
    }

    // What people ask for.

    pub(crate) fn control(&mut self, at: MemberId, command: ControlCommand) -> RequestId {
        self.ask(at, Request::Commit { session: None, command: Command::Control(command) }, ms(5_000))
    }

    /// Asks for a command and waits for the control part's answer.
    pub(crate) fn commit(&mut self, at: MemberId, command: ControlCommand) -> Result<Index, Rejection> {
        let request = self.control(at, command);
        self.run_until("an answer", ms(6_000), |sim| sim.answers.contains_key(&request));
        match &self.answers[&request] {
            Answer::Control(ControlResult::Done, index) => Ok(*index),
            Answer::Control(ControlResult::Rejected(why), _) => Err(why.clone()),
            other => panic!("no answer of the control part: {other:?}"),
        }
    }

    /// Writes a key of its own.
    pub(crate) fn write(&mut self, at: MemberId, within: Duration) -> RequestId {
        let command = Command::User(set_once(self.dice.roll()));
        self.ask(at, Request::Commit { session: None, command }, within)
    }

    pub(crate) fn read(&mut self, at: MemberId) -> RequestId {
        self.ask(at, Request::Read, ms(5_000))
    }

    pub(crate) fn submit(&mut self, at: MemberId, rounds: u32) -> RequestId {
        let spec = RunSpec {
            name: "digits".into(),
            task: "a task".into(),
            rounds,
            seed: 7,
            strategy: Strategy::FedAvg,
        };
        self.control(at, ControlCommand::RunSubmitted(spec))
    }

    /// Lets a newcomer join at a member. It gets the id at which its enrolment is committed.
    pub(crate) fn join(&mut self, at: MemberId, token: &Token) -> Result<MemberId, Rejection> {
        let (identity, enrolment) = self.newcomer(token);
        let id = MemberId(self.commit(at, ControlCommand::Enrol(enrolment))?.0);
        let told = self.node(at).state().control().members().keys().copied().collect();
        self.members.insert(id, Member::new(id, identity, told, Disk::default()));
        self.start(id);
        Ok(id)
    }

    pub(crate) fn newcomer(&mut self, token: &Token) -> (Identity, Enrolment) {
        let identity = Identity::generate(self.dice.rng());
        let exporter = [self.dice.below(256) as u8; 32];
        let enrolment = enrol(&identity, &rsa_public(), token, exporter, vec![address(self.dice.roll())]);
        (identity, enrolment)
    }

    /// A token that the peer set knows.
    pub(crate) fn token(&mut self, at: MemberId, expires_ms: u64, uses: u32) -> Token {
        let responder: PeerKey = self.members[&at].identity.key();
        let token = Token::generate(self.cluster, &responder, self.dice.rng());
        let record = token.record(PeerRole::Peer, true, expires_ms, uses);
        self.commit(at, ControlCommand::TokenCreated(record)).expect("a token");
        token
    }
}

/// Applies a command of the founder's to a state that no node runs yet.
fn apply(state: &mut Replicated<Witness>, command: ControlCommand) -> Index {
    let (index, term) = (state.applied().next(), Term(1));
    let proposal = Proposal {
        origin: FOUNDER,
        term,
        stamp_ms: WALL_MS,
        session: None,
        command: Command::Control(command),
    };
    let applied = state.apply(&Entry { index, term, payload: Payload::Command(proposal.encode().into()) });
    let done = rafty_dictionary::Outcome::Control(ControlResult::Done, index);
    assert_eq!(applied.outcome, Some(done));
    index
}
