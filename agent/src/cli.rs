//! The commands of `rafty-agent`.

use crate::check::{self, CheckArgs};
use crate::joining::{self, JoinArgs};
use crate::limits::Limits;
use crate::member::UpArgs;
use crate::predict::{NEWEST, predictions};
use crate::provision::{self, ProvisionArgs};
use crate::recovery::{self, RecoverArgs, RejoinArgs};
use crate::secret::Secret;
use crate::settings::{Layers, Settings};
use crate::{DeviceTrainer, Failure, failure, leave, member, output, place, status};
use clap::{Parser, Subcommand};
use rafty_runtime::{MemberFile, Trainer};
use std::fmt::Display;
use std::path::{Path, PathBuf};

/// Makes what trains on the data at a path.
pub(crate) type MakeTrainer = Box<dyn FnOnce(PathBuf) -> Box<dyn Trainer>>;

/// The device program of rafty: trains with others on data that stays here, without a server.
#[derive(Debug, Parser)]
#[command(name = "rafty-agent", version, after_help = failure::HELP)]
pub(crate) struct Cli {
    /// The member's directory; by default rafty-agent in the user's data directory
    #[arg(long, global = true, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The settings file; by default /etc/rafty/agent.toml where there is one
    #[arg(long, global = true, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Give one setting; `settings explain` shows all
    #[arg(long = "set", global = true, value_name = "SETTING=VALUE")]
    set: Vec<String>,
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
        /// The training data: a folder or a file
        #[arg(long, value_name = "PATH")]
        data: Option<PathBuf>,
    },
    /// Be a member until stopped: train, vote, and aggregate when it is this device's turn. Joins first when a token is set
    Up {
        #[command(flatten)]
        up: UpArgs,
        /// Train on this data from now on: a folder or a file
        #[arg(long, value_name = "PATH")]
        data: Option<PathBuf>,
    },
    /// Show what this member knows of the peer set
    Status,
    /// Look for what would keep this device from being a good member, and say how to mend it
    Check(CheckArgs),
    /// Leave the peer set for good
    Leave,
    /// Go on with this member alone when most voters are lost for good; it must be stopped
    Recover(RecoverArgs),
    /// Come back, under the same identity, to a set that was recovered without this member; it must be stopped
    Rejoin(RejoinArgs),
    /// Show the settings of this device
    Settings {
        #[command(subcommand)]
        command: SettingsCommand,
    },
    /// Say what the newest model sees in a file: CSV, IDX, NumPy arrays, or a picture (PNG, JPEG, PGM)
    Predict {
        /// The file
        file: PathBuf,
        /// Another model than the newest of this member
        #[arg(long, value_name = "FILE")]
        model: Option<PathBuf>,
    },
    /// Take over what a card's boot partition says, as root at boot
    #[command(hide = true)]
    Provision(ProvisionArgs),
}

#[derive(Debug, Subcommand)]
enum SettingsCommand {
    /// Show every setting, its value, and where that is from
    Explain,
}

impl Cli {
    /// Does what is asked; trains with `own`, if there is one.
    pub(crate) fn run(self, own: Option<MakeTrainer>) -> Result<(), Failure> {
        // It needs no settings, and must not fail for wrong ones.
        if let Command::Provision(args) = &self.command {
            return provision::run(args);
        }
        let layers = self.layers()?;
        let settings = layers.settings();
        let dir = place::directory(settings.dir.as_deref(), "rafty-agent")?;
        match self.command {
            Command::Join { join, data } => {
                let data = data.or(settings.data).map(readable).transpose()?;
                let member = joining::enter(dir.clone(), &join, data)?;
                if member.data.is_none() {
                    output::note(
                        "no data is given: this device votes and aggregates, and trains once `up` has --data",
                    );
                }
                member::welcome(&member, &dir, self.json, "rafty-agent up")?;
            }
            Command::Up { up, .. } => stay(dir, &up, &settings, own)?,
            Command::Status => status::show(&dir, self.json)?,
            Command::Check(args) => check::run(&settings, &args, self.json)?,
            Command::Leave => leave::leave(&dir, self.json)?,
            Command::Recover(args) => recovery::recover(&dir, &args, self.json)?,
            Command::Rejoin(args) => recovery::rejoin(&dir, &args, self.json)?,
            Command::Settings { command: SettingsCommand::Explain } => explain(&layers, self.json)?,
            Command::Predict { file, model } => {
                predictions(&model.unwrap_or_else(|| dir.join(NEWEST)), &file, self.json)?;
            }
            Command::Provision(_) => {
                unreachable!("it needs no settings")
            }
        }
        Ok(())
    }

    /// Files, environment, and what the command line says.
    fn layers(&self) -> Result<Layers, Failure> {
        let mut layers = Layers::of_process(self.settings.as_deref())?;
        for pair in &self.set {
            let wrong =
                |why: &dyn Display| Failure::usage(format!("--set {pair}: {why}; nothing was changed"));
            let (name, value) = pair.split_once('=').ok_or_else(|| wrong(&"it must be SETTING=VALUE"))?;
            let (name, value) = (name.trim(), value.trim());
            let value = match name {
                "token" => Secret::from(value).read("the token")?.to_string(),
                _ => value.into(),
            };
            layers.argument("--set", name, Some(value))?;
        }
        layers.argument("--dir", "dir", path("--dir", self.dir.as_deref())?)?;
        if let Command::Up { up, data } = &self.command {
            layers.argument("--listen", "listen", text(up.listen))?;
            layers.argument("--advertise", "advertise", up.advertise.clone())?;
            layers.argument("--clients", "clients", text(up.clients))?;
            layers.argument("--quiet", "log", up.quiet.then(|| "warn".into()))?;
            layers.argument("--no-discovery", "discover", up.no_discovery.then(|| "false".into()))?;
            layers.argument("--data", "data", path("--data", data.as_deref())?)?;
        }
        Ok(layers)
    }
}

fn text(value: Option<impl Display>) -> Option<String> {
    value.map(|value| value.to_string())
}

fn path(argument: &str, path: Option<&Path>) -> Result<Option<String>, Failure> {
    path.map(|path| place::text(path, argument).map(String::from)).transpose()
}

/// Joins first if need be, and is a member until stopped.
fn stay(dir: PathBuf, up: &UpArgs, settings: &Settings, own: Option<MakeTrainer>) -> Result<(), Failure> {
    if !dir.join("member.json").exists() && settings.token.is_some() {
        let member = joining::enter_patiently(dir.clone(), settings)?;
        output::note(format_args!("joined `{}` as member {}", member.name, member.member));
    }
    let known = MemberFile::read(&dir)?.data;
    // It may come later, so it is not looked for.
    let given = settings.data.as_deref().map(|data| place::absolute(data, "--data")).transpose()?;
    let trainer = given.clone().or(known).map(|path| match own {
        Some(own) => own(path),
        None => Box::new(DeviceTrainer::new(path).within(Limits::from(settings))),
    });
    let args = UpArgs {
        quiet: settings.quiet,
        listen: settings.listen,
        advertise: settings.advertise.clone(),
        clients: settings.clients,
        moved: up.moved,
        peer: [&up.peer[..], &settings.peers[..]].concat(),
        no_discovery: !settings.discover,
        exit_with_parent: up.exit_with_parent,
    };
    member::stay_with_data(dir, &args, trainer, given)
}

fn explain(layers: &Layers, json: bool) -> Result<(), Failure> {
    let lines = layers.explain();
    if json {
        return output::json(serde_json::to_string_pretty(&lines).expect("settings always encode"));
    }
    for line in lines {
        let value = if line.value.is_empty() { "-" } else { &line.value };
        output::line(format_args!("{:<24} {value}  (from {})", line.setting, line.from))?;
        output::line(format_args!("{:25}{}", "", line.about))?;
    }
    Ok(())
}

/// Where the data is, from everywhere; checked before anything is created.
fn readable(data: PathBuf) -> Result<PathBuf, Failure> {
    let found = std::fs::canonicalize(&data).map_err(|error| {
        let hint = "nothing was changed; give the folder or file with the training data";
        Failure::usage(format!("--data {} cannot be read: {error}; {hint}", data.display()))
    })?;
    // Where a link leads may have a name that is no text; the link itself has one, then.
    match found.to_str() {
        Some(_) => Ok(found),
        None => place::absolute(&data, "--data"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use clap_complete::{Generator, generate, shells};
    use std::fs;

    /// The manual page and the completions that packages bring, made from the command line. They are files and no commands:
    /// what makes them would be a hundredth of the program on the smallest device.
    const PAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../targets/pages");
    /// Writes them anew.
    const UPDATE: &str = "UPDATE_GOLDENFILES";

    fn completions(shell: impl Generator) -> Vec<u8> {
        let mut script = Vec::new();
        generate(shell, &mut Cli::command(), "rafty-agent", &mut script);
        script
    }

    #[test]
    fn the_pages_of_packages_are_those_of_the_command_line() {
        let mut manual = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut manual).expect("memory takes any text");
        let pages = [
            ("rafty-agent.1", manual),
            ("rafty-agent.bash", completions(shells::Bash)),
            ("_rafty-agent", completions(shells::Zsh)),
            ("rafty-agent.fish", completions(shells::Fish)),
        ];
        for (name, page) in pages {
            let file = Path::new(PAGES).join(name);
            if std::env::var_os(UPDATE).is_some() {
                fs::create_dir_all(PAGES).and_then(|()| fs::write(&file, &page)).expect("a page");
            }
            let is = fs::read(&file).unwrap_or_default();
            assert!(is == page, "{} is another one; write it anew with {UPDATE}=1", file.display());
        }
    }
}
