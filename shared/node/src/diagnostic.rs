//! What a client of the dictionary may know of Raft's inside, in member ids.
//!
//! Unlike [`Status`](crate::Status) it costs next to nothing: no state is hashed.

use crate::node::Node;
use rafty_consensus::Role;
use rafty_types::{Index, MemberId, StateMachine, Term};
use std::collections::BTreeMap;

/// A member's Raft, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What it is now.
    pub role: Role,
    /// The term it is in.
    pub term: Term,
    /// Who got its vote in this term.
    pub voted_for: Option<MemberId>,
    /// The leader it knows.
    pub leader: Option<MemberId>,
    /// The highest committed index it knows.
    pub commit: Index,
    /// What only a leader knows.
    pub leading: Option<LeaderDiagnostic>,
}

/// A leader's view of the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderDiagnostic {
    /// The next entry each member will be sent.
    pub next: Vec<(MemberId, Index)>,
    /// The last entry known to be on each member's disk.
    pub matched: Vec<(MemberId, Index)>,
    /// How many requests wait for which entry to be applied.
    pub waiting: BTreeMap<Index, usize>,
}

impl<U: StateMachine> Node<U> {
    /// What this member knows of Raft's inside.
    pub fn diagnostic(&self) -> Diagnostic {
        let progress = self.consensus.progress();
        let leading = self.is_leader().then(|| LeaderDiagnostic {
            next: progress.iter().map(|one| (one.member, one.next)).collect(),
            matched: progress.iter().map(|one| (one.member, one.matched)).collect(),
            waiting: self.requests.waiting(),
        });
        Diagnostic {
            role: self.consensus.role(),
            term: self.consensus.term(),
            voted_for: self.consensus.hard_state().voted_for,
            leader: self.consensus.leader(),
            commit: self.consensus.commit(),
            leading,
        }
    }
}
