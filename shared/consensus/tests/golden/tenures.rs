//! The tenure keeper of each member, fed with what its machine and the applied commands show.

use crate::cluster::{Cluster, Member};
use rafty_consensus::{Candidate, CurrentTenure, Input, Proposal, Role, TenureAction, TenureView, Travel};
use rafty_types::{MemberId, Tenure};
use std::time::Duration;

/// What only the node could tell.
pub(crate) struct Known {
    pub(crate) may_lead: bool,
    pub(crate) key_ready: bool,
    pub(crate) in_round: bool,
    pub(crate) failed_attempts: u32,
}

impl Default for Known {
    fn default() -> Self {
        Self { may_lead: true, key_ready: true, in_round: false, failed_attempts: 0 }
    }
}

/// The command that opens a member's tenure.
fn tenure_of(member: MemberId) -> String {
    format!("tenure-of-n{member}")
}

impl Member {
    fn served(&self, member: MemberId) -> u64 {
        self.commands.iter().filter(|(_, _, text)| *text == tenure_of(member)).count() as u64
    }

    fn current_tenure(&self) -> Option<CurrentTenure> {
        self.commands.iter().rev().find_map(|(index, term, text)| {
            let holder = MemberId(text.strip_prefix("tenure-of-n")?.parse().ok()?);
            Some(CurrentTenure { tenure: Tenure(index.0), holder, term: *term })
        })
    }
}

impl Cluster {
    pub(crate) fn keep_tenures(&mut self, lasts: Duration, grace: Duration) {
        self.tenures = Some((lasts, grace));
        self.everybody().into_iter().for_each(|id| self.keep(id));
    }

    /// Steps a member's keeper until it has nothing to do.
    pub(crate) fn keep(&mut self, id: MemberId) {
        let Some(view) = self.view(id) else { return };
        let member = self.member(id);
        let Some(action) = member.keeper.step(member.now(), &view) else { return };
        let (line, input) = match action {
            TenureAction::Begin => {
                let data = tenure_of(id).into_bytes().into();
                (
                    "begins its tenure".to_owned(),
                    Input::Propose(vec![Proposal { request: self.number(), data }]),
                )
            }
            TenureAction::HandOver { to } => (format!("hands over to n{to}"), Input::Transfer { to }),
            TenureAction::AbortTransfer => ("gives the hand-over up".to_owned(), Input::AbortTransfer),
            TenureAction::StepDown => ("leads no more".to_owned(), Input::StepDown),
        };
        self.say(&format!("n{id} {line}"));
        self.input(id, input);
    }

    fn view(&mut self, me: MemberId) -> Option<TenureView> {
        let (tenure, grace) = self.tenures?;
        let may_lead: Vec<_> =
            self.everybody().into_iter().filter(|id| self.member(*id).known.may_lead).collect();
        let member = self.member(me);
        let machine = member.machine.as_ref()?;
        let candidate = |progress: rafty_consensus::Progress| Candidate {
            member: progress.member,
            may_lead: may_lead.contains(&progress.member),
            tenures: member.served(progress.member),
            caught_up: progress.matched >= machine.commit(),
            alive: progress.active,
        };
        let voters = &machine.membership().voters;
        let others = machine.progress().into_iter();
        let others = others.filter(|progress| progress.member != me && voters.contains(&progress.member));
        Some(TenureView {
            me,
            leader: machine.role() == Role::Leader,
            term: machine.term(),
            may_lead: member.known.may_lead,
            committed_in_term: machine.committed_in_term(),
            key_ready: member.known.key_ready,
            current: member.current_tenure(),
            in_round: member.known.in_round,
            failed_attempts: member.known.failed_attempts,
            pending_membership: machine.has_pending_membership(),
            seats_change: false,
            transferring: machine.is_transferring(),
            travel: Travel::Stays,
            candidates: others.map(candidate).collect(),
            tenure,
            grace,
            election_timeout: machine.election_timeout(),
        })
    }
}
