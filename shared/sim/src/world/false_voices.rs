//! A member without a vote that leads, stands for election, names terms, and says who votes and who belongs.
//!
//! Each lie is heard at once, so that it shows at once whether it was believed.

use super::World;
use super::backups::voters_on;
use crate::rng::SimRng;
use crate::tally::Evil;
use rafty_node::Input;
use rafty_types::{
    Entry, Frame, Index, Member, MemberId, MembershipStep, Message, MessageKind, Payload, Term,
};
use std::collections::BTreeSet;

/// So far ahead no term is believed of one voter.
const FAR_TERMS: [u64; 3] = [(1 << 20) + 1, 1 << 40, (1 << 60) - 1];
/// An index, and a member's number, that nobody reaches.
const FAR: u64 = 1 << 50;

impl World {
    /// A member says to another one what only voters, or only laptops, may say.
    pub(super) fn speaks_falsely(&mut self, liar: MemberId, rng: &mut SimRng) {
        let others: Vec<_> = self.running().into_iter().filter(|id| *id != liar).collect();
        let Some(victim) = rng.pick(&others) else { return };
        if !self.is_heard_by(liar, victim) {
            return;
        }
        self.tally.evil(Evil::FalseVoice);
        let has_vote = self.members.values().any(|member| self.may_know_as_voter(member.id, liar));
        match rng.below(5) {
            0 => self.names_a_far_term(liar, victim, rng),
            1 if !has_vote => self.says_who_votes(liar, victim),
            2 if !has_vote => self.renames_a_member(liar, victim, rng),
            3 => self.moves_leadership(liar, victim, rng),
            _ if !has_vote => self.leads_without_a_vote(liar, victim, rng),
            _ => {}
        }
    }

    /// Whether a member's log or state may give another one a vote, maybe under the id that it had before it enrolled again.
    pub(super) fn may_know_as_voter(&self, id: MemberId, other: MemberId) -> bool {
        let member = &self.members[&id];
        let runs = member.process.as_ref().map(|process| &process.node);
        let key = self.members.get(&other).map(|other| other.identity.key());
        let known = runs.into_iter().flat_map(|node| node.state().control().members().values());
        let earlier = known.filter(|known| Some(known.key) == key).map(|known| known.id);
        let names: BTreeSet<_> = earlier.chain([other]).collect();
        let seats = |payload: &Payload| match payload {
            Payload::Membership(change) => {
                names.iter().any(|id| change.steps.contains(&MembershipStep::AddVoter(*id)))
            }
            _ => false,
        };
        let voters = runs.map(|node| node.consensus().voters());
        voters.is_some_and(|voters| !voters.is_disjoint(&names))
            || names.iter().any(|id| member.disk.snapshot.meta.membership.votes(*id))
            || member.disk.entries.iter().any(|entry| seats(&entry.payload))
    }

    /// Whether a member surely has another one for a voter, at least when it runs.
    pub(super) fn knows_as_voter(&self, id: MemberId, other: MemberId) -> bool {
        let member = &self.members[&id];
        let process = member.process.as_ref();
        let voters =
            process.map_or_else(|| voters_on(&member.disk), |process| process.node.consensus().voters());
        voters.contains(&other)
    }

    fn is_told(&mut self, victim: MemberId, liar: MemberId, frame: Frame) {
        self.trace.note(self.now, || format!("{liar} lies to {victim}: {frame:?}"));
        self.say(victim, Input::Frame { from: liar, frame });
    }

    fn term_of(&self, id: MemberId) -> Option<Term> {
        self.runs(id).then(|| self.node(id).consensus().term())
    }

    /// Whoever has named such terms is there before the leader.
    pub(super) fn names_a_far_term_to_a_newcomer(&mut self, newcomer: MemberId) {
        let Some(liar) = self.names_far_terms.filter(|_| !self.healed) else { return };
        if self.runs(liar) && self.runs(newcomer) && self.is_heard_by(liar, newcomer) {
            let mut rng = SimRng::new(self.rng.roll(), 0);
            self.names_a_far_term(liar, newcomer, &mut rng);
        }
    }

    fn names_a_far_term(&mut self, liar: MemberId, victim: MemberId, rng: &mut SimRng) {
        let kinds = [MessageKind::Heartbeat, MessageKind::AppendResponse, MessageKind::HeartbeatResponse];
        let (Some(before), Some(far)) = (self.term_of(victim), rng.pick(&FAR_TERMS)) else { return };
        let Some(kind) = rng.pick(&kinds) else { return };
        // Two that say the same are believed, and so is one where no second one votes; of whom no voter is known, nobody.
        let voters = self.node(victim).consensus().voters();
        let others = voters.iter().filter(|voter| **voter != victim).count();
        if others < 2 && !voters.is_empty() || *self.names_far_terms.get_or_insert(liar) != liar {
            return;
        }
        let message = Message::new(kind, liar, victim, Term(before.0 + far));
        self.is_told(victim, liar, Frame::Raft(Box::new(message)));
        let after = self.term_of(victim);
        assert!(
            after.is_none_or(|after| after.0 < before.0 + far),
            "one voice brings no far term: {victim} is in term {after:?} and was in {before}, as {liar} said"
        );
    }

    fn leads_without_a_vote(&mut self, liar: MemberId, victim: MemberId, rng: &mut SimRng) {
        let Some(before) = self.term_of(victim) else { return };
        let last = self.node(victim).consensus().last_index();
        let Some(last_term) = self.members[&victim]
            .disk
            .entries
            .last()
            .filter(|entry| entry.index == last)
            .map(|entry| entry.term)
        else {
            return;
        };
        let term = Term(before.0 + 1);
        let of = |kind| Message::new(kind, liar, victim, term);
        let message = match rng.below(4) {
            0 => Message { commit: last, ..of(MessageKind::Heartbeat) },
            1 => Message { index: Index(FAR), log_term: term, ..of(MessageKind::RequestVote) },
            2 => of(MessageKind::TimeoutNow),
            _ => {
                let entry = Entry { index: last.next(), term, payload: Payload::Empty };
                let (index, log_term, commit) = (last, last_term, last.next());
                Message { index, log_term, commit, entries: vec![entry], ..of(MessageKind::Append) }
            }
        };
        self.is_told(victim, liar, Frame::Raft(Box::new(message)));
        let follows = self.runs(victim) && self.node(victim).consensus().leader() == Some(liar);
        let after = self.term_of(victim);
        assert!(
            !follows && after.is_none_or(|after| after == before),
            "only voters are followed: {victim} went from term {before} to {after:?}, as {liar} said"
        );
    }

    /// It makes itself heard first, so that there is a question to answer.
    fn says_who_votes(&mut self, liar: MemberId, victim: MemberId) {
        let Some(term) = self.term_of(victim) else { return };
        if self.node(victim).is_laptop(liar) {
            return; // An operator's word is good.
        }
        let message = Message::new(MessageKind::Heartbeat, liar, victim, term.next());
        self.is_told(victim, liar, Frame::Raft(Box::new(message)));
        let voters = Frame::Voters { index: Index(FAR), term, voters: vec![liar] };
        self.is_told(victim, liar, voters);
        let believed = self.runs(victim) && self.node(victim).consensus().voters().contains(&liar);
        assert!(
            !believed,
            "voters are named by voters: {victim} believes that {liar} votes, as it said itself"
        );
    }

    fn renames_a_member(&mut self, liar: MemberId, victim: MemberId, rng: &mut SimRng) {
        let members = self.node(victim).state().control().members();
        let others: Vec<_> = members.keys().copied().filter(|id| *id != liar).collect();
        let Some(renamed) = rng.pick(&others).map(|id| members[&id].clone()) else { return };
        let id_of =
            |world: &Self| world.members.get(&victim)?.process.as_ref()?.roster.get(&renamed.key).copied();
        let before = id_of(self);
        let members = vec![Member { id: MemberId(FAR), ..renamed.clone() }];
        self.is_told(victim, liar, Frame::Roster { index: Index(FAR), members });
        let after = id_of(self);
        assert!(
            after != Some(MemberId(FAR)),
            "members are renamed by voters: {victim} takes {before:?} for {after:?}, as {liar} said"
        );
    }

    fn moves_leadership(&mut self, liar: MemberId, victim: MemberId, rng: &mut SimRng) {
        if self.node(victim).is_laptop(liar) {
            return;
        }
        let Some(to) = rng.pick(&self.node(victim).consensus().membership().voters) else { return };
        let transfers = |world: &Self| world.runs(victim) && world.node(victim).consensus().is_transferring();
        let before = transfers(self);
        self.is_told(victim, liar, Frame::Transfer { to });
        assert!(
            before || !transfers(self),
            "forbidden requests move no leader: {victim} hands over to {to}, as {liar} asked"
        );
    }
}
