//! Whom a member asks who votes, when it is led or asked for a vote by a member of which it does not know that.
//!
//! While it was away, all seats may have moved. A voter that it knows may still be there, and its word is good. When none
//! of them says anything new for long (one may have been sent away without hearing of it), or when it knows of none, as
//! a newcomer, a laptop is believed, as its operator is; and when none answers for long, two devices that say the same.
//! One would not be enough: whoever lies need only wait until the voters are out of reach.

use crate::io::Output;
use crate::node::Node;
use rafty_consensus as consensus;
use rafty_types::{Frame, Index, MemberId, Mutation, PeerKey, StateMachine, Term, Time, planted};
use std::collections::BTreeMap;

/// When none of the voters that it knows has said anything new for so many longest election timeouts, a member asks
/// everybody.
const ASKS_EVERYBODY_AFTER: u32 = 10;
/// An answer that comes later than so many longest election timeouts after the question is none.
const ANSWERED_WITHIN: u32 = 10;
/// So many members that say the same are believed like a voter.
const AGREEING: usize = 2;

/// What a member asked, and what it was answered.
#[derive(Debug, Default)]
pub(crate) struct VotersQuestion {
    asked_at: Option<Time>,
    /// Since when no voter has answered.
    unanswered_since: Option<Time>,
    /// Since when none has said anything new.
    uninformed_since: Option<Time>,
    /// What members said that do not vote as far as is known here.
    answers: BTreeMap<MemberId, (Index, Vec<MemberId>)>,
}

impl<U: StateMachine> Node<U> {
    /// Somebody leads, or asks for a vote, of whom it is not known that it votes.
    pub(crate) fn ask_who_votes(&mut self) {
        let timeout = self.consensus.election_timeout();
        let since = |at: Option<Time>| at.map(|at| self.now.saturating_since(at));
        let keeps_to_its_own = !self.consensus.voters().is_empty() && planted(Mutation::VotersNotAskedFor);
        if keeps_to_its_own || since(self.voters_question.asked_at).is_some_and(|passed| passed < timeout) {
            return;
        }
        let goes_on =
            since(self.voters_question.asked_at).is_some_and(|passed| passed < timeout * ANSWERED_WITHIN);
        if !goes_on {
            self.voters_question = VotersQuestion::default();
        }
        self.voters_question.asked_at = Some(self.now);
        self.voters_question.unanswered_since.get_or_insert(self.now);
        self.voters_question.uninformed_since.get_or_insert(self.now);
        let asks_everybody = self.asks_everybody();
        let asked = self.roster.others(self.me).filter(|id| asks_everybody || self.is_known_voter(*id));
        let asked: Vec<_> = asked.collect();
        self.out.extend(asked.into_iter().map(|to| Output::Send { to, frame: Frame::AskVoters }));
    }

    /// Whether a member votes as far as is known here, maybe under the id that it had before it enrolled again.
    pub(crate) fn is_known_voter(&self, id: MemberId) -> bool {
        let votes = |id| self.consensus.has_voice(id);
        let earlier = |key: &PeerKey| {
            let mut members = self.state.control().members().values();
            members.any(|member| member.key == *key && votes(member.id))
        };
        votes(id) || self.roster.member(id).is_some_and(|member| earlier(&member.key))
    }

    fn is_known_firsthand(&self, id: MemberId) -> bool {
        let key = self.roster.member(id).map(|member| member.key);
        self.known_firsthand().any(|member| Some(member.key) == key)
    }

    fn asks_everybody(&self) -> bool {
        self.consensus.voters().is_empty() || self.is_long_since(self.voters_question.uninformed_since)
    }

    fn is_long_since(&self, at: Option<Time>) -> bool {
        let patience = self.consensus.election_timeout() * ASKS_EVERYBODY_AFTER;
        at.is_some_and(|at| self.now.saturating_since(at) >= patience)
    }

    /// Another member asks who votes.
    pub(crate) fn asked_who_votes(&mut self, from: MemberId) {
        // What it was told itself is of a later index than it could say.
        let voters: Vec<_> = self.consensus.membership().all_voters().into_iter().collect();
        if !voters.is_empty() {
            let (index, term) = (self.consensus.applied(), self.consensus.term());
            self.out.push(Output::Send { to: from, frame: Frame::Voters { index, term, voters } });
        }
    }

    /// Another member says who votes.
    pub(crate) fn told_who_votes(&mut self, from: MemberId, index: Index, term: Term, voters: Vec<MemberId>) {
        let asked = self.voters_question.asked_at.map(|at| self.now.saturating_since(at));
        if asked.is_none_or(|passed| passed > self.consensus.election_timeout() * ANSWERED_WITHIN) {
            return self.dropped(from, "who votes, which nobody asked");
        }
        let is_operators = self.asks_everybody() && self.is_laptop(from);
        if self.is_known_voter(from) || is_operators || planted(Mutation::AnybodySaysWhoVotes) {
            self.voters_question.unanswered_since = None;
            self.voters_question.answers.clear();
            if self.consensus.is_news_of_voters(index) {
                self.voters_question.uninformed_since = None;
            }
            return self.step(consensus::Input::VotersTold { by: from, index, term, voters });
        }
        if !self.is_long_since(self.voters_question.unanswered_since) || voters.len() > consensus::MAX_STEPS {
            return self.dropped(from, "who votes, which only voters were asked");
        }
        // Of others somebody told, who could be all of them.
        if !self.is_known_firsthand(from) {
            return self.dropped(from, "who votes, by a member that is known from others only");
        }
        self.voters_question.answers.insert(from, (index, voters.clone()));
        let same = self.voters_question.answers.values().filter(|(_, said)| *said == voters);
        let indexes: Vec<_> = same.map(|(index, _)| *index).collect();
        // A newcomer may know nobody else.
        let knows_voters = !self.consensus.voters().is_empty();
        let enough = if knows_voters {
            AGREEING
        } else {
            AGREEING.min(self.known_firsthand().filter(|member| member.id != self.me).count())
        };
        if indexes.len() >= enough {
            let index = indexes.into_iter().min().unwrap_or(index);
            self.step(consensus::Input::VotersTold { by: from, index, term, voters });
        }
    }
}
