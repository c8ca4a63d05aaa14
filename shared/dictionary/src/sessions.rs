//! Sessions: a command proposed twice counts once.
//!
//! A session numbers its commands 1, 2, 3, …; each is applied once and its answer kept for a while, so that a client
//! that heard nothing can ask again (Raft thesis §6.3). A session has an owner: nobody else continues or ends it, and
//! whoever has most of them gives room for new ones. Sessions end by position in the log, never by a clock.

use crate::Outcome;
use crate::applied::Answered;
use rafty_types::{
    ClientId, Command, DigestWriter, Index, MemberId, Mutation, Rejection, Serial, SessionId, planted,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most sessions at a time; one more ends the session that was used least recently of the owner that has most.
pub const MAX_SESSIONS: usize = 1_024;
/// How many answers a session keeps, the latest ones.
pub const KEPT_RESULTS: usize = 64;
/// Longest answer of the user machine that is kept, in bytes. Repeating a command whose answer was longer
/// gives [`Rejection::ForgottenSerial`].
pub const MAX_KEPT_RESULT_LEN: usize = 4_096;

/// All open sessions. A clone of them shares each session until one of the two changes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sessions(BTreeMap<SessionId, Shared>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Shared(Arc<Session>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Session {
    owner: Owner,
    last: Serial,
    last_used: Index,
    results: BTreeMap<Serial, Answered>,
}

/// Whose a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Owner {
    /// Anybody's, in a state of format 4. It ends when the first entry of today is applied.
    Format4,
    /// That of the programs on a member's own machine.
    Member(MemberId),
    /// That of whoever has a client's token, by way of whichever member.
    Client(ClientId),
}

/// A command, where in a session it stands, and who says so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) session: SessionId,
    pub(crate) serial: Serial,
    pub(crate) owner: Owner,
    /// The command's [name].
    pub(crate) command: u64,
}

/// A session as format 4 had it.
#[derive(Deserialize)]
pub(crate) struct Session4 {
    last: Serial,
    last_used: Index,
    results: BTreeMap<Serial, Outcome>,
}

impl Serialize for Shared {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Shared {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Session::deserialize(deserializer).map(|session| Self(Arc::new(session)))
    }
}

/// Whether a command is to be applied now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It is the session's next one.
    Now,
    /// It was applied before, with this answer.
    Before(Outcome),
}

impl Sessions {
    pub(crate) fn from_format_4(sessions: BTreeMap<SessionId, Session4>) -> Self {
        let unnamed = |(serial, outcome)| (serial, Answered { command: 0, outcome });
        let session = |Session4 { last, last_used, results }| {
            let results = results.into_iter().map(unnamed).collect();
            Shared(Arc::new(Session { owner: Owner::Format4, last, last_used, results }))
        };
        Self(sessions.into_iter().map(|(id, old)| (id, session(old))).collect())
    }

    /// Opens a session, named by the entry that opens it. If there is no room, those of owners that do not `live` any more end.
    pub(crate) fn open(&mut self, at: Index, owner: Owner, live: impl Fn(Owner) -> bool) {
        if self.0.len() >= MAX_SESSIONS {
            self.0.retain(|_, Shared(session)| live(session.owner));
        }
        if self.0.len() >= MAX_SESSIONS {
            self.make_room(owner);
        }
        let session = Session { owner, last: Serial(0), last_used: at, results: BTreeMap::new() };
        self.0.insert(SessionId(at.0), Shared(Arc::new(session)));
    }

    /// Ends the session that was used least recently of those whose owners have most, with a new one of this owner.
    fn make_room(&mut self, newest: Owner) {
        let mut shares = BTreeMap::from([(newest, 1_usize)]);
        for Shared(session) in self.0.values() {
            *shares.entry(session.owner).or_default() += 1;
        }
        let most = shares.values().copied().max();
        let gives = |session: &Session| {
            shares.get(&session.owner).copied() == most || planted(Mutation::FloodEvictsOthers)
        };
        let giving = self.0.iter().filter(|(_, Shared(session))| gives(session));
        let oldest = giving.min_by_key(|(id, Shared(session))| (session.last_used, **id));
        let oldest = oldest.map(|(id, _)| *id);
        oldest.and_then(|id| self.0.remove(&id));
    }

    /// Ends a session of this owner.
    pub(crate) fn close(&mut self, id: SessionId, owner: Owner) -> Result<(), Rejection> {
        self.owned(id, owner)?;
        self.0.remove(&id);
        Ok(())
    }

    /// Ends what nobody can continue any more: nobody knows whose the sessions of format 4 were.
    pub(crate) fn end_format_4(&mut self) {
        self.0.retain(|_, Shared(session)| session.owner != Owner::Format4);
    }

    /// Whether the command in this place is to be applied now.
    pub(crate) fn turn(&mut self, place: &Place, at: Index) -> Result<Turn, Rejection> {
        let session = self.owned(place.session, place.owner)?;
        let (serial, next) = (place.serial, session.last.next());
        if serial == Serial(0) || serial > next {
            return Err(Rejection::Invalid(format!("the session's next serial is {next}")));
        }
        session.last_used = at;
        if serial == next || planted(Mutation::SessionCommandAppliedAgain) {
            return Ok(Turn::Now);
        }
        let answered = session.results.get(&serial).ok_or(Rejection::ForgottenSerial)?;
        let same = answered.command == place.command || planted(Mutation::SerialKeepsNoDigest);
        if same { Ok(Turn::Before(answered.outcome.clone())) } else { Err(Rejection::SerialReused) }
    }

    /// Keeps the answer to a command whose turn it was. A session that the command itself ended keeps nothing.
    pub(crate) fn record(&mut self, place: &Place, outcome: &Outcome) {
        let Ok(session) = self.owned(place.session, place.owner) else { return };
        session.last = place.serial;
        if outcome_len(outcome) <= MAX_KEPT_RESULT_LEN {
            let answered = Answered { command: place.command, outcome: outcome.clone() };
            session.results.insert(place.serial, answered);
        }
        if session.results.len() > KEPT_RESULTS {
            session.results.pop_first();
        }
    }

    /// To everybody else it is as if there was no such session.
    fn owned(&mut self, id: SessionId, owner: Owner) -> Result<&mut Session, Rejection> {
        let shared = self.0.get_mut(&id).map(|Shared(session)| session);
        let owns = |session: &Session| session.owner == owner || planted(Mutation::SessionIsAnybodys);
        let owned = shared.filter(|session| owns(session)).ok_or(Rejection::UnknownSession)?;
        Ok(Arc::make_mut(owned))
    }

    /// How many are open.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether every bound holds and nothing lies beyond `applied`. Sessions of format 4 are there only while its rules
    /// hold.
    pub(crate) fn are_sound(&self, applied: Index, by_wall: bool) -> bool {
        let sound = |(id, Shared(session)): (&SessionId, &Shared)| {
            let kept = || session.results.values().map(|answered| outcome_len(&answered.outcome));
            id.0 <= applied.0
                && session.last_used <= applied
                && session.results.len() <= KEPT_RESULTS
                && session.results.last_key_value().is_none_or(|(serial, _)| *serial <= session.last)
                && kept().all(|len| len <= MAX_KEPT_RESULT_LEN)
                && (session.owner == Owner::Format4) == by_wall
        };
        self.0.len() <= MAX_SESSIONS && self.0.iter().all(sound)
    }
}

/// Names a command among those of one session: the first bytes of its digest. Only the session's owner would be harmed by
/// two of one name.
pub(crate) fn name(command: &Command) -> u64 {
    let mut digest = DigestWriter::default();
    match command {
        Command::User(bytes) => {
            digest.write(&[0]);
            digest.write(bytes);
        }
        Command::Control(command) => {
            digest.write(&[1]);
            digest.write(&postcard::to_allocvec(command).expect("a command always encodes"));
        }
    }
    digest.finish().prefix()
}

fn outcome_len(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Control(..) => 0,
        Outcome::User(result, _) => result.len(),
    }
}
