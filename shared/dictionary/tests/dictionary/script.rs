//! A peer set to tell stories about: people by name, each with keys drawn from that name.

use ed25519_dalek::{Signer, SigningKey};
use rafty_dictionary::{Applied, Entries, EntryCommand, Event, Outcome, Replicated, RunState, is_issued};
use rafty_types::*;
use std::collections::BTreeMap;

pub(crate) const CLUSTER: ClusterId = ClusterId([7; 16]);
/// When every story begins.
pub(crate) const START_MS: u64 = 1_000_000;
pub(crate) const HOUR_MS: u64 = 3_600_000;

#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) state: Replicated<Entries>,
    pub(crate) log: Vec<Entry>,
    pub(crate) term: Term,
    pub(crate) now_ms: u64,
    names: BTreeMap<String, MemberId>,
}

pub(crate) fn signing_key(name: &str) -> SigningKey {
    SigningKey::from_bytes(&Digest::of(name.as_bytes()).0)
}

pub(crate) fn key_of(name: &str) -> PeerKey {
    PeerKey(signing_key(name).verifying_key().to_bytes())
}

pub(crate) fn sign(name: &str, bytes: &[u8]) -> Signature {
    Signature::from_bytes(&signing_key(name).sign(bytes).to_bytes())
}

#[derive(Debug)]
pub(crate) struct Key(pub(crate) SigningKey);

impl Sign for Key {
    fn sign(&self, statement: &[u8]) -> Signature {
        Signature::from_bytes(&self.0.sign(statement).to_bytes())
    }
}

pub(crate) fn rsa_of(name: &str) -> Vec<u8> {
    rsa_key(name.as_bytes())
}

/// A key of its own for each seed; nobody has the other half.
pub(crate) fn rsa_key(seed: &[u8]) -> Vec<u8> {
    let mut modulus = [0xff; 256];
    modulus[1..33].copy_from_slice(&Digest::of(seed).0);
    rsa_public_der(&modulus)
}

pub(crate) fn address(port: u16) -> std::net::SocketAddr {
    std::net::SocketAddr::from(([192, 168, 1, 7], port))
}

pub(crate) fn digest(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

pub(crate) fn genesis(founder: &str) -> Genesis {
    let founder = Member {
        id: MemberId(1),
        key: key_of(founder),
        rsa_public: rsa_of(founder),
        role: MemberKind::Operator,
        may_lead: true,
        addresses: vec![address(1)],
        seat: true,
        tenures: 0,
    };
    let settings = Settings { max_members: 6, ..Settings::default() };
    Genesis { cluster: CLUSTER, name: "garden".into(), settings, founder }
}

pub(crate) fn token(name: &str, role: MemberKind, uses: u32) -> TokenRecord {
    let mut id = [1; 16];
    id[..name.len().min(15)].copy_from_slice(&name.as_bytes()[..name.len().min(15)]);
    TokenRecord { id, public_key: key_of(name), role, may_lead: true, ttl_ms: HOUR_MS, uses }
}

/// `who` joins with the token `with`, over a connection that no other has.
pub(crate) fn enrolment(who: &str, with: &TokenRecord, token_name: &str, connection: u8) -> Enrolment {
    let statement = EnrolmentStatement {
        set: rafty_types::SetId::first(CLUSTER),
        key: key_of(who),
        rsa_public: rsa_of(who),
        addresses: vec![address(9)],
        exporter: [connection; 32],
    };
    let bytes = statement.to_bytes();
    let (own_signature, token_signature) = (sign(who, &bytes), sign(token_name, &bytes));
    Enrolment { token: with.id, statement, own_signature, token_signature }
}

/// `who` joins again after its log was lost, when it was `replaced`.
pub(crate) fn again(who: &str, replaced: MemberId, connection: u8) -> Enrolment {
    let any = token("any", MemberKind::Agent, 1);
    let enrolment = enrolment(who, &any, "any", connection);
    Enrolment {
        token: Enrolment::naming(replaced),
        own_signature: sign(who, &enrolment.statement.to_bytes_of_return(replaced)),
        token_signature: Signature::default(),
        ..enrolment
    }
}

pub(crate) fn client(name: &str) -> ClientRecord {
    let Digest(key) = digest(name);
    let id = *key.first_chunk().expect("16 of 32");
    let ttl_ms = HOUR_MS;
    ClientRecord { name: name.into(), id, stored_key: key, server_key: [4; 32], read_only: false, ttl_ms }
}

pub(crate) fn run_spec(rounds: u32) -> RunSpec {
    RunSpec { name: "digits".into(), task: "[model]".into(), rounds, seed: 3, strategy: Strategy::FedAvg }
}

pub(crate) fn set(key: &str, value: &[u8]) -> Command {
    Command::User(EntryCommand::Set { key: key.into(), value: value.into() }.encode())
}

pub(crate) fn why(applied: &Applied) -> Option<Rejection> {
    match &applied.outcome {
        Some(Outcome::Control(ControlResult::Rejected(why), _)) => Some(why.clone()),
        _ => None,
    }
}

impl Script {
    pub(crate) fn founded_by(name: &str) -> Self {
        let state = Replicated::found(genesis(name), Entries::default()).expect("a sound genesis");
        let names = BTreeMap::from([(name.to_owned(), MemberId(1))]);
        Self { state, log: Vec::new(), term: Term(1), now_ms: START_MS, names }
    }

    pub(crate) fn id(&self, name: &str) -> MemberId {
        self.names[name]
    }

    /// The id of `name`, or one that nobody has.
    pub(crate) fn known(&self, name: &str) -> MemberId {
        self.names.get(name).copied().unwrap_or(MemberId(99))
    }

    pub(crate) fn member(&self, name: &str) -> &Member {
        self.state.control().member(self.id(name)).expect("a member")
    }

    pub(crate) fn run(&self) -> &RunState {
        self.state.control().active_run().expect("a run is active")
    }

    pub(crate) fn tenure(&self) -> Tenure {
        self.state.control().tenure().map_or(Tenure(0), |tenure| tenure.tenure)
    }

    /// Whatever stands in the log next.
    pub(crate) fn append(&mut self, payload: Payload) -> Applied {
        let entry = Entry { index: self.state.applied().next(), term: self.term, payload };
        self.log.push(entry.clone());
        let applied = self.state.apply(&entry);
        assert_eq!(self.state.broken_invariant(), None);
        applied
    }

    pub(crate) fn propose(&mut self, proposal: &Proposal) -> Applied {
        let bytes = proposal.encode();
        self.append(Payload::Command(bytes.into()))
    }

    pub(crate) fn proposal(&self, origin: MemberId, command: Command) -> Proposal {
        let stamp = Stamp::Elapsed { elapsed_ms: self.now_ms, wall_ms: self.now_ms };
        let issue = self.issue(origin, &command);
        Proposal { origin, term: self.term, stamp, session: None, client: None, issue, command }
    }

    /// The word of whoever asks, where the command takes one. Each has its own number.
    pub(crate) fn issue(&self, by: MemberId, command: &Command) -> Option<Issue> {
        let name = self.names.iter().find(|(_, id)| **id == by).map_or("nobody", |(name, _)| name);
        self.issue_signed_by(name, by, command)
    }

    pub(crate) fn issue_signed_by(&self, signer: &str, by: MemberId, command: &Command) -> Option<Issue> {
        let Command::Control(command) = command else { return None };
        let serial = IssueSerial { incarnation: 1, count: self.log.len() as u64 + 1 };
        let (seen, signature) = (self.state.applied(), Signature::default());
        let seen_ms = self.state.elapsed_ms().max(self.now_ms);
        let issue = Issue { by, serial, seen, seen_ms, signature };
        is_issued(command).then(|| issue.signed(&Key(signing_key(signer)), SetId::first(CLUSTER), command))
    }

    /// The story goes on: `who` does it and it counts.
    pub(crate) fn does(&mut self, who: &str, command: ControlCommand) -> Vec<Event> {
        let applied = self.propose(&self.proposal(self.id(who), Command::Control(command)));
        assert_eq!(why(&applied), None, "{who} is refused");
        assert_eq!(applied.outcome, Some(Outcome::Control(ControlResult::Done, self.state.applied())));
        applied.events
    }

    /// `who` tries it, it does not count, and nothing changes.
    #[track_caller]
    pub(crate) fn cannot(&mut self, who: &str, command: ControlCommand) -> Rejection {
        let proposal = self.proposal(self.id(who), Command::Control(command));
        self.refuses(&proposal)
    }

    #[track_caller]
    pub(crate) fn refuses(&mut self, proposal: &Proposal) -> Rejection {
        let before = self.state.clone();
        let applied = self.propose(proposal);
        assert_eq!(self.state.control(), before.control(), "a refused command changed something");
        assert_eq!(self.state.user(), before.user(), "a refused command changed something");
        assert_eq!(applied.events, []);
        why(&applied).expect("refused")
    }

    /// `who` becomes a member by a token of its own that `host` makes.
    pub(crate) fn joins(&mut self, who: &str, role: MemberKind) -> MemberId {
        let ticket = token(who, role, 1);
        self.does("ann", ControlCommand::TokenCreated(ticket.clone()));
        self.does("ann", ControlCommand::Enrol(enrolment(who, &ticket, who, 1)));
        self.knows(who)
    }

    /// The entry just applied made `who` a member.
    pub(crate) fn knows(&mut self, who: &str) -> MemberId {
        let id = MemberId(self.state.applied().0);
        self.names.insert(who.to_owned(), id);
        id
    }

    pub(crate) fn revoke(&self, who: &str) -> ControlCommand {
        ControlCommand::Revoke { member: self.id(who) }
    }

    /// A tenure of `who` with a key made for the next entry.
    pub(crate) fn begin(&self, who: &str) -> ControlCommand {
        self.begin_with(who, rsa_key(format!("tenure key {}", self.state.applied()).as_bytes()))
    }

    pub(crate) fn begin_with(&self, who: &str, rsa_public: Vec<u8>) -> ControlCommand {
        ControlCommand::TenureBegan { member: self.id(who), rsa_public }
    }

    /// `who` is elected and begins a tenure.
    pub(crate) fn leads(&mut self, who: &str) -> Tenure {
        self.term = self.term.next();
        self.append(Payload::Empty);
        self.does(who, self.begin(who));
        self.tenure()
    }

    pub(crate) fn submits(&mut self, who: &str, rounds: u32) -> RunId {
        self.does(who, ControlCommand::RunSubmitted(run_spec(rounds)));
        RunId(self.state.applied().0)
    }

    /// The next round of the active run, by the current tenure.
    pub(crate) fn open(&self) -> ControlCommand {
        let run = self.run();
        ControlCommand::RoundOpened {
            tenure: self.tenure(),
            run: run.id,
            round: run.round.next(),
            base: run.version,
            protection: Protection::None,
        }
    }

    /// An update of `who` in the open round's current attempt.
    pub(crate) fn accept(&self, who: &str, update: &str) -> ControlCommand {
        let open = self.run().open.as_ref().expect("a round is open");
        ControlCommand::UpdateAccepted {
            tenure: self.tenure(),
            run: self.run().id,
            round: open.round,
            attempt: open.attempt,
            participant: self.id(who),
            digest: digest(update),
            num_examples: 100,
            collected_ms: 1_000,
            arrived_ms: Some(1_000),
        }
    }

    /// The open round's result from these updates.
    pub(crate) fn publication(&self, counted: &[(&str, &str)], model: &str) -> Publication {
        let open = self.run().open.as_ref().expect("a round is open");
        Publication {
            tenure: self.tenure(),
            run: self.run().id,
            round: open.round,
            attempt: open.attempt,
            counted: counted.iter().map(|(who, update)| (self.id(who), digest(update))).collect(),
            refused: Vec::new(),
            resting: Vec::new(),
            version: open.base.next(),
            model: digest(model),
            metrics: Metrics { examples: 50, correct: 40, loss_micros: 700_000, train_loss_micros: 600_000 },
            duration_ms: 2_000,
        }
    }

    pub(crate) fn fail(&self, reason: &str) -> ControlCommand {
        let open = self.run().open.as_ref().expect("a round is open");
        ControlCommand::RoundFailed {
            tenure: self.tenure(),
            run: self.run().id,
            round: open.round,
            attempt: open.attempt,
            reason: reason.into(),
        }
    }

    /// A whole round with one update of `who`, who is aggregator as well.
    pub(crate) fn round_by(&mut self, who: &str, model: &str) -> Vec<Event> {
        self.does(who, self.open());
        self.does(who, self.accept(who, model));
        let publication = self.publication(&[(who, model)], model);
        self.does(who, ControlCommand::RoundPublished(publication))
    }
}
