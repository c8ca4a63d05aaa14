//! Entries of log format 2, the one before this: how they are read, and what was signed in them.
//!
//! Statements named the peer set only; of its epoch, which is the first for all of that format, they knew nothing.

use crate::command::statement;
use crate::{
    ClusterId, Command, ControlCommand, Enrolment, EnrolmentStatement, Epoch, MAX_PROPOSAL_LEN, MemberId,
    PeerKey, Proposal, Serial, SessionId, SetId, Signature, Stamp, Term,
};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// What stands before the command.
#[derive(Deserialize)]
struct Head {
    origin: MemberId,
    term: Term,
    stamp_ms: u64,
    session: Option<(SessionId, Serial)>,
}

/// An enrolment, the only command whose bytes were others.
#[derive(Deserialize)]
struct OldEnrolment {
    token: [u8; 16],
    statement: OldStatement,
    own_signature: Signature,
    token_signature: Signature,
}

#[derive(Serialize, Deserialize)]
struct OldStatement {
    cluster: ClusterId,
    key: PeerKey,
    rsa_public: Vec<u8>,
    addresses: Vec<SocketAddr>,
    exporter: [u8; 32],
}

/// How an enrolment begins: the command is for the control part, and its second kind.
const ENROL: [u8; 2] = [1, 1];

impl Proposal {
    /// Reads the bytes of an entry of log format 2. `None` for anything else, trailing bytes included.
    ///
    /// Its tokens say until when they are good instead of how long; with [`Stamp::Wall`] that is how they are understood.
    pub fn from_format_2(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_PROPOSAL_LEN {
            return None;
        }
        let (head, rest) = postcard::take_from_bytes::<Head>(bytes).ok()?;
        let Head { origin, term, stamp_ms, session } = head;
        let (command, rest) = match rest.strip_prefix(&ENROL) {
            Some(enrolment) => {
                let (old, rest) = postcard::take_from_bytes::<OldEnrolment>(enrolment).ok()?;
                (Command::Control(ControlCommand::Enrol(old.into())), rest)
            }
            None => postcard::take_from_bytes(rest).ok()?,
        };
        rest.is_empty().then_some(Self { origin, term, stamp: Stamp::Wall(stamp_ms), session, command })
    }
}

impl From<OldEnrolment> for Enrolment {
    fn from(old: OldEnrolment) -> Self {
        let OldStatement { cluster, key, rsa_public, addresses, exporter } = old.statement;
        let set = SetId { cluster, epoch: Epoch::first(cluster) };
        let statement = EnrolmentStatement { set, key, rsa_public, addresses, exporter };
        Self {
            token: old.token,
            statement,
            own_signature: old.own_signature,
            token_signature: old.token_signature,
        }
    }
}

/// The bytes that were signed for an enrolment.
pub fn enrolment_statement(enrolment: &EnrolmentStatement) -> Vec<u8> {
    let EnrolmentStatement { set, key, rsa_public, addresses, exporter } = enrolment;
    statement(b"rafty enrolment v1", &(set.cluster, key, rsa_public, addresses, exporter))
}

/// The bytes that were signed for [`ControlCommand::TenureBegan`].
pub fn tenure_statement(cluster: ClusterId, member: MemberId, rsa_public: &[u8]) -> Vec<u8> {
    statement(b"rafty tenure v1", &(cluster, member, rsa_public))
}

/// The bytes that were signed for [`ControlCommand::RotateKey`].
pub fn rotate_key_statement(cluster: ClusterId, member: MemberId, rsa_public: &[u8]) -> Vec<u8> {
    statement(b"rafty rotate key v1", &(cluster, member, rsa_public))
}

/// The bytes that were signed for [`ControlCommand::AddressChanged`].
pub fn address_statement(cluster: ClusterId, member: MemberId, addresses: &[SocketAddr]) -> Vec<u8> {
    statement(b"rafty address v1", &(cluster, member, addresses))
}
