//! Whose tenure it is, and whose it was.
//!
//! A tenure is opened here and never closed: the next one ends it. When that should happen is `consensus`.

use crate::control::Context;
use rafty_types::{Digest, Member, MemberId, Mutation, Rejection, Tenure, Term, planted};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// How many tenures are remembered, the current one included.
pub const KEPT_TENURES: usize = 1_024;

/// The current tenure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenureState {
    /// Its id: the index of the entry that began it.
    pub tenure: Tenure,
    /// The aggregator.
    pub member: MemberId,
    /// The term in which it is leader; the tenure is worth nothing in another.
    pub term: Term,
    /// The key that updates are sealed with, PKCS#1 DER.
    pub rsa_public: Vec<u8>,
    /// Digest of `rsa_public`: names the key in envelopes.
    pub key_id: Digest,
}

/// A tenure as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenureRecord {
    /// Its id.
    pub tenure: Tenure,
    /// Its term.
    pub term: Term,
    /// Its aggregator.
    pub member: MemberId,
    /// Digest of its key, so that no key serves twice.
    pub key_id: Digest,
    /// How many rounds it published.
    pub rounds_published: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tenures {
    current: Option<TenureState>,
    history: VecDeque<TenureRecord>,
}

impl Tenures {
    pub(crate) fn current(&self) -> Option<&TenureState> {
        self.current.as_ref()
    }

    pub(crate) fn history(&self) -> &VecDeque<TenureRecord> {
        &self.history
    }

    /// Who leads in `term`, as far as a tenure begun in it tells: a term has one leader.
    pub(crate) fn leader_of(&self, term: Term) -> Option<MemberId> {
        self.current.as_ref().filter(|tenure| tenure.term == term).map(|tenure| tenure.member)
    }

    /// Whether a key of this id has served before.
    pub(crate) fn has_served(&self, key_id: Digest) -> bool {
        self.history.iter().any(|past| past.key_id == key_id)
    }

    pub(crate) fn begin(&mut self, at: &Context, holder: &Member, rsa_public: Vec<u8>) -> Tenure {
        let name = if planted(Mutation::TenureNamedByTerm) { at.term.0 } else { at.index.0 };
        let (tenure, term, member) = (Tenure(name), at.term, holder.id);
        let key_id = Digest::of(&rsa_public);
        if self.history.len() >= KEPT_TENURES {
            self.history.pop_front();
        }
        self.history.push_back(TenureRecord { tenure, term, member, key_id, rounds_published: 0 });
        self.current = Some(TenureState { tenure, member, term, rsa_public, key_id });
        tenure
    }

    /// The fence around everything an aggregator does: its command counts only when it was proposed in the term of
    /// its entry, by the holder of the current tenure, within that tenure.
    pub(crate) fn check_aggregator(&self, at: &Context, tenure: Tenure) -> Result<(), Rejection> {
        let counts = self.current.as_ref().is_some_and(|current| {
            current.tenure == tenure
                && current.member == at.origin
                && current.term == at.term
                && at.proposed_in == at.term
        });
        if counts { Ok(()) } else { Err(Rejection::Deposed) }
    }

    pub(crate) fn count_published(&mut self) {
        if let Some(current) = self.history.back_mut() {
            current.rounds_published = current.rounds_published.saturating_add(1);
        }
    }
}
