//! Ten people did seven exercises with a smartwatch on. Can eight watches learn to tell the exercises apart for people
//! who were never recorded, without handing over what they recorded?
//!
//! ```sh
//! sensors-example split FOLDER [SUBJECT...]   # one folder for each person; those named are kept apart, in FOLDER/unseen
//! sensors-example score MODEL FOLDER          # how well a model does on the people kept apart
//! sensors-example compare [--plot FILE.svg]   # federated against alone against pooled, all on this machine
//! ```
//!
//! `split` and `score` are for a real run with real devices, see README.md; `compare` does the same arithmetic in one
//! process, for every pair of people kept apart.

mod compare;
mod watch;

use rafty_example_comparison::{Outcome, end, score};
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str =
    "usage: sensors-example split FOLDER [SUBJECT...] | score MODEL FOLDER | compare [--plot FILE.svg]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["split", folder, apart @ ..] => split(Path::new(folder), apart),
        ["score", model, folder] => score(Path::new(model), Path::new(folder), "windows"),
        ["compare"] => compare::run(None),
        ["compare", "--plot", file] => compare::run(Some(Path::new(file))),
        _ => Err(USAGE.into()),
    };
    end(done)
}

fn split(folder: &Path, apart: &[&str]) -> Outcome<()> {
    let apart: Vec<u32> = apart.iter().map(|subject| subject.parse()).collect::<Result<_, _>>()?;
    let recordings = watch::recordings()?;
    for subject in watch::SUBJECTS {
        let name = format!("subject-{subject:02}");
        let place = if apart.contains(&subject) { folder.join("unseen") } else { folder.join(name) };
        watch::write(&recordings, subject, &place)?;
    }
    println!("{}", folder.display());
    Ok(())
}
