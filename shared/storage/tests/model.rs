//! Random batches: after each group, a reopened log equals a plain model of it.

mod kit;

use kit::*;
use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};
use proptest::strategy::Strategy as _;
use rafty_storage::{Log, Recovered};
use rafty_types::*;

/// What the next batch does, in proportions of what is possible then.
#[derive(Clone, Debug)]
struct Step {
    install: Option<u64>,
    append: Option<(u64, u64)>,
    commit: Option<u64>,
    new_term: bool,
    compact: Option<(u64, u64)>,
}

fn step() -> impl proptest::strategy::Strategy<Value = Step> {
    (
        proptest::option::weighted(0.1, 0..5u64),
        proptest::option::weighted(0.8, (any::<u64>(), 1..12u64)),
        proptest::option::weighted(0.5, any::<u64>()),
        any::<bool>(),
        proptest::option::weighted(0.3, (any::<u64>(), any::<u64>())),
    )
        .prop_map(|(install, append, commit, new_term, compact)| Step {
            install,
            append,
            commit,
            new_term,
            compact,
        })
}

/// The log as the Raft paper has it: no disk, no cleverness.
struct Model(Recovered);

impl Model {
    fn last(&self) -> u64 {
        self.0.entries.last().map_or(self.0.snapshot.meta.index.0, |entry| entry.index.0)
    }

    /// Makes a batch that fits, and takes it in.
    fn take(&mut self, step: &Step) -> Batch {
        let mut batch = Batch::default();
        let term = self.0.hard_state.term.0 + u64::from(step.new_term);
        if let Some(ahead) = step.install {
            let index = self.0.hard_state.commit.0.max(1) + ahead;
            self.0.snapshot = snapshot(index, term);
            self.0.entries.clear();
            self.0.hard_state.commit = Index(index);
            batch.install = Some(self.0.snapshot.clone());
        }
        if let Some((place, count)) = step.append {
            let fixed = self.0.hard_state.commit.0.max(self.0.snapshot.meta.index.0);
            let first = fixed + 1 + place % (self.last() - fixed + 1);
            batch.entries = entries(first..=first + count - 1, term);
            self.0.entries.retain(|entry| entry.index.0 < first);
            self.0.entries.extend(batch.entries.clone());
        }
        if let Some(place) = step.commit {
            let commit = self.0.hard_state.commit.0;
            let commit = commit + place % (self.last() - commit + 1);
            let voted_for = if step.new_term { None } else { self.0.hard_state.voted_for };
            self.0.hard_state = HardState { term: Term(term), voted_for, commit: Index(commit) };
            batch.hard_state = Some(self.0.hard_state);
        }
        if let Some((place, tail)) = step.compact {
            let (low, high) = (self.0.snapshot.meta.index.0, self.0.hard_state.commit.0);
            let index = low + place % (high - low + 1);
            if index > 0 {
                let first_kept = (index + 1).saturating_sub(tail % 6);
                self.0.snapshot = snapshot(index, term);
                self.0.entries.retain(|entry| entry.index.0 >= first_kept);
                let snapshot = self.0.snapshot.clone();
                batch.compaction = Some(Compaction { snapshot, first_kept: Index(first_kept) });
            }
        }
        batch
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_reopened_log_equals_its_model(
        groups in proptest::collection::vec((proptest::collection::vec(step(), 1..4), any::<bool>()), 1..12)
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut log = new_log(dir.path());
        let empty = Recovered {
            hard_state: HardState::default(),
            snapshot: Snapshot::default(),
            entries: vec![],
            incarnations: Incarnations::default(),
        };
        let mut model = Model(empty);
        for (steps, reopen) in groups {
            let batches: Vec<Batch> = steps.iter().map(|step| model.take(step)).collect();
            log.write(&batches).unwrap();
            if reopen {
                drop(log);
                let (opened, recovered) = Log::open(dir.path()).unwrap();
                prop_assert_eq!(&recovered, &model.0);
                log = opened;
            }
        }
        drop(log);
        prop_assert_eq!(&kit::reopen(dir.path()), &model.0);
    }
}
