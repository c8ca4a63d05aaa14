//! What goes into the machine and what comes out.

use crate::check::Refused;
use crate::links::Link;
use rafty_types::{
    Batch, Entry, Incarnations, Index, MemberId, Membership, MembershipChange, Message, PersistId, Snapshot,
    SnapshotMeta, Term,
};
use std::sync::Arc;
use std::time::Duration;

/// What happened to this member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The deadline has come.
    Tick,
    /// A message arrived, of any kind but a snapshot.
    Message(Box<Message>),
    /// Commands to append, in order; each is answered by `Proposed` or `Dropped` at once. Those that come together travel
    /// together.
    Propose(Vec<Proposal>),
    /// Someone wants to read; answered by `ReadReady` or `ReadFailed` later.
    Read {
        /// The caller's number for it.
        request: u64,
    },
    /// This batch is on the disk, and so are all before it.
    Persisted(PersistId),
    /// What was sent to this member lately was lost.
    Unreachable(MemberId),
    /// How good the ways to other members are; every second or so.
    Measured(Vec<Link>),
    /// A snapshot arrived whole.
    SnapshotArrived {
        /// The message of kind `Snapshot`.
        message: Box<Message>,
        /// The state's bytes.
        data: Arc<[u8]>,
    },
    /// What was acknowledged in a follower's name may not have been by itself.
    ForgetAcknowledged {
        /// Who.
        member: MemberId,
        /// The last entry that it has.
        last: Index,
    },
    /// A member that is to be believed says who votes, after a message was refused because its sender does not, or because
    /// of its term.
    VotersTold {
        /// Who says so.
        by: MemberId,
        /// As of which applied index.
        index: Index,
        /// In which term it is.
        term: Term,
        /// In order.
        voters: Vec<MemberId>,
    },
    /// What became of `SendSnapshot`.
    SnapshotSent {
        /// To whom.
        to: MemberId,
        /// Whether it arrived whole.
        ok: bool,
    },
    /// The state as of an index that was applied, after which the front of the log can go. It may have taken a while
    /// to bring it into bytes.
    Compact {
        /// What [`applied_meta`](crate::Consensus::applied_meta) was when the state was taken.
        meta: SnapshotMeta,
        /// The state's bytes.
        data: Arc<[u8]>,
    },
    /// A membership change to propose.
    Change(MembershipChange),
    /// Hand leadership over.
    Transfer {
        /// To whom.
        to: MemberId,
    },
    /// Lead on instead of handing over.
    AbortTransfer,
    /// Lead no more.
    StepDown,
    /// This disk was found to be an older copy; see [`Boot::abstains`](crate::Boot::abstains).
    Abstain,
    /// An entry that names this start of the member was committed without its acknowledgement: whatever its disk has
    /// forgotten, no election and no commitment can rest on that any more.
    VoteAgain,
    /// To be written.
    Incarnations(Incarnations),
}

/// A command to append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The caller's number for it.
    pub request: u64,
    /// An encoded `rafty_types::Proposal`, 1 to `MAX_PROPOSAL_LEN` bytes.
    pub data: Arc<[u8]>,
}

/// What is to be done. In this order; nothing else is implied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send now.
    Send(Box<Message>),
    /// Send once this batch is on the disk.
    SendAfter(PersistId, Box<Message>),
    /// Write and sync, in order, each batch whole; report `Persisted`.
    Persist(PersistId, Box<Batch>),
    /// Send a snapshot beside the log; report `SnapshotSent`.
    SendSnapshot {
        /// Its message, of kind `Snapshot`.
        message: Box<Message>,
        /// Metadata and bytes.
        snapshot: Snapshot,
    },
    /// The applied state is this snapshot from here on.
    Restore(Snapshot),
    /// Apply these: the next entries of the log, each once per process, none left out.
    Committed(Vec<Entry>),
    /// A proposal has its place in the log. It counts only if the entry committed at `index` has this `term`.
    Proposed {
        /// The caller's number.
        request: u64,
        /// Where.
        index: Index,
        /// In which term.
        term: Term,
    },
    /// A proposal was not taken; it will never be committed.
    Dropped {
        /// The caller's number.
        request: u64,
    },
    /// A read may answer from any state that has applied `index`.
    ReadReady {
        /// The caller's number.
        request: u64,
        /// What must be applied before.
        index: Index,
    },
    /// A read could not be confirmed in time.
    ReadFailed {
        /// The caller's number.
        request: u64,
    },
    /// Role, term or leader is another.
    RoleChanged {
        /// The role now.
        role: Role,
        /// The term now.
        term: Term,
        /// Who leads, as far as known.
        leader: Option<MemberId>,
    },
    /// The engine's membership is this, and no crash takes that back.
    MembershipChanged(Membership),
    /// Something was not taken. For counting.
    Refused {
        /// Who sent it; `None` when it was our own caller.
        from: Option<MemberId>,
        /// Why.
        why: Refused,
    },
}

/// What a member is in its term.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Follows a leader, or waits for one.
    #[default]
    Follower,
    /// Stands for election, or asks whether it may.
    Candidate,
    /// Leads.
    Leader,
}

/// How far a member is, as its leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Who.
    pub member: MemberId,
    /// The last entry known to be on its disk.
    pub matched: Index,
    /// The next entry it will be sent.
    pub next: Index,
    /// Whether it was heard within an election timeout.
    pub active: bool,
    /// How long it has not been heard, at most since this member leads.
    pub silent: Duration,
    /// Whether it was heard since this member leads.
    pub heard: bool,
    /// Whether a snapshot is on its way to it.
    pub snapshot_pending: bool,
}

/// How full the machine's queues are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queues {
    /// Batches handed out and not reported synced.
    pub unsynced: usize,
    /// Reads that wait for an answer.
    pub reads: usize,
    /// Entries in the log that are not committed.
    pub uncommitted: u64,
    /// Bytes of proposals that are not committed, as the leader counts them.
    pub uncommitted_bytes: u64,
    /// Snapshots on their way.
    pub snapshots: usize,
}
