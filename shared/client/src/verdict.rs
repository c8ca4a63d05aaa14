//! What a member's reply means for the request it answers.

use rafty_wire::client::{
    Address, Ask, Change, Diagnostic, Entry, Reply, decode_answer, decode_entries, decode_framed,
    decode_value,
};

/// Codes that pass by themselves: nothing was changed, and trying again may help.
const PASSING: &[&str] = &["no_leader", "busy", "stopping", "timeout", "change_pending"];
/// The code that tells no more than silence does.
const UNKNOWN_OUTCOME: &str = "unknown_outcome";
/// The code of a member on another machine, which has not read what came in clear. One on this machine does.
const TLS_REQUIRED: &str = "tls_required";

/// What one try came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The reply that was asked for.
    Answer(Vec<u8>),
    /// Ask the leader. Nothing was changed.
    Redirect(Address),
    /// Try again. Nothing was changed.
    NotNow { code: String, detail: String },
    /// Trying again is of no use. Nothing was changed by this try.
    Refused { code: String, detail: String },
    /// The member cannot have read it. Nothing was changed.
    NotSent(String),
    /// What became of it is not known.
    Unclear(String),
}

/// Judges a reply by what was asked: entries may have any names, so theirs must not be taken for a reply's.
pub(crate) fn judge(ask: &Ask, reply: Vec<u8>) -> Verdict {
    if answers(ask, &reply) {
        return Verdict::Answer(reply);
    }
    match Reply::decode(&reply) {
        Some(Reply::Redirect { leader }) => Verdict::Redirect(leader),
        Some(Reply::Result { success: false, error, detail, .. }) => {
            failed(error.unwrap_or_default(), detail.unwrap_or_default())
        }
        Some(Reply::Error { error, detail }) => failed(error, detail),
        _ => Verdict::Unclear("what came back is no answer to the request".into()),
    }
}

fn answers(ask: &Ask, reply: &[u8]) -> bool {
    match ask {
        Ask::Get { key: None, framed: true, .. } => {
            decode_framed(reply).is_some_and(|read| has_members(&read.entries))
        }
        Ask::Get { key: None, .. } => decode_entries(reply).is_some_and(|entries| has_members(&entries)),
        Ask::Get { key: Some(_), .. } => decode_value(reply).is_some(),
        Ask::Query { .. } | Ask::Proof { .. } | Ask::Append { change: Change::Command(_), .. } => {
            decode_answer(reply).is_some()
        }
        Ask::Diagnostic => rmp_serde::from_slice::<Diagnostic>(reply).is_ok(),
        Ask::Append { .. } | Ask::Config { .. } => {
            matches!(Reply::decode(reply), Some(Reply::Result { success: true, .. }))
        }
        Ask::Session => matches!(Reply::decode(reply), Some(Reply::Session { .. })),
    }
}

fn has_members(entries: &[Entry<'_>]) -> bool {
    entries.iter().any(|(key, _)| *key == "cluster")
}

pub(crate) fn failed(code: String, detail: String) -> Verdict {
    match code.as_str() {
        UNKNOWN_OUTCOME => Verdict::Unclear(detail),
        TLS_REQUIRED => Verdict::NotSent(detail),
        passing if PASSING.contains(&passing) => Verdict::NotNow { code, detail },
        _ => Verdict::Refused { code, detail },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rafty_wire::client::{Consistency, encode_entries, encode_framed, encode_value};

    const GET: Ask = Ask::Get { key: None, consistency: Consistency::Available, framed: false };

    fn member() -> Address {
        Address("127.0.0.1".into(), 7400)
    }

    fn append() -> Ask {
        Ask::Append { change: Change::Delete { key: "lamp".into() }, session: None }
    }

    #[test]
    fn entries_that_look_like_a_reply_are_entries() {
        let redirect: Vec<(&[u8], &[u8])> =
            vec![(b"type", b"\xa8redirect"), (b"leader", b"\x92\xa4evil\x01"), (b"error", b"\xa4busy")];
        let reply = encode_entries(&[member()], redirect.into_iter(), 64);
        assert_eq!(judge(&GET, reply.clone()), Verdict::Answer(reply.clone()));
        let framed = Ask::get(None, Consistency::Stale);
        assert!(matches!(judge(&framed, encode_framed(&reply, true)), Verdict::Answer(_)));
        assert!(matches!(judge(&framed, reply), Verdict::Answer(_)), "a member of the older kind");
        let by_key = Ask::get(Some("type"), Consistency::Available);
        assert!(matches!(judge(&by_key, encode_value(Some(b"\xa8redirect"))), Verdict::Answer(_)));
    }

    #[test]
    fn each_reply_means_what_it_says() {
        let redirect = Reply::Redirect { leader: member() }.encode();
        assert_eq!(judge(&append(), redirect), Verdict::Redirect(member()));
        assert!(matches!(judge(&append(), Reply::done().encode()), Verdict::Answer(_)));
        let code = |code: &str| Reply::failed(code, "why").encode();
        let (why, full) = ("why".to_string(), "full".to_string());
        assert_eq!(judge(&append(), code("unknown_outcome")), Verdict::Unclear(why.clone()));
        assert_eq!(judge(&append(), code("full")), Verdict::Refused { code: full, detail: why });
        assert!(matches!(judge(&append(), code("no_leader")), Verdict::NotNow { .. }));
        let busy = Reply::Error { error: "busy".into(), detail: String::new() }.encode();
        assert!(matches!(judge(&GET, busy), Verdict::NotNow { .. }));
        let elsewhere = Reply::Error { error: "tls_required".into(), detail: String::new() }.encode();
        assert!(matches!(judge(&append(), elsewhere), Verdict::NotSent(_)), "another one is asked");
    }

    #[test]
    fn what_is_no_reply_is_never_taken_for_one() {
        for bytes in [&b""[..], b"\xc0", b"\x80", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x81\xa4type\x01"] {
            for ask in [GET, append(), Ask::Session, Ask::Diagnostic] {
                assert!(matches!(judge(&ask, bytes.to_vec()), Verdict::Unclear(_)), "{ask:?} {bytes:?}");
            }
        }
        assert!(matches!(judge(&Ask::Session, Reply::done().encode()), Verdict::Unclear(_)));
    }
}
