//! Every setting: its name, its default, what it is for, and how its value is read.
//!
//! A value from a file has a type; one from the environment or the command line is text and read for what it says.

use super::{Settings, Token};
use std::ops::RangeInclusive;
use std::str::FromStr;
use toml::Value;
use zeroize::Zeroizing;

pub(super) struct Key {
    pub(super) name: &'static str,
    /// As a settings file would have it; empty for none.
    pub(super) default: &'static str,
    pub(super) about: &'static str,
    pub(super) set: fn(&mut Settings, &Value) -> Result<(), String>,
}

impl Key {
    pub(super) fn default_value(&self) -> Option<Value> {
        let table: toml::Table = format!("default = {}", self.default).parse().ok()?;
        table.get("default").cloned()
    }
}

pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// Most addresses of peers.
const MAX_PEERS: usize = 64;
/// Longest host name (RFC 1035).
const MAX_NAME_LEN: usize = 63;

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "dir",
        default: "",
        about: "the member's directory; by default rafty-agent in the user's data directory",
        set: |s, v| parsed(v).map(|dir| s.dir = Some(dir)),
    },
    Key {
        name: "name",
        default: "",
        about: "what the device is called; a provisioned card takes it as host name",
        set: |s, v| host_name(v).map(|name| s.name = Some(name)),
    },
    Key {
        name: "token",
        default: "",
        about: "admits the device to a peer set, once; `--set token=-` reads it from standard input, token=@FILE from a file",
        set: |s, v| text(v).map(|token| s.token = Some(Token(Zeroizing::new(token)))),
    },
    Key {
        name: "peers",
        default: "[]",
        about: "where members are, host:port, for joining and while none is heard; when empty they are looked for on the local network",
        set: |s, v| addresses(v).map(|peers| s.peers = peers),
    },
    Key {
        name: "discover",
        default: "true",
        about: "look for members on the local network (mDNS), and let new ones find this one",
        set: |s, v| parsed(v).map(|discover| s.discover = discover),
    },
    Key {
        name: "listen",
        default: "",
        about: "the UDP address to listen on; at first port 7400 on all addresses, then as before",
        set: |s, v| parsed(v).map(|listen| s.listen = Some(listen)),
    },
    Key {
        name: "advertise",
        default: "",
        about: "where others reach this device, when that is not where it listens; host:port",
        set: |s, v| text(v).map(|advertise| s.advertise = Some(advertise)),
    },
    Key {
        name: "clients",
        default: "",
        about: "serve clients of the dictionary on this address; 0.0.0.0 for all; by default only on this machine",
        set: |s, v| parsed(v).map(|clients| s.clients = Some(clients)),
    },
    Key {
        name: "data",
        default: "",
        about: "the training data: a folder or a file, which stays here",
        set: |s, v| parsed(v).map(|data| s.data = Some(data)),
    },
    Key {
        name: "log",
        default: "\"info\"",
        about: "what is told on stderr: \"info\" for everything, \"warn\" for what does not work",
        set: |s, v| one_of(v, &["info", "warn"]).map(|at| s.quiet = at == 1),
    },
    Key {
        name: "training.cpu_percent",
        default: "100",
        about: "the most of one processor that training takes, in percent; it pauses after every batch",
        set: |s, v| number(v, 1..=100).map(|percent| s.cpu_percent = percent as u32),
    },
    Key {
        name: "training.memory_mb",
        default: "",
        about: "the most memory that training may need, in MB; by default what the device has left",
        set: |s, v| number(v, 1..=1_000_000).map(|mb| s.memory_mb = Some(mb)),
    },
    Key {
        name: "train_when.hours",
        default: "",
        about: "train only in these hours of the day, local time, such as \"22-6\"",
        set: |s, v| text(v)?.parse().map(|hours| s.hours = Some(hours)),
    },
    Key {
        name: "train_when.mains_power",
        default: "false",
        about: "train only on mains power",
        set: |s, v| parsed(v).map(|mains| s.mains_power = mains),
    },
    Key {
        name: "train_when.below_celsius",
        default: "",
        about: "train only while the processor is below this temperature",
        set: |s, v| number(v, 1..=150).map(|celsius| s.below_celsius = Some(celsius as u32)),
    },
];

fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Ok(text.clone()),
        _ => Err("must be text that is not empty".into()),
    }
}

/// What a text or a plain value says.
fn parsed<T: FromStr>(value: &Value) -> Result<T, String> {
    let written = match value {
        Value::String(text) if !text.is_empty() => text.clone(),
        Value::Boolean(flag) => flag.to_string(),
        other => return Err(format!("cannot be {other}")),
    };
    written.parse().map_err(|_| format!("cannot be `{written}`"))
}

fn number(value: &Value, range: RangeInclusive<u64>) -> Result<u64, String> {
    let number = match value {
        Value::Integer(number) => u64::try_from(*number).ok(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let wrong = || format!("must be a whole number from {} to {}", range.start(), range.end());
    number.filter(|number| range.contains(number)).ok_or_else(wrong)
}

fn one_of(value: &Value, words: &[&str]) -> Result<usize, String> {
    let at = value.as_str().and_then(|text| words.iter().position(|word| *word == text));
    at.ok_or_else(|| format!("must be one of {}", words.join(", ")))
}

/// A list, or text with commas.
fn addresses(value: &Value) -> Result<Vec<String>, String> {
    let all: Option<Vec<String>> = match value {
        Value::String(text) => Some(text.split(',').map(|one| one.trim().to_string()).collect()),
        Value::Array(list) => list.iter().map(|one| one.as_str().map(str::to_string)).collect(),
        _ => None,
    };
    let all = all.ok_or("must be a list of host:port")?;
    let all: Vec<String> = all.into_iter().filter(|one| !one.is_empty()).collect();
    let has_port = |one: &String| {
        one.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    };
    match all.iter().find(|one| !has_port(one)) {
        Some(wrong) => Err(format!("has `{wrong}`, which is not host:port")),
        None if all.len() > MAX_PEERS => Err(format!("has more than {MAX_PEERS} addresses")),
        None => Ok(all),
    }
}

/// Letters, digits and dashes, as RFC 1123 wants a host name.
fn host_name(value: &Value) -> Result<String, String> {
    let name = value.as_str().unwrap_or_default();
    let fits = (1..=MAX_NAME_LEN).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-');
    fits.then(|| name.to_string())
        .ok_or_else(|| format!("must be a host name of at most {MAX_NAME_LEN} letters, digits and dashes"))
}
