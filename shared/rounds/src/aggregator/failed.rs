//! `Failed`: an attempt that cannot be finished is given up in the log, with its reason, and the round goes on with the
//! next one.

use crate::AttemptKey;
use crate::step::{Proposing, Step};
use rafty_types::ControlCommand;

/// Longest reason, in characters.
const MAX_REASON: usize = 200;

#[derive(Debug)]
pub(super) struct Failed {
    pub(super) key: AttemptKey,
    pub(super) reason: String,
    pub(super) proposing: Proposing,
}

impl Failed {
    pub(super) fn new(key: AttemptKey, reason: &str) -> Self {
        Self { key, reason: reason.chars().take(MAX_REASON).collect(), proposing: Proposing::default() }
    }

    pub(super) fn advance(&mut self, step: &mut Step<'_>) {
        let AttemptKey { tenure, run, round, attempt } = self.key;
        let reason = &self.reason;
        self.proposing.propose(step, || ControlCommand::RoundFailed {
            tenure,
            run,
            round,
            attempt,
            reason: reason.clone(),
        });
    }
}
