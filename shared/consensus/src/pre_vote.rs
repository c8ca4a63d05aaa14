//! Repeats the requests of a pre-vote for a short while.
//!
//! A voter that heard the leader within the shortest election timeout ignores requests for its vote (Raft dissertation,
//! §4.2.3). Ticks of members do not coincide, and the last heartbeat of a leader that died may have reached
//! some voters and not others: whoever stands first is then ignored, and would wait for a whole timeout of its own. A
//! request that is repeated is answered as soon as that time is over everywhere. A pre-vote binds nobody, so it may be
//! repeated; it ends after a few ticks, so that a member that was cut off does not fill a network with requests.

use rafty_types::Message;

/// For how many ticks a pre-vote is repeated, once in each: two heartbeats, one that others have heard later, one to spare.
const REPEATS: u32 = 8;

/// The requests of the pre-vote that is under way.
#[derive(Debug, Default)]
pub(crate) struct PreVote {
    requests: Vec<Message>,
    repeats_left: u32,
}

impl PreVote {
    /// This member stands for election: its requests are yet to come.
    pub(crate) fn begin(&mut self) {
        *self = Self { requests: Vec::new(), repeats_left: REPEATS };
    }

    /// The engine sends one to a voter.
    pub(crate) fn sent(&mut self, request: &Message) {
        if self.repeats_left > 0 {
            self.requests.push(request.clone());
        }
    }

    /// A tick has passed and the pre-vote is not decided: what to send again.
    pub(crate) fn repeat(&mut self) -> Vec<Message> {
        let left = self.repeats_left.checked_sub(1);
        self.repeats_left = left.unwrap_or_default();
        if left.is_some() { self.requests.clone() } else { Vec::new() }
    }

    /// The pre-vote is decided.
    pub(crate) fn end(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rafty_types::{Index, MemberId, MessageKind, Term};

    fn request(to: u64) -> Message {
        let envelope = Message::new(MessageKind::RequestPreVote, MemberId(1), MemberId(to), Term(2));
        Message { log_term: Term(1), index: Index(1), ..envelope }
    }

    #[test]
    fn requests_are_repeated_for_a_while_and_none_of_an_earlier_pre_vote() {
        let mut pre_vote = PreVote::default();
        pre_vote.begin();
        pre_vote.sent(&request(2));
        pre_vote.begin();
        pre_vote.sent(&request(3));
        for _ in 0..REPEATS {
            assert_eq!(pre_vote.repeat(), [request(3)]);
        }
        assert!(pre_vote.repeat().is_empty());

        pre_vote.begin();
        pre_vote.sent(&request(2));
        pre_vote.end();
        assert!(pre_vote.repeat().is_empty());
    }
}
