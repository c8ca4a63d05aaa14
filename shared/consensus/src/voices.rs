//! Who may speak Raft to this member, and how far ahead a term may be.
//!
//! Any member can send what it likes, and a single message of a later term deposes a leader. So only voters lead, ask for
//! votes and give them: those of the applied membership, and those to whom an entry of the own log gives a vote. A member
//! that was away while all seats moved knows none of those who vote today; it is told of them, and takes that for granted
//! until it has applied as much. Learners answer only; their terms count now and then, since one that is in a later term
//! would never follow again.

use crate::check::{MAX_NUMBER, MAX_STEPS, Refused};
use crate::machine::{Consensus, Outcome};
use rafty_types::{
    Index, MemberId, MembershipStep, Message, MessageKind, Mutation, Payload, Term, Time, planted,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How far ahead a term may be on one voter's word: no peer set has so many elections.
pub(crate) const MAX_TERMS_AHEAD: u64 = 1 << 20;
/// The term of a member that does not vote moves this one on at most so often.
const LEARNERS_TERM_EVERY: Duration = Duration::from_secs(60);
/// How many voters must know a term that is further ahead, where there are as many.
const WITNESSES: usize = 2;

/// What is known of voters beyond the log.
#[derive(Debug, Default)]
pub(crate) struct Voices {
    /// Who votes as of an index that is not applied here, as another member says.
    told: Option<(Index, BTreeSet<MemberId>)>,
    /// The terms of voters that are too far ahead to be believed of one.
    far_terms: BTreeMap<MemberId, Term>,
    learners_term_at: Option<Time>,
}

impl Consensus {
    /// Whether a member may lead, ask for votes and give them, as far as is known here. A newcomer knows of nobody until
    /// it is told.
    pub fn has_voice(&self, member: MemberId) -> bool {
        let told = self.voices.told.as_ref().is_some_and(|(_, voters)| voters.contains(&member));
        self.membership.votes(member)
            || told
            || self.log_seats(member)
            || planted(Mutation::EverybodyHasAVoice)
            || self.listens_to_everybody()
    }

    /// Whether who knows of no voter takes everybody for one.
    fn listens_to_everybody(&self) -> bool {
        self.membership.voters.is_empty() && planted(Mutation::NewcomersListenToEverybody)
    }

    /// Whether an entry that is not applied gives a member a vote.
    fn log_seats(&self, member: MemberId) -> bool {
        let seats = |payload: &Payload| match payload {
            Payload::Membership(change) => change.steps.contains(&MembershipStep::AddVoter(member)),
            _ => false,
        };
        self.raw.store().after(self.applied).any(|entry| seats(&entry.payload))
    }

    /// Whether a message is taken from who sent it.
    pub(crate) fn check_voice(&mut self, message: &Message) -> Result<(), Refused> {
        let has_voice = self.has_voice(message.from);
        if is_for_voters(message.kind) && !has_voice {
            return Err(Refused::NoVoice);
        }
        if message.term <= self.term() || self.listens_to_everybody() {
            return Ok(());
        }
        if has_voice {
            self.note_term(message.from, message.term);
        }
        if message.term.0 > self.plausible_term() {
            return Err(Refused::TermTooFarAhead);
        }
        let lately = |at: Time| self.now.saturating_since(at) < LEARNERS_TERM_EVERY;
        if !has_voice && self.voices.learners_term_at.is_some_and(lately) {
            return Err(Refused::NoVoice);
        }
        if !has_voice {
            self.voices.learners_term_at = Some(self.now);
        }
        Ok(())
    }

    /// The latest term that this member takes over: so far ahead of its own, or of the one that enough voters know.
    fn plausible_term(&self) -> u64 {
        if planted(Mutation::AnyTermBelieved) {
            return MAX_NUMBER;
        }
        let mut known: Vec<_> = self.voices.far_terms.values().map(|term| term.0).collect();
        known.sort_unstable_by(|a, b| b.cmp(a));
        let others = self.voters().iter().filter(|voter| **voter != self.me).count();
        let witnessed = others.clamp(1, WITNESSES) - 1;
        known.get(witnessed).map_or(self.term().0, |term| self.term().0.max(*term)) + MAX_TERMS_AHEAD
    }

    fn note_term(&mut self, voter: MemberId, term: Term) {
        if term.0 > self.term().0 + MAX_TERMS_AHEAD {
            self.voices.far_terms.insert(voter, term);
        }
    }

    /// Who votes as far as is known here, also as others say.
    pub fn voters(&self) -> BTreeSet<MemberId> {
        let told = self.voices.told.iter().flat_map(|(_, voters)| voters);
        self.membership.all_voters().into_iter().chain(told.copied()).collect()
    }

    /// Whether who votes as of `index` is more than this member knows.
    pub fn is_news_of_voters(&self, index: Index) -> bool {
        index.0 > self.applied && self.voices.told.as_ref().is_none_or(|(known, _)| *known < index)
    }

    /// A member says who votes as of an index, and in which term it is.
    pub(crate) fn voters_told(
        &mut self,
        by: MemberId,
        index: Index,
        term: Term,
        voters: &[MemberId],
    ) -> Outcome {
        let sane = voters.len() <= MAX_STEPS && voters.windows(2).all(|pair| pair[0] < pair[1]);
        if !sane || index.0 > MAX_NUMBER || term.0 > MAX_NUMBER {
            return Err((Some(by), Refused::BadField));
        }
        if self.has_voice(by) {
            self.note_term(by, term);
        }
        if self.is_news_of_voters(index) {
            self.voices.told = Some((index, voters.iter().copied().collect()));
        }
        Ok(())
    }

    /// Forgets what the log or the term says by now.
    pub(crate) fn forget_told_voters(&mut self) {
        let (applied, term) = (self.applied, self.term().0);
        self.voices.told.take_if(|(index, _)| index.0 <= applied);
        self.voices.far_terms.retain(|_, far| far.0 > term + MAX_TERMS_AHEAD);
    }
}

/// Whether only voters say such things. Votes are given by voters; everybody else only answers a leader, or asks it.
fn is_for_voters(kind: MessageKind) -> bool {
    !matches!(kind, MessageKind::AppendResponse | MessageKind::HeartbeatResponse | MessageKind::ReadIndex)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Boot, Config, Input, Output, Role};
    use rafty_types::{Entry, HardState, Membership, MembershipChange, Settings, Snapshot, SnapshotMeta};

    const SOON: Time = Time::ZERO;

    /// Member 2; of the others 1, 3 vote, and 4, 5 learn.
    fn member(entries: Vec<Entry>) -> Consensus {
        let membership = Membership {
            voters: vec![MemberId(1), MemberId(2), MemberId(3)],
            learners: vec![MemberId(4), MemberId(5)],
            ..Membership::default()
        };
        let meta = SnapshotMeta { index: Index(2), term: Term(1), membership };
        let boot = Boot {
            id: MemberId(2),
            hard_state: HardState { term: Term(1), commit: Index(2), ..HardState::default() },
            snapshot: Snapshot { meta, data: [].into() },
            entries,
            abstains: false,
        };
        Consensus::new(Config::from_settings(&Settings::default()), boot, 1, SOON).unwrap()
    }

    /// The same with an empty disk.
    fn newcomer() -> Consensus {
        let boot = Boot { id: MemberId(2), ..Boot::default() };
        Consensus::new(Config::from_settings(&Settings::default()), boot, 1, SOON).unwrap()
    }

    fn hears(member: &mut Consensus, at: Time, kind: MessageKind, from: u64, term: u64) -> Option<Refused> {
        let mut message = Message::new(kind, MemberId(from), MemberId(2), Term(term));
        if matches!(kind, MessageKind::RequestVote | MessageKind::RequestPreVote) {
            (message.index, message.log_term) = (Index(9), Term(1));
        }
        let said = member.handle(at, Input::Message(Box::new(message)));
        said.into_iter().find_map(|output| match output {
            Output::Refused { why, .. } => Some(why),
            _ => None,
        })
    }

    fn told(member: &mut Consensus, by: u64, index: u64, term: u64, voters: &[u64]) {
        let voters = voters.iter().copied().map(MemberId).collect();
        let by = MemberId(by);
        member.handle(SOON, Input::VotersTold { by, index: Index(index), term: Term(term), voters });
    }

    #[test]
    fn learners_neither_lead_nor_stand_for_election() {
        use MessageKind::{Append, Heartbeat, RequestPreVote, RequestVote, TimeoutNow};
        let mut member = member(Vec::new());
        for kind in [Append, Heartbeat, RequestPreVote, RequestVote, TimeoutNow] {
            for from in [4, 9] {
                let why = hears(&mut member, SOON, kind, from, 2);
                // An append that is none is refused for that.
                assert!(why == Some(Refused::NoVoice) || kind == Append, "{kind:?} of {from}: {why:?}");
            }
        }
        assert_eq!((member.term(), member.role()), (Term(1), Role::Follower));
        assert_eq!(hears(&mut member, SOON, Heartbeat, 3, 2), None);
        assert_eq!((member.term(), member.leader()), (Term(2), Some(MemberId(3))));
    }

    #[test]
    fn a_newcomer_listens_to_nobody_before_it_is_told_who_votes() {
        use MessageKind::{Append, AppendResponse, Heartbeat};
        let mut member = newcomer();
        assert_eq!(hears(&mut member, SOON, Heartbeat, 4, 2), Some(Refused::NoVoice));
        assert_eq!(hears(&mut member, SOON, AppendResponse, 4, 1 << 60), Some(Refused::TermTooFarAhead));
        assert_eq!((member.term(), member.leader()), (Term(0), None));
        told(&mut member, 1, 90, 7, &[1, 3]);
        assert_eq!(hears(&mut member, SOON, Append, 4, 8), Some(Refused::NoVoice));
        assert_eq!(hears(&mut member, SOON, Heartbeat, 3, 7), None);
        assert_eq!((member.term(), member.leader()), (Term(7), Some(MemberId(3))));
    }

    #[test]
    fn an_entry_that_gives_a_seat_gives_a_voice_before_it_is_applied() {
        let change = MembershipChange { steps: vec![MembershipStep::AddVoter(MemberId(4))] };
        let entry = Entry { index: Index(3), term: Term(1), payload: Payload::Membership(change) };
        let mut member = member(vec![entry]);
        assert_eq!(hears(&mut member, SOON, MessageKind::Heartbeat, 4, 2), None);
        assert_eq!(hears(&mut member, SOON, MessageKind::Heartbeat, 5, 3), Some(Refused::NoVoice));
    }

    #[test]
    fn who_was_away_hears_those_of_whom_it_is_told_until_it_knows_itself() {
        let mut member = member(Vec::new());
        told(&mut member, 1, 2, 1, &[4, 5]);
        assert!(!member.has_voice(MemberId(4)), "its own log knows more");
        told(&mut member, 1, 90, 1, &[5, 4]);
        told(&mut member, 1, 90, 1, &[4; MAX_STEPS + 1]);
        assert!(!member.has_voice(MemberId(4)), "no list of voters");
        told(&mut member, 1, 90, 1, &[4, 7]);
        told(&mut member, 3, 80, 1, &[5]);
        assert_eq!([4, 5, 7].map(|id| member.has_voice(MemberId(id))), [true, false, true]);
        assert_eq!(hears(&mut member, SOON, MessageKind::Heartbeat, 4, 2), None);
        assert_eq!(member.leader(), Some(MemberId(4)));
        member.applied = 90;
        member.handle(SOON, Input::Tick);
        assert!(!member.has_voice(MemberId(4)));
    }

    #[test]
    fn a_learners_later_term_counts_once_a_minute() {
        use MessageKind::AppendResponse;
        let mut member = member(Vec::new());
        assert_eq!(hears(&mut member, SOON, AppendResponse, 4, 3), None);
        assert_eq!(member.term(), Term(3), "it would never follow otherwise");
        let soon = SOON + LEARNERS_TERM_EVERY / 2;
        assert_eq!(hears(&mut member, soon, AppendResponse, 5, 4), Some(Refused::NoVoice));
        assert_eq!(hears(&mut member, soon, AppendResponse, 1, 4), None);
        assert_eq!(hears(&mut member, soon, AppendResponse, 5, 4), None, "it is the present one");
        assert_eq!(hears(&mut member, SOON + LEARNERS_TERM_EVERY, AppendResponse, 5, 5), None);
        let far = 5 + MAX_TERMS_AHEAD + 1;
        let later = SOON + LEARNERS_TERM_EVERY * 2;
        assert_eq!(hears(&mut member, later, AppendResponse, 5, far), Some(Refused::TermTooFarAhead));
    }

    #[test]
    fn a_term_far_ahead_takes_two_voters() {
        use MessageKind::{Heartbeat, HeartbeatResponse};
        let mut member = member(Vec::new());
        assert_eq!(hears(&mut member, SOON, Heartbeat, 1, 1 << 60), Some(Refused::TermTooFarAhead));
        assert_eq!(hears(&mut member, SOON, Heartbeat, 1, 1 << 60), Some(Refused::TermTooFarAhead));
        let far = 5 * MAX_TERMS_AHEAD;
        told(&mut member, 4, 2, far, &[1, 2, 3]);
        assert_eq!(hears(&mut member, SOON, Heartbeat, 1, far), Some(Refused::TermTooFarAhead), "no voter");
        assert_eq!(hears(&mut member, SOON, HeartbeatResponse, 3, far), None, "1 named a later one before");
        assert_eq!(member.term(), Term(far));
        let too_far = Some(Refused::TermTooFarAhead);
        assert_eq!(hears(&mut member, SOON, Heartbeat, 1, 1 << 60), too_far, "only one knows that one");
    }

    #[test]
    fn a_voter_tells_the_term_that_another_leads_in() {
        let mut member = member(Vec::new());
        let far = 3 * MAX_TERMS_AHEAD;
        assert_eq!(hears(&mut member, SOON, MessageKind::Heartbeat, 3, far), Some(Refused::TermTooFarAhead));
        told(&mut member, 1, 2, far, &[1, 2, 3]);
        assert_eq!(hears(&mut member, SOON, MessageKind::Heartbeat, 3, far), None);
        assert_eq!(member.leader(), Some(MemberId(3)));
    }
}
