//! Changes that count once, however often they must be sent.
//!
//! The peer set numbers a session's changes and remembers its answers (Raft thesis §6.3), so that a change whose answer
//! got lost can be sent again.

use crate::requests::{UNKNOWN_SESSION, answer, found};
use crate::{ClientError, ClusterClient};
use rafty_types::{Serial, SessionId};
use rafty_wire::client::{Address, Ask, Change, Reply};

/// How often a change is begun anew because its session is not known any more.
const MAX_SESSIONS: u32 = 3;
/// Said by the replicated state itself, so that the serial is used up.
const FULL: &str = "full";
/// Refusals after which a change that certainly does not count is begun anew in another session: this one is gone, or
/// somebody else gave the serial to a change of its own.
const BEGUN_ANEW: &[&str] = &[UNKNOWN_SESSION, "serial_reused"];

/// A session with a peer set, opened when it is first used and again when the peer set has forgotten it. One change at a
/// time goes through it. It is no `Clone`: two users of one session would give one serial to two changes, of which only
/// the first would count. For the same reason a child process opens a session of its own.
///
/// With a token the session is the token's, whichever member is asked. Without one it is known only to the member that opened
/// it: when that one is gone for good, a change that it did not answer is of unknown outcome.
#[derive(Debug, Default)]
pub struct Session {
    open: Option<Open>,
    /// The process that opened it.
    process: u32,
}

#[derive(Debug)]
struct Open {
    id: SessionId,
    /// Of the next change.
    serial: Serial,
    /// Who opened it.
    home: Address,
}

impl ClusterClient {
    /// Changes an entry, once, however often it must be sent until a member answers. `false` when there was no entry to
    /// delete.
    ///
    /// # Errors
    /// As [`request`](Self::request). The outcome is unknown only when no answer came within all limits, or when the
    /// session ended in between.
    pub async fn append_once(&self, session: &mut Session, change: &Change) -> Result<bool, ClientError> {
        self.change_once(session, change).await.map(|reply| found(&reply))
    }

    /// Gives the peer set's own machine, where it is not the dictionary, a command, once, however often it must be sent
    /// until a member answers. What the machine answers.
    ///
    /// # Errors
    /// As [`append_once`](Self::append_once).
    pub async fn command_once(&self, session: &mut Session, command: &[u8]) -> Result<Vec<u8>, ClientError> {
        self.change_once(session, &Change::Command(command.to_vec())).await.map(|reply| answer(&reply))
    }

    async fn change_once(&self, session: &mut Session, change: &Change) -> Result<Vec<u8>, ClientError> {
        for left in (0..MAX_SESSIONS).rev() {
            // Taken: whoever stops waiting for this leaves a session of which it does not know how far it is.
            let process = std::mem::replace(&mut session.process, std::process::id());
            let open = match session.open.take() {
                Some(open) if process == session.process => open,
                _ => self.open_session().await?,
            };
            let ask = Ask::Append { change: change.clone(), session: Some((open.id, open.serial)) };
            let result = self.request_in_session(&ask, &open.home).await;
            session.open = is_used_up(&result).then(|| Open { serial: open.serial.next(), ..open });
            match result {
                Err(ClientError::Refused { code, .. }) if BEGUN_ANEW.contains(&&*code) && left > 0 => {}
                result => return result,
            }
        }
        unreachable!("the last session's result is returned");
    }

    async fn open_session(&self) -> Result<Open, ClientError> {
        let (home, reply) = self.request_told_by(&Ask::Session).await?;
        match Reply::decode(&reply) {
            Some(Reply::Session { session: id }) => Ok(Open { id, serial: Serial(1), home }),
            _ => Err(ClientError::Decode("a session".into())),
        }
    }
}

/// Whether a change that ended so has used its serial, and nothing else is under way. Otherwise the serial may not be
/// given to another change: if the peer set has it, it would answer for the first one.
fn is_used_up<T>(result: &Result<T, ClientError>) -> bool {
    match result {
        Ok(_) => true,
        Err(ClientError::Refused { code, .. }) => code == FULL,
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_is_passed_on_only_when_the_state_itself_has_answered() {
        assert!(is_used_up(&Ok(true)));
        assert!(is_used_up::<()>(&Err(ClientError::refused("full", "no room"))));
        for error in [
            ClientError::UnknownOutcome(String::new()),
            ClientError::NoLeader(String::new()),
            ClientError::Unreachable(String::new()),
            ClientError::refused("busy", ""),
            ClientError::refused("unknown_session", ""),
        ] {
            assert!(!is_used_up::<()>(&Err(error)));
        }
    }
}
