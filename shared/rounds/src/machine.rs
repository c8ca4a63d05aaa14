//! One member's whole part in federated rounds.
//!
//! Here inputs are handed to the machine they concern; none of it decides anything about rounds.

use crate::aggregator::{Aggregator, AggregatorPhase};
use crate::models::Models;
use crate::participant::{Participant, ParticipantPhase, PendingUpdate};
use crate::step::{Names, Step};
use crate::{Input, Output, View};
use rafty_types::{Digest, EnvelopeKind, MemberId, Rest, Time};

/// What a process starts with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Boot {
    /// The update whose round was not over when the process ended, if any.
    pub pending: Option<PendingUpdate>,
    /// The models on the disk, oldest first.
    pub held: Vec<Digest>,
    /// Whether this member trains at all. One that does not says that it has no data.
    pub trains: bool,
}

/// One member's whole part in federated rounds: aggregator side, participant side and models.
///
/// Give it every [`Input`] with the view as it stands, and do what it puts out, in order.
#[derive(Debug)]
pub struct Rounds {
    aggregator: Aggregator,
    participant: Participant,
    pub(crate) models: Models,
    names: Names,
    wake: Option<Time>,
}

impl Rounds {
    /// A member that has just started. Say [`Input::Applied`] to it next.
    pub fn new(boot: Boot) -> Self {
        Self {
            aggregator: Aggregator::default(),
            participant: Participant::new(boot.pending, boot.trains),
            models: Models::new(boot.held),
            names: Names::default(),
            wake: None,
        }
    }

    /// Takes one input and answers with what to do about it. Never fails: input that makes no sense is dropped.
    pub fn handle(&mut self, now: Time, view: &View<'_>, input: Input) -> Vec<Output> {
        let mut step = Step::new(now, view, &mut self.names);
        self.aggregator.follow(&mut step);
        match input {
            Input::Applied | Input::Tick => {}
            Input::TenureEnding => self.aggregator.tenure_ending(view),
            Input::ProposalLost { id } => self.aggregator.on_proposal_lost(&step, id),
            Input::ProposalRejected { id, why } => {
                self.aggregator.on_proposal_rejected(&mut step, id, &why);
            }
            Input::Frame { from, frame } => {
                self.aggregator.on_frame(&step, from, &frame);
                self.participant.on_frame(&mut step, from, &frame);
                self.models.on_frame(&mut step, from, &frame);
            }
            Input::Arrival { from, content, arrival } => {
                self.models.on_arrival(&step, from, content, arrival)
            }
            Input::Envelope { from, label, for_me, handle } => {
                self.aggregator.on_update_seen(view, from, &label);
                self.models.on_arrived(&step, from, label.content);
                match label.kind {
                    _ if !for_me => step.drop_envelope(handle),
                    EnvelopeKind::Update => self.aggregator.on_envelope(&mut step, from, label, handle),
                    EnvelopeKind::Publication | EnvelopeKind::Model => {
                        self.models.on_envelope(&mut step, from, label, handle);
                    }
                }
            }
            Input::WorkDone { order, result } => {
                let unclaimed = self
                    .aggregator
                    .on_done(&mut step, &mut self.models, order, result)
                    .and_then(|result| self.participant.on_done(&mut step, order, result))
                    .and_then(|result| self.models.on_done(&mut step, order, result));
                unclaimed.into_iter().for_each(|result| self.models.clear_away(&mut step, result));
            }
        }
        self.models.advance(&mut step);
        self.participant.advance(&mut step, &self.models);
        self.aggregator.advance(&mut step, &self.models);
        let (outputs, wake) = step.finish();
        self.wake = wake;
        outputs
    }

    /// When to say [`Input::Tick`], unless another input comes first. Always after the last `now`.
    pub fn deadline(&self) -> Option<Time> {
        self.wake
    }

    /// What this member waits for, in plain words.
    pub fn waiting_for(&self, view: &View<'_>, now: Time) -> String {
        let Some(run) = view.run else { return "no run was submitted yet".into() };
        if let Some(model) = self.models.waiting_for(view) {
            return model;
        }
        if !run.active {
            return format!("the run has ended with version {}", run.version);
        }
        let aggregator = self.aggregator.waiting_for(view, now);
        aggregator.unwrap_or_else(|| self.participant.waiting_for(view, now))
    }

    /// Whether this member, as aggregator, has no round under way: the moment to hand a tenure over.
    pub fn at_boundary(&self, view: &View<'_>) -> bool {
        self.aggregator.at_boundary(view)
    }

    /// Where the aggregator side stands.
    pub fn aggregator_phase(&self) -> AggregatorPhase {
        self.aggregator.phase()
    }

    /// Where the participant side stands.
    pub fn participant_phase(&self) -> ParticipantPhase {
        self.participant.phase()
    }

    /// Who is not waited for until an update of it comes, and how many rounds in a row it has missed: in each it said
    /// that it trains.
    pub fn given_up(&self) -> impl Iterator<Item = (MemberId, u32)> {
        self.aggregator.given_up()
    }

    /// Who rests in the open round, by its own word, and for how long from now on at most.
    pub fn resting(&self, now: Time) -> impl Iterator<Item = (MemberId, Rest)> {
        self.aggregator.resting(now)
    }

    /// Whether a model is on this member's disk.
    pub fn holds(&self, model: Digest) -> bool {
        self.models.holds(model)
    }
}

impl Default for Rounds {
    fn default() -> Self {
        Self::new(Boot::default())
    }
}
