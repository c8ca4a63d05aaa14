//! What many runs came to: time, faults by kind, and which rare states were met.

use crate::story::Outcome;
use crate::tally::{Evil, Sometimes, Tally};
use std::fmt::Write;
use std::time::Duration;

/// Every rare state must be met at least once in so many seeds.
pub const SEEDS_FOR_ALL: u64 = 10_000;

/// The sum of many runs.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Runs that ended well.
    pub seeds: u64,
    /// Time that passed in them.
    pub simulated: Duration,
    /// Time that they took, all threads together.
    pub taken: Duration,
    /// Faults and rare states.
    pub tally: Tally,
    /// Writes of keys of their own that were acknowledged.
    pub acknowledged: usize,
    /// Rounds published.
    pub published: usize,
    /// Histories judged.
    pub registers: usize,
    /// Terms that had a leader.
    pub terms: usize,
}

impl Report {
    /// Takes a run in.
    pub fn add(&mut self, outcome: &Outcome, taken: Duration) {
        self.seeds += 1;
        self.simulated += outcome.simulated;
        self.taken += taken;
        self.tally.add(&outcome.tally);
        self.acknowledged += outcome.acknowledged;
        self.published += outcome.published;
        self.registers += outcome.registers;
        self.terms += outcome.terms;
    }

    /// How many times as fast as real time one core was.
    pub fn ratio(&self) -> f64 {
        self.simulated.as_secs_f64() / self.taken.as_secs_f64().max(1e-9)
    }

    /// Rare states that were never met.
    pub fn never_met(&self) -> Vec<&'static str> {
        let never = Sometimes::ALL.iter().filter(|what| self.tally.seen(**what) == 0);
        never.map(|what| what.name()).collect()
    }

    /// For people.
    pub fn to_text(&self) -> String {
        let hours = self.simulated.as_secs_f64() / 3_600.0;
        let mut text = format!(
            "{} seeds, {hours:.1} simulated hours in {:.0} s of processor time: {:.0} times real time per core\n\
             {} terms led, {} writes acknowledged, {} rounds published, {} histories linearizable\n\n",
            self.seeds,
            self.taken.as_secs_f64(),
            self.ratio(),
            self.terms,
            self.acknowledged,
            self.published,
            self.registers,
        );
        for evil in Evil::ALL {
            let _ = writeln!(text, "{:>12}  {}", self.tally.count(*evil), evil.name());
        }
        text.push('\n');
        for what in Sometimes::ALL {
            let _ = writeln!(text, "{:>12}  {}", self.tally.seen(*what), what.name());
        }
        text
    }

    /// For programs.
    pub fn to_json(&self) -> serde_json::Value {
        let evils: serde_json::Map<_, _> =
            Evil::ALL.iter().map(|evil| (evil.name().into(), self.tally.count(*evil).into())).collect();
        let sometimes: serde_json::Map<_, _> =
            Sometimes::ALL.iter().map(|what| (what.name().into(), self.tally.seen(*what).into())).collect();
        serde_json::json!({
            "seeds": self.seeds,
            "simulated_s": self.simulated.as_secs_f64(),
            "processor_s": self.taken.as_secs_f64(),
            "ratio_per_core": self.ratio(),
            "terms": self.terms,
            "acknowledged": self.acknowledged,
            "rounds": self.published,
            "histories": self.registers,
            "faults": evils,
            "sometimes": sometimes,
        })
    }
}
