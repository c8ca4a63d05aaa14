//! Members, their disks and the network between them, all standing still until a script moves them.

use crate::show::{entries, event, message};
use crate::tenures::Known;
use rafty_consensus::{Boot, Config, Consensus, Input, Output, Role, TenureKeeper};
use rafty_types::{
    Batch, Entry, HardState, Index, MemberId, Membership, Message, Payload, PersistId, Settings, Snapshot,
    SnapshotMeta, Term, Time,
};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

/// Steps until what has not settled by then is said to never settle.
const MAX_STEPS: usize = 10_000;

#[derive(Default)]
pub(crate) struct Disk {
    hard_state: HardState,
    snapshot: Snapshot,
    pub(crate) entries: Vec<Entry>,
}

#[derive(Default)]
pub(crate) struct Member {
    pub(crate) machine: Option<Consensus>,
    pub(crate) disk: Disk,
    pub(crate) hangs: bool,
    writing: BTreeMap<PersistId, Batch>,
    after: Vec<(PersistId, Message)>,
    now: Time,
    boots: u64,
    /// The applied commands: index, term and text.
    pub(crate) commands: Vec<(Index, Term, String)>,
    pub(crate) known: Known,
    pub(crate) keeper: TenureKeeper,
}

/// A message on its way, with the bytes of the snapshot that it announces.
type Flying = (Message, Option<Arc<[u8]>>);

#[derive(Default)]
pub(crate) struct Cluster {
    members: BTreeMap<MemberId, Member>,
    flying: Vec<Flying>,
    pub(crate) cut: BTreeSet<(MemberId, MemberId)>,
    /// How long a tenure lasts and its grace, once tenures are kept.
    pub(crate) tenures: Option<(Duration, Duration)>,
    requests: u64,
    /// Messages and writes are not worth a line.
    pub(crate) quiet: bool,
    /// The script's output so far.
    pub(crate) said: String,
}

impl Member {
    /// The applied commands as the bytes of a snapshot.
    pub(crate) fn state(&self) -> String {
        self.commands.iter().map(|(index, term, text)| format!("{index}@{term} {text}\n")).collect()
    }

    fn restore(&mut self, snapshot: &Snapshot) {
        let text = std::str::from_utf8(&snapshot.data).unwrap();
        let line = |line: &str| {
            let (at, text) = line.split_once(' ')?;
            let (index, term) = at.split_once('@')?;
            Some((Index(index.parse().ok()?), Term(term.parse().ok()?), text.to_owned()))
        };
        self.commands = text.lines().filter_map(line).collect();
    }

    fn apply(&mut self, entry: &Entry) {
        if let Payload::Command(data) = &entry.payload {
            let text = String::from_utf8_lossy(data).into_owned();
            self.commands.push((entry.index, entry.term, text));
        }
    }
}

impl Disk {
    fn write(&mut self, batch: &Batch) {
        batch.write_to(&mut self.hard_state, &mut self.snapshot, &mut self.entries);
    }
}

impl Cluster {
    pub(crate) fn found(&mut self, voters: &[MemberId]) {
        let membership = Membership { voters: voters.to_vec(), ..Membership::default() };
        let meta = SnapshotMeta { index: Index(1), term: Term(1), membership };
        for voter in voters {
            let snapshot = Snapshot { meta: meta.clone(), data: [].into() };
            let disk = Disk { snapshot, ..Disk::default() };
            self.members.insert(*voter, Member { disk, ..Member::default() });
            self.start(*voter).unwrap();
        }
    }

    /// Others tell it who votes.
    pub(crate) fn newcomer(&mut self, id: MemberId) {
        let mut running =
            self.members.iter().filter_map(|(id, member)| Some((*id, member.machine.as_ref()?)));
        let (by, knows) = running.next().expect("somebody runs");
        let (index, term) = (knows.applied(), knows.term());
        let voters = knows.membership().all_voters().into_iter().collect();
        self.members.insert(id, Member::default());
        self.start(id).unwrap();
        self.input(id, Input::VotersTold { by, index, term, voters });
    }

    pub(crate) fn start(&mut self, id: MemberId) -> Result<(), Box<dyn Error>> {
        let member = self.member(id);
        let Disk { hard_state, snapshot, entries } = &member.disk;
        let boot = Boot {
            id,
            hard_state: *hard_state,
            snapshot: snapshot.clone(),
            entries: entries.clone(),
            abstains: false,
        };
        let config = Config::from_settings(&Settings { tail: 2, append_batch: 2, ..Settings::default() });
        let machine = Consensus::new(config, boot, id.0 + 100 * member.boots, member.now)?;
        let snapshot = member.disk.snapshot.clone();
        member.restore(&snapshot);
        member.boots += 1;
        member.machine = Some(machine);
        Ok(())
    }

    pub(crate) fn crash(&mut self, id: MemberId) {
        let member = self.member(id);
        (member.machine, member.keeper) = (None, TenureKeeper::new());
        member.writing.clear();
        member.after.clear();
    }

    pub(crate) fn member(&mut self, id: MemberId) -> &mut Member {
        self.members.get_mut(&id).unwrap_or_else(|| panic!("nobody has made n{id}"))
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.requests += 1;
        self.requests
    }

    pub(crate) fn everybody(&self) -> Vec<MemberId> {
        self.members.keys().copied().collect()
    }

    fn running(&self) -> Vec<MemberId> {
        let runs = |(id, member): (&MemberId, &Member)| member.machine.is_some().then_some(*id);
        self.members.iter().filter_map(runs).collect()
    }

    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.said, "{line}").unwrap();
    }

    fn whisper(&mut self, line: &str) {
        if !self.quiet {
            self.say(line);
        }
    }

    pub(crate) fn input(&mut self, id: MemberId, input: Input) {
        let member = self.member(id);
        let now = member.now;
        let Some(machine) = &mut member.machine else { return };
        let outputs = machine.handle(now, input);
        outputs.into_iter().for_each(|output| self.output(id, output));
        self.keep(id);
    }

    fn output(&mut self, id: MemberId, output: Output) {
        let is_refusal = matches!(output, Output::Refused { .. });
        if let Some(line) = event(id, &output).filter(|line| !is_refusal || !self.said.contains(line)) {
            self.say(&line);
        }
        match output {
            Output::Send(sent) => self.send(*sent, None),
            Output::SendAfter(after, sent) => {
                self.whisper(&format!("n{id} holds until w{} is synced: {}", after.0, message(&sent)));
                self.member(id).after.push((after, *sent));
            }
            Output::Persist(write, batch) => {
                self.whisper(&format!("n{id} writes w{}: {}", write.0, crate::show::batch(&batch)));
                self.member(id).writing.insert(write, *batch);
            }
            Output::SendSnapshot { message, snapshot } => self.send(*message, Some(snapshot.data)),
            Output::Restore(snapshot) => self.member(id).restore(&snapshot),
            Output::Committed(entries) => entries.iter().for_each(|entry| self.member(id).apply(entry)),
            _ => {}
        }
    }

    fn send(&mut self, sent: Message, data: Option<Arc<[u8]>>) {
        let ends = (sent.from.min(sent.to), sent.from.max(sent.to));
        let lost = if self.cut.contains(&ends) { " (lost)" } else { "" };
        self.whisper(&format!("{}{lost}", message(&sent)));
        if lost.is_empty() {
            self.flying.push((sent, data));
        }
    }

    pub(crate) fn sync(&mut self, id: MemberId) {
        let member = self.member(id);
        let writing = std::mem::take(&mut member.writing);
        let Some((last, _)) = writing.last_key_value() else { return };
        let last = *last;
        writing.values().for_each(|batch| member.disk.write(batch));
        let released = std::mem::take(&mut member.after);
        self.whisper(&format!("n{id} has synced w{}", last.0));
        released.into_iter().for_each(|(_, sent)| self.send(sent, None));
        self.input(id, Input::Persisted(last));
    }

    /// What is on its way to a member now, off the network.
    pub(crate) fn take(&mut self, to: MemberId, from: Option<MemberId>) -> Vec<Flying> {
        let due = |sent: &Message| sent.to == to && from.is_none_or(|from| sent.from == from);
        let (taken, left) = self.flying.drain(..).partition(|(sent, _)| due(sent));
        self.flying = left;
        taken
    }

    pub(crate) fn deliver(&mut self, to: MemberId, from: Option<MemberId>) {
        self.take(to, from).into_iter().for_each(|flying| self.arrive(flying));
    }

    fn arrive(&mut self, (sent, data): Flying) {
        let (from, to) = (sent.from, sent.to);
        let Some(data) = data else { return self.input(to, Input::Message(Box::new(sent))) };
        self.input(to, Input::SnapshotArrived { message: Box::new(sent), data });
        self.input(from, Input::SnapshotSent { to, ok: true });
    }

    pub(crate) fn settle(&mut self) -> Result<(), Box<dyn Error>> {
        for _ in 0..MAX_STEPS {
            let writes = |id: &MemberId| !self.members[id].hangs && !self.members[id].writing.is_empty();
            if let Some(id) = self.running().into_iter().find(writes) {
                self.sync(id);
            } else if self.flying.is_empty() {
                return Ok(());
            } else {
                let flying = self.flying.remove(0);
                self.arrive(flying);
            }
        }
        Err("it never settles".into())
    }

    pub(crate) fn tick(&mut self, id: MemberId) {
        let member = self.member(id);
        let Some(due) = member.due() else { return };
        member.now = due;
        self.input(id, Input::Tick);
    }

    /// Lets time pass for these members, or for all; the clocks of the others stand still.
    pub(crate) fn time(&mut self, span: Duration, of: &[MemberId]) -> Result<(), Box<dyn Error>> {
        let of = if of.is_empty() { self.running() } else { of.to_vec() };
        let ends: BTreeMap<_, _> = of.iter().map(|id| (*id, self.member(*id).now + span)).collect();
        self.settle()?;
        loop {
            let left = |id: &MemberId| {
                let due = self.members[id].due().filter(|due| *due <= ends[id])?;
                Some((std::cmp::Reverse(ends[id].saturating_since(due)), *id))
            };
            let Some((_, id)) = of.iter().filter_map(left).min() else { break };
            self.tick(id);
            self.settle()?;
        }
        of.iter().for_each(|id| self.member(*id).now = ends[id]);
        Ok(())
    }

    pub(crate) fn campaign(&mut self, id: MemberId) -> Result<(), Box<dyn Error>> {
        for _ in 0..MAX_STEPS {
            let stands =
                |member: &Member| member.machine.as_ref().map(Consensus::role) != Some(Role::Follower);
            if stands(self.member(id)) {
                return Ok(());
            }
            self.tick(id);
        }
        Err("it never stands for election".into())
    }

    pub(crate) fn cut(&mut self, id: MemberId, others: &[MemberId]) {
        let others = if others.is_empty() { self.everybody() } else { others.to_vec() };
        self.cut.extend(others.into_iter().map(|other| (id.min(other), id.max(other))));
        self.flying.retain(|(sent, _)| !self.cut.contains(&(sent.from.min(sent.to), sent.from.max(sent.to))));
    }

    pub(crate) fn status(&mut self, of: &[MemberId]) {
        let of = if of.is_empty() { self.everybody() } else { of.to_vec() };
        for id in of {
            let member = self.member(id);
            let line = match &member.machine {
                None => "is stopped".to_owned(),
                Some(machine) => {
                    let leader = machine.leader().map_or("nobody".to_owned(), |leader| format!("n{leader}"));
                    let (role, term, last, commit) =
                        (machine.role(), machine.term(), machine.last_index(), machine.commit());
                    let wants = if machine.snapshot_wanted() { ", wants a snapshot" } else { "" };
                    format!("{role:?} in term {term}, leader {leader}, log to {last}, commit {commit}{wants}")
                }
            };
            let applied: Vec<_> = member.commands.iter().map(|(_, _, text)| text.as_str()).collect();
            let line = format!("n{id} {line}, applied [{}]", applied.join(" "));
            self.say(&line);
        }
    }

    pub(crate) fn disks(&mut self, of: &[MemberId]) {
        for id in of {
            let Disk { hard_state, snapshot, entries: log } = &self.member(*id).disk;
            let HardState { term, voted_for, commit } = *hard_state;
            let vote = voted_for.map_or("nobody".to_owned(), |vote| format!("n{vote}"));
            let meta = &snapshot.meta;
            let log = if log.is_empty() { "nothing".to_owned() } else { entries(log) };
            let (index, of_term) = (meta.index, meta.term);
            self.say(&format!(
                "n{id} term {term}, vote {vote}, commit {commit}, snapshot {index}@{of_term}, log {log}"
            ));
        }
    }
}

impl Member {
    /// When the machine or the keeper wants to be asked again.
    fn due(&self) -> Option<Time> {
        self.machine.as_ref()?.deadline().map(|due| due.max(self.now))
    }

    pub(crate) fn now(&self) -> Time {
        self.now
    }
}
