//! Whom the transport lets in: the members of the applied state, and those that a member which fell behind is told of.
//!
//! Whoever was away while others came lets in neither a leader nor a candidate that it does not know, and where these
//! need its vote nobody leads ever again. So a member that hears no leader asks all whom it knows who belongs, and
//! those who know that as of a later index tell it. What it is told opens ways and is forgotten when that index is
//! applied; who votes, and who may do what, it takes from the log alone.

use crate::io::Output;
use crate::node::Node;
use rafty_types::{Frame, Index, Member, MemberId, Membership, StateMachine, Time};

/// A member that hears no leader asks after this many longest election timeouts, and again after as many.
const ALONE_AFTER_TIMEOUTS: u32 = 4;
/// More members than any peer set has.
const MAX_TOLD: usize = 64;

/// Whom the transport knows, and how this member comes to know more.
pub(crate) struct Roster {
    /// The engine's membership as of what the disk holds.
    engine: Membership,
    published: Vec<Member>,
    /// Who belongs as of this index, as another member says.
    told: Option<(Index, Vec<Member>)>,
    /// When a leader was last heard, or asked after.
    led_at: Time,
    /// Whether this member applied its own removal while it had no vote.
    removed_without_vote: bool,
}

impl Roster {
    pub(crate) fn new(engine: Membership) -> Self {
        Self { engine, published: Vec::new(), told: None, led_at: Time::ZERO, removed_without_vote: false }
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
        if !control.initialised() {
            return;
        }
        let leaving = control.departed().filter(|member| self.roster.engine.contains(member.id));
        let mut members: Vec<_> = control.members().values().chain(leaving).cloned().collect();
        let applied = self.state.applied();
        self.roster.told.take_if(|(index, _)| *index <= applied);
        if let Some((_, told)) = &self.roster.told {
            // Whoever enrolled again is called by its newer id.
            members.retain(|member| told.iter().all(|newer| newer.key != member.key));
            members.extend(told.iter().cloned());
        }
        self.roster.published.clone_from(&members);
        self.out.push(Output::Roster(members));
    }

    /// A message of Raft's was taken in.
    pub(crate) fn note_led(&mut self, by: MemberId) {
        if self.consensus.leader() == Some(by) {
            self.roster.led_at = self.now;
        }
    }

    /// Asks who belongs when no leader was heard for long: there may be one that this member does not know.
    pub(crate) fn ask_if_alone(&mut self) {
        let patience = self.consensus.election_timeout() * ALONE_AFTER_TIMEOUTS;
        if self.is_leader() {
            self.roster.led_at = self.now;
        }
        if self.now.saturating_since(self.roster.led_at) < patience {
            return;
        }
        self.roster.led_at = self.now;
        let known = self.known_index();
        let others = self.roster.published.iter().map(|member| member.id).filter(|id| *id != self.me);
        self.out.extend(others.map(|to| Output::Send { to, frame: Frame::AskRoster { known } }));
    }

    /// Another member asks who belongs, and knows it as of an index.
    pub(crate) fn asked_for_roster(&mut self, from: MemberId, theirs: Index) {
        let (index, members) = self.known_roster();
        if index > theirs {
            self.out.push(Output::Send { to: from, frame: Frame::Roster { index, members } });
        }
    }

    /// Another member says who belongs.
    pub(crate) fn told_roster(&mut self, from: MemberId, index: Index, members: Vec<Member>) {
        if members.len() > MAX_TOLD {
            return self.dropped(from, "a roster of more members than a peer set has");
        }
        // Whoever hears a leader knows whom it needs.
        if self.consensus.leader().is_none() && index > self.known_index() {
            self.roster.told = Some((index, members));
            self.publish_roster();
        }
    }

    /// As of which index this member knows who belongs.
    fn known_index(&self) -> Index {
        let told = self.roster.told.as_ref().map_or(Index(0), |(index, _)| *index);
        told.max(self.state.applied())
    }

    /// Who belongs, as of that index.
    fn known_roster(&self) -> (Index, Vec<Member>) {
        let applied = self.state.applied();
        let told = self.roster.told.clone().filter(|(index, _)| *index > applied);
        told.unwrap_or_else(|| (applied, self.state.control().members().values().cloned().collect()))
    }
}
