//! What must hold at every step of every run, each property a named function.
//!
//! [`Invariants`] keeps what was seen so far, of everybody, to compare with. A property that does not hold ends the run
//! by a panic that names it.

mod arrivals;
mod clients;
mod consensus;
mod divergence;
mod issues;
mod leading;
mod memory;
mod rests;
mod rounds;

pub use arrivals::Waiting;
pub use clients::Clients;
pub use consensus::Logs;
pub use divergence::Divergences;
pub use issues::Issues;
pub use leading::duties_are_the_leaders;
pub use rests::Rests;
pub use rounds::Rounds;

use crate::faults::FASTEST_CLOCK;
use crate::member::{Member, Process, RIGHT};
use crate::observer::Observer;
use crate::terms::Terms;
use rafty_dictionary::Replicated;
use rafty_types::{Digest, Index, MemberId, Time, is_rsa_public};
use std::collections::{BTreeMap, BTreeSet};

/// Whole states are compared at every so many indexes: making a digest takes long.
const COMPARED: u64 = 64;

/// What was seen so far.
#[derive(Default)]
pub struct Invariants {
    /// Of logs and leaders.
    pub logs: Logs,
    /// Of rounds and tenures.
    pub rounds: Rounds,
    /// Of what clients were told.
    pub clients: Clients,
    /// A round that only silent members keep open.
    pub waiting: Waiting,
    /// Who rests, and since when for no cause.
    pub rests: Rests,
    /// Of states that rot.
    pub divergences: Divergences,
    /// Of what members issued.
    pub issues: Issues,
    /// The state after each index.
    states: BTreeMap<Index, Digest>,
    applied: BTreeMap<MemberId, Index>,
    /// Who had a seat, as each member knew it.
    seats: BTreeMap<MemberId, Seats>,
}

/// What a member knew of seats when it was looked at last.
struct Seats {
    voters: BTreeSet<MemberId>,
    /// Those that were silent for longer than voters may be, since when.
    gone: BTreeMap<MemberId, u64>,
}

impl Invariants {
    /// A member starts from its disk.
    pub fn started(&mut self, id: MemberId, process: &Process) {
        self.applied.remove(&id);
        self.seats.remove(&id);
        self.issues.forget(id);
        self.divergences.started(id, process);
        self.logs.recovered(id, &process.terms);
    }

    /// Another process of a member has its turn, with a disk of its own.
    pub fn other_disk(&mut self, id: MemberId, member: &Member) {
        self.applied.remove(&id);
        self.seats.remove(&id);
        self.issues.forget(id);
        self.logs.other_disk(id, Terms::of(&member.disk));
    }

    /// A member applied that somebody was sent away, whose seat may have gone with it; or took over another state. What it
    /// knew of seats before is no measure then.
    pub fn forget_seats(&mut self, id: MemberId) {
        self.seats.remove(&id);
    }

    /// A member was told something and has said what it wants; that is looked at first, then this.
    pub fn stepped(&mut self, id: MemberId, process: &mut Process) {
        self.logs.election_safety(id, process);
        self.logs.leader_completeness(id, process);
        self.logs.one_voter_set_overlap(id, process);
        self.logs.commitment(id, process);
        self.state_machine_safety(id, process);
        self.divergences.who_diverged_stops(id, process);
        memory::memory_is_bounded(id, process);
        process.note_seen();
    }

    /// State-machine safety: at the same index everyone has the same state; nobody applies backwards; and a state has
    /// no broken rule of its own.
    fn state_machine_safety(&mut self, id: MemberId, process: &Process) {
        let state = process.node.state();
        let (applied, before) = (state.applied(), self.applied.insert(id, state.applied()));
        if before == Some(applied) {
            return;
        }
        assert!(before <= Some(applied), "state-machine safety: member {id} went back to {applied}");
        if applied.0.is_multiple_of(COMPARED) {
            self.same_state(id, process);
        }
        keys_can_be_sealed_to(id, process);
        self.seats_change_by_the_rules(id, process);
        self.issues.applied(id, process);
    }

    /// Dead voters are replaced, not outnumbered: nobody gets a seat beside that of a voter which has been silent for so
    /// long that it loses its own. And seats never shrink to one by themselves, only when somebody is sent away.
    fn seats_change_by_the_rules(&mut self, id: MemberId, process: &Process) {
        let state = process.node.state();
        let control = state.control();
        let now = control.desired_voters();
        let replace_after = control.settings().replace_after.as_millis();
        let gone = |id: &MemberId| {
            let since = control.silent_since_ms(*id)?;
            let long = u128::from(state.elapsed_ms().saturating_sub(since)) > replace_after + 1_000;
            long.then_some((*id, since))
        };
        let seats = Seats { voters: now.clone(), gone: now.iter().filter_map(gone).collect() };
        let Some(Seats { voters: before, gone }) = self.seats.insert(id, seats) else { return };
        if before == now {
            return;
        }
        assert!(
            now.len() > 1 || before.len() <= 1,
            "seats never shrink to one: member {id} knew {before:?} and now {now:?}"
        );
        // A step applies many entries: who was gone before it was gone when each of them was proposed.
        let gone =
            |id: &&MemberId| gone.get(*id).is_some_and(|since| control.silent_since_ms(**id) == Some(*since));
        assert!(
            now.len() <= before.len() || !before.intersection(&now).any(|id| gone(&id)),
            "dead voters are replaced: member {id} knew {before:?} and now {now:?}"
        );
    }

    /// Compares a member's whole state with what others had at the same index.
    pub fn same_state(&mut self, id: MemberId, process: &Process) {
        let state = process.node.state();
        if state.user().rot != 0 {
            return;
        }
        let (applied, digest) = (state.applied(), state.digest());
        let known = *self.states.entry(applied).or_insert(digest);
        assert_eq!(digest, known, "state-machine safety: member {id} has another state at index {applied}");
        assert_eq!(state.broken_invariant(), None, "state-machine safety: member {id} at index {applied}");
    }

    /// All is said that can be said of members that have nothing left to do: they have the same state, and in it is
    /// what was acknowledged, once, and nothing that was denied.
    pub fn at_rest(&mut self, members: &BTreeMap<MemberId, Member>) {
        for (id, member) in members {
            if let Some(process) = &member.process {
                self.same_state(*id, process);
                snapshots_are_whole(*id, process);
                self.rounds.none_is_lost(&process.node);
                self.clients.acknowledged_writes_are_durable(&process.node);
            }
        }
    }
}

/// Keys can be sealed to: whatever a member wants to be its key, what stands in the state is one.
fn keys_can_be_sealed_to(id: MemberId, process: &Process) {
    let control = process.node.state().control();
    let mut keys = control.members().values().map(|member| &member.rsa_public);
    let tenure = control.tenure().map(|tenure| &tenure.rsa_public);
    assert!(
        keys.all(|key| is_rsa_public(key)) && tenure.is_none_or(|key| is_rsa_public(key)),
        "keys can be sealed to: member {id} applied one that is none"
    );
}

/// Elapsed time is real: the peer set's time never gets ahead of what the fastest monotonic clock can have shown, whatever
/// the wall clocks say. So nothing expires before its time.
pub fn elapsed_time_is_real(now: Time, before_ms: u64, id: MemberId, process: &Process) {
    let most = u128::from(before_ms)
        + now.elapsed().as_millis() * u128::from(FASTEST_CLOCK) / u128::from(RIGHT)
        + 1_000;
    let elapsed_ms = process.node.state().elapsed_ms();
    assert!(
        u128::from(elapsed_ms) <= most,
        "elapsed time is real: by member {id} it is {elapsed_ms} ms, and at most {most} ms can have passed"
    );
}

/// Snapshots are whole: what is restored from a state's snapshot is that state. (Its digest cannot tell: it is made from
/// the snapshot.)
fn snapshots_are_whole(id: MemberId, process: &Process) {
    let state = process.node.state();
    let mut restored = Replicated::new(Observer::default());
    restored.restore(&state.snapshot()).expect("snapshots are whole: one cannot be read");
    let same = restored.control() == state.control()
        && restored.sessions() == state.sessions()
        && restored.elapsed_ms() == state.elapsed_ms()
        && restored.wall_ms() == state.wall_ms()
        && restored.applied() == state.applied();
    assert!(same, "snapshots are whole: member {id} has more in its state than in its snapshot");
}
