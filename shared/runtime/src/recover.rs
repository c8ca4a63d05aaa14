//! Going on after most voters were lost for good: offline, on one survivor, by an operator's decision.
//!
//! The survivor becomes the only voter of a new epoch. All entries of its log are kept and count as committed: among
//! those that it does not know to be committed are writes that were acknowledged by the lost majority, and dropping them
//! would lose these. The price is that a write may come to count whose client was told that its outcome is unknown.
//!
//! The log changes in one transaction: whatever cuts it off, the member is in the old epoch or in the new one.

use crate::machine::UserMachine;
use crate::member::{MemberError, MemberFile, open_dir};
use crate::setup::write_member;
use rafty_dictionary::{Entries, Replicated};
use rafty_node::recovery;
use rafty_storage::{DataDir, Log, OpenError};
use rafty_types::{Epoch, Index, Member, MemberId, Term};
use rand_core::Rng;
use std::path::Path;

/// A member that can go on alone, its directory locked. Nothing is changed before [`recover`](Self::recover).
pub struct Survivor<U: UserMachine = Entries> {
    dir: DataDir,
    log: Log,
    member: MemberFile,
    state: Replicated<U>,
    term: Term,
    committed: Index,
}

/// What the operator should know before deciding.
#[derive(Clone, Debug)]
pub struct RecoveryPreview {
    /// The peer set's name.
    pub name: String,
    /// Who goes on.
    pub survivor: MemberId,
    /// Whether it votes. The log of one that does not may lack more.
    pub votes: bool,
    /// The epoch that ends.
    pub epoch: Epoch,
    /// The last entry that is kept. Later writes are lost.
    pub last: Index,
    /// Up to where entries are known to be committed; those up to `last` are kept all the same.
    pub committed: Index,
    /// The survivor's term.
    pub term: Term,
    /// The leader's stamp of the newest entry, in milliseconds since 1970.
    pub stamped_ms: u64,
    /// The other voters, without which it goes on.
    pub missing: Vec<Member>,
}

/// The set was not recovered. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The directory.
    #[error(transparent)]
    Member(#[from] MemberError),
    /// It is in use, foreign, or cannot be read.
    #[error("cannot recover: {0}; nothing was changed; stop `up` of this member first if it runs")]
    Dir(#[from] rafty_storage::DataDirError),
    /// The log.
    #[error(
        "cannot recover from this member's log: {0}; nothing was changed; recover on another survivor, or \
         `restore` a backup into a new directory"
    )]
    Log(#[from] OpenError),
    /// The state.
    #[error("cannot recover: {0}; nothing was changed; recover on another survivor")]
    State(String),
    /// It is a newcomer.
    #[error(
        "this member has no state of the set yet; nothing was changed; recover on a member that was there for longer"
    )]
    Newcomer,
    /// There is no other voter.
    #[error(
        "member {me} is the only voter of epoch {epoch}: there is nothing to recover; nothing was changed; start it \
         with `up`"
    )]
    Alone {
        /// Which.
        me: MemberId,
        /// Of what.
        epoch: Epoch,
    },
    /// The log refused or the disk failed.
    #[error(
        "the new epoch could not be written: {0}; the member is in the old epoch or in the new one, and `recover` run \
         again finds out"
    )]
    Write(String),
}

impl Survivor<Entries> {
    /// Looks at the member in `dir`, which has the dictionary.
    ///
    /// # Errors
    /// See [`RecoverError`].
    pub fn open(dir: &Path) -> Result<Self, RecoverError> {
        Self::open_with(dir, Entries::default())
    }
}

impl<U: UserMachine> Survivor<U> {
    /// Looks at the member in `dir`, whose set runs another machine, given in its initial state.
    ///
    /// # Errors
    /// See [`RecoverError`].
    pub fn open_with(dir: &Path, machine: U) -> Result<Self, RecoverError> {
        let dir = open_dir::<RecoverError>(dir)?;
        let member = MemberFile::read(dir.root())?;
        let (log, recovered) = Log::open(&dir.log())?;
        let last_term = recovered.entries.last().map_or(recovered.snapshot.meta.term, |entry| entry.term);
        let term = recovered.hard_state.term.max(last_term);
        let committed = recovered.hard_state.commit;
        let state = recovery::replay(&recovered.snapshot, &recovered.entries, machine)
            .map_err(RecoverError::State)?;
        let survivor = Self { dir, log, member, state, term, committed };
        let (me, control) = (survivor.member.member, survivor.state.control());
        if !control.initialised() {
            return Err(RecoverError::Newcomer);
        }
        if control.member(me).is_none() {
            return Err(RecoverError::State(format!("member {me} does not belong to the set any more")));
        }
        if control.desired_voters().iter().all(|voter| *voter == me) {
            return Err(RecoverError::Alone { me, epoch: control.set().epoch });
        }
        Ok(survivor)
    }

    /// What a recovery would keep, and without whom it would go on.
    pub fn preview(&self) -> RecoveryPreview {
        let (me, control) = (self.member.member, self.state.control());
        let others = control.members().values().filter(|member| member.seat && member.id != me);
        RecoveryPreview {
            name: control.name().to_string(),
            survivor: me,
            votes: control.member(me).is_some_and(|member| member.seat),
            epoch: control.set().epoch,
            last: self.state.applied(),
            committed: self.committed,
            term: self.term,
            stamped_ms: self.state.wall_ms().unwrap_or_default(),
            missing: others.cloned().collect(),
        }
    }

    /// Makes the new epoch, in which this member is the only voter. The others stay members and come back by
    /// [`rejoin`](crate::rejoin).
    ///
    /// # Errors
    /// See [`RecoverError`].
    pub fn recover(mut self) -> Result<Epoch, RecoverError> {
        let me = self.member.member;
        let mut bits = [0; 16];
        crate::random::rng().fill_bytes(&mut bits);
        let batch = recovery::recover(&mut self.state, me, self.term, bits);
        let batch = batch.map_err(|why| RecoverError::State(why.to_string()))?;
        if let Some(broken) = self.state.broken_invariant() {
            return Err(RecoverError::State(format!("the state would break a rule: {broken}")));
        }
        self.log.write(&[batch]).map_err(|error| RecoverError::Write(error.to_string()))?;
        // Whether it was a copy or not, from now on it is what the set goes on with.
        Log::take_as_original(&self.dir.log()).map_err(|error| RecoverError::Write(error.to_string()))?;
        let control = self.state.control();
        let (epoch, members) = (control.set().epoch, control.members().values().cloned().collect());
        let note = MemberFile { epoch: Some(epoch), members, ..self.member };
        // The state says it, too, and `up` mends a note that is behind.
        let _ = write_member(&self.dir, &note);
        Ok(epoch)
    }
}
