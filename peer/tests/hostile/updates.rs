//! Updates and models of a member that took part honestly before: weights that nobody may have, weights that are none,
//! and models that are none.

use crate::liar::Liar;
use crate::support::peer_set::{Folder, PeerSet};
use crate::support::trainers::{data, device_joins};
use crate::support::{Up, json, ok, rafty, rafty_agent, run, until};
use rafty_aggregation::{UpdateMeta, encode_update};
use rafty_dictionary::{Entries, Replicated, TenureState};
use rafty_learning::Task;
use rafty_runtime::MemberFile;
use rafty_runtime::net::{BulkBody, NetEvent};
use rafty_storage::{DataDir, Log};
use rafty_types::{
    Attempt, Digest, EnvelopeKind, Frame, Label, MAX_EXAMPLES, Metrics, Refusal, Round, RunId, Verdict,
    Version,
};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;

/// The tenure as of what a member's disk holds.
fn tenure_in(dir: &str) -> TenureState {
    let dir = DataDir::open(Path::new(dir)).expect("a member's directory");
    let (_log, disk) = Log::open(&dir.log()).expect("a log that nobody uses");
    let mut state = Replicated::new(Entries::default());
    if disk.snapshot.meta.index.0 > 0 {
        state.restore(&disk.snapshot.data).expect("a state");
    }
    let committed = disk.entries.iter().filter(|entry| entry.index <= disk.hard_state.commit);
    committed.filter(|entry| entry.index > disk.snapshot.meta.index).for_each(|entry| {
        state.apply(entry);
    });
    state.control().tenure().expect("a tenure").clone()
}

fn status(dir: &str) -> Option<Value> {
    let output = run(&rafty(), &["status", "--json", "--dir", dir]);
    serde_json::from_slice(&output.stdout).ok()
}

fn rounds(set: &PeerSet) -> Vec<Value> {
    let log = json(&rafty(), &["run", "log", "--dir", &set.founder().dir]);
    log["rounds"].as_array().expect("a log").clone()
}

/// A laptop, and a device that trains honestly until it knows the tenure.
struct Trainers {
    folder: Folder,
    set: PeerSet,
    data: String,
    task: Task,
    tenure: TenureState,
    liar: Liar,
}

impl Trainers {
    fn new() -> Self {
        let folder = Folder::new();
        let set = folder.found("p1", &[]);
        let data = data(&folder, "honest", 40);
        let dir = folder.path("liar");
        device_joins(&set, &dir, &data);
        let once_honest = Up::start(&rafty_agent(), &dir);
        until("a tenure that it knows", || {
            let (status, leads) = (status(&dir)?, status(&set.founder().dir)?);
            (!status["tenure"].is_null() && status["applied"] == leads["applied"]).then_some(())
        });
        drop(once_honest);
        let task = folder.path("task.toml");
        ok(&rafty(), &["task", "new", "--from", &format!("{data}/points.csv"), "--to", &task]);
        let task = Task::from_toml(&std::fs::read_to_string(&task).expect("a task")).expect("a task");
        let tenure = tenure_in(&dir);
        let liar = Liar::speaks_as(&dir, vec![tenure.member]);
        Self { folder, set, data, task, tenure, liar }
    }

    /// Two devices that train.
    fn others_train(&self) -> [Up; 2] {
        ["a1", "a2"].map(|name| {
            let dir = self.folder.path(name);
            device_joins(&self.set, &dir, &self.data);
            Up::start(&rafty_agent(), &dir)
        })
    }

    /// A run of many rounds.
    fn begin_a_run(&self) -> RunId {
        let (task, dir) = (self.folder.path("task.toml"), &self.set.founder().dir);
        let run = json(&rafty(), &["run", "start", &task, "--rounds", "1000", "--dir", dir]);
        RunId(run["run"].as_u64().expect("a run"))
    }

    fn label(&self, run: RunId, content: &[u8]) -> Label {
        Label {
            set: self.liar.file.set(),
            tenure: self.tenure.tenure,
            run,
            round: Round(1),
            attempt: Attempt(1),
            version: Version(0),
            kind: EnvelopeKind::Update,
            content: Digest::of(content),
            segment: 0,
            segments: 1,
            sender: self.liar.me,
        }
    }

    /// What the aggregator makes of an update.
    fn verdict(&self, run: RunId, update: &[u8]) -> Verdict {
        let (to, of) = (self.tenure.member, Digest::of(update));
        let (head, body) = self.liar.sealed(self.label(run, update), (to, &self.tenure.rsa_public), update);
        let body: Arc<[u8]> = body.into();
        until("an update is looked at, once the first model is there", || {
            let delivery = self.liar.net.send_envelope(to, head.clone(), BulkBody::Bytes(body.clone()));
            smol::block_on(delivery.taken()).then_some(())
        });
        self.liar.hears("a verdict", |event| match event {
            NetEvent::Frame { frame: Frame::Verdict { digest, verdict, .. }, .. } if digest == of => {
                Some(verdict)
            }
            _ => None,
        })
    }
}

#[test]
fn updates_that_are_none_are_refused_and_hold_no_round_up() {
    let trainers = Trainers::new();
    let Trainers { set, liar, .. } = &trainers;
    let (zeros, metrics) = (vec![0.0; trainers.task.num_params()], Metrics::default());
    let of = |num_examples, weights: &[f32]| encode_update(&UpdateMeta { num_examples, metrics }, weights);
    let lies = [
        (of(MAX_EXAMPLES + 1, &zeros), Refusal::BadWeight),
        (of(40, &zeros[1..]), Refusal::WrongShape),
        (of(40, &[&zeros[1..], &[f32::NAN]].concat()), Refusal::NotFinite),
        (of(40, &vec![1e30; zeros.len()]), Refusal::OverNorm),
        (vec![7; 400], Refusal::Malformed),
    ];
    let last = lies.len() - 1;
    for (at, (update, why)) in lies.into_iter().enumerate() {
        let run = trainers.begin_a_run();
        assert_eq!(trainers.verdict(run, &update), Verdict::Refused(why));
        if at < last {
            ok(&rafty(), &["run", "stop", "--dir", &set.founder().dir]);
        }
    }
    let _others = trainers.others_train();
    let rounds = until("rounds of the others", || Some(rounds(set)).filter(|rounds| rounds.len() >= 3));
    for round in &rounds {
        let counted = round["counted"].as_array().expect("members");
        assert!(!counted.is_empty() && counted.iter().all(|line| line[0] != liar.me.0), "{round}");
    }
    assert_eq!(rounds[0]["refused"][0][0], liar.me.0, "it is named: {}", rounds[0]);
}

#[test]
fn a_model_that_is_none_keeps_nobody_from_the_one_that_is() {
    let trainers = Trainers::new();
    let Trainers { folder, set, liar, .. } = &trainers;
    let _others = trainers.others_train();
    let run = trainers.begin_a_run();
    until("a published round", || (!rounds(set).is_empty()).then_some(()));
    ok(&rafty(), &["run", "stop", "--dir", &set.founder().dir]);
    let last = rounds(set).last().expect("a round").clone();
    let model: Digest = last["model"].as_str().expect("a digest").parse().expect("a digest");
    let version = Version(last["version"].as_u64().expect("a version"));

    let dir = folder.path("late");
    device_joins(set, &dir, &trainers.data);
    let late = MemberFile::read(Path::new(&dir)).expect("a member");
    liar.knows(&late.members);
    let _late = Up::start(&rafty_agent(), &dir);
    let id = late.member;
    liar.hears("the newcomer", |event| match event {
        NetEvent::Connected(other) if other == id => Some(()),
        _ => None,
    });
    let path = Path::new(&set.founder().dir).join("models").join(model.to_string());
    let bytes = std::fs::read(path).expect("the model");
    let label = Label {
        kind: EnvelopeKind::Model,
        round: Round(version.0),
        attempt: Attempt(0),
        version,
        ..trainers.label(run, &bytes)
    };
    let key = &late.members.iter().find(|member| member.id == id).expect("itself").rsa_public;
    let (head, mut body) = liar.sealed(label.clone(), (id, key), &bytes);
    body.reverse();
    let none = vec![7; bytes.len()];
    let (other, others) = liar.sealed(Label { content: Digest::of(&none), ..label }, (id, key), &none);
    for (head, body) in [(head, body), (other, others)] {
        drop(liar.net.send_envelope(id, head, BulkBody::Bytes(body.into())));
    }
    let held = Path::new(&dir).join("models");
    until("the model", || held.join(model.to_string()).exists().then_some(()));
    let is_one = |entry: &std::fs::DirEntry| entry.file_name() == Digest::of(&none).to_string().as_str();
    let models = std::fs::read_dir(held).expect("a folder").map(|entry| entry.expect("a file"));
    assert!(!models.into_iter().any(|entry| is_one(&entry)), "what the liar made up is kept");
}
