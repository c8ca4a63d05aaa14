//! What goes into a node and what comes out of it.

use crate::{Answer, Event, FrozenState, ReadState, RequestId, UnreadState};
use rafty_consensus::Link;
use rafty_rounds::{Arrival, EnvelopeHandle, Work, WorkId, WorkResult};
use rafty_types::{
    Batch, ClientId, Command, Digest, Entry, EnvelopeHeader, Frame, HardState, Incarnations, Index, Member,
    MemberId, Message, PersistId, Serial, SessionId, Sign, Signature, Snapshot, Time,
};
use std::net::SocketAddr;
use std::sync::Arc;

/// What a node starts from.
#[derive(Clone, Debug)]
pub struct Boot {
    /// This member's Raft id.
    pub me: MemberId,
    /// As recovered from the disk.
    pub hard_state: HardState,
    /// As recovered from the disk; index 0 for a newcomer.
    pub snapshot: Snapshot,
    /// As recovered from the disk.
    pub entries: Vec<Entry>,
    /// The update that was made but whose round was not seen published.
    pub pending_update: Option<rafty_rounds::PendingUpdate>,
    /// Whom it knows before it knows the peer set's state.
    pub told: Vec<Member>,
    /// Models on the disk.
    pub held: Vec<Digest>,
    /// A name and port at which others find this member, if it has one; at most
    /// [`MAX_HELLO_NAME_LEN`](rafty_types::MAX_HELLO_NAME_LEN) bytes.
    pub advertised_name: Option<String>,
    /// What the wall clock shows at the start, in milliseconds since 1970.
    pub wall_ms: u64,
    /// Settings to use until the replicated ones are known.
    pub settings: rafty_types::Settings,
    /// Whether this member trains. One that does not never trains and says so.
    pub trains: bool,
    /// The starts that the disk remembers.
    pub incarnations: Incarnations,
    /// Whether the files look like a copy: the member abstains until [`Output::NoCopy`].
    pub suspected: bool,
    /// Where it listens, for people.
    pub address: Option<SocketAddr>,
    /// Signs what this member issues.
    pub signer: Arc<dyn Sign>,
    /// Every drawn number comes from it.
    pub seed: u64,
}

/// Something happened.
#[derive(Debug)]
pub enum Input {
    /// The deadline passed.
    Tick,
    /// A frame from a member, authenticated by the transport.
    Frame {
        /// From whom.
        from: MemberId,
        /// What.
        frame: Frame,
    },
    /// A batch is on the disk; so are all before it.
    Persisted(PersistId),
    /// A work order is done.
    WorkDone {
        /// Which.
        id: WorkId,
        /// How it went.
        result: WorkResult,
    },
    /// An envelope arrived; its bytes are in the spool.
    Envelope {
        /// From whom.
        from: MemberId,
        /// Its head, not yet verified.
        header: Box<EnvelopeHeader>,
        /// Its bytes.
        handle: EnvelopeHandle,
    },
    /// A long envelope begins to arrive, or came to a halt half-way.
    Arrival {
        /// From whom.
        from: MemberId,
        /// Digest of the plaintext, as its head says, not yet verified.
        content: Digest,
        /// Which of the two.
        arrival: Arrival,
    },
    /// This member's disk takes nothing, and why; none when it does again.
    DiskTrouble(Option<String>),
    /// A snapshot arrived whole.
    Snapshot {
        /// From whom.
        from: MemberId,
        /// The engine's message.
        message: Box<Message>,
        /// The state's bytes.
        data: Arc<[u8]>,
    },
    /// What [`Output::TakeSnapshot`] asked for.
    SnapshotTaken {
        /// Of the state that was given.
        index: Index,
        /// The state's bytes.
        data: Arc<[u8]>,
    },
    /// What [`Output::TakeSnapshot`] asked for did not come about.
    SnapshotFailed {
        /// Of the state that was given.
        index: Index,
    },
    /// What [`Output::DigestState`] asked for did not come about.
    StateDigestFailed {
        /// The mark.
        mark: Index,
    },
    /// What [`Output::ReadSnapshot`] asked for.
    SnapshotRead(ReadState),
    /// What [`Output::DigestState`] asked for.
    StateDigested {
        /// The mark.
        mark: Index,
        /// Of the state that was given.
        digest: Digest,
        /// By this member's identity, over `state_digest_statement`.
        signature: Signature,
    },
    /// A snapshot was sent, or not.
    SnapshotSent {
        /// To whom.
        to: MemberId,
        /// Whether it arrived.
        arrived: bool,
    },
    /// A member cannot be reached.
    Unreachable(MemberId),
    /// How good the ways to the others are; every second or so.
    Measured(Vec<Link>),
    /// What the wall clock shows, in milliseconds since 1970; every second or so, since it may be set. Nothing is decided
    /// by it.
    WallClock(u64),
    /// A tenure key was made.
    TenureKey(TenureKey),
    /// Somebody wants a command committed, or to read.
    Request {
        /// Names the answer.
        id: RequestId,
        /// What is wanted.
        request: Box<Request>,
        /// Until when.
        until: Time,
    },
    /// Whether somebody wants to see each user command when it is applied.
    Watch(bool),
    /// Somebody wants this member to lead.
    Transfer(MemberId),
    /// `true`: the member wants to end, or its disk fails, so it hands over and leads no more than it must.
    /// `false`: that is over.
    Retire(bool),
}

/// What somebody wants of a node.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // nearly every request is a command
pub enum Request {
    /// A command, committed and applied.
    Commit {
        /// The client that asks, if it showed a token: its sessions are its own, by way of whichever member.
        client: Option<ClientId>,
        /// With a session it is applied once however often it is asked for.
        session: Option<(SessionId, Serial)>,
        /// The command.
        command: Command,
    },
    /// Like [`Commit`](Self::Commit), but proposed by this member only: while another leads, the answer is
    /// [`Answer::Redirect`]. A change of membership is refused while another one is under way.
    CommitHere {
        /// The client that asks, if it showed a token: its sessions are its own, by way of whichever member.
        client: Option<ClientId>,
        /// With a session it is applied once however often it is asked for.
        session: Option<(SessionId, Serial)>,
        /// The command.
        command: Command,
    },
    /// To read the applied state linearizably.
    Read,
}

/// The public half of a tenure key; the private half stays with the shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenureKey {
    /// PKCS#1 DER.
    pub rsa_public: Vec<u8>,
}

/// What the shell shall do.
#[derive(Debug)]
pub enum Output {
    /// Send at once.
    Send {
        /// To whom.
        to: MemberId,
        /// What.
        frame: Frame,
    },
    /// Send when this batch is on the disk.
    SendAfter(PersistId, MemberId, Frame),
    /// Write and sync, then say [`Input::Persisted`].
    Persist(PersistId, Box<Batch>),
    /// Send a snapshot in chunks, then say [`Input::SnapshotSent`].
    SendSnapshot {
        /// To whom.
        to: MemberId,
        /// The engine's message; metadata only.
        message: Box<Message>,
        /// The state's bytes.
        data: Arc<[u8]>,
    },
    /// Bring this state into bytes on a worker thread, then say [`Input::SnapshotTaken`]. At most one is asked for at a
    /// time.
    TakeSnapshot(FrozenState),
    /// Read this snapshot on a worker thread, then say [`Input::SnapshotRead`]. At most one is asked for at a time.
    ReadSnapshot(UnreadState),
    /// Digest this state on a worker thread and sign that, then say [`Input::StateDigested`]. At most one is asked for at
    /// a time.
    DigestState {
        /// The mark that the state is as of.
        mark: Index,
        /// The state.
        state: FrozenState,
    },
    /// A request ended.
    Reply {
        /// Which.
        id: RequestId,
        /// How.
        answer: Answer,
    },
    /// Heavy work for a worker thread.
    Work {
        /// Names the result.
        id: WorkId,
        /// What to do.
        work: Box<Work>,
    },
    /// Make a tenure key in the background, then say [`Input::TenureKey`].
    MakeTenureKey,
    /// Zeroize the private half of every tenure key but this one and those made and not yet used.
    ForgetTenureKeys {
        /// The one in use, if any; digest of its public half.
        except: Option<Digest>,
    },
    /// Send an envelope.
    SendEnvelope {
        /// To whom; this member may be among them.
        to: Vec<MemberId>,
        /// Its bytes.
        handle: EnvelopeHandle,
    },
    /// Nobody needs the envelope's bytes any more.
    DropEnvelope(EnvelopeHandle),
    /// The same, and it is of no use any more to whom it is being sent.
    WithdrawEnvelope(EnvelopeHandle),
    /// The transport shall know exactly these.
    Roster(Vec<Member>),
    /// A user command was applied, now or earlier in its session; said only while somebody watches.
    UserApplied {
        /// Of its entry.
        index: Index,
        /// The command.
        command: Vec<u8>,
    },
    /// The user machine's state is another one: a snapshot came. Said only while somebody watches.
    UserRestored,
    /// The files that looked like a copy can be used from now on, also after a restart.
    NoCopy,
    /// For people.
    Event(Event),
    /// This member must end: why, in words.
    Halt(String),
    /// Bytes or messages were dropped: why.
    Dropped {
        /// Whose.
        from: MemberId,
        /// Why.
        reason: String,
    },
}
