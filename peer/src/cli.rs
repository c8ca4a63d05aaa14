//! The commands of `rafty`, as they are typed. What they do is in [`commands`](crate::commands).

use crate::bench::distributed::{client::ClientArgs, head::HeadArgs, server::ServerArgs};
use crate::bench::{self, distributed, election::ElectionArgs, local::LocalArgs, rounds::RoundsArgs};
use crate::commands::backup::{BackupArgs, RestoreArgs};
use crate::commands::client::ClientCommand;
use crate::commands::fleet::PackageArgs;
use crate::commands::init::InitArgs;
use crate::commands::run::RunCommand;
use crate::commands::task::NewTaskArgs;
use crate::commands::token::TokenArgs;
use crate::commands::{
    backup, client, entries, events, fleet, init, load, members, model, run, settings, task, token,
};
use crate::demo::{self, DemoArgs};
use clap::{Parser, Subcommand};
use rafty_agent::joining::{self, JoinArgs};
use rafty_agent::member::{self, UpArgs};
use rafty_agent::recovery::{self, RecoverArgs, RejoinArgs};
use rafty_agent::{Failure, failure, place, status};
use rafty_types::MemberId;
use std::path::PathBuf;

/// Federated learning without a server: devices keep their data and take turns as aggregator.
#[derive(Debug, Parser)]
#[command(name = "rafty", version, after_help = failure::HELP)]
pub(crate) struct Cli {
    /// The member's directory; by default rafty in the user's data directory
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
    /// Show all of it on this machine: peers, devices, training, a killed aggregator
    Demo(DemoArgs),
    /// Found a peer set with this machine as its first member
    Init(InitArgs),
    /// Join a peer set as a peer
    Join(JoinArgs),
    /// Be a member until stopped
    Up(UpArgs),
    /// Go on with this member alone when most voters are lost for good; it must be stopped
    Recover(RecoverArgs),
    /// Come back, under the same identity, to a set that was recovered without this member; it must be stopped
    Rejoin(RejoinArgs),
    /// Write dictionary, runs and models to one file; no keys and no tokens
    Backup(BackupArgs),
    /// Found a new peer set from a backup; the members of the old one join anew
    Restore(RestoreArgs),
    /// Show members, tenure, run and round, and what is waited for
    Status,
    /// Admit newcomers
    #[command(subcommand)]
    Token(TokenCommand),
    /// Prepare many devices at once
    #[command(subcommand)]
    Fleet(FleetCommand),
    /// Let programs on other machines use the dictionary
    #[command(subcommand)]
    Client(ClientCommand),
    /// Describe what is to be learned
    #[command(subcommand)]
    Task(TaskCommand),
    /// Train
    #[command(subcommand)]
    Run(RunCommand),
    /// Use what was learned
    #[command(subcommand)]
    Model(ModelCommand),
    /// See and change who belongs to the peer set
    #[command(subcommand)]
    Members(MembersCommand),
    /// See and change what the members have agreed on
    #[command(subcommand)]
    Settings(SettingsCommand),
    /// Set an entry of the dictionary
    Set {
        /// Its key
        key: String,
        /// Its value: JSON, or else taken as text
        value: String,
    },
    /// Read an entry of the dictionary
    Get {
        /// Its key
        key: String,
    },
    /// Delete an entry of the dictionary
    Delete {
        /// Its key
        key: String,
    },
    /// Show every entry of the dictionary
    Dump {
        /// What this member has, even when no leader can say that it is the newest.
        #[arg(long)]
        stale: bool,
    },
    /// Set every entry of a file that `dump --json` wrote; other entries stay
    Load {
        /// The file; - for standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Follow the entries of the dictionary as they change
    Watch {
        /// One key; all when not given
        key: Option<String>,
    },
    /// Show what this member knows of Raft's inside
    Diagnostic,
    /// Follow what happens on this member
    Events,
    /// Measure
    #[command(subcommand)]
    Bench(BenchCommand),
    #[command(hide = true, name = bench::AS_NOISE)]
    Noise(UpArgs),
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Make a token that admits newcomers
    Create(TokenArgs),
}

#[derive(Debug, Subcommand)]
enum FleetCommand {
    /// Write a provisioning file with a single-use token for each of many cards
    Package(PackageArgs),
}

#[derive(Debug, Subcommand)]
enum TaskCommand {
    /// Make a task that fits to data
    New(NewTaskArgs),
}

#[derive(Debug, Subcommand)]
enum ModelCommand {
    /// Write the newest model to a file
    Export {
        /// The file, in safetensors
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
enum MembersCommand {
    /// List the members
    List,
    /// Give a member a vote
    Add {
        /// Its number
        member: u64,
    },
    /// Remove a member for good
    Remove {
        /// Its number
        member: u64,
    },
    /// Hand leadership over to a member
    Transfer {
        /// Its number
        member: u64,
    },
}

#[derive(Debug, Subcommand)]
enum SettingsCommand {
    /// List the settings that can be changed, with their values
    List,
    /// Change one for all members
    Set {
        /// Which
        name: String,
        /// Its value, a number or a time such as 90s
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    /// Writes or reads of the dictionary by many clients
    Local(LocalArgs),
    /// The distributed benchmark: the one that is configured, with a first member
    Head(HeadArgs),
    /// The distributed benchmark: one more member, anywhere
    Server(ServerArgs),
    /// The distributed benchmark: load, from anywhere
    Client(ClientArgs),
    /// How long there is no leader after one was killed, or has handed over
    Election(ElectionArgs),
    /// Rounds of many real processes with models of any size
    Rounds(RoundsArgs),
}

impl Cli {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let json = self.json;
        let command = match self.command {
            Command::Demo(args) => return demo::run(&args, json),
            Command::Bench(BenchCommand::Local(args)) => return bench::local::run(&args, json),
            Command::Bench(BenchCommand::Head(args)) => return distributed::head::run(&args, json),
            Command::Bench(BenchCommand::Server(args)) => return distributed::server::run(&args),
            Command::Bench(BenchCommand::Client(args)) => return distributed::client::run(&args),
            Command::Bench(BenchCommand::Election(args)) => return bench::election::run(&args, json),
            Command::Bench(BenchCommand::Rounds(args)) => return bench::rounds::run(&args, json),
            Command::Task(TaskCommand::New(args)) => return task::new(&args),
            other => other,
        };
        let dir = place::directory(self.dir.as_deref(), "rafty")?;
        match command {
            Command::Init(args) => init::run(dir, &args, json),
            Command::Join(args) => {
                let member = joining::enter(dir.clone(), &args, None)?;
                member::welcome(&member, &dir, json, "rafty up")
            }
            Command::Up(args) => member::stay(dir, &args, None),
            Command::Recover(args) => recovery::recover(&dir, &args, json),
            Command::Rejoin(args) => recovery::rejoin(&dir, &args, json),
            Command::Backup(args) => backup::backup(&dir, &args, json),
            Command::Restore(args) => backup::restore(dir, &args, json),
            Command::Noise(args) => bench::noise::stay(dir, &args),
            Command::Status => status::show(&dir, json),
            Command::Token(TokenCommand::Create(args)) => token::create(&dir, &args, json),
            Command::Fleet(FleetCommand::Package(args)) => fleet::package(&dir, &args, json),
            Command::Client(command) => client::run(&dir, command, json),
            Command::Run(command) => run::run(&dir, command, json),
            Command::Model(ModelCommand::Export { to }) => model::export(&dir, &to, json),
            Command::Members(MembersCommand::List) => members::list(&dir, json),
            Command::Members(MembersCommand::Add { member }) => members::add(&dir, MemberId(member), json),
            Command::Members(MembersCommand::Remove { member }) => {
                members::remove(&dir, MemberId(member), json)
            }
            Command::Members(MembersCommand::Transfer { member }) => {
                members::transfer(&dir, MemberId(member), json)
            }
            Command::Settings(SettingsCommand::List) => settings::list(&dir, json),
            Command::Settings(SettingsCommand::Set { name, value }) => {
                settings::set(&dir, &name, &value, json)
            }
            Command::Set { key, value } => entries::set(&dir, key, &value, json),
            Command::Get { key } => entries::get(&dir, key),
            Command::Delete { key } => entries::delete(&dir, key, json),
            Command::Dump { stale } => entries::dump(&dir, stale, json),
            Command::Load { file } => load::load(&dir, &file, json),
            Command::Watch { key } => entries::watch(&dir, key, json),
            Command::Diagnostic => entries::diagnostic(&dir, json),
            Command::Events => events::follow(&dir, json),
            Command::Demo(_) | Command::Bench(_) | Command::Task(_) => {
                unreachable!("these need no directory")
            }
        }
    }
}
