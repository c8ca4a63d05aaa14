//! What the demo has shown, as numbers and for people.
//!
//! It measures nothing but memory; all else is the story's and the peer set's own record.

use super::stage::Stage;
use super::story::{Story, UpdateCount};
use crate::commands::model::copy;
use rafty_agent::Failure;
use rafty_learning::Task;
use rafty_node::PastTenure;
use rafty_types::{Digest, MemberId, MemberKind, Round, Tenure, Term};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A finished demo.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// Published rounds.
    rounds: u64,
    /// Of the last version on the held-out images, 0 to 1.
    accuracy: Option<f64>,
    accuracy_by_round: Vec<f64>,
    /// Of the whole demo.
    seconds: f64,
    tenures: Vec<TenureReport>,
    distinct_aggregators: usize,
    kill: Option<KillReport>,
    /// Attempts counted apart: a killed aggregator's round is sealed and accepted twice.
    updates: UpdateCount,
    lost_rounds: u64,
    lost_updates: usize,
    model: ModelReport,
    members: Vec<MemberReport>,
}

#[derive(Clone, Debug, Serialize)]
struct TenureReport {
    tenure: Tenure,
    term: Term,
    aggregator: MemberId,
    rounds: u64,
}

#[derive(Clone, Debug, Serialize)]
struct KillReport {
    /// Who was killed.
    peer: MemberId,
    /// In which round.
    round: Round,
    /// From the kill to the next committed tenure.
    recovered_ms: Option<u64>,
    /// Whether that round was published in the end, by another aggregator.
    round_published: bool,
    /// Whether the killed one came back and holds the last version.
    rejoined: bool,
}

#[derive(Clone, Debug, Serialize)]
struct ModelReport {
    path: PathBuf,
    digest: Digest,
    params: usize,
}

#[derive(Clone, Debug, Serialize)]
struct MemberReport {
    id: MemberId,
    role: MemberKind,
    /// Memory of its process at the end.
    rss_mb: Option<f64>,
    #[serde(skip)]
    name: String,
}

/// Sums up, and puts the model where it stays.
pub(crate) fn write(
    stage: &mut Stage,
    task: &Task,
    keep: Option<&Path>,
    started: Instant,
) -> Result<Report, Failure> {
    let status = stage.set.status()?;
    let story = &stage.story;
    let last = story.rounds.values().rev().find_map(|round| round.published.as_ref());
    let digest = last.map(|last| last.line.model).ok_or_else(|| Failure::failed("no round was published"))?;
    let file =
        stage.model_file(&digest).ok_or_else(|| Failure::failed("no member holds the last version"))?;
    let path = keep_model(&file, keep)?;
    let tenures: Vec<TenureReport> = status.node.tenures.iter().map(tenure_report).collect();
    let members = stage.set.members.iter().map(|member| MemberReport {
        id: member.id,
        role: member.kind,
        rss_mb: member.process.memory_mb("VmRSS"),
        name: member.name.clone(),
    });
    let accuracy_by_round: Vec<f64> = story.accuracies().into_iter().map(four_digits).collect();
    Ok(Report {
        rounds: story.published_rounds(),
        accuracy: accuracy_by_round.last().copied(),
        accuracy_by_round,
        seconds: (started.elapsed().as_secs_f64() * 10.0).round() / 10.0,
        distinct_aggregators: tenures.iter().map(|tenure| tenure.aggregator).collect::<BTreeSet<_>>().len(),
        tenures,
        kill: kill_report(story),
        updates: story.updates(),
        lost_rounds: u64::from(stage.rounds).saturating_sub(story.published_rounds()),
        lost_updates: story.lost_updates().len(),
        model: ModelReport { path, digest, params: task.num_params() },
        members: members.collect(),
    })
}

fn tenure_report(past: &PastTenure) -> TenureReport {
    TenureReport { tenure: past.tenure, term: past.term, aggregator: past.aggregator, rounds: past.rounds }
}

fn kill_report(story: &Story) -> Option<KillReport> {
    let kill = story.kill.as_ref()?;
    let published = story.rounds.get(&kill.round).and_then(|round| round.published.as_ref());
    Some(KillReport {
        peer: kill.member,
        round: kill.round,
        recovered_ms: story.recovered_ms(),
        round_published: published.is_some_and(|published| Some(published.line.tenure) != kill.tenure),
        rejoined: kill.caught_up,
    })
}

fn four_digits(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// The model's place: in the kept directory, or a file of its own among the system's temporary ones.
fn keep_model(from: &Path, keep: Option<&Path>) -> Result<PathBuf, Failure> {
    let failed = |error: &dyn fmt::Display| Failure::failed(format!("cannot keep the model: {error}"));
    let to = match keep {
        Some(keep) => std::path::absolute(keep).map_err(|error| failed(&error))?.join("model.safetensors"),
        None => {
            let file = tempfile::Builder::new().prefix("rafty-demo-").suffix(".safetensors").tempfile();
            let (_, path) = file.map_err(|error| failed(&error))?.keep().map_err(|error| failed(&error))?;
            path
        }
    };
    copy(from, &to).map_err(|error| failed(&error))?;
    Ok(to)
}

impl Report {
    fn name(&self, member: MemberId) -> &str {
        self.members.iter().find(|known| known.id == member).map_or("a member", |known| &known.name)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let accuracy = self.accuracy.unwrap_or_default() * 100.0;
        let held_out = super::data::HELD_OUT;
        let by_round: Vec<String> =
            self.accuracy_by_round.iter().map(|share| format!("{:.1}", share * 100.0)).collect();
        writeln!(
            f,
            "{} rounds in {} s: {accuracy:.1} % of {held_out} held-out images are right",
            self.rounds, self.seconds
        )?;
        writeln!(f, "by round: {}", by_round.join(" "))?;
        writeln!(
            f,
            "{} members were aggregator, in {} tenures",
            self.distinct_aggregators,
            self.tenures.len()
        )?;
        if let Some(kill) = &self.kill {
            let recovered = kill.recovered_ms.map_or("never".into(), |ms| format!("after {ms} ms"));
            let published = if kill.round_published {
                "was published all the same"
            } else {
                "was not published by another"
            };
            let back = if kill.rejoined { "came back and caught up" } else { "did not catch up" };
            let name = self.name(kill.peer);
            writeln!(
                f,
                "{name} was killed as aggregator in round {}, which {published}; the next tenure began {recovered}; it {back}",
                kill.round
            )?;
        }
        let UpdateCount { sealed, accepted, refused } = self.updates;
        writeln!(f, "{sealed} updates were sealed, {accepted} accepted, {refused} refused")?;
        writeln!(f, "lost: {} rounds, {} updates", self.lost_rounds, self.lost_updates)?;
        let memory: Vec<String> = self
            .members
            .iter()
            .map(|member| format!("{} {}", member.name, member.rss_mb.unwrap_or_default()))
            .collect();
        writeln!(f, "memory in MB: {}", memory.join(", "))?;
        writeln!(
            f,
            "model: {} ({} weights, {})\n",
            self.model.path.display(),
            self.model.params,
            self.model.digest.short()
        )?;
        f.write_str(ON_REAL_MACHINES)
    }
}

const ON_REAL_MACHINES: &str = "\
The same on real machines:
  laptop   rafty init --name home && rafty up
  laptop   rafty token create --role agent
  device   rafty-agent join - --peer LAPTOP:7400 --data PATH && rafty-agent up
  laptop   rafty task new --from DATA --to task.toml && rafty run start task.toml
  laptop   rafty status";
