//! What goes into the machines and what comes out.
//!
//! Only words here; who decides on them is in the machines' own files.

use crate::{AttemptKey, EnvelopeHandle, Work, WorkId, WorkResult};
use rafty_types::{
    ControlCommand, Digest, Frame, Label, MemberId, Refusal, Rejection, RestCause, Round, RunId, Verdict,
    Version,
};
use serde::{Deserialize, Serialize};

/// Names a proposal; counts up from 1 in each process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProposalId(pub u64);

/// What a machine is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The view may have changed: entries were applied, a member came or went. Also said once at the start.
    Applied,
    /// The [`deadline`](crate::Rounds::deadline) has come.
    Tick,
    /// A worker reports.
    WorkDone {
        /// Which order.
        order: WorkId,
        /// What became of it.
        result: WorkResult,
    },
    /// An envelope came in and is spooled. Its header is well-formed; nothing else about it is known to be true,
    /// except that `from` is who the connection says.
    Envelope {
        /// The member that sent it.
        from: MemberId,
        /// What its header says it is for.
        label: Label,
        /// Whether this member is among its recipients.
        for_me: bool,
        /// Its name.
        handle: EnvelopeHandle,
    },
    /// A long envelope begins to come in, or came to a halt half-way; what has come is kept for a while. Nothing about
    /// it is known to be true.
    Arrival {
        /// The member that sends it.
        from: MemberId,
        /// Digest of the plaintext, as its header says.
        content: Digest,
        /// Which of the two.
        arrival: Arrival,
    },
    /// A frame came in. `Announce`, `FetchModel`, `Holds`, `Progress` and `Verdict` mean something here; others are
    /// ignored.
    Frame {
        /// The member that sent it.
        from: MemberId,
        /// The frame.
        frame: Frame,
    },
    /// This member's tenure is about to end: the round under way may finish, no other is opened in it.
    TenureEnding,
    /// A proposal did not reach the log, or nobody knows whether it did.
    ProposalLost {
        /// Which.
        id: ProposalId,
    },
    /// A proposal was applied and does not count. (That one counts is seen in the view.)
    ProposalRejected {
        /// Which.
        id: ProposalId,
        /// Why.
        why: Rejection,
    },
}

/// What becomes of an envelope before it is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Its bytes come.
    Begins,
    /// They have stopped coming.
    Breaks,
}

/// What a machine wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Propose a command as this member, which leads.
    Propose {
        /// To be named in [`Input::ProposalLost`] or [`Input::ProposalRejected`].
        id: ProposalId,
        /// The command.
        command: Box<ControlCommand>,
    },
    /// Give a worker an order.
    Work {
        /// To be named in [`Input::WorkDone`].
        id: WorkId,
        /// The order.
        work: Box<Work>,
    },
    /// Send an envelope to every member. When this member is among the recipients, its copy comes back as
    /// [`Input::Envelope`] with a handle of its own. Sending does not use the handle up; what was begun is
    /// finished even when the handle is dropped meanwhile, and given up when it is withdrawn.
    Broadcast {
        /// Which.
        envelope: EnvelopeHandle,
    },
    /// Send an envelope to one member, which may be this one; otherwise as [`Output::Broadcast`].
    SendTo {
        /// To whom.
        member: MemberId,
        /// Which.
        envelope: EnvelopeHandle,
    },
    /// Send a frame. One to this member (or to everyone, which includes it) comes back as [`Input::Frame`].
    Frame {
        /// To whom; `None`: everyone.
        to: Option<MemberId>,
        /// The frame.
        frame: Frame,
    },
    /// Delete a spooled envelope: nobody here names it again.
    DropEnvelope(EnvelopeHandle),
    /// The same, and it is of no use any more to whom it is being sent.
    WithdrawEnvelope(EnvelopeHandle),
    /// Something happened that a person may want to read.
    Event(RoundEvent),
}

/// What happened, for narration. Nothing may be decided on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
#[allow(missing_docs)] // the fields are the words of the design
pub enum RoundEvent {
    /// Training has begun.
    TrainingBegan { run: RunId, round: Round, base: Version },
    /// Training has ended and its update is on disk.
    Trained { run: RunId, round: Round, num_examples: u64 },
    /// This member has no data for the round.
    NoData { run: RunId, round: Round },
    /// This member could not train; it tries again later.
    TrainingFailed { run: RunId, round: Round, reason: String },
    /// Something on this device keeps it from training; it is looked at again.
    HeldUp { run: RunId, round: Round, cause: RestCause, reason: String },
    /// The round that this member trains for is over; its training is stopped.
    TrainingStopped { run: RunId, round: Round },
    /// An update belongs to a round that is over.
    UpdateStale { run: RunId, round: Round },
    /// S1: this member's update is sealed and under way.
    UpdateSealed { key: AttemptKey, to: MemberId },
    /// The update is sent once more, for want of a verdict.
    UpdateResent { key: AttemptKey, tries: u32 },
    /// The aggregator's word on this member's update.
    Judged { key: AttemptKey, verdict: Verdict },
    /// Collecting has begun; how long it may take unless the quorum is missing.
    CollectingBegan { key: AttemptKey, deadline_ms: u64 },
    /// S2: an update was opened, checked and folded in.
    UpdateOpened { key: AttemptKey, participant: MemberId, num_examples: u64 },
    /// An update was refused.
    UpdateRefused { key: AttemptKey, participant: MemberId, refusal: Refusal },
    /// A member's updates were refused so often that none of it is opened any more in the round.
    OutOfRound { key: AttemptKey, participant: MemberId, refusal: Refusal },
    /// The deadline has passed without a quorum; collecting goes on.
    Extended { key: AttemptKey, accepted: usize, cohort: usize },
    /// The attempt is closed and its updates are being combined.
    Closed { key: AttemptKey, accepted: usize, cohort: usize },
    /// The new model is made and on this member's disk.
    Combined { key: AttemptKey, model: Digest },
    /// S3: the new model is sealed and under way.
    ModelSealed { key: AttemptKey, model: Digest, recipients: usize },
    /// Members that a model is not sealed for: what stands in the log as their keys are none.
    CannotSealTo { model: Digest, members: Vec<MemberId> },
    /// A majority of voters hold the new model.
    ModelSafe { key: AttemptKey, model: Digest, voters: usize },
    /// The attempt cannot be finished.
    AttemptFailed { key: AttemptKey, reason: String },
    /// Version 0 was derived.
    InitialDerived { run: RunId, model: Digest },
    /// S4: a model was opened and is on this member's disk.
    ModelOpened { version: Version, model: Digest, from: MemberId },
    /// A model in an envelope was not taken.
    ModelRefused { from: MemberId, refusal: Refusal },
    /// A model is asked for.
    ModelAsked { version: Version, model: Digest, of: MemberId },
    /// A model is the current one on this member's disk.
    Adopted { run: RunId, version: Version, model: Digest },
    /// A worker could not carry out an order; it will be ordered again.
    WorkFailed { what: String, reason: String },
    /// An envelope was dropped unopened.
    Dropped { from: MemberId, why: DropReason },
}

/// Why an envelope was dropped unopened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DropReason {
    /// Its label is for another attempt, tenure, run, version or sender than it can be now.
    WrongLabel,
    /// The same came before.
    Duplicate,
    /// The attempt no longer takes updates in.
    Late,
    /// Its sender is not a member.
    Stranger,
    /// A newer one came before this one could be opened.
    Replaced,
    /// Its sender's updates were refused too often in this round.
    OutOfRound,
}
