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
fn a_round_is_opened_collected_combined_and_published() {
    let mut world = World::new(1, &THREE);
    world.begin_tenure(id(1));
    world.submit(1);
    world.run_until(1_000, |world| world.published() == 1);
    world.run_for(1_000);
    assert_eq!(
        of_log(&world),
        [
            "tenure of 1",
            "run submitted",
            "round 1 opened from version 0",
            "round 1.1 accepts 1",
            "round 1.1 accepts 2",
            "round 1.1 accepts 3",
            "round 1.1 published as version 1 of 1,2,3",
        ]
    );
    assert_eq!(
        of_member(&world, "2: "),
        [
            "trains round 1 from version 0",
            "adopts version 0",
            "seals for 1, round 1.1",
            "is accepted",
            "opens version 1 from 1",
            "drops its update of round 1",
            "adopts version 1",
        ]
    );
    assert_eq!(
        of_member(&world, "1: ")[3..],
        [
            "opens the update of 1",
            "is accepted",
            "opens the update of 2",
            "opens the update of 3",
            "closes: 3 of 3",
            "seals the model for 2",
            "knows the model safe with 2 voters",
            "drops its update of round 1",
            "adopts version 1",
        ]
    );
    let publication = &world.truth.run.as_ref().unwrap().published[0];
    assert_eq!((publication.metrics.examples, publication.metrics.correct), (30, 27));
    assert!(world.members.values().all(|member| member.shell.disk.current == Some(publication.model)));
    assert_eq!(world.waiting_for(id(2)), "the run has ended with version 1");
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
fn a_lost_verdict_needs_no_second_sending_since_the_log_says_it_too() {
    let mut world = World::new(1, &THREE);
    world.training_ms = [(id(3), 20_000)].into();
    world.censor = |_, _, frame| matches!(frame, Frame::Verdict { .. });
    world.begin_tenure(id(1));
    world.submit(1);
    world.run_until(25_000, |world| world.published() == 1);
    assert!(!world.story.iter().any(|line| line.contains("sends again")));
}

#[test]
fn a_lost_envelope_is_sent_again() {
    let mut world = World::new(1, &[Data::Examples(1); 2]);
    world.begin_tenure(id(1));
    world.submit(1);
    world.weather.lose = 100;
    world.run_for(5_000);
    world.weather.lose = 0;
    world.run_until(10_000, |world| world.published() == 1);
    assert!(!of_member(&world, "2: sends again").is_empty());
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
fn a_tenure_that_ends_opens_no_new_round() {
    let mut world = World::new(1, &THREE);
    world.begin_tenure(id(1));
    world.submit(5);
    world.run_until(1_000, |world| of_log(world).contains(&"round 1 opened from version 0"));
    assert!(!world.at_boundary(id(1)));
    world.say(id(1), Input::TenureEnding);
    world.run_for(10_000);
    assert_eq!(world.published(), 1);
    assert!(world.at_boundary(id(1)));
    assert_eq!(world.waiting_for(id(1)), "hands over; opens no new round");
    world.begin_tenure(id(2));
    world.run_until(3_000, |world| world.published() == 5);
}

#[test]
fn an_aggregator_alone_publishes_alone() {
    let mut world = World::new(1, &[Data::Examples(100)]);
    world.begin_tenure(id(1));
    world.submit(3);
    world.run_until(1_000, |world| world.published() == 3);
    world.run_for(100);
    assert!(world.members[&id(1)].shell.spool.is_empty());
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
    world.deliver(id(3), id(1), twist(|label| label.cluster.0[0] ^= 1));
    world.deliver(id(3), id(1), twist(|label| label.segments = 2));
    world.deliver(id(77), id(1), genuine);
    world.run_for(10);
    let drops: Vec<_> = world.story[lines..].iter().map(String::as_str).collect();
    let mut expected = vec!["1: drops an envelope of 2: Duplicate", "1: drops an envelope of 3: WrongLabel"];
    // Four are for attempts that may still come: each waits in place of the one before, the last in vain.
    expected.extend(["1: drops an envelope of 3: Replaced"; 3]);
    expected.extend(["1: drops an envelope of 3: WrongLabel"; 3]);
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
fn an_update_is_never_sealed_to_a_key_that_was_not_applied() {
    let mut world = World::new(1, &THREE);
    world.submit(1);
    world.run_for(1_000);
    assert_eq!(world.waiting_for(id(2)), "waits for a leader to open a tenure");
    world.begin_tenure(id(1));
    world.training_ms = [(id(3), 60_000)].into();
    world.run_for(500);
    world.begin_tenure(id(2));
    world.run_for(500);
    // Member 1 has restarted: it holds the tenure no more, in whatever name.
    let sealed: Vec<_> = of_member(&world, "1: seals for ").clone();
    assert_eq!(sealed, ["1, round 1.1", "2, round 1.2"]);
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
