//! Whether voters have the same state: a mark now and then, and what each voter signed of its state as of that mark.
//!
//! One digest counts when a majority of those that voted at the mark signed it, and at least two: one member alone, a
//! lone voter included, says nothing about another. Who has another digest then has diverged. Here this is recorded
//! only; each member judges its own state by it.

use crate::control::Context;
use crate::roster::ensure;
use rafty_types::{Digest, Index, MemberId, Mutation, Rejection, SignedDigest, planted};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Shortest time between two marks, in milliseconds of the peer set's time: a digest takes as long as the state is large.
pub const MARK_EVERY_MS: u64 = 10_000;
/// A mark is given up after so many tenures, whoever has not said its digest by then.
const MARK_TENURES: u32 = 4;
/// Fewer members than this are no majority.
const LEAST_MAJORITY: usize = 2;

/// What is recorded of the states of voters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Divergence {
    mark: Option<Mark>,
    /// The last mark that was given up with several digests and no majority for any, until a majority agrees again.
    disputed: Option<Mark>,
    agreed: Option<(Index, Digest)>,
    /// Who signed another digest than a majority, and as of which mark.
    diverged: BTreeMap<MemberId, Index>,
    marked_ms: u64,
}

/// A point at which states are compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    index: Index,
    /// How many tenures have begun since.
    tenures: u32,
    /// Who voted then, by the roster. Counting these keeps the majority fixed, whatever seats change meanwhile.
    voters: BTreeSet<MemberId>,
    digests: BTreeMap<MemberId, Digest>,
}

impl Mark {
    fn count(&self, digest: &Digest) -> usize {
        self.digests.values().filter(|other| *other == digest).count()
    }

    /// The digest that a majority signed.
    fn agreed(&self) -> Option<Digest> {
        let majority = (self.voters.len() / 2 + 1).max(LEAST_MAJORITY);
        let needed = if planted(Mutation::OneDigestIsMajority) { 1 } else { majority };
        let enough = self.digests.values().filter(|digest| self.count(digest) >= needed);
        // There is at most one.
        enough.min_by_key(|digest| self.count(digest)).copied()
    }

    fn is_disputed(&self) -> bool {
        let mut digests = self.digests.values();
        let first = digests.next();
        self.agreed().is_none() && digests.any(|digest| Some(digest) != first)
    }
}

impl Divergence {
    /// The mark as of which digests are being collected.
    pub fn mark(&self) -> Option<Index> {
        self.mark.as_ref().map(|mark| mark.index)
    }

    /// Who voted at that mark and has not had its digest recorded.
    pub fn missing(&self) -> impl Iterator<Item = MemberId> {
        self.mark
            .iter()
            .flat_map(|mark| mark.voters.iter().filter(|id| !mark.digests.contains_key(id)).copied())
    }

    /// Who voted at that mark.
    pub fn voters(&self) -> impl Iterator<Item = MemberId> {
        self.mark.iter().flat_map(|mark| mark.voters.iter().copied())
    }

    /// The last digest that a majority signed, and as of which mark.
    pub fn agreed(&self) -> Option<(Index, Digest)> {
        self.agreed
    }

    /// Who signed another digest than a majority last, and as of which mark.
    pub fn diverged(&self) -> &BTreeMap<MemberId, Index> {
        &self.diverged
    }

    /// The mark as of which voters have several digests and no majority one, and who has which.
    pub fn sides(&self) -> Option<(Index, BTreeMap<Digest, Vec<MemberId>>)> {
        let mark = self.mark.as_ref().filter(|mark| mark.is_disputed()).or(self.disputed.as_ref())?;
        let mut sides: BTreeMap<Digest, Vec<MemberId>> = BTreeMap::new();
        for (member, digest) in &mark.digests {
            sides.entry(*digest).or_default().push(*member);
        }
        Some((mark.index, sides))
    }

    /// A tenure began: that is a mark when the one before it is over and old enough.
    pub(crate) fn tenure_began(
        &mut self,
        at: &Context,
        voters: BTreeSet<MemberId>,
        is_member: impl Fn(MemberId) -> bool,
    ) {
        let complete = !self.missing().any(is_member);
        if let Some(mark) = &mut self.mark {
            mark.tenures += 1;
            if !complete && mark.tenures < MARK_TENURES {
                return;
            }
        }
        if voters.len() < LEAST_MAJORITY || at.now_ms < self.marked_ms.saturating_add(MARK_EVERY_MS) {
            return;
        }
        self.marked_ms = at.now_ms;
        let new = Mark { index: at.index, tenures: 0, voters, digests: BTreeMap::new() };
        let old = self.mark.replace(new).filter(Mark::is_disputed);
        self.disputed = old.or(self.disputed.take());
    }

    /// Records what is new; all of `signed` were [checked](Self::check).
    pub(crate) fn record(&mut self, signed: Vec<SignedDigest>) {
        let Some(mark) = &mut self.mark else { return };
        for one in signed {
            mark.digests.entry(one.member).or_insert(one.digest);
        }
        let Some(agreed) = mark.agreed() else { return };
        self.agreed = Some((mark.index, agreed));
        self.disputed = None;
        for (member, digest) in &mark.digests {
            if *digest == agreed {
                self.diverged.remove(member);
            } else {
                self.diverged.insert(*member, mark.index);
            }
        }
    }

    /// Whether these may be recorded; their signatures are for others.
    pub(crate) fn check(&self, at: Index, signed: &[SignedDigest]) -> Result<(), Rejection> {
        let mark = self.mark.as_ref().filter(|mark| mark.index == at);
        let mark = mark.ok_or_else(|| Rejection::Invalid("another mark is open".into()))?;
        ensure(!signed.is_empty(), "no digest is recorded")?;
        ensure(
            signed.windows(2).all(|pair| pair[0].member < pair[1].member),
            "each member is recorded once",
        )?;
        ensure(
            signed.iter().all(|one| mark.voters.contains(&one.member)),
            "only those who voted are recorded",
        )
    }

    /// A member is gone: what it signed is no word on others any more, nor on itself.
    pub(crate) fn forget(&mut self, member: MemberId) {
        self.diverged.remove(&member);
        for mark in self.mark.iter_mut().chain(&mut self.disputed) {
            mark.digests.remove(&member);
        }
        self.disputed.take_if(|mark| !mark.is_disputed());
    }

    /// Every index that is remembered as a mark.
    pub(crate) fn marks(&self) -> impl Iterator<Item = Index> {
        let marks = self.mark.iter().chain(&self.disputed).map(|mark| mark.index);
        marks.chain(self.agreed.iter().map(|(index, _)| *index)).chain(self.diverged.values().copied())
    }

    /// Whether only those who voted at a mark, and only members, are named.
    pub(crate) fn is_sound(&self, is_member: impl Fn(MemberId) -> bool) -> bool {
        let mut marks = self.mark.iter().chain(&self.disputed);
        marks.all(|mark| mark.digests.keys().all(|member| mark.voters.contains(member)))
            && self.diverged.keys().all(|member| is_member(*member))
    }
}
