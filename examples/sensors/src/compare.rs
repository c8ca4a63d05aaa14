//! Every pair of people is kept apart once, and the other eight learn.

use crate::{Outcome, watch};
use rafty_example_comparison::{Parties, Words, report};
use rafty_learning::Task;
use std::path::Path;

/// Who is kept apart together.
const PAIRS: [[u32; 2]; 5] = [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]];
const ROUNDS: usize = 20;

pub(crate) fn run(picture: Option<&Path>) -> Outcome<()> {
    let task = Task::from_toml(include_str!("../task.toml"))?;
    let base = tempfile::tempdir()?;
    let recordings = watch::recordings()?;
    let folder = |subject: u32| base.path().join(subject.to_string());
    for subject in watch::SUBJECTS {
        watch::write(&recordings, subject, &folder(subject))?;
    }
    let pairs = PAIRS.into_iter().map(|apart| {
        let learners = watch::SUBJECTS.filter(|subject| !apart.contains(subject));
        let parties = Parties { devices: learners.map(folder).collect(), unseen: apart.map(folder).into() };
        let name = format!("{}, {}", apart[0], apart[1]);
        let curves = parties.compare(&format!("people {name} apart"), &task, ROUNDS, u64::from(apart[0]))?;
        Ok((name, curves))
    });
    let words = Words {
        caption: "Exercises of people who were never recorded",
        federated: "federated: data stays on eight watches",
        alone: "each watch alone, mean of eight",
    };
    report("apart", pairs, &words, picture)
}
