//! Whether this member's state is the one that the others have.
//!
//! At a mark the state is frozen, and a worker digests and signs it. Voters tell each other their digests, so that the
//! next leader can record them with its tenure. A member stops when the applied log says that a majority signed another
//! digest than its own: what one member says stops nobody.

use crate::frozen::FrozenState;
use crate::io::Output;
use crate::node::Node;
use crate::requests::Duty;
use crate::{Event, StartError};
use rafty_types::{
    ControlCommand, Digest, Frame, Index, MemberId, Mutation, Signature, SignedDigest, StateDigest,
    StateMachine, planted, state_digest_statement,
};
use std::collections::BTreeMap;

/// This member's digests, and what it heard of others'.
#[derive(Default)]
pub(crate) struct Digests {
    /// The state as of the newest mark, for a worker that digests an older one now.
    waiting: Option<FrozenState>,
    /// Of which mark a worker digests the state now, and whether that is still the state of this member.
    under_way: Option<(Index, bool)>,
    /// Of the newest mark that was digested.
    own: Option<StateDigest>,
    /// What voters said of one mark, the open one unless a snapshot has come.
    heard: BTreeMap<MemberId, StateDigest>,
    proposed: bool,
    /// What people were told.
    told: Vec<String>,
}

impl Digests {
    pub(crate) fn proposal_over(&mut self) {
        self.proposed = false;
    }

    /// The state is another one: what it was does not tell anything about it.
    pub(crate) fn state_replaced(&mut self) {
        (self.waiting, self.own) = (None, None);
        if let Some((_, valid)) = &mut self.under_way {
            *valid = false;
        }
    }
}

/// Why a member whose state has diverged does not go on.
pub(crate) fn in_words(mark: Index) -> String {
    format!(
        "the replicated state of this member differs from the one that a majority of voters signed as of entry {mark}: \
         the disk, the memory or the program of this device is at fault; nothing on this disk was removed, and it is not \
         used again: `rejoin` brings the member back under its identity, with the state of the others"
    )
}

/// Refuses a disk whose state was found to have diverged.
pub(crate) fn refuse(diverged: Option<Index>) -> Result<(), StartError> {
    diverged.map_or(Ok(()), |mark| Err(StartError::Diverged(in_words(mark))))
}

impl<U: StateMachine> Node<U> {
    /// Whether this member's state was found to differ from that of a majority: it ends.
    pub fn has_diverged(&self) -> bool {
        self.starts.has_diverged()
    }

    /// A tenure began at `at`: when that is a mark, the state as of now is to be digested.
    pub(crate) fn freeze_at_mark(&mut self, at: Index) {
        if self.state.control().divergence().mark() == Some(at) {
            self.digests.waiting = Some(FrozenState::of(&self.state));
        }
    }

    /// Gives the worker what waits for it: one state at a time.
    pub(crate) fn order_digest(&mut self) {
        if self.digests.under_way.is_some() {
            return;
        }
        let Some(state) = self.digests.waiting.take() else { return };
        let mark = state.index();
        self.digests.under_way = Some((mark, true));
        let state =
            if planted(Mutation::DigestOfAnotherIndex) { FrozenState::of(&self.state) } else { state };
        self.out.push(Output::DigestState { mark, state });
    }

    /// A worker has digested the state as of a mark.
    pub(crate) fn state_digested(&mut self, mark: Index, digest: Digest, signature: Signature) {
        let Some((_, valid)) = self.digests.under_way.take_if(|(index, _)| *index == mark) else { return };
        if !valid {
            return;
        }
        self.digests.own = Some(StateDigest { mark, digest, signature });
        self.say_digest();
        self.judge_own_state();
    }

    /// A worker could not digest the state as of a mark: this member says nothing of that one.
    pub(crate) fn state_digest_failed(&mut self, mark: Index) {
        self.digests.under_way.take_if(|(index, _)| *index == mark);
    }

    /// Tells the other voters this one's digest, until it is recorded.
    pub(crate) fn say_digest(&mut self) {
        let Some(own) = self.digests.own.clone() else { return };
        let divergence = self.state.control().divergence();
        let wanted = divergence.mark() == Some(own.mark) && divergence.missing().any(|id| id == self.me);
        if !wanted {
            return;
        }
        let to: Vec<_> = divergence.voters().filter(|voter| *voter != self.me).collect();
        self.keep_digest(self.me, &own);
        let frame = |to| Output::Send { to, frame: Frame::StateDigest(own.clone()) };
        self.out.extend(to.into_iter().map(frame));
    }

    /// A voter says its digest. One of another mark is ordinary: the mark may not be applied here yet, or be over.
    pub(crate) fn digest_heard(&mut self, from: MemberId, said: &StateDigest) {
        let control = self.state.control();
        let divergence = control.divergence();
        let wanted = divergence.mark() == Some(said.mark) && divergence.missing().any(|id| id == from);
        let known = self.digests.heard.get(&from).is_some_and(|known| known.mark == said.mark);
        if !wanted || known {
            return;
        }
        let statement = state_digest_statement(control.set(), from, said.mark, said.digest);
        if control.member(from).is_some_and(|member| member.key.verify(&statement, &said.signature)) {
            self.keep_digest(from, said);
        } else {
            self.dropped(from, "a digest of its state that is not signed by it");
        }
    }

    /// Bounded by the voters of a mark.
    fn keep_digest(&mut self, member: MemberId, said: &StateDigest) {
        self.digests.heard.retain(|_, other| other.mark == said.mark);
        self.digests.heard.insert(member, said.clone());
    }

    /// Records, as leader, what was heard and is not recorded: when `all` voters have said their digests, or what there is.
    pub(crate) fn record_digests(&mut self, all: bool) {
        if self.digests.proposed || self.digests.heard.is_empty() {
            return;
        }
        let control = self.state.control();
        let Some(mark) = control.divergence().mark() else { return };
        let missing: Vec<_> =
            control.divergence().missing().filter(|id| control.member(*id).is_some()).collect();
        let heard = |member: &MemberId| {
            let said = self.digests.heard.get(member).filter(|said| said.mark == mark)?;
            Some(SignedDigest { member: *member, digest: said.digest, signature: said.signature })
        };
        let digests: Vec<_> = missing.iter().filter_map(heard).collect();
        if digests.is_empty() || all && digests.len() < missing.len() {
            return;
        }
        let command = ControlCommand::StateDigestsRecorded { mark, digests };
        self.digests.proposed = self.propose_duty(Duty::Digests, command);
    }

    /// Looks at what the replicated state says of digests now.
    pub(crate) fn judge_own_state(&mut self) {
        let agreed = self.state.control().divergence().agreed();
        let own = self.digests.own.as_ref();
        let differs = |(mark, digest)| own.is_some_and(|own| own.mark == mark && own.digest != digest);
        if let Some((mark, _)) = agreed.filter(|agreed| differs(*agreed))
            && !planted(Mutation::DivergedGoesOn)
        {
            self.found_diverged(mark);
        }
        self.tell_divergence();
    }

    /// People hear once of each side.
    fn tell_divergence(&mut self) {
        let lines = self.divergence();
        if lines != self.digests.told {
            for what in lines.iter().filter(|line| !self.digests.told.contains(line)) {
                self.out.push(Output::Event(Event::StatesDiffer { what: what.clone() }));
            }
            self.digests.told = lines;
        }
    }

    /// Whose states differ, in words.
    pub fn divergence(&self) -> Vec<String> {
        let divergence = self.state.control().divergence();
        let line = |(member, mark): (&MemberId, &Index)| {
            format!(
                "the replicated state of member {member} differs from the one that a majority of voters signed as of entry \
                 {mark}: it stops by itself; bring it back with `rejoin`"
            )
        };
        let sides = divergence.sides().map(|(mark, sides)| {
            let sides: Vec<_> = sides.iter().map(|(digest, who)| side(digest, who)).collect();
            format!(
                "the replicated states of voters differ as of entry {mark}, and no majority has the same: {}; nobody \
                 stops; back up what matters, and bring those that are wrong back with `rejoin`",
                sides.join(", ")
            )
        });
        divergence.diverged().iter().map(line).chain(sides).collect()
    }
}

fn side(digest: &Digest, members: &[MemberId]) -> String {
    let members: Vec<_> = members.iter().map(ToString::to_string).collect();
    let plural = if members.len() == 1 { "" } else { "s" };
    format!("member{plural} {} {}", members.join(" and "), digest.short())
}
