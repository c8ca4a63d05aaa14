//! Everything at once, from a seed: loss, repetition, delay, crashes, new tenures, failing disks. Then the faults stop.

use crate::shell::Data;
use crate::world::{FAIR, Weather, World, id};

const STORM: Weather =
    Weather { latency: (1, 400), work: (1, 1_500), lose: 15, repeat: 15, lose_proposal: 20, fail_work: 5 };
const ROUNDS: u32 = 6;

fn storm(seed: u64) {
    let mut world = World::new(seed, &[Data::Examples(10); 5]);
    let (poisoned, empty) = (id(world.draw(1, 5)), id(world.draw(1, 5)));
    world.members.get_mut(&empty).unwrap().shell.data = Data::None;
    world.members.get_mut(&poisoned).unwrap().shell.data = Data::Poisoned;
    world.weather = STORM;
    world.submit(ROUNDS);
    for _ in 0..40 {
        let member = id(world.draw(1, 5));
        let running = world.running();
        match world.draw(0, 4) {
            0 if running.len() > 3 && running.contains(&member) => world.kill(member),
            1 if !running.contains(&member) => world.start(member),
            2 | 3 if running.contains(&member) => world.begin_tenure(member),
            _ => {}
        }
        let pause = world.draw(10, 6_000);
        world.run_for(pause);
    }
    world.weather = FAIR;
    for member in 1..=5 {
        if !world.running().contains(&id(member)) {
            world.start(id(member));
        }
    }
    let last = id(world.draw(1, 5));
    world.begin_tenure(last);
    world.run_until(4_000_000, |world| world.published() == ROUNDS as usize);
    world.run_for(120_000);
    all_is_tidy(&world);
}

fn all_is_tidy(world: &World) {
    let run = world.truth.run.as_ref().unwrap();
    for (version, publication) in (1..).zip(&run.published) {
        assert_eq!((publication.round.0, publication.version.0), (version, version), "each round once");
    }
    for (id, member) in &world.members {
        assert!(member.shell.spool.is_empty(), "member {id} leaks {:?}", member.shell.spool);
        assert!(member.shell.accumulators.is_empty(), "member {id} leaks an accumulator");
        assert_eq!(member.shell.disk.pending, None, "member {id} keeps an update");
        assert_eq!(member.shell.disk.current, run.model, "member {id} is not up to date");
        assert!(member.shell.disk.models.len() <= 24, "member {id} keeps too many models");
    }
}

#[test]
fn every_round_is_published_once_whatever_happened_before() {
    let seeds: Vec<u64> = match std::env::var("RAFTY_SEED") {
        Ok(seed) => vec![seed.parse().expect("RAFTY_SEED is a number")],
        Err(_) => (0..150).collect(),
    };
    for seed in seeds {
        let outcome = std::panic::catch_unwind(|| storm(seed));
        if let Err(panic) = outcome {
            eprintln!("replay: RAFTY_SEED={seed} cargo test -p rafty-rounds every_round_is_published");
            std::panic::resume_unwind(panic);
        }
    }
}
