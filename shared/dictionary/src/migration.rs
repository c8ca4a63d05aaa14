//! States of format 4, the one before this: read as they were written, and made into today's.
//!
//! Members are updated one after the other, each with a snapshot of another index and the entries behind it. So nothing
//! is mended here: a state that was read and has applied some old entries must equal one that was read behind them. What
//! has to be mended is mended by an entry, the first that is stamped with elapsed time.
//!
//! Whoever changes a type that is named here and not defined here copies the old one first.

use crate::clients::Clients;
use crate::clock::{Clock, Expiring};
use crate::divergence::Divergence;
use crate::incarnations::RecordedIncarnations;
use crate::issues::Issues;
use crate::levels::SupportedLevels;
use crate::reachable::ReachableTimes;
use crate::replicated::Fixed;
use crate::roster::Roster;
use crate::runs::{RoundRecord, RunState, RunStatus, Runs};
use crate::sessions::{Session4, Sessions};
use crate::tenures::Tenures;
use crate::{Control, OpenRound};
use rafty_types::{
    Accepted, Arrivals, Attempt, ClientRecord, ClusterId, Digest, Epoch, Index, Member, MemberId, Metrics,
    PeerKey, Protection, Refusal, RestoreError, Round, RunId, RunSpec, SessionId, Settings, Tenure,
    TokenRecord, Version,
};
use serde::Deserialize;
use std::collections::{BTreeMap, VecDeque};

#[derive(Deserialize)]
struct Fixed4 {
    applied: Index,
    now_ms: u64,
    control: Control4,
    sessions: BTreeMap<SessionId, Session4>,
}

#[derive(Deserialize)]
struct Control4 {
    cluster: ClusterId,
    name: String,
    settings: Settings,
    feature_level: u32,
    roster: Roster4,
    tenures: Tenures,
    runs: BTreeMap<RunId, RunState4>,
    clients: BTreeMap<String, ClientRecord>,
}

#[derive(Deserialize)]
struct Roster4 {
    members: BTreeMap<MemberId, Member>,
    tokens: BTreeMap<[u8; 16], TokenRecord>,
    used_statements: BTreeMap<PeerKey, Vec<Digest>>,
    silent_since_ms: BTreeMap<MemberId, u64>,
    departed: VecDeque<Member>,
}

#[derive(Deserialize)]
struct RunState4 {
    id: RunId,
    spec: RunSpec,
    status: RunStatus,
    round: Round,
    version: Version,
    model: Option<Digest>,
    versions: BTreeMap<Version, Digest>,
    open: Option<OpenRound4>,
    history: VecDeque<RoundRecord4>,
}

#[derive(Deserialize)]
struct RoundRecord4 {
    round: Round,
    tenure: Tenure,
    aggregator: MemberId,
    attempt: Attempt,
    counted: Vec<(MemberId, Digest, u64)>,
    refused: Vec<(MemberId, Refusal)>,
    metrics: Metrics,
    version: Version,
    model: Digest,
    duration_ms: u64,
}

#[derive(Deserialize)]
struct OpenRound4 {
    round: Round,
    base: Version,
    attempt: Attempt,
    tenure: Tenure,
    accepted: BTreeMap<MemberId, Accepted4>,
    collected_ms: u64,
    failed: u32,
    protection: Protection,
    failures: VecDeque<String>,
}

#[derive(Deserialize)]
struct Accepted4 {
    digest: Digest,
    num_examples: u64,
}

/// Reads the fixed part of a state of format 4.
///
/// # Errors
/// The bytes are anything else.
pub(crate) fn from_format_4(bytes: &[u8]) -> Result<Fixed, RestoreError> {
    match postcard::take_from_bytes::<Fixed4>(bytes) {
        Ok((old, [])) => Ok(old.into()),
        _ => Err(RestoreError("the fixed part, of format 4, cannot be read".into())),
    }
}

impl From<Fixed4> for Fixed {
    fn from(old: Fixed4) -> Self {
        let clock = Clock { now_ms: old.now_ms, wall_ms: 0, by_wall: true };
        let (control, issues) = (old.control.into(), Issues::default());
        let sessions = Sessions::from_format_4(old.sessions);
        Self { applied: old.applied, clock, control, sessions, issues }
    }
}

impl From<Control4> for Control {
    fn from(old: Control4) -> Self {
        let Control4 { cluster, name, settings, feature_level, roster, tenures, runs, clients } = old;
        let clients = Clients::from_format_4(clients);
        let (epoch, roster) = (Epoch::first(cluster), roster.into());
        let runs = Runs::from_format_4(runs.into_iter().map(|(id, run)| (id, run.into())).collect());
        // Two laptops were two voters.
        let odd_seats = false;
        let incarnations = RecordedIncarnations::default();
        // Who was heard for how long is only known by clocks that may have jumped: it is counted from the first new entry on.
        let reachable = ReachableTimes::default();
        let divergence = Divergence::default();
        Self {
            cluster,
            epoch,
            name,
            settings,
            feature_level,
            roster,
            tenures,
            runs,
            clients,
            odd_seats,
            incarnations,
            reachable,
            divergence,
            supported_levels: SupportedLevels::default(),
        }
    }
}

impl From<RunState4> for RunState {
    fn from(old: RunState4) -> Self {
        let RunState4 { id, spec, status, round, version, model, versions, open, history } = old;
        // How long rounds took says nothing of when updates arrived: they may have waited in vain.
        let arrivals = Arrivals::default();
        let history = history.into_iter().map(RoundRecord::from).collect();
        let open = open.map(OpenRound::from);
        Self { id, spec, status, round, version, model, versions, open, history, arrivals }
    }
}

impl From<RoundRecord4> for RoundRecord {
    fn from(old: RoundRecord4) -> Self {
        let RoundRecord4 { round, tenure, aggregator, attempt, counted, refused, metrics, .. } = old;
        let RoundRecord4 { version, model, duration_ms, .. } = old;
        let resting = Vec::new();
        Self {
            round,
            tenure,
            aggregator,
            attempt,
            counted,
            refused,
            resting,
            metrics,
            version,
            model,
            duration_ms,
        }
    }
}

impl From<OpenRound4> for OpenRound {
    fn from(old: OpenRound4) -> Self {
        let OpenRound4 { round, base, attempt, tenure, accepted, .. } = old;
        let OpenRound4 { collected_ms, failed, protection, failures, .. } = old;
        let update = |Accepted4 { digest, num_examples }| Accepted { digest, num_examples, arrived_ms: None };
        let accepted = accepted.into_iter().map(|(member, old)| (member, update(old))).collect();
        Self { round, base, attempt, tenure, accepted, collected_ms, failed, protection, failures }
    }
}

impl From<Roster4> for Roster {
    fn from(old: Roster4) -> Self {
        // The records said until when; that is what `ttl_ms` is in an old entry, too.
        let until = |record: TokenRecord| Expiring { expires_ms: record.ttl_ms, record };
        let tokens = old.tokens.into_iter().map(|(id, record)| (id, until(record))).collect();
        let Roster4 { members, used_statements, silent_since_ms, departed, .. } = old;
        Self { members, tokens, used_statements, silent_since_ms, departed }
    }
}
