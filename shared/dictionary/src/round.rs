//! One round of a run: opened, updates accepted, published or tried again.
//!
//! It knows which updates count, not what is in them: opening, checking and combining them is `rounds`. That the
//! issuer is the aggregator has been checked before anything here is called.

use crate::control::Context;
use crate::roster::ensure;
use crate::runs::{RoundRecord, RunState};
use rafty_types::{
    Accepted, Attempt, Digest, MemberId, Mutation, Protection, Publication, Rejection, Round, Tenure,
    Version, is_weight, planted,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How many reasons of failed attempts an open round keeps, the latest ones.
pub const MAX_FAILURES: usize = 8;
/// Longest reason that is kept, in characters; the rest is cut.
pub const MAX_REASON_LEN: usize = 200;
/// Most refused updates that a publication names.
pub const MAX_REFUSED: usize = 64;
/// Most members that rest which a publication names.
pub const MAX_RESTING: usize = 64;
/// Longest time that is recorded for a round, in milliseconds (365 days); a longer one counts as this.
pub const MAX_ROUND_MS: u64 = 365 * 24 * 3_600 * 1_000;

/// A round under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenRound {
    /// Its number.
    pub round: Round,
    /// The version it starts from.
    pub base: Version,
    /// The current attempt.
    pub attempt: Attempt,
    /// The tenure of the current attempt.
    pub tenure: Tenure,
    /// Updates that count in the current attempt.
    pub accepted: BTreeMap<MemberId, Accepted>,
    /// Collecting time spent so far, all attempts together, in milliseconds.
    pub collected_ms: u64,
    /// How many attempts an aggregator gave up.
    pub failed: u32,
    /// How updates are hidden from the aggregator.
    pub protection: Protection,
    /// Why the latest of the failed attempts failed, oldest first.
    pub failures: VecDeque<String>,
}

impl OpenRound {
    /// The next attempt: participants seal again, for `tenure`. Collecting time already spent stays spent.
    pub(crate) fn restart(&mut self, tenure: Tenure) {
        self.attempt = self.attempt.next();
        self.tenure = tenure;
        self.accepted.clear();
    }

    pub(crate) fn accept(
        &mut self,
        participant: MemberId,
        update: Accepted,
        collected_ms: u64,
    ) -> Result<(), Rejection> {
        if self.accepted.contains_key(&participant) {
            return Err(Rejection::Duplicate);
        }
        ensure(is_weight(update.num_examples), "an update weighs 1 to 1,000,000,000 examples")?;
        let collected_ms = collected_ms.min(MAX_ROUND_MS);
        let arrived_ms = update.arrived_ms.map(|arrived_ms| arrived_ms.min(collected_ms));
        self.accepted.insert(participant, Accepted { arrived_ms, ..update });
        // A repeated proposal may carry an older reading: the time never runs back.
        self.collected_ms = self.collected_ms.max(collected_ms);
        Ok(())
    }

    /// Gives the attempt up. Returns the reason as it is kept.
    pub(crate) fn fail(&mut self, tenure: Tenure, reason: &str) -> String {
        let reason: String = reason.chars().take(MAX_REASON_LEN).collect();
        if self.failures.len() >= MAX_FAILURES {
            self.failures.pop_front();
        }
        self.failures.push_back(reason.clone());
        self.failed = self.failed.saturating_add(1);
        self.restart(tenure);
        reason
    }
}

impl RunState {
    pub(crate) fn open_round(
        &mut self,
        tenure: Tenure,
        round: Round,
        base: Version,
        protection: Protection,
    ) -> Result<(), Rejection> {
        if self.open.is_some() {
            return Err(Rejection::Duplicate);
        }
        ensure(round == self.round.next(), "the round is not the run's next one")?;
        ensure(base == self.version, "the base is not the run's current version")?;
        self.open = Some(OpenRound {
            round,
            base,
            attempt: Attempt(1),
            tenure,
            accepted: BTreeMap::new(),
            collected_ms: 0,
            failed: 0,
            protection,
            failures: VecDeque::new(),
        });
        Ok(())
    }

    /// The open round, if it is this one in this attempt.
    pub(crate) fn open_attempt(
        &mut self,
        round: Round,
        attempt: Attempt,
    ) -> Result<&mut OpenRound, Rejection> {
        self.open
            .as_mut()
            .filter(|open| open.round == round && open.attempt == attempt)
            .ok_or(Rejection::NotOpen)
    }

    /// Closes the open round with its result.
    pub(crate) fn publish(&mut self, at: &Context, publication: Publication) -> Result<(), Rejection> {
        let open = self.open_attempt(publication.round, publication.attempt)?;
        check_publication(open, at, &publication)?;
        let record = record(open, at, &publication);
        let accepted = std::mem::take(&mut open.accepted);
        let waited_ms = planted(Mutation::DeadlineFedByWaits).then_some(record.duration_ms);
        for (participant, ..) in &record.counted {
            if let Some(arrived_ms) = accepted.get(participant).and_then(|update| update.arrived_ms) {
                self.arrivals.keep(*participant, record.round, waited_ms.unwrap_or(arrived_ms));
            }
        }
        self.open = None;
        self.keep_round(record);
        Ok(())
    }
}

fn check_publication(open: &OpenRound, at: &Context, publication: &Publication) -> Result<(), Rejection> {
    ensure(publication.version == open.base.next(), "the version is not the one after the round's base")?;
    ensure(!publication.counted.is_empty(), "a publication counts at least one update")?;
    ensure(each_once(&publication.counted), "an update is counted twice")?;
    ensure(
        all_accepted(open, &publication.counted),
        "an update is counted that this attempt did not accept",
    )?;
    ensure(publication.refused.len() <= MAX_REFUSED, "a publication names at most 64 refused updates")?;
    ensure(publication.resting.len() <= MAX_RESTING, "a publication names at most 64 members that rest")?;
    let Publication { metrics, counted, .. } = publication;
    ensure(metrics.correct <= metrics.examples, "more examples are right than were looked at")?;
    // Updates of format 2 could claim more.
    let bounded = at.by_wall || metrics.are_of(counted.len());
    ensure(bounded, "each update counted has at most 1,000,000,000 held-out examples")
}

fn each_once(counted: &[(MemberId, Digest)]) -> bool {
    counted.iter().map(|(participant, _)| participant).collect::<BTreeSet<_>>().len() == counted.len()
}

fn all_accepted(open: &OpenRound, counted: &[(MemberId, Digest)]) -> bool {
    counted.iter().all(|(who, digest)| open.accepted.get(who).is_some_and(|update| update.digest == *digest))
}

fn record(open: &OpenRound, at: &Context, publication: &Publication) -> RoundRecord {
    let counted = publication.counted.iter().filter_map(|(who, digest)| {
        open.accepted.get(who).map(|update| (*who, *digest, update.num_examples))
    });
    RoundRecord {
        round: open.round,
        tenure: publication.tenure,
        aggregator: at.origin,
        attempt: open.attempt,
        counted: counted.collect(),
        refused: publication.refused.clone(),
        resting: publication.resting.clone(),
        metrics: publication.metrics,
        version: publication.version,
        model: publication.model,
        duration_ms: publication.duration_ms.min(MAX_ROUND_MS),
    }
}
