//! Whole members in virtual time: what they do together, one thing at a time.

mod faults;
mod joining;
mod requests;
mod rounds;
mod seats;
mod tenures;

pub(crate) use rafty_sim::story::short_times as settings;
use rafty_sim::world::World;
use rafty_types::Settings;
use std::ops::{Deref, DerefMut, Range};

/// A world that says how to see it again when a test fails.
pub(crate) struct Scene {
    world: World,
    test: &'static str,
    seed: u64,
}

impl Scene {
    /// A world without members. `test` is named in the line that replays it.
    pub(crate) fn new(test: &'static str, seed: u64, settings: Settings) -> Self {
        Self { world: World::new(seed, settings), test, seed }
    }
}

impl Deref for Scene {
    type Target = World;
    fn deref(&self) -> &World {
        &self.world
    }
}

impl DerefMut for Scene {
    fn deref_mut(&mut self) -> &mut World {
        &mut self.world
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { world, test, seed } = self;
            let now = world.now;
            eprintln!("at {now}; replay: RAFTY_SEED={seed} cargo test -p rafty-sim --test scenarios {test}");
        }
    }
}

/// The seeds of a test: `count` of them, or only the one in `RAFTY_SEED`.
pub(crate) fn seeds(count: u64) -> Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("RAFTY_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("RAFTY_SEEDS").unwrap_or(count),
    }
}
