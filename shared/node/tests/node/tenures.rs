//! Tenures rotate while people write, and nothing is lost on the way.

use crate::founding::settings;
use crate::sim::{Sim, ms};
use rafty_node::Answer;
use std::collections::BTreeMap;

#[test]
fn tenures_rotate_among_all_and_every_write_meanwhile_is_answered_once() {
    let mut sim = Sim::new("tenures_rotate", 4, settings());
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
    sim.run_until("agreement", ms(2_000), Sim::agree);
    all.iter().for_each(|id| sim.checks.writes_are_kept(sim.node(*id)));

    let node = sim.node(all[0]);
    let served: BTreeMap<_, _> =
        node.state().control().members().values().map(|member| (member.id, member.tenures)).collect();
    let (least, most) = (served.values().min().unwrap(), served.values().max().unwrap());
    assert!(*least >= 2 && most - least <= 1, "{served:?}");
    let total: u64 = served.values().sum();
    let elapsed = sim.now.elapsed().as_millis() as u64;
    assert!(total >= elapsed / 4_000, "{total} tenures in {elapsed} ms: hand-overs take too long");
    assert!(sim.checks.handed_over as u64 >= total - 1);
    assert_eq!(sim.checks.dropped, []);
}
