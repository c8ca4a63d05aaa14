//! What members want done: sending, syncing, working.

use super::transfers::BROKEN_AFTER;
use super::{Happening, Turn, World, ms};
use crate::invariants::duties_are_the_leaders;
use crate::member::{Member, Process};
use crate::observer::rotted;
use crate::tally::{Evil, Sometimes};
use rafty_consensus::Link;
use rafty_node::{Event, Input, Output};
use rafty_rounds::{DropReason, EnvelopeHandle, RoundEvent, Work, WorkId, WorkResult};
use rafty_types::{Batch, Frame, Index, MemberId, Message, PeerKey, PersistId, Refusal, RestCause};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a frame beside its payload.
const FRAME_LEN: usize = 100;
/// Frames with more bytes than this go by stream: they may be late, datagrams never are.
const DATAGRAM: usize = 1_000;
/// The transport looks around so often, and takes so many refusals in a row; more when some let it in.
const LOOK_EVERY: Duration = ms(1_000);
const REFUSED_TIMES: u32 = 5;
const DOUBTED_TIMES: u32 = 60;
/// Packets that such a measurement rests on.
const MEASURED_PACKETS: u64 = 50;
/// When somebody sees that a member runs on an older copy, in milliseconds.
const JOINS_ANEW_AFTER: (u64, u64) = (0, 5_000);
/// A network of so few bytes in a millisecond counts as slow.
const SLOW_BANDWIDTH: u64 = 1_000;

impl World {
    pub(super) fn perform(&mut self, id: MemberId, output: Output) -> Option<Input> {
        self.trace.output(self.now, id, &output);
        match output {
            Output::Send { to, frame } => self.send(id, to, frame),
            Output::SendAfter(batch, to, frame) => {
                self.process(id)?.delayed.entry(batch).or_default().push((to, frame));
            }
            Output::Persist(batch_id, batch) => self.persist(id, batch_id, batch)?,
            Output::SendSnapshot { to, message, data } => self.send_snapshot(id, to, message, data),
            Output::Reply { id: request, answer } => self.answered(id, request, answer),
            Output::Work { id: order, work } => self.order(id, order, work)?,
            Output::TakeSnapshot(state) => {
                let before = std::mem::replace(&mut self.process(id)?.takes_snapshot, true);
                assert!(!before, "bounded memory: member {id} takes two snapshots at a time");
                let after = self.rng.ms(self.rates.work);
                self.schedule(after, id, Happening::TakesSnapshot(state));
            }
            Output::ReadSnapshot(snapshot) => {
                let before = std::mem::replace(&mut self.process(id)?.reads_snapshot, true);
                assert!(!before, "bounded memory: member {id} reads two snapshots at a time");
                let after = self.rng.ms(self.rates.work);
                self.schedule(after, id, Happening::ReadsSnapshot(snapshot));
            }
            Output::DigestState { mark, state } => {
                let before = std::mem::replace(&mut self.process(id)?.digests_state, true);
                assert!(!before, "bounded memory: member {id} digests two states at a time");
                let after = self.rng.ms(self.rates.work);
                self.schedule(after, id, Happening::DigestsState { mark, state });
            }
            Output::MakeTenureKey => {
                let after = self.rng.ms(self.rates.key);
                self.schedule(after, id, Happening::Key);
            }
            Output::ForgetTenureKeys { except } => self.process(id)?.worker.forget_keys(except),
            Output::SendEnvelope { to, handle } => return self.send_envelope(id, &to, handle),
            Output::DropEnvelope(handle) => self.drop_envelope(id, handle)?,
            Output::WithdrawEnvelope(handle) => {
                self.drop_envelope(id, handle)?;
                self.sent_in_parts_breaks(id, |withdrawn| withdrawn == handle);
            }
            Output::Roster(members) => {
                let process = self.process(id)?;
                process.roster = members.iter().map(|member| (member.key, member.id)).collect();
                process.known_places =
                    members.into_iter().map(|member| (member.key, member.addresses)).collect();
            }
            Output::NoCopy => {
                self.tally.saw(Sometimes::CopyVotesAgain);
                let member = self.members.get_mut(&id)?;
                // A raw copy abstains, too, where it voted alone and another one has led since.
                (member.disk.looks_copied, member.put_back) = (false, false);
            }
            // Nobody watches here.
            Output::UserApplied { .. } | Output::UserRestored => {}
            Output::Event(event) => self.event(id, &event),
            Output::Halt(why) => self.halted(id, why),
            Output::Dropped { from, reason } => self.dropped.push((from, reason)),
        }
        None
    }

    pub(super) fn process(&mut self, id: MemberId) -> Option<&mut Process> {
        self.members.get_mut(&id)?.process.as_mut()
    }

    fn halted(&mut self, id: MemberId, why: String) {
        if self.members[&id].disk.incarnations.diverged.is_some() {
            return self.stops_diverged(id);
        }
        // The record goes over to a copy only when its original was not heard for long.
        let runs_twice = self.twins.contains_key(&id) && why.contains("runs twice");
        let stops_original = runs_twice && !self.is_twin(id) && !self.is_recorded_otherwise(id);
        assert!(!stops_original, "a copy stops no original: {id} ended: {why}");
        self.trace.note(self.now, || format!("{id} ends: {why}"));
        self.members.get_mut(&id).expect("it runs").halted = Some(why);
        self.kill(id);
        self.tally.saw(Sometimes::Revoked);
    }

    /// Whether the newest state records another start of a member than its present one.
    fn is_recorded_otherwise(&self, id: MemberId) -> bool {
        let running = self.members.values().filter_map(|member| member.process.as_ref());
        let newest = running.map(|process| process.node.state()).max_by_key(|state| state.applied());
        let recorded = newest.and_then(|state| state.control().incarnation(id));
        let present = self.members[&id].disk.incarnations.latest.last();
        recorded.zip(present).is_some_and(|(recorded, present)| recorded.incarnation.nonce != present.nonce)
    }

    fn event(&mut self, id: MemberId, event: &Event) {
        self.invariants.rounds.event(self.now, id, event, &self.members, &mut self.tally);
        match event {
            Event::HandingOver { .. } => {
                self.tally.saw(Sometimes::HandedOver);
                let Some(process) = self.process(id) else { return };
                let term = process.node.consensus().term();
                if process.handed_over.replace(term) == Some(term) {
                    self.tally.saw(Sometimes::TransferFailed);
                }
            }
            Event::RoundOpened { .. } => self.dies_in_round(id),
            Event::Removed { member } => {
                let sent_away = self.node(id).state().control().departed().any(|gone| gone.id == *member);
                let runs = self.runs(*member) && !self.twins.contains_key(member);
                assert!(sent_away || !runs, "only who lost its log is replaced: {member} runs");
                self.invariants.forget_seats(id);
            }
            Event::DiskAnomaly { member, .. }
                if *member == id && self.process(id).is_some_and(|process| process.node.is_outdated()) =>
            {
                self.tally.saw(Sometimes::CopyFound);
                let after = self.rng.ms(JOINS_ANEW_AFTER);
                self.later(after, Turn::JoinsAnew(id));
            }
            Event::Round(RoundEvent::ModelAsked { .. }) => self.tally.saw(Sometimes::ModelFetched),
            Event::Round(RoundEvent::TrainingStopped { .. }) => self.tally.saw(Sometimes::TrainingStopped),
            Event::Round(RoundEvent::Dropped { why: DropReason::WrongLabel, .. }) => {
                self.tally.saw(Sometimes::OldEnvelope);
            }
            _ => {}
        }
    }

    /// Nobody names it any more. What is under way of it stays so until it ends.
    fn drop_envelope(&mut self, id: MemberId, handle: EnvelopeHandle) -> Option<()> {
        let process = self.process(id)?;
        process.worker.drop_envelope(handle);
        process.under_way.remove(&handle);
        Some(())
    }

    // The disk.

    fn persist(&mut self, id: MemberId, batch_id: PersistId, batch: Box<Batch>) -> Option<()> {
        let member = self.members.get_mut(&id)?;
        let fails_until = member.device.disk_fails_until;
        let at = member.sync_until(self.now, &self.rates, &mut self.rng);
        let process = member.process.as_mut()?;
        self.invariants.logs.leader_append_only(id, &batch, process);
        duties_are_the_leaders(id, process, &batch.entries);
        let last = process.terms.last();
        if batch.install.is_none() && batch.entries.first().is_some_and(|first| first.index <= last) {
            self.tally.saw(Sometimes::LogTruncated);
        }
        process.terms.write(&batch);
        process.unsynced.insert(batch_id, batch);
        let begins = fails_until > self.now && !process.in_trouble;
        process.in_trouble |= begins;
        if begins {
            self.schedule(fails_until.saturating_since(self.now), id, Happening::Healed);
            self.say(id, Input::Retire(true));
        }
        self.schedule(at.saturating_since(self.now), id, Happening::Synced(batch_id));
        Some(())
    }

    pub(super) fn synced(&mut self, id: MemberId, persisted: PersistId) {
        let member = self.members.get_mut(&id).expect("a member");
        let process = member.process.as_mut().expect("it runs");
        let later = process.unsynced.split_off(&PersistId(persisted.0 + 1));
        let batches = std::mem::replace(&mut process.unsynced, later);
        let later = process.delayed.split_off(&PersistId(persisted.0 + 1));
        let frames = std::mem::replace(&mut process.delayed, later);
        for batch in batches.values() {
            member.disk.write(batch);
            self.invariants.logs.synced(id, batch);
        }
        for (to, frame) in frames.into_values().flatten() {
            self.send(id, to, frame);
        }
        self.say(id, Input::Persisted(persisted));
    }

    // Workers.

    fn order(&mut self, id: MemberId, order: WorkId, work: Box<Work>) -> Option<()> {
        let node = &self.members.get(&id)?.process.as_ref()?.node;
        let committed = self.invariants.logs.last_committed();
        if !self.is_twin(id) {
            self.invariants.rounds.no_update_is_lost(id, &work, node, committed);
        }
        self.opens_what_was_published(id, &work);
        let takes = match &*work {
            Work::Train { .. } => self.rng.ms(self.rates.train) + self.members.get(&id)?.device.slow_training,
            Work::StopTraining { .. } | Work::ForgetAttempt { .. } => Duration::ZERO,
            _ => self.rng.ms(self.rates.work),
        };
        let (now, trains) = (self.now, matches!(*work, Work::Train { .. } | Work::LookAgain { .. }));
        let process = self.process(id)?;
        // Training has a thread of its own; other heavy work is done one after the other.
        let at = if trains { now + takes } else { process.worked_at.max(now) + takes };
        if !trains {
            process.worked_at = at;
        }
        self.schedule(at.saturating_since(now), id, Happening::Work { id: order, work });
        Some(())
    }

    pub(super) fn work(&mut self, id: MemberId, order: WorkId, work: Work) {
        let training = matches!(work, Work::Train { .. }).then(|| work.clone());
        let deletes =
            matches!(work, Work::ForgetAttempt { .. } | Work::DropUpdate { .. } | Work::DropModels { .. });
        let member = self.members.get_mut(&id).expect("a member");
        let (full, flaw) = (member.device.disk_fails_until > self.now, member.device.lies);
        let looks = matches!(work, Work::LookAgain { .. });
        let fails = full || !looks && self.rng.percent(self.rates.fail_work);
        let result = if !deletes && fails {
            self.tally.evil(Evil::WorkFailed);
            let reason = "the disk is full".to_string();
            match work {
                Work::Train { .. } if full => WorkResult::HeldUp { cause: RestCause::DiskFull, reason },
                _ => WorkResult::Failed(reason),
            }
        } else {
            if flaw.is_some() && matches!(work, Work::Train { .. }) {
                self.tally.evil(Evil::LieTold);
            }
            let worker = &mut member.process.as_mut().expect("it runs").worker;
            worker.perform(id, &mut member.disk.shelf, flaw, work)
        };
        if matches!(
            &result,
            WorkResult::Refused(Refusal::NotFinite | Refusal::WrongShape | Refusal::BadWeight)
        ) {
            self.tally.saw(Sometimes::UpdateRefused);
        }
        if let Some(training) = training.filter(|_| flaw.is_none() && !self.is_twin(id)) {
            self.invariants.rounds.trained(id, &training, &result);
        }
        self.say(id, Input::WorkDone { id: order, result });
    }

    // The network.

    fn roster(&self, of: MemberId) -> Option<&BTreeMap<PeerKey, MemberId>> {
        self.members.get(&of)?.process.as_ref().map(|process| &process.roster)
    }

    pub(super) fn lets_in(&self, one: MemberId, other: MemberId) -> bool {
        self.roster(one).is_some_and(|roster| roster.contains_key(&self.members[&other].identity.key()))
    }

    /// The device that a member dials for an id: the one with that key, whatever its id is by now.
    pub(super) fn dialled(&self, dials: MemberId, id: MemberId) -> Option<MemberId> {
        let roster = self.roster(dials)?;
        // Mostly the device still has that id.
        let same = |member: &&Member| roster.get(&member.identity.key()) == Some(&id);
        if self.members.get(&id).filter(same).is_some() {
            return Some(id);
        }
        let (key, _) = roster.iter().find(|(_, known)| **known == id)?;
        self.members.values().find(|member| member.identity.key() == *key).map(|member| member.id)
    }

    /// The device at which arrives what a member sends to an id now.
    pub(super) fn way(&mut self, from: MemberId, to: MemberId) -> Option<MemberId> {
        let to = self.dialled(from, to)?;
        (self.network.is_open(from, to) && self.reaches(from, to) && self.lets_in(to, from)).then_some(to)
    }

    fn send(&mut self, from: MemberId, to: MemberId, frame: Frame) {
        self.forwards += usize::from(is_forward(&frame));
        if let Frame::Raft(message) = &frame {
            let before = (message.index > Index(0)).then_some(message.log_term);
            self.invariants.logs.log_matching(from, &message.entries, before);
            let sender = &self.members[&from];
            self.invariants.logs.promises_are_durable(from, message, &sender.disk);
            // Copies that know nothing of each other may believe each other; they are no majority.
            if sender.has_copied_disk() && !self.members.get(&to).is_some_and(Member::has_copied_disk) {
                self.invariants.logs.copies_promise_nothing(from, message);
            }
        }
        let Some(to) = self.way(from, to) else { return };
        let key = self.members[&from].identity.key();
        let frame = if self.through_bytes { through_bytes(&frame) } else { frame };
        let len = FRAME_LEN + payload_len(&frame);
        let (rates, rng, tally) = (&self.rates, &mut self.rng, &mut self.tally);
        let small = frame.is_repeated() && len <= DATAGRAM;
        if !small {
            if let Some(after) = self.network.stream(len, rates, rng, tally) {
                let queued = self.links.stream(from, to, len, self.now);
                self.schedule(queued + after, to, Happening::Frame { from: key, frame, stamp: None });
            }
            return;
        }
        self.counter += 1;
        let stamp = Some(self.counter);
        let (first, again) = self.network.datagram(len, rates, rng, tally);
        for after in [again, first].into_iter().flatten() {
            match self.links.datagram(from, to, len, self.now) {
                Some(queued) => {
                    let frame = Happening::Frame { from: key, frame: frame.clone(), stamp };
                    self.schedule(queued + after, to, frame);
                }
                None => self.tally.evil(Evil::QueueFull),
            }
        }
    }

    fn send_snapshot(&mut self, from: MemberId, to: MemberId, message: Box<Message>, data: Arc<[u8]>) {
        // Rot stays on one device, so that most have a sound state.
        let data = rotted(data, 0);
        let way = self.way(from, to);
        let (rates, rng, tally) = (&self.rates, &mut self.rng, &mut self.tally);
        let after = self.network.stream(data.len(), rates, rng, tally).filter(|_| way.is_some());
        let queued = way.map(|way| self.links.bulk(from, way, data.len(), self.now));
        let after = after.map(|after| after + queued.unwrap_or_default());
        if let (Some(after), Some(way)) = (after, way) {
            let from = self.members[&from].identity.key();
            self.schedule(after, way, Happening::Snapshot { from, message, data });
        }
        let told = after.unwrap_or(BROKEN_AFTER) + ms(1);
        self.schedule(told, from, Happening::SnapshotSent { to, arrived: after.is_some() });
    }

    /// What a member's transport notices every second: how good its ways are, and whether it is let in.
    pub(super) fn look_around(&mut self, id: MemberId) {
        self.look_at_ways(id);
        self.look_at_transfers(id);
        self.measure(id);
        self.cast_out_if_refused(id);
        self.schedule(LOOK_EVERY, id, Happening::LooksAround);
    }

    /// A member that was removed is cut off at once, so it seldom sees that in the log. It ends when all others have refused
    /// it for a while, or at least half of them for long and nobody lets it in, or most of all members for long.
    fn cast_out_if_refused(&mut self, id: MemberId) {
        if !self.runs(id) {
            return;
        }
        let (reached, others) = self.reached(id);
        let refused = reached.iter().filter(|other| !self.lets_in(**other, id)).count();
        let times = if refused == others { REFUSED_TIMES } else { DOUBTED_TIMES };
        let enough = is_told(refused, reached.len(), others).then_some(times);
        let process = self.process(id).expect("it runs");
        process.refused = if enough.is_some() { process.refused + 1 } else { 0 };
        if enough.is_some_and(|times| process.refused > times) {
            self.halted(id, "the other members do not let this one in".into());
        }
    }

    /// Of the others that a member knows, those that answer when it calls; and how many it knows.
    fn reached(&self, id: MemberId) -> (Vec<MemberId>, usize) {
        let others = self.roster(id).into_iter().flat_map(BTreeMap::values).filter(|other| **other != id);
        let hears = |other: &MemberId| {
            self.runs(*other) && self.network.is_open(id, *other) && self.network.is_open(*other, id)
        };
        let dialled = others.clone().filter_map(|other| self.dialled(id, *other));
        let reached = dialled.filter(hears).filter(|other| self.has_found(id, *other)).collect();
        (reached, others.count())
    }

    /// Somebody switches off those that were removed and cannot know it: of whom they know, too many have gone, too, so
    /// that too few are left to tell them. They would wait for ever, and do no harm.
    pub fn switch_off_the_forgotten(&mut self) {
        let Some(leader) = self.leader() else { return };
        for id in self.running() {
            let (reached, others) = self.reached(id);
            let belongs = |id: &MemberId| self.node(leader).state().control().member(*id).is_some();
            let tell = reached.iter().filter(|other| belongs(other)).count();
            if !belongs(&id) && !is_told(tell, reached.len(), others) {
                self.halted(id, "it was removed, and too few are left to tell it".into());
            }
        }
    }

    fn measure(&mut self, id: MemberId) {
        let rtt = (ms(self.rates.latency.0) + ms(self.rates.latency.1)) / 2 * 2;
        let lost = MEASURED_PACKETS * self.rates.drop / 1_000;
        let others: Vec<_> = self.roster(id).into_iter().flat_map(BTreeMap::values).copied().collect();
        let heard: Vec<_> =
            others.into_iter().filter(|other| *other != id && self.way(id, *other).is_some()).collect();
        let slow = self.rates.bandwidth < SLOW_BANDWIDTH;
        let link = |member| Link {
            member,
            rtt: rtt + self.links.round_trip(id, member, self.now),
            sent: MEASURED_PACKETS,
            lost,
            slow: slow || self.links.are_found_slow(id, member, self.now),
        };
        let links: Vec<_> = heard.into_iter().map(link).collect();
        self.say(id, Input::Measured(links));
        self.say(id, Input::WallClock(self.members[&id].wall_ms(self.now)));
    }

    /// A member that stood still goes on with what waits for it.
    pub(super) fn resume(&mut self, id: MemberId) {
        let Some(process) = self.process(id) else { return };
        let Some((since, asleep)) = process.paused.take() else { return };
        let held = std::mem::take(&mut process.held);
        if asleep {
            let now = self.now;
            self.process(id).expect("it runs").clock.slept(since, now);
        }
        self.trace.note(self.now, || format!("{id} goes on"));
        for what in held {
            self.schedule(Duration::ZERO, id, what);
        }
        if self.process(id).is_some_and(|process| !process.inbox.is_empty()) {
            self.schedule(Duration::ZERO, id, Happening::Free);
        }
        self.note_due(id);
    }

    /// A member starts again after a while.
    pub(super) fn start_later(&mut self, after: Duration, id: MemberId) {
        if self.restarts.insert(id) {
            self.later(after, Turn::Starts(id));
        }
    }
}

/// Whether a frame of Raft's is from whom the receiver calls so, and for the receiver.
pub(super) fn is_between(frame: &Frame, from: MemberId, to: MemberId) -> bool {
    match frame {
        Frame::Raft(message) => (message.from, message.to) == (from, to),
        _ => true,
    }
}

fn payload_len(frame: &Frame) -> usize {
    use rafty_types::Command::{Control, User};
    match frame {
        Frame::Raft(message) => message.entries.iter().map(|entry| entry.payload.len()).sum(),
        Frame::Forward { command, .. } | Frame::ForwardForClient { command, .. } => match &**command {
            User(bytes) => bytes.len(),
            Control(_) => 0,
        },
        _ => 0,
    }
}

fn is_forward(frame: &Frame) -> bool {
    matches!(frame, Frame::Forward { .. } | Frame::ForwardIssued { .. } | Frame::ForwardForClient { .. })
}

/// Frames are what their bytes say.
fn through_bytes(frame: &Frame) -> Frame {
    let bytes = rafty_wire::encode_frame(frame).expect("a member's frame can be sent");
    match rafty_wire::decode_frame(&bytes) {
        Ok(rafty_wire::Decoded::Frame(decoded)) => decoded,
        other => panic!("wire: a member's frame reads as {other:?}"),
    }
}

/// Whether a member takes itself for removed: all whom it reaches refuse it, and they are at least half of the others that
/// it knows; or most of all members refuse it, whoever lets it in.
fn is_told(refuse: usize, reached: usize, others: usize) -> bool {
    let by_half = refuse > 0 && refuse == reached && 2 * refuse >= others;
    by_half || 2 * refuse > others + 1
}
