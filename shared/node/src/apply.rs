//! From committed entries to the replicated state, the answers they owe, and what people hear of it.
//!
//! It compacts the log behind itself and decides when that is worth its cost.

use crate::io::Output;
use crate::node::Node;
use crate::requests::{Answer, Duty, Proposer};
use crate::{Event, requests::RequestId};
use rafty_consensus as consensus;
use rafty_dictionary::{Applied, Event as Change, Outcome};
use rafty_types::{
    Command, ControlResult, Entry, ForwardOutcome, Frame, Index, MemberId, Mutation, Payload, Proposal,
    Snapshot, StateMachine, planted,
};

/// What logging an entry costs beside its bytes: framing, its share of a sync, its copies on other members.
const ENTRY_COST: u64 = 512;
/// A snapshot may cost at most one part in so many of what was written since the last one.
const SNAPSHOT_SHARE: u64 = 10;

/// Decides when a snapshot is due.
pub(crate) struct Compactor {
    /// Cost of the entries applied since the last snapshot.
    cost: u64,
    entries: u64,
    /// Bytes of the last snapshot: what the next one will cost, about.
    snapshot_len: u64,
}

impl Compactor {
    pub(crate) fn new(snapshot_len: usize) -> Self {
        Self { cost: 0, entries: 0, snapshot_len: snapshot_len as u64 }
    }

    fn applied(&mut self, entry: &Entry) {
        self.entries += 1;
        self.cost += ENTRY_COST + entry.payload.len() as u64;
    }

    fn is_due(&self, compact_after: u64) -> bool {
        self.entries > compact_after && self.cost >= self.snapshot_len.saturating_mul(SNAPSHOT_SHARE)
    }

    fn compacted(&mut self, snapshot_len: usize) {
        *self = Self::new(snapshot_len);
    }
}

impl<U: StateMachine> Node<U> {
    /// Applies what is committed.
    pub(crate) fn committed(&mut self, entries: &[Entry]) {
        for entry in entries {
            if self.halted {
                return;
            }
            let skips = planted(Mutation::ApplyDependsOnMember) && self.me.0 == 1 && entry.index.0 % 16 == 0;
            let nothing = Entry { payload: Payload::Empty, ..*entry };
            let applied = self.state.apply(if skips { &nothing } else { entry });
            self.compactor.applied(entry);
            self.resolve(entry, &applied);
            if self.watched {
                self.tell_watchers(entry, &applied);
            }
            for change in applied.events {
                self.changed(entry.index, change);
            }
        }
        self.time_applied();
        self.answer_reads();
        self.state_applied();
    }

    fn tell_watchers(&mut self, entry: &Entry, applied: &Applied) {
        if let (Payload::Command(proposal), Some(Outcome::User(..))) = (&entry.payload, &applied.outcome)
            && let Some(Proposal { command: Command::User(command), .. }) = Proposal::decode(proposal)
        {
            self.out.push(Output::UserApplied { index: entry.index, command });
        }
    }

    /// Takes over a snapshot from the leader.
    pub(crate) fn restore(&mut self, snapshot: &Snapshot) {
        if let Err(error) = self.state.restore(&snapshot.data) {
            return self.halt(format!("a snapshot from the leader is not usable: {error}"));
        }
        self.compactor.compacted(snapshot.data.len());
        if self.watched {
            self.out.push(Output::UserRestored);
        }
        for proposer in self.requests.jumped_to(snapshot.meta.index) {
            self.proposal_lost(proposer, &ForwardOutcome::Unknown);
        }
        self.time_applied();
        self.publish_roster();
        self.answer_reads();
        self.state_applied();
    }

    pub(crate) fn answer_reads(&mut self) {
        let applied = self.state.applied();
        for id in self.requests.readable(applied) {
            self.out.push(Output::Reply { id, answer: Answer::Readable(applied) });
        }
    }

    /// Gives whoever proposed this entry its answer.
    fn resolve(&mut self, entry: &Entry, applied: &Applied) {
        let Some((proposer, theirs)) = self.requests.applied(entry.index, entry.term) else { return };
        let answered = applied.outcome.clone().filter(|_| theirs).map(ForwardOutcome::from);
        let outcome = answered.unwrap_or(ForwardOutcome::Dropped);
        if outcome == ForwardOutcome::Dropped {
            return self.proposal_lost(proposer, &outcome);
        }
        match proposer {
            Proposer::Request(id) => self.answer(id, outcome),
            Proposer::Forward { from, request } => {
                let frame = Frame::Forwarded { request, outcome };
                self.out.push(Output::Send { to: from, frame });
            }
            Proposer::Duty(Duty::Round(id)) => {
                self.duties.proposal_over(proposer);
                if let ForwardOutcome::Control(ControlResult::Rejected(why), _) = outcome {
                    self.round_proposal_rejected(id, why);
                }
            }
            Proposer::Duty(Duty::Tenure | Duty::Seat) => self.duties.proposal_over(proposer),
        }
    }

    fn answer(&mut self, id: RequestId, outcome: ForwardOutcome) {
        let answer = match outcome {
            ForwardOutcome::Control(result, index) => Answer::Control(result, index),
            ForwardOutcome::User(result, index) => Answer::User(result, index),
            ForwardOutcome::NotLeader(_) | ForwardOutcome::Dropped | ForwardOutcome::Unknown => {
                Answer::Unknown
            }
        };
        self.answered(id, answer);
    }

    /// Tells people, and the machines that act on the roster or a tenure.
    fn changed(&mut self, at: Index, change: Change) {
        let event = match change {
            Change::RosterChanged => {
                self.publish_roster();
                let member = MemberId(at.0);
                if !self.state.control().members().contains_key(&member) {
                    return;
                }
                Event::Joined { member }
            }
            Change::Revoked(member, _) => {
                self.publish_roster();
                Event::Removed { member }
            }
            Change::Replaced { old: member, .. } => {
                self.publish_roster();
                if member == self.me {
                    self.halt("this member joined again under another id; its data is untouched".into());
                }
                Event::Removed { member }
            }
            Change::TenureBegan => {
                self.tenure_began();
                let Some(tenure) = self.state.control().tenure() else { return };
                Event::TenureBegan { tenure: tenure.tenure, term: tenure.term, aggregator: tenure.member }
            }
            Change::RunSubmitted(run) => Event::RunStarted { run },
            Change::RunEnded(run) => Event::RunEnded { run },
            Change::RoundOpened { run, round } => Event::RoundOpened { run, round },
            Change::UpdateAccepted { round, attempt, participant, digest, num_examples, .. } => {
                Event::UpdateAccepted { round, attempt, participant, digest, num_examples }
            }
            Change::RoundPublished { run, .. } => match self.last_round(run) {
                Some(round) => Event::RoundPublished { run, round: Box::new(round) },
                None => return,
            },
            Change::RoundFailed { round, reason, .. } => Event::RoundFailed { round, reason },
            Change::SeatsChanged | Change::RolledBack { .. } => return,
            Change::Halted { level } => {
                return self.halt(format!(
                    "the peer set uses feature level {level}, which this program does not know; update it"
                ));
            }
        };
        self.out.push(Output::Event(event));
    }

    /// Stops for good: nothing more comes out of this node.
    pub(crate) fn halt(&mut self, why: String) {
        self.halted = true;
        self.out.push(Output::Halt(why));
    }

    /// Compacts the log when that is worth its cost, or when a newcomer that the last snapshot does not know needs one.
    pub(crate) fn compact_if_due(&mut self) {
        let index = self.state.applied();
        let due = self.compactor.is_due(self.settings().compact_after) || self.consensus.snapshot_wanted();
        if due && index > self.consensus.snapshot().index {
            let data = self.state.snapshot();
            self.compactor.compacted(data.len());
            self.step(consensus::Input::Compact { index, data: data.into() });
        }
    }
}
