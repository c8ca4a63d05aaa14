//! `rafty fleet`: many devices at once.
//!
//! It writes the files that cards are provisioned with. It does not write cards: `targets/card` does.

use super::{PATIENCE, ask};
use rafty_agent::status::unexpected;
use rafty_agent::{Failure, args, output, place, status};
use rafty_runtime::operator::{Reply, Request, Room};
use rafty_types::MemberKind;
use serde_json::json;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// As many tokens as may be open at once.
const MAX_DEVICES: i64 = 256;
/// Longest prefix of a name: with its number it is a host name.
const MAX_PREFIX_LEN: usize = 50;

/// What the devices have in common.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PackageArgs {
    /// How many devices
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MAX_DEVICES))]
    count: u32,
    /// Devices are called by this and their number
    #[arg(long, value_name = "NAME", default_value = "pi")]
    prefix: String,
    /// The folder to write into: one folder for each device, with its rafty.toml
    #[arg(long, value_name = "DIR", default_value = "fleet")]
    to: PathBuf,
    /// For how long the tokens admit
    #[arg(long, value_parser = args::duration, value_name = "TIME", default_value = "30d")]
    ttl: Duration,
    /// The devices train and vote, but are never aggregator
    #[arg(long)]
    never_leads: bool,
    /// The wireless network that the devices use; its password is read from RAFTY_WIFI_PASSWORD
    #[arg(long, value_name = "NAME", requires = "country")]
    wifi: Option<String>,
    /// The country whose rules the radio keeps to, as two letters
    #[arg(long, value_name = "CODE")]
    country: Option<String>,
}

pub(crate) fn package(dir: &Path, args: &PackageArgs, json: bool) -> Result<(), Failure> {
    let fits = args.prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !fits || args.prefix.is_empty() || args.prefix.starts_with('-') || args.prefix.len() > MAX_PREFIX_LEN {
        return Err(Failure::usage(format!(
            "--prefix {} cannot begin a host name; nothing was changed; use letters, digits and dashes",
            args.prefix
        )));
    }
    place::text(&args.to, "--to")?;
    let wifi = args.wifi.as_deref().map(|network| wifi(network, args.country.as_deref())).transpose()?;
    let width = args.count.to_string().len().max(2);
    let files: Vec<(String, PathBuf)> = (1..=args.count)
        .map(|number| format!("{}-{number:0width$}", args.prefix))
        .map(|name| (name.clone(), args.to.join(name).join("rafty.toml")))
        .collect();
    if let Some((_, there)) = files.iter().find(|(_, file)| file.exists()) {
        return Err(Failure::usage(format!(
            "{} is there already; nothing was changed; use another --prefix or --to",
            there.display()
        )));
    }
    check_room(dir, args.count)?;
    // Every card gets its file, whether or not anybody reads their names.
    let (mut told, mut room) = (Ok(()), Room::default());
    for (done, (name, file)) in files.iter().enumerate() {
        let written = one(dir, args, name, wifi.as_ref()).and_then(|(text, room)| {
            write(file, &text)?;
            Ok(room)
        });
        room = written.map_err(|failure| {
            let message = format!("{failure}; {done} of {} devices are ready", files.len());
            Failure::new(failure.code, message)
        })?;
        if json {
            told = told.and_then(|()| output::json(json!({ "name": name, "file": file })));
        } else {
            told = told.and_then(|()| output::line(file.display()));
        }
    }
    output::note(
        "copy each rafty.toml to the boot partition of its card, or let `targets/card` do it; \
         each holds a token: keep the folder to yourself, and delete it when the cards are written",
    );
    output::note(room);
    told
}

/// Refuses to write files for devices that could never join.
fn check_room(dir: &Path, count: u32) -> Result<(), Failure> {
    let status = status::fetch(dir, PATIENCE)?;
    let members = u32::try_from(status.node.members.len()).unwrap_or(u32::MAX);
    let room = Room { members, max_members: status.settings.max_members, invited: 0 };
    if count <= room.left() {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "the peer set has {} of at most {} members, so that {count} devices do not fit; nothing was changed; use --count {} \
         at most, remove members, or found a set for more with `rafty init --max-members N`",
        room.members,
        room.max_members,
        room.left()
    )))
}

/// What the file of one device says, with a token of its own, and what room is left.
fn one(
    dir: &Path,
    args: &PackageArgs,
    name: &str,
    wifi: Option<&toml::Table>,
) -> Result<(String, Room), Failure> {
    let may_lead = !args.never_leads;
    let request =
        Request::TokenCreate { role: MemberKind::Agent, ttl_s: args.ttl.as_secs(), uses: 1, may_lead };
    let (token, addresses, room) = match ask(dir, &request)? {
        Reply::Token { token, addresses, room } => (token, addresses, room),
        other => return Err(unexpected(&other)),
    };
    let peers: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let mut table = toml::Table::from_iter([
        ("name".to_string(), name.into()),
        ("token".to_string(), token.into()),
        ("peers".to_string(), peers.into()),
    ]);
    if let Some(wifi) = wifi {
        table.insert("wifi".into(), wifi.clone().into());
    }
    Ok((table.to_string(), room))
}

fn wifi(network: &str, country: Option<&str>) -> Result<toml::Table, Failure> {
    let password = std::env::var("RAFTY_WIFI_PASSWORD").map_err(|_| {
        Failure::usage(
            "RAFTY_WIFI_PASSWORD is not set; nothing was changed; set it to the password of --wifi",
        )
    })?;
    let country = country.map(|country| ("country".to_string(), country.into()));
    let given = [("network".to_string(), network.into()), ("password".to_string(), password.into())];
    Ok(given.into_iter().chain(country).collect())
}

/// Only for its owner: it holds secrets.
fn write(file: &Path, text: &str) -> Result<(), Failure> {
    let written = (|| {
        file.parent().map_or(Ok(()), fs::create_dir_all)?;
        let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
        out.write_all(text.as_bytes())?;
        out.sync_all()
    })();
    written.map_err(|error| {
        Failure::failed(format!("{} cannot be written: {error}; its token expires by itself", file.display()))
    })
}
