//! Entries of log format 2, the one before this: how they are read, and what was signed in them.
//!
//! Statements named the peer set only; of its epoch, which is the first for all of that format, they knew nothing.

use crate::command::statement;
use crate::{
    Attempt, ClusterId, Command, ControlCommand, Digest, Enrolment, EnrolmentStatement, Epoch, Index, Issue,
    IssueSerial, MAX_PROPOSAL_LEN, MemberId, Metrics, PeerKey, Proposal, Publication, Refusal, Round, RunId,
    Serial, SessionId, SetId, Signature, Stamp, Tenure, Term, Version,
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

/// An enrolment.
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

/// How the commands begin whose bytes were others: each is for the control part, and of this kind there.
const ENROL: [u8; 2] = [1, 1];
const ROTATE_KEY: [u8; 2] = [1, 3];
const ADDRESS_CHANGED: [u8; 2] = [1, 4];
const TENURE_BEGAN: [u8; 2] = [1, 6];
const UPDATE_ACCEPTED: [u8; 2] = [1, 10];
const ROUND_PUBLISHED: [u8; 2] = [1, 11];

#[derive(Deserialize)]
struct OldUpdateAccepted {
    tenure: Tenure,
    run: RunId,
    round: Round,
    attempt: Attempt,
    participant: MemberId,
    digest: Digest,
    num_examples: u64,
    collected_ms: u64,
}

#[derive(Deserialize)]
struct OldPublication {
    tenure: Tenure,
    run: RunId,
    round: Round,
    attempt: Attempt,
    counted: Vec<(MemberId, Digest)>,
    refused: Vec<(MemberId, Refusal)>,
    version: Version,
    model: Digest,
    metrics: Metrics,
    duration_ms: u64,
}

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
        let (command, issue, rest) = command(rest)?;
        let stamp = Stamp::Wall(stamp_ms);
        rest.is_empty().then_some(Self { origin, term, stamp, session, client: None, issue, command })
    }
}

/// Reads a command, and what follows it.
fn command(bytes: &[u8]) -> Option<(Command, Option<Issue>, &[u8])> {
    let (command, rest) = match bytes.split_first_chunk() {
        Some((&ROTATE_KEY, bytes)) => {
            return signed(bytes, |member, rsa_public| ControlCommand::RotateKey { member, rsa_public });
        }
        Some((&ADDRESS_CHANGED, bytes)) => {
            return signed(bytes, |member, addresses| ControlCommand::AddressChanged { member, addresses });
        }
        Some((&TENURE_BEGAN, bytes)) => {
            return signed(bytes, |member, rsa_public| ControlCommand::TenureBegan { member, rsa_public });
        }
        Some((&ENROL, bytes)) => {
            let (old, rest) = postcard::take_from_bytes::<OldEnrolment>(bytes).ok()?;
            (ControlCommand::Enrol(old.into()), rest)
        }
        Some((&UPDATE_ACCEPTED, bytes)) => {
            let (old, rest) = postcard::take_from_bytes::<OldUpdateAccepted>(bytes).ok()?;
            (old.into(), rest)
        }
        Some((&ROUND_PUBLISHED, bytes)) => {
            let (old, rest) = postcard::take_from_bytes::<OldPublication>(bytes).ok()?;
            (ControlCommand::RoundPublished(old.into()), rest)
        }
        _ => {
            let (command, rest) = postcard::take_from_bytes(bytes).ok()?;
            return Some((command, None, rest));
        }
    };
    Some((Command::Control(command), None, rest))
}

/// Reads a command that its member signed: with whom it was about, something new and the signature.
fn signed<'a, T: Deserialize<'a>>(
    bytes: &'a [u8],
    command: impl Fn(MemberId, T) -> ControlCommand,
) -> Option<(Command, Option<Issue>, &'a [u8])> {
    let ((by, new, signature), rest) = postcard::take_from_bytes(bytes).ok()?;
    let issue = Issue { by, serial: IssueSerial::default(), seen: Index(0), seen_ms: 0, signature };
    Some((Command::Control(command(by, new)), Some(issue), rest))
}

impl From<OldUpdateAccepted> for ControlCommand {
    fn from(old: OldUpdateAccepted) -> Self {
        let OldUpdateAccepted { tenure, run, round, attempt, participant, .. } = old;
        let OldUpdateAccepted { digest, num_examples, collected_ms, .. } = old;
        Self::UpdateAccepted {
            tenure,
            run,
            round,
            attempt,
            participant,
            digest,
            num_examples,
            collected_ms,
            arrived_ms: None,
        }
    }
}

impl From<OldPublication> for Publication {
    fn from(old: OldPublication) -> Self {
        let OldPublication { tenure, run, round, attempt, counted, refused, .. } = old;
        let OldPublication { version, model, metrics, duration_ms, .. } = old;
        let resting = Vec::new();
        Self { tenure, run, round, attempt, counted, refused, resting, version, model, metrics, duration_ms }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: [u8; 2], command: &impl Serialize) -> Option<ControlCommand> {
        let head = postcard::to_allocvec(&(1_u64, 2_u64, 3_u64, None::<u64>)).expect("it encodes");
        let command = postcard::to_allocvec(command).expect("it encodes");
        let bytes = [&head, &kind[..], &command].concat();
        assert_eq!(Proposal::from_format_2(&[&bytes[..], &[0]].concat()), None, "a byte too many");
        match Proposal::from_format_2(&bytes)?.command {
            Command::Control(command) => Some(command),
            Command::User(_) => None,
        }
    }

    #[test]
    fn commands_that_are_longer_now_are_read_as_they_were() {
        let (tenure, run, round, attempt) = (Tenure(4), RunId(5), Round(6), Attempt(7));
        let (participant, digest) = (MemberId(8), Digest([9; 32]));
        let accepted = ControlCommand::UpdateAccepted {
            tenure,
            run,
            round,
            attempt,
            participant,
            digest,
            num_examples: 10,
            collected_ms: 11,
            arrived_ms: None,
        };
        let old = ((tenure, run, round, attempt), participant, digest, 10_u64, 11_u64);
        assert_eq!(read(UPDATE_ACCEPTED, &old), Some(accepted));

        let counted = vec![(participant, digest)];
        let refused = vec![(MemberId(12), Refusal::NotFinite)];
        let (version, model, metrics) = (Version(13), Digest([14; 32]), Metrics::default());
        let old = ((tenure, run, round, attempt), &counted, &refused, (version, model, metrics), 15_u64);
        let old = read(ROUND_PUBLISHED, &old);
        let (resting, duration_ms) = (Vec::new(), 15);
        let published = Publication {
            tenure,
            run,
            round,
            attempt,
            counted,
            refused,
            resting,
            version,
            model,
            metrics,
            duration_ms,
        };
        assert_eq!(old, Some(ControlCommand::RoundPublished(published)));
    }
}
