//! What happened, put together from every member's events. Pure: events in, facts out.
//!
//! The same happening is told by up to every member; the first to tell it counts. Nothing here starts, kills or
//! measures anything, and nothing reads a clock: times are those of the events.

use crate::narration::{Line, sentence};
use rafty_node::{Event, PastTenure, RoundLine};
use rafty_rounds::{AttemptKey, RoundEvent};
use rafty_types::{Attempt, Digest, MemberId, MemberKind, Refusal, Round, Tenure};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Story {
    pub(crate) actors: BTreeMap<MemberId, Actor>,
    pub(crate) tenures: BTreeMap<Tenure, TenureFact>,
    pub(crate) rounds: BTreeMap<Round, RoundFact>,
    pub(crate) kill: Option<Kill>,
    pub(crate) ended: bool,
    sealed: BTreeMap<(MemberId, AttemptKey), u64>,
    accepted: BTreeSet<(Round, Attempt, MemberId, Digest)>,
    refused: BTreeSet<(AttemptKey, MemberId)>,
    closed: BTreeMap<(Round, Tenure), u64>,
}

/// A member.
#[derive(Clone, Debug)]
pub(crate) struct Actor {
    pub(crate) name: String,
    pub(crate) kind: MemberKind,
    /// Whether its process runs.
    pub(crate) up: bool,
    /// What it does, in a word or two.
    pub(crate) doing: String,
    /// The version it holds.
    pub(crate) version: u64,
    /// It has said that it has no data.
    pub(crate) no_data: bool,
}

/// A committed tenure.
#[derive(Clone, Debug)]
pub(crate) struct TenureFact {
    pub(crate) aggregator: MemberId,
    pub(crate) began_ms: u64,
}

/// A round that was opened.
#[derive(Clone, Debug, Default)]
pub(crate) struct RoundFact {
    /// Whose updates are in, this attempt.
    pub(crate) accepted: BTreeMap<MemberId, u64>,
    pub(crate) attempt: Attempt,
    /// This attempt takes nothing in any more.
    pub(crate) closed: bool,
    pub(crate) opened_ms: u64,
    pub(crate) published: Option<Published>,
    /// Share of the held-out images that its version has right, 0 to 1.
    pub(crate) accuracy: Option<f64>,
}

/// A published round.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    pub(crate) at_ms: u64,
    pub(crate) line: RoundLine,
}

/// An aggregator that was killed.
#[derive(Clone, Debug)]
pub(crate) struct Kill {
    pub(crate) member: MemberId,
    pub(crate) round: Round,
    /// The tenure it held.
    pub(crate) tenure: Option<Tenure>,
    pub(crate) at_ms: u64,
    /// When the next tenure was committed.
    pub(crate) recovered_at_ms: Option<u64>,
    pub(crate) restarted_ms: Option<u64>,
    /// It is back and holds the newest version.
    pub(crate) caught_up: bool,
}

/// How many updates there were, attempts counted apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct UpdateCount {
    pub(crate) sealed: usize,
    pub(crate) accepted: usize,
    pub(crate) refused: usize,
}

impl Story {
    pub(crate) fn with_actors(actors: impl IntoIterator<Item = (MemberId, String, MemberKind)>) -> Self {
        let actor = |(id, name, kind)| {
            (id, Actor { name, kind, up: true, doing: "waits".into(), version: 0, no_data: false })
        };
        Self { actors: actors.into_iter().map(actor).collect(), ..Self::default() }
    }

    /// What people call a member.
    pub(crate) fn name(&self, member: MemberId) -> String {
        self.actors.get(&member).map_or_else(|| format!("member {member}"), |actor| actor.name.clone())
    }

    /// Takes an event in. A sentence when it is news.
    pub(crate) fn hear(&mut self, line: &Line) -> Option<String> {
        let news = match &line.event {
            Event::Round(event) => self.hear_of_side(line.member, line.at_ms(), event),
            event => self.hear_of_all(line.at_ms(), event),
        };
        news.then(|| sentence(&line.event, &|member| self.name(member))).flatten().map(|text| {
            match &line.event {
                Event::Round(_) => format!("{}: {text}", self.name(line.member)),
                _ => text,
            }
        })
    }

    /// What every member tells alike, because it is in the log.
    fn hear_of_all(&mut self, at_ms: u64, event: &Event) -> bool {
        match event {
            Event::TenureBegan { tenure, aggregator, .. } => {
                self.tenure_began(*tenure, TenureFact { aggregator: *aggregator, began_ms: at_ms })
            }
            Event::RoundOpened { round, .. } => {
                let is_new = !self.rounds.contains_key(round);
                let fact = self.rounds.entry(*round).or_default();
                if is_new {
                    (fact.opened_ms, fact.attempt) = (at_ms, Attempt(1));
                }
                is_new
            }
            Event::UpdateAccepted { round, attempt, participant, digest, num_examples, .. } => {
                let fact = self.rounds.entry(*round).or_default();
                if *attempt > fact.attempt {
                    (fact.attempt, fact.closed) = (*attempt, false);
                    fact.accepted.clear();
                }
                if *attempt == fact.attempt {
                    fact.accepted.insert(*participant, *num_examples);
                }
                self.accepted.insert((*round, *attempt, *participant, *digest))
            }
            Event::RoundPublished { round: line, .. } => self.published(at_ms, line),
            Event::RunEnded { .. } => !std::mem::replace(&mut self.ended, true),
            _ => false,
        }
    }

    fn tenure_began(&mut self, tenure: Tenure, fact: TenureFact) -> bool {
        if self.tenures.contains_key(&tenure) {
            return false;
        }
        // What was open goes on as the next attempt: nothing of the last one is in.
        for round in self.rounds.values_mut().filter(|round| round.published.is_none()) {
            round.accepted.clear();
            round.closed = false;
        }
        if let Some(kill) = &mut self.kill {
            let after = kill.tenure.is_none_or(|killed| tenure > killed);
            if after && kill.recovered_at_ms.is_none() {
                kill.recovered_at_ms = Some(fact.began_ms);
            }
        }
        self.tenures.insert(tenure, fact);
        true
    }

    fn published(&mut self, at_ms: u64, line: &RoundLine) -> bool {
        let fact = self.rounds.entry(line.round).or_default();
        if fact.published.is_some() {
            return false;
        }
        fact.published = Some(Published { at_ms, line: line.clone() });
        true
    }

    /// What a member tells of its own side.
    fn hear_of_side(&mut self, member: MemberId, at_ms: u64, event: &RoundEvent) -> bool {
        let doing = match event {
            RoundEvent::TrainingBegan { round, .. } => Some(format!("trains, round {round}")),
            RoundEvent::Trained { round, .. } => Some(format!("trained, round {round}")),
            RoundEvent::UpdateSealed { key, .. } => {
                self.sealed.entry((member, *key)).or_insert(at_ms);
                Some(format!("sealed, round {}", key.round))
            }
            RoundEvent::NoData { .. } => Some("has no data".into()),
            RoundEvent::HeldUp { cause, .. } => Some(format!("does not train: {cause}")),
            RoundEvent::Combined { key, .. } => Some(format!("combined, round {}", key.round)),
            _ => None,
        };
        let no_data_before = self.actors.get(&member).is_some_and(|actor| actor.no_data);
        if let (Some(actor), Some(doing)) = (self.actors.get_mut(&member), doing) {
            actor.doing = doing;
        }
        match event {
            RoundEvent::NoData { .. } => {
                self.actors.entry(member).and_modify(|actor| actor.no_data = true);
                !no_data_before
            }
            RoundEvent::Adopted { version, .. } => {
                self.holds(member, version.0);
                false
            }
            RoundEvent::Closed { key, .. } => {
                self.closed.entry((key.round, key.tenure)).or_insert(at_ms);
                self.rounds.entry(key.round).and_modify(|round| round.closed = true);
                false
            }
            RoundEvent::UpdateRefused { key, participant, .. } => self.refused.insert((*key, *participant)),
            RoundEvent::AttemptFailed { .. }
            | RoundEvent::TrainingFailed { .. }
            | RoundEvent::HeldUp { .. }
            | RoundEvent::WorkFailed { .. }
            | RoundEvent::Extended { .. } => true,
            _ => false,
        }
    }

    /// A member holds this version.
    pub(crate) fn holds(&mut self, member: MemberId, version: u64) {
        if let Some(actor) = self.actors.get_mut(&member) {
            actor.version = actor.version.max(version);
        }
        // A round's version has its number.
        let published = self.rounds.iter().rev().find(|(_, round)| round.published.is_some());
        let newest = published.map_or(0, |(round, _)| round.0);
        if let Some(kill) =
            self.kill.as_mut().filter(|kill| kill.member == member && kill.restarted_ms.is_some())
        {
            kill.caught_up |= version >= newest;
        }
    }

    /// A tenure that began before anybody was heard.
    pub(crate) fn knows_tenure(&mut self, past: &PastTenure, at_ms: u64) {
        self.tenure_began(past.tenure, TenureFact { aggregator: past.aggregator, began_ms: at_ms });
    }

    /// The aggregator is killed now.
    pub(crate) fn killed(&mut self, member: MemberId, round: Round, at_ms: u64) {
        let tenure = self.tenures.last_key_value().map(|(tenure, _)| *tenure);
        self.kill = Some(Kill {
            member,
            round,
            tenure,
            at_ms,
            recovered_at_ms: None,
            restarted_ms: None,
            caught_up: false,
        });
        if let Some(actor) = self.actors.get_mut(&member) {
            (actor.up, actor.doing) = (false, "killed".into());
        }
    }

    /// The killed one starts again now.
    pub(crate) fn restarted(&mut self, at_ms: u64) {
        let Some(kill) = &mut self.kill else { return };
        kill.restarted_ms = Some(at_ms);
        if let Some(actor) = self.actors.get_mut(&kill.member) {
            (actor.up, actor.doing) = (true, "is back".into());
        }
    }

    /// The held-out images were tried on a round's version.
    pub(crate) fn scored(&mut self, round: Round, accuracy: f64) {
        self.rounds.entry(round).or_default().accuracy = Some(accuracy);
    }

    /// The tenure that is current and when it began.
    pub(crate) fn tenure(&self) -> Option<(Tenure, &TenureFact)> {
        self.tenures.last_key_value().map(|(tenure, fact)| (*tenure, fact))
    }

    /// The round that is open.
    pub(crate) fn open_round(&self) -> Option<(Round, &RoundFact)> {
        let newest = self.rounds.iter().next_back().filter(|(_, fact)| fact.published.is_none());
        newest.map(|(round, fact)| (*round, fact))
    }

    /// How many rounds were published.
    pub(crate) fn published_rounds(&self) -> u64 {
        self.rounds.values().filter(|round| round.published.is_some()).count() as u64
    }

    /// How good each version was, in order; up to the first that was not tried.
    pub(crate) fn accuracies(&self) -> Vec<f64> {
        self.rounds.values().map_while(|round| round.accuracy).collect()
    }

    /// How many updates there were.
    pub(crate) fn updates(&self) -> UpdateCount {
        UpdateCount { sealed: self.sealed.len(), accepted: self.accepted.len(), refused: self.refused.len() }
    }

    /// How long the peer set was without aggregator after the kill, in milliseconds.
    pub(crate) fn recovered_ms(&self) -> Option<u64> {
        let kill = self.kill.as_ref()?;
        Some(kill.recovered_at_ms?.saturating_sub(kill.at_ms))
    }

    /// Updates that a participant sealed for a round before that closed, while it ran all the time from then until
    /// the close, and that the round's publication neither counts nor refuses. Each member once a round, with how
    /// long before the close it was sealed, in milliseconds.
    pub(crate) fn lost_updates(&self) -> BTreeMap<(Round, MemberId), u64> {
        let mut lost = BTreeMap::new();
        for ((member, key), sealed_ms) in &self.sealed {
            let Some(published) = self.rounds.get(&key.round).and_then(|round| round.published.as_ref())
            else {
                continue;
            };
            let line = &published.line;
            let closed_ms = self.closed.get(&(key.round, line.tenure)).copied().unwrap_or(published.at_ms);
            let was_live = *sealed_ms <= closed_ms && !self.was_down(*member, *sealed_ms, closed_ms);
            if was_live && !mentions(line, *member) {
                lost.insert((key.round, *member), closed_ms.saturating_sub(*sealed_ms));
            }
        }
        lost
    }

    /// Whether the process of `member` was down at some time from `from_ms` to `to_ms`.
    fn was_down(&self, member: MemberId, from_ms: u64, to_ms: u64) -> bool {
        self.kill.as_ref().filter(|kill| kill.member == member).is_some_and(|kill| {
            kill.at_ms <= to_ms && kill.restarted_ms.is_none_or(|restarted| restarted >= from_ms)
        })
    }
}

fn mentions(line: &RoundLine, member: MemberId) -> bool {
    let refused = |(who, _): &(MemberId, Refusal)| *who == member;
    line.counted.iter().any(|(who, ..)| *who == member) || line.refused.iter().any(refused)
}

#[cfg(test)]
#[path = "story_tests.rs"]
mod tests;
