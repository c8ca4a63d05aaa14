//! The real program, as somebody types it.

use std::process::{Command, Output};

fn rafty_agent(words: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_rafty-agent"));
    program.args(words).env_remove("RAFTY_DIR").output().expect("the program starts")
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
