//! A member whose disk may be an older copy of itself: it may have forgotten whom it voted for and what it acknowledged.
//!
//! It takes part without being counted on: it does not stand for election, gives no votes, and acknowledges only what is
//! committed already, so that no commitment rests on it. That ends when an entry that names its present start is
//! committed. A majority without it has acknowledged that entry, so every candidate that still relies on a forgotten vote
//! lacks an entry that such a majority has, and cannot win; and the leader that proposed it has every entry that was ever
//! committed on a forgotten acknowledgement, at an index before it.

use crate::disk::Load;
use crate::io::Role;
use crate::machine::{Consensus, Outcome};
use rafty_types::{Batch, Incarnations, Index, Message, MessageKind, Mutation, planted};

impl Consensus {
    /// Whether this member is not to be counted on.
    pub fn abstains(&self) -> bool {
        self.abstaining && !planted(Mutation::CopyVotes)
    }

    pub(crate) fn abstain(&mut self) -> Outcome {
        self.abstaining = true;
        if self.role() != Role::Follower && self.abstains() {
            let term = self.raw.raft.term;
            self.raw.raft.become_follower(term, raft::INVALID_ID);
        }
        Ok(())
    }

    pub(crate) fn vote_again(&mut self) -> Outcome {
        self.abstaining = false;
        if self.raw.raft.vote == raft::INVALID_ID {
            // It may have voted in this term. A vote for itself, without standing, gives nobody anything.
            self.raw.raft.vote = self.me.0;
        }
        Ok(())
    }

    pub(crate) fn write_incarnations(&mut self, incarnations: Incarnations) -> Outcome {
        let batch = Batch { incarnations: Some(incarnations), ..Batch::default() };
        let term = self.raw.raft.term;
        self.persist(batch, Load { term, ..Load::default() });
        Ok(())
    }
}

/// Takes out of a message whatever its receiver could count on beyond what is committed already.
pub fn promise_nothing_new(message: &mut Message, commit: Index) {
    match message.kind {
        MessageKind::AppendResponse if !message.reject => message.index = message.index.min(commit),
        // Its context would confirm a read.
        MessageKind::HeartbeatResponse => message.context.clear(),
        _ => {}
    }
}

/// Whether a message wants a vote, or that its receiver stands for election.
pub(crate) fn asks_for_a_voice(kind: MessageKind) -> bool {
    use MessageKind::{RequestPreVote, RequestVote, TimeoutNow};
    matches!(kind, RequestVote | RequestPreVote | TimeoutNow)
}
