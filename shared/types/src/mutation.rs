//! Deliberate bugs, to show that the simulator's checks catch what they are there for.
//!
//! With the feature `mutations` one of them can be [planted](plant) in a thread; the code under test asks at the place
//! where the bug belongs. Without it [`planted`] is a constant and nothing of this is left in a program. It does not say
//! who must notice: that stands in the simulator's tests.

/// A bug, named after what goes wrong. The first group is in consensus, the second in the replicated state, the third
/// in the node, the fourth in rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mutation {
    /// A vote is answered before it is on the disk.
    VoteBeforeSync,
    /// A member forgets whom it voted for in this term.
    VoteForgotten,
    /// A vote is given without comparing logs.
    VoteForAnyLog,
    /// A follower acknowledges entries before they are on its disk.
    AckBeforeSync,
    /// A follower acknowledges a snapshot before it is on its disk.
    SnapshotAckBeforeSync,
    /// A leader counts its own copy of an entry before that is on its disk.
    OwnAckBeforeSync,
    /// A leader commits an entry of an older term by counting its copies (figure 8 of the Raft paper).
    OldTermCommitted,
    /// Voters change in one step instead of through a joint membership.
    SingleStepMembership,
    /// A read is answered from the applied state, without asking the others whether it is the newest.
    StaleRead,
    /// A compaction drops one entry more than the snapshot covers.
    CompactedTooFar,
    /// A hand-over that led to nothing is waited for without end.
    HandOverNeverEnds,
    /// A leader waits for a hand-over until a time that has passed.
    WokenInThePast,
    /// The successor is the one with the lowest id, whoever has served least.
    SuccessionIgnoresTenures,
    /// A dead voter is replaced by addition: learners get seats beside its own instead of in its place.
    DeadVoterKeepsSeat,
    /// Seats shrink to a single one by themselves.
    SeatsShrinkToOne,
    /// A member whose disk is a copy, or may be one, votes and acknowledges like any other.
    CopyVotes,
    /// A heartbeat commits whatever its leader believes this member to have.
    HeartbeatCommitsUnseen,
    /// A start that does not count says that it holds a model.
    UncountedStartHolds,
    /// Of a member's starts only the numbers are compared.
    IncarnationsComparedByNumber,
    /// A member that alone votes leads at once, whatever the others know.
    LoneVoterAsksNobody,
    /// A tenure that has just begun is taken for over when the one before it in the same term was.
    RenewedTenureTakenForOver,
    /// A member listens to learners as to leaders and candidates.
    EverybodyHasAVoice,
    /// A member takes over any term that a voter names.
    AnyTermBelieved,

    /// A repeated command of a session is applied again.
    SessionCommandAppliedAgain,
    /// A snapshot leaves the sessions out.
    SessionsLeftOutOfSnapshot,
    /// A snapshot leaves out what time it is by the leaders' stamps.
    ClockLeftOutOfSnapshot,
    /// A tenure is named by its term, so that a renewal in the same term does not fence off the one before.
    TenureNamedByTerm,
    /// An open round goes on under a new tenure as if it were the old one.
    TenureNotFenced,
    /// A voter that goes leaves an even number of them.
    EvenSeats,
    /// A round whose attempt failed is passed over.
    FailedRoundPassedOver,
    /// The next deadline is learnt from how long rounds took, not from when updates arrived.
    DeadlineFedByWaits,
    /// What is signed and sealed is bound to the peer set and not to its epoch.
    EpochLeftOut,
    /// A command counts as a member's because its leader says so, whoever signed it.
    LeaderIsBelieved,
    /// A command that its issuer signed once counts as often as it is proposed.
    IssueCountsAgain,
    /// A session is continued and closed by anybody.
    SessionIsAnybodys,
    /// A serial that comes again with another command is answered as the first one was.
    SerialKeepsNoDigest,
    /// A new session takes the place of whichever was used least recently, whoever has most.
    FloodEvictsOthers,
    /// A member that comes back replaces whoever it is by now, not whom it named.
    AnyReturnReplaces,
    /// Any bytes are taken for a key that can be sealed to.
    KeysNotParsed,
    /// A single digest of the state counts as that of a majority, so that one divergent member stops the rest.
    OneDigestIsMajority,

    /// One member takes some commands for nothing.
    ApplyDependsOnMember,
    /// A member listens to those only of whom its own log says that they vote.
    VotersNotAskedFor,
    /// Anybody is believed who votes.
    AnybodySaysWhoVotes,
    /// Whoever knows of no voter yet takes everybody for one.
    NewcomersListenToEverybody,
    /// Anybody is believed that a key has another id.
    AnybodyRenamesMembers,
    /// Anybody may ask that another member leads.
    AnybodyMovesLeadership,
    /// A leader proposes for others what only it may ask for.
    DutiesForwarded,
    /// Seats go to members that do not have the log yet.
    SeatsGivenBlindly,
    /// A leader hands over because somebody wants it removed who may not.
    ActsBeforePermission,
    /// A write is acknowledged when it is in the leader's log.
    AnsweredBeforeCommit,
    /// A write that may count is denied when its time is up.
    UnknownToldAsNoLeader,
    /// An answer that comes after a request's time is up is given all the same.
    AnsweredTwice,
    /// A newcomer is answered by a member that does not know it yet.
    NewcomerAnsweredTooSoon,
    /// A snapshot is said to be of the state that is applied when it is taken, not of the one it was begun with.
    SnapshotNamedWhenTaken,
    /// The private halves of old tenure keys are kept.
    TenureKeysKept,
    /// What time it is for the peer set is read from the leader's wall clock.
    ExpiryByWallClock,
    /// A member digests its state as of another index than the mark.
    DigestOfAnotherIndex,
    /// A member whose state differs from that of a majority goes on.
    DivergedGoesOn,

    /// A publication of another attempt is opened as if it were of the open one.
    AnyAttemptOpened,
    /// A round is published before a majority of voters hold its model.
    PublishedWithoutHolders,
    /// An update that comes twice is folded in twice.
    UpdateCountedTwice,
    /// An update that was sealed for an earlier attempt is taken in.
    StaleEnvelopeFolded,
    /// An update may weigh anything.
    WeightsUnchecked,
    /// An update that was refused for what is in it counts.
    RefusedUpdateCounted,
    /// A participant drops its update when it is accepted, not when its round is published.
    UpdateDroppedAtAcceptance,
    /// Envelopes that nobody needs any more are kept.
    EnvelopesKept,
    /// Participants that fell silent are waited for until the deadline.
    SilentWaitedFor,
    /// A participant does not look whether what held its training up has gone.
    RestOutlastsItsCause,

    /// Where a member is, is looked at only when it dials, not while its connection follows it elsewhere.
    RemoteAddressLookedAtOnce,
    /// A member that is on no network tells the others that it is at a loopback address.
    LoopbackCommitted,
    /// What a name means is asked for once.
    NamesResolvedOnce,
    /// A transfer whose other end is gone is waited for, for ever.
    TransferUnbounded,
    /// Heartbeats keep their pace over slow links.
    SlowLinksUnheeded,
    /// Newcomers that are refused use up the room of those that hold a token.
    RefusedJoinsCounted,
}

/// Whether this bug is planted in this thread.
#[cfg(not(feature = "mutations"))]
#[inline]
pub const fn planted(_: Mutation) -> bool {
    false
}

#[cfg(feature = "mutations")]
pub use planting::{plant, planted};

#[cfg(feature = "mutations")]
mod planting {
    use super::Mutation;
    use std::cell::Cell;

    thread_local! {
        static PLANTED: Cell<Option<Mutation>> = const { Cell::new(None) };
    }

    /// Whether this bug is planted in this thread.
    pub fn planted(mutation: Mutation) -> bool {
        PLANTED.get() == Some(mutation)
    }

    /// Plants a bug in this thread in place of the one before, or none.
    pub fn plant(mutation: Option<Mutation>) {
        PLANTED.set(mutation);
    }
}
