//! How a person's commands reach a running member: JSON lines over a Unix socket in its data directory.
//!
//! Whoever may read the directory may operate the member; nothing listens on the network for it. One request a
//! line; one reply a line, except [`Request::Events`], which is answered by a line per event until either side
//! closes. It is not the dictionary's client protocol.

mod answers;
mod clients;
pub(crate) mod listener;
mod room;

pub(crate) use answers::{wall_ms, wall_us};
pub use room::Room;

use crate::Lateness;
use crate::exact_json::Exact;
use crate::net::DropReason;
use rafty_node::Status;
use rafty_types::{Digest, Epoch, MemberId, MemberKind, RunId, SettingValue, Settings, Version};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The socket's name in the data directory.
pub const SOCKET: &str = "control.sock";
/// Longest request line, in bytes: a 1 MiB value in JSON's worst escape, and its frame.
pub const MAX_LINE: u64 = 8 * 1024 * 1024;
/// Longest path a Unix socket may have.
const MAX_SOCKET_PATH: usize = 107;

/// What a person asks of a member.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Request {
    /// Who is here and what happens.
    Status,
    /// A new token for newcomers.
    TokenCreate {
        /// What the newcomer will be.
        role: MemberKind,
        /// For how long it admits, in seconds.
        ttl_s: u64,
        /// How many newcomers it admits.
        uses: u32,
        /// Whether they may be aggregator.
        may_lead: bool,
    },
    /// A new token for a client on another machine.
    ClientCreate {
        /// For people.
        name: String,
        /// Whether it may only read.
        read_only: bool,
        /// For how long it is good, in seconds.
        ttl_s: u64,
    },
    /// Who has a client's token.
    Clients,
    /// Makes a client's token worth nothing.
    ClientRevoke {
        /// Whose.
        name: String,
    },
    /// Starts a run.
    RunStart {
        /// Its name.
        name: String,
        /// The task, TOML.
        task: String,
        /// How many rounds.
        rounds: u32,
        /// Version 0 is derived from it.
        seed: u64,
    },
    /// Ends the active run.
    RunStop,
    /// Every round of a run: the newest when none is named.
    RunLog {
        /// Which.
        run: Option<RunId>,
    },
    /// Removes a member for good.
    Revoke {
        /// Who.
        member: MemberId,
    },
    /// Changes a setting for all members.
    SettingChange {
        /// Which.
        name: String,
        /// The value.
        value: SettingValue,
    },
    /// Hands leadership over.
    Transfer {
        /// To whom.
        to: MemberId,
    },
    /// The newest model this member holds.
    Model,
    /// Sets an entry of the dictionary. The value is any JSON value, stored as MessagePack.
    Set {
        /// Its key.
        key: String,
        /// Its value.
        value: serde_json::Value,
    },
    /// Reads an entry, linearizably.
    Get {
        /// Its key.
        key: String,
    },
    /// Deletes an entry.
    Delete {
        /// Its key.
        key: String,
    },
    /// Entries of the dictionary as they are, and as they change: a [`WatchLine`] each until either side closes.
    Watch {
        /// One key; all when not given.
        key: Option<String>,
    },
    /// The replicated state for a backup, in a file that the asker removes.
    Backup {
        /// As this member has it, even when no leader can say that it is the newest.
        stale: bool,
    },
    /// Everything that happens on this member from now on.
    Events,
    /// Hands over what it leads and ends.
    Stop,
}

/// What the member answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    /// To [`Request::Status`].
    Status(Box<MemberStatus>),
    /// To [`Request::TokenCreate`]: the token's text, to be copied to the newcomer.
    Token {
        /// The text.
        token: String,
        /// Where the newcomer can reach this member.
        addresses: Vec<std::net::SocketAddr>,
        /// Whom the peer set still has room for.
        room: Room,
    },
    /// To [`Request::ClientCreate`].
    ClientToken {
        /// The text, to be given to the client.
        token: String,
        /// Where members are, this one first.
        addresses: Vec<std::net::SocketAddr>,
        /// Where this member serves other machines; none when it does not.
        remote: Option<std::net::IpAddr>,
    },
    /// To [`Request::Clients`], as this member has applied them.
    Clients {
        /// By name.
        clients: Vec<ClientLine>,
    },
    /// It counts.
    Done {
        /// The index at which it was committed, where it was.
        index: Option<u64>,
    },
    /// To [`Request::RunLog`].
    RunLog(Box<RunLog>),
    /// To [`Request::Model`].
    Model(ModelInfo),
    /// To [`Request::Get`]; `value` is `null` when there is no such key.
    Value {
        /// Whether the key exists.
        found: bool,
        /// Its value.
        value: serde_json::Value,
    },
    /// To [`Request::Backup`].
    Backup(BackupState),
    /// It did not work.
    Error {
        /// What happened, whether anything changed, and what to try.
        error: String,
        /// Whether it is not known if anything changed.
        unknown: bool,
    },
}

/// Who has a client's token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClientLine {
    /// For people.
    pub name: String,
    /// Whether it may only read.
    pub read_only: bool,
    /// For how many seconds it is still good; 0 when it has expired.
    pub ttl_s: u64,
}

/// A member's view of everything.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MemberStatus {
    /// The peer set's name.
    pub name: String,
    /// The data directory.
    pub dir: PathBuf,
    /// The UDP address.
    pub listen: std::net::SocketAddr,
    /// The TCP address for clients of the dictionary on this machine.
    pub clients: std::net::SocketAddr,
    /// Its settings.
    pub settings: Settings,
    /// What the node knows.
    #[serde(flatten)]
    pub node: Status,
    /// The epoch of the peer set that this member is in.
    pub epoch: Epoch,
    /// Members that are in another epoch of it, in words that say what to do.
    pub other_epochs: Vec<String>,
    /// What does not work, in words: an I/O error, a damaged file.
    pub trouble: Option<String>,
    /// Envelopes that arrived.
    pub envelopes: EnvelopeCounts,
    /// What did not get through since the start, by reason.
    pub dropped: BTreeMap<DropReason, u64>,
    /// For how long it has been up, in milliseconds.
    pub up_ms: u64,
    /// Bytes written to the disk since then; `None` where the system does not tell.
    pub written_bytes: Option<u64>,
    /// How late its loop came to what was due since then.
    pub lateness: Lateness,
}

/// Envelopes that arrived whole since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvelopeCounts {
    /// All of them: every member gets every envelope.
    pub received: u64,
    /// Those that were sealed for this member, too; it cannot open any other.
    pub for_me: u64,
}

/// An entry, now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WatchLine {
    /// Its key.
    pub key: String,
    /// Whether it exists.
    pub found: bool,
    /// Its value; `null` when it does not.
    pub value: serde_json::Value,
    /// The entry of the log that made it so, or a later one.
    pub index: rafty_types::Index,
}

/// A value of the dictionary as JSON that [loses nothing](crate::exact_json).
pub fn json_of(value: &[u8]) -> serde_json::Value {
    serde_json::to_value(Exact(value)).expect("every value has a form in JSON")
}

/// A run and its rounds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunLog {
    /// The run.
    pub run: RunId,
    /// Its name.
    pub name: String,
    /// Active, stopped or finished.
    pub status: String,
    /// The rounds, oldest first.
    pub rounds: Vec<rafty_node::RoundLine>,
    /// Who does not train in the open round now, by its own word, as this member heard it.
    #[serde(default)]
    pub resting: Vec<rafty_node::RestLine>,
    /// Who is not waited for, as this member has seen it.
    #[serde(default)]
    pub given_up: Vec<rafty_node::GivenUpLine>,
}

/// A model this member holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Its run.
    pub run: RunId,
    /// Its version.
    pub version: Version,
    /// Its digest.
    pub digest: Digest,
    /// The safetensors file.
    pub path: PathBuf,
}

/// A replicated state, ready to become part of a backup.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BackupState {
    /// The last entry that was applied to it.
    pub index: rafty_types::Index,
    /// The file with its bytes.
    pub state: PathBuf,
    /// The directory of the models that it names.
    pub models: PathBuf,
}

/// A member could not be operated.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody listens.
    #[error("no member runs in {0}; nothing was changed; start it with `up`")]
    NotRunning(PathBuf),
    /// The path of the socket is too long for the system.
    #[error("the path {0} is too long for a socket; nothing was changed; use a shorter --dir")]
    PathTooLong(PathBuf),
    /// The connection broke.
    #[error(
        "the member in {dir} did not answer: {source}; it is not known whether anything changed; look with `status`"
    )]
    Broken {
        /// The data directory.
        dir: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The member refused, in its own words.
    #[error("{0}")]
    Refused(String),
    /// The member does not know whether it counts, in its own words.
    #[error("{0}")]
    Unknown(String),
}

/// Asks the member that runs in `dir` and waits at most `patience` for its reply.
///
/// # Errors
/// When no member runs there, it does not answer in time, or it refuses.
pub fn call(dir: &Path, request: &Request, patience: Duration) -> Result<Reply, CallError> {
    let mut lines = open(dir, request, Some(patience))?;
    let line = lines.next_line().map_err(|source| CallError::Broken { dir: dir.into(), source })?;
    let closed = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
    let line = line.ok_or_else(|| CallError::Broken { dir: dir.into(), source: closed() })?;
    let reply = serde_json::from_str(&line)
        .map_err(|error| CallError::Broken { dir: dir.into(), source: std::io::Error::other(error) })?;
    match reply {
        Reply::Error { error, unknown: true } => Err(CallError::Unknown(error)),
        Reply::Error { error, unknown: false } => Err(CallError::Refused(error)),
        reply => Ok(reply),
    }
}

/// Follows the events of the member that runs in `dir`.
///
/// # Errors
/// When no member runs there.
pub fn follow(dir: &Path) -> Result<Lines, CallError> {
    open(dir, &Request::Events, None)
}

/// Watches entries of the dictionary at the member that runs in `dir`: all, or one key.
///
/// # Errors
/// When no member runs there.
pub fn watch(dir: &Path, key: Option<String>) -> Result<Lines, CallError> {
    open(dir, &Request::Watch { key }, None)
}

/// Lines from a member.
pub struct Lines(BufReader<UnixStream>);

impl Lines {
    /// The next line; `None` when the member closed.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn next_line(&mut self) -> std::io::Result<Option<String>> {
        let mut line = String::new();
        let read = (&mut self.0).take(MAX_LINE).read_line(&mut line)?;
        Ok((read > 0).then_some(line))
    }
}

fn open(dir: &Path, request: &Request, patience: Option<Duration>) -> Result<Lines, CallError> {
    let path = socket_path(dir)?;
    let mut stream = UnixStream::connect(&path).map_err(|_| CallError::NotRunning(dir.into()))?;
    let broken = |source| CallError::Broken { dir: dir.into(), source };
    stream.set_read_timeout(patience).map_err(broken)?;
    let mut line = serde_json::to_string(request).expect("a request always encodes");
    line.push('\n');
    stream.write_all(line.as_bytes()).map_err(broken)?;
    Ok(Lines(BufReader::new(stream)))
}

/// Where the socket of the member in `dir` is.
///
/// # Errors
/// When the system cannot have a socket there.
pub fn socket_path(dir: &Path) -> Result<PathBuf, CallError> {
    let path = dir.join(SOCKET);
    if path.as_os_str().len() > MAX_SOCKET_PATH {
        return Err(CallError::PathTooLong(path));
    }
    Ok(path)
}
