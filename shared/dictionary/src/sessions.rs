//! Sessions: a command proposed twice counts once.
//!
//! A session numbers its commands 1, 2, 3, …; each is applied once and its answer kept for a while, so that a client
//! that heard nothing can ask again (Raft thesis §6.3). Sessions end by position in the log, never by a clock. What
//! is inside a command is no business of this file.

use crate::Outcome;
use rafty_types::{Index, Mutation, Rejection, Serial, SessionId, planted};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most sessions at a time; one more ends the session that was used least recently.
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
    /// Opens a session, named by the entry that opens it.
    pub(crate) fn open(&mut self, at: Index) {
        if self.0.len() >= MAX_SESSIONS {
            let oldest = self
                .0
                .iter()
                .min_by_key(|(id, Shared(session))| (session.last_used, **id))
                .map(|(id, _)| *id);
            oldest.and_then(|id| self.0.remove(&id));
        }
        let session = Session { last: Serial(0), last_used: at, results: BTreeMap::new() };
        self.0.insert(SessionId(at.0), Shared(Arc::new(session)));
    }

    /// Ends a session.
    pub(crate) fn close(&mut self, id: SessionId) -> Result<(), Rejection> {
        self.0.remove(&id).map(drop).ok_or(Rejection::UnknownSession)
    }

    /// Whether the command with `serial` is to be applied now.
    pub(crate) fn turn(&mut self, id: SessionId, serial: Serial, at: Index) -> Result<Turn, Rejection> {
        let session = self.session_mut(id).ok_or(Rejection::UnknownSession)?;
        if serial == Serial(0) || serial > session.last.next() {
            return Err(Rejection::Invalid(format!("the session's next serial is {}", session.last.next())));
        }
        session.last_used = at;
        if serial == session.last.next() || planted(Mutation::SessionCommandAppliedAgain) {
            return Ok(Turn::Now);
        }
        session.results.get(&serial).cloned().map(Turn::Before).ok_or(Rejection::ForgottenSerial)
    }

    /// Keeps the answer to a command whose turn it was. A session that the command itself ended keeps nothing.
    pub(crate) fn record(&mut self, id: SessionId, serial: Serial, outcome: &Outcome) {
        let Some(session) = self.session_mut(id) else { return };
        session.last = serial;
        if outcome_len(outcome) <= MAX_KEPT_RESULT_LEN {
            session.results.insert(serial, outcome.clone());
        }
        if session.results.len() > KEPT_RESULTS {
            session.results.pop_first();
        }
    }

    fn session_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.0.get_mut(&id).map(|Shared(session)| Arc::make_mut(session))
    }

    /// How many are open.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether every bound holds and nothing lies beyond `applied`.
    pub(crate) fn are_sound(&self, applied: Index) -> bool {
        let sound = |(id, Shared(session)): (&SessionId, &Shared)| {
            id.0 <= applied.0
                && session.last_used <= applied
                && session.results.len() <= KEPT_RESULTS
                && session.results.last_key_value().is_none_or(|(serial, _)| *serial <= session.last)
                && session.results.values().all(|outcome| outcome_len(outcome) <= MAX_KEPT_RESULT_LEN)
        };
        self.0.len() <= MAX_SESSIONS && self.0.iter().all(sound)
    }
}

fn outcome_len(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Control(..) => 0,
        Outcome::User(result, _) => result.len(),
    }
}
