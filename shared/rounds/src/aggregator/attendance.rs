//! Who takes part in the open round, as its members say, and who has said so in vain too often.
//!
//! Every member keeps this from what all of them hear and apply, so that the next aggregator knows it too. It is not
//! replicated: a process that was restarted begins anew and learns it again.

use crate::View;
use rafty_types::{MemberId, Progress, Rest, Round, RunId, Time};
use std::collections::BTreeMap;
use std::time::Duration;

/// One that missed so many rounds in a row is not waited for until an update of it comes.
pub(super) const GIVEN_UP_AFTER: u32 = 3;

/// What is known of the members' part in rounds.
#[derive(Debug, Default)]
pub(super) struct Attendance {
    round: Option<(RunId, Round)>,
    /// What members said of it.
    heard: BTreeMap<MemberId, Heard>,
    /// What members said of a round that is not the open one here: they may have applied its opening first.
    ahead: BTreeMap<MemberId, (RunId, Round, Heard)>,
    /// How many published rounds in a row a member said that it trains and was not counted.
    missed: BTreeMap<MemberId, u32>,
}

/// What a member said, and when that came in.
#[derive(Debug)]
struct Heard {
    progress: Progress,
    at: Time,
}

impl Attendance {
    /// Follows the view into another round.
    pub(super) fn follow(&mut self, view: &View<'_>) {
        let round = view.open().map(|(run, open)| (run.id, open.round));
        if self.round == round {
            return;
        }
        self.settle(view);
        let ahead = std::mem::take(&mut self.ahead).into_iter();
        let of_it = ahead.filter(|(_, (run, number, _))| round == Some((*run, *number)));
        self.heard = of_it.map(|(member, (.., heard))| (member, heard)).collect();
        self.round = round;
    }

    /// Counts who missed the round that is over, if it was the last one published.
    fn settle(&mut self, view: &View<'_>) {
        self.missed.retain(|member, _| view.member(*member).is_some());
        let Some(run) = view.run.filter(|run| self.round == Some((run.id, run.last_round))) else { return };
        for (member, heard) in &self.heard {
            let took_part = matches!(heard.progress, Progress::Training(_) | Progress::Sending);
            if took_part && !run.last_counted.contains(member) && view.member(*member).is_some() {
                let missed = self.missed.entry(*member).or_default();
                *missed = missed.saturating_add(1);
            }
        }
        run.last_counted.iter().for_each(|member| self.sent(*member));
    }

    pub(super) fn on_progress(
        &mut self,
        now: Time,
        from: MemberId,
        run: RunId,
        round: Round,
        progress: Progress,
    ) {
        let progress = match progress {
            Progress::Resting(rest) => Progress::Resting(rest.bounded()),
            other => other,
        };
        let heard = Heard { progress, at: now };
        if self.round == Some((run, round)) {
            self.heard.insert(from, heard);
        } else {
            self.ahead.insert(from, (run, round, heard));
        }
    }

    /// Who rests in the open round, by its own word, and for how long from now on.
    pub(super) fn resting(&self, now: Time) -> impl Iterator<Item = (MemberId, Rest)> {
        self.heard.iter().filter_map(move |(member, heard)| match &heard.progress {
            Progress::Resting(rest) => {
                let until = heard.at + Duration::from_millis(rest.for_ms);
                Some((*member, Rest::new(rest.cause, &rest.reason, until.saturating_since(now))))
            }
            _ => None,
        })
    }

    /// An update of a member came, late or not.
    pub(super) fn sent(&mut self, member: MemberId) {
        self.missed.remove(&member);
    }

    /// The last word of a member on the open round.
    pub(super) fn heard(&self, member: MemberId) -> Option<&Progress> {
        self.heard.get(&member).map(|heard| &heard.progress)
    }

    /// Who is not waited for, and how many rounds in a row each has missed.
    pub(super) fn given_up(&self) -> impl Iterator<Item = (MemberId, u32)> {
        let missed = self.missed.iter().map(|(member, missed)| (*member, *missed));
        missed.filter(|(_, missed)| *missed >= GIVEN_UP_AFTER)
    }

    /// Whether a member has missed too many rounds to be waited for.
    pub(super) fn is_given_up(&self, member: MemberId) -> bool {
        self.missed.get(&member).is_some_and(|missed| *missed >= GIVEN_UP_AFTER)
    }
}
