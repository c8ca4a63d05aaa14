//! Whom the transport lets in: the members of the applied state, and those that a member which fell behind is told of.
//!
//! Whoever was away while others came lets in neither a leader nor a candidate that it does not know, and where these
//! need its vote nobody leads ever again. So a member that hears no leader asks all whom it knows who belongs, and
//! those who know that as of a later index tell it. What it is told opens ways and is forgotten when that index is
//! applied, or a leader is heard; who may do what, it takes from the log alone.
//!
//! Whoever answers may lie. So only a voter is believed that a key has another id, and what others say opens no more ways
//! than the peer set may have members, first those to whom most of them name.

use crate::io::Output;
use crate::node::Node;
use rafty_types::{
    Frame, Index, Member, MemberId, Membership, Mutation, PeerKey, StateMachine, Time, planted,
};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// A member that hears no leader asks after this many longest election timeouts, and again after as many.
const ALONE_AFTER_TIMEOUTS: u32 = 4;
/// More members than any peer set has.
const MAX_TOLD: usize = 64;

/// Whom the transport knows, and how this member comes to know more.
pub(crate) struct Roster {
    /// The engine's membership as of what the disk holds.
    engine: Membership,
    /// Who belongs until the peer set's state says it.
    known_at_start: Vec<Member>,
    published: Vec<Member>,
    /// Who belongs as of an index that is not applied here, as members say that were asked.
    told: BTreeMap<MemberId, Told>,
    /// When a leader was last heard, or asked after.
    led_at: Time,
    /// Whether it was asked after since one was heard.
    asks: bool,
    /// Whether this member applied its own removal while it had no vote.
    removed_without_vote: bool,
}

/// What one member says.
struct Told {
    index: Index,
    members: Vec<Member>,
    /// Whether it was known to vote when it said that. Whoever has a vote since then says it again when it is asked.
    votes: bool,
}

impl Roster {
    /// `known` belong as far as is known until the peer set's state says who does.
    pub(crate) fn new(engine: Membership, known: Vec<Member>) -> Self {
        Self {
            engine,
            published: known.clone(),
            known_at_start: known,
            told: BTreeMap::new(),
            led_at: Time::ZERO,
            asks: false,
            removed_without_vote: false,
        }
    }
}

impl Roster {
    /// Everybody else whom the transport knows.
    pub(crate) fn others(&self, me: MemberId) -> impl Iterator<Item = MemberId> {
        self.published.iter().map(|member| member.id).filter(move |id| *id != me)
    }

    /// A member as the transport knows it.
    pub(crate) fn member(&self, id: MemberId) -> Option<&Member> {
        self.published.iter().find(|member| member.id == id)
    }
}

impl<U: StateMachine> Node<U> {
    /// The engine has another membership, and the disk holds it.
    pub(crate) fn engine_changed(&mut self, membership: Membership) {
        self.roster.engine = membership;
        self.publish_roster();
    }

    /// This member's own removal was applied. A voter stays until the others shut it out: one that does not know yet that
    /// the change of membership is committed may need its vote.
    pub(crate) fn own_removal_applied(&mut self) {
        self.roster.removed_without_vote |= !self.roster.engine.votes(self.me);
    }

    /// Ends when it was removed and nothing hangs on its vote; after it has answered who asked for that.
    pub(crate) fn halt_if_removed(&mut self) {
        if self.roster.removed_without_vote && !self.halted {
            self.halt("its removal is committed".into());
        }
    }

    /// Tells the transport who belongs. Who was sent away belongs as long as the engine may count its voice: of two
    /// voters, one cannot be removed without the other's. It ends when the others have shut it out, so none may do that
    /// that could come back needing it.
    pub(crate) fn publish_roster(&mut self) {
        let control = self.state.control();
        if !control.initialised() && self.roster.told.is_empty() {
            return;
        }
        let leaving = control.departed().filter(|member| self.roster.engine.contains(member.id));
        let mut members: Vec<_> = self.known_firsthand().chain(leaving).cloned().collect();
        let applied = self.state.applied();
        self.roster.told.retain(|_, told| told.index > applied);
        let told = self.told_by_a_voter().unwrap_or_else(|| self.told_by_others(&members));
        // Whoever enrolled again is called by its newer id.
        members.retain(|member| told.iter().all(|newer| newer.key != member.key));
        members.extend(told);
        self.roster.published.clone_from(&members);
        self.out.push(Output::Roster(members));
    }

    /// Who belongs by the applied state; before there is one, by what was known at the start.
    pub(crate) fn known_firsthand(&self) -> impl Iterator<Item = &Member> {
        let control = self.state.control();
        let at_start = self.roster.known_at_start.iter().filter(|_| !control.initialised());
        control.members().values().chain(at_start)
    }

    /// What the voter says that knows it as of the latest index.
    fn told_by_a_voter(&self) -> Option<Vec<Member>> {
        let by_voters = self.roster.told.values().filter(|told| told.votes);
        let Told { members, .. } = by_voters.max_by_key(|told| told.index)?;
        Some(members.iter().filter(|member| !self.has_departed(&member.key)).cloned().collect())
    }

    /// The keys that are not among `known`, as members say that do not vote.
    fn told_by_others(&self, known: &[Member]) -> Vec<Member> {
        let mut named: BTreeMap<PeerKey, (usize, &Member)> = BTreeMap::new();
        let told = self.roster.told.values().flat_map(|told| &told.members);
        let is_new = |member: &&Member| known.iter().all(|one| one.key != member.key && one.id != member.id);
        for member in told.filter(is_new).filter(|member| !self.has_departed(&member.key)) {
            named.entry(member.key).or_insert((0, member)).0 += 1;
        }
        let mut ways: Vec<_> = named.into_values().collect();
        ways.sort_by_key(|(times, member)| (Reverse(*times), member.id));
        ways.into_iter().take(self.max_members()).map(|(_, member)| member.clone()).collect()
    }

    fn has_departed(&self, key: &PeerKey) -> bool {
        let control = self.state.control();
        let belongs = control.members().values().any(|member| member.key == *key);
        !belongs && control.departed().any(|member| member.key == *key)
    }

    fn max_members(&self) -> usize {
        usize::try_from(self.settings().max_members).unwrap_or(usize::MAX)
    }

    /// A message of Raft's was taken in.
    pub(crate) fn note_led(&mut self, by: MemberId) {
        if self.consensus.leader() != Some(by) {
            return;
        }
        (self.roster.led_at, self.roster.asks) = (self.now, false);
        if self.state.control().member(by).is_some() {
            self.forget_told();
        }
    }

    fn forget_told(&mut self) {
        if !self.roster.told.is_empty() {
            self.roster.told.clear();
            self.publish_roster();
        }
    }

    /// Asks who belongs when no leader was heard for long: there may be one that this member does not know.
    pub(crate) fn ask_if_alone(&mut self) {
        let patience = self.consensus.election_timeout() * ALONE_AFTER_TIMEOUTS;
        if self.is_leader() {
            (self.roster.led_at, self.roster.asks) = (self.now, false);
            self.forget_told();
        }
        if self.now.saturating_since(self.roster.led_at) < patience {
            return;
        }
        (self.roster.led_at, self.roster.asks) = (self.now, true);
        let known = self.state.applied();
        let others = self.roster.others(self.me);
        self.out.extend(others.map(|to| Output::Send { to, frame: Frame::AskRoster { known } }));
    }

    /// Another member asks who belongs, and knows it as of an index.
    pub(crate) fn asked_for_roster(&mut self, from: MemberId, theirs: Index) {
        let index = self.state.applied();
        if index > theirs {
            let members = self.state.control().members().values().cloned().collect();
            self.out.push(Output::Send { to: from, frame: Frame::Roster { index, members } });
        }
    }

    /// Another member says who belongs.
    pub(crate) fn told_roster(&mut self, from: MemberId, index: Index, members: Vec<Member>) {
        if members.len() > MAX_TOLD {
            return self.dropped(from, "a roster of more members than a peer set has");
        }
        if !self.roster.asks {
            return self.dropped(from, "who belongs, which was not asked");
        }
        // Whoever hears a leader knows whom it needs.
        if self.consensus.leader().is_none() && index > self.state.applied() {
            let votes = self.is_known_voter(from) || planted(Mutation::AnybodyRenamesMembers);
            self.roster.told.insert(from, Told { index, members, votes });
            self.publish_roster();
        }
    }
}
