//! The control part: members, tenures, runs. This file joins them and says which command is whose.
//!
//! Each rule lives with its subject: `roster`, `tenures`, `runs`, `round`, `clients`. Sessions and the user machine are not the
//! control part's.

use crate::clients::Clients;
use crate::clock::Expiring;
use crate::divergence::Divergence;
use crate::incarnations::{self, RecordedIncarnations};
use crate::levels::{FIRST_LEVEL, SupportedLevels};
use crate::permission::{leader_only, may};
use crate::reachable::ReachableTimes;
use crate::roster::{Roster, check_rsa_key, check_signature, ensure};
use crate::runs::{RunStatus, Runs};
use crate::tenures::Tenures;
use crate::{Event, KeptModels, RunState, TenureRecord, TenureState};
use rafty_types::{
    Accepted, Attempt, ClientId, ClientRecord, ClusterId, ControlCommand, Digest, Enrolment, Epoch, Genesis,
    Index, Issue, Member, MemberId, Mutation, PeerKey, Publication, RecordedIncarnation, Rejection, RunId,
    SetId, Setting, SettingValue, Settings, SignedDigest, Term, TokenRecord, Version, format_2, planted,
    printable, state_digest_statement,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The fixed part of the replicated state. Read it through its accessors; only applied entries change it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    pub(crate) cluster: ClusterId,
    pub(crate) name: String,
    pub(crate) settings: Settings,
    pub(crate) feature_level: u32,
    pub(crate) roster: Roster,
    pub(crate) tenures: Tenures,
    pub(crate) runs: Runs,
    pub(crate) clients: Clients,
    pub(crate) epoch: Epoch,
    /// Whether an odd number has had seats since this format. Before, and until its seats are changed for the first time
    /// since, a state of format 4 may have an even number.
    pub(crate) odd_seats: bool,
    pub(crate) incarnations: RecordedIncarnations,
    pub(crate) reachable: ReachableTimes,
    pub(crate) divergence: Divergence,
    pub(crate) supported_levels: SupportedLevels,
}

/// Where in the log a command stands, and who issued it when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context {
    /// Of the entry.
    pub(crate) index: Index,
    /// Of the entry.
    pub(crate) term: Term,
    /// Who issued the command.
    pub(crate) origin: MemberId,
    /// The leader's term when it proposed.
    pub(crate) proposed_in: Term,
    /// What time it is for the peer set, in milliseconds: it never runs back.
    pub(crate) now_ms: u64,
    /// Whether that is wall time, and the command is to be judged by the rules of format 4.
    pub(crate) by_wall: bool,
}

/// What a command does: what changed, or why nothing did.
type Effect = Result<Vec<Event>, Rejection>;

impl Control {
    pub(crate) fn founded(genesis: Genesis) -> Self {
        let Genesis { cluster, name, settings, founder } = genesis;
        Self {
            cluster,
            name,
            settings,
            feature_level: FIRST_LEVEL,
            roster: Roster::founded(founder),
            epoch: Epoch::first(cluster),
            odd_seats: true,
            ..Self::default()
        }
    }

    /// That of a new peer set, with the runs of this one. A round under way begins anew.
    pub(crate) fn founded_anew(self, genesis: Genesis) -> Self {
        let mut runs = self.runs;
        runs.forget_all_members();
        Self { feature_level: self.feature_level, runs, ..Self::founded(genesis) }
    }

    /// Forgets who may be let in.
    pub(crate) fn drop_credentials(&mut self) {
        self.roster.drop_tokens();
        self.clients = Clients::default();
    }

    pub(crate) fn kept_models(&self) -> KeptModels {
        let current = self.runs().values().next_back().and_then(|run| run.model);
        KeptModels {
            current,
            all: self.runs().values().flat_map(|run| run.versions.values().copied()).collect(),
        }
    }

    /// Whether the peer set is known: false for a newcomer before its first snapshot. There is always a member
    /// afterwards, since the last voter cannot go.
    pub fn initialised(&self) -> bool {
        !self.members().is_empty()
    }

    /// The peer set's id; all zero before the first snapshot.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// The peer set and its epoch: what statements and labels are bound to.
    pub fn set(&self) -> SetId {
        let epoch = if planted(Mutation::EpochLeftOut) { Epoch::first(self.cluster) } else { self.epoch };
        SetId { cluster: self.cluster, epoch }
    }

    /// Goes on in a new epoch, in which only `survivor` votes.
    pub(crate) fn recover(
        &mut self,
        survivor: MemberId,
        bits: [u8; 16],
        now_ms: u64,
    ) -> Result<(), Rejection> {
        self.roster.member(survivor)?;
        self.epoch = self.epoch.recovered(bits);
        for id in self.roster.silent() {
            self.reachable.appears(id, now_ms);
        }
        self.roster.recover(survivor);
        // A lone voter has nobody to compare its state with.
        self.divergence = Divergence::default();
        self.note_parity();
        Ok(())
    }

    /// The peer set's name; empty before the first snapshot.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The peer set's settings; the defaults before the first snapshot.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The committed feature level; 0 before the first snapshot.
    pub fn feature_level(&self) -> u32 {
        self.feature_level
    }

    /// The highest feature level that a member's program supports, by the member's own word.
    pub fn supported_by(&self, member: MemberId) -> u32 {
        self.supported_levels.of(member)
    }

    /// The roster, by id.
    pub fn members(&self) -> &BTreeMap<MemberId, Member> {
        self.roster.members()
    }

    /// The member with this id.
    pub fn member(&self, id: MemberId) -> Option<&Member> {
        self.members().get(&id)
    }

    /// The member with this identity.
    pub fn member_by_key(&self, key: &PeerKey) -> Option<&Member> {
        self.roster.by_key(key)
    }

    /// Those that were sent away last, without their RSA keys: the engine may still need their voices to let them go.
    pub fn departed(&self) -> impl Iterator<Item = &Member> {
        self.roster.departed()
    }

    /// Since when a member has not been heard by any leader, in milliseconds of the peer set's time. `None` for one that
    /// is heard.
    pub fn silent_since_ms(&self, id: MemberId) -> Option<u64> {
        self.roster.silent_since_ms(id)
    }

    /// For how many milliseconds a member counts as reachable when it is `now_ms` for the peer set: the time it was heard less
    /// the time it was not, at most a day.
    pub fn reachable_ms(&self, id: MemberId, now_ms: u64) -> u64 {
        self.reachable.ms(id, now_ms, self.roster.silent_since_ms(id).is_some())
    }

    /// What is recorded of a member's starts.
    pub fn incarnation(&self, id: MemberId) -> Option<RecordedIncarnation> {
        self.incarnations.of(id)
    }

    /// What is recorded of whether voters have the same state.
    pub fn divergence(&self) -> &Divergence {
        &self.divergence
    }

    /// Whether there is somebody who may be aggregator. Without, no tenure begins and no round is held.
    pub fn somebody_may_lead(&self) -> bool {
        self.members().values().any(|member| member.may_lead)
    }

    /// Who shall vote.
    pub fn desired_voters(&self) -> BTreeSet<MemberId> {
        self.members().values().filter(|member| member.seat).map(|member| member.id).collect()
    }

    /// Who shall vote once `member` was sent away in this term. `None` when it cannot be.
    pub fn voters_without(&self, member: MemberId, term: Term) -> Option<BTreeSet<MemberId>> {
        let mut roster = self.roster.clone();
        roster.send_away_in_pairs(member, self.tenures.leader_of(term)).ok()?;
        let seated = roster.members().values().filter(|member| member.seat);
        Some(seated.map(|member| member.id).collect())
    }

    /// Who shall be sent the log without voting.
    pub fn desired_learners(&self) -> BTreeSet<MemberId> {
        self.members().values().filter(|member| !member.seat).map(|member| member.id).collect()
    }

    /// Open tokens by id. Expired ones may still be among them.
    pub fn tokens(&self) -> &BTreeMap<[u8; 16], Expiring<TokenRecord>> {
        self.roster.tokens()
    }

    /// Who may use the dictionary from other machines, by name. Expired ones may still be among them.
    pub fn clients(&self) -> &BTreeMap<String, Expiring<ClientRecord>> {
        self.clients.all()
    }

    /// The client with this token.
    pub fn client(&self, id: &ClientId) -> Option<&Expiring<ClientRecord>> {
        self.clients().values().find(|client| client.record.id == *id)
    }

    /// The current tenure. Its holder may have lost leadership, or have left, without a next one having begun.
    pub fn tenure(&self) -> Option<&TenureState> {
        self.tenures.current()
    }

    /// The latest tenures, oldest first, the current one last; at most [`KEPT_TENURES`](crate::KEPT_TENURES).
    pub fn tenure_history(&self) -> &VecDeque<TenureRecord> {
        self.tenures.history()
    }

    /// The run that rounds are held for.
    pub fn active_run(&self) -> Option<&RunState> {
        self.runs.active()
    }

    /// The active run and the latest ended ones, by id.
    pub fn runs(&self) -> &BTreeMap<RunId, RunState> {
        self.runs.all()
    }

    /// From here on elapsed time counts, from 0; until now it was wall time, and `wall_ms` by it.
    pub(crate) fn count_elapsed(&mut self, wall_ms: u64) {
        self.roster.count_elapsed(wall_ms);
        self.clients.count_elapsed(wall_ms);
        self.note_parity();
    }

    fn note_parity(&mut self) {
        self.odd_seats |= self.roster.seats() % 2 == 1;
    }

    /// Applies a member's command; when it is refused, nothing has changed.
    pub(crate) fn apply(&mut self, at: &Context, command: ControlCommand) -> Effect {
        let issuer = self.member(at.origin).ok_or(Rejection::NotAllowed)?;
        if !may(issuer, &command) {
            return Err(Rejection::NotAllowed);
        }
        if leader_only(&command) {
            self.check_leader(at)?;
        }
        match command {
            ControlCommand::TokenCreated(token) => self.roster.create_token(at, token).map(|()| Vec::new()),
            ControlCommand::Enrol(enrolment) => self.enrol(at, enrolment),
            ControlCommand::Revoke { member } => self.revoke(at, member),
            ControlCommand::RotateKey { member, rsa_public } => {
                self.roster.rotate_key(at, member, rsa_public)?;
                Ok(vec![Event::RosterChanged])
            }
            ControlCommand::AddressChanged { member, addresses } => {
                self.roster.change_addresses(member, addresses)?;
                Ok(vec![Event::RosterChanged])
            }
            ControlCommand::SeatChanged { give, take } => {
                self.roster.change_seats(at, &give, &take)?;
                if !at.by_wall {
                    self.note_parity();
                }
                Ok(vec![Event::SeatsChanged])
            }
            ControlCommand::ReachabilityChanged { member, silent } => {
                self.roster.change_reachability(at, member, silent)?;
                if !at.by_wall {
                    self.reachable.turned(member, at.now_ms, !silent);
                }
                Ok(Vec::new())
            }
            ControlCommand::IncarnationsRecorded(recorded) => self.record_incarnations(recorded),
            ControlCommand::StateDigestsRecorded { mark, digests } => self.record_digests(mark, digests),
            ControlCommand::TenureBegan { rsa_public, .. } => self.begin_tenure(at, rsa_public),
            ControlCommand::RunSubmitted(spec) => {
                let run = RunId(at.index.0);
                self.runs.submit(run, spec).map(|()| vec![Event::RunSubmitted(run)])
            }
            ControlCommand::RunStopped { run } => self.runs.stop(run).map(|()| vec![Event::RunEnded(run)]),
            ControlCommand::RolledBack { run, version } => self.roll_back(run, version),
            ControlCommand::ClientCreated(client) => self.clients.create(at, client).map(|()| Vec::new()),
            ControlCommand::ClientRevoked { name } => self.clients.revoke(&name).map(|()| Vec::new()),
            ControlCommand::FeatureLevel { level, without } => self.raise_feature_level(at, level, &without),
            ControlCommand::Supports { member, level } => {
                self.supported_levels.record(member, level).map(|()| Vec::new())
            }
            ControlCommand::SettingChanged { name, value } => self.change_setting(&name, value),
            round @ (ControlCommand::RoundOpened { .. }
            | ControlCommand::UpdateAccepted { .. }
            | ControlCommand::RoundPublished(_)
            | ControlCommand::RoundFailed { .. }) => self.apply_to_round(at, round),
            // Sessions lie around this part and never reach it.
            ControlCommand::SessionOpened | ControlCommand::SessionClosed { .. } => {
                Err(Rejection::NotAllowed)
            }
        }
    }

    /// Whether the keys that a command brings in can be sealed to, so that whoever asks for it is told before it is proposed.
    ///
    /// # Errors
    /// What [`Replicated::apply`](crate::Replicated::apply) answers.
    pub fn check_keys(command: &ControlCommand) -> Result<(), Rejection> {
        match command {
            ControlCommand::Enrol(enrolment) => check_rsa_key(false, &enrolment.statement.rsa_public),
            ControlCommand::RotateKey { rsa_public, .. } | ControlCommand::TenureBegan { rsa_public, .. } => {
                check_rsa_key(false, rsa_public)
            }
            _ => Ok(()),
        }
    }

    /// The member that issued a command.
    pub(crate) fn issuer(&self, issue: &Issue, command: &ControlCommand) -> Result<&Member, Rejection> {
        let issuer = self.member(issue.by).ok_or(Rejection::NotAllowed)?;
        let holds = issue.is_by(&issuer.key, self.set(), command);
        if holds { Ok(issuer) } else { Err(Rejection::BadSignature) }
    }

    /// Whether a member issued this command and may, as far as this state tells.
    pub fn is_allowed(&self, issue: &Issue, command: &ControlCommand) -> bool {
        self.issuer(issue, command).is_ok_and(|issuer| may(issuer, command))
    }

    /// In entries of format 2 members signed what was their own affair, and nothing else.
    pub(crate) fn check_old_signature(
        &self,
        at: &Context,
        issue: Option<&Issue>,
        command: &ControlCommand,
    ) -> Result<(), Rejection> {
        let signed = match command {
            ControlCommand::RotateKey { member, rsa_public } => {
                format_2::rotate_key_statement(self.cluster, *member, rsa_public)
            }
            ControlCommand::AddressChanged { member, addresses } => {
                format_2::address_statement(self.cluster, *member, addresses)
            }
            ControlCommand::TenureBegan { rsa_public, .. } => {
                format_2::tenure_statement(self.cluster, at.origin, rsa_public)
            }
            _ => return Ok(()),
        };
        let signature = &issue.ok_or(Rejection::BadSignature)?.signature;
        check_signature(self.member(at.origin).ok_or(Rejection::NotAllowed)?, &signed, signature)
    }

    /// Within a term, commands of the leader come from its leader only. Until it begins a tenure the state does not
    /// know who that is; the leader itself proposes none of these for others.
    fn check_leader(&self, at: &Context) -> Result<(), Rejection> {
        let leads = self.tenures.leader_of(at.term).is_none_or(|leader| leader == at.origin);
        if leads && at.proposed_in == at.term { Ok(()) } else { Err(Rejection::Deposed) }
    }

    fn enrol(&mut self, at: &Context, enrolment: Enrolment) -> Effect {
        let before = self.desired_voters();
        let replaced = self.roster.enrol(at, self.set(), self.settings.max_members, enrolment)?;
        let mut events = vec![Event::RosterChanged];
        if !at.by_wall {
            self.reachable.appears(MemberId(at.index.0), at.now_ms);
        }
        if let Some(old) = replaced {
            self.incarnations.forget(old);
            self.reachable.forget(old);
            self.divergence.forget(old);
            self.supported_levels.forget(old);
            self.runs.forget(old);
            events.push(Event::Replaced { old, new: MemberId(at.index.0) });
            if before.contains(&old) {
                if !at.by_wall {
                    let back = Some(MemberId(at.index.0));
                    self.roster.pair_seats(self.tenures.leader_of(at.term), back);
                }
                events.push(Event::SeatsChanged);
            }
        }
        Ok(events)
    }

    fn revoke(&mut self, at: &Context, member: MemberId) -> Effect {
        let gone = if at.by_wall {
            self.roster.send_away(member)?
        } else {
            self.roster.send_away_in_pairs(member, self.tenures.leader_of(at.term))?
        };
        self.incarnations.forget(member);
        self.reachable.forget(member);
        self.divergence.forget(member);
        self.supported_levels.forget(member);
        self.runs.forget(member);
        let mut events = vec![Event::RosterChanged, Event::Revoked(gone.id, gone.key)];
        if gone.seat {
            events.push(Event::SeatsChanged);
        }
        Ok(events)
    }

    fn begin_tenure(&mut self, at: &Context, rsa_public: Vec<u8>) -> Effect {
        let holder = self.roster.member(at.origin)?;
        // In format 4 everybody might, when nobody was let in for that.
        let may_lead = holder.may_lead || at.by_wall && !self.somebody_may_lead();
        if !may_lead {
            return Err(Rejection::NotAllowed);
        }
        check_rsa_key(at.by_wall, &rsa_public)?;
        let participants_key = self.members().values().any(|member| member.rsa_public == rsa_public);
        if participants_key || self.tenures.has_served(Digest::of(&rsa_public)) {
            return Err(Rejection::Duplicate);
        }

        let tenure = self.tenures.begin(at, holder, rsa_public);
        self.roster.count_tenure(at.origin);
        if !planted(Mutation::TenureNotFenced) {
            self.runs.restart_open_round(tenure);
        }
        if !at.by_wall {
            let (voters, roster) = (self.desired_voters(), &self.roster);
            self.divergence.tenure_began(at, voters, |member| roster.members().contains_key(&member));
        }
        Ok(vec![Event::TenureBegan])
    }

    fn record_incarnations(&mut self, recorded: Vec<RecordedIncarnation>) -> Effect {
        incarnations::check(&recorded, |member| self.member(member).is_some())?;
        self.incarnations.record(recorded);
        Ok(Vec::new())
    }

    /// Judged is whether each said it itself, about this mark.
    fn record_digests(&mut self, mark: Index, digests: Vec<SignedDigest>) -> Effect {
        self.divergence.check(mark, &digests)?;
        for one in &digests {
            let signed = state_digest_statement(self.set(), one.member, mark, one.digest);
            check_signature(self.roster.member(one.member)?, &signed, &one.signature)?;
        }
        self.divergence.record(digests);
        Ok(Vec::new())
    }

    fn roll_back(&mut self, run: RunId, version: Version) -> Effect {
        self.runs.active_mut(run)?.roll_back(version)?;
        Ok(vec![Event::RolledBack { run, version }])
    }

    /// A level beyond this program's own is committed all the same: the others go on, and this one halts.
    fn raise_feature_level(&mut self, at: &Context, level: u32, without: &[MemberId]) -> Effect {
        ensure(level > self.feature_level, "the feature level only rises")?;
        let replace_after = self.settings.replace_after.as_millis();
        let is_excepted = |id: &MemberId| {
            let silent_since = self.roster.silent_since_ms(*id).filter(|_| without.contains(id));
            silent_since.is_some_and(|since| u128::from(at.now_ms.saturating_sub(since)) > replace_after)
        };
        let all = self.roster.members().keys().filter(|id| !is_excepted(id)).copied();
        self.supported_levels.check(level, all)?;
        self.feature_level = level;
        Ok(Vec::new())
    }

    fn change_setting(&mut self, name: &str, value: SettingValue) -> Effect {
        let is_value = || Rejection::Invalid(format!("`{}` cannot be set to that", printable(name)));
        let mut settings = self.settings.clone();
        let setting = Setting::of_name(name).ok_or_else(is_value)?;
        setting.set(&mut settings, value).ok_or_else(is_value)?;
        settings.validate().map_err(|error| Rejection::Invalid(error.in_words()))?;
        let members = self.roster.members().len();
        if members > settings.max_members as usize {
            return Err(Rejection::Invalid(format!("the peer set has {members} members")));
        }
        self.settings = settings;
        Ok(vec![Event::SettingChanged { name: setting.name, value }])
    }

    fn apply_to_round(&mut self, at: &Context, command: ControlCommand) -> Effect {
        match command {
            ControlCommand::RoundOpened { tenure, run, round, base, protection } => {
                self.tenures.check_aggregator(at, tenure)?;
                self.runs.active_mut(run)?.open_round(tenure, round, base, protection)?;
                Ok(vec![Event::RoundOpened { run, round }])
            }
            ControlCommand::UpdateAccepted {
                tenure,
                run,
                round,
                attempt,
                participant,
                digest,
                num_examples,
                collected_ms,
                arrived_ms,
            } => {
                self.tenures.check_aggregator(at, tenure)?;
                let open = self.runs.active_mut(run)?.open_attempt(round, attempt)?;
                self.roster.member(participant)?;
                // After a change of aggregator, what was trained before is sent again.
                let sent_again = attempt > Attempt(1) && open.failed == 0;
                let arrived_ms = arrived_ms.filter(|_| !sent_again);
                open.accept(participant, Accepted { digest, num_examples, arrived_ms }, collected_ms)?;
                Ok(vec![Event::UpdateAccepted { run, round, attempt, participant, digest, num_examples }])
            }
            ControlCommand::RoundPublished(publication) => {
                self.tenures.check_aggregator(at, publication.tenure)?;
                self.publish(at, publication)
            }
            ControlCommand::RoundFailed { tenure, run, round, attempt, reason } => {
                self.tenures.check_aggregator(at, tenure)?;
                let state = self.runs.active_mut(run)?;
                let reason = state.open_attempt(round, attempt)?.fail(tenure, &reason);
                if planted(Mutation::FailedRoundPassedOver) {
                    (state.round, state.open) = (round, None);
                }
                Ok(vec![Event::RoundFailed { run, round, attempt, reason }])
            }
            _ => Err(Rejection::NotOpen),
        }
    }

    fn publish(&mut self, at: &Context, publication: Publication) -> Effect {
        let Publication { tenure, run, round, version, model, .. } = publication;
        let state = self.runs.active_mut(run)?;
        state.publish(at, publication)?;
        let mut events = vec![Event::RoundPublished { tenure, run, round, version, model }];
        if state.status == RunStatus::Finished {
            events.push(Event::RunEnded(run));
        }
        self.tenures.count_published();
        Ok(events)
    }
}
