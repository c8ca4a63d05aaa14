//! What a federation may rely on: rounds are published once, of what was accepted, by whoever may.

use super::arrivals::Arrivals;
use crate::member::Member;
use crate::observer::Observer;
use crate::tally::{Sometimes, Tally};
use crate::worker::{model_of, update_of};
use rafty_consensus::Progress;
use rafty_node::{Event, Node, RoundLine};
use rafty_rounds::{RoundEvent, Work, WorkResult};
use rafty_types::{Attempt, Digest, Index, MemberId, Round, RunId, Tenure, Term, Time};
use std::collections::{BTreeMap, BTreeSet};

/// What was seen of rounds and tenures.
#[derive(Default)]
pub struct Rounds {
    /// Each published round, as everybody tells it.
    pub published: BTreeMap<(RunId, Round), RoundLine>,
    /// Whose updates counted in which attempt.
    pub accepted: BTreeMap<(RunId, Round, Attempt), BTreeSet<(MemberId, Digest)>>,
    /// When they arrived.
    arrivals: Arrivals,
    /// Planned hand-overs.
    pub handed_over: usize,
    /// Each tenure's term and holder.
    tenures: BTreeMap<Tenure, (Term, MemberId)>,
    /// The newest tenure that each process has applied.
    current: BTreeMap<(MemberId, u64), Tenure>,
    /// To whom each leader has handed over: in which term, and as of which tenure.
    handed: BTreeMap<MemberId, Vec<(Term, Tenure, MemberId)>>,
    /// What was trained and is sound: whose, of which round, from which model.
    trained: BTreeSet<(MemberId, RunId, Round, Digest)>,
}

impl Rounds {
    /// A member tells its people something.
    pub fn event(
        &mut self,
        now: Time,
        id: MemberId,
        event: &Event,
        members: &BTreeMap<MemberId, Member>,
        tally: &mut Tally,
    ) {
        let process = (id, members[&id].epoch);
        match event {
            Event::TenureBegan { tenure, term, aggregator } => {
                self.one_holder_each(*tenure, (*term, *aggregator));
                let before = self.current.insert(process, *tenure);
                assert!(before < Some(*tenure), "tenure fencing: tenure {tenure} came after {before:?}");
            }
            Event::HandingOver { to } => {
                self.handed_over += 1;
                members[&id].process.iter().for_each(|process| self.fairness(id, *to, &process.node));
            }
            Event::RoundOpened { run, round, .. } => {
                self.arrivals.opened(now, *run, *round);
            }
            Event::Round(RoundEvent::CollectingBegan { key, deadline_ms }) => {
                if let Some(process) = &members[&id].process {
                    self.arrivals.deadlines_learn_from_arrivals(*key, *deadline_ms, process);
                }
            }
            Event::UpdateAccepted { run, round, attempt, participant, digest, .. } => {
                let accepted = self.accepted.entry((*run, *round, *attempt)).or_default();
                accepted.insert((*participant, *digest));
                self.arrivals.accepted(now, *run, *round, *attempt, *participant);
            }
            Event::RoundPublished { run, round } => {
                self.fenced_by_its_tenure(process, round);
                self.published_once(id, *run, round, members, tally);
            }
            _ => {}
        }
    }

    fn one_holder_each(&mut self, tenure: Tenure, holder: (Term, MemberId)) {
        let known = *self.tenures.entry(tenure).or_insert(holder);
        assert_eq!(known, holder, "tenure fencing: tenure {tenure} has two holders");
    }

    /// Tenure fencing: whoever publishes a round holds the newest tenure there is.
    fn fenced_by_its_tenure(&self, process: (MemberId, u64), line: &RoundLine) {
        let what = || format!("round {} was published in tenure {}", line.round, line.tenure);
        // A process that jumped ahead by a snapshot has not seen the newest one begin.
        let current = self.current.get(&process);
        assert!(current <= Some(&line.tenure), "tenure fencing: {}, not in {current:?}", what());
        if let Some((_, holder)) = self.tenures.get(&line.tenure) {
            assert_eq!(line.aggregator, *holder, "tenure fencing: {} by another", what());
        }
    }

    /// Fairness of tenures: a leader hands over to the least served of those that may lead, are alive and have the whole
    /// log, so that no planned hand-over widens the gap. Whom it has tried in vain is left out: in this term, in
    /// which it may begin to hand over before it has applied its own tenure; and since the last tenure, whatever terms
    /// came and went without another.
    fn fairness(&mut self, id: MemberId, to: MemberId, node: &Node<Observer>) {
        let (control, consensus) = (node.state().control(), node.consensus());
        let (term, tenure) = (consensus.term(), control.tenure().map_or(Tenure(0), |tenure| tenure.tenure));
        let handed = self.handed.entry(id).or_default();
        let tried: BTreeSet<MemberId> = handed
            .iter()
            .filter(|(in_term, during, _)| *in_term == term || *during == tenure)
            .map(|(_, _, tried)| *tried)
            .collect();
        let fit = |progress: &&Progress| {
            let known = control.member(progress.member);
            progress.member != id
                && progress.active
                && progress.heard
                && !progress.snapshot_pending
                && progress.matched >= consensus.commit()
                && consensus.membership().voters.contains(&progress.member)
                && known.is_some_and(|member| member.may_lead)
                && !tried.contains(&progress.member)
        };
        let served = |member: MemberId| control.member(member).map_or(u64::MAX, |member| member.tenures);
        let all = consensus.progress();
        let least =
            all.iter().filter(fit).map(|progress| progress.member).min_by_key(|member| served(*member));
        if let Some(least) = least {
            let fair = served(to) <= served(least);
            assert!(fair, "fairness of tenures: {id} hands over to {to} before {least}, which served less");
        }
        handed.push((term, tenure, to));
    }

    /// A worker has trained.
    pub fn trained(&mut self, id: MemberId, work: &Work, result: &WorkResult) {
        if let (Work::Train { run, round, base, .. }, WorkResult::Trained { .. }) = (work, result) {
            self.trained.insert((id, *run, *round, *base));
        }
    }

    /// No update is lost: nobody trains again for a round that is open, from the same model, when it has a sound update.
    /// Whoever restarts is behind what was `committed` for a while, and may take a round for open that is over.
    pub fn no_update_is_lost(&self, id: MemberId, work: &Work, node: &Node<Observer>, committed: Index) {
        let Work::Train { run, round, base, .. } = work else { return };
        let behind = node.state().applied() < committed;
        let active = node.state().control().active_run().filter(|active| active.id == *run);
        let open = active.and_then(|active| active.open.as_ref()).is_some_and(|open| open.round == *round);
        let again = !behind && open && self.trained.contains(&(id, *run, *round, *base));
        assert!(!again, "no update is lost: member {id} trains round {round} again");
    }

    /// Rounds are never lost: those that a state counts were all published.
    pub fn none_is_lost(&self, node: &Node<Observer>) {
        for run in node.state().control().runs().values() {
            let missing =
                (1..=run.round.0).find(|round| !self.published.contains_key(&(run.id, Round(*round))));
            assert_eq!(missing, None, "rounds are never lost: run {} has none of this number", run.id);
        }
    }

    /// Each round is published at most once and none is left out.
    fn published_once(
        &mut self,
        by: MemberId,
        run: RunId,
        line: &RoundLine,
        members: &BTreeMap<MemberId, Member>,
        tally: &mut Tally,
    ) {
        let round = line.round;
        if let Some(known) = self.published.get(&(run, round)) {
            return assert_eq!(known, line, "rounds are published once: round {round} was published twice");
        }
        let before = Round(round.0 - 1);
        let skipped = before.0 > 0 && !self.published.contains_key(&(run, before));
        assert!(!skipped, "rounds are never lost: round {round} of run {run} has none before it");
        self.no_update_counts_twice(run, line);
        models_are_reachable(by, line, members);
        if line.attempts > Attempt(1) {
            tally.saw(Sometimes::AttemptRepeated);
        }
        if line.attempts >= Attempt(5) {
            tally.saw(Sometimes::ManyAttempts);
        }
        let participants = members.values().filter(|member| member.halted.is_none()).count();
        if line.counted.len() < participants {
            tally.saw(Sometimes::RoundWithoutEveryone);
        }
        if !line.refused.is_empty() {
            tally.saw(Sometimes::UpdateRefused);
        }
        self.published.insert((run, round), line.clone());
    }

    fn no_update_counts_twice(&self, run: RunId, line: &RoundLine) {
        let round = line.round;
        let counted: BTreeMap<_, _> = line.counted.iter().map(|(id, digest, _)| (*id, *digest)).collect();
        assert_eq!(counted.len(), line.counted.len(), "no update counts twice: round {round} of run {run}");
        let accepted = self.accepted.get(&(run, round, line.attempts)).cloned().unwrap_or_default();
        let foreign = counted.iter().find(|(id, digest)| !accepted.contains(&(**id, **digest)));
        assert_eq!(foreign, None, "no update counts unless accepted: round {round} of run {run}");
        let before = self.published.get(&(run, Round(round.0 - 1))).map(|before| before.model);
        // What the first round starts from is not published: whoever trained soundly tells.
        let trained = |(_, of, at, _): &&(_, RunId, Round, _)| (*of, *at) == (run, round);
        let base = before.or_else(|| self.trained.iter().find(trained).map(|(.., base)| *base));
        if let Some(base) = base {
            let lie = counted.iter().find(|(id, digest)| **digest != update_of(**id, base));
            assert_eq!(lie, None, "no lie counts: round {round} of run {run}");
        }
        let model = model_of(counted.iter());
        assert_eq!(line.model, model, "no update counts twice: what was combined is not what counted");
    }
}

/// Models are reachable by digest: when a round is published, every majority of voters has somebody who holds its model,
/// so that whoever takes over can go on with it. A seat may change hands while the publication is on its way; so this
/// asks for as many holders as meet every majority, which with an even number of voters is half of them. What `by`
/// applied with it may have changed the seats since, so those that it knew before will do, too.
fn models_are_reachable(by: MemberId, line: &RoundLine, members: &BTreeMap<MemberId, Member>) {
    let holds = |id: &&MemberId| {
        // Of a damaged disk only what it once held counts: that it can be lost is the fault's doing.
        // Beside a twin the original has it on its own disk.
        members.get(*id).is_none_or(|member| {
            member.disk.damaged || member.is_twin() || member.disk.shelf.models.contains(&line.model)
        })
    };
    let holders = |voters: &[MemberId]| voters.iter().filter(holds).count();
    let reachable = |voters: &[MemberId]| holders(voters) + voters.len() / 2 + 1 > voters.len();
    let before = members[&by].process.as_ref().map(|process| &process.seen.membership.voters);
    let now = voters(members);
    assert!(
        reachable(&now) || before.is_some_and(|before| !before.is_empty() && reachable(before)),
        "models are reachable: that of round {} is held by {} of {} voters",
        line.round,
        holders(&now),
        now.len()
    );
}

fn voters(members: &BTreeMap<MemberId, Member>) -> Vec<MemberId> {
    let seats = newest(members).map(|node| node.state().control().desired_voters()).unwrap_or_default();
    seats.into_iter().filter(|id| members.contains_key(id)).collect()
}

/// Who has applied most.
fn newest(members: &BTreeMap<MemberId, Member>) -> Option<&Node<Observer>> {
    let nodes = members.values().filter_map(|member| Some(&member.process.as_ref()?.node));
    nodes.max_by_key(|node| node.state().applied())
}
