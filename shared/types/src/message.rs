//! Raft's own records: what is logged, synced and sent.
//!
//! They mirror the engine's, so that no byte from the network is ever read by the engine's own codec. What they
//! mean is in the Raft paper (Ongaro and Ousterhout 2014) and thesis; judging them is `consensus`.

use crate::{Incarnations, Index, MemberId, Term};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// One entry of the replicated log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its position.
    pub index: Index,
    /// The term of the leader that appended it.
    pub term: Term,
    /// What it carries.
    pub payload: Payload,
}

/// What an entry carries. Grows at the end only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Payload {
    /// Nothing: the first entry of a term.
    Empty,
    /// An encoded [`Proposal`](crate::Proposal).
    Command(#[serde(with = "crate::bytes")] Arc<[u8]>),
    /// A change of the engine's membership.
    Membership(MembershipChange),
}

impl Payload {
    /// Bytes it holds, for limits on messages.
    pub fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Command(bytes) => bytes.len(),
            Self::Membership(change) => 16 * change.steps.len(),
        }
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A joint-consensus change; no steps means "leave joint".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MembershipChange {
    /// Its single steps, taken together.
    pub steps: Vec<MembershipStep>,
}

/// One step of a [`MembershipChange`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MembershipStep {
    /// Becomes a voter.
    AddVoter(MemberId),
    /// Becomes a learner, whatever it was.
    AddLearner(MemberId),
    /// Leaves.
    Remove(MemberId),
}

/// The engine's membership at a point of the log (Raft thesis §4.3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// Who votes, sorted.
    pub voters: Vec<MemberId>,
    /// Who is sent the log without voting, sorted.
    pub learners: Vec<MemberId>,
    /// While a change is joint: who voted before, sorted. Empty otherwise.
    pub voters_outgoing: Vec<MemberId>,
    /// Voters that become learners when joint is left, sorted.
    pub learners_next: Vec<MemberId>,
}

impl Membership {
    /// Whether a change is under way.
    pub fn is_joint(&self) -> bool {
        !self.voters_outgoing.is_empty()
    }

    /// Whether `member` is in it in any way.
    pub fn contains(&self, member: MemberId) -> bool {
        self.votes(member) || self.learners.contains(&member) || self.learners_next.contains(&member)
    }

    /// Whether `member` votes, in either half of a joint change.
    pub fn votes(&self, member: MemberId) -> bool {
        self.voters.contains(&member) || self.voters_outgoing.contains(&member)
    }

    /// Who votes, in either half of a joint change.
    pub fn all_voters(&self) -> BTreeSet<MemberId> {
        self.voters.iter().chain(&self.voters_outgoing).copied().collect()
    }

    /// Everyone in it, sorted, each once.
    pub fn all(&self) -> Vec<MemberId> {
        let mut all: Vec<_> = [&self.voters, &self.learners, &self.voters_outgoing, &self.learners_next]
            .into_iter()
            .flatten()
            .copied()
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// What Raft must remember across a restart before it may answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HardState {
    /// The latest term seen.
    pub term: Term,
    /// Who got this member's vote in it.
    pub voted_for: Option<MemberId>,
    /// The highest index known to be committed.
    pub commit: Index,
}

/// What a snapshot stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotMeta {
    /// The last entry it contains.
    pub index: Index,
    /// That entry's term.
    pub term: Term,
    /// The membership at that entry.
    pub membership: Membership,
}

/// A snapshot: everything up to and including `meta.index`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// What it stands for.
    pub meta: SnapshotMeta,
    /// The state's bytes. Empty while it travels as metadata beside its chunks.
    #[serde(with = "crate::bytes")]
    pub data: Arc<[u8]>,
}

/// A message of the Raft engine. `kind` says which fields mean something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Which message.
    pub kind: MessageKind,
    /// To whom.
    pub to: MemberId,
    /// From whom.
    pub from: MemberId,
    /// The sender's term; 0 for messages local to a term.
    pub term: Term,
    /// Term of the entry at `index`.
    pub log_term: Term,
    /// The entry before `entries`, or what is acknowledged.
    pub index: Index,
    /// What to append.
    pub entries: Vec<Entry>,
    /// The sender's commit index.
    pub commit: Index,
    /// Term of the entry at `commit`.
    pub commit_term: Term,
    /// Metadata of a snapshot; its data travels beside.
    pub snapshot: Option<SnapshotMeta>,
    /// A snapshot is asked for at least at this index.
    pub request_snapshot: Index,
    /// Whether the request was refused.
    pub reject: bool,
    /// Where a refusing follower's log may still match.
    pub reject_hint: Index,
    /// A read's context, or the reason of a campaign.
    #[serde(with = "serde_bytes")]
    pub context: Vec<u8>,
    /// Priority of a candidate; always 0 here.
    pub priority: i64,
}

impl Message {
    /// A message with nothing but who sends it to whom, and in which term.
    pub fn new(kind: MessageKind, from: MemberId, to: MemberId, term: Term) -> Self {
        Self {
            kind,
            to,
            from,
            term,
            log_term: Term(0),
            index: Index(0),
            entries: Vec::new(),
            commit: Index(0),
            commit_term: Term(0),
            snapshot: None,
            request_snapshot: Index(0),
            reject: false,
            reject_hint: Index(0),
            context: Vec::new(),
            priority: 0,
        }
    }
}

/// The kinds of engine messages that travel between members. Grows at the end only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)] // the Raft paper's own names
pub enum MessageKind {
    Append,
    AppendResponse,
    RequestVote,
    RequestVoteResponse,
    RequestPreVote,
    RequestPreVoteResponse,
    Snapshot,
    Heartbeat,
    HeartbeatResponse,
    TransferLeader,
    TimeoutNow,
    ReadIndex,
    ReadIndexResponse,
}

impl MessageKind {
    /// Every kind there is, in the order of their numbers.
    pub const ALL: [Self; 13] = [
        Self::Append,
        Self::AppendResponse,
        Self::RequestVote,
        Self::RequestVoteResponse,
        Self::RequestPreVote,
        Self::RequestPreVoteResponse,
        Self::Snapshot,
        Self::Heartbeat,
        Self::HeartbeatResponse,
        Self::TransferLeader,
        Self::TimeoutNow,
        Self::ReadIndex,
        Self::ReadIndexResponse,
    ];
}

/// What must reach the disk together, in this order: an installed snapshot, then entries, then the hard state,
/// then a compaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// A snapshot from the leader: it replaces the whole log and the older snapshot.
    pub install: Option<Snapshot>,
    /// Entries to append. Whatever stood at the first one's index or beyond is cut first.
    pub entries: Vec<Entry>,
    /// The new hard state.
    pub hard_state: Option<HardState>,
    /// A snapshot of our own, after which the front of the log can go.
    pub compaction: Option<Compaction>,
    /// The starts on this disk.
    pub incarnations: Option<Incarnations>,
}

impl Batch {
    /// Takes the batch in, as a disk does: for those that keep in memory what a disk would hold. `entries` are in order.
    pub fn write_to(&self, hard_state: &mut HardState, snapshot: &mut Snapshot, entries: &mut Vec<Entry>) {
        if let Some(install) = &self.install {
            snapshot.clone_from(install);
            entries.clear();
        }
        if let Some(first) = self.entries.first() {
            entries.truncate(entries.partition_point(|entry| entry.index < first.index));
            entries.extend(self.entries.iter().cloned());
        }
        *hard_state = self.hard_state.unwrap_or(*hard_state);
        if let Some(compaction) = &self.compaction {
            snapshot.clone_from(&compaction.snapshot);
            entries.drain(..entries.partition_point(|entry| entry.index < compaction.first_kept));
        }
    }
}

/// A snapshot of our own state and what of the log it makes superfluous.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compaction {
    /// The state at `snapshot.meta.index`.
    pub snapshot: Snapshot,
    /// The first entry to keep; at most `snapshot.meta.index + 1`.
    pub first_kept: Index,
}

/// Names a [`Batch`] on its way to the disk; counts up from 1 in each process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PersistId(pub u64);
