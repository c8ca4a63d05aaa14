//! A toy of the replicated state: the few rules by which round commands count.

use rafty_rounds::{MemberView, OpenView, RunView, TenureView, View};
use rafty_types::{
    Accepted, Arrivals, Attempt, ClusterId, ControlCommand, Digest, MemberId, MemberKind, Publication,
    Rejection, Round, RunId, RunSpec, Settings, Strategy, Tenure, Version, is_weight,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

#[derive(Clone, Debug)]
pub(crate) struct MemberRecord {
    pub(crate) id: MemberId,
    pub(crate) role: MemberKind,
    pub(crate) may_lead: bool,
    pub(crate) seat: bool,
    pub(crate) key: Vec<u8>,
}

#[derive(Clone, Debug)]
pub(crate) struct OpenRound {
    pub(crate) round: Round,
    pub(crate) base: Version,
    pub(crate) attempt: Attempt,
    pub(crate) accepted: BTreeMap<MemberId, Accepted>,
    pub(crate) collected_ms: u64,
    pub(crate) failed: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) id: RunId,
    pub(crate) spec: RunSpec,
    pub(crate) version: Version,
    pub(crate) model: Option<Digest>,
    pub(crate) active: bool,
    pub(crate) open: Option<OpenRound>,
    pub(crate) published: Vec<Publication>,
    pub(crate) failures: Vec<String>,
    pub(crate) arrivals: Arrivals,
}

#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) index: u64,
    pub(crate) tenure: Option<(Tenure, MemberId, Vec<u8>)>,
    pub(crate) run: Option<Run>,
    pub(crate) members: Vec<MemberRecord>,
    pub(crate) settings: Settings,
}

pub(crate) fn spec(rounds: u32) -> RunSpec {
    RunSpec { name: "digits".into(), task: "cnn".into(), rounds, seed: 7, strategy: Strategy::FedAvg }
}

impl State {
    /// Applies one command of `origin`, as the log's next entry.
    pub(crate) fn apply(&mut self, origin: MemberId, command: &ControlCommand) -> Result<(), Rejection> {
        self.index += 1;
        match command.clone() {
            ControlCommand::TenureBegan { member, rsa_public, .. } => {
                self.tenure = Some((Tenure(self.index), member, rsa_public));
                if let Some(open) = self.run.as_mut().and_then(|run| run.open.as_mut()) {
                    open.restart();
                }
                Ok(())
            }
            ControlCommand::RunSubmitted(spec) => {
                self.run = Some(Run {
                    id: RunId(self.index),
                    spec,
                    version: Version(0),
                    model: None,
                    active: true,
                    open: None,
                    published: Vec::new(),
                    failures: Vec::new(),
                    arrivals: Arrivals::default(),
                });
                Ok(())
            }
            ControlCommand::Revoke { member } => {
                self.members.retain(|record| record.id != member);
                if let Some(open) = self.run.as_mut().and_then(|run| run.open.as_mut()) {
                    open.accepted.remove(&member);
                }
                Ok(())
            }
            ControlCommand::RolledBack { version, .. } => {
                self.run.as_mut().expect("a run").roll_back(version);
                Ok(())
            }
            round_command => self.apply_round(origin, round_command),
        }
    }

    fn apply_round(&mut self, origin: MemberId, command: ControlCommand) -> Result<(), Rejection> {
        let current = self.tenure.as_ref().map(|(tenure, holder, _)| (*tenure, *holder));
        let members: BTreeSet<_> = self.members.iter().map(|member| member.id).collect();
        let run = self.run.as_mut().filter(|run| run.active).ok_or(Rejection::UnknownRun)?;
        let of_tenure =
            |tenure| if current == Some((tenure, origin)) { Ok(()) } else { Err(Rejection::Deposed) };
        match command {
            ControlCommand::RoundOpened { tenure, round, base, .. } => {
                of_tenure(tenure)?;
                run.open_round(round, base)
            }
            ControlCommand::UpdateAccepted {
                tenure,
                round,
                attempt,
                participant,
                digest,
                num_examples,
                collected_ms,
                arrived_ms,
                ..
            } => {
                of_tenure(tenure)?;
                let open = run.open_attempt(round, attempt)?;
                if !members.contains(&participant) {
                    return Err(Rejection::UnknownMember);
                }
                if open.accepted.contains_key(&participant) {
                    return Err(Rejection::Duplicate);
                }
                if !is_weight(num_examples) {
                    return Err(Rejection::Invalid("it weighs too much".into()));
                }
                open.accepted.insert(participant, Accepted { digest, num_examples, arrived_ms });
                open.collected_ms = open.collected_ms.max(collected_ms);
                Ok(())
            }
            ControlCommand::RoundPublished(publication) => {
                of_tenure(publication.tenure)?;
                run.publish(publication)
            }
            ControlCommand::RoundFailed { tenure, round, attempt, reason, .. } => {
                of_tenure(tenure)?;
                let open = run.open_attempt(round, attempt)?;
                open.failed += 1;
                open.restart();
                run.failures.push(reason);
                Ok(())
            }
            other => panic!("not a command of rounds: {other:?}"),
        }
    }
}

impl OpenRound {
    fn restart(&mut self) {
        self.attempt = self.attempt.next();
        self.accepted.clear();
    }
}

impl Run {
    fn last_round(&self) -> Round {
        Round(self.published.len() as u64)
    }

    fn roll_back(&mut self, version: Version) {
        self.model = self.published.iter().find(|past| past.version == version).map(|past| past.model);
        self.version = version;
        if let Some(open) = &mut self.open {
            open.base = version;
            open.restart();
        }
    }

    fn open_round(&mut self, round: Round, base: Version) -> Result<(), Rejection> {
        if self.open.is_some() || round != self.last_round().next() || base != self.version {
            return Err(Rejection::NotOpen);
        }
        let accepted = BTreeMap::new();
        self.open =
            Some(OpenRound { round, base, attempt: Attempt(1), accepted, collected_ms: 0, failed: 0 });
        Ok(())
    }

    fn open_attempt(&mut self, round: Round, attempt: Attempt) -> Result<&mut OpenRound, Rejection> {
        self.open
            .as_mut()
            .filter(|open| (open.round, open.attempt) == (round, attempt))
            .ok_or(Rejection::NotOpen)
    }

    fn publish(&mut self, publication: Publication) -> Result<(), Rejection> {
        let open = self.open_attempt(publication.round, publication.attempt)?;
        let accepted = |(member, digest): &(MemberId, Digest)| {
            open.accepted.get(member).is_some_and(|known| known.digest == *digest)
        };
        let once: BTreeSet<_> = publication.counted.iter().map(|(member, _)| member).collect();
        let sound = !publication.counted.is_empty() && once.len() == publication.counted.len();
        if !sound || !publication.counted.iter().all(accepted) || publication.version != open.base.next() {
            return Err(Rejection::Invalid("not a publication".into()));
        }
        let accepted = std::mem::take(&mut open.accepted);
        for (participant, arrived_ms) in
            accepted.iter().filter_map(|(who, what)| Some((who, what.arrived_ms?)))
        {
            self.arrivals.keep(*participant, publication.round, arrived_ms);
        }
        self.open = None;
        self.version = publication.version;
        self.model = Some(publication.model);
        self.published.push(publication);
        self.active = self.published.len() < self.spec.rounds as usize;
        Ok(())
    }
}

/// For how long a member counts as alive after it was last heard: four election timeouts at the defaults.
const ALIVE_FOR: Duration = Duration::from_millis(1_200);

/// Hands `look` the view of `me`. Who is not named in `silent` has just been heard, and who is not in `runs_for`, always.
pub(crate) fn with_view<T>(
    state: &State,
    me: MemberId,
    mine: bool,
    silent: &BTreeMap<MemberId, Duration>,
    runs_for: &BTreeMap<MemberId, Duration>,
    look: impl FnOnce(&View<'_>) -> T,
) -> T {
    let members: Vec<_> = state
        .members
        .iter()
        .map(|member| MemberView {
            id: member.id,
            role: member.role,
            may_lead: member.may_lead,
            seat: member.seat,
            rsa_public: &member.key,
            alive: member.id == me || silent.get(&member.id).is_none_or(|silent| *silent < ALIVE_FOR),
            silent: silent.get(&member.id).copied().filter(|_| member.id != me).unwrap_or_default(),
            runs_for: runs_for.get(&member.id).copied().unwrap_or(Duration::MAX),
        })
        .collect();
    let last = state.run.as_ref().and_then(|run| run.published.last());
    let last_counted: Vec<_> =
        last.map(|last| last.counted.iter().map(|(member, _)| *member).collect()).unwrap_or_default();
    let run = state.run.as_ref().map(|run| RunView {
        id: run.id,
        spec: &run.spec,
        version: run.version,
        model: run.model,
        active: run.active,
        last_round: run.last_round(),
        open: run.open.as_ref().map(|open| OpenView {
            round: open.round,
            base: open.base,
            attempt: open.attempt,
            accepted: &open.accepted,
            collected_ms: open.collected_ms,
            failed: open.failed,
        }),
        last_counted: &last_counted,
        arrivals: &run.arrivals,
    });
    let tenure = state.tenure.as_ref().map(|(tenure, holder, key)| TenureView {
        tenure: *tenure,
        holder: *holder,
        rsa_public: key,
        mine: mine && *holder == me,
    });
    let set = rafty_types::SetId::first(ClusterId([9; 16]));
    look(&View { set, me, tenure, run, members: &members, settings: &state.settings, slow_way: false })
}
