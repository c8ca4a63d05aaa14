//! What peers say to each other, one frame at a time.

use crate::{
    Attempt, ClientId, Command, ControlCommand, ControlResult, Digest, Hello, HelloAnswer, Index, Issue,
    Member, MemberId, Message, Round, RunId, Serial, SessionId, StateDigest, Tenure, Term, Version,
};
use serde::{Deserialize, Serialize};

/// A frame between members. Bulk (envelopes, snapshot chunks) goes beside, on streams of its own. Grows at the end only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant)] // few exist at a time, and each is soon bytes
pub enum Frame {
    /// A message of the Raft engine.
    Raft(Box<Message>),
    /// A command for the leader to propose on behalf of the sender.
    Forward {
        /// The sender's own number for it; comes back in the answer.
        request: u64,
        /// Applied once when the sender has a session.
        session: Option<(SessionId, Serial)>,
        /// What to propose.
        command: Box<Command>,
    },
    /// The leader's answer to [`Frame::Forward`].
    Forwarded {
        /// The sender's number.
        request: u64,
        /// What became of it.
        outcome: ForwardOutcome,
    },
    /// The current model version of a run.
    Announce {
        /// The run.
        run: RunId,
        /// Its newest version.
        version: Version,
        /// Its digest.
        model: Digest,
    },
    /// Asks for a model by digest; answered with an envelope sealed to the sender.
    FetchModel {
        /// The run.
        run: RunId,
        /// The version.
        version: Version,
        /// Its digest.
        model: Digest,
    },
    /// The sender holds this model, opened and synced.
    Holds {
        /// Which.
        model: Digest,
    },
    /// A participant says where it stands in a round.
    Progress {
        /// The run.
        run: RunId,
        /// The round.
        round: Round,
        /// What it is doing.
        progress: Progress,
    },
    /// The aggregator's word on a participant's update.
    Verdict {
        /// The tenure that judged.
        tenure: Tenure,
        /// The run.
        run: RunId,
        /// The round.
        round: Round,
        /// The attempt.
        attempt: Attempt,
        /// The update's digest.
        digest: Digest,
        /// Whether it is in.
        verdict: Verdict,
    },
    /// Asks the receiver, as leader, to transfer leadership to the sender's choice.
    Transfer {
        /// To whom.
        to: MemberId,
    },
    /// Asks whom the receiver knows as members, if it knows that as of a later index.
    AskRoster {
        /// As of which the sender knows it.
        known: Index,
    },
    /// The members as of an index.
    Roster {
        /// Which.
        index: Index,
        /// All of them.
        members: Vec<Member>,
    },
    /// Who the sender is: which start, on which copy of its disk.
    Hello(Hello),
    /// What is known of whoever said [`Frame::Hello`].
    HelloAnswer(HelloAnswer),
    /// The sender's digest of its state as of a mark.
    StateDigest(StateDigest),
    /// How the sender's disk is: it is heard and alive, and cannot acknowledge anything while its disk takes nothing.
    DiskTrouble {
        /// Why it takes nothing; none when it does again.
        why: Option<String>,
    },
    /// A command that its issuer signed, for the leader to propose. Answered as [`Frame::Forward`] is.
    ForwardIssued {
        /// The sender's own number for it; comes back in the answer.
        request: u64,
        /// As in [`Frame::Forward`].
        session: Option<(SessionId, Serial)>,
        /// The issuer's word.
        issue: Box<Issue>,
        /// What to propose.
        command: Box<ControlCommand>,
    },
    /// Asks who votes.
    AskVoters,
    /// Who votes, as the sender knows it.
    Voters {
        /// As of which index, applied by the sender.
        index: Index,
        /// In which term the sender is.
        term: Term,
        /// In the order of their ids.
        voters: Vec<MemberId>,
    },
    /// A command of a client that showed the sender its token. Answered as [`Frame::Forward`] is.
    ForwardForClient {
        /// The sender's own number for it; comes back in the answer.
        request: u64,
        /// The client.
        client: ClientId,
        /// As in [`Frame::Forward`].
        session: Option<(SessionId, Serial)>,
        /// What to propose.
        command: Box<Command>,
    },
}

impl Frame {
    /// Whether it is said again until it is answered, so that a lost one does no harm and a late one is of no use.
    pub fn is_repeated(&self) -> bool {
        matches!(
            self,
            Self::Raft(_) | Self::Hello(_) | Self::HelloAnswer(_) | Self::AskVoters | Self::Voters { .. }
        )
    }
}

/// What became of a forwarded command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ForwardOutcome {
    /// The control part's answer.
    Control(ControlResult, Index),
    /// The user machine's answer.
    User(#[serde(with = "serde_bytes")] Vec<u8>, Index),
    /// The receiver is not leader; nothing was proposed. The leader it knows, if any.
    NotLeader(Option<MemberId>),
    /// The proposal was dropped (a transfer is under way, or too many wait); nothing was changed.
    Dropped,
    /// Leadership was lost with the proposal under way: it may or may not count.
    Unknown,
}

/// Where a participant stands in a round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Progress {
    /// It has no data for the task: weight 0, nobody waits for it.
    NoData,
    /// It trains on so many examples.
    Training(u64),
    /// Its update is on disk and under way.
    Sending,
    /// It could not train, and does not say why. Members of today say that they rest.
    Failed,
    /// It does not train now, for this reason: nobody waits for it.
    Resting(crate::Rest),
}

/// Whether an update is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Accepted and committed.
    Accepted,
    /// Refused.
    Refused(crate::Refusal),
}
