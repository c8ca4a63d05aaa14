//! What happens to a member's process, as its shell brings it to the node.

use super::World;
use super::perform::is_between;
use crate::tally::{Evil, Sometimes};
use rafty_node::{FrozenState, Input, UnreadState};
use rafty_rounds::{Arrival, EnvelopeHandle, Work, WorkId};
use rafty_types::{
    Digest, EnvelopeHeader, Frame, Index, MemberId, Message, PeerKey, PersistId, state_digest_statement,
};
use std::sync::Arc;

/// What waits for a member that stands still, at most; a socket's buffer holds no more.
const MAX_HELD: usize = 2_000;

/// Something happens to a member's process.
#[allow(missing_docs)] // each is an input of the node, or what leads to one
pub enum Happening {
    Frame {
        from: PeerKey,
        frame: Frame,
        stamp: Option<u64>,
    },
    Envelope {
        from: PeerKey,
        envelope: Box<EnvelopeHeader>,
    },
    Arrival {
        from: PeerKey,
        content: Digest,
        arrival: Arrival,
    },
    Snapshot {
        from: PeerKey,
        message: Box<Message>,
        data: Arc<[u8]>,
    },
    SnapshotSent {
        to: MemberId,
        arrived: bool,
    },
    /// An envelope has arrived, or was given up.
    TransferEnds {
        handle: EnvelopeHandle,
        to: MemberId,
    },
    /// The next part of one goes over a slow link.
    SendsPart {
        handle: EnvelopeHandle,
        to: MemberId,
    },
    Synced(PersistId),
    TakesSnapshot(FrozenState),
    ReadsSnapshot(UnreadState),
    DigestsState {
        mark: Index,
        state: FrozenState,
    },
    Work {
        id: WorkId,
        work: Box<Work>,
    },
    Key,
    Unreachable(MemberId),
    /// The disk works again.
    Healed,
    /// Its transport looks at its ways to others.
    LooksAround,
    /// The loop has time again.
    Free,
}

impl World {
    /// Brings something to a process, unless that is another one by now.
    pub(super) fn happen(&mut self, to: MemberId, epoch: u64, what: Happening) {
        let Some(member) = self.members.get_mut(&to).filter(|member| member.epoch == epoch) else {
            return self.happens_to_waiting(to, epoch, what);
        };
        let Some(process) = &mut member.process else { return };
        if process.paused.is_some() {
            if process.held.len() < MAX_HELD || !matches!(what, Happening::Frame { .. }) {
                process.held.push(what);
            }
            return;
        }
        match what {
            Happening::Frame { from, frame, stamp } => {
                let last = process.heard.entry(from).or_default();
                if stamp.is_some_and(|stamp| stamp <= *last) {
                    return self.tally.evil(Evil::Late);
                }
                *last = stamp.unwrap_or(*last);
                match process.roster.get(&from) {
                    Some(&from) if is_between(&frame, from, to) => {
                        self.say(to, Input::Frame { from, frame });
                    }
                    _ => {}
                }
            }
            Happening::Envelope { from, envelope: header } => {
                let known = process.roster.get(&from).copied();
                // The transport asks before it takes the body.
                let wanted = |from: &MemberId| !header.is_for(to) || process.node.would_take(*from, &header);
                if let Some(from) = known.filter(wanted) {
                    let handle = process.worker.name((*header).clone());
                    self.say(to, Input::Envelope { from, header, handle });
                } else if let Some(from) = known {
                    // It was taken for one on its way.
                    let (content, arrival) = (header.label.content, Arrival::Breaks);
                    self.say(to, Input::Arrival { from, content, arrival });
                }
            }
            Happening::Arrival { from, content, arrival } => {
                if let Some(&from) = process.roster.get(&from) {
                    self.say(to, Input::Arrival { from, content, arrival });
                }
            }
            Happening::Snapshot { from, message, data } => {
                let Some(&from) = process.roster.get(&from) else { return };
                let leads = process.node.consensus().leader() == Some(from);
                if leads && (message.from, message.to) == (from, to) {
                    self.snapshots += 1;
                    self.tally.saw(Sometimes::SnapshotInstalled);
                    self.say(to, Input::Snapshot { from, message, data });
                }
            }
            Happening::SnapshotSent { to: other, arrived } => {
                self.say(to, Input::SnapshotSent { to: other, arrived });
            }
            Happening::TransferEnds { handle, to: other } => process.transfer_ends(handle, other),
            Happening::SendsPart { handle, to: other } => self.sends_part(to, handle, other),
            Happening::Synced(id) => self.synced(to, id),
            Happening::TakesSnapshot(state) => {
                process.takes_snapshot = false;
                let (index, data) = (state.index(), state.snapshot());
                self.say(to, Input::SnapshotTaken { index, data });
            }
            Happening::ReadsSnapshot(snapshot) => {
                process.reads_snapshot = false;
                self.invariants.forget_seats(to);
                self.say(to, Input::SnapshotRead(snapshot.read()));
            }
            Happening::DigestsState { mark, state } => {
                process.digests_state = false;
                let (set, digest) = (process.node.state().control().set(), state.digest());
                let signature = member.identity.sign(&state_digest_statement(set, to, mark, digest));
                self.say(to, Input::StateDigested { mark, digest, signature });
            }
            Happening::Work { id, work } => self.work(to, id, *work),
            Happening::Key => {
                let key = process.worker.make_key(to, epoch);
                self.say(to, Input::TenureKey(key));
            }
            Happening::Unreachable(other) => self.say(to, Input::Unreachable(other)),
            Happening::Healed => {
                process.in_trouble = false;
                self.tally.saw(Sometimes::DiskHealed);
                self.say(to, Input::Retire(false));
            }
            Happening::LooksAround => self.look_around(to),
            Happening::Free => {
                let inputs = std::mem::take(&mut process.inbox);
                self.accept(to, inputs);
            }
        }
    }
}
