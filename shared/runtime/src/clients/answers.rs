//! What clients' requests mean to the loop, and what they get back.
//!
//! It decides nothing: who leads, what counts and what may be read is the node's word.

use crate::clients::admission::unknown;
use crate::clients::limits::Budget;
use crate::clients::stats::{Done, Tally};
use crate::clients::whole::{Form, LastWhole, WholeReply};
use crate::clients::{Body, ClientCall, MAX_REPLY_BYTES, Outgoing, error};
use crate::machine::{NO_DICTIONARY, UserMachine};
use crate::operator::wall_ms;
use crate::shell::{PendingReply, Shell};
use rafty_consensus::Role;
use rafty_dictionary::{CLUSTER_KEY, EntryCommand, EntryRefusal, EntryResult};
use rafty_node::{Answer, DEFAULT_TIMEOUT, Input, Request as NodeRequest};
use rafty_types::{
    ClientId, Command, ControlCommand, ControlResult, Index, Member, MemberId, Rejection, Serial, SessionId,
};
use rafty_wire::client::{
    Address, Ask, Change, ClientToken, ConfigAction, Consistency, Diagnostic, ErrorCode, LeaderStatus, Log,
    Persist, Reply, Volatile, encode_answer, encode_cluster, encode_query_answer, encode_reading,
};
use rustls::pki_types::CertificateDer;

// The client protocol refuses what the dictionary would.
const _: () = assert!(rafty_wire::client::MAX_KEY_LEN == rafty_dictionary::MAX_KEY_LEN);
const _: () = assert!(rafty_wire::client::MAX_VALUE_LEN == rafty_dictionary::MAX_VALUE_LEN);

/// What the loop keeps for its clients.
pub(crate) struct ClientDesk {
    replies: Budget,
    tally: Tally,
    whole: LastWhole,
    /// What the port shows whoever speaks TLS.
    pub(super) certificate: CertificateDer<'static>,
    /// How many requests wait for this member to hear the newest because it does not know their tokens.
    pub(super) strangers: usize,
}

impl ClientDesk {
    pub(crate) fn new(certificate: CertificateDer<'static>) -> Self {
        Self {
            replies: Budget::new(MAX_REPLY_BYTES),
            tally: Tally::default(),
            whole: LastWhole::default(),
            certificate,
            strangers: 0,
        }
    }

    /// Entries were appended to the log.
    pub(crate) fn appended(&mut self, entries: usize) {
        self.tally.count(wall_ms() / 1_000, Done::Append, entries);
    }
}

impl ClientCall {
    /// Answers. A client that has gone does not hear it.
    fn answer(&self, reply: Outgoing) {
        let _ = self.reply.try_send(reply);
    }

    /// Whose sessions it opens and continues: its token's; without one, those of this machine's programs.
    fn client(&self) -> Option<ClientId> {
        self.token.as_ref().map(ClientToken::id)
    }
}

impl<U: UserMachine> Shell<U> {
    /// Does what a client may ask.
    pub(super) fn serve_client(&mut self, call: ClientCall) -> Option<Input> {
        let has_dictionary = self.node.state().user().dictionary().is_some();
        if let Err(wrong) = suits(&call.request.ask, has_dictionary) {
            self.tell(&call, wrong.encode());
            return None;
        }
        let request = match &call.request.ask {
            Ask::Diagnostic => {
                self.tell(&call, self.diagnostic().encode());
                return None;
            }
            Ask::Get { consistency: Consistency::Stale, .. }
            | Ask::Query { consistency: Consistency::Stale, .. } => {
                self.show(&call, true);
                return None;
            }
            Ask::Get { .. } | Ask::Query { .. } => NodeRequest::Read,
            Ask::Proof { client } => {
                self.tell(&call, self.proof(client));
                return None;
            }
            Ask::Session => {
                let command = Command::Control(ControlCommand::SessionOpened);
                NodeRequest::Commit { client: call.client(), session: None, command }
            }
            Ask::Append { change, session } => {
                self.clients.tally.count(wall_ms() / 1_000, Done::Write, 1);
                match user_command(change) {
                    Ok(command) => self.change(&call, *session, command),
                    Err(why) => {
                        self.tell(&call, refused(why).encode());
                        return None;
                    }
                }
            }
            Ask::Config { .. } if !self.node.is_laptop(self.me) => {
                let why = "devices do not change who belongs; ask on a laptop; nothing was changed";
                self.tell(&call, Reply::failed("not_allowed", why).encode());
                return None;
            }
            Ask::Config { action, address, port } => match self.config_command(*action, address, *port) {
                Ok(command) => self.change(&call, None, command),
                // This member may not have heard of it yet.
                Err(_) => NodeRequest::Read,
            },
        };
        Some(self.client_request(call, request))
    }

    /// How a change gets to the leader: by a redirect of the client, or forwarded when the client wants that. A token is
    /// looked up here only, so a member that does not lead must hear the newest first: it may have been revoked.
    fn change(
        &self,
        call: &ClientCall,
        session: Option<(SessionId, Serial)>,
        command: Command,
    ) -> NodeRequest {
        let leads = self.node.consensus().leader() == Some(self.me);
        let client = session.and(call.client());
        match call.request.forward {
            true if call.token.is_some() && !leads => NodeRequest::Read,
            true => NodeRequest::Commit { client, session, command },
            false => NodeRequest::CommitHere { client, session, command },
        }
    }

    /// A change whose client's token had to be looked up in the newest state first.
    fn change_after_read(&mut self, call: ClientCall) -> Option<Input> {
        let Ask::Append { change, session } = &call.request.ask else { return None };
        let reply = match (self.refusal(&call), user_command(change)) {
            (Some(reply), _) => reply,
            (None, Err(why)) => refused(why),
            (None, Ok(command)) => {
                let client = session.and(call.client());
                let request = NodeRequest::Commit { client, session: *session, command };
                return Some(self.client_request(call, request));
            }
        };
        self.tell(&call, reply.encode());
        None
    }

    fn client_request(&mut self, call: ClientCall, request: NodeRequest) -> Input {
        let within = call.request.timeout.unwrap_or(DEFAULT_TIMEOUT);
        self.request(PendingReply::Client(call), request, within)
    }

    /// The node answered what a client asked. The member that the client named may be known only now.
    pub(crate) fn answer_client(&mut self, call: ClientCall, answer: Answer) -> Option<Input> {
        match (&call.request.ask, answer) {
            (
                Ask::Get { consistency: Consistency::Linearizable, .. }
                | Ask::Query { consistency: Consistency::Linearizable, .. },
                Answer::NoLeader | Answer::Busy,
            ) => {
                let why = "no leader confirmed the read in time; nothing was changed; try again, or read what is here";
                self.tell(&call, error(ErrorCode::NoLeader, why).encode());
            }
            // What was committed when the read came is applied only now: the client's revocation may be among it.
            (Ask::Get { .. } | Ask::Query { .. }, answer) => match self.refusal(&call) {
                None => self.show(&call, !matches!(answer, Answer::Readable(_))),
                Some(reply) => self.tell(&call, reply.encode()),
            },
            (Ask::Append { .. }, Answer::Readable(_)) => return self.change_after_read(call),
            (Ask::Append { change: Change::Command(_), .. }, Answer::User(result, _)) => {
                self.tell(&call, encode_answer(&result));
            }
            (Ask::Config { action, address, port }, Answer::Readable(_)) => {
                match self.config_command(*action, address, *port) {
                    Ok(command) => {
                        let request = self.change(&call, None, command);
                        return Some(self.client_request(call, request));
                    }
                    // What a read has just confirmed is the newest, so the leader knows no more.
                    Err(reply) if call.request.forward => self.tell(&call, reply.encode()),
                    Err(reply) => self.tell(&call, self.elsewhere().unwrap_or(reply).encode()),
                }
            }
            (Ask::Session, Answer::Control(ControlResult::Done, index)) => {
                self.tell(&call, Reply::Session { session: SessionId(index.0) }.encode());
            }
            (ask, answer) => self.tell(&call, self.outcome(ask, answer).encode()),
        }
        None
    }

    pub(super) fn tell(&self, call: &ClientCall, bytes: Vec<u8>) {
        call.answer(Outgoing::Body(Body::within(&self.clients.replies, bytes)));
    }

    /// Answers a read from the applied state, which is `stale` unless a leader confirmed it.
    fn show(&mut self, call: &ClientCall, stale: bool) {
        self.clients.tally.count(wall_ms() / 1_000, Done::Read, 1);
        match &call.request.ask {
            Ask::Get { key: Some(key), .. } if key.as_bytes() == CLUSTER_KEY => {
                self.tell(call, encode_reading(Some(&encode_cluster(&self.cluster())), stale));
            }
            Ask::Get { key: Some(key), .. } => {
                let entries = self.node.state().user().dictionary();
                let value = entries.and_then(|entries| entries.get(key.as_bytes()));
                self.tell(call, encode_reading(value, stale));
            }
            Ask::Query { query, .. } => {
                self.tell(call, encode_query_answer(&self.node.state().user().query(query), stale))
            }
            Ask::Get { framed: true, .. } => self.show_whole(call, Form::Framed { stale }),
            _ => self.show_whole(call, Form::Bare),
        }
    }

    fn show_whole(&mut self, call: &ClientCall, form: Form) {
        let (state, cluster, replies) = (self.node.state(), self.cluster(), self.clients.replies.clone());
        let entries = || state.user().dictionary().cloned().unwrap_or_default();
        let make = || WholeReply::new(entries(), cluster, form, replies);
        let reply = self.clients.whole.of(state.applied(), form, make);
        call.answer(Outgoing::Whole(reply));
    }

    /// What became of a change.
    fn outcome(&self, ask: &Ask, answer: Answer) -> Reply {
        match answer {
            Answer::Control(ControlResult::Done, _) => Reply::done(),
            Answer::Control(ControlResult::Rejected(why), _) => rejected(ask, &why),
            Answer::User(result, _) => match EntryResult::decode(&result) {
                Some(EntryResult::Done) => Reply::done(),
                Some(EntryResult::Missing) => Reply::missing(),
                Some(EntryResult::Refused(why)) => refused(why),
                None => unknown_outcome(),
            },
            Answer::Redirect(leader) => match self.address_of(leader) {
                Some(leader) => Reply::Redirect { leader },
                None => self.no_leader(),
            },
            Answer::NoLeader | Answer::Readable(_) => self.no_leader(),
            Answer::ChangePending => Reply::failed(
                "change_pending",
                "another change of membership is under way; nothing was changed; try again",
            ),
            Answer::Busy => Reply::failed("busy", "too many requests wait; nothing was changed; try again"),
            Answer::Unknown => unknown_outcome(),
        }
    }

    fn no_leader(&self) -> Reply {
        let why = self.node.why_no_leader();
        Reply::failed(
            "no_leader",
            format!("no leader was found in time: {why}; nothing was changed; try again"),
        )
    }

    /// The command that changes who votes; or the answer, as far as this member knows.
    fn config_command(&self, action: ConfigAction, host: &str, port: u16) -> Result<Command, Reply> {
        let wanted = Address(host.to_string(), port);
        let members = self.node.state().control().members();
        let is_it = |member: &&Member| member.addresses.iter().any(|at| Address::from(*at) == wanted);
        let Some(member) = members.values().find(is_it) else {
            let why = "no member has this address; nothing was changed; let it join with a token first";
            return Err(Reply::failed("unknown_peer", why));
        };
        let command = match action {
            ConfigAction::Add if member.seat => return Err(Reply::done()),
            ConfigAction::Add => self.node.seat_command(member.id).ok_or_else(|| {
                let why = "an odd number of members votes, and there is no other to vote beside this one; \
                               nothing was changed; let one more join";
                Reply::failed("even_seats", why)
            })?,
            ConfigAction::Delete => ControlCommand::Revoke { member: member.id },
        };
        Ok(Command::Control(command))
    }

    /// The way to the leader, when another member leads.
    fn elsewhere(&self) -> Option<Reply> {
        let leader = self.node.consensus().leader().filter(|leader| *leader != self.me)?;
        self.address_of(leader).map(|leader| Reply::Redirect { leader })
    }

    fn address_of(&self, member: MemberId) -> Option<Address> {
        let member = self.node.state().control().member(member)?;
        member.addresses.first().map(|address| (*address).into())
    }

    /// Where every member is.
    fn cluster(&self) -> Vec<Address> {
        let members = self.node.state().control().members().keys();
        members.filter_map(|member| self.address_of(*member)).collect()
    }

    fn diagnostic(&self) -> Diagnostic {
        let raft = self.node.diagnostic();
        let by_address = |all: &[(MemberId, Index)]| {
            all.iter().filter_map(|(member, index)| Some((self.address_of(*member)?, index.0))).collect()
        };
        let own = || self.net.local_addr().unwrap_or(self.member.listen).into();
        Diagnostic {
            status: match raft.role {
                Role::Leader => "Leader".into(),
                Role::Follower => "Follower".into(),
                Role::Candidate => "Candidate".into(),
            },
            persist: Persist {
                voted_for: raft.voted_for.and_then(|member| self.address_of(member)),
                current_term: raft.term.0,
            },
            volatile: Volatile {
                leader_id: raft.leader.and_then(|member| self.address_of(member)),
                cluster: self.cluster(),
                address: self.address_of(self.me).unwrap_or_else(own),
            },
            log: Log { commit_index: raft.commit.0 },
            stats: self.clients.tally.lately(wall_ms() / 1_000),
            leader_status: raft.leading.map(|leading| LeaderStatus {
                net_index: by_address(&leading.next),
                match_index: by_address(&leading.matched),
                waiting_clients: leading
                    .waiting
                    .iter()
                    .map(|(index, count)| (index.to_string(), *count as u64))
                    .collect(),
            }),
        }
    }
}

/// Whether what runs here has such a request. Commands in bytes would go around what is checked of the dictionary's
/// values, and one that is no MessagePack would spoil every reply that it is in.
fn suits(ask: &Ask, has_dictionary: bool) -> Result<(), Reply> {
    match ask {
        Ask::Append { change: Change::Command(_), .. } if has_dictionary => {
            let why = "this peer set has the dictionary; nothing was changed; use change and delete";
            Err(error(ErrorCode::Malformed, why))
        }
        ask if is_for_dictionary(ask) && !has_dictionary => {
            let why = format!("{NO_DICTIONARY}; nothing was changed; use command and query");
            Err(error(ErrorCode::NoDictionary, &why))
        }
        _ => Ok(()),
    }
}

/// Whether it makes sense for the dictionary only. To read everything makes sense in any case: it tells the members.
fn is_for_dictionary(ask: &Ask) -> bool {
    match ask {
        Ask::Get { key: Some(key), .. } => key.as_bytes() != CLUSTER_KEY,
        Ask::Append { change, .. } => !matches!(change, Change::Command(_)),
        _ => false,
    }
}

fn user_command(change: &Change) -> Result<Command, EntryRefusal> {
    let command = match change {
        Change::Set { key, .. } | Change::Delete { key } if key.as_bytes() == CLUSTER_KEY => {
            return Err(EntryRefusal::ReadOnlyKey);
        }
        Change::Set { key, value } => {
            EntryCommand::Set { key: key.clone().into(), value: value.clone() }.encode()
        }
        Change::Delete { key } => EntryCommand::Delete { key: key.clone().into() }.encode(),
        Change::Command(command) => command.clone(),
    };
    Ok(Command::User(command))
}

fn refused(why: EntryRefusal) -> Reply {
    let word = match why {
        EntryRefusal::ReadOnlyKey => "read_only_key",
        EntryRefusal::KeyTooLong | EntryRefusal::ValueTooLong => "too_long",
        EntryRefusal::Full => "full",
        EntryRefusal::Malformed => "malformed",
    };
    Reply::failed(word, why)
}

/// What is said of a command that was rejected. Every member may write and open sessions, so one that may not was removed,
/// and may not have heard of it: another one is to be asked.
fn rejected(ask: &Ask, why: &Rejection) -> Reply {
    match (ask, why) {
        (Ask::Append { .. } | Ask::Session, Rejection::NotAllowed) => Reply::failed(
            "stopping",
            "this member was removed from the peer set; nothing was changed; ask another member",
        ),
        // It was revoked on the way.
        (Ask::Session, Rejection::UnknownClient) => unknown(),
        _ => Reply::failed(rejection_word(why), format!("{why}; nothing was changed")),
    }
}

fn rejection_word(why: &Rejection) -> &'static str {
    match why {
        Rejection::UnknownSession => "unknown_session",
        Rejection::ForgottenSerial => "forgotten_serial",
        Rejection::SerialReused => "serial_reused",
        Rejection::LastVoter => "last_voter",
        Rejection::NotAllowed => "not_allowed",
        Rejection::UnknownMember => "unknown_peer",
        _ => "rejected",
    }
}

fn unknown_outcome() -> Reply {
    Reply::failed(
        "unknown_outcome",
        "leadership changed on the way: it may or may not count; look before you repeat it",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_of_a_removed_member_is_told_to_ask_another() {
        let said = |ask: &Ask| match rejected(ask, &Rejection::NotAllowed) {
            Reply::Result { success: false, error: Some(code), .. } => code,
            other => panic!("{other:?}"),
        };
        let write = Ask::Append { change: Change::Delete { key: "lamp".into() }, session: None };
        assert_eq!((said(&write), said(&Ask::Session)), ("stopping".into(), "stopping".into()));
        let config = Ask::Config { action: ConfigAction::Delete, address: "127.0.0.1".into(), port: 7400 };
        assert_eq!(said(&config), "not_allowed", "an operator's command needs an operator");
    }
}
