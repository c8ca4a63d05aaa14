//! Who waits for what: from a command that somebody asked for to the answer it gets.
//!
//! A request waits for a leader, is proposed here or forwarded there, and ends in exactly one [`Answer`]. What was
//! never proposed is retried until its time is up, after a pause when it was turned down; what may have been proposed
//! and got no answer ends as [`Answer::Unknown`], never as success or failure. Commands of a session go out in the
//! order of their serials. It does not decide who leads and applies nothing.

use rafty_types::{
    ClientId, Command, ControlResult, ForwardOutcome, Index, Issue, MemberId, Mutation, Serial, SessionId,
    Term, Time, planted,
};
use std::collections::{BTreeMap, BTreeSet};
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
    /// Another member leads, and the request wanted to be proposed by this one. Nothing was changed.
    Redirect(MemberId),
    /// Another change of membership is under way. Nothing was changed.
    ChangePending,
    /// Too many requests wait. Nothing was changed.
    Busy,
    /// The command may or may not count.
    Unknown,
}

/// Whether a request may be proposed by another member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Where {
    /// Whoever leads proposes it.
    Anywhere,
    /// Only this member; while another leads, the request is sent there.
    Here,
}

/// A command, the client it is of, and its issuer's word where it takes one.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) client: Option<ClientId>,
    pub(crate) issue: Option<Issue>,
    pub(crate) command: Command,
}

/// A command somebody wants committed.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) client: Option<ClientId>,
    pub(crate) command: Command,
    pub(crate) session: Option<(SessionId, Serial)>,
    /// This member's word, once it was sent.
    pub(crate) issue: Option<Issue>,
    pub(crate) place: Where,
    until: Time,
    sent: Sent,
    /// An earlier try may still count.
    tried: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Not,
    Proposed,
    Forwarded(MemberId),
    /// Committed, and held until the engine has followed.
    Committed,
}

impl Wanted {
    fn key(&self, id: RequestId) -> Order {
        (self.session, id)
    }

    /// Whether it counts once, however often it is proposed.
    fn counts_once(&self) -> bool {
        self.session.is_some() || self.issue.is_some()
    }

    /// Makes it one to be sent again. `false`, and nothing is done, when it could count twice or counts already.
    fn try_again(&mut self) -> bool {
        let again = self.counts_once() && self.sent != Sent::Committed;
        if again {
            self.tried |= self.sent != Sent::Not;
            self.sent = Sent::Not;
        }
        again
    }
}

/// The order in which commands go out: within a session by serial.
type Order = (Option<(SessionId, Serial)>, RequestId);

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
    Incarnations,
    Digests,
    Round(u64),
}

/// What to do with a wanted command now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dispatch {
    Propose(RequestId),
    Forward(MemberId, RequestId),
    Redirect(MemberId, RequestId),
}

#[derive(Default)]
pub(crate) struct Requests {
    wanted: BTreeMap<RequestId, Wanted>,
    /// Of these, the ones to send.
    unsent: BTreeSet<Order>,
    /// A command was turned down: nothing is sent again before this, or before the leader changes.
    paused_until: Option<Time>,
    /// Handed to consensus, not yet in the log.
    tickets: BTreeMap<u64, Proposer>,
    next_ticket: u64,
    /// In the log, not yet applied.
    logged: BTreeMap<Index, (Term, Proposer)>,
    reads: BTreeMap<RequestId, Read>,
    /// Reads that consensus gave up, to be asked again after the pause.
    given_up: Vec<RequestId>,
    /// Answers to changes of membership that the engine must follow first.
    held: BTreeMap<RequestId, Answer>,
    /// When each request's time is up.
    ends: BTreeSet<(Time, RequestId)>,
}

#[derive(Clone, Copy, Debug)]
struct Read {
    until: Time,
    /// What the applied state must hold; none until consensus has said so.
    index: Option<Index>,
}

impl Requests {
    /// Takes a command in. `false` when too many wait.
    pub(crate) fn want(
        &mut self,
        id: RequestId,
        Asked { client, issue, command }: Asked,
        session: Option<(SessionId, Serial)>,
        place: Where,
        until: Time,
    ) -> bool {
        if self.is_full() {
            return false;
        }
        let wanted = Wanted { client, command, session, issue, place, until, sent: Sent::Not, tried: false };
        self.unsent.insert(wanted.key(id));
        self.ends.insert((until, id));
        self.wanted.insert(id, wanted);
        true
    }

    fn is_full(&self) -> bool {
        self.wanted.len() + self.reads.len() >= MAX_REQUESTS
    }

    pub(crate) fn wanted(&self, id: RequestId) -> Option<&Wanted> {
        self.wanted.get(&id)
    }

    /// What can be sent now, in order, given who leads. Each must be [marked](Self::sent) when it was.
    pub(crate) fn sendable(&self, now: Time, me: MemberId, leader: Option<MemberId>) -> Vec<Dispatch> {
        let Some(leader) = leader.filter(|_| !self.unsent.is_empty() && !self.is_paused(now)) else {
            return Vec::new();
        };
        if leader == me {
            return self.unsent.iter().map(|(_, id)| Dispatch::Propose(*id)).collect();
        }
        // Frames may overtake each other, so a session has one command on its way at a time.
        let mut busy = self.sessions_on_their_way();
        let mut all = Vec::new();
        for (session, id) in &self.unsent {
            let redirect =
                self.wanted.get(id).is_some_and(|wanted| wanted.place == Where::Here && !wanted.tried);
            if redirect {
                all.push(Dispatch::Redirect(leader, *id));
            } else if session.is_none_or(|(session, _)| busy.insert(session)) {
                all.push(Dispatch::Forward(leader, *id));
            }
        }
        all
    }

    fn sessions_on_their_way(&self) -> BTreeSet<SessionId> {
        if self.unsent.last().is_none_or(|(session, _)| session.is_none()) {
            return BTreeSet::new();
        }
        let sent = self.wanted.values().filter(|wanted| wanted.sent != Sent::Not);
        sent.filter_map(|wanted| Some(wanted.session?.0)).collect()
    }

    /// Whether an earlier try of a command may count.
    pub(crate) fn was_tried(&self, id: RequestId) -> bool {
        self.wanted.get(&id).is_some_and(|wanted| wanted.tried)
    }

    /// Whether a command that is on its way into this member's log is `such`.
    pub(crate) fn proposes(&self, such: impl Fn(&Command) -> bool) -> bool {
        self.wanted.values().any(|wanted| wanted.sent == Sent::Proposed && such(&wanted.command))
    }

    /// Forgets a pause that is over.
    pub(crate) fn resume(&mut self, now: Time) {
        self.paused_until.take_if(|until| *until <= now);
    }

    /// Whether something was turned down just now.
    pub(crate) fn is_paused(&self, now: Time) -> bool {
        self.paused_until.is_some_and(|until| now < until)
    }

    /// A command is on its way: to `leader`, or into this member's own log.
    pub(crate) fn sent(&mut self, id: RequestId, leader: Option<MemberId>) {
        let Some(wanted) = self.wanted.get_mut(&id) else { return };
        wanted.sent = leader.map_or(Sent::Proposed, Sent::Forwarded);
        self.unsent.remove(&wanted.key(id));
    }

    /// Another leader is known, or none. A command with a session or an issue is applied once however often it is proposed,
    /// so it can simply be sent again; one without must wait for its answer. If that is another's to give, it comes soon:
    /// until `answers_end`, unless that member is dead.
    pub(crate) fn leader_changed(&mut self, leader: Option<MemberId>, answers_end: Time) {
        self.paused_until = None;
        for (id, wanted) in &mut self.wanted {
            match wanted.sent {
                _ if wanted.counts_once() => {
                    wanted.try_again();
                }
                Sent::Forwarded(to) if leader.is_some_and(|leader| leader != to) => {
                    self.ends.remove(&(wanted.until, *id));
                    wanted.until = wanted.until.min(answers_end);
                    self.ends.insert((wanted.until, *id));
                }
                _ => {}
            }
            if wanted.sent == Sent::Not {
                self.unsent.insert(wanted.key(*id));
            }
        }
    }

    /// A command was issued, if it takes that.
    pub(crate) fn issued(&mut self, id: RequestId, issue: Option<Issue>) {
        if let Some(wanted) = self.wanted.get_mut(&id) {
            wanted.issue = issue;
        }
    }

    /// A command was refused for how it was issued, so no try of it counts: it is issued anew, after the pause. `false`, and
    /// nothing is done, when its request is over, or its session has kept that answer.
    pub(crate) fn issue_anew(&mut self, id: RequestId, pause_until: Time) -> bool {
        let wanted = self.wanted.get_mut(&id).filter(|wanted| wanted.session.is_none());
        let Some(wanted) = wanted else { return false };
        (wanted.issue, wanted.tried) = (None, false);
        self.not_proposed(id, pause_until);
        true
    }

    /// Sends a command again that may count already. `false`, and nothing is done, when it would count twice.
    pub(crate) fn try_again(&mut self, id: RequestId) -> bool {
        let Some(wanted) = self.wanted.get_mut(&id) else { return false };
        let again = wanted.try_again();
        if again {
            self.unsent.insert(wanted.key(id));
        }
        again
    }

    /// A command was turned down: it waits again, and so does everything else, until `pause_until`.
    pub(crate) fn not_proposed(&mut self, id: RequestId, pause_until: Time) {
        let Some(wanted) = self.wanted.get_mut(&id).filter(|wanted| wanted.sent != Sent::Committed) else {
            return;
        };
        wanted.sent = Sent::Not;
        self.unsent.insert(wanted.key(id));
        self.paused_until = Some(pause_until);
    }

    /// The leader that a command was forwarded to answered.
    pub(crate) fn forwarded(
        &mut self,
        from: MemberId,
        id: RequestId,
        outcome: ForwardOutcome,
        pause_until: Time,
    ) -> Option<Answer> {
        if self.wanted.get(&id).is_none_or(|wanted| wanted.sent != Sent::Forwarded(from)) {
            return None;
        }
        match outcome {
            ForwardOutcome::Control(result, index) => Some(Answer::Control(result, index)),
            ForwardOutcome::User(result, index) => Some(Answer::User(result, index)),
            ForwardOutcome::Unknown => {
                let again = self.try_again(id);
                self.paused_until = again.then_some(pause_until).or(self.paused_until);
                (!again).then_some(Answer::Unknown)
            }
            ForwardOutcome::NotLeader(_) | ForwardOutcome::Dropped => {
                self.not_proposed(id, pause_until);
                None
            }
        }
    }

    /// Keeps an answer back until the engine has followed, or the request's time is up.
    pub(crate) fn hold(&mut self, id: RequestId, answer: Answer) {
        if let Some(wanted) = self.wanted.get_mut(&id) {
            wanted.sent = Sent::Committed;
            self.held.insert(id, answer);
        }
    }

    /// Answers that are held.
    pub(crate) fn held(&self) -> impl Iterator<Item = (RequestId, &Answer)> {
        self.held.iter().map(|(id, answer)| (*id, answer))
    }

    /// A command's request is over.
    pub(crate) fn finish(&mut self, id: RequestId) -> bool {
        let Some(wanted) = self.wanted.remove(&id) else { return false };
        self.unsent.remove(&wanted.key(id));
        self.held.remove(&id);
        self.ends.remove(&(wanted.until, id));
        true
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
    pub(crate) fn read(&mut self, id: RequestId, until: Time) -> bool {
        if self.is_full() {
            return false;
        }
        self.reads.insert(id, Read { until, index: None });
        self.ends.insert((until, id));
        true
    }

    /// The read must see `index`.
    pub(crate) fn read_known(&mut self, id: RequestId, index: Index) {
        if let Some(read) = self.reads.get_mut(&id) {
            read.index = Some(index);
        }
    }

    /// Consensus gave a read up: it is asked again after the pause, until its own time is up.
    pub(crate) fn read_failed(&mut self, id: RequestId, pause_until: Time) {
        if self.reads.contains_key(&id) {
            self.given_up.push(id);
            self.paused_until = Some(pause_until);
        }
    }

    /// Reads to ask consensus for again.
    pub(crate) fn reads_again(&mut self, now: Time) -> Vec<RequestId> {
        if self.is_paused(now) {
            return Vec::new();
        }
        let mut again = std::mem::take(&mut self.given_up);
        again.retain(|id| self.reads.contains_key(id));
        again
    }

    /// Reads that the applied state can serve.
    pub(crate) fn readable(&mut self, applied: Index) -> Vec<RequestId> {
        let ready = |read: &Read| read.index.is_some_and(|index| index <= applied);
        let done: Vec<_> = self.reads.extract_if(.., |_, read| ready(read)).collect();
        done.iter().for_each(|(id, read)| {
            self.ends.remove(&(read.until, *id));
        });
        done.into_iter().map(|(id, _)| id).collect()
    }

    /// Requests whose time is up, with what is known of them. A held answer counts only if this member has `applied` it:
    /// who asked may build on what this member knows.
    pub(crate) fn expired(&mut self, now: Time, applied: Index) -> Vec<(RequestId, Answer)> {
        let known = |answer: &Answer| matches!(answer, Answer::Control(_, at) if *at <= applied);
        let mut late = Vec::new();
        while let Some((_, id)) = self.ends.first().copied().filter(|(until, _)| *until <= now) {
            self.ends.pop_first();
            let held = self.held.remove(&id).filter(known);
            let maybe = self.wanted.get(&id).is_some_and(|wanted| wanted.tried || wanted.sent != Sent::Not)
                && !planted(Mutation::UnknownToldAsNoLeader);
            self.finish(id);
            self.reads.remove(&id);
            late.push((id, held.unwrap_or(if maybe { Answer::Unknown } else { Answer::NoLeader })));
        }
        late
    }

    /// When the next request's time is up, or the pause is over that something waits for.
    pub(crate) fn deadline(&self) -> Option<Time> {
        let waits = !self.unsent.is_empty() || !self.given_up.is_empty();
        let pause = self.paused_until.filter(|_| waits);
        [self.ends.first().map(|(until, _)| *until), pause].into_iter().flatten().min()
    }

    /// How many wait for each entry that is in the log and not applied.
    pub(crate) fn waiting(&self) -> BTreeMap<Index, usize> {
        let asked = self.logged.iter().filter(|(_, (_, proposer))| !matches!(proposer, Proposer::Duty(_)));
        asked.map(|(index, _)| (*index, 1)).collect()
    }
}

/// How long a forwarded or proposed command is waited for unless the request says otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);
