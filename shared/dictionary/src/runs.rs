//! The training runs: at most one is active, the latest ended ones are remembered.
//!
//! A run is a record of what was decided. The task it carries is not read here, and its models are only named.

use crate::OpenRound;
use crate::roster::{ensure, within};
use rafty_types::{
    Arrivals, Attempt, Digest, MAX_NAME_LEN, MAX_TASK_LEN, MemberId, Metrics, Refusal, Rejection, RestCause,
    Round, RunId, RunSpec, Tenure, Version,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Most rounds of a run.
pub const MAX_ROUNDS: u32 = 100_000;
/// How many rounds of a run are remembered, the latest ones.
pub const KEPT_ROUNDS: usize = 1_024;
/// To how many versions a run can be rolled back, the latest ones; version 0 not counted.
pub const KEPT_VERSIONS: usize = 8;
/// How many runs are remembered, the latest ones.
pub const KEPT_RUNS: usize = 64;
/// How many rounds all runs together may have on record, beside those of the latest two.
pub const KEPT_RECORDS: usize = 4_096;

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunStatus {
    /// Rounds are held.
    Active,
    /// An operator ended it.
    Stopped,
    /// Its last round is published.
    Finished,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunState {
    /// The index of the entry that submitted it.
    pub id: RunId,
    /// As it was submitted.
    pub spec: RunSpec,
    /// Where it stands.
    pub status: RunStatus,
    /// The last published round; 0 before the first.
    pub round: Round,
    /// The current version. The same number names another model after a roll-back: go by the digest.
    pub version: Version,
    /// The current model. `None` for version 0, which everyone derives from the seed.
    pub model: Option<Digest>,
    /// The versions it can be rolled back to and the current one, without version 0.
    pub versions: BTreeMap<Version, Digest>,
    /// The round under way.
    pub open: Option<OpenRound>,
    /// The published rounds, oldest first.
    pub history: VecDeque<RoundRecord>,
    /// When each member's updates arrive.
    pub arrivals: Arrivals,
}

/// A published round as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundRecord {
    /// Its number.
    pub round: Round,
    /// The tenure that published it.
    pub tenure: Tenure,
    /// Who combined it.
    pub aggregator: MemberId,
    /// How many attempts it took.
    pub attempt: Attempt,
    /// Whose updates were combined, which, and their weights in examples.
    pub counted: Vec<(MemberId, Digest, u64)>,
    /// Whose were refused, and why.
    pub refused: Vec<(MemberId, Refusal)>,
    /// Who did not train, by its own word, and why.
    pub resting: Vec<(MemberId, RestCause)>,
    /// How good the base version was.
    pub metrics: Metrics,
    /// The version it made.
    pub version: Version,
    /// That version's model.
    pub model: Digest,
    /// How long it took, all attempts together, in milliseconds.
    pub duration_ms: u64,
}

/// The models that runs name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptModels {
    /// The current one of the newest run; `None` when that is version 0, which everyone derives, or there is no run.
    pub current: Option<Digest>,
    /// All that runs can be rolled back to, the current ones among them.
    pub all: BTreeSet<Digest>,
}

impl RunState {
    pub(crate) fn keep_round(&mut self, record: RoundRecord) {
        self.round = record.round;
        self.version = record.version;
        self.model = Some(record.model);
        self.versions.insert(record.version, record.model);
        if self.versions.len() > KEPT_VERSIONS {
            self.versions.pop_first();
        }
        self.history.push_back(record);
        if self.history.len() > KEPT_ROUNDS {
            self.history.pop_front();
        }
        if self.round.0 >= u64::from(self.spec.rounds) {
            self.status = RunStatus::Finished;
            self.arrivals = Arrivals::default();
        }
    }

    /// Makes an older version the current one. A round under way starts anew from it, in its next attempt: what
    /// was trained so far is worth nothing, so the collecting time starts anew as well.
    pub(crate) fn roll_back(&mut self, version: Version) -> Result<(), Rejection> {
        if version == self.version {
            return Err(Rejection::Duplicate);
        }
        let model = self.versions.get(&version).copied();
        ensure(model.is_some() || version == Version(0), "the version is not kept any more")?;
        self.version = version;
        self.model = model;
        self.versions.retain(|kept, _| *kept <= version);
        if let Some(open) = &mut self.open {
            open.restart(open.tenure);
            open.base = version;
            open.collected_ms = 0;
        }
        Ok(())
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Runs(BTreeMap<RunId, RunState>);

impl Runs {
    /// Those of a state of format 4.
    pub(crate) fn from_format_4(runs: BTreeMap<RunId, RunState>) -> Self {
        Self(runs)
    }

    pub(crate) fn all(&self) -> &BTreeMap<RunId, RunState> {
        &self.0
    }

    /// The active run: always the newest, since the one before had to end first.
    pub(crate) fn active(&self) -> Option<&RunState> {
        self.0.values().next_back().filter(|run| run.status == RunStatus::Active)
    }

    /// The active run, if it is this one.
    pub(crate) fn active_mut(&mut self, id: RunId) -> Result<&mut RunState, Rejection> {
        self.0.get_mut(&id).filter(|run| run.status == RunStatus::Active).ok_or(Rejection::UnknownRun)
    }

    pub(crate) fn submit(&mut self, id: RunId, spec: RunSpec) -> Result<(), Rejection> {
        if self.active().is_some() {
            return Err(Rejection::RunActive);
        }
        ensure(within(spec.name.len(), MAX_NAME_LEN), "a run's name takes 1 to 64 bytes")?;
        ensure(within(spec.task.len(), MAX_TASK_LEN), "a task takes 1 to 65,536 bytes")?;
        ensure(within(spec.rounds, MAX_ROUNDS), "a run has 1 to 100,000 rounds")?;
        let run = RunState {
            id,
            spec,
            status: RunStatus::Active,
            round: Round(0),
            version: Version(0),
            model: None,
            versions: BTreeMap::new(),
            open: None,
            history: VecDeque::new(),
            arrivals: Arrivals::default(),
        };
        self.0.insert(id, run);
        self.forget_oldest();
        Ok(())
    }

    fn forget_oldest(&mut self) {
        while !self.are_bounded() {
            self.0.pop_first();
        }
    }

    /// Whether what runs take is within its bounds.
    pub(crate) fn are_bounded(&self) -> bool {
        let records: usize = self.0.values().rev().skip(2).map(|run| run.history.len()).sum();
        self.0.len() <= KEPT_RUNS && records <= KEPT_RECORDS
    }

    pub(crate) fn stop(&mut self, id: RunId) -> Result<(), Rejection> {
        let run = self.active_mut(id)?;
        run.status = RunStatus::Stopped;
        run.open = None;
        run.arrivals = Arrivals::default();
        Ok(())
    }

    /// A new tenure is the next attempt of an open round.
    pub(crate) fn restart_open_round(&mut self, tenure: Tenure) {
        if let Some(open) = self.0.values_mut().next_back().and_then(|run| run.open.as_mut()) {
            open.restart(tenure);
        }
    }

    /// Other members go on with the runs: the next tenure opens the round again, and their arrivals are not known yet.
    pub(crate) fn forget_all_members(&mut self) {
        if let Some(run) = self.0.values_mut().next_back() {
            run.open = None;
            run.arrivals = Arrivals::default();
        }
    }

    /// The update of a member that is gone does not count any more, and nobody waits for another one.
    pub(crate) fn forget(&mut self, member: MemberId) {
        let Some(run) = self.0.values_mut().next_back() else { return };
        run.arrivals.forget(member);
        if let Some(open) = &mut run.open {
            open.accepted.remove(&member);
        }
    }
}
