//! What these machines see of the replicated state: a read-only view, fresh with every call.
//!
//! It holds no state of its own; whoever composes the machines borrows it from the state that was applied.

use crate::AttemptKey;
use rafty_types::{
    Accepted, Arrivals, Attempt, Digest, MemberId, MemberKind, Round, RunId, RunSpec, SetId, Settings,
    Tenure, Version, is_rsa_public,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// The replicated state as it stands applied, as far as rounds need it.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The peer set and its epoch.
    pub set: SetId,
    /// This member.
    pub me: MemberId,
    /// The current tenure.
    pub tenure: Option<TenureView<'a>>,
    /// The active run, or else the one that ended last.
    pub run: Option<RunView<'a>>,
    /// The roster, sorted by id; this member is in it once it is enrolled.
    pub members: &'a [MemberView<'a>],
    /// The settings of the peer set.
    pub settings: &'a Settings,
    /// Whether the way to the leader is slow: what is on its way takes a while.
    pub slow_way: bool,
}

/// The current tenure.
#[derive(Clone, Copy, Debug)]
pub struct TenureView<'a> {
    /// Its id.
    pub tenure: Tenure,
    /// Who opened it.
    pub holder: MemberId,
    /// Its public key, PKCS#1 DER.
    pub rsa_public: &'a [u8],
    /// Whether this member is the aggregator: it holds the tenure, leads in the term that opened it, and has the
    /// private key. Not so for a holder that was restarted.
    pub mine: bool,
}

/// One run.
#[derive(Clone, Copy, Debug)]
pub struct RunView<'a> {
    /// Its id.
    pub id: RunId,
    /// What was submitted.
    pub spec: &'a RunSpec,
    /// The current version.
    pub version: Version,
    /// Its model; `None` for version 0, which is derived.
    pub model: Option<Digest>,
    /// Whether rounds go on.
    pub active: bool,
    /// The last round that was published; 0 before the first.
    pub last_round: Round,
    /// The open round.
    pub open: Option<OpenView<'a>>,
    /// Whose updates the last published round counted.
    pub last_counted: &'a [MemberId],
    /// When members' updates arrive.
    pub arrivals: &'a Arrivals,
}

/// The open round, at the attempt that belongs to the current tenure.
#[derive(Clone, Copy, Debug)]
pub struct OpenView<'a> {
    /// Its number.
    pub round: Round,
    /// The version that participants start from; the run's current one.
    pub base: Version,
    /// The current attempt.
    pub attempt: Attempt,
    /// Whose updates this attempt has accepted: digest and weight.
    pub accepted: &'a BTreeMap<MemberId, Accepted>,
    /// Collecting time spent on it as far as it is committed, in milliseconds.
    pub collected_ms: u64,
    /// How many of its attempts were given up.
    pub failed: u32,
}

/// A member.
#[derive(Clone, Copy, Debug)]
pub struct MemberView<'a> {
    /// Its id.
    pub id: MemberId,
    /// Operator or agent.
    pub role: MemberKind,
    /// Whether it may be aggregator.
    pub may_lead: bool,
    /// Whether it votes.
    pub seat: bool,
    /// Its participant key, PKCS#1 DER.
    pub rsa_public: &'a [u8],
    /// Whether it was heard lately. This member counts as alive.
    pub alive: bool,
    /// For how long no frame of it came; the longest time for one that no leader has heard for long. Zero for this
    /// member, and where only a leader would know.
    pub silent: Duration,
    /// For how long its present process has been heard; the longest time for this member, and where it is not known.
    pub runs_for: Duration,
}

impl MemberView<'_> {
    /// Whether what the log has as its key is one. Entries of older programs brought in anything.
    pub(crate) fn can_be_sealed_to(&self) -> bool {
        is_rsa_public(self.rsa_public)
    }
}

impl<'a> View<'a> {
    pub(crate) fn member(&self, id: MemberId) -> Option<&'a MemberView<'a>> {
        self.members.iter().find(|member| member.id == id)
    }

    pub(crate) fn voters(&self) -> impl Iterator<Item = &'a MemberView<'a>> {
        self.members.iter().filter(|member| member.seat)
    }

    /// The run and its open round, while rounds go on and this member is in the roster.
    pub(crate) fn open(&self) -> Option<(RunView<'a>, OpenView<'a>)> {
        self.member(self.me)?;
        let run = self.run.filter(|run| run.active)?;
        // A base that is not the current version is a state on its way; the next entries settle it.
        let open = run.open.filter(|open| open.base == run.version)?;
        Some((run, open))
    }

    /// The attempt that is open in the current tenure.
    pub(crate) fn attempt(&self) -> Option<AttemptKey> {
        let (run, open) = self.open()?;
        let tenure = self.tenure?.tenure;
        Some(AttemptKey { tenure, run: run.id, round: open.round, attempt: open.attempt })
    }

    /// The tenure, when this member is its aggregator.
    pub(crate) fn my_tenure(&self) -> Option<TenureView<'a>> {
        self.tenure.filter(|tenure| tenure.mine)
    }
}
