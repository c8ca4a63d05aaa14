//! Devices as they come: prepared by a laptop, started by a service manager, before their network, and found without
//! an address.
#![cfg(target_os = "linux")]

mod support;

#[allow(dead_code)]
#[path = "faults/depth.rs"]
mod depth;
#[allow(dead_code)]
#[path = "faults/world.rs"]
mod world;

use rafty_client::blocking::Connection;
use rafty_client::{Ask, ConfigAction};
use rafty_wire::client::Reply;
use serde_json::Value;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use support::{Up, command, json, ok, rafty, rafty_agent, run, run_command, until};
use tempfile::TempDir;
use world::{World, tool};

/// A laptop that has founded a peer set, and room for devices.
struct Home {
    folder: TempDir,
}

impl Home {
    fn new(listen: &str) -> Self {
        let home = Self { folder: tempfile::tempdir().unwrap() };
        ok(&rafty(), &["init", "--name", "home", "--listen", listen, "--dir", &home.path("laptop")]);
        home
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().into()
    }

    fn laptop(&self) -> Up {
        let up = Up::start(&rafty(), &self.path("laptop"));
        until("a leader", || self.status("laptop").filter(|status| !status["leader"].is_null()));
        up
    }

    fn status(&self, name: &str) -> Option<Value> {
        let output = run(&rafty(), &["status", "--json", "--dir", &self.path(name)]);
        serde_json::from_slice(&output.stdout).ok()
    }

    fn members(&self) -> usize {
        self.status("laptop").map_or(0, |status| status["members"].as_array().unwrap().len())
    }

    /// The files of so many cards.
    fn cards(&self, count: usize) -> Vec<PathBuf> {
        let (dir, to) = (self.path("laptop"), self.path("fleet"));
        let count = count.to_string();
        let written = ok(&rafty(), &["fleet", "package", "--count", &count, "--to", &to, "--dir", &dir]);
        written.lines().map(PathBuf::from).collect()
    }

    /// The device program, started as its service is: with what the card said as a credential.
    fn device(&self, card: &Path, name: &str) -> Command {
        let credentials = self.folder.path().join(format!("{name}.credentials"));
        fs::create_dir_all(&credentials).unwrap();
        fs::copy(card, credentials.join("provisioned.toml")).unwrap();
        let mut device = command(&rafty_agent(), &[]);
        device.env("CREDENTIALS_DIRECTORY", credentials).env("RAFTY_LISTEN", "127.0.0.1:0");
        device
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(format!("{}.log", self.path(name))).unwrap_or_default()
    }
}

#[test]
fn cards_that_a_laptop_prepared_join_by_themselves_once_and_leave() {
    let home = Home::new("127.0.0.1:0");
    let _laptop = home.laptop();
    let cards = home.cards(2);
    assert!(cards[1].ends_with("pi-02/rafty.toml"), "{cards:?}");
    let mut first = Up::start_command(home.device(&cards[0], "pi-01"), &home.path("pi-01"));
    let _second = Up::start_command(home.device(&cards[1], "pi-02"), &home.path("pi-02"));
    until("both devices as members", || (home.members() == 3).then_some(()));

    let mut copied = home.device(&cards[0], "copy");
    let output = run_command({
        copied.args(["up", "--dir", &home.path("copy")]);
        copied
    });
    assert_eq!(output.status.code(), Some(4), "a token serves once");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("refused"), "{said}");
    assert!(!Path::new(&home.path("copy")).exists(), "nothing is half-created");

    let status = until("its own status", || home.status("pi-01"));
    a_client_is_sent_to_a_laptop(status["clients"].as_str().expect("where it serves clients"));
    let left = json(&rafty_agent(), &["leave", "--dir", &home.path("pi-01")]);
    assert_eq!(left["left"], "home");
    assert_eq!(until("the end of who left", || first.ended()), 4);
    until("one device fewer", || (home.members() == 2).then_some(()));
}

/// Who belongs is changed by operators, and they work on laptops.
fn a_client_is_sent_to_a_laptop(device: &str) {
    let (address, port) = ("127.0.0.1".to_string(), 7400);
    let mut client = Connection::open(device, None).expect("it serves clients of its own machine");
    let config = Ask::Config { action: ConfigAction::Delete, address, port };
    match Reply::decode(&client.ask(config).expect("a reply")) {
        Some(Reply::Result { success: false, error: Some(code), detail: Some(why), .. }) => {
            assert!(code == "not_allowed" && why.contains("ask on a laptop"), "{code}: {why}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_device_that_boots_before_its_network_waits_for_it_and_says_so() {
    let home = Home::new("127.0.0.1:0");
    let laptop = home.laptop();
    let card = home.cards(1).remove(0);
    drop(laptop);
    let _device = Up::start_command(home.device(&card, "pi"), &home.path("pi"));
    until("a word of the device", || home.log("pi").contains("tries again").then_some(()));
    let _laptop = home.laptop();
    until("the device as a member", || (home.members() == 2).then_some(()));
    until("its own word", || home.log("pi").contains("joined `home`").then_some(()));
}

#[test]
fn the_service_manager_hears_of_the_start_of_every_second_and_of_the_end() {
    let home = Home::new("127.0.0.1:0");
    let socket = home.folder.path().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(support::WITHIN)).unwrap();
    let mut laptop = command(&rafty(), &[]);
    laptop.env("NOTIFY_SOCKET", &socket);
    let laptop = Up::start_command(laptop, &home.path("laptop"));
    let next = || {
        let mut bytes = [0; 256];
        let len = manager.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..len]).trim().to_string()
    };
    assert_eq!(next(), "READY=1");
    let began = Instant::now();
    assert_eq!((next(), next()), ("WATCHDOG=1".into(), "WATCHDOG=1".into()));
    assert!(began.elapsed() >= Duration::from_secs(1), "not more often than every second");
    assert_eq!(laptop.terminate(), Some(0));
    let last = std::iter::repeat_with(next).find(|said| said != "WATCHDOG=1");
    assert_eq!(last.as_deref(), Some("STOPPING=1"));
}

#[test]
fn a_newcomer_finds_the_member_that_made_its_token_on_the_local_network() {
    let test = "a_newcomer_finds_the_member_that_made_its_token_on_the_local_network";
    World::Network.enter(test, &["unshare", "ip"], || {
        tool(&["ip", "link", "set", "lo", "up"]);
        tool(&["ip", "link", "add", "cable", "type", "veth", "peer", "name", "other"]);
        tool(&["ip", "address", "add", "10.9.0.1/24", "dev", "cable"]);
        tool(&["ip", "link", "set", "cable", "up", "multicast", "on"]);
        tool(&["ip", "link", "set", "other", "up"]);
        let home = Home::new("0.0.0.0:7400");
        let _laptop = home.laptop();
        let token = ok(&rafty(), &["token", "create", "--dir", &home.path("laptop")]);
        let joined = run(
            &rafty_agent(),
            &["join", token.trim(), "--listen", "0.0.0.0:7401", "--dir", &home.path("pi"), "--json"],
        );
        let said = String::from_utf8_lossy(&joined.stderr).into_owned();
        assert!(joined.status.success() && said.contains("found it at 10.9.0.1:7400"), "{said}");

        // Of another peer set there is nobody.
        let other = Home::new("127.0.0.1:0");
        let up = other.laptop();
        let token = ok(&rafty(), &["token", "create", "--dir", &other.path("laptop")]);
        drop(up);
        let words = ["join", token.trim(), "--listen", "0.0.0.0:7402", "--dir", &other.path("pi")];
        let lost = run(&rafty_agent(), &words);
        let said = String::from_utf8_lossy(&lost.stderr).into_owned();
        assert_eq!(lost.status.code(), Some(1));
        assert!(said.contains("--peer") && said.contains("nothing was changed"), "{said}");
    });
}
