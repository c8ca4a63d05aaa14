//! `rafty bench election`: how long a peer set is without a leader, and without an aggregator, after its leader was
//! killed or has handed over.
//!
//! Members are processes and a kill is SIGKILL. A trial begins when all members are up and have made a key for a tenure
//! of theirs, since keys are made ahead; how long that takes is not measured.

use super::plot::{Curve, Panel, draw};
use super::spread::{quantile, share_under};
use super::{Usage, folder, print};
use crate::local::{Interrupt, LocalSet, Plan, hear};
use crate::narration::{Line, now_us};
use rafty_agent::{Failure, output};
use rafty_node::Event;
use rafty_types::{MemberId, Term};
use serde::Serialize;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// How long a trial may take.
const TRIAL_WITHIN: Duration = Duration::from_secs(30);
/// How often is looked whether somebody wants an end.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How often is told how far it is.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// A kill comes at any moment between two heartbeats.
const LONGEST_PAUSE_MS: u64 = 100;
/// What `--fast` means.
const FAST: [&str; 6] = ["--heartbeat", "10ms", "--election-min", "50ms", "--election-max", "100ms"];
/// What `--handover` means: the shortest tenures there are.
const SHORT_TENURES: [&str; 4] = ["--tenure", "1s", "--grace", "0s"];

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ElectionArgs {
    /// How many members, each a process
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u8).range(3..=9))]
    peers: u8,
    /// How many leaders are killed, or hand over
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    trials: u32,
    /// Heartbeats every 10 ms and election timeouts of 50 to 100 ms, instead of the defaults
    #[arg(long)]
    fast: bool,
    /// Planned hand-overs, one a second, instead of kills
    #[arg(long)]
    handover: bool,
    /// Draw the times into this file
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

/// What came out. Times are from the kill, or from the decision to hand over.
#[derive(Clone, Debug, Default, Serialize)]
struct Measured {
    peers: u8,
    trials: usize,
    fast: bool,
    handover: bool,
    /// Until a leader was elected, in milliseconds: each trial.
    times_ms: Vec<f64>,
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    under_80_ms: f64,
    under_100_ms: f64,
    under_150_ms: f64,
    /// Who stood for election, and when: each trial.
    candidacies: Vec<Vec<Candidacy>>,
    /// Elections that the first candidate did not win.
    second_candidates: usize,
    /// Until its tenure was committed.
    tenure_times_ms: Vec<f64>,
    tenure_p50_ms: f64,
    tenure_p99_ms: f64,
    #[serde(flatten)]
    usage: Usage,
}

pub(crate) fn run(args: &ElectionArgs, json: bool) -> Result<(), Failure> {
    let interrupt = Interrupt::listen()?;
    let base = folder()?;
    let fast: &[&str] = if args.fast { &FAST } else { &[] };
    let short: &[&str] = if args.handover { &SHORT_TENURES } else { &[] };
    let settings = [fast, short].concat();
    let plan = Plan { settings: &settings, ..Plan::of_peers(base.path(), args.peers.into()) };
    output::note(format_args!("starts {} members", args.peers));
    let usage = Usage::begin(base.path())?;
    let mut trials = Trials::begin(LocalSet::start(&plan, &interrupt)?, &interrupt);
    let elections = trials.all(args)?;
    let measured = Measured {
        peers: args.peers,
        fast: args.fast,
        handover: args.handover,
        usage: usage.end(&trials.set),
        ..sum_up(elections)
    };
    if let Some(path) = &args.plot {
        draw_times(path, &measured)?;
    }
    print(&measured, json)
}

/// Members that are killed, or hand over, again and again.
struct Trials<'a> {
    set: LocalSet,
    sink: Sender<Line>,
    heard: Receiver<Line>,
    interrupt: &'a Interrupt,
}

/// A member that stood for election.
#[derive(Clone, Debug, Serialize)]
struct Candidacy {
    member: MemberId,
    term: Term,
    at_ms: f64,
}

/// One election.
#[derive(Clone, Debug)]
struct Trial {
    /// Milliseconds until there was a leader.
    elected_ms: f64,
    /// Milliseconds until its tenure was committed.
    tenure_ms: f64,
    candidacies: Vec<Candidacy>,
}

impl<'a> Trials<'a> {
    fn begin(set: LocalSet, interrupt: &'a Interrupt) -> Self {
        let (sink, heard) = channel();
        set.members.iter().for_each(|member| hear(member.dir.clone(), sink.clone()));
        Self { set, sink, heard, interrupt }
    }

    fn all(&mut self, args: &ElectionArgs) -> Result<Vec<Trial>, Failure> {
        let mut told = Instant::now();
        let mut trials = Vec::new();
        while trials.len() < args.trials as usize {
            trials.push(if args.handover { self.hand_over()? } else { self.kill()? });
            if told.elapsed() >= TELL_EVERY {
                told = Instant::now();
                output::note(format_args!("{} of {} trials", trials.len(), args.trials));
            }
        }
        Ok(trials)
    }

    /// Kills the leader and lets it come back.
    fn kill(&mut self) -> Result<Trial, Failure> {
        let leader = self.set.wait_until_ready(self.interrupt)?;
        std::thread::sleep(Duration::from_millis(fastrand::u64(0..LONGEST_PAUSE_MS)));
        self.heard.try_iter().for_each(drop);
        let killed_us = now_us();
        self.member(leader)?.kill();
        let trial = self.next_leader(killed_us, Some(leader))?;
        self.member(leader)?.restart()?;
        hear(self.member(leader)?.dir.clone(), self.sink.clone());
        Ok(trial)
    }

    /// Waits for the next planned hand-over. What is tried again counts from the first try.
    fn hand_over(&mut self) -> Result<Trial, Failure> {
        let until = Instant::now() + TRIAL_WITHIN;
        loop {
            let line = self.next_line(until, "no leader handed over")?;
            if matches!(line.event, Event::HandingOver { .. }) {
                return self.next_leader(line.at_us, Some(line.member));
            }
        }
    }

    /// Waits for a leader and the tenure that it begins.
    fn next_leader(&mut self, since_us: u64, but: Option<MemberId>) -> Result<Trial, Failure> {
        let until = Instant::now() + TRIAL_WITHIN;
        let after_ms = |at_us: u64| at_us.saturating_sub(since_us) as f64 / 1e3;
        let mut elected: Option<(Term, f64)> = None;
        let mut candidacies = Vec::new();
        loop {
            let line = self.next_line(until, "no leader was elected")?;
            match line.event {
                _ if line.at_us < since_us || Some(line.member) == but => {}
                Event::Role { role, term, .. } if role == "candidate" && elected.is_none() => {
                    candidacies.push(Candidacy { member: line.member, term, at_ms: after_ms(line.at_us) });
                }
                Event::Role { role, term, .. } if role == "leader" && elected.is_none() => {
                    elected = Some((term, after_ms(line.at_us)));
                }
                Event::TenureBegan { aggregator, term, .. } if aggregator == line.member => {
                    if let Some((first, at_ms)) = elected
                        && first <= term
                    {
                        return Ok(Trial { elected_ms: at_ms, tenure_ms: after_ms(line.at_us), candidacies });
                    }
                }
                _ => {}
            }
        }
    }

    fn next_line(&self, until: Instant, what: &str) -> Result<Line, Failure> {
        loop {
            self.interrupt.check()?;
            if let Ok(line) = self.heard.recv_timeout(LOOK_EVERY) {
                return Ok(line);
            }
            if Instant::now() > until {
                return Err(Failure::failed(format!("{what} within {TRIAL_WITHIN:?}")));
            }
        }
    }

    fn member(&mut self, id: MemberId) -> Result<&mut crate::local::Local, Failure> {
        self.set.member(id).ok_or_else(|| Failure::failed(format!("member {id} is none of this benchmark's")))
    }
}

fn sum_up(elections: Vec<Trial>) -> Measured {
    let times_ms: Vec<_> = elections.iter().map(|trial| trial.elected_ms).collect();
    let tenure_times_ms: Vec<_> = elections.iter().map(|trial| trial.tenure_ms).collect();
    let candidacies: Vec<_> = elections.into_iter().map(|trial| trial.candidacies).collect();
    let several = |trial: &&Vec<Candidacy>| trial.iter().any(|one| one.member != trial[0].member);
    Measured {
        second_candidates: candidacies.iter().filter(several).count(),
        candidacies,
        trials: times_ms.len(),
        p50_ms: quantile(&times_ms, 0.5),
        p90_ms: quantile(&times_ms, 0.9),
        p99_ms: quantile(&times_ms, 0.99),
        max_ms: quantile(&times_ms, 1.0),
        under_80_ms: share_under(&times_ms, 80.0),
        under_100_ms: share_under(&times_ms, 100.0),
        under_150_ms: share_under(&times_ms, 150.0),
        tenure_p50_ms: quantile(&tenure_times_ms, 0.5),
        tenure_p99_ms: quantile(&tenure_times_ms, 0.99),
        times_ms,
        tenure_times_ms,
        ..Measured::default()
    }
}

fn draw_times(path: &std::path::Path, measured: &Measured) -> Result<(), Failure> {
    let panel = |x, times: &[f64]| Panel { x, y: "trials", lines: vec![Curve::histogram("trials", times)] };
    let panels = [
        panel("ms until a leader is elected", &measured.times_ms),
        panel("ms until its tenure is committed", &measured.tenure_times_ms),
    ];
    draw(path, &format!("{measured:#}"), &panels)
}

impl std::fmt::Display for Measured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = if self.handover { "planned hand-overs" } else { "killed leaders" };
        let how = if self.fast { ", fast settings" } else { "" };
        write!(f, "{} {what}, {} members{how}", self.trials, self.peers)?;
        if f.alternate() {
            return Ok(());
        }
        let [p50, p90, p99, max] = [self.p50_ms, self.p90_ms, self.p99_ms, self.max_ms];
        let share = |share: f64| share * 100.0;
        writeln!(f, "\nleader elected      50: {p50:.1}, 90: {p90:.1}, 99: {p99:.1}, most: {max:.1} ms")?;
        writeln!(
            f,
            "                    under 80 ms: {:.1} %, 100 ms: {:.1} %, 150 ms: {:.1} %",
            share(self.under_80_ms),
            share(self.under_100_ms),
            share(self.under_150_ms)
        )?;
        writeln!(f, "                    {} of them not won by the first candidate", self.second_candidates)?;
        writeln!(f, "tenure committed    50: {:.1}, 99: {:.1} ms", self.tenure_p50_ms, self.tenure_p99_ms)?;
        write!(f, "{}", self.usage)
    }
}
