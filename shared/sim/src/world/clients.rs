//! Simulated clients of the dictionary: they read, write and delete a few keys, each one thing at a time, and try
//! again elsewhere when that cannot count twice. Those with a token have their sessions wherever they ask; the sessions of
//! others are known only to the member at which they opened them.

use super::{PendingReply, Turn, World, ms};
use crate::history::{History, OperationId};
use crate::invariants::Clients;
use crate::linearizability::Action;
use crate::observer::set_once;
use crate::rng::SimRng;
use crate::tally::{Evil, Sometimes};
use rafty_dictionary::{EntryCommand, EntryResult};
use rafty_node::{Answer, Request, RequestId};
use rafty_types::{ClientId, Command, ControlCommand, ControlResult, MemberId, Serial, SessionId};
use std::time::Duration;

/// Registers in use at the same time.
const REGISTERS: usize = 4;
/// How long a client thinks, in milliseconds: busy ones and lazy ones.
const BUSY_THINKS: (u64, u64) = (10, 300);
const LAZY_THINKS: (u64, u64) = (300, 3_000);
/// How long it gives a member, in milliseconds.
const PATIENCE: (u64, u64) = (300, 4_000);
/// A member that stands still does not even say no: then the client gives up after so much more.
const LATE: Duration = ms(500);
/// How often a command of a session is tried.
const MAX_TRIES: u32 = 12;
/// Bytes of a big value, in MessagePack's longest string.
const BIG: usize = 1_024 * 1_024 - 64;

/// How many tokens there are that only their clients use.
const TOKENS: u8 = 2;
/// The token of whoever does not mind who else uses it: members that lie do.
pub(super) const SHARED_TOKEN: ClientId = [0xcc; 16];

/// Somebody who uses the dictionary.
#[derive(Debug)]
pub struct Client {
    /// How long it thinks, in milliseconds.
    thinks: (u64, u64),
    /// Whether it has what it does counted once.
    wants_session: bool,
    /// Whether it writes big values now and then.
    big: bool,
    /// What it shows for its sessions.
    token: Option<ClientId>,
    session: Option<(SessionId, Serial)>,
    /// Where the session was opened, when nobody else knows it.
    home: Option<MemberId>,
    doing: Option<Doing>,
}

/// Their names and tokens.
pub(super) fn clients_with_tokens() -> impl Iterator<Item = (String, ClientId)> {
    let own = (0..TOKENS).map(|number| (format!("client {number}"), own_token(number)));
    own.chain([("shared".into(), SHARED_TOKEN)])
}

fn own_token(number: u8) -> ClientId {
    [number; 16]
}

/// What a client is doing.
#[derive(Clone, Debug)]
struct Doing {
    request: Option<RequestId>,
    what: What,
    command: Option<Command>,
    /// May have counted already.
    tries: u32,
}

#[derive(Clone, Copy, Debug)]
enum What {
    OpensSession,
    WritesOnce,
    Register(OperationId, usize, Action),
}

impl World {
    /// More clients.
    pub fn add_clients(&mut self, count: usize, big: bool) {
        for number in 0..count {
            let thinks = if self.rng.percent(50) { BUSY_THINKS } else { LAZY_THINKS };
            let wants_session = self.rng.percent(50);
            let big = big && number == 0;
            let token = match self.rng.below(3) {
                0 => None,
                1 => Some(SHARED_TOKEN),
                _ => Some(own_token(number as u8 % TOKENS)),
            };
            let (session, home, doing) = (None, None, None);
            self.clients.push(Client { thinks, wants_session, big, token, session, home, doing });
            self.client_rests(self.clients.len() - 1);
        }
    }

    fn client_rests(&mut self, client: usize) {
        let thinks = self.clients[client].thinks;
        let after = self.rng.ms(thinks);
        self.later(after, Turn::ClientWakes(client));
    }

    pub(super) fn client_wakes(&mut self, client: usize) {
        if self.running().is_empty() {
            return self.client_rests(client);
        }
        if self.clients[client].doing.is_none() {
            self.client_begins(client);
        }
        self.client_tries(client);
    }

    /// Chooses what to do.
    fn client_begins(&mut self, client: usize) {
        if self.clients[client].home.is_some_and(|home| !self.runs(home)) {
            self.client_forgets_its_session(client);
        }
        let Client { wants_session, session, big, .. } = self.clients[client];
        let (what, command) = if wants_session && session.is_none() {
            (What::OpensSession, Some(Command::Control(ControlCommand::SessionOpened)))
        } else {
            match self.rng.below(100) {
                0..15 => (What::WritesOnce, Some(Command::User(set_once(self.rng.roll())))),
                15..25 => return self.client_reads_stale(client),
                25..28 if big => return self.client_writes_big(client),
                _ => self.register_operation(),
            }
        };
        if let (Some(_), Some((_, serial))) = (&command, &mut self.clients[client].session)
            && !matches!(what, What::OpensSession)
        {
            *serial = serial.next();
        }
        self.clients[client].doing = Some(Doing { request: None, what, command, tries: 0 });
    }

    fn register_operation(&mut self) -> (What, Option<Command>) {
        let place = self.rng.below(REGISTERS as u64) as usize;
        let register = self.history.register(place, REGISTERS);
        let key = History::key(register);
        self.counter += 1;
        let number = self.counter;
        let (action, command) = match self.rng.below(10) {
            0..4 => (Action::Get(None), None),
            4..9 => (Action::Set(number), Some(EntryCommand::Set { key, value: value(number) })),
            _ => (Action::Delete(None), Some(EntryCommand::Delete { key })),
        };
        let operation = self.history.called(register, action, self.now);
        let command = command.map(|command| Command::User(command.encode()));
        (What::Register(operation, register, action), command)
    }

    fn client_reads_stale(&mut self, client: usize) {
        let running = self.running();
        let at = running[self.rng.below(running.len() as u64) as usize];
        let register = self.history.register(self.clients.len() % REGISTERS, REGISTERS);
        let reader = (at, self.members[&at].epoch);
        let node = &self.members[&at].process.as_ref().expect("it runs").node;
        let key = History::key(register);
        self.invariants.clients.stale_reads_see_a_growing_prefix(reader, &key, node);
        self.client_rests(client);
    }

    fn client_writes_big(&mut self, client: usize) {
        let Some(at) = self.rng.pick(&self.running()) else { return };
        self.tally.evil(Evil::BigValue);
        let value = [&[0xdb][..], &(BIG as u32).to_be_bytes(), &vec![b'x'; BIG]].concat();
        let command = EntryCommand::Set { key: b"big".to_vec(), value };
        let request =
            Request::Commit { client: None, session: None, command: Command::User(command.encode()) };
        self.ask(at, request, ms(5_000));
        self.client_rests(client);
    }

    /// Asks some member for what it is doing.
    fn client_tries(&mut self, client: usize) {
        let Some(doing) = self.clients[client].doing.clone() else { return };
        let session = self.clients[client].session.filter(|_| !matches!(doing.what, What::OpensSession));
        let home = self.clients[client].home.filter(|_| session.is_some() && doing.command.is_some());
        let Some(at) = home.or_else(|| self.rng.pick(&self.running())) else {
            return self.client_rests(client);
        };
        if let Some(doing) = &mut self.clients[client].doing {
            doing.tries += 1;
        }
        if !self.runs(at) {
            return self.client_hears(client, None, &Answer::NoLeader);
        }
        let opens = matches!(doing.what, What::OpensSession);
        let client_id = self.clients[client].token.filter(|_| session.is_some() || opens);
        let request = match doing.command {
            None => Request::Read,
            // A client that talks to the leader itself is redirected by the others.
            Some(command) if session.is_none() && self.rng.percent(30) => {
                Request::CommitHere { client: client_id, session, command }
            }
            Some(command) => Request::Commit { client: client_id, session, command },
        };
        let patience = self.rng.ms(PATIENCE);
        let name = self.ask_name();
        if let Some(doing) = &mut self.clients[client].doing {
            doing.request = Some(name);
        }
        self.later(patience + LATE, Turn::ClientGivesUp(client, name));
        self.ask_named(name, PendingReply::Client(client), at, request, patience);
    }

    pub(super) fn client_gives_up(&mut self, client: usize, request: RequestId) {
        if self.waiting.contains_key(&request) && self.is_doing(client, request) {
            self.client_hears(client, None, &Answer::Unknown);
        }
    }

    fn is_doing(&self, client: usize, request: RequestId) -> bool {
        self.clients[client].doing.as_ref().is_some_and(|doing| doing.request == Some(request))
    }

    pub(super) fn client_answered(
        &mut self,
        client: usize,
        at: MemberId,
        request: RequestId,
        answer: Answer,
    ) {
        // What comes after it gave up is not heard.
        if self.is_doing(client, request) {
            self.client_hears(client, Some(at), &answer);
        }
    }

    /// A client hears, from this member if it is still there, what became of what it is doing.
    fn client_hears(&mut self, client: usize, at: Option<MemberId>, answer: &Answer) {
        let Some(doing) = self.clients[client].doing.take() else { return };
        let in_session = self.clients[client].session.is_some() && doing.command.is_some();
        let first = doing.tries == 1;
        match answer {
            Answer::User(result, _) => {
                if !first {
                    self.tally.saw(Sometimes::RepeatAnswered);
                }
                self.client_done(&doing, EntryResult::decode(result));
            }
            Answer::Readable(_) => self.client_read(&doing, at),
            Answer::Control(ControlResult::Done, index) => {
                let one = &mut self.clients[client];
                one.session = Some((SessionId(index.0), Serial(0)));
                one.home = at.filter(|_| one.token.is_none());
            }
            Answer::Control(ControlResult::Rejected(why), _) => {
                if self.clients[client].token.is_some_and(|token| token != SHARED_TOKEN) {
                    Clients::sessions_are_their_owners(why);
                }
                self.client_forgets_its_session(client);
                self.client_ends(&doing, first);
            }
            Answer::Unknown if in_session && doing.tries < MAX_TRIES => {
                self.clients[client].doing = Some(Doing { request: None, ..doing });
            }
            Answer::Unknown => {
                self.tally.saw(Sometimes::AnswerUnknown);
                self.client_forgets_its_session(client);
                self.client_ends(&doing, doing.command.is_none());
            }
            Answer::Busy | Answer::ChangePending | Answer::NoLeader | Answer::Redirect(_) => {
                self.tally.saw(Sometimes::DeniedWrite);
                // A serial that was not used must be, or the session is at an end.
                if in_session && doing.tries < MAX_TRIES {
                    self.clients[client].doing = Some(Doing { request: None, ..doing });
                } else {
                    self.client_forgets_its_session(client);
                    self.client_ends(&doing, first);
                }
            }
        }
        self.client_rests(client);
    }

    fn client_forgets_its_session(&mut self, client: usize) {
        (self.clients[client].session, self.clients[client].home) = (None, None);
    }

    /// Somebody's session, and its last serial.
    pub(super) fn a_session(&self, rng: &mut SimRng) -> Option<(SessionId, Serial)> {
        let open: Vec<_> = self.clients.iter().filter_map(|client| client.session).collect();
        rng.pick(&open)
    }

    fn client_done(&mut self, doing: &Doing, result: Option<EntryResult>) {
        let What::Register(operation, _, action) = doing.what else { return };
        let action = match (action, result) {
            (Action::Delete(_), Some(EntryResult::Done)) => Action::Delete(Some(true)),
            (Action::Delete(_), Some(EntryResult::Missing)) => Action::Delete(Some(false)),
            (action, Some(EntryResult::Done)) => action,
            (action, other) => panic!("no refusal of a sound command: {action:?} gave {other:?}"),
        };
        self.history.returned(operation, action, self.now);
    }

    /// A read may be served: it sees what the member's state has now.
    fn client_read(&mut self, doing: &Doing, at: Option<MemberId>) {
        let What::Register(operation, register, _) = doing.what else { return };
        let Some(at) = at.filter(|at| self.runs(*at)) else { return self.history.denied(operation) };
        let found = self.node(at).state().user().entries.get(&History::key(register)).map(number);
        self.history.returned(operation, Action::Get(found), self.now);
    }

    /// What a client was doing leads to nothing that it knows of; surely to nothing when it was `denied`.
    fn client_ends(&mut self, doing: &Doing, denied: bool) {
        match doing.what {
            What::Register(operation, ..) if denied => self.history.denied(operation),
            What::Register(operation, ..) => self.history.unknown(operation),
            What::OpensSession | What::WritesOnce => {}
        }
    }

    /// Clients come to an end with what they are doing; nothing new is begun.
    pub fn clients_leave(&mut self) {
        for client in 0..self.clients.len() {
            if let Some(doing) = self.clients[client].doing.take() {
                self.client_ends(&doing, doing.command.is_none() || doing.tries == 0);
            }
        }
        self.clients.clear();
        self.agenda.retain(|event| {
            !matches!(event, super::Event::World(Turn::ClientWakes(_) | Turn::ClientGivesUp(..)))
        });
        self.waiting.values_mut().for_each(|(_, pending)| {
            if matches!(pending, PendingReply::Client(_)) {
                *pending = PendingReply::Script;
            }
        });
    }
}

/// A number as a MessagePack value.
fn value(number: u64) -> Vec<u8> {
    [&[0xcf][..], &number.to_be_bytes()].concat()
}

fn number(value: &[u8]) -> u64 {
    u64::from_be_bytes(value[1..].try_into().expect("only numbers are written here"))
}
