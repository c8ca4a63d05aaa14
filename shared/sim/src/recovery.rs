//! A set that loses its majority, goes on with one survivor in a new epoch, takes the others back, and all of it again.
//!
//! Each epoch is a [`World`] of its own: logs of two epochs are two histories. That their members do not reach each other
//! is the transport's promise, tried with real processes. What can still come over is what was signed: here statements
//! of the old epoch are said in the new one, by whoever kept them.

use crate::disk::Disk;
use crate::member::Member;
use crate::observer::Observer;
use crate::story::short_times;
use crate::world::{World, ms};
use rafty_dictionary::{Outcome, Replicated};
use rafty_node::recovery::{recover, replay};
use rafty_seal::Identity;
use rafty_types::{
    Command, ControlCommand, ControlResult, Entry, HardState, Index, Issue, IssueSerial, MemberId, Payload,
    Proposal, SetId, Settings, Signature, Stamp, Term,
};

/// How often a majority is lost.
const RECOVERIES: u32 = 2;
/// Most writes before a majority is lost.
const MAX_WRITES: u64 = 20;

/// Tells the story of this seed.
///
/// # Panics
/// With the property that did not hold.
pub fn tell(seed: u64) {
    let settings = Settings { target_voters: 3, ..short_times() };
    let mut world = World::new(seed, settings);
    world.found(3);
    for _ in 0..RECOVERIES {
        write_and_lose_the_majority(&mut world);
        let (survivor, mut recovered) = go_on(&mut world);
        recovered.run_until("a tenure", ms(20_000), |world| world.aggregator() == Some(survivor));
        world.invariants.clients.acknowledged_writes_are_durable(recovered.node(survivor));
        nothing_of_another_epoch_counts(&mut recovered, survivor, &world);
        take_back(&mut recovered, survivor, &mut world);
        world = recovered;
    }
}

fn write_and_lose_the_majority(world: &mut World) {
    world.run_until("a tenure", ms(20_000), |world| world.aggregator().is_some());
    let ids: Vec<_> = world.members.keys().copied().collect();
    for _ in 0..=world.rng.below(MAX_WRITES) {
        let at = world.rng.pick(&ids).expect("members");
        world.write(at, ms(2_000));
    }
    world.run_for(ms(2_500));
    world.run_until("agreement", ms(20_000), World::agree);
    let survivor = world.rng.pick(&ids).expect("members");
    for other in ids.into_iter().filter(|id| *id != survivor) {
        world.kill(other);
    }
    // On its disk, perhaps, and never acknowledged.
    world.write(survivor, ms(300));
    world.run_for(ms(500));
    world.kill(survivor);
}

/// What `rafty recover` does with a disk, as the member that was written to last.
fn go_on(world: &mut World) -> (MemberId, World) {
    let longest = world.members.values().max_by_key(|member| (member.disk.last(), member.id));
    let survivor = longest.expect("members").id;
    let mut member = world.members.remove(&survivor).expect("just found");
    let disk = &member.disk;
    let mut state = replay(&disk.snapshot, &disk.entries, Observer::default()).expect("a sound disk");
    let last = disk.entries.last().map_or(disk.snapshot.meta.term, |entry| entry.term);
    let mut bits = [0; 16];
    bits[..8].copy_from_slice(&world.rng.roll().to_le_bytes());
    let batch = recover(&mut state, survivor, disk.hard_state.term.max(last), bits).expect("a member");
    assert_eq!(state.broken_invariant(), None, "state-machine safety: a recovered state");
    member.disk.write(&batch);
    let mut recovered = World::new(world.rng.roll(), world.settings.clone());
    recovered.go_on(state.control().set(), member);
    (survivor, recovered)
}

/// Whatever was signed in the old epoch changes nothing in the new one.
fn nothing_of_another_epoch_counts(world: &mut World, survivor: MemberId, old: &World) {
    let addresses = vec![([10, 9, 9, 9], 7_000).into()];
    let moved = ControlCommand::AddressChanged { member: survivor, addresses };
    let state = world.node(survivor).state();
    let counts = |set| counts(&world.members[&survivor], state, set, moved.clone());
    assert!(counts(world.set), "what was issued in this epoch counts");
    assert!(!counts(old.set), "nothing of another epoch counts: an address was changed");
    for member in old.members.values() {
        let identity = Identity::from_secret_bytes(&member.identity.to_secret_bytes());
        let enrolment = world.comes_back(&identity, member.id, member.id, old.set);
        let said = world.commit(survivor, ControlCommand::Enrol(enrolment));
        assert!(said.is_err(), "nothing of another epoch counts: member {} was enrolled", member.id);
    }
}

/// Whether a command counts that a member issued in this peer set and epoch.
fn counts(member: &Member, state: &Replicated<Observer>, set: SetId, command: ControlCommand) -> bool {
    let mut state = state.clone();
    let (index, seen_ms) = (state.applied().next(), state.elapsed_ms());
    let serial = IssueSerial { incarnation: u64::MAX, count: 1 };
    let issue =
        Issue { by: member.id, serial, seen: state.applied(), seen_ms, signature: Signature::default() };
    let issue = Some(issue.signed(&member.identity, set, &command));
    let stamp = Stamp::Elapsed { elapsed_ms: seen_ms, wall_ms: 0 };
    let command = Command::Control(command);
    let proposal =
        Proposal { origin: member.id, term: Term(1), stamp, session: None, client: None, issue, command };
    let payload = Payload::Command(proposal.encode().into());
    let applied = state.apply(&Entry { index, term: Term(1), payload });
    applied.outcome == Some(Outcome::Control(ControlResult::Done, index))
}

/// What `rafty rejoin` does: the others keep identity, term and vote, and get new ids.
fn take_back(world: &mut World, survivor: MemberId, old: &mut World) {
    let set: SetId = world.set;
    for Member { id, identity, disk, .. } in std::mem::take(&mut old.members).into_values() {
        let enrolment = world.comes_back(&identity, id, id, set);
        let new = world.commit(survivor, ControlCommand::Enrol(enrolment));
        let new = MemberId(new.expect("liveness: a member comes back under its identity").0);
        let hard_state = HardState { commit: Index(0), ..disk.hard_state };
        world.move_in(new, identity, survivor, Disk { hard_state, shelf: disk.shelf, ..Disk::default() });
    }
    world.run_until("three voters", ms(60_000), |world| {
        let voters = |id: &MemberId| world.node(*id).consensus().membership().voters.len();
        world.agree() && world.members.keys().all(|id| voters(id) == 3)
    });
}
