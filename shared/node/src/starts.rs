//! Which start of this member speaks, and whose starts count here.
//!
//! A member says who it is and what its disk held, and others answer what they know. Until another one has answered that
//! this start counts, it is given no vote and no acknowledgement: its disk may be an older copy. Copies find out by
//! themselves, so nothing has to be checked in the messages of Raft.

use crate::Event;
use crate::heard_starts::{Anomaly, HeardStarts, in_words};
use crate::io::{Boot, Output};
use crate::node::Node;
use crate::requests::{Duty, Proposer};
use rafty_consensus as consensus;
use rafty_types::{
    Command, ControlCommand, Frame, Hello, HelloAnswer, HelloStamp, Incarnations, Index, MemberId, Message,
    MessageKind, PersistId, RecordedIncarnation, StateMachine, Term, Time,
};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// How often a member says who it is.
const HELLO_EVERY: Duration = Duration::from_secs(2);
/// Somebody for whom this start does not count yet is told again after this, when it is heard.
const HELLO_AGAIN: Duration = Duration::from_millis(100);
/// A disk that was hardly used is not worth an entry yet: it is recorded from this number on.
const RECORDED_FROM: u64 = 4;
/// More members than any peer set has.
const MAX_PEERS: usize = 64;

/// The starts of this member and of others.
pub(crate) struct Starts {
    /// What the disk will hold.
    disk: Incarnations,
    /// What was written and is not synced.
    writing: Option<PersistId>,
    /// The disk shall hold more than what is being written.
    unwritten: bool,
    rise_due: bool,
    /// What is said of this start; without a start before the disk holds it.
    hello: Hello,
    /// The present start's nonce.
    nonce: u64,
    peers: BTreeMap<MemberId, Peer>,
    next_hello: Time,
    /// Where another process with this identity runs.
    told_twin: Option<SocketAddr>,
    proposed: bool,
}

/// Another member.
#[derive(Default)]
struct Peer {
    /// What it said of its own starts.
    heard: Option<HeardStarts>,
    /// Whether this start counts for it.
    counts: bool,
    /// Its last answer to this start.
    stamp: Option<HelloStamp>,
    /// Where another process with this identity runs, as it says.
    twin: Option<SocketAddr>,
    said_at: Option<Time>,
}

impl Starts {
    pub(crate) fn new(boot: &Boot, now: Time) -> Self {
        let last = boot.entries.last().map_or(Index(0), |entry| entry.index).max(boot.snapshot.meta.index);
        // The seed also draws election timeouts; nobody shall read these off.
        let nonce = boot.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31) ^ boot.me.0;
        let disk = boot.incarnations.clone().started(nonce);
        let hello = Hello {
            member: boot.me,
            starts: Vec::new(),
            term: boot.hard_state.term,
            last,
            suspected: boot.suspected,
            outdated: disk.outdated,
            at: boot.address,
            heard: None,
        };
        Self {
            disk,
            writing: None,
            unwritten: true,
            rise_due: false,
            hello,
            nonce,
            peers: BTreeMap::new(),
            next_hello: now,
            told_twin: None,
            proposed: false,
        }
    }

    /// Whether the disk may be an older copy.
    pub(crate) fn abstains(&self) -> bool {
        self.hello.suspected || self.hello.outdated
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        (!self.hello.starts.is_empty()).then_some(self.next_hello)
    }

    fn peer(&mut self, member: MemberId) -> Option<&mut Peer> {
        let room = self.peers.len() < MAX_PEERS || self.peers.contains_key(&member);
        room.then(|| self.peers.entry(member).or_default())
    }

    /// Whether `message` may be sent: nobody shall count on a start before it has said that this one counts.
    pub(crate) fn lets_out(&self, message: &mut Message, commit: Index) -> bool {
        let peer = self.peers.get(&message.to);
        if peer.is_some_and(|peer| peer.counts) {
            return true;
        }
        // What is committed already is committed without it. So it gets the log, and the record of itself in it.
        consensus::promise_nothing_new(message, commit);
        match message.kind {
            MessageKind::RequestVote => false,
            MessageKind::RequestVoteResponse => message.reject,
            MessageKind::AppendResponse => message.reject || peer.is_some_and(|peer| peer.stamp.is_some()),
            _ => true,
        }
    }

    pub(crate) fn written(&mut self, id: PersistId) {
        self.writing = Some(id);
    }

    pub(crate) fn proposal_over(&mut self) {
        self.proposed = false;
    }
}

impl<U: StateMachine> Node<U> {
    /// Writes what the disk shall hold, one after the other: while it hangs, nothing piles up.
    pub(crate) fn write_incarnations(&mut self) {
        let starts = &mut self.starts;
        if starts.writing.is_some() {
            return;
        }
        if std::mem::take(&mut starts.rise_due) && !starts.abstains() {
            starts.disk.rise();
            starts.unwritten = true;
        }
        if std::mem::take(&mut starts.unwritten) {
            let disk = starts.disk.clone();
            self.step(consensus::Input::Incarnations(disk));
        }
    }

    /// The disk holds what was written up to `id`.
    pub(crate) fn incarnations_persisted(&mut self, id: PersistId) {
        let starts = &mut self.starts;
        if starts.writing.take_if(|writing| *writing <= id).is_some() {
            starts.hello.starts.clone_from(&starts.disk.latest);
            if !starts.unwritten {
                self.say_hello_to_all();
            }
        }
    }

    /// A tenure was applied: the number rises.
    pub(crate) fn rise_with_tenure(&mut self) {
        self.starts.rise_due = true;
    }

    pub(crate) fn say_hello_if_due(&mut self) {
        if self.starts.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.say_hello_to_all();
        }
    }

    fn say_hello_to_all(&mut self) {
        self.starts.next_hello = self.now + HELLO_EVERY;
        let known = self.state.control().members().keys().copied();
        let mut all: Vec<_> = known.chain(self.consensus.membership().all()).collect();
        all.sort_unstable();
        all.dedup();
        all.retain(|member| *member != self.me);
        all.into_iter().for_each(|member| self.say_hello(member));
    }

    fn say_hello(&mut self, to: MemberId) {
        let now = self.now;
        if self.starts.hello.starts.is_empty() {
            return;
        }
        let Some(peer) = self.starts.peer(to) else { return };
        peer.said_at = Some(now);
        let heard = peer.stamp;
        let hello = Hello { heard, ..self.starts.hello.clone() };
        self.out.push(Output::Send { to, frame: Frame::Hello(hello) });
    }

    /// Something was heard from a member: it shall know who hears it.
    pub(crate) fn introduce_to(&mut self, from: MemberId) {
        let now = self.now;
        let Some(peer) = self.starts.peer(from) else { return };
        let due = peer.said_at.is_none_or(|at| at + HELLO_AGAIN <= now);
        if !peer.counts && due {
            self.say_hello(from);
        }
    }

    /// A member says who it is.
    pub(crate) fn hello(&mut self, from: MemberId, hello: &Hello) {
        if hello.member != from || !hello.is_sane() {
            return self.dropped(from, "a hello of another member, or one that makes no sense");
        }
        let (now, recorded) = (self.now, self.state.control().incarnation(from));
        let (me, nonce) = (self.starts.nonce, hello.current().nonce);
        let ran_at = hello.heard.filter(|stamp| stamp.nonce == me).map(|stamp| time_of(stamp.ms));
        // What this start itself acknowledges says nothing about its disk: it acknowledges nothing before it is answered.
        let forgot = self.acknowledged_by(from).is_some_and(|what| hello.contradicts_acknowledged(what));
        let Some(peer) = self.starts.peer(from) else { return };
        let before = peer.heard.as_ref().and_then(|heard| heard.anomaly(recorded));
        let heard = peer.heard.get_or_insert_with(|| HeardStarts::new(hello, ran_at, now));
        heard.hear(hello, ran_at, recorded, forgot, now);
        let answer = HelloAnswer {
            nonce,
            stamp: HelloStamp { nonce: me, ms: ms_of(now) },
            counts: heard.counts(nonce, recorded),
            twice: heard.twin_of(nonce),
        };
        let anomaly = heard.anomaly(recorded);
        self.out.push(Output::Send { to: from, frame: Frame::HelloAnswer(answer) });
        if let Some(anomaly) = anomaly.filter(|anomaly| Some(anomaly) != before.as_ref()) {
            self.tell_anomaly(from, &anomaly);
        }
        self.introduce_to(from);
    }

    /// Up to where a member has acknowledged entries to this leader, and in which term.
    fn acknowledged_by(&self, member: MemberId) -> Option<(Term, Index)> {
        let progress = self.consensus.progress();
        let progress = progress.iter().find(|progress| progress.member == member)?;
        Some((self.consensus.term(), progress.matched))
    }

    /// A member says what it knows of this one. Nothing is decided by what one alone says: a copy learns from the log that
    /// it is one, and whoever runs twice ends when most voters say so.
    pub(crate) fn hello_answered(&mut self, from: MemberId, answer: &HelloAnswer) {
        if answer.nonce != self.starts.nonce {
            return;
        }
        let Some(peer) = self.starts.peer(from) else { return };
        (peer.stamp, peer.counts, peer.twin) = (Some(answer.stamp), answer.counts, answer.twice);
        let Some(twin) = answer.twice else { return };
        let places = [self.starts.hello.at, Some(twin)].into_iter().flatten().collect();
        let anomaly = Anomaly::RunsTwice(places);
        let told = self.starts.told_twin.replace(twin) == Some(twin);
        if !told {
            self.tell_anomaly(self.me, &anomaly);
        }
        let voters = &self.consensus.membership().voters;
        let refuse = |voter: &&MemberId| {
            self.starts.peers.get(voter).is_some_and(|peer| !peer.counts && peer.twin.is_some())
        };
        if 2 * voters.iter().filter(refuse).count() > voters.len() {
            self.halt(in_words(self.me, &anomaly));
        }
    }

    /// This disk is an older copy. That is written, since the numbers of later starts could hide it.
    fn found_outdated(&mut self) {
        if self.starts.hello.outdated {
            return;
        }
        self.starts.hello.outdated = true;
        self.starts.disk.outdated = true;
        self.starts.unwritten = true;
        self.step(consensus::Input::Abstain);
        let at = self.starts.hello.at;
        self.tell_anomaly(self.me, &Anomaly::Outdated(at));
    }

    /// Looks at what the replicated state records of this member now.
    pub(crate) fn judge_own_record(&mut self) {
        let Some(recorded) = self.state.control().incarnation(self.me) else { return };
        let hello = Hello { starts: self.starts.disk.latest.clone(), ..self.starts.hello.clone() };
        if hello.contradicts_record(recorded) {
            return self.found_outdated();
        }
        let cleared = recorded.incarnation.nonce == self.starts.nonce;
        if cleared && hello.suspected && !hello.outdated {
            self.starts.hello.suspected = false;
            self.step(consensus::Input::VoteAgain);
            self.out.push(Output::NoCopy);
            self.say_hello_to_all();
        }
    }

    fn tell_anomaly(&mut self, member: MemberId, anomaly: &Anomaly) {
        self.out.push(Output::Event(Event::DiskAnomaly { member, what: in_words(member, anomaly) }));
    }

    /// What a leader shall record: of everybody when `all`, else what cannot wait.
    pub(crate) fn incarnations_to_record(&self, all: bool) -> Option<ControlCommand> {
        let control = self.state.control();
        let progress = self.consensus.progress();
        let of = |id: &MemberId| {
            let (incarnation, soon) = match *id == self.me {
                true => (self.starts.hello.starts.last().copied()?, false),
                false => self.starts.peers.get(id)?.heard.as_ref()?.to_record(control.incarnation(*id))?,
            };
            let matched = progress.iter().find(|progress| progress.member == *id)?.matched;
            let used = incarnation.number >= RECORDED_FROM;
            (all && used || soon).then_some(RecordedIncarnation { member: *id, incarnation, matched })
        };
        let recorded: Vec<_> = control.members().keys().filter_map(of).collect();
        (!recorded.is_empty()).then_some(ControlCommand::IncarnationsRecorded(recorded))
    }

    /// Records, unless that is on its way.
    pub(crate) fn record_incarnations(&mut self, all: bool) {
        if self.starts.proposed {
            return;
        }
        if let Some(command) = self.incarnations_to_record(all) {
            let proposer = Proposer::Duty(Duty::Incarnations);
            self.starts.proposed = self.propose(proposer, self.me, None, Command::Control(command));
        }
    }

    /// Where another process with this identity runs, as somebody says.
    fn twin(&self) -> Option<SocketAddr> {
        self.starts.peers.values().find_map(|peer| peer.twin)
    }

    /// What is wrong with the disks of members, in words: this one's own first.
    pub fn disk_anomalies(&self) -> Vec<(MemberId, String)> {
        let hello = &self.starts.hello;
        let own = match self.twin() {
            _ if hello.outdated => Some(Anomaly::Outdated(hello.at)),
            Some(twin) => Some(Anomaly::RunsTwice([hello.at, Some(twin)].into_iter().flatten().collect())),
            None => hello.suspected.then_some(Anomaly::Suspected(hello.at)),
        };
        let control = self.state.control();
        let others = self.starts.peers.iter().filter_map(|(id, peer)| {
            let anomaly = peer.heard.as_ref()?.anomaly(control.incarnation(*id))?;
            control.member(*id).map(|_| (*id, anomaly))
        });
        let all = own.map(|anomaly| (self.me, anomaly)).into_iter().chain(others);
        all.map(|(member, anomaly)| (member, in_words(member, &anomaly))).collect()
    }

    /// Whether this member's disk is known to be an older copy.
    pub fn is_outdated(&self) -> bool {
        self.starts.hello.outdated
    }

    /// Whether this start counts for the leader: only then does the peer set follow it to another address.
    pub fn is_counted(&self) -> bool {
        let by_leader =
            |leader| leader == self.me || self.starts.peers.get(&leader).is_some_and(|peer| peer.counts);
        !self.starts.abstains() && self.twin().is_none() && self.consensus.leader().is_some_and(by_leader)
    }
}

fn ms_of(time: Time) -> u64 {
    u64::try_from(time.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn time_of(ms: u64) -> Time {
    Time::since_start(Duration::from_millis(ms))
}
