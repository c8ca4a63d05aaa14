//! The real program, as somebody types it.

use std::process::{Command, Output};

fn rafty_agent(words: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_rafty-agent"));
    // An empty name is no settings file: the one of this machine, if any, is nobody's business here.
    program
        .args(words)
        .env_remove("RAFTY_DIR")
        .env("RAFTY_SETTINGS", "")
        .output()
        .expect("the program starts")
}

fn message(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn it_runs_only_in_the_directory_of_a_member_and_makes_none() {
    let base = tempfile::tempdir().unwrap();
    let dir = base.path().join("member");
    let output = rafty_agent(&["up", "--dir", dir.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(3));
    assert!(message(&output).contains("is not the directory of a member"), "{}", message(&output));
    assert!(!dir.exists(), "nothing is half-created");
}

#[test]
fn a_word_it_does_not_know_is_a_usage_error_of_one_line() {
    let output = rafty_agent(&["fly"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(message(&output).trim().lines().count(), 1, "{}", message(&output));
}

#[test]
fn settings_are_explained_with_where_they_are_from() {
    let base = tempfile::tempdir().unwrap();
    let file = base.path().join("agent.toml");
    std::fs::write(&file, "data = '/srv/data'\n[train_when]\nhours = '22-6'\n").unwrap();
    let file = file.to_str().unwrap();
    let output = rafty_agent(&["settings", "explain", "--json", "--settings", file, "--set", "log=warn"]);
    assert!(output.status.success(), "{}", message(&output));
    let lines: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let of =
        |name: &str| lines.as_array().unwrap().iter().find(|line| line["setting"] == name).unwrap().clone();
    assert_eq!(
        (of("data")["value"].as_str(), of("data")["from"].as_str()),
        (Some("\"/srv/data\""), Some(file))
    );
    assert_eq!(of("log")["from"], "--set");
    assert_eq!(of("discover")["from"], "default");
}

#[test]
fn a_setting_that_nobody_knows_stops_everything_with_a_suggestion() {
    let base = tempfile::tempdir().unwrap();
    let file = base.path().join("agent.toml");
    std::fs::write(&file, "lisen = '0.0.0.0:7400'\n").unwrap();
    for words in [["status", "--settings", file.to_str().unwrap()], ["status", "--set", "lisen=0.0.0.0:7400"]]
    {
        let output = rafty_agent(&words);
        assert_eq!(output.status.code(), Some(2));
        assert!(message(&output).contains("did you mean `listen`?"), "{}", message(&output));
    }
}

#[test]
fn a_device_without_a_token_is_told_what_to_do_by_check_and_by_up() {
    let base = tempfile::tempdir().unwrap();
    let dir = base.path().join("member");
    let dir = dir.to_str().unwrap();
    let output = rafty_agent(&["check", "--dir", dir, "--json", "--set", "listen=127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(1));
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let member = found.as_array().unwrap().iter().find(|line| line["check"] == "member").unwrap();
    assert_eq!(member["standing"], "problem");
    assert!(member["fix"].as_str().unwrap().contains("rafty token create"));
    let output = rafty_agent(&["up", "--dir", dir]);
    assert_eq!(output.status.code(), Some(3));
}
