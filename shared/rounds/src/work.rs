//! The orders that worker threads carry out, and what they report.
//!
//! Nothing is carried out here. A shell reports every order exactly once, in any order; one that it cannot carry
//! out (a full disk, a panic in a worker) is reported as [`WorkResult::Failed`]. What is needed is then ordered
//! again; a deletion is not, so what it left is found among the models at the next start, and goes with the oldest.

use rafty_types::{
    Attempt, Digest, Label, MemberId, Metrics, Refusal, RestCause, Round, RunId, RunSpec, Tenure, Version,
};

/// Names an order; counts up from 1 in each process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkId(pub u64);

/// Names an envelope that the shell has spooled: one that came in, or one that a worker sealed.
///
/// It belongs to these machines from the moment it is named to them until they say
/// [`Output::DropEnvelope`](crate::Output::DropEnvelope), exactly once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnvelopeHandle(pub u64);

/// One attempt of one round in one tenure: what an accumulator belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct AttemptKey {
    /// The tenure.
    pub tenure: Tenure,
    /// The run.
    pub run: RunId,
    /// The round.
    pub round: Round,
    /// The attempt.
    pub attempt: Attempt,
}

impl AttemptKey {
    /// The attempt that a label is bound to.
    pub fn of(label: &Label) -> Self {
        Self { tenure: label.tenure, run: label.run, round: label.round, attempt: label.attempt }
    }
}

/// An order to a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Derive version 0 from the task and the seed, the same on every device, and store it synced.
    /// Reports [`WorkResult::Model`].
    DeriveInitial {
        /// The run.
        run: RunId,
        /// Its task and seed.
        spec: RunSpec,
    },
    /// Train on this device's data. The update is on disk, synced, before it is reported, together with all of
    /// [`PendingUpdate`](crate::PendingUpdate), so that a restart finds it. Reports [`WorkResult::Trained`],
    /// [`WorkResult::NoData`] or [`WorkResult::HeldUp`].
    Train {
        /// The run.
        run: RunId,
        /// The round.
        round: Round,
        /// The task.
        spec: RunSpec,
        /// The model to start from; it is on this member's disk.
        base: Digest,
    },
    /// Look whether what held the last training up has gone. It is done on the thread that trains. Reports
    /// [`WorkResult::Done`] when it has, and [`WorkResult::Failed`] as long as it has not.
    LookAgain {
        /// What it was; a cause that is on the device.
        cause: RestCause,
        /// The model that training starts from.
        base: Digest,
    },
    /// Stop the training that was ordered as `order`: nothing it gives can count any more. It is carried out at once,
    /// beside the training, which then reports [`WorkResult::Failed`] unless it was ready before. Reports
    /// [`WorkResult::Done`].
    StopTraining {
        /// The order to train.
        order: WorkId,
    },
    /// S1: seal an update with the tenure key. Reports [`WorkResult::Sealed`].
    SealUpdate {
        /// The update on disk; the label's content.
        update: Digest,
        /// What it is for.
        label: Label,
        /// The aggregator.
        to: MemberId,
        /// The tenure's public key as the log has it, PKCS#1 DER.
        rsa_public: Vec<u8>,
    },
    /// S2: open an update with the tenure's private key, check all of it against `base`, and fold it into the
    /// accumulator of the label's [`AttemptKey`], which is made at first use.
    /// Reports [`WorkResult::Opened`] or [`WorkResult::Refused`]. Whenever it reports anything but `Opened`, the
    /// accumulator is as it was.
    OpenUpdate {
        /// The envelope. It stays until it is dropped.
        envelope: EnvelopeHandle,
        /// The purpose it must have been sealed for, in full.
        label: Label,
        /// The model the update must have been trained from.
        base: Digest,
    },
    /// Finish the accumulator into a new model and store that synced. Reports [`WorkResult::Model`].
    Combine {
        /// Whose accumulator.
        key: AttemptKey,
        /// The task and the strategy.
        spec: RunSpec,
    },
    /// S3: seal a model for its recipients. Reports [`WorkResult::Sealed`].
    SealModel {
        /// The model on this member's disk; the label's content.
        model: Digest,
        /// What it is for.
        label: Label,
        /// Who can open it, each with its participant key, PKCS#1 DER; sorted by member.
        recipients: Vec<(MemberId, Vec<u8>)>,
    },
    /// S4: open a model with this member's own private key and store it synced. Its digest must be the label's
    /// content, and it must be a model of the task that may come after its base. Reports [`WorkResult::Model`] or
    /// [`WorkResult::Refused`]; what was refused is not on the disk.
    OpenModel {
        /// The envelope. It stays until it is dropped.
        envelope: EnvelopeHandle,
        /// The purpose it must have been sealed for, in full.
        label: Label,
        /// The task.
        spec: RunSpec,
        /// The version before, if this member has it.
        base: Option<Digest>,
    },
    /// Make a model on this member's disk the current one. Reports [`WorkResult::Done`].
    Adopt {
        /// The run.
        run: RunId,
        /// The version.
        version: Version,
        /// The model.
        model: Digest,
    },
    /// Delete models that no rule needs any more. Reports [`WorkResult::Done`].
    DropModels {
        /// Which; one that is not there is no error.
        models: Vec<Digest>,
    },
    /// Delete an update whose round is over. Reports [`WorkResult::Done`].
    DropUpdate {
        /// Which; one that is not there is no error.
        update: Digest,
    },
    /// Drop an accumulator. Reports [`WorkResult::Done`].
    ForgetAttempt {
        /// Whose; one that is not there is no error.
        key: AttemptKey,
    },
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkResult {
    /// A model is on this member's disk, synced.
    Model {
        /// Its digest.
        digest: Digest,
    },
    /// An update is on this member's disk, synced.
    Trained {
        /// Its digest.
        update: Digest,
        /// Its weight.
        num_examples: u64,
    },
    /// This member has no data for the task.
    NoData,
    /// Something on this device keeps it from training.
    HeldUp {
        /// What.
        cause: RestCause,
        /// In words.
        reason: String,
    },
    /// An envelope is sealed and spooled.
    Sealed {
        /// By this name.
        envelope: EnvelopeHandle,
    },
    /// An update was authentic and sound, and is folded in.
    Opened {
        /// Its weight.
        num_examples: u64,
        /// How good its base is on the participant's holdout.
        metrics: Metrics,
    },
    /// What came in an envelope was not taken.
    Refused(Refusal),
    /// It is done.
    Done,
    /// What was to be sealed is not on this member's disk any more, or is damaged: it can only be made anew.
    Gone,
    /// It could not be done, for a reason in words. Nothing was changed; it may be ordered again.
    Failed(String),
}
