//! Which start of this member speaks, and whose starts count here.
//!
//! A member says who it is and what its disk held, and others answer what they know. Until another one has answered that
//! this start counts, it is given no vote and no acknowledgement: its disk may be an older copy. Copies find out by
//! themselves, so nothing has to be checked in the messages of Raft.

use crate::Event;
use crate::divergence;
use crate::heard_starts::{Anomaly, HeardStarts, in_words};
use crate::io::{Boot, Output};
use crate::lone_voter::Asking;
use crate::node::Node;
use crate::requests::Duty;
use rafty_consensus as consensus;
use rafty_types::{
    ControlCommand, Frame, Hello, HelloAnswer, HelloStamp, Incarnations, Index, MemberId, Message,
    MessageKind, Mutation, PeerKey, PersistId, RecordedIncarnation, StateMachine, Term, Time, planted,
};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// How often a member says who it is, and after how long over a slow way.
const HELLO_EVERY: Duration = Duration::from_secs(2);
const HELLO_SELDOM: Duration = Duration::from_secs(6);
/// Somebody for whom this start does not count yet is told again after this, when it is heard; and so many times after
/// the start in any case. Otherwise members that have nothing else to say to each other give no votes at first.
const HELLO_AGAIN: Duration = Duration::from_millis(100);
const MAX_REPEATED: u32 = 30;
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
    repeated: u32,
    next_repeat: Time,
    /// Where another process with this identity runs.
    told_twin: Option<SocketAddr>,
    proposed: bool,
    asking: Option<Asking>,
}

/// Another member.
#[derive(Default)]
struct Peer {
    /// What it said of its own starts.
    heard: Option<HeardStarts>,
    /// Whether this start counts for it.
    counts: bool,
    /// Its last answer to this start, and when that came.
    stamp: Option<HelloStamp>,
    answered_at: Option<Time>,
    /// Where another process with this identity runs, as it says.
    twin: Option<SocketAddr>,
    said_at: Option<Time>,
    /// By how much its wall clock is ahead of this member's, in milliseconds.
    clock_ahead_ms: i64,
    /// Where it is found, by name.
    name: Option<String>,
    /// Whether it was told last that the way between the two is slow.
    told_patient: bool,
}

impl Peer {
    /// Keeps the answer only if the process of this member that is heard now gave it. Another one may not know of the
    /// present start, and would credit an earlier one with what it acknowledges.
    fn keep_answer_of(&mut self, nonce: u64) {
        if self.stamp.is_none_or(|stamp| stamp.nonce != nonce) {
            (self.counts, self.twin) = (false, None);
        }
    }
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
            holds: last,
            suspected: boot.suspected,
            outdated: disk.outdated,
            at: boot.address,
            heard: None,
            votes_alone: false,
            wall_ms: boot.wall_ms,
            name: boot.advertised_name.clone(),
            patient: false,
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
            repeated: 0,
            next_repeat: now,
            told_twin: None,
            proposed: false,
            asking: None,
        }
    }

    /// The number that this start has now.
    pub(crate) fn incarnation(&self) -> u64 {
        self.disk.current().number
    }

    /// Whether the state was found to have diverged.
    pub(crate) fn has_diverged(&self) -> bool {
        self.disk.diverged.is_some()
    }

    /// Whether the disk may be an older copy.
    pub(crate) fn abstains(&self) -> bool {
        self.hello.suspected || self.hello.outdated
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        let next = if self.repeats_over() { self.next_hello } else { self.next_hello.min(self.next_repeat) };
        self.is_on_disk().then_some(next)
    }

    /// Whether everybody was told often enough to have answered by now, if it can.
    pub(crate) fn repeats_over(&self) -> bool {
        self.repeated > MAX_REPEATED
    }

    /// Whether the disk holds this start: before that nothing is said of it.
    fn is_on_disk(&self) -> bool {
        !self.hello.starts.is_empty()
    }

    pub(crate) fn asking(&self) -> Option<Asking> {
        self.asking
    }

    pub(crate) fn ask(&mut self, asking: Asking) {
        self.asking = Some(asking);
        self.hello.votes_alone = true;
    }

    pub(crate) fn stop_asking(&mut self) {
        self.asking = None;
        self.hello.votes_alone = false;
    }

    /// For how long the present process of a member has been heard; `None` for one of which nothing was.
    pub(crate) fn runs_for(&self, member: MemberId, now: Time) -> Option<Duration> {
        let heard = self.peers.get(&member)?.heard.as_ref()?;
        Some(heard.latest_for(now))
    }

    fn counts_for(&self, member: MemberId) -> bool {
        self.peers.get(&member).is_some_and(|peer| peer.counts)
    }

    /// Whether this start counts for a member, as it has said within `lately`.
    pub(crate) fn answer_of(&self, member: MemberId, now: Time, lately: Duration) -> Option<bool> {
        let peer = self.peers.get(&member)?;
        let said = peer.answered_at.is_some_and(|at| now.saturating_since(at) <= lately);
        said.then_some(peer.counts)
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

    /// Whether a frame of rounds may be sent. A publication rests on the disks that hold its model; what is kept back here
    /// is said later, since the model comes again until a majority has confirmed it.
    pub(crate) fn lets_out_of_rounds(&self, to: MemberId, frame: &Frame) -> bool {
        let promises = matches!(frame, Frame::Holds { .. }) && !planted(Mutation::UncountedStartHolds);
        !promises || self.counts_for(to)
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
            match starts.disk.diverged {
                _ if starts.unwritten => {}
                Some(mark) => self.halt(divergence::in_words(mark)),
                None => self.say_hello_to_all(),
            }
        }
    }

    /// A tenure was applied: the number rises.
    pub(crate) fn rise_with_tenure(&mut self) {
        self.starts.rise_due = true;
    }

    pub(crate) fn say_hello_if_due(&mut self) {
        if !self.starts.is_on_disk() {
            return;
        }
        if self.starts.next_hello <= self.now {
            self.say_hello_to_all();
        }
        if !self.starts.repeats_over() && self.starts.next_repeat <= self.now {
            self.starts.repeated += 1;
            self.starts.next_repeat = self.now + HELLO_AGAIN;
            let unanswered = |member: &MemberId| !self.starts.counts_for(*member);
            let unanswered: Vec<_> = self.others().into_iter().filter(unanswered).collect();
            unanswered.into_iter().for_each(|member| self.say_hello(member));
        }
    }

    fn say_hello_to_all(&mut self) {
        self.starts.next_hello = self.now + HELLO_EVERY;
        let mut due = self.others();
        due.retain(|member| !self.has_heard_enough(*member));
        due.into_iter().for_each(|member| self.say_hello(member));
        self.say_digest();
    }

    /// Over a slow way it is said less often, once the other end knows that it is slow.
    fn has_heard_enough(&self, member: MemberId) -> bool {
        let Some(peer) = self.starts.peers.get(&member) else { return false };
        let soon = peer.said_at.is_some_and(|said| self.now.saturating_since(said) < HELLO_SELDOM);
        soon && peer.told_patient && self.consensus.is_slow(member)
    }

    /// Whoever belongs to the set, for the applied state or for the engine.
    pub(crate) fn others(&self) -> Vec<MemberId> {
        let known = self.state.control().members().keys().copied();
        let mut all: Vec<_> = known.chain(self.consensus.membership().all()).collect();
        all.sort_unstable();
        all.dedup();
        all.retain(|member| *member != self.me);
        all
    }

    fn say_hello(&mut self, to: MemberId) {
        let hello = self.hello_for(to).map(|hello| Output::Send { to, frame: Frame::Hello(hello) });
        self.out.extend(hello);
    }

    /// What is said to a member of this start; nothing before the disk holds it.
    pub(crate) fn hello_for(&mut self, to: MemberId) -> Option<Hello> {
        let (now, wall_ms) = (self.now, self.wall_ms());
        if !self.starts.is_on_disk() {
            return None;
        }
        let patient = self.consensus.is_slow(to);
        let peer = self.starts.peer(to)?;
        peer.said_at = Some(now);
        peer.told_patient = patient;
        let heard = peer.stamp;
        let holds = self.consensus.synced_index();
        Some(Hello { heard, wall_ms, holds, patient, ..self.starts.hello.clone() })
    }

    /// Something was heard from a member: it shall know who hears it.
    pub(crate) fn introduce_to(&mut self, from: MemberId) {
        let now = self.now;
        let Some(peer) = self.starts.peer(from) else { return };
        // Each of its hellos is to find this due, even if one came late and the next one early.
        let due = peer.said_at.is_none_or(|at| at + HELLO_AGAIN / 2 <= now);
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
        let acknowledged = self.acknowledged_by(from);
        let lacks = self.lacks_committed(hello);
        let clock_ahead_ms = ahead_ms(hello.wall_ms, self.wall_ms());
        self.consensus.note_patient(from, hello.patient);
        let Some(peer) = self.starts.peer(from) else { return };
        peer.clock_ahead_ms = clock_ahead_ms;
        peer.name.clone_from(&hello.name);
        peer.keep_answer_of(nonce);
        let before = peer.heard.as_ref().and_then(|heard| heard.anomaly(recorded));
        // What this start itself acknowledges says nothing about its disk: it acknowledges nothing before it is answered.
        let acknowledged = peer.heard.as_mut().map_or(acknowledged, |heard| heard.credit(acknowledged));
        let forgot = acknowledged.is_some_and(|what| hello.contradicts_acknowledged(what));
        let is_new = !peer.heard.as_ref().is_some_and(|heard| heard.knows(nonce));
        if is_new {
            // What was said to that member just now may have gone to the process before this one.
            peer.said_at = None;
        }
        let heard = peer.heard.get_or_insert_with(|| HeardStarts::new(hello, ran_at, now));
        heard.hear(hello, ran_at, recorded, forgot, now);
        if lacks {
            heard.lacks_committed(nonce);
        }
        let answer = HelloAnswer {
            nonce,
            stamp: HelloStamp { nonce: me, ms: ms_of(now) },
            counts: heard.counts(nonce, recorded) && !lacks,
            twice: heard.twin_of(nonce),
        };
        let anomaly = heard.anomaly(recorded);
        let takes_turns = answer.counts && heard.takes_turns();
        self.out.push(Output::Send { to: from, frame: Frame::HelloAnswer(answer) });
        if is_new || takes_turns {
            // Another start acknowledged what this one may not have: one before it, or a copy beside it.
            self.step(consensus::Input::ForgetAcknowledged { member: from, last: hello.holds });
        }
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
        let now = self.now;
        let Some(peer) = self.starts.peer(from) else { return };
        (peer.stamp, peer.counts, peer.twin) = (Some(answer.stamp), answer.counts, answer.twice);
        peer.answered_at = Some(now);
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

    /// The state differs from that of a majority. This member ends when its disk says so: from here on it says nothing,
    /// and no later start may use what is there.
    pub(crate) fn found_diverged(&mut self, mark: Index) {
        self.starts.disk.diverged = Some(mark);
        self.starts.unwritten = true;
        let what = divergence::in_words(mark);
        self.out.push(Output::Event(Event::DiskAnomaly { member: self.me, what }));
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

    /// This disk may be an older copy: it abstains until the log names this start.
    pub(crate) fn suspect_own_disk(&mut self) {
        self.starts.hello.suspected = true;
        let at = self.starts.hello.at;
        self.tell_anomaly(self.me, &Anomaly::Suspected(at));
        self.say_hello_to_all();
    }

    pub(crate) fn tell_anomaly(&mut self, member: MemberId, anomaly: &Anomaly) {
        self.out.push(Output::Event(Event::DiskAnomaly { member, what: in_words(member, anomaly) }));
    }

    /// What a leader shall record: of everybody when `all`, else what cannot wait.
    pub(crate) fn incarnations_to_record(&self, all: bool) -> Option<ControlCommand> {
        let (control, term) = (self.state.control(), self.consensus.term());
        let progress = self.consensus.progress();
        let of = |id: &MemberId| {
            let acknowledged = (term, progress.iter().find(|progress| progress.member == *id)?.matched);
            let (incarnation, soon, acknowledged) = match *id == self.me {
                true => (self.starts.hello.starts.last().copied()?, false, Some(acknowledged)),
                false => {
                    let heard = self.starts.peers.get(id)?.heard.as_ref()?;
                    let (incarnation, soon) = heard.to_record(control.incarnation(*id))?;
                    (incarnation, soon, heard.credited(Some(acknowledged)))
                }
            };
            // Of an earlier term it need not be committed.
            let matched = acknowledged.filter(|(of, _)| *of == term).map_or(Index(0), |(_, matched)| matched);
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
            self.starts.proposed = self.propose_duty(Duty::Incarnations, command);
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
            None if hello.suspected => Some(Anomaly::Suspected(hello.at)),
            None => self.doubted_by().map(Anomaly::Doubted),
        };
        let control = self.state.control();
        let others = self.starts.peers.iter().filter_map(|(id, peer)| {
            let anomaly = peer.heard.as_ref()?.anomaly(control.incarnation(*id))?;
            control.member(*id).map(|_| (*id, anomaly))
        });
        let all = own.map(|anomaly| (self.me, anomaly)).into_iter().chain(others);
        all.map(|(member, anomaly)| (member, in_words(member, &anomaly))).collect()
    }

    /// Who says that the disk of this lone voter is an older copy.
    pub(crate) fn doubted_by(&self) -> Option<MemberId> {
        self.starts.asking.and_then(|asking| asking.doubted_by)
    }

    /// Whether this lone voter asks the others before it leads, and none of them has objected.
    pub fn asks_before_leading(&self) -> bool {
        self.starts.asking.is_some_and(|asking| asking.doubted_by.is_none())
    }

    /// By how much a member's wall clock is ahead of this one's, in milliseconds, if it has said so since this one started.
    pub(crate) fn clock_ahead_ms(&self, member: MemberId) -> Option<i64> {
        let peer = self.starts.peers.get(&member)?;
        peer.heard.is_some().then_some(peer.clock_ahead_ms)
    }

    /// The names at which other members are found, by their keys, as they have said since this one started.
    pub fn advertised_names(&self) -> impl Iterator<Item = (PeerKey, &str)> {
        let members = self.state.control().members();
        let named = self.starts.peers.iter().filter_map(|(id, peer)| Some((id, peer.name.as_deref()?)));
        named.filter_map(|(id, name)| Some((members.get(id)?.key, name)))
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

fn ahead_ms(theirs: u64, ours: u64) -> i64 {
    let off = i64::try_from(theirs.abs_diff(ours)).unwrap_or(i64::MAX);
    if theirs >= ours { off } else { -off }
}

fn ms_of(time: Time) -> u64 {
    u64::try_from(time.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn time_of(ms: u64) -> Time {
    Time::since_start(Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_process_of_a_member_answered_does_not_count_for_another() {
        let stamp = HelloStamp { nonce: 1, ms: 5 };
        let mut peer = Peer { counts: true, stamp: Some(stamp), ..Peer::default() };
        peer.keep_answer_of(1);
        assert!(peer.counts);
        peer.keep_answer_of(2);
        assert!(!peer.counts);
        peer.keep_answer_of(1);
        assert!(!peer.counts, "it must answer again");
    }
}
