//! What applying one entry answers.
//!
//! Plain records; making them is [`Replicated::apply`](crate::Replicated::apply).

use rafty_types::{
    Attempt, ControlResult, Digest, ForwardOutcome, Index, MemberId, PeerKey, Rejection, Round, RunId,
    Serial, SessionId, SettingValue, Tenure, Version,
};
use serde::{Deserialize, Serialize};

/// What became of one entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The entry.
    pub index: Index,
    /// Who issued its command. `None` when it carries none that can be read.
    pub origin: Option<MemberId>,
    /// The answer for whoever proposed it. `None` when it carries no command.
    pub outcome: Option<Outcome>,
    /// The session and serial it was proposed with.
    pub session: Option<(SessionId, Serial)>,
    /// What changed, in order. Empty when nothing did, as for a refused or a repeated command.
    pub events: Vec<Event>,
}

impl Applied {
    pub(crate) fn nothing(index: Index) -> Self {
        Self { index, origin: None, outcome: None, session: None, events: Vec::new() }
    }

    pub(crate) fn refused(index: Index, why: Rejection) -> Self {
        Self { outcome: Some(Outcome::rejected(index, why)), ..Self::nothing(index) }
    }
}

/// The answer to a command, with the index of the entry that made it: for a command repeated within its session
/// that is the first one. The index names what was made: a member, a run, a tenure, a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The control part's answer. A user command is answered so as well when it did not get to the user machine.
    Control(ControlResult, Index),
    /// The user machine's answer.
    User(Vec<u8>, Index),
}

/// An answer that is kept, for when its command comes again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answered {
    /// Tells commands apart: the first bytes of the command's digest.
    pub(crate) command: u64,
    pub(crate) outcome: Outcome,
}

impl Outcome {
    pub(crate) fn rejected(index: Index, why: Rejection) -> Self {
        Self::Control(ControlResult::Rejected(why), index)
    }
}

impl From<Outcome> for ForwardOutcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Control(result, index) => Self::Control(result, index),
            Outcome::User(result, index) => Self::User(result, index),
        }
    }
}

/// A change of the control part that other parts of the program act upon. Each is told once, by every member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A member came, left, moved or has a new key.
    RosterChanged,
    /// A member was revoked: its connections must be closed.
    Revoked(MemberId, PeerKey),
    /// A member lost its log and joined again under a new id: whatever is kept for the old one can go.
    Replaced {
        /// The id it had.
        old: MemberId,
        /// The id it has.
        new: MemberId,
    },
    /// Who shall vote has changed.
    SeatsChanged,
    /// A tenure began: [`Control::tenure`](crate::Control::tenure) tells whose. An open round is in its next attempt.
    TenureBegan,
    /// A run became the active one.
    RunSubmitted(RunId),
    /// The active run was stopped or is finished.
    RunEnded(RunId),
    /// A setting has another value, for all members.
    SettingChanged {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: SettingValue,
    },
    /// A round opened.
    RoundOpened {
        /// The run.
        run: RunId,
        /// The round.
        round: Round,
    },
    /// An update counts.
    UpdateAccepted {
        /// The run.
        run: RunId,
        /// The round.
        round: Round,
        /// The attempt it counts in.
        attempt: Attempt,
        /// Whose.
        participant: MemberId,
        /// Which.
        digest: Digest,
        /// Its weight.
        num_examples: u64,
    },
    /// A round ended with a new version.
    RoundPublished {
        /// The tenure that published it.
        tenure: Tenure,
        /// The run.
        run: RunId,
        /// The round.
        round: Round,
        /// The new version.
        version: Version,
        /// Its model.
        model: Digest,
    },
    /// An attempt failed; the round is in its next one.
    RoundFailed {
        /// The run.
        run: RunId,
        /// The round.
        round: Round,
        /// The attempt that failed.
        attempt: Attempt,
        /// Why, in words.
        reason: String,
    },
    /// The run's current version is an older one. An open round starts anew from it.
    RolledBack {
        /// The run.
        run: RunId,
        /// The current version.
        version: Version,
    },
    /// The peer set uses a feature level that this program does not know: it applies nothing any more and must be
    /// updated.
    Halted {
        /// The committed level.
        level: u32,
    },
}
