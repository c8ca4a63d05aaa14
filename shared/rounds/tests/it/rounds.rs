//! Rounds as a whole, read in the story that the members tell.

use crate::shell::{Data, Envelope, mark};
use crate::world::{World, id};
use rafty_rounds::{EnvelopeHandle, Input};
use rafty_types::{ClusterId, Digest, EnvelopeKind, Frame, Label, MemberKind, Progress, SetId};

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
    let laptop = world.join(MemberKind::Operator, true, Data::Examples(20));
    world.training_ms = [(id(1), 100), (laptop, 4_000)].into();
    world.begin_tenure(id(1));
    world.submit(1);
    world.run_until(5_000, |world| world.published() == 1);
    assert_eq!(of_log(&world).last(), Some(&"round 1.1 published as version 1 of 1,3"));
}

#[test]
fn lost_proposals_are_made_again() {
    let mut world = World::new(1, &THREE);
    world.rates.lose_proposal = 70;
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
    world.heads_are_judged = false;
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

/// Member 3 sends `data`, another update each time, in every attempt that it sees, as fast as it can.
fn harass(world: &mut World, data: Data, times: u64) {
    for time in 0..times {
        let Some(open) = world.truth.run.as_ref().and_then(|run| run.open.clone()) else { return };
        let (tenure, holder, _) = world.truth.tenure.clone().expect("a tenure");
        let mut content = Digest::of(&time.to_be_bytes());
        content.0[0] = mark(data);
        let label = Label {
            set: SetId::first(ClusterId([9; 16])),
            tenure,
            run: world.truth.run.as_ref().expect("a run").id,
            round: open.round,
            attempt: open.attempt,
            version: open.base,
            kind: EnvelopeKind::Update,
            content,
            segment: 0,
            segments: 1,
            sender: id(3),
        };
        world.deliver(id(3), holder, Envelope { label, recipients: vec![holder] });
        world.run_for(20);
    }
}

fn harassed(data: Data) -> World {
    let mut world = World::new(1, &THREE);
    world.training_ms = [(id(2), 5_000), (id(3), 60_000)].into();
    world.begin_tenure(id(1));
    world.submit(1);
    world.run_until(1_000, |world| of_log(world).contains(&"round 1 opened from version 0"));
    harass(&mut world, data, 100);
    world
}

#[test]
fn one_whose_updates_the_log_refuses_costs_three_attempts_and_is_out_of_the_round() {
    let mut world = harassed(Data::TooMany);
    let failed = of_log(&world).iter().filter(|line| line.contains("failed")).count();
    assert_eq!(failed, 3, "{}", world.report());
    let left_out = "leaves 3 out of the round: bad weight";
    assert_eq!(of_member(&world, "1: ").iter().filter(|line| **line == left_out).count(), 1);
    let waits = world.waiting_for(id(1));
    assert!(waits.contains("out of the round after 3 refusals: member 3 bad weight"), "{waits}");
    // It is not waited for, though it says that it trains, and it is named with the result.
    world.run_until(10_000, |world| world.published() == 1);
    assert_eq!(of_log(&world).last(), Some(&"round 1.4 published as version 1 of 1,2, refused 3 bad weight"));
}

#[test]
fn one_that_is_refused_in_one_attempt_is_opened_once_in_it() {
    let mut world = harassed(Data::Poisoned);
    let refused = of_member(&world, "1: ").iter().filter(|line| line.starts_with("refuses")).count();
    assert_eq!(refused, 1, "{}", world.report());
    world.run_until(10_000, |world| world.published() == 1);
    assert_eq!(of_log(&world).last(), Some(&"round 1.1 published as version 1 of 1,2, refused 3 not finite"));
}

#[test]
fn a_model_is_published_without_those_whose_keys_are_none_and_they_are_named() {
    let mut world = World::new(1, &[Data::Examples(100); 5]);
    for state in world.members.values_mut().map(|member| &mut member.state).chain([&mut world.truth]) {
        state.members[3].key = vec![0x30; 300];
    }
    world.begin_tenure(id(1));
    world.submit(2);
    world.run_until(20_000, |world| world.published() == 2);
    let told = of_member(&world, "1: ");
    assert!(told.contains(&"cannot seal to [MemberId(4)]"), "{}", world.report());
    assert!(told.contains(&"seals the model for 3"), "{}", world.report());
    // It asks for the model that it did not get, and is told nothing that it could open.
    world.run_for(5_000);
    assert!(!world.story.iter().any(|line| line.contains("fails at sealing")), "{}", world.report());
    assert!(
        !world.members[&id(4)].shell.disk.models.contains(&world.truth.run.as_ref().unwrap().model.unwrap())
    );
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
