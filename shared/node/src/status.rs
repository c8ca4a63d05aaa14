//! What a member knows, for people and programs.

use crate::node::Node;
use crate::wall_clocks;
use rafty_dictionary::TenureRecord;
use rafty_types::{
    Attempt, ClusterId, Digest, Index, Member, MemberId, MemberKind, Metrics, PeerKey, Refusal, RestCause,
    Round, RunId, StateMachine, Tenure, Term, Version, is_rsa_public, printable,
};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// A member's view of the peer set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The peer set.
    pub cluster: ClusterId,
    /// This member.
    pub me: MemberId,
    /// Its Raft role: follower, candidate or leader.
    pub role: String,
    /// The leader it knows.
    pub leader: Option<MemberId>,
    /// The term it is in.
    pub term: Term,
    /// The highest committed index it knows.
    pub commit: Index,
    /// The highest index it applied.
    pub applied: Index,
    /// Digest of its replicated state as of `state_digest_at`; none before the first was made. It is made beside the
    /// loop when somebody asks, and takes long when the state is large: the next status has a newer one.
    pub state_digest: Option<Digest>,
    /// The index up to which that state was applied; 0 before the first.
    pub state_digest_at: Index,
    /// Entries in its log.
    pub log_entries: u64,
    /// Everyone.
    pub members: Vec<MemberLine>,
    /// The current tenure.
    pub tenure: Option<TenureLine>,
    /// Whether a key is ready for a tenure of this member.
    pub tenure_key_ready: bool,
    /// Every tenure that is remembered, oldest first.
    pub tenures: Vec<PastTenure>,
    /// The active run, or else the newest.
    pub run: Option<RunLine>,
    /// What a round or a tenure waits for, in words.
    pub waiting_for: String,
    /// Members on older copies of their disks, or running twice, in words.
    #[serde(default)]
    pub disk_anomalies: Vec<String>,
    /// Members whose wall clocks are more than a minute from those of the others, in words.
    #[serde(default)]
    pub clocks_apart: Vec<String>,
    /// Members whose replicated states differ, in words.
    #[serde(default)]
    pub divergence: Vec<String>,
}

/// A member as another sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberLine {
    /// Its id.
    pub id: MemberId,
    /// Its identity.
    pub key: PeerKey,
    /// Operator or agent.
    pub kind: MemberKind,
    /// Leader, voter, learner or joining.
    pub role: String,
    /// Whether it may be aggregator.
    pub may_lead: bool,
    /// Where it listens.
    pub addresses: Vec<SocketAddr>,
    /// Tenures it served.
    pub tenures: u64,
    /// Whether it was heard of lately; only the leader hears of everyone.
    pub alive: Option<bool>,
    /// That it does not train now, by its own word.
    #[serde(default)]
    pub rest: Option<RestLine>,
    /// That rounds do not wait for it.
    #[serde(default)]
    pub given_up: Option<GivenUpLine>,
    /// Whether what the log has as its key is none, so that no model is sealed for it.
    #[serde(default)]
    pub unusable_key: bool,
    /// By how much its wall clock is ahead of that of the member that tells it, in milliseconds, where that is known.
    #[serde(default)]
    pub clock_ahead_ms: Option<i64>,
    /// Why its disk takes nothing, by its own word; may hold anything.
    #[serde(default)]
    pub disk_trouble: Option<String>,
}

/// A participant of the open round that does not train now, by its own word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestLine {
    /// Who.
    pub member: MemberId,
    /// What keeps it from training.
    pub cause: RestCause,
    /// In its words; may hold anything.
    pub reason: String,
    /// After how long it tries again at the latest, in milliseconds.
    pub left_ms: u64,
    /// When that will be, by the wall clock of the member that tells it, in milliseconds since 1970.
    pub until_ms: u64,
}

impl std::fmt::Display for RestLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "member {} does not train: {}", self.member, self.cause)?;
        if !self.reason.is_empty() {
            write!(f, " ({})", printable(&self.reason))?;
        }
        write!(f, "; tries again in {} s at the latest", self.left_ms.div_ceil(1_000))
    }
}

/// A participant that rounds do not wait for, until an update of it comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenUpLine {
    /// Who.
    pub member: MemberId,
    /// How many published rounds in a row it said that it trains, and no update of it counted.
    pub missed_rounds: u32,
}

impl std::fmt::Display for GivenUpLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { member, missed_rounds } = self;
        write!(
            f,
            "member {member} is not waited for: in {missed_rounds} rounds it said that it trains, and its update did not \
             come in time; until an update of it comes"
        )
    }
}

/// The current tenure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenureLine {
    /// Its id.
    pub tenure: Tenure,
    /// The term it is in.
    pub term: Term,
    /// The aggregator.
    pub aggregator: MemberId,
    /// How long it still lasts by its holder's clock, in milliseconds; only the holder knows.
    pub left_ms: Option<u64>,
}

/// A tenure that was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastTenure {
    /// Its id.
    pub tenure: Tenure,
    /// The term it was in.
    pub term: Term,
    /// The aggregator.
    pub aggregator: MemberId,
    /// Rounds it published.
    pub rounds: u64,
}

/// A run, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunLine {
    /// Its id.
    pub run: RunId,
    /// Its name.
    pub name: String,
    /// Active, stopped or finished.
    pub status: String,
    /// Rounds it shall have.
    pub rounds: u32,
    /// The current version, which is also the number of published rounds.
    pub version: Version,
    /// Its digest; none for version 0.
    pub model: Option<Digest>,
    /// The round that is open.
    pub open: Option<OpenLine>,
}

/// An open round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenLine {
    /// Its number.
    pub round: Round,
    /// The attempt.
    pub attempt: Attempt,
    /// Whose updates are in, and their weights.
    pub accepted: Vec<(MemberId, u64)>,
}

/// A published round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundLine {
    /// Its number.
    pub round: Round,
    /// The tenure that published it.
    pub tenure: Tenure,
    /// The aggregator.
    pub aggregator: MemberId,
    /// How many attempts it took.
    pub attempts: Attempt,
    /// Who counted, with which update and how many examples.
    pub counted: Vec<(MemberId, Digest, u64)>,
    /// Who was refused, and why.
    pub refused: Vec<(MemberId, Refusal)>,
    /// Who did not train, by its own word, and why.
    pub resting: Vec<(MemberId, RestCause)>,
    /// How good the base version was on the holdouts.
    pub metrics: Metrics,
    /// The version it made.
    pub version: Version,
    /// Its digest.
    pub model: Digest,
    /// From opening to closing, in milliseconds.
    pub duration_ms: u64,
}

impl<U: StateMachine> Node<U> {
    /// Why nobody leads: which voters are missing, and what helps.
    pub fn why_no_leader(&self) -> String {
        let voters = &self.consensus.membership().voters;
        let others: Vec<_> = voters.iter().filter(|id| **id != self.me).map(ToString::to_string).collect();
        let votes = voters.contains(&self.me);
        let needed = (voters.len() / 2 + 1).saturating_sub(usize::from(votes));
        if self.consensus.leader().is_some() {
            return "one was elected only just now".into();
        }
        let missing = match &others[..] {
            [] if votes => return self.why_alone_and_not_leading(),
            [] => return "this member does not know the voters yet".into(),
            [one] => format!("member {one}"),
            many if many.len() == needed => format!("members {}", many.join(" and ")),
            many => format!("{needed} of the members {}", many.join(", ")),
        };
        let recover =
            if votes { "`recover`" } else { "`recover` on a voter that is left, or `recover --learner`" };
        format!(
            "too few voters answer; {missing} must run and be reached (where these are lost for good, waiting does not \
             help: stop this member and run {recover} here)"
        )
    }

    fn clocks_apart(&self) -> Vec<String> {
        let members = self.state.control().members();
        let ahead = |member: &MemberId| Some((*member, self.clock_ahead_ms(*member)?));
        let ahead: Vec<_> = members.keys().filter(|id| **id != self.me).filter_map(ahead).collect();
        wall_clocks::apart(self.me, &ahead)
    }

    fn why_alone_and_not_leading(&self) -> String {
        match self.doubted_by() {
            Some(by) => format!(
                "this member, the only voter, runs on an older copy of its disk, as member {by} says, and does not lead (see `status`)"
            ),
            None if self.asks_before_leading() => {
                "this member, the only voter, is asking the others whether it has all entries, for some seconds at most".into()
            }
            None => "this member, the only voter, is about to lead".into(),
        }
    }

    /// What this member knows. `digest` is the newest that was made of a [frozen](Self::freeze) state, and of which index.
    pub fn status(&self, digest: Option<(Index, Digest)>) -> Status {
        let control = self.state.control();
        let (resting, given_up) = (self.resting(), self.given_up());
        let line = |member| self.member_line(member, &resting, &given_up);
        Status {
            cluster: control.cluster(),
            me: self.me,
            role: format!("{:?}", self.consensus.role()).to_lowercase(),
            leader: self.consensus.leader(),
            term: self.consensus.term(),
            commit: self.consensus.commit(),
            applied: self.state.applied(),
            state_digest: digest.map(|(_, digest)| digest),
            state_digest_at: digest.map_or(Index(0), |(index, _)| index),
            log_entries: self.consensus.log_len() as u64,
            members: control.members().values().map(line).collect(),
            tenure: control.tenure().map(|tenure| TenureLine {
                tenure: tenure.tenure,
                term: tenure.term,
                aggregator: tenure.member,
                left_ms: self.tenure_left().map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
            }),
            tenure_key_ready: self.has_tenure_key(),
            tenures: control.tenure_history().iter().map(past_tenure).collect(),
            run: self.run_line(),
            waiting_for: self.waiting_for(),
            disk_anomalies: self.disk_anomalies().into_iter().map(|(_, what)| what).collect(),
            clocks_apart: self.clocks_apart(),
            divergence: self.divergence(),
        }
    }

    fn member_line(&self, member: &Member, resting: &[RestLine], given_up: &[GivenUpLine]) -> MemberLine {
        let (membership, progress) = (self.consensus.membership(), self.consensus.progress());
        let role = match member.id {
            id if self.consensus.leader() == Some(id) => "leader",
            id if membership.votes(id) => "voter",
            id if membership.contains(id) => "learner",
            _ => "joining",
        };
        MemberLine {
            id: member.id,
            key: member.key,
            kind: member.role,
            role: role.into(),
            may_lead: member.may_lead,
            addresses: member.addresses.clone(),
            tenures: member.tenures,
            alive: progress
                .iter()
                .find(|progress| progress.member == member.id)
                .map(|progress| self.is_alive(progress)),
            rest: resting.iter().find(|rest| rest.member == member.id).cloned(),
            given_up: given_up.iter().find(|line| line.member == member.id).cloned(),
            unusable_key: !is_rsa_public(&member.rsa_public),
            clock_ahead_ms: self.clock_ahead_ms(member.id),
            disk_trouble: self.disk_trouble(member.id),
        }
    }

    /// What the peer set waits for, from the bottom up: a leader, a tenure, a round.
    fn waiting_for(&self) -> String {
        let control = self.state.control();
        let Some(leader) = self.consensus.leader() else {
            return format!("a leader: {}", self.why_no_leader());
        };
        let holder = control.tenure().filter(|tenure| tenure.term == self.consensus.term());
        if !control.somebody_may_lead() {
            return "somebody who may be aggregator: all members were admitted with --never-leads; rounds go on when one \
                    joins that may"
                .into();
        }
        if holder.is_none() {
            let key = leader == self.me && !self.has_tenure_key();
            return if key { "a tenure key: it is being made" } else { "a tenure of the new leader" }.into();
        }
        self.round_waits_for()
    }
}

fn past_tenure(record: &TenureRecord) -> PastTenure {
    PastTenure {
        tenure: record.tenure,
        term: record.term,
        aggregator: record.member,
        rounds: record.rounds_published.into(),
    }
}
