//! One member: its disk, which outlives it, and its process, which does not.

use crate::dice::Dice;
use crate::witness::Witness;
use crate::worker::{Shelf, Worker};
use rafty_node::{Boot, Input, Node};
use rafty_seal::Identity;
use rafty_types::{Batch, Entry, Frame, HardState, MemberId, PersistId, Settings, Snapshot, Time};
use std::collections::{BTreeMap, BTreeSet};

/// The wall clock when the simulation starts, in milliseconds since 1970.
pub(crate) const WALL_MS: u64 = 1_700_000_000_000;

#[derive(Clone, Default)]
pub(crate) struct Disk {
    pub(crate) hard_state: HardState,
    pub(crate) snapshot: Snapshot,
    pub(crate) entries: Vec<Entry>,
    pub(crate) shelf: Shelf,
}

impl Disk {
    pub(crate) fn write(&mut self, batch: &Batch) {
        if let Some(snapshot) = &batch.install {
            self.snapshot = snapshot.clone();
            self.entries.clear();
        }
        if let Some(first) = batch.entries.first() {
            self.entries.retain(|entry| entry.index < first.index);
            self.entries.extend(batch.entries.iter().cloned());
        }
        if let Some(hard_state) = batch.hard_state {
            self.hard_state = hard_state;
        }
        if let Some(compaction) = &batch.compaction {
            self.snapshot = compaction.snapshot.clone();
            self.entries.retain(|entry| entry.index >= compaction.first_kept);
        }
    }
}

pub(crate) struct Member {
    pub(crate) id: MemberId,
    pub(crate) identity: Identity,
    pub(crate) trains: bool,
    pub(crate) disk: Disk,
    pub(crate) process: Option<Process>,
    /// Counts the processes.
    pub(crate) epoch: u64,
    pub(crate) halted: Option<String>,
    /// Whom it knows before it knows the roster.
    pub(crate) told: BTreeSet<MemberId>,
}

pub(crate) struct Process {
    pub(crate) node: Node<Witness>,
    started: Time,
    pub(crate) worker: Worker,
    pub(crate) roster: BTreeSet<MemberId>,
    /// On their way to the disk.
    pub(crate) unsynced: BTreeMap<PersistId, Batch>,
    pub(crate) delayed: BTreeMap<PersistId, Vec<(MemberId, Frame)>>,
    pub(crate) synced_at: Time,
    /// The newest datagram of each sender.
    pub(crate) heard: BTreeMap<MemberId, u64>,
    pub(crate) ticked_at: Option<Time>,
    /// Ticks since then for the same deadline.
    pub(crate) idle_ticks: u32,
    /// What happened while its loop is busy.
    pub(crate) inbox: Vec<Input>,
}

impl Member {
    pub(crate) fn new(id: MemberId, identity: Identity, told: BTreeSet<MemberId>, disk: Disk) -> Self {
        Self { id, identity, trains: true, disk, process: None, epoch: 0, halted: None, told }
    }

    /// Starts from what the disk holds.
    pub(crate) fn start(&mut self, now: Time, settings: &Settings, dice: &mut Dice) {
        if self.process.is_some() || self.halted.is_some() {
            return;
        }
        self.epoch += 1;
        let disk = self.disk.clone();
        let boot = Boot {
            me: self.id,
            hard_state: disk.hard_state,
            snapshot: disk.snapshot,
            entries: disk.entries,
            pending_update: disk.shelf.pending,
            held: disk.shelf.models,
            wall_ms_at_start: WALL_MS + u64::try_from(now.elapsed().as_millis()).unwrap(),
            settings: settings.clone(),
            trains: self.trains,
            seed: dice.roll(),
        };
        let node = Node::new(boot, Witness::default(), Time::ZERO).expect("the disk is whole");
        self.process = Some(Process {
            node,
            started: now,
            worker: Worker::default(),
            roster: self.told.clone(),
            unsynced: BTreeMap::new(),
            delayed: BTreeMap::new(),
            synced_at: now,
            heard: BTreeMap::new(),
            ticked_at: None,
            idle_ticks: 0,
            inbox: Vec::new(),
        });
    }

    /// Power loss: of what was on its way to the disk only a first part may have arrived.
    pub(crate) fn kill(&mut self, dice: &mut Dice) {
        let Some(process) = self.process.take() else { return };
        let arrived = dice.below(process.unsynced.len() as u64 + 1) as usize;
        process.unsynced.values().take(arrived).for_each(|batch| self.disk.write(batch));
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("it runs")
    }
}

impl Process {
    /// The member's own clock.
    pub(crate) fn local(&self, now: Time) -> Time {
        Time::since_start(now.saturating_since(self.started))
    }

    /// When it must be told the time next. A busy loop does not look at the time.
    pub(crate) fn due(&self) -> Option<Time> {
        let deadline = self.node.deadline().filter(|_| self.inbox.is_empty());
        deadline.map(|at| self.started + at.elapsed())
    }
}
