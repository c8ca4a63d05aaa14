//! What was dropped, by reason.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Why something did not get through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DropReason {
    /// A frame or bulk item for a member that is unknown or not reachable now.
    NotConnected,
    /// The oldest frames of a member's full control queue.
    QueueFull,
    /// The oldest datagrams of a full send buffer.
    DatagramBufferFull,
    /// A value over its bound; it was not sent.
    TooLong,
    /// A bulk item beyond what may wait for one member.
    BulkQueueFull,
    /// A datagram received twice, or later than a newer one.
    StaleDatagram,
    /// Bytes that are not a unit of this protocol.
    Malformed,
    /// A frame of a type this version does not know.
    UnknownType,
    /// A Raft message that names another sender or recipient than it had.
    WrongSender,
    /// A datagram that found the event queue full.
    EventsFull,
    /// A handshake with a key outside the roster.
    NotInRoster,
    /// A connection that was not let in for another reason: another peer set, no key, a key where none belongs.
    NotAdmitted,
    /// A handshake beyond what is done at once.
    Busy,
    /// A join beyond what one address or all together may try.
    JoinLimited,
    /// A join whose statement does not belong to its connection or peer set.
    JoinRefused,
    /// A bulk item that was not taken: cut short, over its bound or out of order.
    BulkRefused,
    /// A connection of a member that is in another epoch of the peer set.
    OtherEpoch,
    /// A snapshot of another member than the leader that is followed.
    NotLeader,
    /// An envelope that is of no use by its head.
    Unwanted,
}

impl DropReason {
    const ALL: [Self; 19] = [
        Self::NotConnected,
        Self::QueueFull,
        Self::DatagramBufferFull,
        Self::TooLong,
        Self::BulkQueueFull,
        Self::StaleDatagram,
        Self::Malformed,
        Self::UnknownType,
        Self::WrongSender,
        Self::EventsFull,
        Self::NotInRoster,
        Self::NotAdmitted,
        Self::Busy,
        Self::JoinLimited,
        Self::JoinRefused,
        Self::BulkRefused,
        Self::OtherEpoch,
        Self::NotLeader,
        Self::Unwanted,
    ];
}

/// One counter per reason, since the start.
#[derive(Debug, Default)]
pub(super) struct Counters([AtomicU64; DropReason::ALL.len()]);

impl Counters {
    /// One more.
    pub(super) fn count(&self, reason: DropReason) {
        self.add(reason, 1);
    }

    /// `more` more.
    pub(super) fn add(&self, reason: DropReason, more: u64) {
        self.0[reason as usize].fetch_add(more, Relaxed);
    }

    /// All that are not zero.
    pub(super) fn read(&self) -> BTreeMap<DropReason, u64> {
        DropReason::ALL
            .into_iter()
            .map(|reason| (reason, self.0[reason as usize].load(Relaxed)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}
