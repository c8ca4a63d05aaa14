//! Agents that die or stand still while rounds are benchmarked.

use crate::local::{LocalSet, TARGET_VOTERS};
use rafty_agent::{Failure, args};
use rafty_types::PeerRole;
use serde::Serialize;
use std::time::{Duration, Instant};

/// How long a round is taken to last before one was seen.
const FIRST_ROUND: Duration = Duration::from_millis(100);

/// Which agents are absent, and when.
#[derive(Clone, Debug, Default, clap::Args, Serialize)]
pub(crate) struct AbsencesArgs {
    /// Kill an agent, always the same one, at a drawn moment of each round in which it runs
    #[arg(long)]
    kill_one: bool,
    /// After how long it is started again
    #[arg(long, value_name = "TIME", value_parser = args::duration, default_value = "2s", requires = "kill_one")]
    #[serde(skip)]
    restart_after: Duration,
    /// Stop half of the agents at a drawn moment of each round, other ones each time, until it is published. Only
    /// the peer votes then: half of the agents may be most of the voters
    #[arg(long, conflicts_with = "kill_one")]
    stop_half: bool,
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
    /// When the next ones begin.
    begin: Option<Instant>,
    /// When the one that was killed is started again.
    restart: Option<Instant>,
    /// Who stands still, by place in the set.
    stopped: Vec<usize>,
    /// How often an agent was killed or stopped.
    pub(crate) count: u32,
}

impl Absences {
    pub(crate) fn new(args: &AbsencesArgs) -> Self {
        Self { args: args.clone(), begin: None, restart: None, stopped: Vec::new(), count: 0 }
    }

    /// A round has opened. `usual` is how long rounds take.
    pub(crate) fn round_opened(&mut self, usual: Option<Duration>) {
        let wanted = self.args.stop_half || self.args.kill_one && self.restart.is_none();
        let moment = usual.unwrap_or(FIRST_ROUND).mul_f64(fastrand::f64());
        self.begin = self.begin.or(wanted.then(|| Instant::now() + moment));
    }

    /// The round is over: who stands still goes on.
    pub(crate) fn round_published(&mut self, set: &LocalSet) {
        if self.args.stop_half {
            self.begin = None;
        }
        for at in std::mem::take(&mut self.stopped) {
            set.members[at].process.go_on();
        }
    }

    /// Does what is due.
    pub(crate) fn act(&mut self, set: &mut LocalSet) -> Result<(), Failure> {
        let now = Instant::now();
        if self.begin.take_if(|at| *at <= now).is_some() {
            let agents = set.members.iter().enumerate().filter(|(_, member)| member.kind == PeerRole::Agent);
            let mut agents: Vec<usize> = agents.map(|(at, _)| at).collect();
            if self.args.stop_half {
                fastrand::shuffle(&mut agents);
                agents.truncate(agents.len() / 2);
                agents.iter().for_each(|at| set.members[*at].process.stand_still());
                self.count += agents.len() as u32;
                self.stopped = agents;
            } else if let Some(at) = agents.pop() {
                set.members[at].kill();
                self.count += 1;
                self.restart = Some(now + self.args.restart_after);
            }
        }
        if self.restart.take_if(|at| *at <= now).is_some()
            && let Some(agent) = set.members.iter_mut().rfind(|member| member.kind == PeerRole::Agent)
        {
            agent.restart()?;
        }
        Ok(())
    }

    /// How long nothing is due, at most `longest`.
    pub(crate) fn idle(&self, longest: Duration) -> Duration {
        let next = self.begin.into_iter().chain(self.restart).min();
        next.map_or(longest, |at| longest.min(at.saturating_duration_since(Instant::now())))
    }
}
