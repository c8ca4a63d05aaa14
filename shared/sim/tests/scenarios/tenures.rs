//! Tenures rotate while people write, and nothing is lost on the way.

use crate::{Scene, settings};
use rafty_node::Answer;
use rafty_sim::world::LONG_MS;
use rafty_sim::world::{World, ms};
use rafty_types::{MemberKind, Settings};
use std::collections::BTreeMap;

#[test]
fn tenures_rotate_among_all_and_every_write_meanwhile_is_answered_once() {
    let mut sim = Scene::new("tenures_rotate", 4, settings());
    let all = sim.found(5);
    sim.run_until("a tenure", ms(5_000), |sim| sim.aggregator().is_some());
    let mut writes = Vec::new();
    for turn in 0..700 {
        let from = all[turn % all.len()];
        writes.push((from, sim.write(from, ms(5_000))));
        sim.run_for(ms(50));
    }
    sim.run_for(ms(6_000));
    let answered = writes.iter().filter(|(_, write)| matches!(sim.answers[write], Answer::User(..))).count();
    assert_eq!(answered, writes.len(), "on a sound network every write gets through");
    sim.run_until("agreement", ms(2_000), World::agree);
    all.iter().for_each(|id| sim.invariants.clients.acknowledged_writes_are_durable(sim.node(*id)));

    let node = sim.node(all[0]);
    let served: BTreeMap<_, _> =
        node.state().control().members().values().map(|member| (member.id, member.tenures)).collect();
    let (least, most) = (served.values().min().unwrap(), served.values().max().unwrap());
    assert!(*least >= 2 && most - least <= 1, "{served:?}");
    let total: u64 = served.values().sum();
    let elapsed = sim.now.elapsed().as_millis() as u64;
    assert!(total >= elapsed / 4_000, "{total} tenures in {elapsed} ms: hand-overs take too long");
    assert!(sim.invariants.rounds.handed_over as u64 >= total - 1);
    assert_eq!(sim.dropped, []);
}

/// Jain, Chiu and Hawe 1984: 1 when all have the same, 1/n when one has everything.
fn jain(shares: &[u64]) -> f64 {
    let (sum, squares) = shares.iter().fold((0.0, 0.0), |(sum, squares), share| {
        let share = *share as f64;
        (sum + share, squares + share * share)
    });
    sum * sum / (shares.len() as f64 * squares)
}

/// Three vote, and one seat travels.
fn serve_alike_with_three_seats(name: &'static str, laptops: u64, devices: u64) {
    let (tenure, grace, members) = (ms(1_000), ms(500), laptops + devices);
    let settings = Settings { target_voters: 3, tenure, grace, ..settings() };
    let mut sim = Scene::new(name, 6, settings);
    let role = |number| if number < laptops { MemberKind::Operator } else { MemberKind::Agent };
    let all = sim.found_of(&(0..members).map(role).collect::<Vec<_>>());
    let steady = &all[..laptops.min(2) as usize];
    let served = |sim: &World| -> Vec<u64> {
        sim.node(all[0]).state().control().members().values().map(|member| member.tenures).collect()
    };
    while served(&sim).iter().sum::<u64>() < 20 * members {
        sim.run_for(ms(500));
        let voters = sim.node(all[0]).state().control().desired_voters();
        assert!(
            voters.len() == 3 && steady.iter().all(|id| voters.contains(id)),
            "one seat travels: {voters:?}"
        );
    }
    let fairness = jain(&served(&sim));
    assert!(fairness > 0.99, "{fairness}: {:?}", served(&sim));
    let elapsed = sim.now.elapsed().as_millis() as u64;
    assert!(20 * members >= elapsed / 1_500, "{elapsed} ms: hand-overs take too long");
}

#[test]
fn five_members_with_three_seats_serve_alike() {
    serve_alike_with_three_seats("five_members_with_three_seats", 5, 0);
}

#[test]
fn ten_members_with_three_seats_serve_alike() {
    serve_alike_with_three_seats("ten_members_with_three_seats", 10, 0);
}

#[test]
fn laptops_and_devices_serve_alike_while_laptops_keep_their_seats() {
    serve_alike_with_three_seats("laptops_and_devices_serve_alike", 2, 3);
    serve_alike_with_three_seats("laptops_and_devices_serve_alike", 4, 6);
    serve_alike_with_three_seats("laptops_and_devices_serve_alike", 1, 4);
}

#[test]
fn seats_rotate_so_that_all_who_may_lead_serve_alike() {
    let (tenure, grace) = (ms(1_000), ms(500));
    let settings = Settings { target_voters: 5, tenure, grace, ..settings() };
    let mut sim = Scene::new("seats_rotate", 5, settings);
    let mut all = sim.found(5);
    sim.run_until("a tenure", ms(5_000), |sim| sim.aggregator().is_some());
    let token = sim.token(all[0], LONG_MS, 4);
    for _ in 0..4 {
        let responder = sim.leader().unwrap();
        all.push(sim.join(responder, &token).unwrap());
    }
    let served = |sim: &World| -> Vec<u64> {
        sim.node(all[0]).state().control().members().values().map(|member| member.tenures).collect()
    };
    let before: u64 = served(&sim).iter().sum();
    while served(&sim).iter().sum::<u64>() < before + 200 {
        let writer = all[sim.rng.below(9) as usize];
        sim.write(writer, ms(3_000));
        sim.run_for(ms(100));
        let voters = sim.node(all[0]).state().control().desired_voters().len();
        assert_eq!(voters, 5, "a seat is only given for another");
    }
    let fairness = jain(&served(&sim));
    assert!(fairness > 0.99, "{fairness}: {:?}", served(&sim));
    sim.run_until("agreement", ms(5_000), World::agree);
    all.iter().for_each(|id| sim.invariants.clients.acknowledged_writes_are_durable(sim.node(*id)));
}
