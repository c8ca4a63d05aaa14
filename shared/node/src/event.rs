//! What a member tells its people as it happens: one line each, also as JSON.

use crate::RoundLine;
use rafty_types::{Attempt, Digest, MemberId, Round, RunId, Tenure, Term};
use serde::{Deserialize, Serialize};

/// Something worth a line. The shell adds the time and the member it happened on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// This member's Raft role changed.
    Role {
        /// Follower, candidate or leader.
        role: String,
        /// The term it is in.
        term: Term,
        /// The leader it knows.
        leader: Option<MemberId>,
    },
    /// Something is wrong with a member's disk: it is an older copy, or used twice.
    DiskAnomaly {
        /// Whose.
        member: MemberId,
        /// In words.
        what: String,
    },
    /// The replicated states of members differ.
    StatesDiffer {
        /// In words.
        what: String,
    },
    /// A member joined.
    Joined {
        /// Who.
        member: MemberId,
    },
    /// A member was removed.
    Removed {
        /// Who.
        member: MemberId,
    },
    /// A setting was changed, for all members.
    SettingChanged {
        /// Its name.
        setting: String,
        /// Its value, as it is typed.
        value: String,
    },
    /// A tenure was committed.
    TenureBegan {
        /// Its id.
        tenure: Tenure,
        /// The term it is in.
        term: Term,
        /// The aggregator.
        aggregator: MemberId,
    },
    /// This member hands leadership over.
    HandingOver {
        /// To whom.
        to: MemberId,
    },
    /// A run was submitted.
    RunStarted {
        /// Its id.
        run: RunId,
    },
    /// A run finished or was stopped.
    RunEnded {
        /// Its id.
        run: RunId,
    },
    /// A round was opened.
    RoundOpened {
        /// Its run.
        run: RunId,
        /// Its number.
        round: Round,
    },
    /// An update was committed as accepted.
    UpdateAccepted {
        /// The run.
        run: RunId,
        /// The round.
        round: Round,
        /// The attempt.
        attempt: Attempt,
        /// Whose.
        participant: MemberId,
        /// Which.
        digest: Digest,
        /// Its weight.
        num_examples: u64,
    },
    /// A round was published.
    RoundPublished {
        /// Its run.
        run: RunId,
        /// Its result.
        #[serde(flatten)]
        round: Box<RoundLine>,
    },
    /// An attempt was given up.
    RoundFailed {
        /// The round.
        round: Round,
        /// Why.
        reason: String,
    },
    /// Something of this member's own side of a round, in words and numbers.
    Round(rafty_rounds::RoundEvent),
}

/// What helps where a directory looks like a copy and is none.
pub const IF_MOVED: &str =
    "if it was moved, and no other copy was used since, start it once with `up --moved`";

/// That a directory looks like a copy, and what follows from it.
pub fn copied_in_words(directory: &str) -> String {
    format!(
        "{directory} looks like a copy: its log lies in another file than it was made in; the member does not vote until a \
         majority without it has answered for it"
    )
}
