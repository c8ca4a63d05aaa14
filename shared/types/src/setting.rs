//! The settings that an operator may change while the peer set runs: one line each.
//!
//! Not among them is what the engine takes at its start (heartbeats, election timeouts, sizes of appends): members that run on
//! with other ones would stand for election against a leader that lives.

use crate::Settings;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// What a setting is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SettingValue {
    /// A length of time.
    Time(Duration),
    /// A number.
    Number(u64),
}

impl fmt::Display for SettingValue {
    /// As it is typed: a time with its largest unit, such as `90s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = match self {
            Self::Number(number) => return number.fmt(f),
            Self::Time(time) => time.as_millis(),
        };
        let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
        let whole = units.into_iter().find(|(length, _)| ms > 0 && ms.is_multiple_of(*length));
        let (length, unit) = whole.unwrap_or((1, "ms"));
        write!(f, "{}{unit}", ms / length)
    }
}

/// A setting that can be changed.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// As commands and the log call it. In the log for good: a set that runs knows exactly these, and a new one needs a higher
    /// feature level.
    pub name: &'static str,
    /// What it is, for people.
    pub meaning: &'static str,
    field: Field,
}

#[derive(Clone, Copy, Debug)]
enum Field {
    Time(fn(&mut Settings) -> &mut Duration),
    Number(fn(&mut Settings) -> &mut u32),
    Long(fn(&mut Settings) -> &mut u64),
}

const fn time(name: &'static str, meaning: &'static str, of: fn(&mut Settings) -> &mut Duration) -> Setting {
    Setting { name, meaning, field: Field::Time(of) }
}

const fn number(name: &'static str, meaning: &'static str, of: fn(&mut Settings) -> &mut u32) -> Setting {
    Setting { name, meaning, field: Field::Number(of) }
}

/// All of them.
pub const SETTINGS: &[Setting] = &[
    time("tenure", "how long a leader is aggregator", |all| &mut all.tenure),
    time("grace", "how much longer, until the round it is in ends", |all| &mut all.grace),
    number("max-members", "how many members there may be", |all| &mut all.max_members),
    number("voters", "how many members vote", |all| &mut all.target_voters),
    time("replace-after", "after how long a silent voter is replaced", |all| &mut all.replace_after),
    time("first-deadline", "how long the first rounds wait for devices", |all| &mut all.first_deadline),
    number("quorum", "share of the devices, in percent, that a round needs at its deadline", |all| {
        &mut all.quorum_percent
    }),
    time("announce", "how often the current version is announced", |all| &mut all.announce_every),
    Setting {
        name: "compact-after",
        meaning: "after how many applied entries the log is compacted",
        field: Field::Long(|all| &mut all.compact_after),
    },
];

impl Setting {
    /// The one of this name.
    pub fn of_name(name: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.name == name)
    }

    /// What it is set to.
    pub fn value(&self, settings: &Settings) -> SettingValue {
        let mut settings = settings.clone();
        match self.field {
            Field::Time(of) => SettingValue::Time(*of(&mut settings)),
            Field::Number(of) => SettingValue::Number((*of(&mut settings)).into()),
            Field::Long(of) => SettingValue::Number(*of(&mut settings)),
        }
    }

    /// Sets it, whatever its range is; `None` when that is no value for it at all.
    #[must_use]
    pub fn set(&self, settings: &mut Settings, value: SettingValue) -> Option<()> {
        match (self.field, value) {
            (Field::Time(of), SettingValue::Time(time)) => *of(settings) = time,
            (Field::Number(of), SettingValue::Number(number)) => {
                *of(settings) = u32::try_from(number).ok()?
            }
            (Field::Long(of), SettingValue::Number(number)) => *of(settings) = number,
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_read_back_and_other_kinds_of_values_are_none() {
        for setting in SETTINGS {
            let mut settings = Settings::default();
            let other = match setting.value(&settings) {
                SettingValue::Time(time) => SettingValue::Time(time + Duration::from_secs(1)),
                SettingValue::Number(number) => SettingValue::Number(number + 1),
            };
            assert_eq!(setting.set(&mut settings, other), Some(()), "{}", setting.name);
            assert_eq!(setting.value(&settings), other, "{}", setting.name);
            assert_ne!(settings, Settings::default());
            let wrong = match other {
                SettingValue::Time(_) => SettingValue::Number(1),
                SettingValue::Number(_) => SettingValue::Time(Duration::ZERO),
            };
            assert_eq!(setting.set(&mut settings, wrong), None, "{}", setting.name);
            assert!(Setting::of_name(setting.name).is_some());
        }
        let mut settings = Settings::default();
        let quorum = Setting::of_name("quorum").unwrap();
        assert_eq!(quorum.set(&mut settings, SettingValue::Number(u64::MAX)), None);
        assert!(Setting::of_name("heartbeat").is_none());
    }
}
