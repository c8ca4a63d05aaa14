//! Eight devices with cameras see digits, each mostly some of them. Can they learn to read all ten, without handing
//! over a picture?
//!
//! ```sh
//! digits-example split FOLDER                  # one folder of pictures for each device; FOLDER/unseen is nobody's
//! digits-example score MODEL FOLDER            # how well a model reads the pictures in a folder
//! digits-example compare [--plot FILE.svg]     # federated against alone against pooled, all on this machine
//! ```
//!
//! `split` and `score` are for a real run with real devices, see README.md; `compare` does the same arithmetic in one
//! process, for several ways of dealing.

mod pictures;

use rafty_example_comparison::{Outcome, Parties, Words, end, report, score};
use rafty_learning::Task;
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "usage: digits-example split FOLDER | score MODEL FOLDER | compare [--plot FILE.svg]";
/// How often the pictures are dealt anew.
const DEALS: u64 = 5;
const ROUNDS: usize = 20;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["split", folder] => split(Path::new(folder)),
        ["score", model, folder] => score(Path::new(model), Path::new(folder), "pictures"),
        ["compare"] => compare(None),
        ["compare", "--plot", file] => compare(Some(Path::new(file))),
        _ => Err(USAGE.into()),
    };
    end(done)
}

fn split(folder: &Path) -> Outcome<()> {
    pictures::deal(&task()?, folder, 0)?;
    println!("{}", folder.display());
    Ok(())
}

fn compare(picture: Option<&Path>) -> Outcome<()> {
    let task = task()?;
    let deals = (0..DEALS).map(|seed| {
        let folder = tempfile::tempdir()?;
        let (devices, unseen) = pictures::deal(&task, folder.path(), seed)?;
        let parties = Parties { devices, unseen: vec![unseen] };
        Ok((seed.to_string(), parties.compare(&format!("deal {seed}"), &task, ROUNDS, seed)?))
    });
    let words = Words {
        caption: "Digits that no device has seen",
        federated: "federated: pictures stay on eight devices",
        alone: "each device alone, mean of eight",
    };
    report("dealt", deals, &words, picture)
}

fn task() -> Outcome<Task> {
    Ok(Task::from_toml(include_str!("../task.toml"))?)
}
