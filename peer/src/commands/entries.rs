//! `rafty set`, `get`, `delete`, `dump`, `watch`: entries of the dictionary; `diagnostic`: what is behind them.

use super::{PATIENCE, ask, client, do_it, of_client, print_lines, stopped_telling};
use rafty_agent::status::unexpected;
use rafty_agent::{Failure, output, status};
use rafty_client::Consistency;
use rafty_runtime::exact_json::Exact;
use rafty_runtime::operator::{self, Reply, Request, WatchLine};
use rafty_types::printable_json;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;

pub(crate) fn set(dir: &Path, key: String, value: &str, json: bool) -> Result<(), Failure> {
    let done = format!("`{key}` is set");
    do_it(dir, &Request::Set { key, value: value_of(value) }, &done, json)
}

/// What is not JSON is text, so that a plain word needs no second pair of quotes.
fn value_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.into()))
}

pub(crate) fn get(dir: &Path, key: String) -> Result<(), Failure> {
    match ask(dir, &Request::Get { key: key.clone() })? {
        Reply::Value { found: true, value } => output::json(&value)?,
        Reply::Value { found: false, .. } => {
            return Err(Failure::failed(format!("there is no entry `{key}`")));
        }
        other => return Err(unexpected(&other)),
    }
    Ok(())
}

/// Every entry, a line each; as JSON, one object. Nothing of a value is lost. The newest, or with `stale` what the member
/// has.
pub(crate) fn dump(dir: &Path, stale: bool, json: bool) -> Result<(), Failure> {
    let consistency = if stale { Consistency::Stale } else { Consistency::Linearizable };
    let state = client(dir)?.read_state(consistency).map_err(of_client)?;
    let mut entries = state.entries.iter().map(|(key, value)| (key, Exact(value.bytes())));
    if json {
        let object: BTreeMap<_, _> = entries.collect();
        return output::json(serde_json::to_string(&object).expect("keys are text"));
    }
    entries.try_for_each(|(key, value)| output::line(entry(key, &value)))
}

/// A line for each entry there is, and then for each that changes, until the member ends or nobody reads.
pub(crate) fn watch(dir: &Path, key: Option<String>, json: bool) -> Result<(), Failure> {
    print_lines(operator::watch(dir, key)?, |text| {
        let line: WatchLine = match serde_json::from_str::<Reply>(text) {
            Ok(Reply::Error { error, .. }) => return Err(Failure::failed(error)),
            _ => serde_json::from_str(text).map_err(stopped_telling)?,
        };
        let WatchLine { key, found, value, .. } = &line;
        match (json, found) {
            (true, _) => output::json(text),
            (false, true) => output::line(entry(key, value)),
            (false, false) => output::line(format_args!("{key} is not there")),
        }
    })
}

/// An entry for people; its value stays JSON.
fn entry(key: &str, value: &impl Display) -> String {
    format!("{key} = {}", printable_json(&value.to_string()))
}

/// What this member knows of Raft's inside.
pub(crate) fn diagnostic(dir: &Path, json: bool) -> Result<(), Failure> {
    let at = status::fetch(dir, PATIENCE)?.clients.to_string();
    let found = client(dir)?.diagnostic_of(&at).map_err(of_client)?;
    let shown = if json { serde_json::to_string(&found) } else { serde_json::to_string_pretty(&found) };
    output::json(shown.expect("a diagnostic always encodes"))
}

pub(crate) fn delete(dir: &Path, key: String, json: bool) -> Result<(), Failure> {
    let done = format!("`{key}` is deleted");
    do_it(dir, &Request::Delete { key }, &done, json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_value_is_json_or_else_text() {
        assert_eq!(value_of("[1, {\"a\": null}]"), json!([1, {"a": null}]));
        assert_eq!(value_of("12"), json!(12));
        assert_eq!(value_of("kitchen lamp"), json!("kitchen lamp"));
        assert_eq!(value_of("\"12\""), json!("12"));
    }
}
