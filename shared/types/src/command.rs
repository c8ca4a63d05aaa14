//! What a log entry carries into the replicated state, and the records that state is made of.

use crate::{
    Attempt, ClientId, ClientRecord, ClusterId, Digest, Index, Issue, MAX_EXAMPLES, MemberId, PeerKey,
    RecordedIncarnation, RestCause, Round, RunId, Serial, SessionId, SetId, SettingValue, Settings,
    Signature, SignedDigest, Tenure, Term, Version,
};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Longest TOML text of a task, in bytes.
pub const MAX_TASK_LEN: usize = 64 * 1024;
/// Longest name of a run, a cluster or a key's owner, in bytes.
pub const MAX_NAME_LEN: usize = 64;
/// Most seats that one command gives, and most that it takes.
pub const MAX_SEATS_CHANGED: usize = 16;
/// Most addresses of one member.
pub const MAX_ADDRESSES: usize = 8;
/// Longest RSA public key, in bytes of PKCS#1 DER; RSA-4096 takes 526.
pub const MAX_RSA_KEY_LEN: usize = 600;
/// Longest encoded proposal: a 1 MiB value and its frame.
pub const MAX_PROPOSAL_LEN: usize = 1024 * 1024 + 4096;

/// A command as it stands in the log, with what the leader stamped on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// The member that asked for it, as the leader authenticated it.
    pub origin: MemberId,
    /// The leader's term when it proposed. An aggregator's command counts only when it equals the entry's term.
    pub term: Term,
    /// What time it was for the leader when it proposed.
    pub stamp: Stamp,
    /// With a session, the command is applied once however often it is proposed.
    pub session: Option<(SessionId, Serial)>,
    /// Whose session it is, by the word of the member that asked. None: a program's on that member's own machine.
    pub client: Option<ClientId>,
    /// Whose command it is by its own signature, where the leader's word is not enough.
    pub issue: Option<Issue>,
    /// The command.
    pub command: Command,
}

/// What time it was for the leader when it proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stamp {
    /// Of an entry of log format 2: the leader's wall clock, in milliseconds since 1970. Nobody proposes it any more,
    /// and it counts only until the first [`Elapsed`](Self::Elapsed) is applied.
    Wall(u64),
    /// The peer set's own time.
    Elapsed {
        /// Milliseconds: what the leader had applied, and its monotonic time since then.
        elapsed_ms: u64,
        /// The leader's wall clock, in milliseconds since 1970. Shown and compared only; nothing is decided by it.
        wall_ms: u64,
    },
}

impl Proposal {
    /// The bytes that stand in the log: the feature level of the command, and behind it what only programs of that level
    /// can read.
    pub fn encode(&self) -> Vec<u8> {
        let level = postcard::to_allocvec(&self.command.level()).expect("a number always encodes");
        postcard::to_extend(self, level).expect("a proposal always encodes")
    }

    /// Reads what [`encode`](Self::encode) wrote, when no more than `level` is allowed. `None` for anything else, trailing
    /// bytes included: programs of all levels agree which bytes are a proposal.
    pub fn decode(bytes: &[u8], level: u32) -> Option<Self> {
        if bytes.len() > MAX_PROPOSAL_LEN {
            return None;
        }
        let (own_level, bytes) = postcard::take_from_bytes::<u32>(bytes).ok()?;
        if own_level > level {
            return None;
        }
        let (proposal, rest) = postcard::take_from_bytes::<Self>(bytes).ok()?;
        (rest.is_empty() && proposal.command.level() == own_level).then_some(proposal)
    }
}

/// What is asked of the replicated state. Grows at the end only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant)] // few exist at a time, and each is soon bytes
pub enum Command {
    /// For the user machine; the control part does not look inside.
    User(#[serde(with = "serde_bytes")] Vec<u8>),
    /// For the control part.
    Control(ControlCommand),
}

impl Command {
    /// The feature level that it came with.
    pub fn level(&self) -> u32 {
        // Whoever adds commands to a set of members of today gives them the next level.
        1
    }
}

/// What the control part knows to do. Grows at the end only; which exist is the committed feature level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ControlCommand {
    /// Admits whoever proves that it holds the token's secret.
    TokenCreated(TokenRecord),
    /// A newcomer joins. Its member id is the index of this entry.
    Enrol(Enrolment),
    /// A member leaves for good.
    Revoke {
        /// Who.
        member: MemberId,
    },
    /// A member has a new participant key.
    RotateKey {
        /// Who.
        member: MemberId,
        /// PKCS#1 DER.
        rsa_public: Vec<u8>,
    },
    /// A member is found elsewhere.
    AddressChanged {
        /// Who.
        member: MemberId,
        /// Where.
        addresses: Vec<SocketAddr>,
    },
    /// Gives learners a vote and takes voters'. Afterwards an odd number votes.
    SeatChanged {
        /// Who shall vote; at most [`MAX_SEATS_CHANGED`].
        give: Vec<MemberId>,
        /// Who shall not vote any more; at most [`MAX_SEATS_CHANGED`].
        take: Vec<MemberId>,
    },
    /// The leader is aggregator from here on.
    TenureBegan {
        /// The leader.
        member: MemberId,
        /// The tenure's fresh public key, PKCS#1 DER.
        rsa_public: Vec<u8>,
    },
    /// A run starts.
    RunSubmitted(RunSpec),
    /// A run ends before its last round.
    RunStopped {
        /// Which.
        run: RunId,
    },
    /// A round starts.
    RoundOpened {
        /// The tenure that opens it.
        tenure: Tenure,
        /// Its run.
        run: RunId,
        /// Its number.
        round: Round,
        /// The version participants start from.
        base: Version,
        /// How updates are hidden from the aggregator.
        protection: Protection,
    },
    /// An update was opened, checked and taken in.
    UpdateAccepted {
        /// The tenure that accepts it.
        tenure: Tenure,
        /// The round.
        run: RunId,
        /// The round.
        round: Round,
        /// The attempt.
        attempt: Attempt,
        /// Whose update.
        participant: MemberId,
        /// Of its plaintext.
        digest: Digest,
        /// Its weight.
        num_examples: u64,
        /// Collecting time spent on this round so far, all attempts together.
        collected_ms: u64,
        /// When it arrived, by the same measure. `None` where that does not tell how long its sender takes: it was started
        /// anew within this attempt.
        arrived_ms: Option<u64>,
    },
    /// A round ends with a new model version.
    RoundPublished(Publication),
    /// An attempt of a round could not be finished; the round stays open with the next attempt.
    RoundFailed {
        /// The tenure that gives it up.
        tenure: Tenure,
        /// The run.
        run: RunId,
        /// The round.
        round: Round,
        /// The attempt.
        attempt: Attempt,
        /// Why, in words.
        reason: String,
    },
    /// The run's current version is an older one again.
    RolledBack {
        /// The run.
        run: RunId,
        /// The version to go back to.
        version: Version,
    },
    /// Opens a session; its id is the index of this entry.
    SessionOpened,
    /// Ends a session of whoever asks early.
    SessionClosed {
        /// Which.
        session: SessionId,
    },
    /// Allows commands of a higher feature level, which the programs of all members support.
    FeatureLevel {
        /// Which.
        level: u32,
        /// Members that need not support it, since they have been silent for longer than voters may be. Whoever of them
        /// comes back with an older program halts.
        without: Vec<MemberId>,
    },
    /// The leader does not hear a member any more, or hears it again.
    ReachabilityChanged {
        /// Who.
        member: MemberId,
        /// Whether it is silent.
        silent: bool,
    },
    /// Whoever has the token may use the dictionary from another machine.
    ClientCreated(ClientRecord),
    /// A client's token is worth nothing any more.
    ClientRevoked {
        /// Whose.
        name: String,
    },
    /// The leader records what members said of themselves last, and what they have acknowledged.
    IncarnationsRecorded(Vec<RecordedIncarnation>),
    /// The leader records what voters say of their state as of a mark.
    StateDigestsRecorded {
        /// The index of the mark.
        mark: Index,
        /// At most one of each voter, in the order of their ids.
        digests: Vec<SignedDigest>,
    },
    /// A setting has another value for all members from here on.
    SettingChanged {
        /// Which, by its name in [`SETTINGS`](crate::SETTINGS).
        name: String,
        /// The value.
        value: SettingValue,
    },
    /// A member has a program that supports another feature level than it said before.
    Supports {
        /// Who.
        member: MemberId,
        /// The highest level that its program can read.
        level: u32,
    },
}

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberKind {
    /// A laptop: operators work here. Files and operators may still call it a peer.
    #[serde(alias = "peer")]
    Operator,
    /// A device: trains; may not revoke, submit runs or make tokens.
    Agent,
}

impl std::fmt::Display for MemberKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Operator => "operator",
            Self::Agent => "agent",
        })
    }
}

/// A token as the replicated state keeps it: enough to check a newcomer, not enough to make one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// Names it.
    pub id: [u8; 16],
    /// Ed25519 public key derived from the token's secret.
    pub public_key: PeerKey,
    /// What the newcomer will be.
    pub role: MemberKind,
    /// Whether it may lead.
    pub may_lead: bool,
    /// How long it is good after it was created, in milliseconds of the peer set's time. In an entry that is stamped
    /// [`Stamp::Wall`]: until when, in milliseconds since 1970.
    pub ttl_ms: u64,
    /// How many newcomers it still admits.
    pub uses: u32,
}

/// A newcomer's statement, signed with its own key and with the token's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolment {
    /// Which token; of a member that comes back, what [`naming`](Self::naming) it gives.
    pub token: [u8; 16],
    /// What is signed.
    pub statement: EnrolmentStatement,
    /// By `statement.key`, over [`EnrolmentStatement::to_bytes`], or over [`EnrolmentStatement::to_bytes_of_return`].
    pub own_signature: Signature,
    /// By the token's key, over the same bytes.
    pub token_signature: Signature,
}

impl Enrolment {
    /// What stands in place of a token where a member comes back under its identity, to be no longer the member of this id.
    pub fn naming(replaced: MemberId) -> [u8; 16] {
        u128::from(replaced.0).to_be_bytes()
    }

    /// The id that a member had when it asked to come back; `None` of a newcomer, which has a token.
    pub fn replaced(&self) -> Option<MemberId> {
        u64::try_from(u128::from_be_bytes(self.token)).ok().map(MemberId)
    }
}

/// What a newcomer says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolmentStatement {
    /// The peer set and the epoch it means.
    pub set: SetId,
    /// Its identity.
    pub key: PeerKey,
    /// Its participant key, PKCS#1 DER.
    pub rsa_public: Vec<u8>,
    /// Where it listens.
    pub addresses: Vec<SocketAddr>,
    /// The TLS exporter of the connection it joined over: the statement is worth nothing on another.
    pub exporter: [u8; 32],
}

impl EnrolmentStatement {
    /// The bytes that a newcomer signs.
    pub fn to_bytes(&self) -> Vec<u8> {
        statement(b"rafty enrolment v2", self)
    }

    /// The bytes that a member signs that comes back. They name the id that it had: once it has another, whoever kept
    /// them cannot take that away from it.
    pub fn to_bytes_of_return(&self, replaced: MemberId) -> Vec<u8> {
        statement(b"rafty return v1", &(replaced, self))
    }
}

pub(crate) fn statement<T: Serialize>(context: &[u8], content: &T) -> Vec<u8> {
    let mut bytes = context.to_vec();
    bytes.push(0);
    bytes.extend(postcard::to_allocvec(content).expect("a statement always encodes"));
    bytes
}

/// A member as the roster knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Raft id.
    pub id: MemberId,
    /// Identity.
    pub key: PeerKey,
    /// Participant key, PKCS#1 DER.
    pub rsa_public: Vec<u8>,
    /// Operator or agent.
    pub role: MemberKind,
    /// Whether it may be aggregator.
    pub may_lead: bool,
    /// Where it listens.
    pub addresses: Vec<SocketAddr>,
    /// Whether it shall vote.
    pub seat: bool,
    /// Tenures served; a newcomer starts at the current minimum.
    pub tenures: u64,
}

/// One training job, as submitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSpec {
    /// A name for people.
    pub name: String,
    /// The task, TOML: architecture, loss, optimiser, data layout.
    pub task: String,
    /// How many rounds.
    pub rounds: u32,
    /// Version 0 is derived from it.
    pub seed: u64,
    /// How updates combine.
    pub strategy: Strategy,
}

/// How updates combine. Grows at the end only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// The mean of the updates' weights, weighted by `num_examples` (McMahan et al. 2017, algorithm 1).
    FedAvg,
}

/// How updates are hidden from the aggregator. Grows at the end only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protection {
    /// Not at all: the aggregator sees each update in clear.
    None,
}

/// A round's result; one command, never two halves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// The tenure that publishes.
    pub tenure: Tenure,
    /// The run.
    pub run: RunId,
    /// The round.
    pub round: Round,
    /// The attempt.
    pub attempt: Attempt,
    /// Whose updates were combined; a subset of this attempt's accepted ones.
    pub counted: Vec<(MemberId, Digest)>,
    /// Whose were refused, and why.
    pub refused: Vec<(MemberId, Refusal)>,
    /// Who did not train, by its own word, and why.
    pub resting: Vec<(MemberId, RestCause)>,
    /// The new version.
    pub version: Version,
    /// The new model.
    pub model: Digest,
    /// How good the *base* version is on the participants' holdouts.
    pub metrics: Metrics,
    /// From opening to closing, all attempts together.
    pub duration_ms: u64,
}

/// Measures of a model on local holdouts, as integers so that every peer stores the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metrics {
    /// How many held-out examples were looked at; 0 means no measure.
    pub examples: u64,
    /// How many of them were classified rightly.
    pub correct: u64,
    /// Mean loss in millionths.
    pub loss_micros: u64,
    /// Mean training loss of the last local epoch, in millionths, weighted by `num_examples`.
    pub train_loss_micros: u64,
}

impl Metrics {
    /// Whether so many `members` can have measured this together.
    pub fn are_of(&self, members: usize) -> bool {
        let most = MAX_EXAMPLES.saturating_mul(members as u64);
        self.correct <= self.examples && self.examples <= most
    }
}

/// Why an update was not taken. Grows at the end only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// Signature, label or encryption does not hold. Deliberately one word for all.
    NotAuthentic,
    /// It decrypts to something that is not an update.
    Malformed,
    /// The number of weights is not the task's.
    WrongShape,
    /// A weight is NaN or infinite.
    NotFinite,
    /// Its distance from the base version is beyond the bound.
    OverNorm,
    /// Its weight is zero or beyond the bound.
    BadWeight,
    /// It was trained from another version than the round's base.
    WrongBase,
}

impl Refusal {
    /// Whether what was sealed is at fault, and not how: sealing it again changes nothing.
    pub fn is_of_content(self) -> bool {
        self != Self::NotAuthentic
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotAuthentic => "not authentic",
            Self::Malformed => "malformed",
            Self::WrongShape => "wrong shape",
            Self::NotFinite => "not finite",
            Self::OverNorm => "over the norm bound",
            Self::BadWeight => "bad weight",
            Self::WrongBase => "trained from another version",
        })
    }
}

/// What applying a control command answers. Grows at the end only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ControlResult {
    /// It counts.
    Done,
    /// It does not count; nothing was changed.
    Rejected(Rejection),
}

/// Why a control command does not count. Grows at the end only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Rejection {
    /// The issuer is no member, or its role may not do this.
    #[error("this member may not do this")]
    NotAllowed,
    /// No such member.
    #[error("there is no such member")]
    UnknownMember,
    /// No such token, or it was used up.
    #[error("the token is unknown or already used; ask an operator for a new one")]
    UnknownToken,
    /// Too late.
    #[error("the token has expired; ask an operator for a new one")]
    ExpiredToken,
    /// A signature does not hold.
    #[error("a signature does not hold")]
    BadSignature,
    /// The identity is already a member.
    #[error("this identity is already a member")]
    AlreadyMember,
    /// The peer set is full.
    #[error(
        "the peer set has its largest size; remove a member first, or allow more (`rafty settings set max-members N`)"
    )]
    Full,
    /// Another tenure is current, or another term.
    #[error("another tenure is current")]
    Deposed,
    /// No such round is open, or the attempt is another.
    #[error("the round or attempt is not open")]
    NotOpen,
    /// It was already done.
    #[error("already done")]
    Duplicate,
    /// No such run, or it has ended.
    #[error("there is no such run, or it has ended")]
    UnknownRun,
    /// A run is active.
    #[error("another run is active; stop it first")]
    RunActive,
    /// A field is out of its bounds.
    #[error("{0}")]
    Invalid(String),
    /// No such session of whoever asked, or it was evicted.
    #[error("the session is unknown or was evicted; open a new one")]
    UnknownSession,
    /// The serial is older than the results that are kept.
    #[error("the serial is older than the results kept for this session")]
    ForgottenSerial,
    /// The seat of the last voter.
    #[error("the last voter cannot go")]
    LastVoter,
    /// This peer does not know the command: it must be updated before it can go on.
    #[error("a command of a higher feature level is in the log; update this program")]
    FeatureLevel,
    /// No such client.
    #[error("there is no client of this name")]
    UnknownClient,
    /// It was issued too long ago.
    #[error("it was asked for too long ago; ask again")]
    TooLate,
    /// Its issuer's number for it was used for another command.
    #[error("its number was used for another command; ask again")]
    SerialTaken,
    /// The session used the serial for another command.
    #[error("the session used this serial for another command; open a new one")]
    SerialReused,
    /// Who comes back is another member by now than it says.
    #[error("this identity is member {0} by now")]
    Renamed(MemberId),
    /// A member's program is older than the feature level.
    #[error("member {0} does not support this feature level yet; update its program first")]
    Unsupported(MemberId),
}

/// What the state of a new peer set starts from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Genesis {
    /// Its id.
    pub cluster: ClusterId,
    /// Its name.
    pub name: String,
    /// Its settings.
    pub settings: Settings,
    /// Its first member, enrolled at index 1.
    pub founder: Member,
}
