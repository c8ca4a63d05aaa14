//! Between our records and the engine's.
//!
//! Membership changes travel inside the engine as bytes of our own in an entry's `context`, which it carries along
//! unread; so nothing here encodes or decodes protobuf. What comes in was judged before (`check`).

use crate::log::Log;
use raft::eraftpb::{self, ConfChangeTransition, ConfChangeType, ConfState, EntryType, MessageType};
use rafty_types::{
    Entry, HardState, Index, MemberId, Membership, MembershipChange, MembershipStep, Message, MessageKind,
    Payload, SnapshotMeta, Term,
};

const STEP_BYTES: usize = 9;
const ADD_VOTER: u8 = 0;
const ADD_LEARNER: u8 = 1;
const REMOVE: u8 = 2;

/// An entry to propose: the engine gives it its place.
pub(crate) fn command_entry(data: &[u8]) -> eraftpb::Entry {
    eraftpb::Entry { data: data.to_vec().into(), ..eraftpb::Entry::default() }
}

pub(crate) fn engine_entry(entry: &Entry) -> eraftpb::Entry {
    let mut engine = eraftpb::Entry { index: entry.index.0, term: entry.term.0, ..eraftpb::Entry::default() };
    match &entry.payload {
        Payload::Empty => {}
        Payload::Command(data) => engine.data = data.to_vec().into(),
        Payload::Membership(change) => {
            engine.set_entry_type(EntryType::EntryConfChangeV2);
            engine.context = change_bytes(change).into();
        }
    }
    engine
}

pub(crate) fn own_entry(engine: &eraftpb::Entry) -> Entry {
    let payload = match engine.get_entry_type() {
        EntryType::EntryConfChangeV2 => Payload::Membership(change_from(&engine.context)),
        _ if engine.data.is_empty() => Payload::Empty,
        _ => Payload::Command(engine.data.as_ref().into()),
    };
    Entry { index: Index(engine.index), term: Term(engine.term), payload }
}

/// What the engine carries along for a change.
pub(crate) fn change_bytes(change: &MembershipChange) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(STEP_BYTES * change.steps.len());
    for step in &change.steps {
        let (tag, member) = match step {
            MembershipStep::AddVoter(member) => (ADD_VOTER, member),
            MembershipStep::AddLearner(member) => (ADD_LEARNER, member),
            MembershipStep::Remove(member) => (REMOVE, member),
        };
        bytes.push(tag);
        bytes.extend(member.0.to_le_bytes());
    }
    bytes
}

fn change_from(bytes: &[u8]) -> MembershipChange {
    let step = |step: &[u8]| {
        let member = MemberId(u64::from_le_bytes(step[1..].try_into().ok()?));
        match step[0] {
            ADD_VOTER => Some(MembershipStep::AddVoter(member)),
            ADD_LEARNER => Some(MembershipStep::AddLearner(member)),
            REMOVE => Some(MembershipStep::Remove(member)),
            _ => None,
        }
    };
    MembershipChange { steps: bytes.chunks_exact(STEP_BYTES).filter_map(step).collect() }
}

/// The engine's form of a change: joint with explicit leaving, or the leaving itself when there are no steps.
pub(crate) fn engine_change(change: &MembershipChange) -> eraftpb::ConfChangeV2 {
    let mut engine = eraftpb::ConfChangeV2::default();
    if !change.steps.is_empty() {
        engine.set_transition(ConfChangeTransition::Explicit);
    }
    for step in &change.steps {
        let (kind, member) = match step {
            MembershipStep::AddVoter(member) => (ConfChangeType::AddNode, member),
            MembershipStep::AddLearner(member) => (ConfChangeType::AddLearnerNode, member),
            MembershipStep::Remove(member) => (ConfChangeType::RemoveNode, member),
        };
        let mut single = eraftpb::ConfChangeSingle::default();
        single.set_change_type(kind);
        single.node_id = member.0;
        engine.mut_changes().push(single);
    }
    engine
}

pub(crate) fn conf_state(membership: &Membership) -> ConfState {
    let ids = |members: &[MemberId]| members.iter().map(|member| member.0).collect::<Vec<_>>();
    ConfState {
        voters: ids(&membership.voters),
        learners: ids(&membership.learners),
        voters_outgoing: ids(&membership.voters_outgoing),
        learners_next: ids(&membership.learners_next),
        ..ConfState::default()
    }
}

pub(crate) fn membership(state: &ConfState) -> Membership {
    let members = |ids: &[u64]| {
        let mut members: Vec<_> = ids.iter().copied().map(MemberId).collect();
        members.sort_unstable();
        members
    };
    Membership {
        voters: members(&state.voters),
        learners: members(&state.learners),
        voters_outgoing: members(&state.voters_outgoing),
        learners_next: members(&state.learners_next),
    }
}

pub(crate) fn own_hard_state(engine: &eraftpb::HardState) -> HardState {
    HardState { term: Term(engine.term), voted_for: member(engine.vote), commit: Index(engine.commit) }
}

/// The engine's 0 means nobody.
pub(crate) fn member(id: u64) -> Option<MemberId> {
    (id != raft::INVALID_ID).then_some(MemberId(id))
}

/// Metadata only: the bytes never enter the engine.
pub(crate) fn engine_snapshot(meta: &SnapshotMeta) -> eraftpb::Snapshot {
    let mut snapshot = eraftpb::Snapshot::default();
    let engine = snapshot.mut_metadata();
    engine.index = meta.index.0;
    engine.term = meta.term.0;
    engine.set_conf_state(conf_state(&meta.membership));
    snapshot
}

pub(crate) fn own_meta(snapshot: &eraftpb::Snapshot) -> SnapshotMeta {
    let meta = snapshot.get_metadata();
    SnapshotMeta {
        index: Index(meta.index),
        term: Term(meta.term),
        membership: membership(meta.get_conf_state()),
    }
}

pub(crate) fn engine_message(message: &Message) -> eraftpb::Message {
    let mut engine = eraftpb::Message {
        msg_type: engine_kind(message.kind),
        to: message.to.0,
        from: message.from.0,
        term: message.term.0,
        log_term: message.log_term.0,
        index: message.index.0,
        commit: message.commit.0,
        commit_term: message.commit_term.0,
        reject: message.reject,
        reject_hint: message.reject_hint.0,
        ..eraftpb::Message::default()
    };
    if let Some(meta) = &message.snapshot {
        engine.set_snapshot(engine_snapshot(meta));
    }
    if carries_context_as_entry(message.kind) {
        let entry = eraftpb::Entry { data: message.context.clone().into(), ..eraftpb::Entry::default() };
        engine.set_entries(vec![entry].into());
    } else {
        engine.context = message.context.clone().into();
        engine.set_entries(message.entries.iter().map(engine_entry).collect::<Vec<_>>().into());
    }
    engine
}

/// `None` for what never travels. Entries come from the log, where they are shared, not copied.
pub(crate) fn own_message(engine: &eraftpb::Message, log: &Log) -> Option<Message> {
    let kind = own_kind(engine.get_msg_type())?;
    let own = |entry: &eraftpb::Entry| match log.get(entry.index) {
        Some(shared) if shared.term.0 == entry.term => shared.clone(),
        _ => own_entry(entry),
    };
    let (context, entries) = if carries_context_as_entry(kind) {
        (engine.entries.first().map(|entry| entry.data.to_vec()).unwrap_or_default(), Vec::new())
    } else {
        (engine.context.to_vec(), engine.entries.iter().map(own).collect())
    };
    Some(Message {
        kind,
        to: MemberId(engine.to),
        from: MemberId(engine.from),
        term: Term(engine.term),
        log_term: Term(engine.log_term),
        index: Index(engine.index),
        entries,
        commit: Index(engine.commit),
        commit_term: Term(engine.commit_term),
        snapshot: (kind == MessageKind::Snapshot).then(|| own_meta(engine.get_snapshot())),
        request_snapshot: Index(engine.request_snapshot),
        reject: engine.reject,
        reject_hint: Index(engine.reject_hint),
        context,
        priority: engine.priority,
    })
}

/// The engine hides the context of a read in the data of a lone entry; ours stands where contexts stand.
fn carries_context_as_entry(kind: MessageKind) -> bool {
    matches!(kind, MessageKind::ReadIndex | MessageKind::ReadIndexResponse)
}

const KINDS: [(MessageKind, MessageType); 13] = [
    (MessageKind::Append, MessageType::MsgAppend),
    (MessageKind::AppendResponse, MessageType::MsgAppendResponse),
    (MessageKind::RequestVote, MessageType::MsgRequestVote),
    (MessageKind::RequestVoteResponse, MessageType::MsgRequestVoteResponse),
    (MessageKind::RequestPreVote, MessageType::MsgRequestPreVote),
    (MessageKind::RequestPreVoteResponse, MessageType::MsgRequestPreVoteResponse),
    (MessageKind::Snapshot, MessageType::MsgSnapshot),
    (MessageKind::Heartbeat, MessageType::MsgHeartbeat),
    (MessageKind::HeartbeatResponse, MessageType::MsgHeartbeatResponse),
    (MessageKind::TransferLeader, MessageType::MsgTransferLeader),
    (MessageKind::TimeoutNow, MessageType::MsgTimeoutNow),
    (MessageKind::ReadIndex, MessageType::MsgReadIndex),
    (MessageKind::ReadIndexResponse, MessageType::MsgReadIndexResp),
];

fn engine_kind(kind: MessageKind) -> MessageType {
    let found = KINDS.iter().find(|(own, _)| *own == kind);
    found.expect("every kind of ours has one of the engine's").1
}

fn own_kind(kind: MessageType) -> Option<MessageKind> {
    KINDS.iter().find(|(_, engine)| *engine == kind).map(|(own, _)| *own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_every_payload_come_back_as_they_went() {
        let steps = vec![
            MembershipStep::AddVoter(MemberId(3)),
            MembershipStep::AddLearner(MemberId(u64::MAX)),
            MembershipStep::Remove(MemberId(1)),
        ];
        for payload in [
            Payload::Empty,
            Payload::Command(b"set".as_slice().into()),
            Payload::Membership(MembershipChange { steps }),
            Payload::Membership(MembershipChange::default()),
        ] {
            let entry = Entry { index: Index(7), term: Term(2), payload };
            assert_eq!(own_entry(&engine_entry(&entry)), entry);
        }
    }

    #[test]
    fn a_change_is_joint_with_explicit_leaving_and_none_means_leave() {
        let join = MembershipChange { steps: vec![MembershipStep::AddLearner(MemberId(2))] };
        assert_eq!(engine_change(&join).enter_joint(), Some(false));
        assert!(engine_change(&MembershipChange::default()).leave_joint());
    }

    #[test]
    fn every_kind_has_a_counterpart() {
        for (own, engine) in KINDS {
            assert_eq!((engine_kind(own), own_kind(engine)), (engine, Some(own)));
        }
        assert_eq!(own_kind(MessageType::MsgHup), None);
    }
}
