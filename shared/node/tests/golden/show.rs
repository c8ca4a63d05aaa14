//! What nodes say, one line each; Raft's own messages and what the disk is told are left out.

use rafty_dictionary::{Entries, EntryResult};
use rafty_node::{Answer, Event, Node, Output};
use rafty_rounds::Work;
use rafty_types::{ControlResult, ForwardOutcome, Frame, MemberId};

pub(crate) fn output(output: &Output) -> Option<String> {
    Some(match output {
        Output::Send { to, frame } => format!("to n{to}: {}", frame_line(frame)?),
        Output::SendSnapshot { to, message, .. } => {
            format!("to n{to}: a snapshot of {}", message.snapshot.as_ref()?.index)
        }
        Output::TakeSnapshot(state) => format!("begins a snapshot of {}", state.index()),
        Output::ReadSnapshot(_) => "begins to read a snapshot".into(),
        Output::DigestState { mark, .. } => format!("digests its state as of {mark}"),
        Output::Reply { id, answer } => format!("answers #{}: {}", id.0, self::answer(answer)),
        Output::Work { work, .. } => format!("orders {}", work_line(work)),
        Output::MakeTenureKey => "wants a tenure key".into(),
        Output::ForgetTenureKeys { except: None } => "forgets its tenure keys".into(),
        Output::Roster(members) => {
            let ids: Vec<_> = members.iter().map(|member| format!("n{}", member.id)).collect();
            format!("knows {}", ids.join(" "))
        }
        Output::UserApplied { index, .. } => format!("tells its watchers of {index}"),
        Output::UserRestored => "tells its watchers of another state".into(),
        Output::NoCopy => "votes again".into(),
        Output::Event(event) => event_line(event)?,
        Output::Halt(why) => format!("halts: {why}"),
        Output::Dropped { from, reason } => format!("drops from n{from}: {reason}"),
        Output::SendAfter(..)
        | Output::Persist(..)
        | Output::ForgetTenureKeys { .. }
        | Output::SendEnvelope { .. }
        | Output::DropEnvelope(_)
        | Output::WithdrawEnvelope(_) => return None,
    })
}

fn answer(answer: &Answer) -> String {
    match answer {
        Answer::Control(ControlResult::Done, index) => format!("done at {index}"),
        Answer::Control(ControlResult::Rejected(why), _) => format!("refused: {why}"),
        Answer::User(result, index) => match EntryResult::decode(result) {
            Some(EntryResult::Done) => format!("done at {index}"),
            other => format!("{other:?} at {index}"),
        },
        Answer::Readable(index) => format!("readable at {index}"),
        Answer::NoLeader => "no leader".into(),
        Answer::Redirect(leader) => format!("ask n{leader}"),
        Answer::ChangePending => "another change is pending".into(),
        Answer::Busy => "busy".into(),
        Answer::Unknown => "unknown".into(),
    }
}

fn frame_line(frame: &Frame) -> Option<String> {
    Some(match frame {
        Frame::Forward { request, .. }
        | Frame::ForwardIssued { request, .. }
        | Frame::ForwardForClient { request, .. } => {
            format!("forwards #{request}")
        }
        Frame::Forwarded { request, outcome } => format!("#{request} {}", outcome_line(outcome)),
        Frame::Transfer { to } => format!("hand over to n{to}"),
        Frame::AskRoster { known } => format!("who belongs after {known}?"),
        Frame::AskVoters => "who votes?".into(),
        Frame::Voters { index, voters, .. } => format!("at {index} vote {voters:?}"),
        Frame::Roster { index, .. } => format!("who belongs at {index}"),
        Frame::Announce { version, .. } => format!("version {version} is current"),
        _ => return None,
    })
}

fn outcome_line(outcome: &ForwardOutcome) -> String {
    match outcome {
        ForwardOutcome::Control(ControlResult::Done, index) => format!("is done at {index}"),
        ForwardOutcome::Control(ControlResult::Rejected(why), _) => format!("is refused: {why}"),
        ForwardOutcome::User(_, index) => format!("is done at {index}"),
        ForwardOutcome::NotLeader(leader) => format!("is not for me, {leader:?} leads"),
        ForwardOutcome::Dropped => "was not taken".into(),
        ForwardOutcome::Unknown => "may count or not".into(),
    }
}

fn event_line(event: &Event) -> Option<String> {
    let leads = |leader: &Option<MemberId>| leader.map_or(String::new(), |id| format!(", n{id} leads"));
    Some(match event {
        Event::DiskAnomaly { what, .. } | Event::StatesDiffer { what } => what.clone(),
        Event::Role { role, term, leader } => format!("is {role} in term {term}{}", leads(leader)),
        Event::Joined { member } => format!("sees n{member} join"),
        Event::Removed { member } => format!("sees n{member} go"),
        Event::SettingChanged { setting, value } => format!("sees {setting} set to {value}"),
        Event::TenureBegan { tenure, aggregator, .. } => {
            format!("sees tenure {tenure} of n{aggregator} begin")
        }
        Event::HandingOver { to } => format!("hands over to n{to}"),
        Event::RunStarted { run } => format!("sees run {run} start"),
        Event::RunEnded { run } => format!("sees run {run} end"),
        Event::RoundOpened { round, .. } => format!("sees round {round} open"),
        Event::RoundFailed { round, reason } => format!("sees round {round} fail: {reason}"),
        Event::UpdateAccepted { .. } | Event::RoundPublished { .. } | Event::Round(_) => return None,
    })
}

fn work_line(work: &Work) -> &'static str {
    match work {
        Work::DeriveInitial { .. } => "version 0",
        Work::Adopt { .. } => "the adoption of a version",
        Work::ForgetAttempt { .. } => "the forgetting of an attempt",
        _ => "other work",
    }
}

pub(crate) fn status(node: &Node<Entries>) -> String {
    let status = node.status(None);
    let leader = status.leader.map_or("nobody".to_owned(), |leader| format!("n{leader}"));
    let line = |member: &rafty_node::MemberLine| {
        let alive = if member.alive == Some(false) { " (silent)" } else { "" };
        format!("n{} {}{alive}", member.id, member.role)
    };
    let members: Vec<_> = status.members.iter().map(line).collect();
    let tenure = status.tenure.map_or("no tenure".to_owned(), |tenure| {
        let left = tenure.left_ms.map_or(String::new(), |ms| format!(", {ms} ms left"));
        format!("tenure {} of n{}{left}", tenure.tenure, tenure.aggregator)
    });
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let entries = node.state().user().iter().map(|(key, value)| format!("{}={}", text(key), text(value)));
    format!(
        "is {} in term {}, leader {leader}, applied {}; {}; {tenure}; [{}]; waits: {}",
        status.role,
        status.term,
        status.applied,
        members.join(", "),
        entries.collect::<Vec<_>>().join(" "),
        status.waiting_for,
    )
}
