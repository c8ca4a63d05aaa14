//! The story of a run, a line for each thing that happens; nothing is told unless somebody listens.

use rafty_node::{Input, Output};
use rafty_types::{Frame, MemberId, MessageKind, Time};

/// The most lines that are kept; of a longer story the end.
const MAX_LINES: usize = 200_000;

/// What was told so far.
#[derive(Debug, Default)]
pub struct Trace {
    listens: bool,
    lines: std::collections::VecDeque<String>,
}

impl Trace {
    /// Listens from now on.
    pub fn listen(&mut self) {
        self.listens = true;
    }

    /// The lines, oldest first.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// Tells something.
    pub fn note(&mut self, now: Time, what: impl FnOnce() -> String) {
        if self.listens {
            if self.lines.len() == MAX_LINES {
                self.lines.pop_front();
            }
            self.lines.push_back(format!("{now:>10}  {}", what()));
        }
    }

    /// Tells what comes to a member, time itself aside.
    pub fn inputs(&mut self, now: Time, to: MemberId, inputs: &[Input]) {
        if self.listens {
            for line in inputs.iter().filter_map(arrival) {
                self.note(now, || format!("{to} <- {line}"));
            }
        }
    }

    /// Tells what a member wants, what it sends aside: that is told when it arrives.
    pub fn output(&mut self, now: Time, from: MemberId, output: &Output) {
        if self.listens
            && let Some(line) = wish(output)
        {
            self.note(now, || format!("{from} -> {line}"));
        }
    }
}

fn arrival(input: &Input) -> Option<String> {
    Some(match input {
        Input::Tick | Input::Measured(_) | Input::WallClock(_) => return None,
        Input::Frame { from, frame } => format!("{from}: {}", frame_line(frame)?),
        Input::Persisted(id) => format!("batch {} is synced", id.0),
        Input::WorkDone { id, result } => format!("order {} done: {}", id.0, short(&format!("{result:?}"))),
        Input::Envelope { from, header, .. } => {
            let label = &header.label;
            let (kind, round) = (label.kind, label.round);
            format!(
                "{from}: envelope {kind:?} of round {round}, attempt {}, from {}",
                label.attempt, label.sender
            )
        }
        Input::Snapshot { from, message, .. } => {
            format!("{from}: snapshot at {:?}", message.snapshot.as_ref().map(|meta| meta.index.0))
        }
        other => short(&format!("{other:?}")),
    })
}

fn frame_line(frame: &Frame) -> Option<String> {
    Some(match frame {
        Frame::Raft(message) => {
            let quiet = [MessageKind::Heartbeat, MessageKind::HeartbeatResponse];
            if quiet.contains(&message.kind) {
                return None;
            }
            let reject = if message.reject { ", rejects" } else { "" };
            let (kind, term, index) = (message.kind, message.term, message.index);
            let (log_term, entries, commit) = (message.log_term, message.entries.len(), message.commit);
            format!(
                "{kind:?} of term {term} at {index} of term {log_term}, {entries} entries, commit {commit}{reject}"
            )
        }
        other => short(&format!("{other:?}")),
    })
}

fn wish(output: &Output) -> Option<String> {
    Some(match output {
        Output::Persist(id, batch) => {
            let entries: Vec<_> = batch.entries.iter().map(|entry| (entry.index.0, entry.term.0)).collect();
            let install = batch.install.as_ref().map(|snapshot| snapshot.meta.index.0);
            let compaction = batch.compaction.as_ref().map(|compaction| compaction.first_kept.0);
            format!(
                "batch {}: {:?}, entries {entries:?}, install {install:?}, keeps from {compaction:?}",
                id.0, batch.hard_state
            )
        }
        Output::Reply { id, answer } => {
            format!("answers request {}: {}", id.0, short(&format!("{answer:?}")))
        }
        Output::Work { id, work } => format!("order {}: {}", id.0, short(&format!("{work:?}"))),
        Output::Event(event) => short(&format!("{event:?}")),
        Output::Halt(why) => format!("halts: {why}"),
        Output::Dropped { from, reason } => format!("drops what {from} sent: {reason}"),
        _ => return None,
    })
}

/// Enough of a long text.
fn short(text: &str) -> String {
    const ENOUGH: usize = 220;
    match text.char_indices().nth(ENOUGH) {
        Some((end, _)) => format!("{} …", &text[..end]),
        None => text.to_string(),
    }
}
