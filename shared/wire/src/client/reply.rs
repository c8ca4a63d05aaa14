//! What a client is answered.

use super::fields::{bin, map_head, take, text};
use super::map::{INTO_MEMORY, Map};
use super::request::RequestError;
use super::scanner::Scanner;
use rafty_types::SessionId;
use rmp::encode::{write_bin, write_map_len, write_str};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// What a key of an entry takes beside its bytes, at most.
const MAX_PAIR_HEADS: usize = 5;

/// Where a member is: host and port. An array of two.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Address(pub String, pub u16);

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self(address.ip().to_string(), address.port())
    }
}

/// A reply that says its type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Reply {
    /// What became of a change.
    Result {
        /// Whether it is committed.
        success: bool,
        /// `false` when there was no entry to delete; not there otherwise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        found: Option<bool>,
        /// Why not, as a word: `no_leader` and every other one mean that nothing was changed, `unknown_outcome` that
        /// it may or may not count.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
        /// Why not, for people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
    },
    /// Ask the leader. Nothing was changed.
    Redirect {
        /// Where it is.
        leader: Address,
    },
    /// A session is open.
    Session {
        /// Its number.
        session: SessionId,
    },
    /// The request is not answered. Nothing was changed.
    Error {
        /// Why, as a word: see [`ErrorCode`](super::ErrorCode).
        error: String,
        /// Why, for people.
        detail: String,
    },
}

impl Reply {
    /// A change is committed.
    pub fn done() -> Self {
        Self::Result { success: true, found: None, error: None, detail: None }
    }

    /// A deletion is committed, of an entry that was not there.
    pub fn missing() -> Self {
        Self::Result { success: true, found: Some(false), error: None, detail: None }
    }

    /// A change is not known to count.
    pub fn failed(error: &str, detail: impl ToString) -> Self {
        Self::Result {
            success: false,
            found: None,
            error: Some(error.to_string()),
            detail: Some(detail.to_string()),
        }
    }

    /// As it goes over the wire.
    pub fn encode(&self) -> Vec<u8> {
        named(self)
    }

    /// Reads what [`encode`](Self::encode) wrote. `None` for anything else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        // The decoder keeps unknown fields and reserves memory on the word of each length in them, however deep: so
        // lengths and depth are checked first.
        let whole = Scanner::new(bytes.len()).feed(bytes) == Ok(Some(bytes.len()));
        if whole { rmp_serde::from_slice(bytes).ok() } else { None }
    }
}

impl From<RequestError> for Reply {
    fn from(error: RequestError) -> Self {
        Self::Error { error: error.code.word().to_string(), detail: error.detail }
    }
}

/// A member's inside, as its clients may see it. Fields are named as in the older protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// `Leader`, `Follower` or `Candidate`.
    pub status: String,
    /// What survives a restart.
    pub persist: Persist,
    /// What does not.
    pub volatile: Volatile,
    /// The log.
    pub log: Log,
    /// What was done lately.
    pub stats: Stats,
    /// On the leader only.
    #[serde(rename = "leaderStatus", default, skip_serializing_if = "Option::is_none")]
    pub leader_status: Option<LeaderStatus>,
}

/// What survives a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Persist {
    /// Who got this member's vote in this term.
    #[serde(rename = "votedFor")]
    pub voted_for: Option<Address>,
    /// The term.
    #[serde(rename = "currentTerm")]
    pub current_term: u64,
}

/// What does not survive a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volatile {
    /// Where the leader is, if one is known.
    #[serde(rename = "leaderId")]
    pub leader_id: Option<Address>,
    /// Where every member is.
    pub cluster: Vec<Address>,
    /// Where this member is.
    pub address: Address,
}

/// The log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// The highest committed index that this member knows.
    #[serde(rename = "commitIndex")]
    pub commit_index: u64,
}

/// Counts of the last ten seconds, the current one last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Reads that this member answered.
    pub reads: Vec<u64>,
    /// Changes that clients asked of this member.
    pub writes: Vec<u64>,
    /// Entries that were appended to this member's log.
    pub append: Vec<u64>,
    /// When each second began, in seconds since 1970.
    pub timestamps: Vec<u64>,
}

/// What only the leader knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderStatus {
    /// The next entry each member will be sent.
    #[serde(rename = "netIndex")]
    pub net_index: Vec<(Address, u64)>,
    /// The last entry known to be on each member's disk.
    #[serde(rename = "matchIndex")]
    pub match_index: Vec<(Address, u64)>,
    /// How many requests wait for an entry; by its index, in decimal.
    pub waiting_clients: BTreeMap<String, u64>,
}

impl Diagnostic {
    /// As it goes over the wire.
    pub fn encode(&self) -> Vec<u8> {
        named(self)
    }
}

/// One entry: its key, and the bytes of its value.
pub type Entry<'a> = (&'a str, &'a [u8]);

/// The reply to a `get` of everything: the entries as they are, and the members under `cluster`. `len` is about how many
/// bytes the entries have.
pub fn encode_entries<'a>(
    cluster: &[Address],
    entries: impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])>,
    len: usize,
) -> Vec<u8> {
    let cluster = encode_cluster(cluster);
    let pairs =
        u32::try_from(entries.len() + 1).expect("the dictionary's bytes are bounded, so its entries are");
    let mut bytes = Vec::with_capacity(len + cluster.len() + MAX_PAIR_HEADS * (entries.len() + 2));
    write_map_len(&mut bytes, pairs).expect(INTO_MEMORY);
    let mut pair = |(key, value): (&[u8], &[u8])| {
        match std::str::from_utf8(key) {
            Ok(key) => write_str(&mut bytes, key).expect(INTO_MEMORY),
            // No client writes such a key; another program over this log may.
            Err(_) => write_bin(&mut bytes, key).expect(INTO_MEMORY),
        }
        bytes.extend_from_slice(value);
    };
    pair((b"cluster", &cluster));
    entries.for_each(pair);
    bytes
}

/// The members, as they stand under `cluster`.
pub fn encode_cluster(cluster: &[Address]) -> Vec<u8> {
    named(cluster)
}

/// Reads what [`encode_entries`] wrote. `None` for anything else.
pub fn decode_entries(bytes: &[u8]) -> Option<Vec<Entry<'_>>> {
    let (pairs, mut rest) = map_head(bytes)?;
    let entries: Option<Vec<_>> =
        (0..pairs).map(|_| Some((text(take(&mut rest)?)?, take(&mut rest)?))).collect();
    entries.filter(|_| rest.is_empty())
}

/// The reply to a `get` of everything that asks for `framed`, as it was decoded.
#[derive(Debug, PartialEq, Eq)]
pub struct Entries<'a> {
    /// As [`decode_entries`] gives them.
    pub entries: Vec<Entry<'a>>,
    /// Whether no leader confirmed that they are the newest.
    pub stale: bool,
}

/// Frames what [`encode_entries`] wrote, to say whether it is stale: a reply of bare entries has no room for that.
pub fn encode_framed(entries: &[u8], stale: bool) -> Vec<u8> {
    let mut map = Map::with_capacity(64 + entries.len());
    map.text("type", "entries");
    if stale {
        map.flag("stale", true);
    }
    map.field("entries", entries);
    map.finish()
}

/// Reads what [`encode_framed`] wrote, or the bare entries of a member of an older kind, which does not say that they
/// are stale. `None` for anything else.
pub fn decode_framed(bytes: &[u8]) -> Option<Entries<'_>> {
    let fields = decode_entries(bytes)?;
    let field = |name| fields.iter().find(|(field, _)| *field == name).map(|(_, bytes)| *bytes);
    // Entries may have any name, but only bare ones have the members among them.
    if field("cluster").is_some() {
        return Some(Entries { entries: fields, stale: false });
    }
    if text(field("type")?)? != "entries" {
        return None;
    }
    Some(Entries { entries: decode_entries(field("entries")?)?, stale: flag(field("stale"))? })
}

/// Whether the reply to a `get` of one key or to a query says that no leader confirmed it to be the newest.
pub fn is_stale(bytes: &[u8]) -> bool {
    let fields = decode_entries(bytes).unwrap_or_default();
    let stale = fields.iter().find(|(name, _)| *name == "stale").map(|(_, bytes)| *bytes);
    flag(stale).unwrap_or(false)
}

fn flag(bytes: Option<&[u8]>) -> Option<bool> {
    bytes.map_or(Some(false), |bytes| rmp_serde::from_slice(bytes).ok())
}

/// The reply to a `get` of one key.
pub fn encode_value(value: Option<&[u8]>) -> Vec<u8> {
    encode_reading(value, false)
}

/// The same, which says when it is stale.
pub fn encode_reading(value: Option<&[u8]>, stale: bool) -> Vec<u8> {
    const NIL: &[u8] = &[0xc0];
    let mut map = Map::with_capacity(64 + value.map_or(0, <[u8]>::len));
    map.text("type", "value");
    map.flag("found", value.is_some());
    map.field("value", value.unwrap_or(NIL));
    if stale {
        map.flag("stale", true);
    }
    map.finish()
}

/// The reply to a command to a machine that is not the dictionary.
pub fn encode_answer(answer: &[u8]) -> Vec<u8> {
    encode_query_answer(answer, false)
}

/// The reply to a query of such a machine, which says when it is stale.
pub fn encode_query_answer(answer: &[u8], stale: bool) -> Vec<u8> {
    let mut value = Vec::with_capacity(answer.len() + MAX_PAIR_HEADS);
    write_bin(&mut value, answer).expect(INTO_MEMORY);
    encode_reading(Some(&value), stale)
}

/// Reads what [`encode_answer`] wrote. `None` for anything else.
pub fn decode_answer(bytes: &[u8]) -> Option<&[u8]> {
    bin(decode_value(bytes)??)
}

/// Reads what [`encode_value`] wrote: the value's bytes, if there is one. `None` for anything else.
pub fn decode_value(bytes: &[u8]) -> Option<Option<&[u8]>> {
    let fields = decode_entries(bytes)?;
    let field = |name| fields.iter().find(|(field, _)| *field == name).map(|(_, bytes)| *bytes);
    let found = rmp_serde::from_slice::<bool>(field("found")?).ok()?;
    (text(field("type")?)? == "value").then_some(field("value")?).map(|value| found.then_some(value))
}

fn named<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    rmp_serde::to_vec_named(value).expect("a reply always encodes")
}
