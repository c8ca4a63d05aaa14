//! `rafty init`: founds a peer set.

use rafty_agent::{Failure, args, joining, member, place};
use rafty_runtime::setup::{Founding, found};
use rafty_types::Settings;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What a founder says. Settings hold for the whole peer set and every newcomer.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct InitArgs {
    /// A name for the peer set
    #[arg(long)]
    name: String,
    /// The UDP address to listen on [default: port 7400 on all addresses]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// Where others reach this member, when that is not where it listens
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<String>,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// The settings that an operator may want to choose; the others have their defaults.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Settings of the peer set")]
struct SettingsArgs {
    /// How long a leader is aggregator [default: 10m]
    #[arg(long, value_parser = args::duration, value_name = "TIME")]
    tenure: Option<Duration>,
    /// How much longer, until the round it is in ends [default: 60s, at most the tenure]
    #[arg(long, value_parser = args::duration, value_name = "TIME")]
    grace: Option<Duration>,
    /// How often the current version is announced [default: 10s]
    #[arg(long, value_parser = args::duration, value_name = "TIME")]
    announce: Option<Duration>,
    /// How often a leader says that it lives [default: 40ms]
    #[arg(long, value_parser = args::duration, value_name = "TIME")]
    heartbeat: Option<Duration>,
    /// Shortest election timeout [default: 150ms]
    #[arg(long, value_parser = args::duration, value_name = "TIME")]
    election_min: Option<Duration>,
    /// Longest election timeout [default: 300ms]
    #[arg(long, value_parser = args::duration, value_name = "TIME")]
    election_max: Option<Duration>,
    /// How many members vote [default: 7]
    #[arg(long, value_name = "N")]
    voters: Option<u32>,
    /// How many members there may be, at most 31 [default: 15]
    #[arg(long, value_name = "N")]
    max_members: Option<u32>,
    /// After how long a silent voter is replaced [default: 2m]
    #[arg(long, value_parser = args::duration, value_name = "TIME")]
    replace_after: Option<Duration>,
    /// After how many applied entries the log is compacted [default: 60]
    #[arg(long, value_name = "N")]
    compact_after: Option<u64>,
    /// How many applied entries a compaction leaves for members that are a little behind [default: 1000]
    #[arg(long, value_name = "N")]
    tail: Option<u64>,
    /// How long the first rounds wait for devices [default: 2m]
    #[arg(long, value_parser = args::duration, value_name = "TIME")]
    first_deadline: Option<Duration>,
    /// Share of the devices, in percent, that a round needs at its deadline [default: 60]
    #[arg(long, value_name = "PERCENT")]
    quorum: Option<u32>,
}

impl SettingsArgs {
    fn settings(&self) -> Settings {
        let normal = Settings::default();
        let tenure = self.tenure.unwrap_or(normal.tenure);
        Settings {
            tenure,
            grace: self.grace.unwrap_or(normal.grace.min(tenure)),
            announce_every: self.announce.unwrap_or(normal.announce_every),
            heartbeat: self.heartbeat.unwrap_or(normal.heartbeat),
            election_min: self.election_min.unwrap_or(normal.election_min),
            election_max: self.election_max.unwrap_or(normal.election_max),
            target_voters: self.voters.unwrap_or(normal.target_voters),
            max_members: self.max_members.unwrap_or(normal.max_members),
            replace_after: self.replace_after.unwrap_or(normal.replace_after),
            compact_after: self.compact_after.unwrap_or(normal.compact_after),
            tail: self.tail.unwrap_or(normal.tail),
            first_deadline: self.first_deadline.unwrap_or(normal.first_deadline),
            quorum_percent: self.quorum.unwrap_or(normal.quorum_percent),
            ..normal
        }
    }
}

pub(crate) fn run(dir: PathBuf, args: &InitArgs, json: bool) -> Result<(), Failure> {
    let advertise = place::advertised(args.advertise.as_deref())?;
    let (name, listen, settings) =
        (args.name.clone(), args.listen.unwrap_or_else(place::listen), args.settings.settings());
    joining::listen_for_signals()?;
    let member = found(&Founding { dir: dir.clone(), name, listen, advertise, settings })?;
    member::welcome(&member, &dir, json, "rafty up")
}
