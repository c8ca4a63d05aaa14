//! What happened, one line each, to be read like prose.

use rafty_rounds::RoundEvent;
use rafty_types::{ControlCommand, MemberId, Verdict};

/// A command in the log.
pub(crate) fn command(command: &ControlCommand) -> String {
    match command {
        ControlCommand::TenureBegan { member, .. } => format!("tenure of {member}"),
        ControlCommand::RunSubmitted(_) => "run submitted".into(),
        ControlCommand::Revoke { member } => format!("{member} revoked"),
        ControlCommand::RoundOpened { round, base, .. } => {
            format!("round {round} opened from version {base}")
        }
        ControlCommand::UpdateAccepted { round, attempt, participant, .. } => {
            format!("round {round}.{attempt} accepts {participant}")
        }
        ControlCommand::RoundPublished(publication) => {
            let counted: Vec<_> = publication.counted.iter().map(|(id, _)| id.to_string()).collect();
            let refused: Vec<_> = publication.refused.iter().map(|(id, why)| format!("{id} {why}")).collect();
            let refused =
                if refused.is_empty() { String::new() } else { format!(", refused {}", refused.join(",")) };
            format!(
                "round {}.{} published as version {} of {}{refused}",
                publication.round,
                publication.attempt,
                publication.version,
                counted.join(",")
            )
        }
        ControlCommand::RoundFailed { round, attempt, reason, .. } => {
            format!("round {round}.{attempt} failed: {reason}")
        }
        ControlCommand::RolledBack { version, .. } => format!("rolled back to version {version}"),
        other => format!("{other:?}"),
    }
}

/// What a member tells; the more frequent and less telling events are left out.
pub(crate) fn event(me: MemberId, event: &RoundEvent) -> Option<String> {
    let line = match event {
        RoundEvent::TrainingStopped { round, .. } => format!("stops training round {round}"),
        RoundEvent::TrainingBegan { round, base, .. } => format!("trains round {round} from version {base}"),
        RoundEvent::NoData { .. } => "has no data".into(),
        RoundEvent::HeldUp { cause, .. } => format!("does not train: {cause}"),
        RoundEvent::UpdateStale { round, .. } => format!("drops its update of round {round}"),
        RoundEvent::UpdateSealed { key, to } => {
            format!("seals for {to}, round {}.{}", key.round, key.attempt)
        }
        RoundEvent::UpdateResent { tries, .. } => format!("sends again ({tries})"),
        RoundEvent::Judged { verdict: Verdict::Accepted, .. } => "is accepted".into(),
        RoundEvent::Judged { verdict: Verdict::Refused(why), .. } => format!("is refused: {why}"),
        RoundEvent::UpdateOpened { participant, .. } => format!("opens the update of {participant}"),
        RoundEvent::UpdateRefused { participant, refusal, .. } => {
            format!("refuses the update of {participant}: {refusal}")
        }
        RoundEvent::OutOfRound { participant, refusal, .. } => {
            format!("leaves {participant} out of the round: {refusal}")
        }
        RoundEvent::CannotSealTo { members, .. } => format!("cannot seal to {members:?}"),
        RoundEvent::Extended { accepted, cohort, .. } => format!("extends: {accepted} of {cohort}"),
        RoundEvent::Closed { accepted, cohort, .. } => format!("closes: {accepted} of {cohort}"),
        RoundEvent::ModelSealed { recipients, .. } => format!("seals the model for {recipients}"),
        RoundEvent::ModelSafe { voters, .. } => format!("knows the model safe with {voters} voters"),
        RoundEvent::AttemptFailed { reason, .. } => format!("gives up: {reason}"),
        RoundEvent::ModelOpened { version, from, .. } => format!("opens version {version} from {from}"),
        RoundEvent::ModelAsked { version, of, .. } => format!("asks {of} for version {version}"),
        RoundEvent::Adopted { version, .. } => format!("adopts version {version}"),
        RoundEvent::Dropped { from, why } => format!("drops an envelope of {from}: {why:?}"),
        RoundEvent::WorkFailed { what, .. } => format!("fails at {what}"),
        _ => return None,
    };
    Some(format!("{me}: {line}"))
}
