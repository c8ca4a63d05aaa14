//! Paths that no file or answer could name, and devices that are stopped while they wait to join.

mod support;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use support::peer_set::Folder;
use support::{Up, command, json, rafty, rafty_agent, run_command, until};

/// A name in an encoding of old.
fn no_text(folder: &Folder) -> PathBuf {
    let path = Path::new(&folder.path("")).join(OsString::from_vec(b"caf\xe9".to_vec()));
    std::fs::create_dir(&path).expect("a folder");
    path
}

fn refused(mut asked: Command, argument: &str) {
    let words = format!("{asked:?}");
    asked.stdin(Stdio::null());
    let output = run_command(asked);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{words}: {said}");
    assert_eq!(said.lines().count(), 1, "{words}: {said}");
    assert!(said.contains(argument) && said.contains("not UTF-8"), "{words}: {said}");
    assert!(said.contains("nothing was changed"), "{words}: {said}");
}

#[test]
fn a_path_that_is_no_text_costs_no_token_and_leaves_no_ghost() {
    let folder = Folder::new();
    let set = folder.found("p1", &[]);
    let strange = no_text(&folder);
    let (token, peer) = set.token_for("agent", "1h");
    let dir = folder.path("device");
    let join = |program: &Path| {
        let mut asked = command(program, &["join", &token, "--peer", &peer, "--listen", "127.0.0.1:0"]);
        asked.env_remove("RAFTY_DATA");
        asked
    };
    let mut asked = join(&rafty_agent());
    asked.args(["--dir", &dir, "--data"]).arg(&strange);
    refused(asked, "--data");
    let mut asked = join(&rafty_agent());
    asked.args(["--dir", &dir]).env("RAFTY_DATA", &strange);
    refused(asked, "RAFTY_DATA");
    for program in [rafty(), rafty_agent()] {
        let mut asked = join(&program);
        asked.arg("--dir").arg(strange.join("m"));
        refused(asked, "--dir");
    }
    let mut asked =
        command(&rafty(), &["fleet", "package", "--count", "1", "--json", "--dir", &set.founder().dir]);
    asked.arg("--to").arg(&strange);
    refused(asked, "--to");
    assert_eq!(std::fs::read_dir(&strange).unwrap().count(), 0);

    // By a link whose name is text it works, with the same token.
    let link = folder.path("link");
    std::os::unix::fs::symlink(&strange, &link).unwrap();
    let mut asked = join(&rafty_agent());
    asked.args(["--dir", &dir, "--data", &link]);
    let output = run_command(asked);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let members = set.founder().status().expect("it runs").node.members.len();
    assert_eq!(members, 2, "each token that was spent is a member that is there");
    assert_eq!(data_of(&dir), Some(link));
}

fn data_of(dir: &str) -> Option<String> {
    let file = std::fs::read(Path::new(dir).join("member.json")).expect("a member");
    let member: serde_json::Value = serde_json::from_slice(&file).expect("JSON");
    member["data"].as_str().map(String::from)
}

#[test]
fn data_that_up_is_given_is_remembered() {
    let folder = Folder::new();
    let set = folder.found("p1", &[]);
    let (token, peer) = set.token_for("agent", "1h");
    let (dir, data) = (folder.path("device"), folder.path("data"));
    std::fs::create_dir(&data).unwrap();
    json(&rafty_agent(), &["join", &token, "--peer", &peer, "--listen", "127.0.0.1:0", "--dir", &dir]);
    assert_eq!(data_of(&dir), None);
    for words in [&["--data", &data][..], &[]] {
        let up = Up::start_with(command(&rafty_agent(), &[]), &dir, words);
        until("an answer", || {
            run_command(command(&rafty_agent(), &["status", "--dir", &dir])).status.success().then_some(())
        });
        assert_eq!(up.terminate(), Some(0));
        assert_eq!(data_of(&dir).as_ref(), Some(&data), "up {words:?}");
    }
}

#[test]
fn a_device_that_is_stopped_while_it_waits_to_join_leaves_no_keys() {
    let folder = Folder::new();
    let token = {
        let set = folder.found("p1", &[]);
        set.token_for("agent", "1h").0
    };
    let before = folder.names();
    for signal in ["TERM", "INT"] {
        let dir = folder.path("device");
        let mut waits = command(&rafty_agent(), &["up", "--listen", "127.0.0.1:0", "--dir", &dir]);
        // A port where nobody answers.
        waits.env("RAFTY_TOKEN", &token).env("RAFTY_PEERS", "127.0.0.1:9").stderr(Stdio::null());
        let mut device = waits.spawn().expect("it starts");
        let keys = format!("device.new-{}/participant-key", device.id());
        until("keys", || Path::new(&folder.path(&keys)).exists().then_some(()));
        let pid = device.id().to_string();
        assert!(
            Command::new("kill").args([&format!("-{signal}"), &pid]).status().expect("kill runs").success()
        );
        let status = until("its end", || device.try_wait().expect("a child"));
        assert_eq!(status.code(), None, "it ends by the signal, as it would without keys");
        assert_eq!(folder.names(), before, "after {signal}");
    }
}
