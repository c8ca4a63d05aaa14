//! Up to where this process has agreed with its leader's log.
//!
//! A heartbeat commits what the leader believes its receiver to have. That belief may rest on what a copy of this member's
//! disk acknowledged in its name, or on a part of the log that the disk has lost since. So a heartbeat commits nothing
//! beyond what this very process acknowledged to the leader of this term.

use rafty_types::{Index, Message, MessageKind, Mutation, Term, planted};

/// The last index at which this process found its log to be the leader's, and the leader's term.
#[derive(Debug, Default)]
pub(crate) struct Agreement {
    term: Term,
    index: Index,
}

impl Agreement {
    /// Notes what this member says to its leader.
    pub(crate) fn note(&mut self, said: &Message) {
        if said.kind != MessageKind::AppendResponse || said.reject {
            return;
        }
        let before = if self.term == said.term { self.index } else { Index(0) };
        *self = Self { term: said.term, index: before.max(said.index) };
    }

    /// What a heartbeat commits in a log that is committed up to `committed` and ends at `last`.
    pub(crate) fn commits(&self, heartbeat: &Message, committed: Index, last: Index) -> Index {
        let agreed = if self.term == heartbeat.term { self.index } else { Index(0) };
        let agreed = if planted(Mutation::HeartbeatCommitsUnseen) { last } else { agreed };
        heartbeat.commit.min(agreed.max(committed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Boot, Config, Consensus, Input, Output};
    use rafty_types::{
        Entry, HardState, MemberId, Membership, Payload, Settings, Snapshot, SnapshotMeta, Time,
    };

    /// Member 2 of three, whose log ends with two entries of term 1 that nobody else has.
    fn former_leader() -> Consensus {
        let membership =
            Membership { voters: vec![MemberId(1), MemberId(2), MemberId(3)], ..Membership::default() };
        let meta = SnapshotMeta { index: Index(2), term: Term(1), membership };
        let entry =
            |index| Entry { index: Index(index), term: Term(1), payload: Payload::Command([1].into()) };
        let boot = Boot {
            id: MemberId(2),
            hard_state: HardState { term: Term(1), commit: Index(2), ..HardState::default() },
            snapshot: Snapshot { meta, data: [].into() },
            entries: vec![entry(3), entry(4)],
            abstains: false,
        };
        Consensus::new(Config::from_settings(&Settings::default()), boot, 1, Time::ZERO).unwrap()
    }

    fn from_leader(kind: MessageKind, change: impl FnOnce(&mut Message)) -> Input {
        let mut message = Message::new(kind, MemberId(1), MemberId(2), Term(2));
        change(&mut message);
        Input::Message(Box::new(message))
    }

    #[test]
    fn a_heartbeat_commits_only_what_this_process_acknowledged_in_this_term() {
        let mut follower = former_leader();
        let heartbeat = || from_leader(MessageKind::Heartbeat, |message| message.commit = Index(4));
        let said = follower.handle(Time::ZERO, heartbeat());
        assert_eq!(follower.commit(), Index(2), "a copy may have acknowledged other entries 3 and 4");
        let answers = said.iter().any(|output| {
            matches!(output, Output::Send(message) if message.kind == MessageKind::HeartbeatResponse)
        });
        assert!(answers, "the leader is heard all the same");
        let append = from_leader(MessageKind::Append, |message| {
            (message.index, message.log_term, message.commit) = (Index(2), Term(1), Index(2));
            message.entries = vec![Entry { index: Index(3), term: Term(2), payload: Payload::Empty }];
        });
        let said = follower.handle(Time::ZERO, append);
        follower.handle(Time::ZERO, heartbeat());
        assert_eq!(follower.commit(), Index(3), "{said:?}");
    }
}
