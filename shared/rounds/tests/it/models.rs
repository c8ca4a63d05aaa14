//! Models between members: whoever missed one gets it.

use crate::shell::{Data, Envelope};
use crate::world::{World, id};
use rafty_rounds::{Arrival, Input};
use rafty_types::{
    Attempt, ClusterId, Digest, EnvelopeKind, Frame, Label, MemberKind, Round, SetId, Version,
};

fn trained(rounds: usize) -> World {
    let mut world = World::new(1, &[Data::Examples(10); 3]);
    world.begin_tenure(id(1));
    world.submit(rounds as u32);
    world.run_until(2_000, |world| world.published() == rounds);
    world.run_for(500);
    world
}

fn of_member<'a>(world: &'a World, head: &str) -> Vec<&'a str> {
    world.story.iter().filter_map(|line| line.strip_prefix(head)).collect()
}

#[test]
fn when_the_aggregator_does_not_answer_the_others_are_asked_in_turn() {
    let mut world = trained(2);
    world.censor = |_, to, frame| matches!(frame, Frame::FetchModel { .. }) && to != id(3);
    world.join(MemberKind::Agent, false, Data::None);
    world.run_for(30_000);
    assert_eq!(of_member(&world, "4: asks "), ["1 for version 2", "2 for version 2", "3 for version 2"]);
    assert_eq!(of_member(&world, "4: opens "), ["version 2 from 3"]);
}

#[test]
fn one_that_slept_through_the_publication_catches_up_and_trains_on() {
    let mut world = World::new(1, &[Data::Examples(10); 4]);
    world.begin_tenure(id(1));
    world.submit(40);
    world.run_until(2_000, |world| world.published() == 1);
    world.kill(id(4));
    world.run_until(1_000_000, |world| world.published() == 4);
    world.start(id(4));
    world.run_until(1_000_000, |world| {
        let run = world.truth.run.as_ref().unwrap();
        run.published
            .last()
            .is_some_and(|publication| publication.counted.iter().any(|(who, _)| *who == id(4)))
    });
}

#[test]
fn a_process_that_starts_without_the_current_model_asks_at_once() {
    let mut world = trained(1);
    world.kill(id(3));
    world.submit(2);
    world.run_until(10_000, |world| world.published() == 2);
    world.run_for(500);
    world.start(id(3));
    world.run_for(1_000);
    assert_eq!(of_member(&world, "3: asks "), ["1 for version 2"]);
    assert_eq!(of_member(&world, "3: opens ").last(), Some(&"version 2 from 1"));
}

#[test]
fn the_current_model_is_announced_at_the_start_of_a_tenure_and_then_regularly() {
    let mut world = trained(1);
    world.announced.clear();
    world.begin_tenure(id(2));
    let start = world.now;
    world.run_for(5_000);
    let told: Vec<_> =
        world.announced.iter().map(|(who, at)| (who.0, at.saturating_since(start).as_secs())).collect();
    assert_eq!(told, [(2, 0), (2, 2), (2, 4)]);
}

#[test]
fn askers_are_answered_at_a_bounded_rate_and_only_members() {
    let mut world = trained(1);
    let run = world.truth.run.as_ref().unwrap();
    let (model, version, run) = (run.model.unwrap(), run.version, run.id);
    let ask = |from| Input::Frame { from, frame: Frame::FetchModel { run, version, model } };
    for _ in 0..100 {
        world.say(id(2), ask(id(3)));
        world.say(id(2), ask(id(77)));
        world.say(id(2), ask(id(2)));
    }
    assert_eq!(world.members[&id(2)].shell.spool.len(), 0);
    world.run_for(1);
    assert_eq!(world.members[&id(2)].shell.spool.len(), 1, "one answer for a hundred questions");
    for pause in [1_000, 20_000] {
        // Sealed anew for one that was started anew, or the same once more.
        world.run_for(pause);
        world.say(id(2), ask(id(3)));
        world.run_for(1_000);
        assert_eq!(world.members[&id(2)].shell.spool.len(), 1);
    }
    world.run_for(400_000);
    assert_eq!(world.members[&id(2)].shell.spool.len(), 0, "answers are not kept for ever");
}

/// Over a slow link a model takes longer than the pauses between two questions.
#[test]
fn a_model_that_is_on_its_way_is_not_asked_for_and_goes_on_where_it_broke() {
    let mut world = trained(2);
    let (model, version) = (world.truth.run.as_ref().unwrap().model.unwrap(), Version(2));
    world.censor = |_, _, frame| matches!(frame, Frame::FetchModel { .. });
    let newcomer = world.join(MemberKind::Agent, false, Data::None);
    let arrival = |from, arrival| Input::Arrival { from, content: model, arrival };
    let asks = |world: &World| of_member(world, "4: asks ").len();
    world.run_for(100);
    assert_eq!(asks(&world), 1);
    world.say(newcomer, arrival(id(2), Arrival::Begins));
    world.say(
        newcomer,
        Input::Arrival { from: id(3), content: Digest::of(b"else"), arrival: Arrival::Begins },
    );
    world.run_for(300_000);
    assert_eq!(asks(&world), 1, "it is on its way");
    world.say(newcomer, arrival(id(2), Arrival::Breaks));
    world.run_for(100);
    assert_eq!(of_member(&world, "4: asks ").last(), Some(&&*format!("2 for version {}", version.0)));
    // Whoever only says that it sends is not waited for without end.
    for _ in 0..1_000 {
        world.say(newcomer, arrival(id(2), Arrival::Begins));
        world.run_for(2_000);
        world.say(newcomer, arrival(id(2), Arrival::Breaks));
        world.say(newcomer, arrival(id(2), Arrival::Begins));
    }
    let of_others = of_member(&world, "4: asks ").iter().filter(|line| !line.starts_with('2')).count();
    assert!(of_others > 10, "{of_others}");
}

/// Nothing more is heard of it, so nobody says that what it sent breaks off.
#[test]
fn a_model_that_a_removed_member_was_sending_is_asked_for_elsewhere() {
    let mut world = trained(2);
    let model = world.truth.run.as_ref().unwrap().model.unwrap();
    world.censor = |_, _, frame| matches!(frame, Frame::FetchModel { .. });
    let newcomer = world.join(MemberKind::Agent, false, Data::None);
    world.run_for(100);
    world.say(newcomer, Input::Arrival { from: id(2), content: model, arrival: Arrival::Begins });
    world.run_for(10_000);
    assert_eq!(of_member(&world, "4: asks ").len(), 1, "it is on its way");
    world.revoke(id(2));
    world.run_for(100);
    assert_eq!(of_member(&world, "4: asks ").len(), 2);
}

/// What member 2 might say of an envelope of its own.
fn label(world: &World, round: u64, kind: EnvelopeKind, content: Digest) -> Label {
    Label {
        set: SetId::first(ClusterId([9; 16])),
        tenure: world.truth.tenure.as_ref().unwrap().0,
        run: world.truth.run.as_ref().unwrap().id,
        round: Round(round),
        attempt: Attempt(1),
        version: Version(round),
        kind,
        content,
        segment: 0,
        segments: 1,
        sender: id(2),
    }
}

/// Somebody who was restored from an older copy seals for the id that the asking member had then.
#[test]
fn a_model_that_came_for_somebody_else_is_asked_for_again_soon() {
    let mut world = trained(2);
    let model = world.truth.run.as_ref().unwrap().model.unwrap();
    world.censor = |_, _, frame| matches!(frame, Frame::FetchModel { .. });
    let newcomer = world.join(MemberKind::Agent, false, Data::None);
    let asks = |world: &World| of_member(world, "4: asks ").len();
    world.run_for(100);
    world.say(newcomer, Input::Arrival { from: id(2), content: model, arrival: Arrival::Begins });
    world.run_for(300_000);
    assert_eq!(asks(&world), 1, "it is on its way");
    let label = label(&world, 2, EnvelopeKind::Model, model);
    world.deliver(id(2), newcomer, Envelope { label, recipients: vec![id(9)] });
    world.run_for(100);
    assert_eq!(asks(&world), 2, "what came was of no use");
}

#[test]
fn a_model_that_was_not_committed_is_not_taken_from_one_who_is_not_aggregator() {
    let mut world = trained(2);
    let label = label(&world, 3, EnvelopeKind::Model, Digest::of(b"planted"));
    let genuine = Envelope { label, recipients: vec![id(3)] };
    let mut as_publication = genuine.clone();
    as_publication.label.kind = EnvelopeKind::Publication;
    world.deliver(id(2), id(3), genuine);
    world.deliver(id(2), id(3), as_publication);
    world.run_for(15_000);
    assert!(!world.members[&id(3)].rounds.holds(Digest::of(b"planted")));
    assert!(world.members[&id(3)].shell.spool.is_empty(), "both are dropped in the end");
}

#[test]
fn bystanders_drop_what_is_not_for_them() {
    let mut world = trained(1);
    let label = label(&world, 1, EnvelopeKind::Update, Digest::of(b"x"));
    world.deliver(id(2), id(3), Envelope { label, recipients: vec![id(1)] });
    world.run_for(1);
    assert!(world.members[&id(3)].shell.spool.is_empty());
}
