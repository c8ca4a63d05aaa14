//! Replies with every entry: encoded beside the loop, from a copy that shares the entries, once for all who ask for the
//! same state in the same form meanwhile.

use crate::clients::Body;
use crate::clients::limits::Budget;
use rafty_dictionary::Entries;
use rafty_types::Index;
use rafty_wire::client::{Address, encode_entries, encode_framed};
use std::sync::{Arc, OnceLock, Weak};

/// How the entries are put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A map with nothing around it.
    Bare,
    /// Within a reply that tells whether they are stale.
    Framed {
        /// Whether no leader confirmed them.
        stale: bool,
    },
}

/// A reply that is made when it is first sent.
pub(crate) struct WholeReply {
    entries: Entries,
    cluster: Vec<Address>,
    form: Form,
    replies: Budget,
    body: OnceLock<Arc<Body>>,
}

impl WholeReply {
    pub(super) fn new(entries: Entries, cluster: Vec<Address>, form: Form, replies: Budget) -> Self {
        Self { entries, cluster, form, replies, body: OnceLock::new() }
    }

    /// Its bytes. Takes long, and whoever asks meanwhile waits.
    pub(super) fn body(&self) -> Arc<Body> {
        let make = || {
            let entries = encode_entries(&self.cluster, self.entries.iter(), self.entries.byte_len());
            let bytes = match self.form {
                Form::Bare => entries,
                Form::Framed { stale } => encode_framed(&entries, stale),
            };
            Body::within(&self.replies, bytes)
        };
        self.body.get_or_init(make).clone()
    }
}

/// The last such reply, as long as somebody still reads it.
#[derive(Default)]
pub(super) struct LastWhole(Option<(Index, Form, Weak<WholeReply>)>);

impl LastWhole {
    /// That of the state of this index, in this form; made anew when there is none.
    pub(super) fn of(
        &mut self,
        index: Index,
        form: Form,
        make: impl FnOnce() -> WholeReply,
    ) -> Arc<WholeReply> {
        let known = self.0.as_ref().filter(|(of, in_form, _)| (*of, *in_form) == (index, form));
        if let Some(reply) = known.and_then(|(.., reply)| reply.upgrade()) {
            return reply;
        }
        let reply = Arc::new(make());
        self.0 = Some((index, form, Arc::downgrade(&reply)));
        reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_state_in_the_same_form_is_encoded_once_as_long_as_somebody_reads_it() {
        let replies = Budget::new(1_000);
        let make = |form| {
            let replies = replies.clone();
            move || WholeReply::new(Entries::default(), Vec::new(), form, replies)
        };
        let (mut last, framed) = (LastWhole::default(), Form::Framed { stale: true });
        let one = last.of(Index(7), Form::Bare, make(Form::Bare));
        let other = last.of(Index(7), Form::Bare, || panic!("it is there"));
        assert!(Arc::ptr_eq(&one.body(), &other.body()));
        assert!(!Arc::ptr_eq(&one, &last.of(Index(7), framed, make(framed))), "another form");
        let later = last.of(Index(8), framed, make(framed));
        assert!(!Arc::ptr_eq(&one.body(), &later.body()));
        drop(later);
        last.of(Index(8), framed, make(framed));
    }
}
