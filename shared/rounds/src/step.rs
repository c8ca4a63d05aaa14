//! One call of a machine: what it sees, what it puts out, and when it wants to be called again.
//!
//! It decides nothing.

use crate::{EnvelopeHandle, Output, ProposalId, RoundEvent, View, Work, WorkId};
use rafty_types::{ControlCommand, Frame, MemberId, Mutation, Time, planted};
use std::time::Duration;

/// After how long a proposal is made again when nothing was heard of it.
const PROPOSE_AGAIN: Duration = Duration::from_secs(5);
/// After how long a lost proposal is made again: not at once, or a leader on its way out would spin.
const PROPOSE_PAUSE: Duration = Duration::from_millis(200);

/// The pause before try number `tries + 1`: doubles from `first`, at most `longest`.
pub(crate) fn back_off(first: Duration, longest: Duration, tries: u32) -> Duration {
    first.saturating_mul(1 << tries.min(16)).min(longest)
}

/// Counters of names given out in this process.
#[derive(Debug, Default)]
pub(crate) struct Names {
    work: u64,
    proposals: u64,
}

/// One call.
pub(crate) struct Step<'a> {
    pub(crate) now: Time,
    pub(crate) view: &'a View<'a>,
    names: &'a mut Names,
    outputs: Vec<Output>,
    wake: Option<Time>,
}

impl<'a> Step<'a> {
    pub(crate) fn new(now: Time, view: &'a View<'a>, names: &'a mut Names) -> Self {
        Self { now, view, names, outputs: Vec::new(), wake: None }
    }

    pub(crate) fn finish(self) -> (Vec<Output>, Option<Time>) {
        (self.outputs, self.wake)
    }

    /// Asks to be called again at `at`, unless something else comes first. A time that has come asks for nothing:
    /// whoever sets it must have acted on it.
    pub(crate) fn wake(&mut self, at: Time) {
        if at > self.now {
            self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
        }
    }

    pub(crate) fn emit(&mut self, output: Output) {
        self.outputs.push(output);
    }

    pub(crate) fn event(&mut self, event: RoundEvent) {
        self.emit(Output::Event(event));
    }

    pub(crate) fn drop_envelope(&mut self, handle: EnvelopeHandle) {
        if !planted(Mutation::EnvelopesKept) {
            self.emit(Output::DropEnvelope(handle));
        }
    }

    pub(crate) fn withdraw_envelope(&mut self, handle: EnvelopeHandle) {
        if !planted(Mutation::EnvelopesKept) {
            self.emit(Output::WithdrawEnvelope(handle));
        }
    }

    pub(crate) fn frame(&mut self, to: Option<MemberId>, frame: Frame) {
        self.emit(Output::Frame { to, frame });
    }

    pub(crate) fn work(&mut self, work: Work) -> WorkId {
        self.names.work += 1;
        let id = WorkId(self.names.work);
        self.emit(Output::Work { id, work: Box::new(work) });
        id
    }

    fn propose(&mut self, command: ControlCommand) -> ProposalId {
        self.names.proposals += 1;
        let id = ProposalId(self.names.proposals);
        self.emit(Output::Propose { id, command: Box::new(command) });
        id
    }
}

/// One command on its way into the log: proposed once, and again only when it was lost or nothing was heard of it.
#[derive(Debug, Default)]
pub(crate) struct Proposing {
    in_flight: Option<ProposalId>,
    again: Option<Time>,
}

impl Proposing {
    /// Proposes what `command` makes, unless it is on its way. To be called as long as its effect is not seen.
    pub(crate) fn propose(&mut self, step: &mut Step<'_>, command: impl FnOnce() -> ControlCommand) {
        if self.again.is_none_or(|again| again <= step.now) {
            self.in_flight = Some(step.propose(command()));
            self.again = Some(step.now + PROPOSE_AGAIN);
        }
        self.again.into_iter().for_each(|again| step.wake(again));
    }

    /// Whether it is on its way and nothing was heard of it.
    pub(crate) fn is_in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Whether `id` is this one.
    pub(crate) fn is(&self, id: ProposalId) -> bool {
        self.in_flight == Some(id)
    }

    /// It did not reach the log.
    pub(crate) fn lost(&mut self, now: Time) {
        *self = Self { in_flight: None, again: Some(now + PROPOSE_PAUSE) };
    }

    /// It does not count; proposing it again at once would not either.
    pub(crate) fn rejected(&mut self, now: Time) {
        *self = Self { in_flight: None, again: Some(now + PROPOSE_AGAIN) };
    }
}
