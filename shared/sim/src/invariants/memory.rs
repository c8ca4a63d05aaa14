//! Bounded memory: no queue grows beyond what its owner says.

use crate::member::Process;
use rafty_types::MemberId;

/// Batches on their way to the disk: consensus hands out one for each thing that happens while a disk stands still.
const MAX_UNSYNCED: usize = 20_000;
/// Envelopes that a member keeps: of everyone, for this attempt and the one before, sealed and received.
const MAX_SPOOLED: usize = 400;
/// Accumulators of attempts: a new one begins while the last is dropped.
const MAX_ACCUMULATORS: usize = 4;
/// Private halves of tenure keys: the one in use and the one made ahead.
const MAX_TENURE_KEYS: usize = 2;
/// Entries of a log beside those that settings leave in it.
const MAX_LOG_SLACK: u64 = 12_000;

/// Bounded memory of every queue.
pub(super) fn memory_is_bounded(id: MemberId, process: &Process) {
    let consensus = process.node.consensus();
    let queues = consensus.queues();
    let settings = process.node.settings();
    let log = MAX_LOG_SLACK + settings.compact_after + settings.tail;
    let bounds = [
        ("batches on their way to the disk", queues.unsynced as u64, MAX_UNSYNCED as u64),
        ("reads that wait", queues.reads as u64, 4_096),
        (
            "entries that are not committed",
            queues.uncommitted.min(leads(process, queues.uncommitted)),
            4_096 + 128,
        ),
        ("snapshots on their way", queues.snapshots as u64, 31),
        ("entries in the log", consensus.log_len() as u64, log),
        ("envelopes", process.worker.spooled() as u64, MAX_SPOOLED as u64),
        ("private halves of tenure keys", process.worker.keys() as u64, MAX_TENURE_KEYS as u64),
        ("accumulators", process.worker.accumulators() as u64, MAX_ACCUMULATORS as u64),
    ];
    for (what, is, may) in bounds {
        assert!(is <= may, "bounded memory: member {id} has {is} {what}, more than {may}");
    }
}

/// Only a leader bounds what is not committed; a follower is given it.
fn leads(process: &Process, uncommitted: u64) -> u64 {
    let leads = process.node.consensus().role() == rafty_consensus::Role::Leader;
    if leads { uncommitted } else { 0 }
}
