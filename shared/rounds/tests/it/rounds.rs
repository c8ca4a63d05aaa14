//! Rounds as a whole, read in the story that the members tell.

use crate::shell::Data;
use crate::world::{World, id};
use rafty_rounds::{EnvelopeHandle, Input};
use rafty_types::{Frame, PeerRole, Progress};

const THREE: [Data; 3] = [Data::Examples(100); 3];

fn of_log(world: &World) -> Vec<&str> {
    world.story.iter().filter_map(|line| line.strip_prefix("log: ")).collect()
}

fn of_member<'a>(world: &'a World, head: &str) -> Vec<&'a str> {
    world.story.iter().filter_map(|line| line.strip_prefix(head)).collect()
}

#[test]
fn rounds_follow_one_another_until_the_run_ends_and_nothing_is_left_behind() {
    let mut world = World::new(1, &THREE);
    world.begin_tenure(id(2));
    world.submit(12);
    world.run_until(5_000, |world| world.published() == 12);
    world.run_for(1_000);
    for member in world.members.values() {
        assert!(member.shell.spool.is_empty() && member.shell.accumulators.is_empty());
        assert_eq!(member.shell.disk.pending, None);
        assert!(member.shell.disk.models.len() <= 8, "older models are dropped");
    }
}

#[test]
fn one_without_data_is_not_waited_for_and_laptops_take_part_when_they_have_some() {
    let mut world = World::new(1, &[Data::Examples(10), Data::None]);
    let laptop = world.join(PeerRole::Peer, true, Data::Examples(20));
    world.training_ms = [(id(1), 100), (laptop, 4_000)].into();
    world.begin_tenure(id(1));
    world.submit(1);
    world.run_until(5_000, |world| world.published() == 1);
    assert_eq!(of_log(&world).last(), Some(&"round 1.1 published as version 1 of 1,3"));
}

#[test]
fn lost_proposals_are_made_again() {
    let mut world = World::new(1, &THREE);
    world.weather.lose_proposal = 70;
    world.begin_tenure(id(1));
    world.submit(3);
    world.run_until(60_000, |world| world.published() == 3);
    assert!(
        !world.story.iter().any(|line| line.contains("rejected")),
        "none was made twice: {}",
        world.report()
    );
}

#[test]
fn an_envelope_counts_once_and_only_for_what_it_was_sealed_for() {
    let mut world = World::new(1, &THREE);
    world.training_ms = [(id(3), 50_000)].into();
    world.begin_tenure(id(1));
    world.submit(1);
    // A copy of what member 2 sends, as an eavesdropper has it.
    world.run_until(1_000, |world| !world.members[&id(2)].shell.spool.is_empty());
    let genuine = world.members[&id(2)].shell.spool[&EnvelopeHandle(1)].clone();
    world.run_until(1_000, |world| of_member(world, "2: ").contains(&"is accepted"));
    let lines = world.story.len();
    let twist = |change: fn(&mut rafty_types::Label)| {
        let mut envelope = genuine.clone();
        envelope.label.sender = id(3);
        change(&mut envelope.label);
        envelope
    };
    world.deliver(id(2), id(1), genuine.clone()); // replayed
    world.deliver(id(3), id(1), genuine.clone()); // under another name
    world.deliver(id(3), id(1), twist(|label| label.tenure.0 += 1));
    world.deliver(id(3), id(1), twist(|label| label.run.0 += 1));
    world.deliver(id(3), id(1), twist(|label| label.round.0 += 1));
    world.deliver(id(3), id(1), twist(|label| label.attempt.0 += 1));
    world.deliver(id(3), id(1), twist(|label| label.version.0 += 1));
    world.deliver(id(3), id(1), twist(|label| label.set.cluster.0[0] ^= 1));
    world.deliver(id(3), id(1), twist(|label| label.set.epoch = label.set.epoch.recovered([1; 16])));
    world.deliver(id(3), id(1), twist(|label| label.segments = 2));
    world.deliver(id(77), id(1), genuine);
    world.run_for(10);
    let drops: Vec<_> = world.story[lines..].iter().map(String::as_str).collect();
    let mut expected = vec!["1: drops an envelope of 2: Duplicate", "1: drops an envelope of 3: WrongLabel"];
    // Four are for attempts that may still come: each waits in place of the one before, the last in vain.
    expected.extend(["1: drops an envelope of 3: Replaced"; 3]);
    expected.extend(["1: drops an envelope of 3: WrongLabel"; 4]);
    expected.push("1: drops an envelope of 77: Stranger");
    assert_eq!(drops, expected);
    let lines = world.story.len();
    world.run_for(10_000);
    assert_eq!(world.story[lines..], ["1: drops an envelope of 3: WrongLabel"]);
    world.run_until(60_000, |world| world.published() == 1);
    assert_eq!(of_log(&world).last(), Some(&"round 1.1 published as version 1 of 1,2,3"));
    world.run_for(10);
    assert!(world.members[&id(1)].shell.spool.is_empty());
}

#[test]
fn progress_of_strangers_or_of_other_rounds_changes_nothing() {
    let mut world = World::new(1, &[Data::Examples(4); 2]);
    world.begin_tenure(id(1));
    world.submit(1);
    world.run_until(1_000, |world| of_log(world).contains(&"round 1 opened from version 0"));
    let run = world.truth.run.as_ref().unwrap().id;
    for (from, round) in [(id(77), 1), (id(2), 9)] {
        let frame =
            Frame::Progress { run, round: rafty_types::Round(round), progress: Progress::Training(1) };
        world.say(id(1), Input::Frame { from, frame });
    }
    world.run_until(1_000, |world| world.published() == 1);
}
