//! The node's part in rounds: what the round machines see, and what becomes of what they say.

use crate::io::{Boot, Output};
use crate::node::Node;
use crate::requests::{Duty, Proposer};
use crate::{Event, GivenUpLine, OpenLine, RestLine, RoundLine, RunLine};
use rafty_consensus as consensus;
use rafty_dictionary::{RoundRecord, RunState, RunStatus};
use rafty_rounds as rounds;
use rafty_rounds::{Arrival, EnvelopeHandle, ProposalId, Rounds, WorkId, WorkResult};
use rafty_types::{
    ControlCommand, Digest, EnvelopeHeader, Frame, MemberId, Rejection, Rest, RunId, StateMachine, Time,
};
use std::collections::VecDeque;
use std::time::Duration;

/// How many inputs the round machines may hand to themselves in one step: frames to oneself, lost proposals.
const MAX_TURNS: usize = 1_000;

/// The round machines and what the node keeps for them.
pub(crate) struct RoundDriver {
    /// Boxed, since it is out of the node while it looks at it.
    rounds: Option<Box<Rounds>>,
    /// Inputs that arose while the machines were at work.
    queue: VecDeque<rounds::Input>,
    turning: bool,
    ending_said: bool,
}

impl RoundDriver {
    pub(crate) fn new(boot: &Boot) -> Self {
        let boot =
            rounds::Boot { pending: boot.pending_update, held: boot.held.clone(), trains: boot.trains };
        Self {
            rounds: Some(Box::new(Rounds::new(boot))),
            queue: VecDeque::new(),
            turning: false,
            ending_said: false,
        }
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.rounds().deadline()
    }

    fn rounds(&self) -> &Rounds {
        self.rounds.as_deref().expect("the round machines are here but while they handle an input")
    }

    /// Whether nothing waits to be told to the machines.
    pub(crate) fn heard_all(&self) -> bool {
        self.queue.is_empty()
    }
}

impl<U: StateMachine> Node<U> {
    /// The replicated state was changed by an entry or a snapshot.
    pub(crate) fn state_applied(&mut self) {
        self.turn(rounds::Input::Applied);
    }

    pub(crate) fn tick_sides(&mut self) {
        if self.round_driver.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.turn(rounds::Input::Tick);
        }
    }

    pub(crate) fn work_done(&mut self, order: WorkId, result: WorkResult) {
        self.turn(rounds::Input::WorkDone { order, result });
    }

    pub(crate) fn envelope(&mut self, from: MemberId, header: EnvelopeHeader, handle: EnvelopeHandle) {
        let for_me = header.is_for(self.me);
        self.turn(rounds::Input::Envelope { from, label: header.label, for_me, handle });
    }

    /// Whether the body of an envelope with this head, which is for this member, would be looked at.
    pub fn would_take(&self, from: MemberId, header: &EnvelopeHeader) -> bool {
        self.with_view(|view, rounds| rounds.would_take(view, from, &header.label))
    }

    /// The newest run and the model that its updates are trained from now, if this member has it.
    pub fn base(&self) -> Option<(RunId, Digest)> {
        self.with_view(|view, rounds| rounds.base(view))
    }

    pub(crate) fn arrival(&mut self, from: MemberId, content: Digest, arrival: Arrival) {
        self.turn(rounds::Input::Arrival { from, content, arrival });
    }

    pub(crate) fn side_frame(&mut self, from: MemberId, frame: Frame) {
        self.turn(rounds::Input::Frame { from, frame });
    }

    pub(crate) fn round_proposal_lost(&mut self, id: u64) {
        self.duties.proposal_over(Proposer::Duty(Duty::Round(id)));
        self.turn(rounds::Input::ProposalLost { id: ProposalId(id) });
    }

    pub(crate) fn round_proposal_rejected(&mut self, id: u64, why: Rejection) {
        self.round_driver.queue.push_back(rounds::Input::ProposalRejected { id: ProposalId(id), why });
    }

    /// Whether no round is in progress on this side: a good moment to hand over.
    pub(crate) fn at_round_boundary(&self) -> bool {
        self.with_view(|view, rounds| rounds.at_boundary(view))
    }

    /// Where the aggregator side stands, for simulators.
    pub fn aggregator_phase(&self) -> rounds::AggregatorPhase {
        self.round_driver.rounds().aggregator_phase()
    }

    /// Who of the open round does not train now, by its own word.
    pub fn resting(&self) -> Vec<RestLine> {
        let wall_ms = self.wall_ms();
        let line = |(member, rest): (MemberId, Rest)| {
            let Rest { cause, reason, for_ms: left_ms } = rest;
            RestLine { member, cause, reason, left_ms, until_ms: wall_ms.saturating_add(left_ms) }
        };
        self.round_driver.rounds().resting(self.now).map(line).collect()
    }

    /// Who has missed too many rounds to be waited for.
    pub fn given_up(&self) -> Vec<GivenUpLine> {
        let line = |(member, missed_rounds)| GivenUpLine { member, missed_rounds };
        self.round_driver.rounds().given_up().map(line).collect()
    }

    /// What a round waits for, in words.
    pub(crate) fn round_waits_for(&self) -> String {
        self.with_view(|view, rounds| rounds.waiting_for(view, self.now))
    }

    /// Tells the round machines what happened, and whatever follows for themselves.
    fn turn(&mut self, input: rounds::Input) {
        self.say_when_ending();
        self.round_driver.queue.push_back(input);
        if self.round_driver.turning {
            return;
        }
        self.round_driver.turning = true;
        for _ in 0..MAX_TURNS {
            let Some(input) = self.round_driver.queue.pop_front() else { break };
            for output in self.rounds_handle(input) {
                self.rounds_said(output);
            }
        }
        self.round_driver.turning = false;
    }

    /// A tenure that has lasted its time opens no new round.
    fn say_when_ending(&mut self) {
        let over = self.is_leader() && self.tenure_is_over();
        if over && !self.round_driver.ending_said {
            self.round_driver.queue.push_back(rounds::Input::TenureEnding);
        }
        self.round_driver.ending_said = over;
    }

    fn rounds_said(&mut self, output: rounds::Output) {
        match output {
            rounds::Output::Propose { id, command } => {
                let publishes = matches!(*command, ControlCommand::RoundPublished(_));
                let waits = publishes && !self.duties.may_publish(id.0);
                if waits || !self.propose_duty(Duty::Round(id.0), *command) {
                    self.round_proposal_lost(id.0);
                }
            }
            rounds::Output::Work { id, work } => self.out.push(Output::Work { id, work }),
            rounds::Output::Broadcast { envelope } => {
                let to = self.state.control().members().keys().copied().collect();
                self.out.push(Output::SendEnvelope { to, handle: envelope });
            }
            rounds::Output::SendTo { member, envelope } => {
                self.out.push(Output::SendEnvelope { to: vec![member], handle: envelope });
            }
            rounds::Output::Frame { to, frame } => self.send_round_frame(to, frame),
            rounds::Output::DropEnvelope(handle) => self.out.push(Output::DropEnvelope(handle)),
            rounds::Output::WithdrawEnvelope(handle) => self.out.push(Output::WithdrawEnvelope(handle)),
            rounds::Output::Event(event) => self.out.push(Output::Event(Event::Round(event))),
        }
    }

    fn send_round_frame(&mut self, to: Option<MemberId>, frame: Frame) {
        let everyone = || self.state.control().members().keys().copied().collect();
        let receivers: Vec<MemberId> = to.map_or_else(everyone, |to| vec![to]);
        for to in receivers {
            if to == self.me {
                self.round_driver
                    .queue
                    .push_back(rounds::Input::Frame { from: self.me, frame: frame.clone() });
            } else if self.starts.lets_out_of_rounds(to, &frame) {
                self.out.push(Output::Send { to, frame: frame.clone() });
            }
        }
    }

    fn rounds_handle(&mut self, input: rounds::Input) -> Vec<rounds::Output> {
        // The view borrows the node and the machines change: they are out of the node while they look at it.
        let Some(mut machines) = self.round_driver.rounds.take() else { return Vec::new() };
        let outputs = machines.handle(self.now, &self.view(&self.seen()), input);
        self.round_driver.rounds = Some(machines);
        outputs
    }

    fn with_view<T>(&self, look: impl FnOnce(&rounds::View<'_>, &Rounds) -> T) -> T {
        let seen = self.seen();
        look(&self.view(&seen), self.round_driver.rounds())
    }

    /// What a view borrows and the state does not have in that shape.
    fn seen(&self) -> Seen<'_> {
        let control = self.state.control();
        let progress = self.consensus.progress();
        // Only a leader knows; for the others everybody is worth asking.
        let leads = self.is_leader();
        let known = |id| progress.iter().find(|progress| progress.member == id).filter(|_| leads);
        let silent = |progress: &consensus::Progress| match progress.heard || !self.is_known_silent(progress)
        {
            true => progress.silent,
            false => Duration::MAX,
        };
        let members = control.members().values().map(|member| rounds::MemberView {
            id: member.id,
            role: member.role,
            may_lead: member.may_lead,
            seat: member.seat,
            rsa_public: &member.rsa_public,
            alive: known(member.id).map_or(!leads, |progress| self.is_alive(progress)),
            silent: known(member.id).filter(|_| member.id != self.me).map(silent).unwrap_or_default(),
            runs_for: self.starts.runs_for(member.id, self.now).unwrap_or(Duration::MAX),
        });
        let run = self.shown_run();
        let last = run.and_then(|run| run.history.back());
        Seen {
            members: members.collect(),
            last_counted: last
                .map(|last| last.counted.iter().map(|(id, ..)| *id).collect())
                .unwrap_or_default(),
        }
    }

    fn view<'a>(&'a self, seen: &'a Seen<'a>) -> rounds::View<'a> {
        let control = self.state.control();
        let tenure = control.tenure().map(|tenure| rounds::TenureView {
            tenure: tenure.tenure,
            holder: tenure.member,
            rsa_public: &tenure.rsa_public,
            mine: tenure.member == self.me
                && self.is_leader()
                && tenure.term == self.consensus.term()
                && self.duties.used_key() == Some(tenure.key_id),
        });
        let run = self.shown_run().map(|run| rounds::RunView {
            id: run.id,
            spec: &run.spec,
            version: run.version,
            model: run.model,
            active: run.status == RunStatus::Active,
            last_round: run.round,
            open: run.open.as_ref().map(|open| rounds::OpenView {
                round: open.round,
                base: open.base,
                attempt: open.attempt,
                accepted: &open.accepted,
                collected_ms: open.collected_ms,
                failed: open.failed,
            }),
            last_counted: &seen.last_counted,
            arrivals: &run.arrivals,
        });
        rounds::View {
            set: control.set(),
            me: self.me,
            tenure,
            run,
            members: &seen.members,
            settings: self.settings(),
            slow_way: self.consensus.leader().is_some_and(|leader| self.consensus.is_slow(leader)),
        }
    }

    /// The active run, or else the one that ended last.
    fn shown_run(&self) -> Option<&RunState> {
        let control = self.state.control();
        control.active_run().or_else(|| control.runs().values().next_back())
    }

    pub(crate) fn run_line(&self) -> Option<RunLine> {
        let run = self.shown_run()?;
        let open = run.open.as_ref().map(|open| OpenLine {
            round: open.round,
            attempt: open.attempt,
            accepted: open.accepted.iter().map(|(id, update)| (*id, update.num_examples)).collect(),
        });
        Some(RunLine {
            run: run.id,
            name: run.spec.name.clone(),
            status: format!("{:?}", run.status).to_lowercase(),
            rounds: run.spec.rounds,
            version: run.version,
            model: run.model,
            open,
        })
    }

    /// The rounds of a run, oldest first.
    pub fn run_log(&self, run: RunId) -> Vec<RoundLine> {
        self.state
            .control()
            .runs()
            .get(&run)
            .map(|run| run.history.iter().map(round_line).collect())
            .unwrap_or_default()
    }

    pub(crate) fn last_round(&self, run: RunId) -> Option<RoundLine> {
        self.state.control().runs().get(&run)?.history.back().map(round_line)
    }
}

struct Seen<'a> {
    members: Vec<rounds::MemberView<'a>>,
    last_counted: Vec<MemberId>,
}

fn round_line(record: &RoundRecord) -> RoundLine {
    RoundLine {
        round: record.round,
        tenure: record.tenure,
        aggregator: record.aggregator,
        attempts: record.attempt,
        counted: record.counted.clone(),
        refused: record.refused.clone(),
        resting: record.resting.clone(),
        metrics: record.metrics,
        version: record.version,
        model: record.model,
        duration_ms: record.duration_ms,
    }
}
