//! What makes a directory a member: its identity, its keys, and what it knew when it joined.

use crate::host_port::HostPort;
use rafty_seal::{Identity, RsaKey};
use rafty_storage::{DataDir, DataDirError};
use rafty_types::{ClusterId, Epoch, Member, MemberId, MemberKind, SetId, Settings};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// The identity's secret, 32 bytes.
pub(crate) const IDENTITY_FILE: &str = "identity";
/// The participant key, PKCS#8 DER.
pub(crate) const RSA_FILE: &str = "participant-key";
/// The directory of model versions.
pub(crate) const MODELS: &str = "models";
/// [`MemberFile`] as JSON.
pub(crate) const MEMBER_FILE: &str = "member.json";

/// What a member knows of itself and its peer set before it has replicated anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberFile {
    /// The peer set.
    pub cluster: ClusterId,
    /// The epoch it knew last; `None` in files from before there were epochs: the first.
    #[serde(default)]
    pub epoch: Option<Epoch>,
    /// Its name.
    pub name: String,
    /// This member's Raft id.
    pub member: MemberId,
    /// Operator or agent.
    pub kind: MemberKind,
    /// The UDP address to listen on.
    pub listen: SocketAddr,
    /// Where others reach it, when that is not where it listens.
    #[serde(default)]
    pub advertise: Option<HostPort>,
    /// Where it serves clients of other machines, if it does.
    #[serde(default)]
    pub clients: Option<IpAddr>,
    /// The peer set's settings at that time.
    pub settings: Settings,
    /// The members at that time.
    pub members: Vec<Member>,
    /// Where this device's training data is.
    pub data: Option<PathBuf>,
}

/// A member's secrets. Both are zeroized when dropped; `Debug` shows neither.
#[derive(Debug)]
pub(crate) struct Secrets {
    pub(crate) identity: Identity,
    pub(crate) rsa: RsaKey,
}

/// A directory is no member, or a broken one.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    /// There is nothing.
    #[error(
        "{0} is not the directory of a member; nothing was changed; use `init` or `join` first, or another --dir"
    )]
    NotMember(PathBuf),
    /// A file cannot be used.
    #[error(
        "{file} in {dir} is not usable: {why}; nothing was changed; restore it from a backup or join anew in another --dir"
    )]
    Damaged {
        /// The directory.
        dir: PathBuf,
        /// The file in it.
        file: &'static str,
        /// Why.
        why: String,
    },
}

/// Opens and locks the directory of a member. One of nobody's is left alone: opening would make it.
pub(crate) fn open_dir<E: From<MemberError> + From<DataDirError>>(dir: &Path) -> Result<DataDir, E> {
    if !dir.join(MEMBER_FILE).exists() {
        return Err(MemberError::NotMember(dir.into()).into());
    }
    Ok(DataDir::open(dir)?)
}

impl MemberFile {
    /// The peer set in the epoch that this file knows. The replicated state knows better, once there is one.
    pub fn set(&self) -> SetId {
        SetId { cluster: self.cluster, epoch: self.epoch.unwrap_or_else(|| Epoch::first(self.cluster)) }
    }

    /// What the member in `dir` knew when it was made. Anybody may look; its secrets are elsewhere.
    ///
    /// # Errors
    /// When `dir` is no member's, or the file is damaged.
    pub fn read(dir: &Path) -> Result<Self, MemberError> {
        let damaged = |why: String| MemberError::Damaged { dir: dir.into(), file: MEMBER_FILE, why };
        let file = dir.join(MEMBER_FILE);
        if !file.exists() {
            return Err(MemberError::NotMember(dir.into()));
        }
        let bytes = std::fs::read(file).map_err(|error| damaged(error.to_string()))?;
        serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))
    }
}

pub(crate) fn load(dir: &DataDir) -> Result<(MemberFile, Secrets), MemberError> {
    let member = MemberFile::read(dir.root())?;
    let damaged = |file, why: String| MemberError::Damaged { dir: dir.root().into(), file, why };
    let read = |file| std::fs::read(dir.file(file)).map_err(|error| damaged(file, error.to_string()));
    let identity = zeroize::Zeroizing::new(read(IDENTITY_FILE)?);
    let identity = <&[u8; 32]>::try_from(identity.as_slice())
        .map(Identity::from_secret_bytes)
        .map_err(|_| damaged(IDENTITY_FILE, "it must have 32 bytes".into()))?;
    let rsa = zeroize::Zeroizing::new(read(RSA_FILE)?);
    let rsa = RsaKey::from_der(&rsa).map_err(|error| damaged(RSA_FILE, error.to_string()))?;
    Ok((member, Secrets { identity, rsa }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A laptop's file of an earlier version calls it a peer.
    #[test]
    fn a_kind_is_read_by_its_former_word_and_written_by_its_present_one() {
        for word in ["peer", "operator"] {
            assert_eq!(
                serde_json::from_str::<MemberKind>(&format!("{word:?}")).unwrap(),
                MemberKind::Operator
            );
        }
        assert_eq!(serde_json::to_string(&MemberKind::Operator).unwrap(), "\"operator\"");
    }
}
