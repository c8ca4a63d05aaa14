//! What members say, one line each.

use rafty_consensus::Output;
use rafty_types::{
    Batch, Entry, Index, MemberId, Membership, MembershipStep, Message, MessageKind, Payload, Term,
};

/// An output that is worth a line even when messages and writes are not.
pub(crate) fn event(id: MemberId, output: &Output) -> Option<String> {
    let what = match output {
        Output::Send(_) | Output::SendAfter(..) | Output::Persist(..) | Output::SendSnapshot { .. } => {
            return None;
        }
        Output::Restore(snapshot) => format!("restores {}@{}", snapshot.meta.index, snapshot.meta.term),
        Output::Committed(committed) => format!("applies {}", entries(committed)),
        Output::Proposed { request, index, term } => format!("proposes #{request} as {index}@{term}"),
        Output::Dropped { request } => format!("drops #{request}"),
        Output::ReadReady { request, index } => format!("may read #{request} once {index} is applied"),
        Output::ReadFailed { request } => format!("cannot read #{request}"),
        Output::RoleChanged { role, term, leader } => {
            let leader = leader.map_or(String::new(), |leader| format!(", n{leader} leads"));
            format!("is {role:?} in term {term}{leader}")
        }
        Output::MembershipChanged(now) => format!("has {}", membership(now)),
        Output::Refused { from, why } => {
            let from = from.map_or(String::new(), |from| format!(" n{from}"));
            format!("refuses{from}: {why}")
        }
    };
    Some(format!("n{id} {what}"))
}

pub(crate) fn message(message: &Message) -> String {
    let Message { kind, to, from, term, log_term, index, commit, reject, reject_hint, .. } = message;
    let log = || format!("after {index}@{log_term}");
    let answer = if *reject { "no" } else { "yes" };
    let read = if message.context.is_empty() { "" } else { ", with a read" };
    let what = match kind {
        MessageKind::Append if message.entries.is_empty() => format!(" nothing {}, commit {commit}", log()),
        MessageKind::Append => format!(" {} {}, commit {commit}", entries(&message.entries), log()),
        MessageKind::AppendResponse if *reject => format!(" no {index}, try {reject_hint}@{log_term}"),
        MessageKind::AppendResponse => format!(" to {index}"),
        MessageKind::RequestVote | MessageKind::RequestPreVote => format!(" log ends {index}@{log_term}"),
        MessageKind::RequestVoteResponse | MessageKind::RequestPreVoteResponse => format!(" {answer}"),
        MessageKind::Snapshot => {
            let meta = message.snapshot.as_ref().unwrap();
            format!(" {}@{} with {}", meta.index, meta.term, membership(&meta.membership))
        }
        MessageKind::Heartbeat => format!(" commit {commit}{read}"),
        MessageKind::HeartbeatResponse => read.to_owned(),
        MessageKind::ReadIndexResponse => format!(" {index}"),
        MessageKind::TransferLeader | MessageKind::TimeoutNow | MessageKind::ReadIndex => String::new(),
    };
    format!("n{from} → n{to} {kind:?} t{term}{what}")
}

pub(crate) fn entries(entries: &[Entry]) -> String {
    let entry = |entry: &Entry| format!("{}@{} {}", entry.index, entry.term, payload(&entry.payload));
    entries.iter().map(entry).collect::<Vec<_>>().join(", ")
}

fn payload(payload: &Payload) -> String {
    match payload {
        Payload::Empty => "empty".to_owned(),
        Payload::Command(data) => String::from_utf8_lossy(data).into_owned(),
        Payload::Membership(change) if change.steps.is_empty() => "leave-joint".to_owned(),
        Payload::Membership(change) => {
            let step = |step: &MembershipStep| match step {
                MembershipStep::AddVoter(member) => format!("voter=n{member}"),
                MembershipStep::AddLearner(member) => format!("learner=n{member}"),
                MembershipStep::Remove(member) => format!("remove=n{member}"),
            };
            change.steps.iter().map(step).collect::<Vec<_>>().join(" ")
        }
    }
}

fn membership(now: &Membership) -> String {
    let list = |members: &[MemberId]| members.iter().map(|id| format!("n{id}")).collect::<Vec<_>>().join(" ");
    let part = |name: &str, members: &[MemberId]| {
        if members.is_empty() { String::new() } else { format!(", {name} {}", list(members)) }
    };
    let joint = part("jointly with", &now.voters_outgoing);
    let (learners, next) = (part("learners", &now.learners), part("soon learners", &now.learners_next));
    format!("voters {}{joint}{learners}{next}", list(&now.voters))
}

pub(crate) fn batch(batch: &Batch) -> String {
    let mut parts = Vec::new();
    if let Some(snapshot) = &batch.install {
        parts.push(format!("snapshot {}@{} instead of the log", snapshot.meta.index, snapshot.meta.term));
    }
    if !batch.entries.is_empty() {
        parts.push(entries(&batch.entries));
    }
    if let Some(state) = &batch.hard_state {
        let vote = state.voted_for.map_or("nobody".to_owned(), |vote| format!("n{vote}"));
        parts.push(format!("term {}, vote {vote}, commit {}", state.term, state.commit));
    }
    if let Some(compaction) = &batch.compaction {
        let (meta, kept) = (&compaction.snapshot.meta, compaction.first_kept);
        parts.push(format!("snapshot {}@{}, log from {kept}", meta.index, meta.term));
    }
    parts.join("; ")
}

/// A message with these fields, all others empty.
pub(crate) fn forged(
    kind: &str,
    from: MemberId,
    to: MemberId,
    fields: &[(String, u64)],
) -> Result<Message, String> {
    let kind = MessageKind::ALL.into_iter().find(|known| format!("{known:?}") == kind);
    let field = |name: &str| fields.iter().find(|(key, _)| key == name).map_or(0, |(_, value)| *value);
    Ok(Message {
        kind: kind.ok_or("no such kind of message")?,
        to,
        from,
        term: Term(field("term")),
        log_term: Term(field("log_term")),
        index: Index(field("index")),
        entries: Vec::new(),
        commit: Index(field("commit")),
        commit_term: Term(field("commit_term")),
        snapshot: None,
        request_snapshot: Index(field("request_snapshot")),
        reject: field("reject") != 0,
        reject_hint: Index(field("reject_hint")),
        context: vec![0; field("context") as usize],
        priority: field("priority") as i64,
    })
}
