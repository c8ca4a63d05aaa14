//! Events as sentences.
//!
//! It says what an event says and nothing more; what many events mean together is the demo's story.

use rafty_node::Event;
use rafty_rounds::RoundEvent;
use rafty_types::{MemberId, Verdict};
use serde_json::Value;
use std::time::SystemTime;

/// An event of a member, as its operator's socket tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Wall clock of its machine, microseconds since 1970.
    pub(crate) at_us: u64,
    /// Where it happened.
    pub(crate) member: MemberId,
    /// What happened.
    pub(crate) event: Event,
}

impl Line {
    /// Reads a line. `None` for one that this version does not know.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut all: serde_json::Map<String, Value> = serde_json::from_str(text).ok()?;
        // The same in milliseconds is there for people's scripts.
        all.remove("at_ms")?;
        let at_us = all.remove("at_us")?.as_u64()?;
        let member = MemberId(all.remove("on")?.as_u64()?);
        let event = serde_json::from_value(Value::Object(all)).ok()?;
        Some(Self { at_us, member, event })
    }

    pub(crate) fn at_ms(&self) -> u64 {
        self.at_us / 1_000
    }
}

/// The wall clock of this machine, in microseconds since 1970.
pub(crate) fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// What a person reads of an event; `None` when it is of no interest by itself.
pub(crate) fn sentence(event: &Event, name: &dyn Fn(MemberId) -> String) -> Option<String> {
    Some(match event {
        Event::Role { role, term, leader } => match leader {
            Some(leader) => format!("{role} in term {term}, led by {}", name(*leader)),
            None => format!("{role} in term {term}"),
        },
        Event::DiskAnomaly { what, .. } | Event::StatesDiffer { what } => what.clone(),
        Event::Joined { member } => format!("{} has joined", name(*member)),
        Event::Removed { member } => format!("{} is removed", name(*member)),
        Event::SettingChanged { setting, value } => format!("{setting} is {value} now, for all members"),
        Event::TenureBegan { tenure, term, aggregator } => {
            format!("tenure {tenure} (term {term}): {} is aggregator", name(*aggregator))
        }
        Event::HandingOver { to } => format!("hands over to {}", name(*to)),
        Event::RunStarted { run } => format!("run {run} has started"),
        Event::RunEnded { run } => format!("run {run} has ended"),
        Event::RoundOpened { round, .. } => format!("round {round} is open"),
        Event::UpdateAccepted { round, attempt, participant, num_examples, .. } => {
            let who = name(*participant);
            format!("round {round}, attempt {attempt}: the update of {who} is in ({num_examples} examples)")
        }
        Event::RoundPublished { round, .. } => {
            let examples: u64 = round.counted.iter().map(|(_, _, examples)| examples).sum();
            let (count, aggregator) = (round.counted.len(), name(round.aggregator));
            let seconds = round.duration_ms as f64 / 1e3;
            let number = round.round;
            format!(
                "round {number} is published by {aggregator}: {count} updates, {examples} examples, {seconds:.1} s"
            )
        }
        Event::RoundFailed { round, reason } => format!("round {round} needs another attempt: {reason}"),
        Event::Round(event) => return of_round(event, name),
    })
}

fn of_round(event: &RoundEvent, name: &dyn Fn(MemberId) -> String) -> Option<String> {
    Some(match event {
        RoundEvent::TrainingBegan { round, base, .. } => format!("round {round}: trains from version {base}"),
        RoundEvent::Trained { round, num_examples, .. } => {
            format!("round {round}: trained on {num_examples} examples")
        }
        RoundEvent::NoData { round, .. } => format!("round {round}: no data here, weight 0"),
        RoundEvent::TrainingFailed { round, reason, .. } => {
            format!("round {round}: training failed: {reason}")
        }
        RoundEvent::HeldUp { round, cause, reason, .. } => {
            format!("round {round}: does not train, {cause}: {reason}")
        }
        RoundEvent::TrainingStopped { round, .. } => format!("round {round} is over: stops training for it"),
        RoundEvent::UpdateStale { round, .. } => format!("round {round} is over: its update is dropped"),
        RoundEvent::UpdateSealed { key, to } => {
            format!("round {}: sealed its update for {}", key.round, name(*to))
        }
        RoundEvent::UpdateResent { key, tries } => format!("round {}: sends again, try {tries}", key.round),
        RoundEvent::Judged { key, verdict } => match verdict {
            Verdict::Accepted => format!("round {}: its update is accepted", key.round),
            Verdict::Refused(why) => format!("round {}: its update is refused: {why}", key.round),
        },
        RoundEvent::UpdateRefused { key, participant, refusal } => {
            format!("round {}: refused the update of {}: {refusal}", key.round, name(*participant))
        }
        RoundEvent::Extended { key, accepted, cohort } => {
            format!("round {}: the deadline passed with {accepted} of {cohort} in; it goes on", key.round)
        }
        RoundEvent::Closed { key, accepted, cohort } => {
            format!("round {}: closed with {accepted} of {cohort}", key.round)
        }
        RoundEvent::ModelSafe { key, voters, .. } => {
            format!("round {}: {voters} voters hold the new model", key.round)
        }
        RoundEvent::AttemptFailed { key, reason } => format!("round {}: attempt failed: {reason}", key.round),
        RoundEvent::ModelOpened { version, from, .. } => {
            format!("opened version {version} from {}", name(*from))
        }
        RoundEvent::ModelRefused { from, refusal } => {
            format!("refused a model from {}: {refusal}", name(*from))
        }
        RoundEvent::WorkFailed { what, reason } => format!("could not {what}: {reason}; it is done again"),
        _ => return None,
    })
}
