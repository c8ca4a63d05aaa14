//! What a client asks, typed, and what is wrong with what it asked.

use super::fields::Fields;
use super::map::Map;
use super::{ClientToken, ClientTokenError, MAX_KEY_LEN, MAX_VALUE_LEN};
use rafty_types::{Serial, SessionId};
use std::time::Duration;

/// Longest time a client may have its request wait for a leader.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest text about an error, in characters: it may repeat what the client sent.
const MAX_DETAIL: usize = 200;
/// MessagePack's `nil`.
const NIL: u8 = 0xc0;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is asked.
    pub ask: Ask,
    /// Whether the connection shall stay open behind the reply.
    pub keep: bool,
    /// How long the request may wait for a leader, at most [`MAX_TIMEOUT`], in whole milliseconds.
    pub timeout: Option<Duration>,
    /// By which the client is known on this connection from here on.
    pub token: Option<ClientToken>,
    /// Whether a member that does not lead shall pass a change on to the leader and give its answer, instead of a
    /// redirect to an address that the client may not reach.
    pub forward: bool,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// To read.
    Get {
        /// One entry; none for all of them.
        key: Option<String>,
        /// How fresh it must be.
        consistency: Consistency,
        /// Whether the reply to a `get` of everything is to say if it is stale: see [`Entries`](super::Entries).
        framed: bool,
    },
    /// To change an entry.
    Append {
        /// How.
        change: Change,
        /// With a session it is done once, however often it is asked.
        session: Option<(SessionId, Serial)>,
    },
    /// To ask a machine that is not the dictionary.
    Query {
        /// The machine's own bytes, at most [`MAX_VALUE_LEN`].
        query: Vec<u8>,
        /// How fresh the state must be.
        consistency: Consistency,
    },
    /// To change who votes.
    Config {
        /// How.
        action: ConfigAction,
        /// The member's host.
        address: String,
        /// The member's port.
        port: u16,
    },
    /// To open a session.
    Session,
    /// What Raft looks like inside.
    Diagnostic,
    /// That the member knows a client.
    Proof {
        /// The [id](ClientToken::id) of the client's token.
        client: [u8; 16],
    },
}

/// A change of the dictionary, or of another machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Sets a value.
    Set {
        /// At most [`MAX_KEY_LEN`] bytes.
        key: String,
        /// The exact bytes of one MessagePack value, at most [`MAX_VALUE_LEN`].
        value: Vec<u8>,
    },
    /// Removes an entry.
    Delete {
        /// Which.
        key: String,
    },
    /// A command to a machine that is not the dictionary: its own bytes, at most [`MAX_VALUE_LEN`].
    Command(Vec<u8>),
}

/// How a member is to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigAction {
    /// An enrolled member is to vote.
    Add,
    /// A member is to leave.
    Delete,
}

/// How fresh what is read must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// Linearizable; without a leader, whatever this member has.
    #[default]
    Available,
    /// Linearizable, or an error.
    Linearizable,
    /// Whatever this member has, at once.
    Stale,
}

impl Ask {
    /// To read one entry, or all of them, told apart from stale ones.
    pub fn get(key: Option<&str>, consistency: Consistency) -> Self {
        Self::Get { key: key.map(Into::into), consistency, framed: key.is_none() }
    }
}

impl Consistency {
    /// As it stands in a request, unless it need not be said.
    fn word(self) -> Option<&'static str> {
        match self {
            Self::Available => None,
            Self::Linearizable => Some("linearizable"),
            Self::Stale => Some("stale"),
        }
    }
}

/// Why a request is not answered, as a word for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// The type is not known.
    UnknownType,
    /// It is no request: not a map, a field missing, twice or of the wrong type.
    Malformed,
    /// The request, its key or its value has too many bytes.
    TooLong,
    /// The request, or its value, lies too deep in itself.
    TooDeep,
    /// No leader was found in time, and the client wanted no less.
    NoLeader,
    /// Too much waits here; try again later.
    Busy,
    /// The request did not arrive in time, or nothing did.
    Timeout,
    /// This member ends.
    Stopping,
    /// The peer set has a machine of its own instead of the dictionary.
    NoDictionary,
    /// Another machine must come over TLS.
    TlsRequired,
    /// A token was sent in clear: whoever listened has it.
    TokenInClear,
    /// There is no token, it is none, it is not known any more, or it has expired.
    Unauthorized,
    /// The token does not let the client do this.
    NotAllowed,
}

impl ErrorCode {
    /// As it stands in a reply.
    pub fn word(self) -> &'static str {
        match self {
            Self::UnknownType => "unknown_type",
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
            Self::TooDeep => "too_deep",
            Self::NoLeader => "no_leader",
            Self::Busy => "busy",
            Self::Timeout => "timeout",
            Self::Stopping => "stopping",
            Self::NoDictionary => "no_dictionary",
            Self::TlsRequired => "tls_required",
            Self::TokenInClear => "token_in_clear",
            Self::Unauthorized => "unauthorized",
            Self::NotAllowed => "not_allowed",
        }
    }
}

/// Bytes that are no request. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", code.word())]
pub struct RequestError {
    /// Why, for programs.
    pub code: ErrorCode,
    /// Why, for people, at most 200 characters.
    pub detail: String,
    /// Whether it is known where the next request begins, and the client wanted the connection kept.
    pub keep: bool,
}

impl RequestError {
    pub(super) fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        let mut detail: String = detail.into();
        if let Some((cut, _)) = detail.char_indices().nth(MAX_DETAIL) {
            detail.truncate(cut);
        }
        Self { code, detail, keep: false }
    }
}

impl Request {
    /// Reads one whole MessagePack value.
    ///
    /// # Errors
    /// When it is no request.
    pub fn decode(frame: &[u8]) -> Result<Self, RequestError> {
        let fields = Fields::of("the request", frame)?;
        let keep = fields.typed("keep")?.unwrap_or(false);
        let request = || {
            Ok(Self {
                token: token(&fields)?,
                ask: ask(&fields)?,
                keep,
                timeout: timeout(&fields)?,
                forward: fields.typed("forward")?.unwrap_or(false),
            })
        };
        request().map_err(|error| RequestError { keep, ..error })
    }

    /// Bytes of key and value that it holds.
    pub fn byte_len(&self) -> usize {
        match &self.ask {
            Ask::Append { change: Change::Set { key, value }, .. } => key.len() + value.len(),
            Ask::Append { change: Change::Delete { key }, .. } | Ask::Get { key: Some(key), .. } => key.len(),
            Ask::Append { change: Change::Command(bytes), .. } | Ask::Query { query: bytes, .. } => {
                bytes.len()
            }
            _ => 0,
        }
    }

    /// As it goes over the wire.
    pub fn encode(&self) -> Vec<u8> {
        let mut map = Map::default();
        match &self.ask {
            Ask::Get { key, consistency, framed } => {
                map.text("type", "get");
                key.iter().for_each(|key| map.text("key", key));
                if let Some(word) = consistency.word() {
                    map.text("consistency", word);
                }
                if *framed {
                    map.flag("framed", true);
                }
            }
            Ask::Query { query, consistency } => {
                map.text("type", "query");
                map.bytes("query", query);
                if let Some(word) = consistency.word() {
                    map.text("consistency", word);
                }
            }
            Ask::Append { change, session } => {
                map.text("type", "append");
                map.field("data", &encode_change(change));
                if let Some((session, serial)) = session {
                    map.number("session", session.0);
                    map.number("serial", serial.0);
                }
            }
            Ask::Config { action, address, port } => {
                map.text("type", "config");
                map.text("action", if *action == ConfigAction::Add { "add" } else { "delete" });
                map.text("address", address);
                map.number("port", u64::from(*port));
            }
            Ask::Session => map.text("type", "session"),
            Ask::Diagnostic => map.text("type", "diagnostic"),
            Ask::Proof { client } => {
                map.text("type", "proof");
                map.bytes("client", client);
            }
        }
        if self.keep {
            map.flag("keep", true);
        }
        if let Some(timeout) = self.timeout {
            map.number("timeout_ms", u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        }
        if let Some(token) = &self.token {
            map.text("token", &token.to_text());
        }
        if self.forward {
            map.flag("forward", true);
        }
        map.finish()
    }
}

fn ask(fields: &Fields<'_>) -> Result<Ask, RequestError> {
    match fields.required_text("type")? {
        "get" => get(fields),
        "query" => Ok(Ask::Query {
            query: checked_bytes(fields.required_bin("query")?)?,
            consistency: consistency(fields)?,
        }),
        "append" => append(fields),
        "config" => config(fields),
        "session" => Ok(Ask::Session),
        "diagnostic" => Ok(Ask::Diagnostic),
        "proof" => Ok(Ask::Proof { client: client(fields)? }),
        other => {
            let known = "known are get, query, append, config, session, diagnostic, proof";
            let shown: String = other.chars().take(40).collect();
            Err(RequestError::new(ErrorCode::UnknownType, format!("there is no request `{shown}`; {known}")))
        }
    }
}

fn get(fields: &Fields<'_>) -> Result<Ask, RequestError> {
    let key = fields.text("key")?.map(checked_key).transpose()?;
    let framed = fields.typed("framed")?.unwrap_or(false);
    Ok(Ask::Get { key, consistency: consistency(fields)?, framed })
}

fn consistency(fields: &Fields<'_>) -> Result<Consistency, RequestError> {
    match fields.text("consistency")? {
        None => Ok(Consistency::Available),
        Some("linearizable") => Ok(Consistency::Linearizable),
        Some("stale") => Ok(Consistency::Stale),
        Some(_) => Err(malformed("the field `consistency` is `linearizable` or `stale`")),
    }
}

fn append(fields: &Fields<'_>) -> Result<Ask, RequestError> {
    let data = Fields::of("the field `data`", fields.required("data")?)?;
    let key = || checked_key(data.required_text("key")?);
    let change = match data.required_text("action")? {
        "change" => Change::Set { key: key()?, value: checked_bytes(data.required("value")?)? },
        "delete" => Change::Delete { key: key()? },
        "command" => Change::Command(checked_bytes(data.required_bin("command")?)?),
        _ => return Err(malformed("the field `action` is `change`, `delete` or `command`")),
    };
    let session = match (fields.typed("session")?, fields.typed("serial")?) {
        (None, None) => None,
        (Some(session), Some(serial)) if serial > Serial(0) => Some((session, serial)),
        _ => return Err(malformed("`session` and `serial` go together; serials count from 1")),
    };
    Ok(Ask::Append { change, session })
}

fn config(fields: &Fields<'_>) -> Result<Ask, RequestError> {
    let action = match fields.required_text("action")? {
        "add" => ConfigAction::Add,
        "delete" => ConfigAction::Delete,
        _ => return Err(malformed("the field `action` is `add` or `delete`")),
    };
    let address = fields.required_text("address")?.to_string();
    fields.required("port")?;
    let port = fields.typed("port")?.ok_or_else(|| malformed("the field `port` is a number"))?;
    Ok(Ask::Config { action, address, port })
}

fn client(fields: &Fields<'_>) -> Result<[u8; 16], RequestError> {
    let id = fields.required_bin("client")?;
    id.try_into().map_err(|_| malformed("the field `client` has 16 bytes"))
}

/// A text that is no token is refused before the request is looked at; `nil` counts as absent.
fn token(fields: &Fields<'_>) -> Result<Option<ClientToken>, RequestError> {
    let wrong = |why| RequestError::new(ErrorCode::Unauthorized, why);
    match fields.bytes("token") {
        None | Some([NIL]) => Ok(None),
        Some(_) => {
            let text = fields.text("token").map_err(|error| wrong(error.detail))?.unwrap_or_default();
            text.parse().map(Some).map_err(|why: ClientTokenError| wrong(why.to_string()))
        }
    }
}

fn timeout(fields: &Fields<'_>) -> Result<Option<Duration>, RequestError> {
    let timeout = fields.typed("timeout_ms")?.map(Duration::from_millis);
    match timeout.is_none_or(|timeout| timeout <= MAX_TIMEOUT) {
        true => Ok(timeout),
        false => Err(malformed("the field `timeout_ms` is at most 60,000")),
    }
}

fn checked_key(key: &str) -> Result<String, RequestError> {
    match key.len() <= MAX_KEY_LEN {
        true => Ok(key.to_string()),
        false => {
            Err(RequestError::new(ErrorCode::TooLong, format!("a key takes at most {MAX_KEY_LEN} bytes")))
        }
    }
}

fn checked_bytes(value: &[u8]) -> Result<Vec<u8>, RequestError> {
    match value.len() <= MAX_VALUE_LEN {
        true => Ok(value.to_vec()),
        false => {
            Err(RequestError::new(ErrorCode::TooLong, format!("a value takes at most {MAX_VALUE_LEN} bytes")))
        }
    }
}

fn malformed(why: &str) -> RequestError {
    RequestError::new(ErrorCode::Malformed, why)
}

fn encode_change(change: &Change) -> Vec<u8> {
    let mut map = Map::default();
    match change {
        Change::Set { key, value } => {
            map.text("action", "change");
            map.text("key", key);
            map.field("value", value);
        }
        Change::Delete { key } => {
            map.text("action", "delete");
            map.text("key", key);
        }
        Change::Command(command) => {
            map.text("action", "command");
            map.bytes("command", command);
        }
    }
    map.finish()
}
