//! Who waits for what: from a command that somebody asked for to the answer it gets.
//!
//! A request waits for a leader, is proposed here or forwarded there, and ends in exactly one [`Answer`]. What was
//! never proposed is retried until its time is up; what may have been proposed and got no answer ends as
//! [`Answer::Unknown`], never as success or failure. It does not decide who leads and applies nothing.

use rafty_types::{Command, ControlResult, ForwardOutcome, Index, MemberId, Serial, SessionId, Term, Time};
use std::collections::BTreeMap;
use std::time::Duration;

/// How many requests may wait at once, and how many proposals may be under way.
pub const MAX_REQUESTS: usize = 8_192;

/// Names a request of the shell's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The control part answered, at this index.
    Control(ControlResult, Index),
    /// The user machine answered, at this index.
    User(Vec<u8>, Index),
    /// The applied state holds everything that was committed when the read was asked for.
    Readable(Index),
    /// No leader was found in time. Nothing was changed.
    NoLeader,
    /// Too many requests wait. Nothing was changed.
    Busy,
    /// The command may or may not count.
    Unknown,
}

/// A command somebody wants committed.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) command: Command,
    pub(crate) session: Option<(SessionId, Serial)>,
    until: Time,
    sent: Sent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Not,
    Proposed,
    Forwarded(MemberId),
}

/// On whose behalf the leader proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proposer {
    /// A request of this member's shell.
    Request(RequestId),
    /// A forwarded command.
    Forward { from: MemberId, request: u64 },
    /// One of the leader's own duties.
    Duty(Duty),
}

/// What a leader proposes of its own accord.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Duty {
    Tenure,
    Seat,
    Round(u64),
}

/// What to do with a wanted command now.
pub(crate) enum Dispatch {
    Propose(RequestId),
    Forward(MemberId, RequestId),
}

#[derive(Default)]
pub(crate) struct Requests {
    wanted: BTreeMap<RequestId, Wanted>,
    /// Handed to consensus, not yet in the log.
    tickets: BTreeMap<u64, Proposer>,
    next_ticket: u64,
    /// In the log, not yet applied.
    logged: BTreeMap<Index, (Term, Proposer)>,
    reads: BTreeMap<RequestId, ReadState>,
}

#[derive(Clone, Copy, Debug)]
enum ReadState {
    Asked,
    Known(Index),
}

impl Requests {
    /// Takes a command in. `false` when too many wait.
    pub(crate) fn want(
        &mut self,
        id: RequestId,
        command: Command,
        session: Option<(SessionId, Serial)>,
        until: Time,
    ) -> bool {
        if self.wanted.len() + self.reads.len() >= MAX_REQUESTS {
            return false;
        }
        self.wanted.insert(id, Wanted { command, session, until, sent: Sent::Not });
        true
    }

    pub(crate) fn wanted(&self, id: RequestId) -> Option<&Wanted> {
        self.wanted.get(&id)
    }

    /// What can be sent now, given who leads. Marks it as sent.
    pub(crate) fn dispatch(&mut self, me: MemberId, leader: Option<MemberId>) -> Vec<Dispatch> {
        let Some(leader) = leader else { return Vec::new() };
        let mut all = Vec::new();
        for (id, wanted) in self.wanted.iter_mut().filter(|(_, wanted)| wanted.sent == Sent::Not) {
            wanted.sent = if leader == me { Sent::Proposed } else { Sent::Forwarded(leader) };
            all.push(if leader == me { Dispatch::Propose(*id) } else { Dispatch::Forward(leader, *id) });
        }
        all
    }

    /// Another leader is known, or none. A command with a session is applied once however often it is proposed, so
    /// it can simply be sent again; one without must wait for its answer. If that is another's to give, it comes soon:
    /// until `answers_end`, unless that member is dead.
    pub(crate) fn leader_changed(&mut self, leader: Option<MemberId>, answers_end: Time) {
        for wanted in self.wanted.values_mut() {
            match wanted.sent {
                _ if wanted.session.is_some() => wanted.sent = Sent::Not,
                Sent::Forwarded(to) if leader.is_some_and(|leader| leader != to) => {
                    wanted.until = wanted.until.min(answers_end);
                }
                Sent::Not | Sent::Proposed | Sent::Forwarded(_) => {}
            }
        }
    }

    /// Nothing was proposed: the request waits again.
    pub(crate) fn not_proposed(&mut self, id: RequestId) {
        if let Some(wanted) = self.wanted.get_mut(&id) {
            wanted.sent = Sent::Not;
        }
    }

    /// The leader that a command was forwarded to answered.
    pub(crate) fn forwarded(
        &mut self,
        from: MemberId,
        id: RequestId,
        outcome: ForwardOutcome,
    ) -> Option<Answer> {
        if self.wanted.get(&id).is_none_or(|wanted| wanted.sent != Sent::Forwarded(from)) {
            return None;
        }
        let answer = match outcome {
            ForwardOutcome::Control(result, index) => Answer::Control(result, index),
            ForwardOutcome::User(result, index) => Answer::User(result, index),
            ForwardOutcome::Unknown => Answer::Unknown,
            ForwardOutcome::NotLeader(_) | ForwardOutcome::Dropped => {
                self.not_proposed(id);
                return None;
            }
        };
        self.wanted.remove(&id);
        Some(answer)
    }

    /// A request is over.
    pub(crate) fn finish(&mut self, id: RequestId) -> bool {
        self.wanted.remove(&id).is_some()
    }

    /// A number for a proposal on its way into the log. `None` when too many are.
    pub(crate) fn ticket(&mut self, proposer: Proposer) -> Option<u64> {
        if self.tickets.len() + self.logged.len() >= MAX_REQUESTS {
            return None;
        }
        self.next_ticket += 1;
        self.tickets.insert(self.next_ticket, proposer);
        Some(self.next_ticket)
    }

    /// A proposal is in the log. Returns an older one that stood at the same index: this log does not have it any more,
    /// but another member's may, and that member can still become leader and commit it.
    pub(crate) fn logged(&mut self, ticket: u64, index: Index, term: Term) -> Option<Proposer> {
        let proposer = self.tickets.remove(&ticket)?;
        self.logged.insert(index, (term, proposer)).map(|(_, displaced)| displaced)
    }

    /// A proposal was dropped before it got into the log.
    pub(crate) fn dropped(&mut self, ticket: u64) -> Option<Proposer> {
        self.tickets.remove(&ticket)
    }

    /// The entry at `index` was applied. Who proposed at this index, and whether it is their entry.
    pub(crate) fn applied(&mut self, index: Index, term: Term) -> Option<(Proposer, bool)> {
        let (proposed_in, proposer) = self.logged.remove(&index)?;
        Some((proposer, proposed_in == term))
    }

    /// A snapshot jumped over these: whether they counted is not known here.
    pub(crate) fn jumped_to(&mut self, index: Index) -> Vec<Proposer> {
        let kept = self.logged.split_off(&index.next());
        std::mem::replace(&mut self.logged, kept).into_values().map(|(_, proposer)| proposer).collect()
    }

    /// Takes a read in. `false` when too many wait.
    pub(crate) fn read(&mut self, id: RequestId) -> bool {
        if self.wanted.len() + self.reads.len() >= MAX_REQUESTS {
            return false;
        }
        self.reads.insert(id, ReadState::Asked);
        true
    }

    /// The read must see `index`.
    pub(crate) fn read_known(&mut self, id: RequestId, index: Index) {
        if let Some(read) = self.reads.get_mut(&id) {
            *read = ReadState::Known(index);
        }
    }

    pub(crate) fn read_failed(&mut self, id: RequestId) -> bool {
        self.reads.remove(&id).is_some()
    }

    /// Reads that the applied state can serve.
    pub(crate) fn readable(&mut self, applied: Index) -> Vec<RequestId> {
        let ready = |read: &ReadState| matches!(read, ReadState::Known(index) if *index <= applied);
        let ids: Vec<_> = self.reads.iter().filter(|(_, read)| ready(read)).map(|(id, _)| *id).collect();
        ids.iter().for_each(|id| {
            self.reads.remove(id);
        });
        ids
    }

    /// Requests whose time is up, with what is known of them.
    pub(crate) fn expired(&mut self, now: Time) -> Vec<(RequestId, Answer)> {
        let late: Vec<_> =
            self.wanted.iter().filter(|(_, wanted)| wanted.until <= now).map(|(id, _)| *id).collect();
        late.into_iter()
            .filter_map(|id| {
                let wanted = self.wanted.remove(&id)?;
                Some((id, if wanted.sent == Sent::Not { Answer::NoLeader } else { Answer::Unknown }))
            })
            .collect()
    }

    /// When the next request's time is up.
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.wanted.values().map(|wanted| wanted.until).min()
    }
}

/// How long a forwarded or proposed command is waited for unless the request says otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
