//! What a run did to its members and what it met on the way: faults by kind, and rare states.

use std::collections::BTreeMap;

macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$item_doc:meta])* $item:ident => $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$item_doc])* $item,)* }

        impl $name {
            /// Every one there is.
            pub const ALL: &[Self] = &[$(Self::$item,)*];

            /// In words.
            pub fn name(self) -> &'static str {
                match self { $(Self::$item => $text,)* }
            }
        }
    };
}

named! {
    /// A kind of fault.
    #[allow(missing_docs)] // each is said in words
    Evil {
        Drop => "datagrams dropped",
        Duplicate => "datagrams duplicated",
        Reorder => "datagrams reordered",
        Reset => "streams broken",
        Late => "datagrams refused as late",
        Partition => "partitions",
        OneWay => "one-way cuts",
        Foul => "spells of foul rates",
        Crash => "crashes",
        CrashAll => "crashes of everyone",
        Unsynced => "batches lost unsynced",
        Pause => "pauses",
        Sleep => "pauses with the clock standing still",
        ClockRate => "clocks gone fast or slow",
        WallJump => "wall clocks set",
        SlowDisk => "slow disks",
        DiskError => "disks full or failing",
        Flip => "flipped bits",
        Wipe => "wiped logs",
        Backup => "copies of logs made",
        FileCopy => "copies of logs put back as files",
        RawCopy => "copies of logs put back as whole disks",
        Twin => "copies started beside their originals",
        JoinedAnew => "copies and diverged states joined anew",
        Rot => "states that rotted on their disks",
        Transfer => "leaders told to hand over",
        Retire => "members told to retire",
        Join => "newcomers",
        Revoke => "revocations",
        SlowTraining => "rounds ten times T + grace",
        Lie => "spells of lies",
        LieTold => "lies sealed",
        Replay => "envelopes sent again",
        WorkFailed => "orders that failed",
        BigValue => "values of 1 MiB",
        StopRun => "runs stopped",
        DiesInRound => "devices lost in a round by plan",
        Withheld => "updates that never left their device",
        Move => "devices moved to another address",
        MoveAll => "moves of everyone at once",
        Rebind => "ports given anew by a router",
        SlowLink => "links gone slow",
        QueueFull => "datagrams lost in full queues",
        StrangerSentAway => "knocks of strangers sent away",
        Forged => "words put into others' mouths",
        FalseVoice => "what only voters or laptops may say, said by others",
        SessionFlood => "floods of sessions",
        NoKey => "keys asked for that are none",
        FalseEnvelope => "envelopes sealed with what should not be in them",
        KeptReturn => "statements of members that come back kept by liars",
    }
}

named! {
    /// A rare state that a good simulation must come by.
    #[allow(missing_docs)] // each is said in words
    Sometimes {
        LeaderOverthrown => "a leader lost its leadership without handing over",
        HandedOver => "a tenure was handed over as planned",
        TransferFailed => "a hand-over led to nothing",
        TermWithoutTenure => "a term passed without a tenure",
        LogTruncated => "a follower cut entries off its log",
        SnapshotInstalled => "a member took over a snapshot",
        JointLeaderLost => "a leader was lost in a joint membership",
        VoterReplaced => "a silent voter's seat was given away",
        SeatRotated => "a seat rotated to a learner",
        DeviceVotes => "a device came to vote",
        SeatToLaptop => "a device's seat went to a laptop",
        ReEnrolled => "a member with a damaged log came back under another id",
        Revoked => "a member was sent away",
        LeaderRevoked => "a leader was sent away",
        AttemptRepeated => "a round was published in a later attempt",
        ManyAttempts => "a round took five attempts or more",
        RoundWithoutEveryone => "a round was published without some participant",
        UpdateRefused => "an update was refused",
        OldEnvelope => "an envelope of another attempt arrived",
        ModelFetched => "a model was fetched from another holder",
        TrainingStopped => "training was stopped because its round was over",
        RepeatAnswered => "a repeated command of a session was answered from memory",
        AnswerUnknown => "a write's outcome stayed unknown",
        DeniedWrite => "a write was denied",
        UnknownDone => "a write with an unknown outcome turned out to be done",
        UnknownNotDone => "a write with an unknown outcome turned out not to be done",
        LoneSurvivor => "only one member was running",
        QuorumLost => "there was no quorum for ten seconds",
        DiskHealed => "a failing disk healed under way",
        CopyFound => "a member learned that its disk was an older copy",
        LoneCopyStarted => "the copy of a lone voter was started beside members that know better",
        TwinStopped => "a copy beside its original was told that it runs twice, and stopped",
        Diverged => "a member stopped because its state had diverged",
        CopyVotesAgain => "a member whose files looked copied was allowed to vote again",
        NewcomerVotes => "a newcomer became voter",
        RestEndedEarly => "a rest ended before its time",
        SilentLeftOut => "a round with a quorum lacked only silent members",
        MoveFollowed => "a connection was seen to come from elsewhere",
        SentInParts => "an envelope went over a slow link part by part",
        AddressTold => "a member told its new address",
        ReturnNamedAnother => "a member that came back was told that it had done so before",
    }
}

/// How often each happened.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    evils: BTreeMap<Evil, u64>,
    sometimes: BTreeMap<Sometimes, u64>,
}

impl Tally {
    /// A fault was injected.
    pub fn evil(&mut self, evil: Evil) {
        *self.evils.entry(evil).or_default() += 1;
    }

    /// A rare state was met.
    pub fn saw(&mut self, what: Sometimes) {
        *self.sometimes.entry(what).or_default() += 1;
    }

    /// Takes in another tally.
    pub fn add(&mut self, other: &Self) {
        other.evils.iter().for_each(|(evil, count)| *self.evils.entry(*evil).or_default() += count);
        other.sometimes.iter().for_each(|(what, count)| *self.sometimes.entry(*what).or_default() += count);
    }

    /// How often a fault was injected.
    pub fn count(&self, evil: Evil) -> u64 {
        self.evils.get(&evil).copied().unwrap_or_default()
    }

    /// How often a rare state was met.
    pub fn seen(&self, what: Sometimes) -> u64 {
        self.sometimes.get(&what).copied().unwrap_or_default()
    }
}
