//! What people do about clients on other machines: let them in, list them, shut them out.

use crate::machine::UserMachine;
use crate::operator::answers::ANSWER_WITHIN;
use crate::operator::listener::Call;
use crate::operator::{ClientLine, Reply};
use crate::shell::{PendingReply, Shell};
use rafty_dictionary::Expiring;
use rafty_node::{Answer, Input};
use rafty_types::{Command, ControlCommand, ControlResult};
use rafty_wire::client::ClientToken;
use rand_core::Rng;
use std::net::SocketAddr;
use zeroize::Zeroizing;

impl<U: UserMachine> Shell<U> {
    /// A token is shown only when the peer set knows it.
    pub(super) fn create_client(&mut self, call: Call, name: String, read_only: bool, ttl_s: u64) -> Input {
        let mut secret = Zeroizing::new([0; 32]);
        crate::random::rng().fill_bytes(&mut secret[..]);
        let token = ClientToken::from_secret(secret);
        let record = token.record(name, read_only, ttl_s.saturating_mul(1_000));
        let command = Command::Control(ControlCommand::ClientCreated(record));
        let request = rafty_node::Request::Commit { client: None, session: None, command };
        self.request(PendingReply::ClientToken(call, token), request, ANSWER_WITHIN)
    }

    pub(crate) fn hand_out_client_token(&self, call: &Call, token: &ClientToken, answer: Answer) {
        if !matches!(answer, Answer::Control(ControlResult::Done, _)) {
            return self.answer_person(call, answer);
        }
        let remote = self.member.clients.filter(|ip| !ip.is_loopback());
        let mut members: Vec<_> = self.node.state().control().members().values().collect();
        members.sort_by_key(|member| member.id != self.me);
        let addresses: Vec<SocketAddr> =
            members.into_iter().filter_map(|member| member.addresses.first().copied()).collect();
        call.answer(&Reply::ClientToken { token: token.to_text().to_string(), addresses, remote });
    }

    pub(super) fn client_list(&self) -> Reply {
        let now = self.node.elapsed_ms();
        let clients = self.node.state().control().clients().values();
        let line = |client: &Expiring<rafty_types::ClientRecord>| ClientLine {
            name: client.record.name.clone(),
            read_only: client.record.read_only,
            ttl_s: self.node.state().left_ms(client, now) / 1_000,
        };
        Reply::Clients { clients: clients.map(line).collect() }
    }
}
