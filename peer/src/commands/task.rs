//! `rafty task`: describes what is to be learned.

use rafty_agent::{Failure, output};
use rafty_learning::Task;
use std::path::PathBuf;

/// From which data, and where to.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct NewTaskArgs {
    /// What a device will have: a CSV file, or a folder with images.idx and labels.idx, with features.npy and labels.npy,
    /// or with a folder of pictures for each class
    #[arg(long, value_name = "DATA")]
    from: PathBuf,
    /// A name for the task
    #[arg(long)]
    name: Option<String>,
    /// The file to write; standard output unless given
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

pub(crate) fn new(args: &NewTaskArgs) -> Result<(), Failure> {
    let mut task = Task::for_data(&args.from)?;
    if let Some(name) = &args.name {
        task.name.clone_from(name);
        task.validate()?;
    }
    let text = task.to_toml();
    let Some(file) = &args.to else {
        return output::exact(&text);
    };
    create_new(file, text.as_bytes())?;
    output::note(format_args!(
        "task `{}` of {} weights is in {}",
        task.name,
        task.num_params(),
        file.display()
    ));
    Ok(())
}

/// A file that somebody wrote is never replaced.
fn create_new(file: &std::path::Path, bytes: &[u8]) -> Result<(), Failure> {
    use std::io::Write;
    let failed = |error: std::io::Error| {
        Failure::failed(format!(
            "cannot write {}: {error}; nothing was changed; choose another file",
            file.display()
        ))
    };
    let mut target = std::fs::File::create_new(file).map_err(failed)?;
    target.write_all(bytes).map_err(failed)
}
