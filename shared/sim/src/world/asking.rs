//! What scripts see of the world and ask of its members.

use super::founding::control;
use super::{PendingReply, World, ms};
use crate::observer::{Observer, set_once};
use crate::tally::Sometimes;
use rafty_consensus::Role;
use rafty_node::{Answer, Input, Node, Request, RequestId};
use rafty_types::{
    Command, ControlCommand, ControlResult, Index, MemberId, MemberKind, Rejection, RunSpec, Strategy,
    Version,
};
use std::time::Duration;

impl World {
    /// A running member's node.
    ///
    /// # Panics
    /// When it does not run.
    pub fn node(&self, id: MemberId) -> &Node<Observer> {
        &self.members[&id].process.as_ref().expect("it runs").node
    }

    /// Whether a member runs.
    pub fn runs(&self, id: MemberId) -> bool {
        self.members.get(&id).is_some_and(|member| member.process.is_some())
    }

    /// Who runs.
    pub fn running(&self) -> Vec<MemberId> {
        let running = self.members.values().filter(|member| member.process.is_some());
        running.map(|member| member.id).collect()
    }

    /// The leader of the highest term.
    pub fn leader(&self) -> Option<MemberId> {
        let running = self.members.values().filter_map(|member| Some((member.id, member.process.as_ref()?)));
        let consensus = running.map(|(id, process)| (id, process.node.consensus()));
        let leaders = consensus.filter(|(_, consensus)| consensus.role() == Role::Leader);
        leaders.max_by_key(|(_, consensus)| consensus.term()).map(|(id, _)| id)
    }

    /// The leader, if its tenure is current.
    pub fn aggregator(&self) -> Option<MemberId> {
        let leader = self.leader()?;
        let node = self.node(leader);
        let tenure = node.state().control().tenure()?;
        (tenure.member == leader && tenure.term == node.consensus().term()).then_some(leader)
    }

    /// Where an operator works that would ask this member: there, or at some laptop that runs when it is a device.
    pub fn operator(&self, at: MemberId) -> Option<MemberId> {
        // Whoever was left behind by `recover` still takes itself for a member.
        let role = |id: MemberId| self.node(at).state().control().member(id).map(|member| member.role);
        if role(at) != Some(MemberKind::Agent) {
            return Some(at);
        }
        self.running().into_iter().find(|id| role(*id) == Some(MemberKind::Operator))
    }

    /// Looks whether a round waits for nobody but silent members.
    pub fn silent_ones_are_not_waited_for(&mut self) {
        let aggregator = self.aggregator();
        let Self { invariants, members, tally, now, .. } = self;
        if invariants.waiting.silent_ones_are_not_waited_for(*now, aggregator, members) {
            tally.saw(Sometimes::SilentLeftOut);
        }
    }

    /// Looks whether somebody rests whose disk has room again.
    pub fn rests_end_when_their_cause_has_gone(&mut self) {
        let Self { invariants, members, tally, now, .. } = self;
        if invariants.rests.end_when_their_cause_has_gone(*now, members) {
            tally.saw(Sometimes::RestEndedEarly);
        }
    }

    /// Whether all that run have the same state, and all of what is committed.
    pub fn agree(&self) -> bool {
        let Some(leader) = self.leader() else { return false };
        let commit = self.node(leader).consensus().last_index();
        self.running().into_iter().all(|id| self.node(id).state().applied() == commit)
    }

    /// Whether everybody that runs has this version on its disk as the current one.
    pub fn all_have(&self, version: u64) -> bool {
        self.running().into_iter().all(|id| {
            let run = self.node(id).state().control().runs().values().next_back();
            let current = self.members[&id].disk.shelf.current;
            run.is_some_and(|run| {
                run.version == Version(version) && current == run.model && current.is_some()
            })
        })
    }

    /// Asks a running member for something; the answer is found in `answers`.
    pub fn ask(&mut self, id: MemberId, request: Request, within: Duration) -> RequestId {
        self.ask_as(PendingReply::Script, id, request, within)
    }

    pub(super) fn ask_as(
        &mut self,
        pending: PendingReply,
        id: MemberId,
        request: Request,
        within: Duration,
    ) -> RequestId {
        let name = self.ask_name();
        self.ask_named(name, pending, id, request, within);
        name
    }

    pub(super) fn ask_name(&mut self) -> RequestId {
        self.counter += 1;
        RequestId(self.counter)
    }

    pub(super) fn ask_named(
        &mut self,
        name: RequestId,
        pending: PendingReply,
        id: MemberId,
        request: Request,
        within: Duration,
    ) {
        let until = self.members[&id].process.as_ref().expect("it runs").local(self.now) + within;
        self.invariants.clients.asked(name, &request);
        self.waiting.insert(name, ((id, self.members[&id].epoch), pending));
        self.say(id, Input::Request { id: name, request: Box::new(request), until });
    }

    /// A member answers.
    pub(super) fn answered(&mut self, id: MemberId, request: RequestId, answer: Answer) {
        let node = &self.members[&id].process.as_ref().expect("it runs").node;
        self.invariants.clients.answered(request, &answer, node);
        match self.waiting.remove(&request) {
            Some((_, PendingReply::Script)) => {
                self.answers.insert(request, answer);
            }
            Some((_, PendingReply::Client(client))) => self.client_answered(client, id, request, answer),
            Some((_, PendingReply::ReEnrols(who))) => self.re_enrolled(who, id, &answer),
            Some((_, PendingReply::Newcomer(number))) => self.newcomer_answered(number, &answer),
            None => panic!("one answer each: {request:?} was answered twice, or by another process"),
        }
    }

    /// A process ended: whoever waits for it will hear nothing.
    pub(super) fn requests_are_lost(&mut self, id: MemberId, epoch: u64) {
        let lost: Vec<_> = self.waiting.extract_if(.., |_, (at, _)| *at == (id, epoch)).collect();
        for (request, (_, pending)) in lost {
            match pending {
                PendingReply::Script => {}
                PendingReply::Client(client) => self.client_answered(client, id, request, Answer::Unknown),
                PendingReply::ReEnrols(who) => self.re_enrolled(who, id, &Answer::Unknown),
                PendingReply::Newcomer(number) => self.newcomer_answered(number, &Answer::Unknown),
            }
        }
    }

    /// Asks for a command of the control part.
    pub fn control(&mut self, at: MemberId, command: ControlCommand) -> RequestId {
        self.ask(at, control(command), ms(5_000))
    }

    /// Asks for a command and waits for the control part's answer.
    ///
    /// # Errors
    /// Why it was rejected.
    ///
    /// # Panics
    /// When there is no such answer in time.
    pub fn commit(&mut self, at: MemberId, command: ControlCommand) -> Result<Index, Rejection> {
        let request = self.control(at, command);
        self.run_until("an answer", ms(6_000), |world| world.answers.contains_key(&request));
        match &self.answers[&request] {
            Answer::Control(ControlResult::Done, index) => Ok(*index),
            Answer::Control(ControlResult::Rejected(why), _) => Err(why.clone()),
            other => panic!("no answer of the control part: {other:?}"),
        }
    }

    /// Writes a key of its own.
    pub fn write(&mut self, at: MemberId, within: Duration) -> RequestId {
        let command = Command::User(set_once(self.rng.roll()));
        self.ask(at, Request::Commit { client: None, session: None, command }, within)
    }

    /// Reads linearizably.
    pub fn read(&mut self, at: MemberId) -> RequestId {
        self.ask(at, Request::Read, ms(5_000))
    }

    /// Submits a run of so many rounds.
    pub fn submit(&mut self, at: MemberId, rounds: u32) -> RequestId {
        let spec = RunSpec {
            name: "digits".into(),
            task: "a task".into(),
            rounds,
            seed: 7,
            strategy: Strategy::FedAvg,
        };
        self.control(at, ControlCommand::RunSubmitted(spec))
    }

    /// Submits a run once a tenure is open.
    pub fn begin_run(&mut self, rounds: u32) {
        self.run_until("a tenure", ms(5_000), |world| world.aggregator().is_some());
        let at = self.aggregator().expect("just seen");
        let submitted = self.submit(at, rounds);
        self.run_until("a run", ms(3_000), |world| world.answers.contains_key(&submitted));
    }

    /// Everybody, in a line each.
    pub fn report(&self) -> String {
        let line = |id: MemberId| {
            let status = self.node(id).status(None);
            format!(
                "{id}: {} of term {}, leader {:?}, commit {}, applied {}, log to {}, tenure {:?}, waits for {}, run {:?}, membership {:?}",
                status.role,
                status.term,
                status.leader,
                status.commit,
                status.applied,
                self.node(id).consensus().last_index(),
                status.tenure,
                status.waiting_for,
                status.run,
                self.node(id).consensus().membership(),
            )
        };
        self.running().into_iter().map(line).collect::<Vec<_>>().join("\n")
    }
}
