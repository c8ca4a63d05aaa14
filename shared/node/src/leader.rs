//! What a leader owes the peer set: a tenure, hand-overs, and the membership that the roster wants.

use crate::Event;
use crate::io::{Output, TenureKey};
use crate::node::{Node, RECONCILE_EVERY};
use crate::requests::{Duty, Proposer};
use rafty_consensus as consensus;
use rafty_consensus::{
    Candidate, CurrentTenure, Leading, Progress, Seat, SeatView, TenureAction, TenureKeeper, TenureView,
    Travel, next_change, next_seat, voters_after,
};
use rafty_types::{ControlCommand, Digest, Frame, MemberId, Mutation, StateMachine, Time, planted};
use std::collections::BTreeSet;
use std::time::Duration;

/// A voter counts as silent after this many longest election timeouts in which it was not heard.
const SILENT_AFTER_TIMEOUTS: u32 = 2;

/// State of a leader's duties. Most of it means something only while this member leads.
#[derive(Default)]
pub(crate) struct Duties {
    keeper: TenureKeeper,
    key: Option<TenureKey>,
    /// The key of the tenure that this process began last.
    used_key: Option<Digest>,
    key_asked: bool,
    tenure_proposed: bool,
    seat_proposed: bool,
    /// The round machines' number of a publication on its way into the log.
    publishing: Option<u64>,
    retiring: bool,
    next_reconcile: Option<Time>,
}

impl Duties {
    pub(crate) fn key(&self) -> Option<&TenureKey> {
        self.key.as_ref()
    }

    pub(crate) fn used_key(&self) -> Option<Digest> {
        self.used_key
    }

    pub(crate) fn key_made(&mut self, key: TenureKey) {
        self.key_asked = false;
        self.key = Some(key);
    }

    /// A tenure with this key has begun before, which a snapshot may have skipped: another one is made.
    pub(crate) fn discard_key(&mut self) {
        self.key = None;
    }

    /// Whether it leads no more than it must from now on.
    pub(crate) fn retire(&mut self, retiring: bool) {
        self.retiring = retiring;
    }

    /// What was proposed in an older term is not waited for: when its index is reached in this one is anybody's guess.
    pub(crate) fn term_changed(&mut self) {
        self.tenure_proposed = false;
        self.seat_proposed = false;
        self.publishing = None;
    }

    /// A publication counts on a majority of the seats that holds the model, so seats stay as they are until it is
    /// committed; and it waits for seats that are changing. `false` when it must.
    pub(crate) fn may_publish(&mut self, id: u64) -> bool {
        let may = !self.seat_proposed;
        self.publishing = self.publishing.or(may.then_some(id));
        may
    }

    pub(crate) fn proposal_over(&mut self, proposer: Proposer) {
        match proposer {
            Proposer::Duty(Duty::Tenure) => self.tenure_proposed = false,
            Proposer::Duty(Duty::Seat) => self.seat_proposed = false,
            Proposer::Duty(Duty::Round(id)) => {
                self.publishing.take_if(|publishing| *publishing == id);
            }
            Proposer::Duty(Duty::Incarnations | Duty::Digests)
            | Proposer::Request(_)
            | Proposer::Forward { .. } => {}
        }
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        [self.keeper.deadline(), self.next_reconcile].into_iter().flatten().min()
    }
}

impl<U: StateMachine> Node<U> {
    /// Does what is due, if this member leads.
    pub(crate) fn perform_duties(&mut self) {
        self.ask_for_key();
        if !self.is_leader() {
            self.duties.next_reconcile = None;
        } else if self.duties.next_reconcile.is_none_or(|at| at <= self.now) {
            self.duties.next_reconcile = Some(self.now + RECONCILE_EVERY);
            self.reconcile();
        }
        self.keep_tenure();
        // No tenure is open meanwhile, so the travelling seat goes at once.
        if self.is_leader() && self.duties.keeper.passing(self.now).is_some() {
            self.reconcile();
        }
    }

    /// A key is made ahead, so that a tenure can begin at once.
    fn ask_for_key(&mut self) {
        if self.duties.key.is_some() || self.duties.key_asked {
            return;
        }
        let control = self.state.control();
        if control.member(self.me).is_some_and(|me| me.may_lead) {
            self.duties.key_asked = true;
            self.out.push(Output::MakeTenureKey);
        }
    }

    /// The current tenure's key is used up: the next one is made now. Other keys' private halves can go.
    pub(crate) fn tenure_began(&mut self) {
        let Some(tenure) = self.state.control().tenure() else { return };
        let (mine, used) = (tenure.member == self.me, tenure.key_id);
        if self.duties.key.as_ref().is_some_and(|key| key.id() == used) {
            self.duties.key = None;
            self.duties.used_key = Some(used);
        }
        if !planted(Mutation::TenureKeysKept) {
            self.out.push(Output::ForgetTenureKeys { except: mine.then_some(used) });
        }
    }

    fn keep_tenure(&mut self) {
        if !self.is_leader() {
            return self.duties.keeper.follow(self.consensus.term());
        }
        let view = self.tenure_view();
        let Some(action) = self.duties.keeper.step(self.now, &view) else { return };
        match action {
            TenureAction::Begin => self.begin_tenure(),
            TenureAction::HandOver { to } => {
                self.out.push(Output::Event(Event::HandingOver { to }));
                self.step(consensus::Input::Transfer { to });
            }
            TenureAction::AbortTransfer => self.step(consensus::Input::AbortTransfer),
            TenureAction::StepDown => self.step(consensus::Input::StepDown),
        }
    }

    /// Whether this member's tenure has lasted its time: no new round is opened.
    pub(crate) fn tenure_is_over(&self) -> bool {
        self.duties.retiring || self.tenure_left().is_some_and(|left| left.is_zero())
    }

    /// How long this member's tenure still lasts.
    pub(crate) fn tenure_left(&self) -> Option<Duration> {
        let current = self.state.control().tenure()?.tenure;
        self.duties.keeper.tenure_left(self.now, current)
    }

    fn begin_tenure(&mut self) {
        let Some(key) = self.duties.key.clone() else { return };
        if self.duties.tenure_proposed {
            return;
        }
        let command = ControlCommand::TenureBegan { member: self.me, rsa_public: key.rsa_public };
        // Before the tenure, which may open another mark.
        self.record_digests(false);
        self.duties.tenure_proposed = self.propose_duty(Duty::Tenure, command);
        self.record_incarnations(true);
    }

    fn tenure_view(&self) -> TenureView {
        let control = self.state.control();
        let may_lead = control.member(self.me).is_some_and(|me| me.may_lead) && !self.duties.retiring;
        // Whether a round is under way matters only to a tenure that has lasted its time.
        let overdue = self.tenure_left().is_some_and(|left| left.is_zero());
        let open = control.active_run().and_then(|run| run.open.as_ref());
        let tenure = self.settings().tenure;
        let seeks = self.duties.keeper.seeks_successor(self.now, may_lead, tenure);
        // Who stops has no time to let a seat travel.
        let asks = self.duties.keeper.asks_for_travel(self.now, may_lead, tenure) && !self.duties.retiring;
        TenureView {
            me: self.me,
            leader: true,
            term: self.consensus.term(),
            may_lead,
            committed_in_term: self.consensus.committed_in_term(),
            key_ready: self.duties.key.is_some() && !self.duties.tenure_proposed,
            current: control.tenure().map(|tenure| CurrentTenure {
                tenure: tenure.tenure,
                holder: tenure.member,
                term: tenure.term,
            }),
            in_round: overdue && !self.at_round_boundary(),
            failed_attempts: open.map_or(0, |open| open.failed),
            pending_membership: self.consensus.has_pending_membership(),
            seats_change: self.duties.keeper.passing(self.now).is_some() && self.seats_change(),
            transferring: self.consensus.is_transferring(),
            travel: if asks { consensus::travel(&self.seat_view()) } else { Travel::Stays },
            candidates: if seeks { self.candidates() } else { Vec::new() },
            tenure,
            grace: self.settings().grace,
            election_timeout: self.consensus.election_timeout(),
        }
    }

    /// Whether other members are to vote than do.
    fn seats_change(&self) -> bool {
        let voters = self.consensus.membership().voters.iter().copied();
        self.duties.seat_proposed || self.state.control().desired_voters() != voters.collect()
    }

    pub(crate) fn candidates(&self) -> Vec<Candidate> {
        let (control, voters) = (self.state.control(), &self.consensus.membership().voters);
        let progress = self.consensus.progress();
        let others = progress
            .iter()
            .filter(|progress| voters.contains(&progress.member) && progress.member != self.me);
        others
            .filter_map(|progress| {
                let member = control.member(progress.member)?;
                Some(Candidate {
                    member: progress.member,
                    may_lead: member.may_lead,
                    tenures: member.tenures,
                    caught_up: self.is_caught_up(progress),
                    alive: self.is_alive(progress),
                })
            })
            .collect()
    }

    /// Close enough to the leader's log to take over or to vote without holding anything up.
    pub(crate) fn is_caught_up(&self, progress: &Progress) -> bool {
        planted(Mutation::SeatsGivenBlindly)
            || !progress.snapshot_pending && progress.matched >= self.consensus.commit()
            || progress.matched.0 + u64::from(self.settings().append_batch) >= self.consensus.last_index().0
                && progress.matched.0 > 0
                && !progress.snapshot_pending
    }

    /// One step from the engine's membership towards what the roster wants, and from the roster towards enough voters.
    fn reconcile(&mut self) {
        if !self.consensus.committed_in_term() || !self.state.control().initialised() {
            return;
        }
        self.record_incarnations(false);
        self.record_digests(true);
        let control = self.state.control();
        let (voters, learners) = (control.desired_voters(), control.desired_learners());
        let (engine, pending) = (self.consensus.membership(), self.consensus.has_pending_membership());
        let change = next_change(&voters, &learners, engine, self.me);
        if let Some(change) = change
            && (pending || self.can_go_on(&voters_after(engine, &change)))
        {
            if !pending {
                self.step(consensus::Input::Change(change));
            }
            return;
        }
        if self.duties.seat_proposed || self.duties.publishing.is_some() {
            return;
        }
        let command = self.changed_reachability().or_else(|| {
            let decision = next_seat(&self.seat_view())?;
            Some(ControlCommand::SeatChanged { give: decision.give, take: decision.take })
        });
        if let Some(command) = command {
            self.duties.seat_proposed = self.propose_duty(Duty::Seat, command);
        }
    }

    /// Whether most of these answer. A change that leads to others is not begun: it could not be ended, and nothing else
    /// be done meanwhile. A seat given to somebody who answers may help.
    pub(crate) fn can_go_on(&self, voters: &BTreeSet<MemberId>) -> bool {
        let progress = self.consensus.progress();
        let answer = progress.iter().filter(|one| voters.contains(&one.member) && self.answers(one));
        2 * answer.count() > voters.len()
    }

    /// A member that fell silent, or is heard again. Committed, since its time must not begin anew with every leader, and
    /// since a seat that becomes free goes to somebody who is heard.
    fn changed_reachability(&self) -> Option<ControlCommand> {
        let (control, membership) = (self.state.control(), self.consensus.membership());
        let silent_after = self.consensus.election_timeout() * SILENT_AFTER_TIMEOUTS;
        let changed = |progress: &Progress| {
            let member = control.member(progress.member)?.id;
            let (known, silent) =
                (control.silent_since_ms(member).is_some(), progress.silent >= silent_after);
            let changed =
                if known { progress.heard && !silent } else { silent && membership.contains(member) };
            changed.then_some(ControlCommand::ReachabilityChanged { member, silent: !known })
        };
        self.consensus.progress().iter().find_map(changed)
    }

    /// The command that gives a member a seat at an operator's wish, so that an odd number votes: in the place of a silent
    /// voter, or together with another learner, or else in the place of a voter that is heard, a device before a laptop
    /// and a later member before an earlier one. `None` when there is nobody of the kind.
    pub fn seat_command(&self, member: MemberId) -> Option<ControlCommand> {
        let control = self.state.control();
        let silent = |id: MemberId| control.silent_since_ms(id).is_some();
        let others = || control.members().values().filter(|other| other.id != member);
        let seated = others().filter(|other| other.seat && Some(other.id) != self.consensus.leader());
        let voter = seated.max_by_key(|other| (silent(other.id), other.role, other.id)).map(|other| other.id);
        let fit = others().filter(|other| !other.seat && !silent(other.id));
        let learner = fit.min_by_key(|other| (other.role, other.id)).map(|other| other.id);
        let even = control.desired_voters().len().is_multiple_of(2);
        let (give, take) = match (voter, learner) {
            _ if even => (vec![member], Vec::new()),
            (Some(voter), _) if silent(voter) => (vec![member], vec![voter]),
            (_, Some(learner)) => (vec![member, learner], Vec::new()),
            (Some(voter), None) => (vec![member], vec![voter]),
            (None, None) => return None,
        };
        Some(ControlCommand::SeatChanged { give, take })
    }

    fn leading(&self) -> Leading {
        let tenure = self.state.control().tenure();
        if tenure.is_some_and(|tenure| (tenure.member, tenure.term) == (self.me, self.consensus.term())) {
            return Leading::Tenure;
        }
        match self.duties.keeper.passing(self.now) {
            Some(waits) => Leading::Passing { waits },
            None if self.duties.keeper.may_pass(self.now) => Leading::Passing { waits: true },
            None => Leading::Idle,
        }
    }

    fn seat_view(&self) -> SeatView {
        let elapsed_ms = self.elapsed_ms();
        let progress = self.consensus.progress();
        let silence = |member| {
            let since = self.state.control().silent_since_ms(member);
            Duration::from_millis(since.map_or(0, |since| elapsed_ms.saturating_sub(since)))
        };
        let seat = |member: &rafty_types::Member| {
            let progress = progress.iter().find(|progress| progress.member == member.id)?;
            Some(Seat {
                member: member.id,
                seated: member.seat,
                role: member.role,
                may_lead: member.may_lead,
                tenures: member.tenures,
                caught_up: self.is_caught_up(progress),
                alive: self.answers(progress),
                silent: silence(member.id),
                reachable: Duration::from_millis(self.state.control().reachable_ms(member.id, elapsed_ms)),
            })
        };
        SeatView {
            seats: self.state.control().members().values().filter_map(seat).collect(),
            leader: self.me,
            leading: self.leading(),
            target_voters: self.settings().target_voters,
            replace_after: self.settings().replace_after,
            pending_membership: self.consensus.has_pending_membership(),
        }
    }

    /// Hands over to a member that somebody chose, or asks the leader to.
    pub(crate) fn transfer(&mut self, to: MemberId) {
        if !self.is_leader() {
            let leader = self.consensus.leader();
            self.out.extend(leader.map(|leader| Output::Send { to: leader, frame: Frame::Transfer { to } }));
        } else if self.consensus.membership().voters.contains(&to) {
            self.step(consensus::Input::Transfer { to });
        }
    }
}
