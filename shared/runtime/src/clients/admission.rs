//! Who a client is, and whether it may ask what it asks.
//!
//! Programs of this machine need no token. All others show one, and so may programs of this machine that want to do no
//! more than it allows. It is looked up for every request, so a client that was revoked is refused at its next one, kept
//! connection or not. A token never changes who belongs to the peer set.

use crate::clients::{ClientCall, error};
use crate::machine::UserMachine;
use crate::shell::{PendingReply, Shell};
use rafty_dictionary::Expiring;
use rafty_node::{Answer, Input, Request as NodeRequest};
use rafty_types::{ClientId, ClientRecord};
use rafty_wire::client::{Ask, ErrorCode, Reply, encode_answer, prove};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How many requests with tokens that are not known here may wait for this member to hear the newest.
const MAX_STRANGERS: usize = 32;
/// How long they wait.
const STRANGER_WITHIN: Duration = Duration::from_secs(2);

/// What becomes of a request before it is looked at.
enum Admission {
    Granted,
    /// This member does not know the token, or not yet.
    Unknown,
    Refused(Reply),
}

impl<U: UserMachine> Shell<U> {
    /// A client asked for something.
    pub(crate) fn client_called(&mut self, call: ClientCall) -> Option<Input> {
        match self.admission(&call) {
            Admission::Granted => return self.serve_client(call),
            Admission::Unknown if self.clients.strangers < MAX_STRANGERS => {
                self.clients.strangers += 1;
                return Some(self.request(PendingReply::Stranger(call), NodeRequest::Read, STRANGER_WITHIN));
            }
            Admission::Unknown => self.tell(&call, unknown().encode()),
            Admission::Refused(reply) => self.tell(&call, reply.encode()),
        }
        None
    }

    /// Whatever was committed when a stranger came is applied now, or nobody leads.
    pub(crate) fn stranger_looked_up(&mut self, call: ClientCall, answer: Answer) -> Option<Input> {
        self.clients.strangers -= 1;
        match (self.admission(&call), answer) {
            (Admission::Granted, _) => return self.serve_client(call),
            (Admission::Refused(reply), _) => self.tell(&call, reply.encode()),
            (Admission::Unknown, Answer::Readable(_)) => self.tell(&call, unknown().encode()),
            (Admission::Unknown, _) => {
                let why =
                    "the token is not known here, and no leader tells more; nothing was changed; try again";
                self.tell(&call, error(ErrorCode::NoLeader, why).encode());
            }
        }
        None
    }

    /// Why a request that was granted is not answered any more.
    pub(super) fn refusal(&self, call: &ClientCall) -> Option<Reply> {
        match self.admission(call) {
            Admission::Granted => None,
            Admission::Unknown => Some(unknown()),
            Admission::Refused(reply) => Some(reply),
        }
    }

    fn admission(&self, call: &ClientCall) -> Admission {
        if let Ask::Proof { client } = &call.request.ask {
            return match self.client(client) {
                _ if !call.way.sealed => Admission::Refused(not_sealed()),
                None => Admission::Unknown,
                Some(client) if self.is_expired(client) => Admission::Refused(expired()),
                Some(_) => Admission::Granted,
            };
        }
        let Some(token) = &call.token else {
            return if call.way.local { Admission::Granted } else { Admission::Refused(no_token()) };
        };
        match self.client(&token.id()) {
            None => Admission::Unknown,
            Some(client) if !token.is_of(&client.record) => Admission::Refused(unknown()),
            Some(client) if self.is_expired(client) => Admission::Refused(expired()),
            Some(client) => {
                call.known.store(true, Ordering::Relaxed);
                may(&client.record, &call.request.ask).map_or(Admission::Granted, Admission::Refused)
            }
        }
    }

    /// That this member knows the client, bound to the certificate it shows.
    pub(super) fn proof(&self, client: &[u8; 16]) -> Vec<u8> {
        match self.client(client) {
            Some(client) => encode_answer(&prove(&client.record, &self.clients.certificate)),
            None => unknown().encode(),
        }
    }

    fn client(&self, id: &ClientId) -> Option<&Expiring<ClientRecord>> {
        self.node.state().control().client(id)
    }

    /// By the peer set's time, as far as this member can tell.
    fn is_expired(&self, client: &Expiring<ClientRecord>) -> bool {
        self.node.state().left_ms(client, self.node.elapsed_ms()) == 0
    }
}

/// Why a client may not ask this; nothing when it may.
fn may(client: &ClientRecord, ask: &Ask) -> Option<Reply> {
    let why = match ask {
        Ask::Config { .. } => {
            "a token does not change who belongs to the peer set; do it on a member's own machine"
        }
        Ask::Append { .. } | Ask::Session if client.read_only => "this token only reads",
        _ => return None,
    };
    Some(error(ErrorCode::NotAllowed, &format!("{why}; nothing was changed")))
}

fn no_token() -> Reply {
    let why = "from another machine a token is needed; nothing was changed; \
               an operator makes one with `rafty client create`";
    error(ErrorCode::Unauthorized, why)
}

pub(super) fn unknown() -> Reply {
    let why = "the token is unknown or revoked; nothing was changed; ask an operator for a new one";
    error(ErrorCode::Unauthorized, why)
}

fn expired() -> Reply {
    let why = "the token has expired; nothing was changed; ask an operator for a new one";
    error(ErrorCode::Unauthorized, why)
}

fn not_sealed() -> Reply {
    error(
        ErrorCode::TlsRequired,
        "a proof is about a TLS certificate; nothing was changed; connect with TLS 1.3",
    )
}
