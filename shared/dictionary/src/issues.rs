//! What members issued: each command counts once, however often it is proposed and in whatever order.
//!
//! Of each member the answers to its latest commands are kept, so that a repeated one is answered as the first. What is
//! older than all of these, or was issued long ago, does not count any more: nobody can keep a signed command back and bring
//! it in when nobody expects it.

use crate::Outcome;
use crate::applied::Answered;
use crate::control::Context;
use rafty_types::{
    ControlCommand, ControlResult, Digest, Issue, IssueSerial, MemberId, Mutation, Rejection, planted,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Of how many commands of each member the answers are kept, the latest ones.
pub const KEPT_ISSUES: usize = 64;
/// A command counts for so many entries after the one that its issuer had applied.
pub const MAX_ISSUE_AGE: u64 = 100_000;
/// A command counts for so many milliseconds of the peer set's time after it was issued.
pub const MAX_ISSUE_AGE_MS: u64 = 600_000;
/// Longest reason of a refusal that is kept, in bytes.
const MAX_KEPT_REASON_LEN: usize = 200;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Issues(BTreeMap<MemberId, Window>);

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Window {
    /// The last number whose answer was forgotten.
    forgotten: IssueSerial,
    answers: BTreeMap<IssueSerial, Answered>,
}

impl Issues {
    /// The answer to a command that was applied before; `None` when it is to be applied now.
    pub(crate) fn before(
        &self,
        at: &Context,
        issue: &Issue,
        command: &ControlCommand,
    ) -> Result<Option<Outcome>, Rejection> {
        let window = self.0.get(&issue.by);
        if planted(Mutation::IssueCountsAgain) {
            return Ok(None);
        }
        if let Some(answered) = window.and_then(|window| window.answers.get(&issue.serial)) {
            let same = answered.command == name(command);
            return if same { Ok(Some(answered.outcome.clone())) } else { Err(Rejection::SerialTaken) };
        }
        let forgotten = window.map_or(IssueSerial::default(), |window| window.forgotten);
        if issue.serial <= forgotten {
            return Err(Rejection::ForgottenSerial);
        }
        let young = at.index.0.saturating_sub(issue.seen.0) <= MAX_ISSUE_AGE
            && at.now_ms.saturating_sub(issue.seen_ms) <= MAX_ISSUE_AGE_MS;
        if young { Ok(None) } else { Err(Rejection::TooLate) }
    }

    /// Keeps the answer to a command that was applied now.
    pub(crate) fn record(&mut self, issue: &Issue, command: u64, outcome: &Outcome) {
        let window = self.0.entry(issue.by).or_default();
        window.answers.insert(issue.serial, Answered { command, outcome: shortened(outcome) });
        if window.answers.len() > KEPT_ISSUES
            && let Some((forgotten, _)) = window.answers.pop_first()
        {
            window.forgotten = forgotten;
        }
    }

    /// The highest number of a member's that is remembered.
    pub(crate) fn last_of(&self, member: MemberId) -> IssueSerial {
        let window = self.0.get(&member);
        let answered = window.and_then(|window| Some(*window.answers.last_key_value()?.0));
        answered.unwrap_or_default()
    }

    pub(crate) fn forget(&mut self, member: MemberId) {
        self.0.remove(&member);
    }

    /// Whether every bound holds, and all are of members.
    pub(crate) fn are_sound(&self, is_member: impl Fn(MemberId) -> bool) -> bool {
        self.0.iter().all(|(member, window)| {
            let answers = &window.answers;
            is_member(*member)
                && answers.len() <= KEPT_ISSUES
                && answers.keys().all(|serial| *serial > window.forgotten)
                && answers.values().all(|answered| answered.outcome == shortened(&answered.outcome))
        })
    }
}

/// Names a command among those of one member, who alone would be harmed by two of one name.
pub(crate) fn name(command: &ControlCommand) -> u64 {
    let bytes = postcard::to_allocvec(command).expect("a command always encodes");
    Digest::of(&bytes).prefix()
}

fn shortened(outcome: &Outcome) -> Outcome {
    match outcome {
        Outcome::Control(ControlResult::Rejected(Rejection::Invalid(why)), at) => {
            let len = why.floor_char_boundary(MAX_KEPT_REASON_LEN);
            Outcome::rejected(*at, Rejection::Invalid(why[..len].into()))
        }
        outcome => outcome.clone(),
    }
}
