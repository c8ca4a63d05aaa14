//! Agents that die or stand still while rounds are benchmarked.

use crate::local::{LocalSet, TARGET_VOTERS};
use rafty_agent::{Failure, args};
use rafty_types::MemberKind;
use serde::Serialize;
use std::time::{Duration, Instant};

/// How long a round is taken to last before one was seen.
const FIRST_ROUND: Duration = Duration::from_millis(100);

/// Which agents are absent, and when.
#[derive(Clone, Debug, Default, clap::Args, Serialize)]
pub(crate) struct AbsencesArgs {
    /// Kill an agent in every round, once a drawn number of updates is in: a drawn one of those that run, and not the
    /// one that was killed last; or always the same, in each round in which it runs
    #[arg(long, value_name = "WHICH", num_args = 0..=1, require_equals = true, default_missing_value = "another")]
    kill_one: Option<Victim>,
    /// After how long it is started again
    #[arg(long, value_name = "TIME", value_parser = args::duration, default_value = "2s", requires = "kill_one")]
    #[serde(skip)]
    restart_after: Duration,
    /// Stop half of the agents at a drawn moment of each round, other ones each time, until it is published. Only
    /// the peer votes then: half of the agents may be most of the voters
    #[arg(long, conflicts_with = "kill_one")]
    stop_half: bool,
    /// What is drawn is drawn from it; the report names it
    #[arg(long, value_name = "N", default_value_t = fastrand::u64(..1_000_000))]
    pub(super) absence_seed: u64,
}

/// Which agent is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
enum Victim {
    /// Another one in each round.
    Another,
    /// The same in each round.
    Same,
}

impl AbsencesArgs {
    /// How many members may vote at most.
    pub(crate) fn voters(&self) -> usize {
        if self.stop_half { 1 } else { TARGET_VOTERS }
    }
}

/// Brings the absences about, round by round.
pub(crate) struct Absences {
    args: AbsencesArgs,
    rng: fastrand::Rng,
    /// When agents are stopped in this round.
    stop: Option<Instant>,
    /// How many updates must be in until one is killed in this round.
    kill_at: Option<usize>,
    /// Who was killed and is not started again yet, by place in the set, and when it will be.
    down: Vec<(usize, Instant)>,
    /// Who was killed last.
    last: Option<usize>,
    /// Who stands still, by place in the set.
    stopped: Vec<usize>,
    /// How many agents were killed or stopped in each round, the open one last.
    pub(crate) per_round: Vec<u32>,
}

impl Absences {
    pub(crate) fn new(args: &AbsencesArgs) -> Self {
        let rng = fastrand::Rng::with_seed(args.absence_seed);
        let (down, stopped, per_round) = (Vec::new(), Vec::new(), Vec::new());
        Self { args: args.clone(), rng, stop: None, kill_at: None, down, last: None, stopped, per_round }
    }

    /// A round has opened. `usual` is how long rounds take, and no round closes with fewer updates than `needed`.
    pub(crate) fn round_opened(&mut self, usual: Option<Duration>, needed: usize) {
        self.per_round.push(0);
        let moment = usual.unwrap_or(FIRST_ROUND).mul_f64(self.rng.f64());
        self.stop = self.args.stop_half.then(|| Instant::now() + moment);
        self.kill_at = self.args.kill_one.map(|_| self.rng.usize(..needed.max(1)));
    }

    /// The round is over: who stands still goes on.
    pub(crate) fn round_published(&mut self, set: &LocalSet) {
        (self.stop, self.kill_at) = (None, None);
        for at in std::mem::take(&mut self.stopped) {
            set.members[at].process.go_on();
        }
    }

    /// Does what is due, so many updates being in.
    pub(crate) fn act(&mut self, set: &mut LocalSet, updates: usize) -> Result<(), Failure> {
        let now = Instant::now();
        if self.stop.take_if(|at| *at <= now).is_some() {
            let mut agents = agents(set);
            self.rng.shuffle(&mut agents);
            agents.truncate(agents.len() / 2);
            agents.iter().for_each(|at| set.members[*at].process.stand_still());
            self.count(agents.len());
            self.stopped = agents;
        }
        for (at, _) in self.down.extract_if(.., |(_, until)| *until <= now) {
            set.members[at].restart()?;
        }
        if self.kill_at.is_some_and(|needed| updates >= needed)
            && let Some(at) = self.victim(&agents(set))
        {
            set.members[at].kill();
            self.kill_at = None;
            self.last = Some(at);
            self.down.push((at, now + self.args.restart_after));
            self.count(1);
        }
        Ok(())
    }

    /// Who is to be killed: nobody as long as none of those runs that may be.
    fn victim(&mut self, agents: &[usize]) -> Option<usize> {
        let runs = |at: &usize| self.down.iter().all(|(down, _)| down != at);
        if self.args.kill_one == Some(Victim::Same) {
            return agents.last().copied().filter(runs);
        }
        let running: Vec<usize> = agents.iter().copied().filter(runs).collect();
        let others: Vec<usize> = running.iter().copied().filter(|at| Some(*at) != self.last).collect();
        self.rng.choice(if others.is_empty() { running } else { others })
    }

    fn count(&mut self, absent: usize) {
        if let Some(of_round) = self.per_round.last_mut() {
            *of_round += u32::try_from(absent).unwrap_or(u32::MAX);
        }
    }

    /// How long nothing is due, at most `longest`.
    pub(crate) fn idle(&self, longest: Duration) -> Duration {
        let next = self.down.iter().map(|(_, at)| *at).chain(self.stop).min();
        next.map_or(longest, |at| longest.min(at.saturating_duration_since(Instant::now())))
    }
}

/// The agents, by place in the set.
fn agents(set: &LocalSet) -> Vec<usize> {
    let agents = set.members.iter().enumerate().filter(|(_, member)| member.kind == MemberKind::Agent);
    agents.map(|(at, _)| at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn absences(kill_one: Victim) -> Absences {
        Absences::new(&AbsencesArgs { kill_one: Some(kill_one), absence_seed: 15, ..AbsencesArgs::default() })
    }

    #[test]
    fn another_one_is_drawn_each_time_and_the_same_seed_draws_the_same() {
        let drawn = || {
            let mut absences = absences(Victim::Another);
            let draw = |_| {
                absences.last = absences.victim(&[1, 2, 3]);
                absences.last.expect("all run")
            };
            (0..50).map(draw).collect::<Vec<_>>()
        };
        let first = drawn();
        assert!(first.windows(2).all(|pair| pair[0] != pair[1]), "{first:?}");
        assert!((1..=3).all(|at| first.contains(&at)), "{first:?}");
        assert_eq!(first, drawn());
    }

    #[test]
    fn nobody_is_killed_who_does_not_run() {
        let mut absences = absences(Victim::Same);
        assert_eq!(absences.victim(&[1, 2]), Some(2));
        absences.down.push((2, Instant::now()));
        assert_eq!(absences.victim(&[1, 2]), None);
        absences.args.kill_one = Some(Victim::Another);
        assert_eq!(absences.victim(&[1, 2]), Some(1));
        assert_eq!(absences.victim(&[2]), None);
    }
}
