//! The commands of `rafty-agent`.

use crate::joining::{self, JoinArgs};
use crate::member::UpArgs;
use crate::predict::{NEWEST, predictions};
use crate::{DeviceTrainer, Failure, failure, member, place, status};
use clap::{Parser, Subcommand};
use rafty_runtime::{MemberFile, Trainer};
use std::path::PathBuf;

/// The device program of rafty: trains with others on data that stays here, without a server.
#[derive(Debug, Parser)]
#[command(name = "rafty-agent", version, after_help = failure::HELP)]
pub(crate) struct Cli {
    /// The member's directory; by default rafty-agent in the user's data directory
    #[arg(long, global = true, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Join a peer set as a device
    Join {
        #[command(flatten)]
        join: JoinArgs,
        /// The training data: a folder with images.idx and labels.idx, or a CSV file
        #[arg(long, value_name = "PATH")]
        data: PathBuf,
    },
    /// Be a member until stopped: train, vote, and aggregate when it is this device's turn
    Up(UpArgs),
    /// Show what this member knows of the peer set
    Status,
    /// Say what the newest model sees in a file: IDX images, a CSV file, or a PGM image
    Predict {
        /// The file
        file: PathBuf,
        /// Another model than the newest of this member
        #[arg(long, value_name = "FILE")]
        model: Option<PathBuf>,
    },
}

impl Cli {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let dir = place::directory(self.dir.as_deref(), "rafty-agent")?;
        match self.command {
            Command::Join { join, data } => {
                let data = readable(data)?;
                let member = joining::enter(dir.clone(), &join, Some(data))?;
                println!("{}", member::welcome(&member, &dir, self.json, "rafty-agent up"));
            }
            Command::Up(args) => {
                let data = MemberFile::read(&dir)?.data;
                let trainer = data.map(|path| Box::new(DeviceTrainer::new(path)) as Box<dyn Trainer>);
                member::stay(dir, &args, trainer)?;
            }
            Command::Status => println!("{}", status::ask(&dir, self.json)?.trim_end()),
            Command::Predict { file, model } => {
                print!("{}", predictions(&model.unwrap_or_else(|| dir.join(NEWEST)), &file, self.json)?);
            }
        }
        Ok(())
    }
}

/// Where the data is, from everywhere; checked before anything is created.
fn readable(data: PathBuf) -> Result<PathBuf, Failure> {
    std::fs::canonicalize(&data).map_err(|error| {
        let hint = "nothing was changed; give the folder or file with the training data";
        Failure::usage(format!("--data {} cannot be read: {error}; {hint}", data.display()))
    })
}
