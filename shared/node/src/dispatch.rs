//! From a request to a proposal: here, at the leader that it is forwarded to, or nowhere, because another member leads.
//!
//! It keeps no state of its own: who waits for what is in `requests`, what an entry answers in `apply`.

use crate::io::{Output, Request};
use crate::node::Node;
use crate::requests::{Answer, Asked, Dispatch, Duty, Proposer, RequestId, Where};
use rafty_consensus as consensus;
use rafty_dictionary::{Control, is_issued, leader_only};
use rafty_types::{
    Command, ControlCommand, ControlResult, ForwardOutcome, Frame, Index, MAX_PROPOSAL_LEN, MemberId,
    MemberKind, Mutation, Proposal, Rejection, Serial, SessionId, StateMachine, Time, planted,
};
use std::sync::Arc;

/// What a proposal has beside a user command's bytes, at most.
const PROPOSAL_FRAME: usize = 96;

impl<U: StateMachine> Node<U> {
    /// Takes a request in.
    pub(crate) fn request(&mut self, id: RequestId, request: Request, until: Time) {
        if let Request::Commit { command, .. } | Request::CommitHere { command, .. } = &request
            && let Some(why) = never_counts(command)
        {
            return self.reply(id, self.rejected(why));
        }
        let taken = match request {
            Request::Commit { client, session, command } => {
                let asked = Asked { client, issue: None, command };
                self.requests.want(id, asked, session, Where::Anywhere, until)
            }
            Request::CommitHere { client, session, command } => {
                let asked = Asked { client, issue: None, command };
                self.requests.want(id, asked, session, Where::Here, until)
            }
            Request::Read => {
                let taken = self.requests.read(id, until);
                if taken {
                    self.step(consensus::Input::Read { request: id.0 });
                }
                taken
            }
        };
        if !taken {
            self.reply(id, Answer::Busy);
        }
    }

    /// Sends what can be sent, and answers what waited in vain.
    pub(crate) fn serve_requests(&mut self) {
        self.requests.resume(self.now);
        for id in self.requests.reads_again(self.now) {
            self.step(consensus::Input::Read { request: id.0 });
        }
        for dispatch in self.requests.sendable(self.now, self.me, self.consensus.leader()) {
            // What was turned down must not be overtaken by what comes after it.
            if self.requests.is_paused(self.now) {
                break;
            }
            match dispatch {
                Dispatch::Propose(id) => self.propose_request(id),
                Dispatch::Forward(leader, id) => self.forward_request(leader, id),
                Dispatch::Redirect(leader, id) => self.end_request(id, Answer::Redirect(leader)),
            }
        }
        if self.requests.held().next().is_some() {
            let (applied, changing) = (self.state.applied(), self.membership_is_changing());
            self.answer_held(|command, at| at <= applied && (!changing || !changes_membership(command)));
        }
        for (id, answer) in self.requests.expired(self.now, self.state.applied()) {
            self.reply(id, answer);
        }
    }

    fn propose_request(&mut self, id: RequestId) {
        let Some(wanted) = self.requests.wanted(id) else { return };
        let (session, command, place) = (wanted.session, wanted.command.clone(), wanted.place);
        // Also where a device leads, and would be believed.
        let seats = matches!(command, Command::Control(ControlCommand::SeatChanged { .. }));
        if seats && !self.is_operators_seat_change(self.me, &command) {
            return self.end_request(id, self.rejected(Rejection::NotAllowed));
        }
        if let Some(refused) = (place == Where::Here).then(|| self.refused_change(&command)).flatten() {
            return self.end_request(id, refused);
        }
        if self.hands_over_first(&command) {
            return;
        }
        self.requests.sent(id, None);
        let early = planted(Mutation::AnsweredBeforeCommit) && matches!(command, Command::User(_));
        let asked = self.asked(id, command);
        if !self.propose(Proposer::Request(id), self.me, session, asked) {
            self.requests.not_proposed(id, self.pause_until());
        } else if early {
            self.end_request(id, Answer::User(vec![0], self.consensus.last_index().next()));
        }
    }

    /// Why a client's change of membership is not made now.
    fn refused_change(&self, command: &Command) -> Option<Answer> {
        if !changes_membership(command) {
            return None;
        }
        if self.membership_is_changing() || self.requests.proposes(changes_membership) {
            return Some(Answer::ChangePending);
        }
        if let Command::Control(ControlCommand::Revoke { member }) = command {
            let control = self.state.control();
            let rest = control.voters_without(*member, self.consensus.term());
            let changed = rest.filter(|rest| *rest != control.desired_voters());
            let too_few = changed.is_some_and(|rest| !self.can_go_on(&rest));
            let why = "too few of those that would vote then answer: start them, or remove whoever is gone for good first";
            return too_few.then(|| self.rejected(Rejection::Invalid(why.into())));
        }
        let given = match command {
            Command::Control(ControlCommand::SeatChanged { give, .. }) => &give[..],
            _ => &[],
        };
        let progress = self.consensus.progress();
        let fit = |id| {
            let progress = progress.iter().find(|progress| progress.member == id);
            progress.is_some_and(|progress| self.is_caught_up(progress) && self.answers(progress))
        };
        let why = "the member cannot vote yet: it is silent or does not have the log; start it and try again";
        given.iter().any(|id| !fit(*id)).then(|| self.rejected(Rejection::Invalid(why.into())))
    }

    /// Whether the engine's membership is on its way to what the roster wants.
    fn membership_is_changing(&self) -> bool {
        let control = self.state.control();
        let (voters, learners) = (control.desired_voters(), control.desired_learners());
        self.consensus.has_pending_membership()
            || consensus::next_change(&voters, &learners, self.consensus.membership(), self.me).is_some()
    }

    /// A leader that is to be removed hands over first: its successor can finish the change and tell whoever asked.
    /// `false` when the command is another one, or nobody can take over.
    fn hands_over_first(&mut self, command: &Command) -> bool {
        if *command != Command::Control(ControlCommand::Revoke { member: self.me }) {
            return false;
        }
        let candidates = self.candidates();
        let fit = candidates.iter().filter(|one| one.may_lead && one.caught_up && one.alive);
        let Some(successor) = fit.min_by_key(|one| (one.tenures, one.member)) else { return false };
        if !self.consensus.is_transferring() && !self.consensus.has_pending_membership() {
            self.step(consensus::Input::Transfer { to: successor.member });
        }
        true
    }

    fn forward_request(&mut self, leader: MemberId, id: RequestId) {
        let Some(wanted) = self.requests.wanted(id) else { return };
        let issued = matches!(&wanted.command, Command::Control(command) if is_issued(command));
        if issued && !self.state.control().initialised() {
            // A newcomer signs when it knows the peer set and its time.
            return;
        }
        let (session, command) = (wanted.session, wanted.command.clone());
        let request = id.0;
        let frame = match self.asked(id, command) {
            Asked { issue: Some(issue), command: Command::Control(command), .. } => {
                let (issue, command) = (Box::new(issue), Box::new(command));
                Frame::ForwardIssued { request, session, issue, command }
            }
            Asked { client: Some(client), command, .. } => {
                Frame::ForwardForClient { request, client, session, command: Box::new(command) }
            }
            Asked { command, .. } => Frame::Forward { request, session, command: Box::new(command) },
        };
        self.requests.sent(id, Some(leader));
        self.out.push(Output::Send { to: leader, frame });
    }

    /// What a request asks for, with this member's word where it takes one: the same one whenever it is sent again.
    fn asked(&mut self, id: RequestId, command: Command) -> Asked {
        let wanted = self.requests.wanted(id);
        let client = wanted.and_then(|wanted| wanted.client);
        let issued = wanted.and_then(|wanted| wanted.issue.clone());
        let issue = issued.or_else(|| match &command {
            Command::Control(command) if is_issued(command) => Some(self.issue(command)),
            _ => None,
        });
        self.requests.issued(id, issue.clone());
        Asked { client, issue, command }
    }

    /// Another member wants this one, as leader, to propose something.
    pub(crate) fn forwarded_to_me(
        &mut self,
        from: MemberId,
        request: u64,
        session: Option<(SessionId, Serial)>,
        asked: Asked,
    ) {
        let command = &asked.command;
        let leaders_own = matches!(command, Command::Control(command) if leader_only(command))
            && !planted(Mutation::DutiesForwarded);
        let outcome = if self.is_leader() && self.is_operators_seat_change(from, command) {
            // Seats are the leader's to deal out: it proposes the change in its own name, judged as one of its own clients'.
            match self.refused_change(command) {
                None if self.propose(Proposer::Forward { from, request }, self.me, session, asked) => {
                    return;
                }
                Some(Answer::Control(refused, at)) => ForwardOutcome::Control(refused, at),
                _ => ForwardOutcome::Dropped,
            }
        } else if leaders_own && self.is_leader() {
            // Before a tenure begins the state cannot tell who leads: what only a leader may say is never forwarded.
            ForwardOutcome::Control(ControlResult::Rejected(Rejection::NotAllowed), self.state.applied())
        } else if !self.is_leader() {
            ForwardOutcome::NotLeader(self.consensus.leader())
        } else if let Some(why) = never_counts(command) {
            ForwardOutcome::Control(ControlResult::Rejected(why), self.state.applied())
        } else if self.is_allowed(&asked) && self.hands_over_first(command) {
            ForwardOutcome::Dropped
        } else if self.propose(Proposer::Forward { from, request }, from, session, asked) {
            return;
        } else {
            ForwardOutcome::Dropped
        };
        self.out.push(Output::Send { to: from, frame: Frame::Forwarded { request, outcome } });
    }

    /// Whether what was forwarded will count, as far as this member can tell: it may be behind.
    fn is_allowed(&self, asked: &Asked) -> bool {
        let (Some(issue), Command::Control(command)) = (&asked.issue, &asked.command) else {
            return planted(Mutation::ActsBeforePermission);
        };
        self.state.control().is_allowed(issue, command)
    }

    /// Whether it is a laptop that says who shall vote, which its operator asked for.
    fn is_operators_seat_change(&self, from: MemberId, command: &Command) -> bool {
        self.is_laptop(from) && matches!(command, Command::Control(ControlCommand::SeatChanged { .. }))
    }

    /// Whether a member is one where operators work.
    pub fn is_laptop(&self, id: MemberId) -> bool {
        let mut known = self.known_firsthand();
        known.any(|member| member.id == id && member.role == MemberKind::Operator)
    }

    /// What a leader made of a command that was forwarded to it.
    pub(crate) fn forward_answered(&mut self, from: MemberId, request: u64, outcome: ForwardOutcome) {
        let id = RequestId(request);
        if let Some(answer) = self.requests.forwarded(from, id, outcome, self.pause_until()) {
            self.answered(id, answer);
        }
    }

    /// A command was answered. That membership changes is told when the engine has followed: until then a voter that
    /// was sent away may still be needed. A newcomer is answered when this member knows it: it is told who the others
    /// are, and a leader may be ahead.
    pub(crate) fn answered(&mut self, id: RequestId, answer: Answer) {
        let tried = self.requests.was_tried(id);
        if is_to_be_issued_anew(&answer, tried) && self.requests.issue_anew(id, self.pause_until()) {
            return;
        }
        let hidden = tried && hides_an_earlier_try(&answer);
        let answer = if hidden { Answer::Unknown } else { answer };
        let knows_later = |command: &Command| admits(command) && !planted(Mutation::NewcomerAnsweredTooSoon);
        let waits = |command: &Command| changes_membership(command) || knows_later(command);
        let held = self.requests.wanted(id).is_some_and(|wanted| waits(&wanted.command));
        match answer {
            Answer::Control(ControlResult::Done, _) if held => self.requests.hold(id, answer),
            answer => self.end_request(id, answer),
        }
    }

    /// Gives the answers that were held back for long enough, judged by the command and the index it is committed at.
    pub(crate) fn answer_held(&mut self, enough: impl Fn(&Command, Index) -> bool) {
        let over = |(id, answer): &(RequestId, &Answer)| match (self.requests.wanted(*id), answer) {
            (Some(wanted), Answer::Control(_, at)) => enough(&wanted.command, *at),
            _ => false,
        };
        let held = self.requests.held().filter(over);
        let over: Vec<_> = held.map(|(id, answer)| (id, answer.clone())).collect();
        over.into_iter().for_each(|(id, answer)| self.end_request(id, answer));
    }

    /// Proposes a command in the name of `origin`. `false` when too many proposals are under way.
    pub(crate) fn propose(
        &mut self,
        proposer: Proposer,
        origin: MemberId,
        session: Option<(SessionId, Serial)>,
        Asked { client, issue, command }: Asked,
    ) -> bool {
        let Some(ticket) = self.requests.ticket(proposer) else { return false };
        let term = self.consensus.term();
        let proposal = Proposal { origin, term, stamp: self.stamp(), session, client, issue, command };
        let data: Arc<[u8]> = proposal.encode().into();
        self.proposals.push(consensus::Proposal { request: ticket, data });
        true
    }

    /// Proposes what this member owes the peer set as leader. `false` when too many proposals are under way.
    pub(crate) fn propose_duty(&mut self, duty: Duty, command: ControlCommand) -> bool {
        let issue = is_issued(&command).then(|| self.issue(&command));
        let asked = Asked { client: None, issue, command: Command::Control(command) };
        self.propose(Proposer::Duty(duty), self.me, None, asked)
    }

    /// Hands on what was proposed: all together, so that it travels and is synced together.
    pub(crate) fn flush_proposals(&mut self) {
        if !self.proposals.is_empty() {
            let proposals = std::mem::take(&mut self.proposals);
            self.step(consensus::Input::Propose(proposals));
        }
    }

    /// How long what was turned down waits: about as long as a new leader takes to say so.
    pub(crate) fn pause_until(&self) -> Time {
        self.now + self.settings().heartbeat
    }

    /// Ends a command's request, unless that was over already.
    pub(crate) fn end_request(&mut self, id: RequestId, answer: Answer) {
        if self.requests.finish(id) || planted(Mutation::AnsweredTwice) {
            self.reply(id, answer);
        }
    }

    pub(crate) fn reply(&mut self, id: RequestId, answer: Answer) {
        self.out.push(Output::Reply { id, answer });
    }

    fn rejected(&self, why: Rejection) -> Answer {
        Answer::Control(ControlResult::Rejected(why), self.state.applied())
    }
}

/// Whether an answer says nothing about what an earlier try of the same command did: its proposer was sent away in
/// between, or its session ended or forgot.
fn hides_an_earlier_try(answer: &Answer) -> bool {
    use Rejection::{ForgottenSerial, NotAllowed, UnknownSession};
    let Answer::Control(ControlResult::Rejected(why), _) = answer else { return false };
    matches!(why, NotAllowed | UnknownSession | ForgottenSerial)
}

/// Whether a command was not applied because of how it was issued. Of a number that is forgotten, only the first try tells.
fn is_to_be_issued_anew(answer: &Answer, tried: bool) -> bool {
    let Answer::Control(ControlResult::Rejected(why), _) = answer else { return false };
    match why {
        Rejection::TooLate | Rejection::SerialTaken => true,
        Rejection::ForgottenSerial => !tried,
        _ => false,
    }
}

/// Whether a command lets somebody in.
fn admits(command: &Command) -> bool {
    matches!(command, Command::Control(ControlCommand::Enrol(_)))
}

/// Whether the engine has to follow a command.
fn changes_membership(command: &Command) -> bool {
    use ControlCommand::{Revoke, SeatChanged};
    matches!(command, Command::Control(Revoke { .. } | SeatChanged { .. }))
}

/// Why a command counts in no state of a peer set: whoever asks for it is told, and no entry is spent on it.
fn never_counts(command: &Command) -> Option<Rejection> {
    match command {
        Command::User(bytes) if bytes.len() > MAX_PROPOSAL_LEN - PROPOSAL_FRAME => {
            Some(Rejection::Invalid(format!("the command has more than {MAX_PROPOSAL_LEN} bytes")))
        }
        Command::User(_) => None,
        Command::Control(command) => Control::check_keys(command).err(),
    }
}
