//! The dictionary's client protocol: bare MessagePack maps over TCP.
//!
//! A client sends one map and gets one reply; then the server closes, unless the request says `keep: true`. There is
//! no length prefix: the [`Parser`] finds where a map ends while it arrives, bounded in length, depth and count, and
//! decodes it once. Strings are `str`, addresses `[host, port]`. Values are any MessagePack value and keep their exact
//! bytes; keys are `str` of at most [`MAX_KEY_LEN`] bytes. Unknown fields are ignored.
//!
//! | request | reply |
//! |---|---|
//! | `{type:"get"}` | every entry as a map, with `cluster: [[host, port], …]` among them |
//! | `{type:"get", framed: true}` | `{type:"entries", entries}`, with these entries |
//! | `{type:"get", key}` | `{type:"value", found, value}` |
//! | `{type:"append", data:{action:"change", key, value}}`, `{…{action:"delete", key}}` | [`Reply::Result`] or [`Reply::Redirect`] |
//! | `{type:"append", data:{action:"command", command}}` | `{type:"value", found: true, value}`, or as above |
//! | `{type:"query", query}` | `{type:"value", found: true, value}` |
//! | `{type:"config", action:"add" or "delete", address, port}` | [`Reply::Result`] or [`Reply::Redirect`] |
//! | `{type:"session"}` | [`Reply::Session`] |
//! | `{type:"diagnostic"}` | a [`Diagnostic`] |
//! | `{type:"proof", client}`, over TLS only | `{type:"value", found: true, value}`: see [`prove`] |
//!
//! Any of them may carry `keep` and `timeout_ms`. `get` and `query` take `consistency`: `"linearizable"` is answered by the
//! newest state or by the error `no_leader`; `"stale"` at once by what the member has; without the field the member tries
//! the first and falls back to the second. Replies `value` and `entries` say `stale: true` when no leader confirmed them.
//!
//! With `forward: true` a member that does not lead passes `append` and `config` on to the leader and gives its answer;
//! without it, as clients of the older kind send them, it answers with a redirect. The leader may serve clients of its
//! own machine only, so redirects do not reach it from elsewhere.
//!
//! `append` takes `session` and `serial`, the session's commands being numbered 1, 2, 3, …: each is applied once, however often it is
//! sent. A session is the token's that opened it, by way of any member; without a token it is known only to the member that opened
//! it. To others it is `unknown_session`. A serial that comes again with another change is refused with `serial_reused`. Requests that are sent before the reply to an earlier one are answered in order but done at the same time: only
//! changes of one session follow each other, so a read that must see a change waits for its reply. Whatever cannot be understood is answered by [`Reply::Error`] and changes nothing.
//!
//! `command` and `query` are for peer sets with a machine of their own instead of the dictionary: their bytes, and those
//! of the `value` that answers them, are `bin` and the machine's own affair.
//!
//! From another machine requests come over TLS and carry `token`, the text of a [`ClientToken`], each or once a
//! connection; a client that wants to know whom it talks to asks for a `proof` before. A token is never sent in clear.
//!
//! Nothing here opens a socket, waits, or knows what is in the dictionary.

mod fields;
mod map;
mod parser;
mod reply;
mod request;
mod scanner;
mod token;

pub use parser::Parser;
pub use reply::{
    Address, Diagnostic, Entries, Entry, LeaderStatus, Log, Persist, Reply, Stats, Volatile, decode_answer,
    decode_entries, decode_framed, decode_value, encode_answer, encode_cluster, encode_entries,
    encode_framed, encode_query_answer, encode_reading, encode_value, is_stale,
};
pub use request::{Ask, Change, ConfigAction, Consistency, ErrorCode, MAX_TIMEOUT, Request, RequestError};
pub use scanner::{MAX_DEPTH, ScanError, Scanner};
pub use token::{ClientToken, ClientTokenError, prove};

/// Longest key, in bytes of UTF-8.
pub const MAX_KEY_LEN: usize = 1_024;
/// Longest value, in bytes of MessagePack.
pub const MAX_VALUE_LEN: usize = 1024 * 1024;
/// Longest request, in bytes: a value, a key and their frame.
pub const MAX_REQUEST_LEN: usize = MAX_VALUE_LEN + 8 * 1024;
