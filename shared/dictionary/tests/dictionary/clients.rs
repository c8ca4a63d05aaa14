//! Clients on other machines: who lets them in, until when, and how many.

use crate::script::*;
use rafty_dictionary::{MAX_CLIENTS, MAX_TTL_MS};
use rafty_types::ControlCommand as C;
use rafty_types::*;

#[test]
fn names_and_tokens_are_each_of_one_client() {
    let mut story = Script::founded_by("ann");
    story.does("ann", C::ClientCreated(client("phone")));
    let renamed = |name: &str| ClientRecord { name: name.into(), ..client("phone") };
    let retokened = ClientRecord { name: "phone".into(), ..client("other") };
    let too_long = "n".repeat(MAX_NAME_LEN + 1);
    for wrong in [client("phone"), retokened, renamed("copy"), renamed(""), renamed(&too_long)] {
        assert!(matches!(story.cannot("ann", C::ClientCreated(wrong)), Rejection::Invalid(_)));
    }
}

#[test]
fn what_has_expired_makes_room() {
    let mut story = Script::founded_by("ann");
    let later = |name: &str| ClientRecord { ttl_ms: 9 * HOUR_MS, ..client(name) };
    for n in 0..MAX_CLIENTS {
        story.does("ann", C::ClientCreated(client(&n.to_string())));
    }
    let full = story.cannot("ann", C::ClientCreated(later("one more")));
    assert!(matches!(full, Rejection::Invalid(why) if why.contains("64 clients")));
    story.now_ms = START_MS + HOUR_MS;
    for ttl_ms in [0, MAX_TTL_MS + 1] {
        let wrong = ClientRecord { ttl_ms, ..client("one more") };
        assert!(matches!(story.cannot("ann", C::ClientCreated(wrong)), Rejection::Invalid(_)));
    }
    story.does("ann", C::ClientCreated(later("7")));
    assert_eq!(story.state.control().clients().len(), 1);
}
