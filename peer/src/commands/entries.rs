//! `rafty set`, `get`, `delete`: entries of the dictionary.

use super::{ask, do_it};
use rafty_agent::Failure;
use rafty_agent::status::unexpected;
use rafty_runtime::operator::{Reply, Request};
use serde_json::Value;
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
        Reply::Value { found: true, value } => println!("{value}"),
        Reply::Value { found: false, .. } => {
            return Err(Failure::failed(format!("there is no entry `{key}`")));
        }
        other => return Err(unexpected(&other)),
    }
    Ok(())
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
