//! What people's requests mean to the loop, and what they get back.

use crate::clients::client_address;
use crate::machine::{NO_DICTIONARY, UserMachine};
use crate::member::MODELS;
use crate::operator::listener::Call;
use crate::operator::{BackupState, MemberStatus, ModelInfo, Reply, Request, Room, RunLog, json_of};
use crate::shell::{PendingReply, Shell};
use crate::upkeep::written_bytes;
use rafty_dictionary::{EntryCommand, EntryResult, RunStatus};
use rafty_node::{Answer, Input};
use rafty_seal::Token;
use rafty_storage::replace_file;
use rafty_types::{
    Command, ControlCommand, ControlResult, MAX_TASK_LEN, MemberKind, RunId, RunSpec, Strategy,
};
use rafty_wire::client::{self, Ask, Change, Parser};
use std::time::{Duration, Instant, SystemTime};

/// How long a person's request may take.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(10);

impl<U: UserMachine> Shell<U> {
    /// A person asked for something.
    pub(crate) fn called(&mut self, call: Call) -> Vec<Input> {
        if let Request::TokenCreate { role, ttl_s, uses, may_lead } = call.request {
            return vec![self.create_token(call, role, may_lead, ttl_s, uses)];
        }
        if let Request::ClientCreate { name, read_only, ttl_s } = &call.request {
            let (name, read_only, ttl_s) = (name.clone(), *read_only, *ttl_s);
            return vec![self.create_client(call, name, read_only, ttl_s)];
        }
        match self.command_of(&call) {
            Ok(Some(command)) => {
                let request = rafty_node::Request::Commit { client: None, session: None, command };
                vec![self.request(PendingReply::Person(call), request, ANSWER_WITHIN)]
            }
            Ok(None) => self.look_up(call),
            Err(why) => {
                call.refuse(why);
                Vec::new()
            }
        }
    }

    /// The command that a request asks to commit; none when it only looks.
    fn command_of(&self, call: &Call) -> Result<Option<Command>, String> {
        let control = match &call.request {
            Request::RunStart { name, task, rounds, seed } => {
                let task = normalised(task)?;
                let (name, rounds, seed) = (name.clone(), *rounds, *seed);
                ControlCommand::RunSubmitted(RunSpec { name, task, rounds, seed, strategy: Strategy::FedAvg })
            }
            Request::RunStop => {
                let run = self.node.state().control().active_run().map(|run| run.id);
                ControlCommand::RunStopped { run: run.ok_or("no run is active; nothing was changed")? }
            }
            Request::SettingChange { name, value } => {
                ControlCommand::SettingChanged { name: name.clone(), value: *value }
            }
            Request::Revoke { member } => ControlCommand::Revoke { member: *member },
            Request::ClientRevoke { name } => ControlCommand::ClientRevoked { name: name.clone() },
            Request::Set { .. } | Request::Delete { .. }
                if self.node.state().user().dictionary().is_none() =>
            {
                return Err(format!("{NO_DICTIONARY}; nothing was changed"));
            }
            Request::Set { key, value } => {
                let value = rmp_serde::to_vec_named(value).map_err(|error| error.to_string())?;
                check_as_a_clients(Change::Set { key: key.clone(), value: value.clone() })?;
                return Ok(Some(Command::User(
                    EntryCommand::Set { key: key.clone().into(), value }.encode(),
                )));
            }
            Request::Delete { key } => {
                return Ok(Some(Command::User(EntryCommand::Delete { key: key.clone().into() }.encode())));
            }
            _ => return Ok(None),
        };
        Ok(Some(Command::Control(control)))
    }

    fn look_up(&mut self, call: Call) -> Vec<Input> {
        match &call.request {
            Request::Clients => call.answer(&self.client_list()),
            Request::Status => {
                self.digest_if_stale();
                call.answer(&Reply::Status(Box::new(self.status())));
            }
            Request::RunLog { run } => match self.run_log(*run) {
                Some(log) => call.answer_later(move || Reply::RunLog(Box::new(log))),
                None => call.refuse("there is no such run; see `status`"),
            },
            Request::Model => match self.model() {
                Some(model) => call.answer(&Reply::Model(model)),
                None => call.refuse("this member holds no model yet; it comes with the first round it sees"),
            },
            Request::Backup { stale: true } => self.answer_backup(&call),
            Request::Get { .. } | Request::Backup { .. } => {
                return vec![self.request(
                    PendingReply::Person(call),
                    rafty_node::Request::Read,
                    ANSWER_WITHIN,
                )];
            }
            Request::Transfer { .. } if !self.node.is_laptop(self.me) => {
                call.refuse("devices move no leadership; ask on a laptop; nothing was changed");
            }
            Request::Transfer { to } => {
                let to = *to;
                call.answer(&Reply::Done { index: None });
                return vec![Input::Transfer(to)];
            }
            Request::Events => self.narrator.follow(call.follower()),
            Request::Watch { key } => return self.watch(&call, key.as_deref()),
            Request::Stop => {
                self.stopping.get_or_insert_with(Instant::now);
                call.answer(&Reply::Done { index: None });
                return vec![Input::Retire(true)];
            }
            _ => call.refuse("this request needs a command"),
        }
        Vec::new()
    }

    /// The node answered what a person asked.
    pub(crate) fn answer_person(&self, call: &Call, answer: Answer) {
        match answer {
            Answer::Control(ControlResult::Done, index) => call.answer(&Reply::Done { index: Some(index.0) }),
            Answer::Control(ControlResult::Rejected(why), _) => {
                call.refuse(format!("{why}; nothing was changed"))
            }
            Answer::User(result, index) => match EntryResult::decode(&result) {
                Some(EntryResult::Refused(why)) => call.refuse(format!("{why}; nothing was changed")),
                Some(_) => call.answer(&Reply::Done { index: Some(index.0) }),
                None => call.leave_open("the answer is not readable; look with `get` whether it counts"),
            },
            Answer::Readable(_) if matches!(call.request, Request::Backup { .. }) => self.answer_backup(call),
            Answer::Readable(_) => self.answer_get(call),
            Answer::NoLeader => call.refuse(format!(
                "there is no leader: {}; nothing was changed",
                self.node.why_no_leader()
            )),
            Answer::Busy => call.refuse("too many requests wait; nothing was changed; try again"),
            Answer::Redirect(leader) => {
                call.refuse(format!("member {leader} leads; nothing was changed; ask it"))
            }
            Answer::ChangePending => {
                call.refuse("another change of membership is under way; nothing was changed; try again")
            }
            Answer::Unknown => call.leave_open(
                "too few voters confirmed it in time, or leadership changed on the way: it may or may not count; \
                 look before you repeat it",
            ),
        }
    }

    /// A token is shown only when the peer set knows it.
    fn create_token(&mut self, call: Call, role: MemberKind, may_lead: bool, ttl_s: u64, uses: u32) -> Input {
        let own_key = self.context.secrets.identity.key();
        let token = Token::generate(self.context.set.cluster, &own_key, &mut crate::random::rng());
        let record = token.record(role, may_lead, ttl_s.saturating_mul(1_000), uses);
        let command = Command::Control(ControlCommand::TokenCreated(record));
        let request = rafty_node::Request::Commit { client: None, session: None, command };
        self.request(PendingReply::Token(call, token), request, ANSWER_WITHIN)
    }

    pub(crate) fn hand_out_token(&self, call: &Call, token: &Token, answer: Answer) {
        if !matches!(answer, Answer::Control(ControlResult::Done, _)) {
            return self.answer_person(call, answer);
        }
        let own = self.node.state().control().members().get(&self.me);
        let addresses = own.map(|member| member.addresses.clone()).unwrap_or_default();
        call.answer(&Reply::Token { token: token.to_text().to_string(), addresses, room: self.room() });
    }

    fn room(&self) -> Room {
        let (state, now) = (self.node.state(), self.node.elapsed_ms());
        let control = state.control();
        let open = control.tokens().values().filter(|token| state.left_ms(token, now) > 0);
        Room {
            members: u32::try_from(control.members().len()).unwrap_or(u32::MAX),
            max_members: control.settings().max_members,
            invited: open.map(|token| token.record.uses).fold(0, u32::saturating_add),
        }
    }

    fn answer_backup(&self, call: &Call) {
        let frozen = self.node.freeze();
        let state = self.context.dir.temporary("backup");
        let models = self.context.dir.file(MODELS);
        call.answer_later(move || match replace_file(&state, &frozen.backup(), true) {
            Ok(()) => Reply::Backup(BackupState { index: frozen.index(), state, models }),
            Err(error) => Reply::Error { error: error.to_string(), unknown: false },
        });
    }

    fn answer_get(&self, call: &Call) {
        let Request::Get { key } = &call.request else { return call.refuse("nothing to read") };
        let Some(entries) = self.node.state().user().dictionary() else { return call.refuse(NO_DICTIONARY) };
        let value = entries.get_shared(key.as_bytes());
        call.answer_later(move || Reply::Value {
            found: value.is_some(),
            value: value.map(|value| json_of(&value)).unwrap_or_default(),
        });
    }

    fn status(&self) -> MemberStatus {
        let control = self.node.state().control();
        MemberStatus {
            name: if control.initialised() { control.name().to_string() } else { self.member.name.clone() },
            dir: self.context.dir.root().to_path_buf(),
            listen: self.net.local_addr().unwrap_or(self.member.listen),
            clients: client_address(self.net.local_addr().unwrap_or(self.member.listen)),
            settings: self.node.settings().clone(),
            node: self.node.status(self.digests.newest()),
            epoch: self.context.set.epoch,
            other_epochs: self.other_epochs(),
            trouble: self.trouble.clone(),
            envelopes: self.envelope_counts,
            dropped: self.net.stats().drops,
            up_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            written_bytes: written_bytes(),
            lateness: self.lateness,
        }
    }

    fn run_log(&self, run: Option<RunId>) -> Option<RunLog> {
        let runs = self.node.state().control().runs();
        let run = run.map_or_else(|| runs.values().next_back(), |run| runs.get(&run))?;
        let status = match run.status {
            RunStatus::Active => "active",
            RunStatus::Stopped => "stopped",
            RunStatus::Finished => "finished",
        };
        let rounds = self.node.run_log(run.id);
        let active = run.status == RunStatus::Active;
        let resting = if active { self.node.resting() } else { Vec::new() };
        let given_up = if active { self.node.given_up() } else { Vec::new() };
        let (run, name) = (run.id, run.spec.name.clone());
        Some(RunLog { run, name, status: status.into(), rounds, resting, given_up })
    }

    fn model(&self) -> Option<ModelInfo> {
        let run = self.node.state().control().runs().values().next_back()?;
        let newest = run.versions.iter().rev().find(|(_, digest)| self.context.models.contains(**digest));
        let (version, digest) = newest?;
        Some(ModelInfo {
            run: run.id,
            version: *version,
            digest: *digest,
            path: self.context.models.path(*digest),
        })
    }
}

/// What a client may not write, clients might not be able to read, nor anything beside it.
fn check_as_a_clients(change: Change) -> Result<(), String> {
    let ask = Ask::Append { change, session: None };
    let mut parser = Parser::default();
    parser.feed(&client::Request { ask, keep: false, timeout: None, token: None, forward: false }.encode());
    parser.next_request().map(drop).map_err(|why| format!("{}; nothing was changed", why.detail))
}

/// A task that is one, as this program writes it.
fn normalised(task: &str) -> Result<String, String> {
    let parsed =
        rafty_learning::Task::from_toml(task).map_err(|error| format!("{error}; no run was started"))?;
    let text = parsed.to_toml();
    if text.len() > MAX_TASK_LEN {
        return Err(format!("the task has more than {MAX_TASK_LEN} bytes; no run was started"));
    }
    Ok(text)
}

pub(crate) fn wall_ms() -> u64 {
    wall_us() / 1_000
}

/// Microseconds since 1970 by this machine's clock.
pub(crate) fn wall_us() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
