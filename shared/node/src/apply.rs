//! From committed entries to the replicated state, the answers they owe, and what people hear of it.
//!
//! It compacts the log behind itself and decides when that is worth its cost.

use crate::frozen::{FrozenState, ReadState, UnreadState};
use crate::io::Output;
use crate::node::Node;
use crate::requests::{Answer, Duty, Proposer};
use crate::{Event, requests::RequestId};
use rafty_consensus as consensus;
use rafty_dictionary::{Applied, Event as Change, FEATURE_LEVEL, Outcome};
use rafty_types::{
    Command, ControlResult, Entry, ForwardOutcome, Frame, Index, MemberId, Message, Mutation, Payload,
    Proposal, Rejection, Snapshot, SnapshotMeta, StateMachine, Time, planted,
};
use std::sync::Arc;
use std::time::Duration;

/// What logging an entry costs beside its bytes: framing, its share of a sync, its copies on other members.
const ENTRY_COST: u64 = 512;
/// A snapshot may cost at most one part in so many of what was written since the last one.
const SNAPSHOT_SHARE: u64 = 10;
/// How long after a snapshot that failed the next one is tried.
const SNAPSHOT_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Decides when a snapshot is due.
pub(crate) struct Compactor {
    /// Cost of the entries applied since the last snapshot.
    cost: u64,
    entries: u64,
    /// Bytes of the last snapshot: what the next one will cost, about.
    snapshot_len: u64,
    /// What the snapshot stands for that a worker makes now.
    under_way: Option<SnapshotMeta>,
    /// `cost` and `entries` when it began.
    at_begin: (u64, u64),
    /// None begins before, since the last one failed.
    not_before: Time,
}

/// A snapshot from the leader that a worker reads now.
pub(crate) struct Arriving {
    from: MemberId,
    message: Box<Message>,
    data: Arc<[u8]>,
}

impl Compactor {
    pub(crate) fn new(snapshot_len: usize) -> Self {
        let snapshot_len = snapshot_len as u64;
        Self { cost: 0, entries: 0, snapshot_len, under_way: None, at_begin: (0, 0), not_before: Time::ZERO }
    }

    fn applied(&mut self, entry: &Entry) {
        self.entries += 1;
        self.cost += ENTRY_COST + entry.payload.len() as u64;
    }

    fn is_due(&self, compact_after: u64) -> bool {
        self.entries > compact_after && self.cost >= self.snapshot_len.saturating_mul(SNAPSHOT_SHARE)
    }

    /// A snapshot begins: what is applied from here on counts for the next one.
    fn begin(&mut self, meta: SnapshotMeta) {
        self.at_begin = (self.cost, self.entries);
        (self.cost, self.entries, self.under_way) = (0, 0, Some(meta));
    }

    /// The snapshot that was begun, when it is the one of this index.
    fn end(&mut self, index: Index, snapshot_len: usize) -> Option<SnapshotMeta> {
        let meta = self.under_way.take_if(|meta| meta.index == index)?;
        self.snapshot_len = snapshot_len as u64;
        Some(meta)
    }

    /// The snapshot of this index came to nothing: the next one counts what this one would have.
    fn failed(&mut self, now: Time, index: Index) {
        if self.under_way.take_if(|meta| meta.index == index).is_some() {
            self.cost += self.at_begin.0;
            self.entries += self.at_begin.1;
            self.not_before = now + SNAPSHOT_AGAIN_AFTER;
        }
    }

    /// Whether one may begin.
    fn may_begin(&self, now: Time) -> bool {
        self.under_way.is_none() && now >= self.not_before
    }

    /// The state is that of a leader's snapshot. One that is under way is out of date, and still under way.
    fn restored(&mut self, snapshot_len: usize) {
        *self = Self { under_way: self.under_way.take(), ..Self::new(snapshot_len) };
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
        self.judge_own_state();
        if self.starts.has_diverged() {
            return;
        }
        self.time_applied();
        self.answer_reads();
        self.state_applied();
        self.judge_own_record();
    }

    fn tell_watchers(&mut self, entry: &Entry, applied: &Applied) {
        if let (Payload::Command(proposal), Some(Outcome::User(..))) = (&entry.payload, &applied.outcome)
            && let Some(Proposal { command: Command::User(command), .. }) =
                Proposal::decode(proposal, FEATURE_LEVEL)
        {
            self.out.push(Output::UserApplied { index: entry.index, command });
        }
    }

    /// A snapshot has come whole. It is read first, on a worker thread; consensus hears of it when that worked.
    pub(crate) fn snapshot_arrived(&mut self, from: MemberId, message: Box<Message>, data: Arc<[u8]>) {
        if message.from != from {
            return self.dropped(from, "a snapshot in another member's name");
        }
        if self.arriving.is_some() {
            // The leader sends it again when this member is not level after a while.
            return self.dropped(from, "a snapshot, while another one is being read");
        }
        self.out.push(Output::ReadSnapshot(UnreadState::new(data.clone(), &self.state)));
        self.arriving = Some(Arriving { from, message, data });
    }

    /// The snapshot that came was read.
    pub(crate) fn snapshot_read(&mut self, state: ReadState) {
        let Some(Arriving { from, message, data }) = self.arriving.take() else { return };
        let stands_for = message.snapshot.as_ref().map(|meta| meta.index);
        match state.into_state() {
            Ok(state) if Some(state.applied()) == stands_for => {
                self.read = Some(state);
                self.step(consensus::Input::SnapshotArrived { message, data });
                // Consensus may have had no use for it.
                self.read = None;
            }
            _ => self.dropped(from, "a snapshot that is not what its message says"),
        }
    }

    /// Takes over a snapshot from the leader, which was read before consensus heard of it.
    pub(crate) fn restore(&mut self, snapshot: &Snapshot) {
        match self.read.take().filter(|state| state.applied() == snapshot.meta.index) {
            Some(state) => self.state.replace_by(state),
            None => return self.halt("consensus restores a snapshot that it was not given".into()),
        }
        self.compactor.restored(snapshot.data.len());
        self.digests.state_replaced();
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
        self.judge_own_record();
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
            Proposer::Duty(Duty::Incarnations) => self.starts.proposal_over(),
            Proposer::Duty(Duty::Digests) => self.digests.proposal_over(),
            Proposer::Duty(Duty::Seat) => self.duties.proposal_over(proposer),
            Proposer::Duty(Duty::Tenure) => {
                self.duties.proposal_over(proposer);
                if matches!(
                    outcome,
                    ForwardOutcome::Control(ControlResult::Rejected(Rejection::Duplicate), _)
                ) {
                    self.duties.discard_key();
                }
            }
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
                if member == self.me {
                    self.own_removal_applied();
                }
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
                self.rise_with_tenure();
                self.freeze_at_mark(at);
                let Some(tenure) = self.state.control().tenure() else { return };
                Event::TenureBegan { tenure: tenure.tenure, term: tenure.term, aggregator: tenure.member }
            }
            Change::SettingChanged { name, value } => {
                Event::SettingChanged { setting: name.into(), value: value.to_string() }
            }
            Change::RunSubmitted(run) => Event::RunStarted { run },
            Change::RunEnded(run) => Event::RunEnded { run },
            Change::RoundOpened { run, round } => Event::RoundOpened { run, round },
            Change::UpdateAccepted { run, round, attempt, participant, digest, num_examples } => {
                Event::UpdateAccepted { run, round, attempt, participant, digest, num_examples }
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

    /// Begins a snapshot when that is worth its cost, or when a newcomer that the last one does not know needs one.
    pub(crate) fn compact_if_due(&mut self) {
        let due = self.compactor.is_due(self.settings().compact_after) || self.consensus.snapshot_wanted();
        let newer = self.consensus.applied() > self.consensus.snapshot().index;
        if due && self.compactor.may_begin(self.now) && newer {
            self.compactor.begin(self.consensus.applied_meta());
            self.out.push(Output::TakeSnapshot(FrozenState::of(&self.state)));
        }
    }

    /// A worker has brought the state into bytes: the log before it can go, unless the leader's snapshot was faster.
    pub(crate) fn snapshot_taken(&mut self, index: Index, data: Arc<[u8]>) {
        let Some(meta) = self.compactor.end(index, data.len()) else { return };
        let meta = match planted(Mutation::SnapshotNamedWhenTaken) {
            true => self.consensus.applied_meta(),
            false => meta,
        };
        if meta.index > self.consensus.snapshot().index {
            self.step(consensus::Input::Compact { meta, data });
        }
    }

    /// A worker could not bring the state into bytes: the log stays as long as it is, and it is tried again later.
    pub(crate) fn snapshot_failed(&mut self, index: Index) {
        self.compactor.failed(self.now, index);
    }

    /// The replicated state as it is now, to be digested elsewhere.
    pub fn freeze(&self) -> FrozenState {
        FrozenState::of(&self.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rafty_types::Term;

    fn meta(index: u64) -> SnapshotMeta {
        SnapshotMeta { index: Index(index), term: Term(1), ..SnapshotMeta::default() }
    }

    #[test]
    fn a_snapshot_that_failed_is_tried_again_after_a_pause() {
        let mut compactor = Compactor::new(0);
        let payload = Payload::Command(vec![0; 100].into());
        let applied = |compactor: &mut Compactor, index| {
            compactor.applied(&Entry { index: Index(index), term: Term(1), payload: payload.clone() });
        };
        (1..=3).for_each(|index| applied(&mut compactor, index));
        let at = |seconds| Time::ZERO + Duration::from_secs(seconds);
        assert!(compactor.is_due(2) && compactor.may_begin(at(0)));
        compactor.begin(meta(3));
        applied(&mut compactor, 4);
        assert!(!compactor.may_begin(at(60)), "one is under way");
        compactor.failed(at(60), Index(2));
        assert!(!compactor.may_begin(at(60)), "that was another one");
        compactor.failed(at(60), Index(3));
        assert!(compactor.is_due(3), "all four entries count");
        assert!(!compactor.may_begin(at(69)) && compactor.may_begin(at(70)));
    }
}
