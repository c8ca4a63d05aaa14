//! Settings of a device: what was given where, and what it means.
//!
//! Weakest first: the default, the settings file, the file a card was provisioned with, `RAFTY_*` in the environment,
//! the command line. A setting that nobody knows is an error that says which was probably meant. [`Layers`] keeps
//! where each value is from, so that [`explain`](Layers::explain) can show it.
//!
//! Settings of the whole peer set (timeouts, tenures) are not here: they are replicated.

mod hours;
mod keys;

pub use hours::Hours;

use crate::{Failure, output};
use keys::KEYS;
use serde::Serialize;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use toml::{Table, Value};
use zeroize::Zeroizing;

/// The settings file of a device that was set up by a package.
pub const SYSTEM_FILE: &str = "/etc/rafty/agent.toml";
/// What a card was provisioned with, as the service manager hands it to the service.
const PROVISIONED: &str = "provisioned.toml";
/// Longest settings file, in bytes.
const MAX_FILE_LEN: u64 = 64 * 1024;
/// Keys that differ by more letters than this are not taken for one another.
const MAX_DISTANCE: usize = 3;

/// What the settings mean. `None` where nothing was said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// The member's directory.
    pub dir: Option<PathBuf>,
    /// What the device is called.
    pub name: Option<String>,
    /// Admits the device, once.
    pub token: Option<Token>,
    /// Where members are.
    pub peers: Vec<String>,
    /// Whether members are looked for on the local network, and this one may be found there.
    pub discover: bool,
    /// The UDP address to listen on.
    pub listen: Option<SocketAddr>,
    /// Where others reach it.
    pub advertise: Option<String>,
    /// Where it serves clients of other machines.
    pub clients: Option<IpAddr>,
    /// The training data.
    pub data: Option<PathBuf>,
    /// Whether only what does not work is told.
    pub quiet: bool,
    /// The most of one processor that training takes, in percent.
    pub cpu_percent: u32,
    /// The most memory that training may need, in MB.
    pub memory_mb: Option<u64>,
    /// The only hours of the day, local time, in which it trains.
    pub hours: Option<Hours>,
    /// Whether it trains only on mains power.
    pub mains_power: bool,
    /// It trains only while the processor is below this.
    pub below_celsius: Option<u32>,
}

/// A secret that admits a device. Neither shown nor logged.
#[derive(Clone, PartialEq)]
pub struct Token(pub Zeroizing<String>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Where a value is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// A settings file.
    File(PathBuf),
    /// A variable of the environment.
    Variable(String),
    /// An argument.
    Argument(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) | Self::Argument(name) => f.write_str(name),
        }
    }
}

/// One setting, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// Its name.
    pub setting: &'static str,
    /// Its value, as a settings file would have it; empty when nothing was said.
    pub value: String,
    /// Where the value is from.
    pub from: String,
    /// What it is for.
    pub about: &'static str,
}

/// Values by setting; one given later is stronger.
#[derive(Clone, Debug, Default)]
pub struct Layers(BTreeMap<&'static str, (Value, Origin)>);

impl Layers {
    /// Files and environment of this process. `file` is what the command line names.
    ///
    /// # Errors
    /// What is wrong with a file or a value, and where.
    pub fn of_process(file: Option<&Path>) -> Result<Self, Failure> {
        let mut layers = Self::default();
        let named =
            file.map(Path::to_path_buf).or_else(|| std::env::var_os("RAFTY_SETTINGS").map(Into::into));
        match named {
            Some(path) if path.as_os_str().is_empty() => {}
            Some(path) => layers.read(&path)?,
            None if Path::new(SYSTEM_FILE).exists() => layers.read(Path::new(SYSTEM_FILE))?,
            None => {}
        }
        let provisioned =
            std::env::var_os("CREDENTIALS_DIRECTORY").map(|dir| Path::new(&dir).join(PROVISIONED));
        if let Some(path) = provisioned.filter(|path| path.exists()) {
            layers.read(&path)?;
        }
        for unknown in layers.environment(std::env::vars_os())? {
            output::note(format_args!("warning: {unknown}"));
        }
        Ok(layers)
    }

    /// Adds a settings file.
    ///
    /// # Errors
    /// It cannot be read, or has a key that is unknown or a value that cannot be used.
    pub fn read(&mut self, path: &Path) -> Result<(), Failure> {
        let wrong = |why: &dyn fmt::Display| {
            Failure::usage(format!("{}: {why}; nothing was changed", path.display()))
        };
        let len = std::fs::metadata(path).map_err(|error| wrong(&error))?.len();
        if len > MAX_FILE_LEN {
            return Err(wrong(&format!("it has {len} bytes, settings have at most {MAX_FILE_LEN}")));
        }
        let text = Zeroizing::new(std::fs::read_to_string(path).map_err(|error| wrong(&error))?);
        let table: Table = text.parse().map_err(|error: toml::de::Error| wrong(&error.message()))?;
        self.table(table, &Origin::File(path.into())).map_err(|why| wrong(&why))
    }

    /// Adds what a table says. Tables in it are joined to names with dots.
    ///
    /// # Errors
    /// In words.
    pub fn table(&mut self, table: Table, from: &Origin) -> Result<(), String> {
        self.nested("", table, from)
    }

    fn nested(&mut self, prefix: &str, table: Table, from: &Origin) -> Result<(), String> {
        for (name, value) in table {
            let name = format!("{prefix}{name}");
            match value {
                // A setting of this program has at most one dot.
                Value::Table(inner) if prefix.is_empty() => self.nested(&format!("{name}."), inner, from)?,
                value => self.put(&name, value, from.clone())?,
            }
        }
        Ok(())
    }

    /// Adds one value.
    ///
    /// # Errors
    /// In words: the name is unknown, or the value cannot be used.
    pub fn put(&mut self, name: &str, value: Value, from: Origin) -> Result<(), String> {
        let key = keys::find(name).ok_or_else(|| unknown(name, KEYS.iter().map(|key| key.name)))?;
        (key.set)(&mut Settings::default(), &value).map_err(|why| format!("`{name}` {why}"))?;
        self.0.insert(key.name, (value, from));
        Ok(())
    }

    /// Adds the variables `RAFTY_...`, and says which of them are unknown.
    ///
    /// # Errors
    /// A value cannot be used.
    pub fn environment(
        &mut self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Vec<String>, Failure> {
        let mut unknown_ones = Vec::new();
        for (variable, value) in variables {
            let Some(variable) = variable.to_str().filter(|name| name.starts_with("RAFTY_")) else {
                continue;
            };
            if variable == "RAFTY_SETTINGS" || variable == "RAFTY_REQUIRE_ALL" {
                continue;
            }
            match KEYS.iter().find(|key| variable_of(key.name) == variable) {
                Some(key) => value
                    .into_string()
                    .map_err(|_| "its value is not UTF-8".to_string())
                    .and_then(|value| {
                        self.put(key.name, Value::String(value), Origin::Variable(variable.into()))
                    })
                    .map_err(|why| Failure::usage(format!("{variable}: {why}; nothing was changed")))?,
                None => {
                    let names: Vec<String> = KEYS.iter().map(|key| variable_of(key.name)).collect();
                    unknown_ones.push(unknown(variable, names.iter().map(String::as_str)));
                }
            }
        }
        Ok(unknown_ones)
    }

    /// Adds an argument, unless it was not given.
    ///
    /// # Errors
    /// A value cannot be used.
    pub fn argument(&mut self, argument: &str, name: &str, value: Option<String>) -> Result<(), Failure> {
        let Some(value) = value else { return Ok(()) };
        self.put(name, Value::String(value), Origin::Argument(argument.into()))
            .map_err(|why| Failure::usage(format!("{argument}: {why}; nothing was changed")))
    }

    /// What all of it means.
    pub fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        for key in KEYS {
            let given = self.0.get(key.name).map(|(value, _)| value.clone()).or_else(|| key.default_value());
            // Values were tried when they were put in, defaults are tried by a test.
            given.into_iter().for_each(|value| drop((key.set)(&mut settings, &value)));
        }
        settings
    }

    /// Every setting with its value and where that is from. The token is not shown.
    pub fn explain(&self) -> Vec<Explained> {
        let explained = KEYS.iter().map(|key| {
            let (value, from) = match self.0.get(key.name) {
                Some((value, from)) => (value.to_string(), from.to_string()),
                None => (key.default.into(), Origin::Default.to_string()),
            };
            let hidden = key.name == "token" && !value.is_empty();
            let value = if hidden { "(given; not shown)".into() } else { value };
            Explained { setting: key.name, value, from, about: key.about }
        });
        explained.collect()
    }
}

/// `training.cpu_percent` is `RAFTY_TRAINING_CPU_PERCENT`.
fn variable_of(name: &str) -> String {
    format!("RAFTY_{}", name.replace('.', "_").to_uppercase())
}

/// Says that a name is unknown, and which one was probably meant.
pub(crate) fn unknown<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let near = known.into_iter().map(|meant| (strsim::damerau_levenshtein(name, meant), meant)).min();
    match near.filter(|(distance, _)| *distance <= MAX_DISTANCE && *distance < name.len()) {
        Some((_, meant)) => format!("there is no setting `{name}`; did you mean `{meant}`?"),
        None => format!("there is no setting `{name}`; `rafty-agent settings explain` shows all"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<Layers, String> {
        let mut layers = Layers::default();
        let table = text.parse::<Table>().map_err(|error| error.to_string())?;
        layers.table(table, &Origin::File("a.toml".into())).map(|()| layers)
    }

    fn variables(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    #[test]
    fn every_default_can_be_used_and_every_name_has_a_variable_of_its_own() {
        let mut names = std::collections::BTreeSet::new();
        for key in KEYS {
            if let Some(value) = key.default_value() {
                assert_eq!((key.set)(&mut Settings::default(), &value), Ok(()), "{}", key.name);
            }
            assert!(names.insert(variable_of(key.name)), "{}", key.name);
            assert!(!key.about.is_empty());
        }
        let settings = Layers::default().settings();
        assert_eq!((settings.cpu_percent, settings.discover, settings.quiet), (100, true, false));
    }

    #[test]
    fn whatever_is_given_later_is_stronger_and_explained() {
        let mut layers =
            file("listen = '0.0.0.0:1'\n[training]\ncpu_percent = 50\nmemory_mb = 100\n").unwrap();
        let env =
            variables(&[("RAFTY_TRAINING_CPU_PERCENT", "40"), ("RAFTY_LISTEN", "0.0.0.0:2"), ("HOME", "/h")]);
        assert_eq!(layers.environment(env).unwrap(), Vec::<String>::new());
        layers.argument("--listen", "listen", Some("0.0.0.0:3".into())).unwrap();
        layers.argument("--clients", "clients", None).unwrap();
        let settings = layers.settings();
        assert_eq!(settings.listen, Some("0.0.0.0:3".parse().unwrap()));
        assert_eq!((settings.cpu_percent, settings.memory_mb, settings.clients), (40, Some(100), None));
        let explained = layers.explain();
        let from = |name| &explained.iter().find(|line| line.setting == name).unwrap().from;
        assert_eq!(from("listen"), "--listen");
        assert_eq!(from("training.cpu_percent"), "RAFTY_TRAINING_CPU_PERCENT");
        assert_eq!(from("training.memory_mb"), "a.toml");
        assert_eq!(from("discover"), "default");
    }

    #[test]
    fn what_nobody_knows_is_an_error_with_a_suggestion() {
        let error = file("lisen = '0.0.0.0:1'").unwrap_err();
        assert_eq!(error, "there is no setting `lisen`; did you mean `listen`?");
        let error = file("[training]\ncpu_percnt = 5").unwrap_err();
        assert_eq!(error, "there is no setting `training.cpu_percnt`; did you mean `training.cpu_percent`?");
        assert!(file("[a.b.c]\nd = 5").unwrap_err().contains("settings explain"));
        let mut layers = Layers::default();
        let warnings = layers.environment(variables(&[("RAFTY_LISTN", "x")])).unwrap();
        assert_eq!(warnings, ["there is no setting `RAFTY_LISTN`; did you mean `RAFTY_LISTEN`?"]);
    }

    #[test]
    fn values_that_cannot_be_used_are_named() {
        for (text, name) in [
            ("listen = 'here'", "listen"),
            ("peers = [5]", "peers"),
            ("peers = ['nowhere']", "peers"),
            ("discover = 'perhaps'", "discover"),
            ("log = 'loud'", "log"),
            ("training = { cpu_percent = 0 }", "training.cpu_percent"),
            ("training = { cpu_percent = 101 }", "training.cpu_percent"),
            ("training = { memory_mb = -1 }", "training.memory_mb"),
            ("train_when = { hours = '25-3' }", "train_when.hours"),
            ("train_when = { below_celsius = 'hot' }", "train_when.below_celsius"),
            ("name = ''", "name"),
            ("name = 'pi 7'", "name"),
            ("training = 5", "training"),
        ] {
            let error = file(text).unwrap_err();
            assert!(error.contains(&format!("`{name}`")), "{text}: {error}");
        }
    }

    #[test]
    fn the_token_is_neither_explained_nor_debugged() {
        let layers = file("token = 'rafty1secret'").unwrap();
        let explained = layers.explain();
        let token = explained.iter().find(|line| line.setting == "token").unwrap();
        assert_eq!((token.value.as_str(), token.from.as_str()), ("(given; not shown)", "a.toml"));
        assert!(!format!("{:?}", layers.settings()).contains("secret"));
        assert!(layers.settings().token.is_some());
    }
}
