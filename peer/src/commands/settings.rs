//! `rafty settings`: what the members have agreed on, and what of it may be changed while they run.

use super::{PATIENCE, do_it};
use rafty_agent::{Failure, args, output, status};
use rafty_runtime::operator::Request;
use rafty_types::{SETTINGS, Setting, SettingValue};
use serde_json::json;
use std::path::Path;

pub(crate) fn list(dir: &Path, json: bool) -> Result<(), Failure> {
    let settings = status::fetch(dir, PATIENCE)?.settings;
    if json {
        let lines = SETTINGS.iter().map(|setting| {
            let value = setting.value(&settings).to_string();
            json!({ "name": setting.name, "value": value, "meaning": setting.meaning })
        });
        let lines: Vec<_> = lines.collect();
        output::json(serde_json::to_string_pretty(&lines).expect("settings always encode"))?;
        return Ok(());
    }
    output::lines(SETTINGS.iter().map(|setting| {
        let value = setting.value(&settings).to_string();
        format!("{:<14}  {value:<6}  {}", setting.name, setting.meaning)
    }))?;
    output::note("change one with `rafty settings set NAME VALUE`; what `init` fixed for good is not listed");
    Ok(())
}

pub(crate) fn set(dir: &Path, name: &str, value: &str, json: bool) -> Result<(), Failure> {
    let setting = Setting::of_name(name).ok_or_else(|| {
        let names: Vec<_> = SETTINGS.iter().map(|setting| setting.name).collect();
        Failure::usage(format!(
            "no setting `{name}` can be changed; nothing was changed; these can: {}",
            names.join(", ")
        ))
    })?;
    let value = match setting.value(&rafty_types::Settings::default()) {
        SettingValue::Time(_) => args::duration(value).map(SettingValue::Time),
        SettingValue::Number(_) => {
            value.parse().map(SettingValue::Number).map_err(|_| "a whole number is expected".to_string())
        }
    };
    let value = value.map_err(|why| {
        Failure::usage(format!("the value for `{name}` cannot be used: {why}; nothing was changed"))
    })?;
    let request = Request::SettingChange { name: name.into(), value };
    do_it(dir, &request, &format!("{name} is {value} now, for all members"), json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_is_shown_can_be_typed() {
        for ms in [0, 1, 1_500, 60_000, 90_000, 7_200_000, 172_800_000] {
            let time = Duration::from_millis(ms);
            assert_eq!(args::duration(&SettingValue::Time(time).to_string()), Ok(time));
        }
        assert_eq!(SettingValue::Time(Duration::from_secs(600)).to_string(), "10m");
    }
}
