//! The demo while it runs: hears every member, kills, restarts, scores, until the last round is published.
//!
//! It decides nothing about rounds; it starts one run and watches.

use super::kill;
use super::score::Scorer;
use super::story::Story;
use super::view::{Picture, Show};
use crate::local::{Interrupt, LocalSet, hear};
use crate::narration::{Line, now_us};
use rafty_agent::{Failure, status};
use rafty_learning::{DataSet, Task};
use rafty_node::Event;
use rafty_runtime::operator::{Reply, Request, call};
use rafty_types::{Digest, Round};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// How long the stage waits for something to happen before it looks at the clock.
const FRAME: Duration = Duration::from_millis(100);
/// How long a killed aggregator stays away.
const RESTART_AFTER: Duration = Duration::from_secs(3);
/// How long the killed one may take to catch up after the last round.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(20);
/// A demo in which nothing is published for so long has failed.
const STALLED_AFTER: Duration = Duration::from_secs(180);
/// How long an answer of a local member is waited for.
const PATIENCE: Duration = Duration::from_secs(15);

/// A demo at work.
pub(crate) struct Stage {
    pub(crate) set: LocalSet,
    pub(crate) story: Story,
    pub(crate) rounds: u32,
    scorer: Scorer,
    /// Published versions whose bytes are still to be read.
    unread: Vec<(Round, Digest)>,
    heard: Receiver<Line>,
    sink: Sender<Line>,
    killing: bool,
    restart_at: Option<Instant>,
    last_progress: Instant,
}

impl Stage {
    pub(crate) fn new(set: LocalSet, held_out: DataSet, rounds: u32, killing: bool) -> Self {
        let (sink, heard) = channel();
        set.members.iter().for_each(|member| hear(member.dir.clone(), sink.clone()));
        let actors = set.members.iter().map(|member| (member.id, member.name.clone(), member.kind));
        let story = Story::with_actors(actors);
        let scorer = Scorer::start(held_out);
        Self {
            set,
            story,
            rounds,
            scorer,
            unread: Vec::new(),
            heard,
            sink,
            killing,
            restart_at: None,
            last_progress: Instant::now(),
        }
    }

    /// Starts the run.
    pub(crate) fn begin(&mut self, task: &Task, seed: u64) -> Result<(), Failure> {
        let status = self.set.status()?;
        for tenure in &status.node.tenures {
            self.story.knows_tenure(tenure, now_ms());
        }
        let (name, rounds) = (task.name.clone(), self.rounds);
        let request = Request::RunStart { name, task: task.to_toml(), rounds, seed };
        match call(&self.set.members[0].dir, &request, PATIENCE)? {
            Reply::Done { .. } => Ok(()),
            other => Err(status::unexpected(&other)),
        }
    }

    /// Goes on until every round is published and tried, and whoever was killed is back.
    pub(crate) fn play(&mut self, interrupt: &Interrupt, show: &mut Show) -> Result<(), Failure> {
        self.last_progress = Instant::now();
        show.watch(self.set.members.iter().map(|member| member.dir.clone()).collect());
        while !self.is_over() {
            interrupt.check()?;
            match self.heard.recv_timeout(FRAME) {
                Ok(line) => self.hear(&line, show),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(Failure::failed("every member is silent")),
            }
            while let Ok(line) = self.heard.try_recv() {
                self.hear(&line, show);
            }
            self.score(show)?;
            self.restart(show)?;
            show.draw(&Picture { story: &self.story, now_ms: now_ms() });
            if self.last_progress.elapsed() > STALLED_AFTER {
                let waits = self
                    .set
                    .status()
                    .map_or_else(|failure| failure.message, |status| status.node.waiting_for);
                return Err(Failure::failed(format!(
                    "nothing was published for {STALLED_AFTER:?}; it waits for {waits}"
                )));
            }
        }
        for ((round, member), before_ms) in self.story.lost_updates() {
            let who = self.story.name(member);
            show.say(&format!(
                "round {round}: the update of {who} is LOST, sealed {before_ms} ms before the close"
            ));
        }
        Ok(())
    }

    fn hear(&mut self, line: &Line, show: &mut Show) {
        let news = self.story.hear(line);
        if let (Some(_), Event::RoundPublished { round, .. }) = (&news, &line.event) {
            self.unread.push((round.round, round.model));
            self.last_progress = Instant::now();
        }
        if let Some(news) = news {
            show.say(&news);
        }
        if self.killing {
            self.kill(show);
        }
    }

    /// Kills the aggregator when the moment has come. No word to it before.
    fn kill(&mut self, show: &mut Show) {
        let Some((member, round)) = kill::target(&self.story, self.rounds) else { return };
        let Some(victim) = self.set.member(member) else { return };
        let at_ms = now_ms();
        victim.kill();
        self.story.killed(member, round, at_ms);
        self.restart_at = Some(Instant::now() + RESTART_AFTER);
        let name = self.story.name(member);
        show.say(&format!(
            "{name}, the aggregator, is KILLED in round {round}, with updates in and nothing published"
        ));
    }

    fn restart(&mut self, show: &mut Show) -> Result<(), Failure> {
        if self.restart_at.is_none_or(|at| Instant::now() < at) {
            return Ok(());
        }
        self.restart_at = None;
        let Some(member) = self.story.kill.as_ref().map(|kill| kill.member) else { return Ok(()) };
        let Some(victim) = self.set.member(member) else { return Ok(()) };
        victim.restart()?;
        hear(victim.dir.clone(), self.sink.clone());
        self.story.restarted(now_ms());
        show.say(&format!("{} is started again", self.story.name(member)));
        Ok(())
    }

    fn score(&mut self, show: &mut Show) -> Result<(), Failure> {
        for (round, model) in std::mem::take(&mut self.unread) {
            match self.model_file(&model).and_then(|file| std::fs::read(file).ok()) {
                Some(bytes) => self.scorer.order(round, bytes),
                None => self.unread.push((round, model)),
            }
        }
        for (round, score) in self.scorer.scores() {
            let accuracy =
                score.map_err(|why| Failure::failed(format!("round {round} cannot be tried: {why}")))?;
            self.story.scored(round, accuracy);
            show.say(&format!("round {round}: {:.1} % of the held-out images are right", accuracy * 100.0));
        }
        Ok(())
    }

    /// A model on the disk of any member.
    pub(crate) fn model_file(&self, model: &Digest) -> Option<PathBuf> {
        let mut files =
            self.set.members.iter().map(|member| member.dir.join("models").join(model.to_string()));
        files.find(|file| file.is_file())
    }

    fn is_over(&mut self) -> bool {
        let rounds = u64::from(self.rounds);
        if self.story.published_rounds() < rounds || (self.story.accuracies().len() as u64) < rounds {
            return false;
        }
        let Some(kill) = &self.story.kill else { return true };
        if kill.caught_up || self.last_progress.elapsed() > CATCH_UP_WITHIN {
            return true;
        }
        self.ask_the_killed_one();
        false
    }

    /// What it told while nobody heard it yet is asked for.
    fn ask_the_killed_one(&mut self) {
        let Some(member) = self.story.kill.as_ref().map(|kill| kill.member) else { return };
        let Some(dir) = self.set.member(member).map(|killed| killed.dir.clone()) else { return };
        if let Ok(Reply::Model(model)) = call(&dir, &Request::Model, PATIENCE) {
            self.story.holds(member, model.version.0);
        }
    }
}

fn now_ms() -> u64 {
    now_us() / 1_000
}
