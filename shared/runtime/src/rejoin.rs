//! How a member comes back to its set under its identity: by itself when its log is lost or damaged, and by an
//! operator's decision when the set went on without it in a new epoch.
//!
//! It gets a new id, since it may have voted under the old one. Its data, models and identity stay, and so does its
//! term: it votes only in later ones.

use crate::address::{own_address, reachable};
use crate::member::{MemberError, MemberFile, Secrets, load, open_dir};
use crate::setup::{SetupError, ask, write_member};
use rafty_dictionary::{Entries, Replicated};
use rafty_seal::short_hash;
use rafty_storage::{DataDir, Log, Origin};
use rafty_types::{Batch, Epoch, EpochRelation, HardState, Index, MemberId, PeerKey, SetId};
use rafty_wire::JoinReply;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// How often one member may say that the one that comes back has another id by now.
const MAX_RENAMES: u32 = 2;
const RENAMED_AGAIN: &str = "it gave this member another id each time";

/// A member that another one, in a newer epoch, would take back. Its directory is locked.
pub struct Returning {
    dir: DataDir,
    member: MemberFile,
    secrets: Secrets,
    own: Epoch,
    /// Term and vote that it keeps.
    vote: HardState,
    /// Who answered, and in which epoch it is.
    at: (SocketAddr, PeerKey),
    epoch: Epoch,
}

/// A member did not come back. Nothing was changed, unless it says so.
#[derive(Debug, thiserror::Error)]
pub enum RejoinError {
    /// The directory.
    #[error(transparent)]
    Member(#[from] MemberError),
    /// It is in use, foreign, or cannot be read.
    #[error("cannot rejoin: {0}; nothing was changed; stop `up` of this member first if it runs")]
    Dir(#[from] rafty_storage::DataDirError),
    /// Nobody answered, or the set refused.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The others are in the same epoch.
    #[error(
        "the set is in epoch {0}, as this member is: it belongs to it already; nothing was changed; start it with `up`"
    )]
    NothingToDo(Epoch),
    /// The others are in an older epoch.
    #[error(
        "{peer} is in epoch {other}, older than {own} of this member: it must come back to this member's set, not the \
         other way round; nothing was changed; run `rejoin` there"
    )]
    Older {
        /// Whose epoch it is.
        peer: SocketAddr,
        /// Its epoch.
        other: Epoch,
        /// This member's.
        own: Epoch,
    },
    /// The others are in another branch.
    #[error(
        "this member belongs to another branch of the set: it is in epoch {own} and {peer} in {other}; two members were \
         recovered apart; nothing was changed; to give up what was written in this branch since, use --abandon-branch"
    )]
    Fork {
        /// Whose epoch it is.
        peer: SocketAddr,
        /// Its epoch.
        other: Epoch,
        /// This member's.
        own: Epoch,
    },
    /// The set went on in another epoch, which only an operator may accept.
    #[error(
        "{peer} is in epoch {other} and this member in {own}: the set was recovered meanwhile; nothing was changed; run \
         `rejoin` to bring this member back with its data and identity"
    )]
    OtherEpoch {
        /// Who said so.
        peer: SocketAddr,
        /// Its epoch.
        other: Epoch,
        /// This member's.
        own: Epoch,
    },
    /// The set took it, and then the disk failed.
    #[error(
        "the set has taken this member back, but {dir} cannot be changed: {why}; run `rejoin` or `up` again"
    )]
    Disk {
        /// The directory.
        dir: PathBuf,
        /// Why.
        why: String,
    },
}

impl Returning {
    /// Looks for a member in a newer epoch, at `peers` and where the others were last. One of another branch counts
    /// when `abandon_branch`.
    ///
    /// # Errors
    /// See [`RejoinError`].
    pub fn find(dir: &Path, peers: &[SocketAddr], abandon_branch: bool) -> Result<Self, RejoinError> {
        let dir = open_dir::<RejoinError>(dir)?;
        let (member, secrets) = load(&dir)?;
        let OwnLog { epoch: own, unusable, vote } = OwnLog::read(&dir, &member);
        let mut failure = SetupError::NobodyToAsk.into();
        for at in candidates(&member, &secrets, peers) {
            // No set is in this epoch, so whoever is asked only says in which one it is.
            let nowhere = SetId { cluster: member.cluster, epoch: Epoch::default() };
            match enrol_at(at, nowhere, &member, member.member, &secrets) {
                Ok(JoinReply::OtherEpoch { epoch }) => match own.relation(epoch) {
                    EpochRelation::Newer => return Ok(Self { dir, member, secrets, own, vote, at, epoch }),
                    EpochRelation::Fork if abandon_branch => {
                        return Ok(Self { dir, member, secrets, own, vote, at, epoch });
                    }
                    EpochRelation::Fork => failure = RejoinError::Fork { peer: at.0, other: epoch, own },
                    EpochRelation::Same if unusable => {
                        return Ok(Self { dir, member, secrets, own, vote, at, epoch });
                    }
                    EpochRelation::Same => keep_fork(&mut failure, RejoinError::NothingToDo(own)),
                    EpochRelation::Older => {
                        keep_fork(&mut failure, RejoinError::Older { peer: at.0, other: epoch, own });
                    }
                },
                Ok(JoinReply::Granted { .. } | JoinReply::Refused { .. } | JoinReply::Renamed { .. }) => {
                    let why = "it does not know epochs, or does not know this member".into();
                    keep_epoch(&mut failure, SetupError::Unreachable { peer: at.0, why });
                }
                Err(error) => keep_epoch(&mut failure, error),
            }
        }
        Err(failure)
    }

    /// The epoch this member is in, and the one it would come back to.
    pub fn epochs(&self) -> (Epoch, Epoch) {
        (self.own, self.epoch)
    }

    /// Comes back. What only this member's log holds is not brought into the set; the log is set aside.
    ///
    /// # Errors
    /// See [`RejoinError`].
    pub fn rejoin(self) -> Result<MemberFile, RejoinError> {
        let Self { dir, member, secrets, own, vote, at, epoch } = self;
        let set = SetId { cluster: member.cluster, epoch };
        let found = match come_back_at(at, set, &member, &mut vec![member.member], &secrets)? {
            JoinReply::Granted { member: id, name, settings, members, .. } => {
                MemberFile { member: id, epoch: Some(epoch), name, settings, members, ..member }
            }
            JoinReply::Refused { reason } => return Err(SetupError::Refused(reason).into()),
            JoinReply::Renamed { .. } => return Err(SetupError::Refused(RENAMED_AGAIN.into()).into()),
            JoinReply::OtherEpoch { epoch: other } => {
                return Err(RejoinError::OtherEpoch { peer: at.0, other, own });
            }
        };
        // In this order, since a log of the old epoch must never be used under the new id. When it is cut off, the log
        // is missing, and the member enrols once more.
        let failed = |why: String| RejoinError::Disk { dir: dir.root().into(), why };
        dir.set_log_aside().map_err(|error| failed(error.to_string()))?;
        write_member(&dir, &found).map_err(failed)?;
        make_log(&dir, vote).map_err(failed)?;
        Ok(found)
    }
}

/// Enrols a member anew whose log is lost or damaged: it must never vote with that. It keeps its identity and gets a
/// new id; the old one leaves the peer set.
///
/// # Errors
/// When no member that was known answers, or the peer set refuses or is in another epoch. Nothing was changed then.
pub(crate) fn re_enrol(
    dir: &DataDir,
    lost: &MemberFile,
    secrets: &Secrets,
) -> Result<MemberFile, RejoinError> {
    let (set, own) = (lost.set(), lost.set().epoch);
    let mut failure = SetupError::Refused("no other member is known".into()).into();
    let mut named = vec![lost.member];
    for at in candidates(lost, secrets, &[]) {
        match come_back_at(at, set, lost, &mut named, secrets) {
            Ok(JoinReply::Granted { member, name, settings, members, .. }) => {
                let found = MemberFile { member, name, settings, members, ..lost.clone() };
                let failed = |why| RejoinError::Disk { dir: dir.root().into(), why };
                return write_member(dir, &found).map(|()| found).map_err(failed);
            }
            Ok(JoinReply::Refused { reason }) => keep_epoch(&mut failure, SetupError::Refused(reason)),
            Ok(JoinReply::Renamed { .. }) => {
                keep_epoch(&mut failure, SetupError::Refused(RENAMED_AGAIN.into()));
            }
            Ok(JoinReply::OtherEpoch { epoch: other }) => {
                failure = RejoinError::OtherEpoch { peer: at.0, other, own };
            }
            Err(error) => keep_epoch(&mut failure, error),
        }
    }
    Err(failure)
}

/// What was learned of epochs says more than that somebody else did not answer.
fn keep_epoch(failure: &mut RejoinError, error: SetupError) {
    if matches!(failure, RejoinError::Setup(_)) {
        *failure = error.into();
    }
}

fn keep_fork(failure: &mut RejoinError, error: RejoinError) {
    if !matches!(failure, RejoinError::Fork { .. }) {
        *failure = error;
    }
}

/// Where somebody may answer, and whose key must: `peers` first, each of which may be any of the others.
fn candidates(member: &MemberFile, secrets: &Secrets, peers: &[SocketAddr]) -> Vec<(SocketAddr, PeerKey)> {
    let own = secrets.identity.key();
    let others: Vec<_> = member.members.iter().filter(|other| other.key != own).collect();
    let given = peers.iter().flat_map(|peer| others.iter().map(|other| (*peer, other.key)));
    let known = others.iter().flat_map(|other| other.addresses.iter().map(|address| (*address, other.key)));
    given.chain(known).collect()
}

/// Asks one member to be taken back. When an earlier answer was lost, the set knows the one that comes back under a newer id
/// than it knows itself; it is told, and names that one. `named` are the ids that statements name which somebody may have
/// kept: it does not stay under one of these.
fn come_back_at(
    at: (SocketAddr, PeerKey),
    set: SetId,
    member: &MemberFile,
    named: &mut Vec<MemberId>,
    secrets: &Secrets,
) -> Result<JoinReply, SetupError> {
    let mut replaced = member.member;
    for _ in 0..=MAX_RENAMES {
        let reply = enrol_at(at, set, member, replaced, secrets)?;
        match &reply {
            JoinReply::Renamed { member: id } => replaced = *id,
            JoinReply::Granted { member: id, .. } if named.contains(id) => replaced = *id,
            _ => return Ok(reply),
        }
        named.push(replaced);
    }
    Ok(JoinReply::Renamed { member: replaced })
}

fn enrol_at(
    (address, key): (SocketAddr, PeerKey),
    set: SetId,
    member: &MemberFile,
    replaced: MemberId,
    secrets: &Secrets,
) -> Result<JoinReply, SetupError> {
    let own = own_address(member).unwrap_or_else(|| reachable(member.listen, Some(address)));
    let addresses = vec![own];
    ask(&[address], set.cluster, short_hash(&key), |_, exporter| {
        rafty_seal::re_enrol(&secrets.identity, replaced, secrets.rsa.public(), set, exporter, addresses)
    })
}

/// What a returning member's log says; it is read once, and nobody else writes it meanwhile.
struct OwnLog {
    /// The member file's note of it may be behind.
    epoch: Epoch,
    /// Whether the member may have forgotten what it promised, or its state has diverged: then it comes back under a new
    /// id within its epoch, too.
    unusable: bool,
    /// Term and vote, of the log or of one that was set aside when an earlier return was cut off.
    vote: HardState,
}

impl OwnLog {
    fn read(dir: &DataDir, member: &MemberFile) -> Self {
        let recovered = |log: &Path| Log::open(log).ok().map(|(_, recovered)| recovered);
        let own = recovered(&dir.log());
        let set = own.as_ref().and_then(|own| Replicated::<Entries>::set_in(&own.snapshot.data).ok());
        let condemned =
            own.as_ref().is_some_and(|own| own.incarnations.outdated || own.incarnations.diverged.is_some());
        let copied = matches!(Log::origin(&dir.log()), Ok(Origin::Copied));
        let kept = own.or_else(|| recovered(&dir.log_aside())).map(|log| log.hard_state);
        Self {
            epoch: set.unwrap_or_else(|| member.set()).epoch,
            unusable: copied || condemned,
            vote: HardState { commit: Index(0), ..kept.unwrap_or_default() },
        }
    }
}

fn make_log(dir: &DataDir, hard_state: HardState) -> Result<(), String> {
    Log::create(&dir.log()).map_err(|error| error.to_string())?;
    let (mut log, _) = Log::open(&dir.log()).map_err(|error| error.to_string())?;
    let batch = Batch { hard_state: Some(hard_state), ..Batch::default() };
    log.write(&[batch]).map_err(|error| error.to_string())
}
