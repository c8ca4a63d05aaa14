//! The whole replicated state, and applying one entry to it.
//!
//! Every entry is judged in this order: can it be read, is its issuer a member, is it its turn in its session, and then
//! by the part it is for. When to apply, and keeping snapshots, is for others.

use crate::clock::{Clock, Expiring, MENDED_TTL_MS, Stamped};
use crate::control::Context;
use crate::issues::{self, Issues};
use crate::roster::{RSA_KEY_RULE, check_addresses};
use crate::sessions::{self, Owner, Place, Sessions, Turn};
use crate::{Applied, Control, Event, KeptModels, Outcome, invariants, is_issued, migration, snapshot};
use rafty_types::{
    ClusterId, Command, ControlCommand, ControlResult, Digest, Entry, Genesis, Index, Issue, IssueSerial,
    MAX_NAME_LEN, MemberId, Mutation, Payload, Proposal, Rejection, RestoreError, Serial, SessionId, SetId,
    SettingsError, StateMachine, is_rsa_public, planted,
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The highest feature level that this program knows. When a higher one is committed, it applies nothing any more.
pub const FEATURE_LEVEL: u32 = 1;
/// Room for the fixed part of most peer sets in bytes: a buffer that grows is copied.
const USUAL_FIXED_LEN: usize = 16 * 1024;

/// The state that a log drives: the control part, the sessions and the user machine `U`.
#[derive(Clone, Debug)]
pub struct Replicated<U: StateMachine> {
    fixed: Fixed,
    user: U,
    unreadable: u64,
}

/// What somebody wants.
struct Asked {
    /// Whose sessions it opens, continues and ends.
    owner: Owner,
    issue: Option<Issue>,
    command: Command,
}

/// What every peer set has in the same form.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Fixed {
    pub(crate) applied: Index,
    pub(crate) clock: Clock,
    pub(crate) control: Control,
    pub(crate) sessions: Sessions,
    pub(crate) issues: Issues,
}

/// A peer set cannot start from this. Nothing was made; correct it and found again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FoundError {
    /// A setting is out of its range.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Something else is wrong with the genesis.
    #[error("a peer set cannot start like this: {0}; nothing was made")]
    Genesis(&'static str),
}

impl<U: StateMachine> Replicated<U> {
    /// A newcomer's state before its first snapshot: it knows nobody and refuses every command.
    pub fn new(user: U) -> Self {
        Self { fixed: Fixed::default(), user, unreadable: 0 }
    }

    /// The state of a new peer set, as of index 1, at which its founder stands enrolled.
    ///
    /// # Errors
    /// When a setting is out of its range or the founder cannot be a first member.
    pub fn found(genesis: Genesis, user: U) -> Result<Self, FoundError> {
        check_genesis(&genesis, Index(1))?;
        let fixed = Fixed { applied: Index(1), control: Control::founded(genesis), ..Fixed::default() };
        Ok(Self { fixed, user, unreadable: 0 })
    }

    /// The index of the last applied entry; 0 before the first snapshot.
    pub fn applied(&self) -> Index {
        self.fixed.applied
    }

    /// The control part.
    pub fn control(&self) -> &Control {
        &self.fixed.control
    }

    /// The user machine.
    pub fn user(&self) -> &U {
        &self.user
    }

    /// How much time has passed for the peer set, in milliseconds as of the last entry: tokens expire by it. It rises by
    /// the leaders' monotonic clocks. A state of format 4 that has applied nothing since has 0.
    pub fn elapsed_ms(&self) -> u64 {
        if self.fixed.clock.by_wall { 0 } else { self.fixed.clock.now_ms }
    }

    /// How long `record` is still good when it is `elapsed_ms` for the peer set. In a state of format 4 that has applied
    /// nothing since, it is what will be left when elapsed time begins to count.
    pub fn left_ms<T>(&self, record: &Expiring<T>, elapsed_ms: u64) -> u64 {
        let clock = &self.fixed.clock;
        if clock.by_wall {
            record.left_ms(clock.now_ms).min(MENDED_TTL_MS)
        } else {
            record.left_ms(elapsed_ms)
        }
    }

    /// What the wall clock of the last entry's leader showed, in milliseconds since 1970. `None` before there was one.
    /// It is for display: nothing is decided by it.
    pub fn wall_ms(&self) -> Option<u64> {
        let clock = &self.fixed.clock;
        Some(if clock.by_wall { clock.now_ms } else { clock.wall_ms }).filter(|wall_ms| *wall_ms > 0)
    }

    /// How many sessions are open, at most [`MAX_SESSIONS`](crate::MAX_SESSIONS).
    pub fn sessions(&self) -> usize {
        self.fixed.sessions.len()
    }

    /// The highest number of what a member issued, as far as that is remembered.
    pub fn last_issue(&self, member: MemberId) -> IssueSerial {
        self.fixed.issues.last_of(member)
    }

    /// How many entries this process met whose command it could not read. Not part of the replicated state.
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// The committed feature level, when it is beyond [`FEATURE_LEVEL`]: nothing is applied any more, and this program
    /// must be updated.
    pub fn halted(&self) -> Option<u32> {
        let level = self.control().feature_level();
        (level > FEATURE_LEVEL).then_some(level)
    }

    /// Applies the next committed entry.
    ///
    /// A refused command changes neither the control part nor the user machine. Once [halted](Self::halted), nothing
    /// is applied: the answer is [`Rejection::FeatureLevel`] and [`applied`](Self::applied) stays.
    ///
    /// # Panics
    /// When the entry is not the one after [`applied`](Self::applied): the caller lost or repeated one.
    pub fn apply(&mut self, entry: &Entry) -> Applied {
        if let Some(level) = self.halted() {
            let refused = Applied::refused(entry.index, Rejection::FeatureLevel);
            return Applied { events: vec![Event::Halted { level }], ..refused };
        }
        assert_eq!(entry.index, self.applied().next(), "entries are applied in order, each once");
        self.fixed.applied = entry.index;
        let applied = match &entry.payload {
            Payload::Empty | Payload::Membership(_) => Applied::nothing(entry.index),
            Payload::Command(bytes) => match Proposal::decode(bytes, self.control().feature_level()) {
                Some(proposal) => self.apply_proposal(entry, proposal),
                None => {
                    self.unreadable += 1;
                    let why = "the command cannot be read at the feature level of the peer set".to_string();
                    Applied::refused(entry.index, Rejection::Invalid(why))
                }
            },
        };
        debug_assert_eq!(
            invariants::broken(self.control(), self.applied()),
            None,
            "state-machine safety: a rule of the state is broken"
        );
        applied
    }

    fn apply_proposal(&mut self, entry: &Entry, proposal: Proposal) -> Applied {
        let Proposal { origin, term: proposed_in, stamp, session, client, issue, command } = proposal;
        let stamped = self.fixed.clock.stamped(stamp);
        match stamped {
            Stamped::ByWall | Stamped::Elapsed => {}
            Stamped::First { wall_ms } => {
                self.fixed.control.count_elapsed(wall_ms);
                self.fixed.sessions.end_format_4();
            }
            Stamped::TooLate => {
                let why = "it is stamped as by an older version of this program".to_string();
                return Applied::refused(entry.index, Rejection::Invalid(why));
            }
        }
        let (now_ms, by_wall) = (self.fixed.clock.now_ms, stamped == Stamped::ByWall);
        let at = Context { index: entry.index, term: entry.term, origin, proposed_in, now_ms, by_wall };

        let mut events = Vec::new();
        let owner = match client {
            _ if by_wall => Owner::Format4,
            Some(client) => Owner::Client(client),
            None => Owner::Member(origin),
        };
        let asked = Asked { owner, issue, command };
        let outcome = match (self.control().member(origin), session) {
            (None, _) => Outcome::rejected(at.index, Rejection::NotAllowed),
            (Some(_), None) => self.execute(&at, asked, &mut events),
            (Some(_), Some((id, serial))) => self.execute_once(&at, id, serial, asked, &mut events),
        };
        Applied { index: at.index, origin: Some(origin), outcome: Some(outcome), session, events }
    }

    fn execute_once(
        &mut self,
        at: &Context,
        session: SessionId,
        serial: Serial,
        asked: Asked,
        events: &mut Vec<Event>,
    ) -> Outcome {
        // Of what format 4 applied the answers were kept, and not the commands.
        let command = if at.by_wall { 0 } else { sessions::name(&asked.command) };
        let place = Place { session, serial, owner: asked.owner, command };
        match self.fixed.sessions.turn(&place, at.index) {
            Err(why) => Outcome::rejected(at.index, why),
            Ok(Turn::Before(outcome)) => outcome,
            Ok(Turn::Now) => {
                let outcome = self.execute(at, asked, events);
                self.fixed.sessions.record(&place, &outcome);
                outcome
            }
        }
    }

    fn execute(&mut self, at: &Context, asked: Asked, events: &mut Vec<Event>) -> Outcome {
        let result = match asked.command {
            Command::User(command) => {
                return Outcome::User(self.user.apply(at.index, at.term, &command), at.index);
            }
            Command::Control(command) if is_issued(&command) && !planted(Mutation::LeaderIsBelieved) => {
                return self.execute_issued(at, asked.issue, command, events);
            }
            Command::Control(ControlCommand::SessionOpened) => self.open_session(at.index, asked.owner),
            Command::Control(ControlCommand::SessionClosed { session }) => {
                self.fixed.sessions.close(session, asked.owner).map(|()| Vec::new())
            }
            Command::Control(command) => self.fixed.control.apply(at, command),
        };
        self.executed(at, result, events)
    }

    /// Owners are members and clients, of which there are few: whoever could invent some would have all the room.
    fn open_session(&mut self, at: Index, owner: Owner) -> Result<Vec<Event>, Rejection> {
        let Fixed { control, sessions, .. } = &mut self.fixed;
        let live = |owner| match owner {
            Owner::Format4 => true,
            Owner::Member(member) => control.member(member).is_some(),
            Owner::Client(client) => control.client(&client).is_some(),
        };
        if !live(owner) {
            return Err(Rejection::UnknownClient);
        }
        sessions.open(at, owner, live);
        Ok(Vec::new())
    }

    /// A command that counts only by its issuer's own word, whoever the leader says that it is of.
    fn execute_issued(
        &mut self,
        at: &Context,
        issue: Option<Issue>,
        command: ControlCommand,
        events: &mut Vec<Event>,
    ) -> Outcome {
        if at.by_wall {
            let control = &mut self.fixed.control;
            let result = control.check_old_signature(at, issue.as_ref(), &command);
            let result = result.and_then(|()| control.apply(at, command));
            return self.executed(at, result, events);
        }
        let Some(issue) = issue else { return Outcome::rejected(at.index, Rejection::BadSignature) };
        if let Err(why) = self.control().issuer(&issue, &command) {
            return Outcome::rejected(at.index, why);
        }
        let at = &Context { origin: issue.by, ..*at };
        match self.fixed.issues.before(at, &issue, &command) {
            Err(why) => return Outcome::rejected(at.index, why),
            Ok(Some(outcome)) => return outcome,
            Ok(None) => {}
        }
        let named = issues::name(&command);
        let result = self.fixed.control.apply(at, command);
        let outcome = self.executed(at, result, events);
        // Whoever has gone is remembered no more.
        if self.control().member(issue.by).is_some() {
            self.fixed.issues.record(&issue, named, &outcome);
        }
        outcome
    }

    fn executed(
        &mut self,
        at: &Context,
        result: Result<Vec<Event>, Rejection>,
        events: &mut Vec<Event>,
    ) -> Outcome {
        match result {
            Err(why) => Outcome::rejected(at.index, why),
            Ok(changes) => {
                self.forget_issues_of_gone(&changes);
                events.extend(changes);
                events.extend(self.halted().map(|level| Event::Halted { level }));
                Outcome::Control(ControlResult::Done, at.index)
            }
        }
    }

    fn forget_issues_of_gone(&mut self, changes: &[Event]) {
        for change in changes {
            if let Event::Revoked(gone, _) | Event::Replaced { old: gone, .. } = change {
                self.fixed.issues.forget(*gone);
            }
        }
    }

    /// Goes on without the lost majority: in a new epoch with these random bits, in which only `survivor` votes. It
    /// takes an index of its own, so that no index stands for two states.
    ///
    /// # Errors
    /// When `survivor` is no member or this program [halted](Self::halted); nothing was changed then.
    pub fn recover(&mut self, survivor: MemberId, bits: [u8; 16]) -> Result<(), Rejection> {
        if self.halted().is_some() {
            return Err(Rejection::FeatureLevel);
        }
        self.fixed.control.recover(survivor, bits, self.fixed.clock.now_ms)?;
        self.fixed.applied = self.fixed.applied.next();
        Ok(())
    }

    /// This state without whatever lets somebody in or names a request: tokens, clients' tokens, sessions and issues.
    #[must_use]
    pub fn without_credentials(&self) -> Self {
        let mut state = self.clone();
        state.fixed.control.drop_credentials();
        (state.fixed.sessions, state.fixed.issues) = (Sessions::default(), Issues::default());
        state
    }

    /// The state of a new peer set that begins with the user machine and the runs of this one. It is as of the next index,
    /// which is the founder's id, too: so the members, runs and tenures that records name are never taken for later ones.
    ///
    /// # Errors
    /// When this program [halted](Self::halted), a setting is out of its range or the founder cannot be a first member.
    pub fn founded_anew(self, genesis: Genesis) -> Result<Self, FoundError> {
        if self.halted().is_some() {
            return Err(FoundError::Genesis("its feature level is above this program's"));
        }
        let applied = self.applied().next();
        check_genesis(&genesis, applied)?;
        let control = self.fixed.control.founded_anew(genesis);
        Ok(Self { fixed: Fixed { applied, control, ..Fixed::default() }, ..self })
    }

    /// The models that the runs of a state in bytes name.
    ///
    /// # Errors
    /// Those of [`restore`](Self::restore) but the user machine's.
    pub fn models_in(bytes: &[u8]) -> Result<KeptModels, RestoreError> {
        read_fixed(bytes).map(|(fixed, _)| fixed.control.kept_models())
    }

    /// The whole state in bytes. Equal states give equal bytes.
    pub fn snapshot(&self) -> Vec<u8> {
        snapshot::join(&self.fixed_bytes(), &self.user.snapshot())
    }

    fn fixed_bytes(&self) -> Vec<u8> {
        let fixed = if planted(Mutation::SessionsLeftOutOfSnapshot) {
            Cow::Owned(Fixed { sessions: Sessions::default(), ..self.fixed.clone() })
        } else if planted(Mutation::ClockLeftOutOfSnapshot) {
            Cow::Owned(Fixed { clock: Clock::default(), ..self.fixed.clone() })
        } else {
            Cow::Borrowed(&self.fixed)
        };
        let bytes = Vec::with_capacity(USUAL_FIXED_LEN);
        postcard::to_extend(&*fixed, bytes).expect("the state always encodes")
    }

    /// Replaces the whole state by one that [`snapshot`](Self::snapshot) made.
    ///
    /// # Errors
    /// When the bytes are anything else, or hold what no log leads to. The state is then unchanged.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        let (fixed, user) = read_fixed(bytes)?;
        self.user.restore(user)?;
        self.fixed = fixed;
        Ok(())
    }

    /// Replaces the whole state by another one. What is not part of the replicated state stays.
    pub fn replace_by(&mut self, other: Self) {
        (self.fixed, self.user) = (other.fixed, other.user);
    }

    /// Of which peer set, in which epoch, a state in bytes is. Its user part is not looked at.
    ///
    /// # Errors
    /// Those of [`restore`](Self::restore) but the user machine's.
    pub fn set_in(bytes: &[u8]) -> Result<SetId, RestoreError> {
        read_fixed(bytes).map(|(fixed, _)| fixed.control.set())
    }

    /// A digest of the whole state, the applied index included: equal on peers that applied the same log.
    pub fn digest(&self) -> Digest {
        let user = self.user.digest();
        Digest::of(&snapshot::join(&self.fixed_bytes(), &user.0))
    }

    /// The name of the first invariant that does not hold, for simulators. There should never be one.
    pub fn broken_invariant(&self) -> Option<&'static str> {
        broken_invariant(&self.fixed)
    }
}

/// Takes a state in bytes apart: the fixed part, sound, and the user machine's.
fn read_fixed(bytes: &[u8]) -> Result<(Fixed, &[u8]), RestoreError> {
    let (format, fixed, user) = snapshot::split(bytes)?;
    let fixed = if format == snapshot::OLD_FORMAT {
        migration::from_format_4(fixed)?
    } else {
        let (fixed, rest) = postcard::take_from_bytes::<Fixed>(fixed)
            .map_err(|_| RestoreError("the fixed part cannot be read".into()))?;
        if !rest.is_empty() {
            return Err(RestoreError("the fixed part is too long".into()));
        }
        fixed
    };
    match broken_invariant(&fixed) {
        Some(broken) => Err(RestoreError(format!("it breaks a rule: {broken}"))),
        None => Ok((fixed, user)),
    }
}

fn broken_invariant(fixed: &Fixed) -> Option<&'static str> {
    let sessions =
        (!fixed.sessions.are_sound(fixed.applied, fixed.clock.by_wall)).then_some("sessions are sound");
    let is_member = |id| fixed.control.member(id).is_some();
    let issues = (!fixed.issues.are_sound(is_member)).then_some("issues are sound");
    invariants::broken(&fixed.control, fixed.applied).or(sessions).or(issues)
}

fn check_genesis(genesis: &Genesis, first: Index) -> Result<(), FoundError> {
    let Genesis { cluster, name, settings, founder } = genesis;
    settings.validate()?;
    let rules = [
        (*cluster != ClusterId::default(), "its id is all zero"),
        ((1..=MAX_NAME_LEN).contains(&name.len()), "its name takes 1 to 64 bytes"),
        (founder.id == MemberId(first.0), "the founder's id is the index it is enrolled at"),
        (founder.seat, "the founder has a seat"),
        (founder.tenures == 0, "the founder has served no tenure yet"),
        (check_addresses(&founder.addresses).is_ok(), "the founder has 1 to 8 addresses"),
        (is_rsa_public(&founder.rsa_public), RSA_KEY_RULE),
    ];
    match rules.into_iter().find(|(holds, _)| !holds) {
        Some((_, rule)) => Err(FoundError::Genesis(rule)),
        None => Ok(()),
    }
}
