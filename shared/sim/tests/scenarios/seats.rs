//! Who votes while devices are switched off together, and how the seat travels on which they lead.

use crate::{Scene, settings};
use rafty_node::Answer;
use rafty_sim::world::{LONG_MS, World, ms};
use rafty_types::MemberKind::{Agent, Operator};
use rafty_types::{MemberId, MemberKind, Settings};

fn with_role(sim: &World, at: MemberId, role: MemberKind) -> Vec<MemberId> {
    let members = sim.node(at).state().control().members().values();
    members.filter(|member| member.role == role).map(|member| member.id).collect()
}

/// The devices were there first and have the seats; then laptops join, and then all devices are switched off at once.
#[test]
fn laptops_go_on_when_all_devices_are_switched_off() {
    for (target_voters, laptops) in [(3, 2), (5, 3)] {
        let name = "laptops_go_on_when_all_devices";
        let mut sim = Scene::new(name, 8, Settings { target_voters, ..settings() });
        let founder = sim.found_of(&[Operator, Agent, Agent, Agent, Agent])[0];
        sim.run_for(ms(60_000));
        let token = sim.token(founder, LONG_MS, laptops);
        for _ in 1..laptops {
            sim.join(founder, &token).expect("a laptop joins");
        }
        let on = with_role(&sim, founder, Operator);
        sim.run_until("all laptops vote", ms(120_000), |sim| {
            let voters = sim.node(founder).consensus().membership().voters.clone();
            on.iter().all(|id| voters.contains(id))
        });
        sim.run_for(ms(20_000));
        with_role(&sim, founder, Agent).into_iter().for_each(|id| sim.kill(id));
        sim.run_until("a leader", ms(5_000), |sim| sim.leader().is_some_and(|leader| on.contains(&leader)));
        sim.run_until("a leader that all know", ms(1_000), |sim| {
            sim.node(founder).consensus().leader().is_some_and(|leader| on.contains(&leader))
        });
        let write = sim.write(founder, ms(3_000));
        sim.run_until("an answer", ms(3_000), |sim| sim.answers.contains_key(&write));
        assert!(matches!(sim.answers[&write], Answer::User(..)), "{:?}", sim.answers[&write]);
    }
}

/// The holder of the travelling seat dies while it leads. Whoever takes over gives that seat to the learner that is due and
/// begins no tenure of its own.
#[test]
fn after_the_death_of_an_aggregator_the_learner_that_served_least_is_the_next() {
    let settings = Settings { target_voters: 3, tenure: ms(3_000), grace: ms(500), ..settings() };
    let mut sim = Scene::new("after_the_death_of_an_aggregator", 9, settings);
    let all = sim.found(5);
    let tenures = |sim: &World, id: MemberId| sim.node(all[0]).state().control().members()[&id].tenures;
    sim.run_until("a tenure of a member without a steady seat, when another is due", ms(60_000), |sim| {
        sim.aggregator() == Some(all[2]) && tenures(sim, all[3]) < tenures(sim, all[0])
    });
    sim.run_for(ms(500));
    sim.kill(all[2]);
    let holder = |sim: &World| sim.node(all[0]).state().control().tenure().map(|tenure| tenure.member);
    assert_eq!(holder(&sim), Some(all[2]));
    sim.run_until("the next tenure", ms(10_000), |sim| holder(sim) != Some(all[2]));
    let control = sim.node(all[0]).state().control();
    assert_eq!(control.tenure().expect("a tenure").member, all[3]);
    assert_eq!(control.desired_voters(), [all[0], all[1], all[3]].into());
}
