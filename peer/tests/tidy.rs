//! The house stays tidy: dependencies point down, siblings never meet, heavy crates stay where they belong.
//!
//! The order is ARCHITECTURE.md's. It does not judge what is inside a crate.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Our packages from the bottom up. A package may depend only on packages of a lower floor.
const FLOORS: &[&[&str]] = &[
    &["rafty-types"],
    &["rafty-consensus", "rafty-dictionary", "rafty-rounds", "rafty-wire", "rafty-seal", "rafty-aggregation"],
    &["rafty-node", "rafty-learning", "rafty-storage", "rafty-client"],
    &["rafty-runtime", "rafty-sim"],
    &["rafty-agent", "rafty-example-comparison"],
    &[
        "rafty",
        "rafty-example-counter",
        "rafty-example-dictionary",
        "rafty-example-digits",
        "rafty-example-own-model",
        "rafty-example-sensors",
    ],
];

/// Who alone may know an outside package.
const OWNERS: &[(&str, &[&str])] = &[
    ("burn", &["rafty-learning"]),
    ("raft", &["rafty-consensus"]),
    ("smol", &["rafty-client", "rafty-runtime", "rafty-agent", "rafty"]),
    ("async-io", &["rafty-runtime"]),
    ("quinn", &["rafty-runtime"]),
    ("rsa", &["rafty-seal"]),
];

/// What a pure package may have from outside: nothing that reads a clock, a disk or a socket.
const PURE: &[(&str, &[&str])] = &[
    ("rafty-types", &["blake3", "ed25519-dalek", "postcard", "serde", "serde_bytes", "thiserror"]),
    ("rafty-consensus", &["raft", "slog", "protobuf", "thiserror"]),
    ("rafty-dictionary", &["postcard", "rpds", "serde", "serde_bytes", "thiserror"]),
    ("rafty-rounds", &["serde", "thiserror"]),
    ("rafty-node", &["serde", "thiserror", "postcard"]),
];

#[test]
fn no_arrow_runs_up_and_siblings_never_meet() {
    let packages = packages();
    let floor = |name: &str| FLOORS.iter().position(|floor| floor.contains(&name));
    for (package, dependencies) in &packages {
        let own = floor(package).unwrap_or_else(|| panic!("{package} has no floor: add it to FLOORS"));
        for dependency in dependencies {
            if let Some(theirs) = floor(dependency) {
                assert!(theirs < own, "{package} must not depend on {dependency}: arrows run down");
            }
        }
    }
    let ours: BTreeSet<_> = FLOORS.iter().flat_map(|floor| floor.iter().copied()).collect();
    let found: BTreeSet<_> = packages.keys().map(String::as_str).collect();
    assert_eq!(found, ours, "the floors and the workspace name the same packages");
}

#[test]
fn heavy_packages_stay_with_their_owners() {
    for (package, dependencies) in packages() {
        for (outside, owners) in OWNERS {
            let allowed = owners.contains(&package.as_str());
            assert!(allowed || !dependencies.contains(*outside), "{package} must not know {outside}");
        }
    }
}

#[test]
fn pure_packages_depend_on_nothing_that_does_io() {
    let packages = packages();
    for (package, allowed) in PURE {
        for dependency in &packages[*package] {
            let ours = dependency.starts_with("rafty-");
            assert!(ours || allowed.contains(&dependency.as_str()), "{package} must stay pure: {dependency}");
        }
    }
}

/// What panics when nobody reads, or the disk is full, and what goes around the one place that does not, and that escapes
/// what others wrote. The lints
/// `print_stdout` and `print_stderr` see the macros only.
#[test]
fn only_one_place_writes_to_standard_output() {
    let mut seen = 0;
    for (path, text) in sources(&["agent/src", "peer/src"]) {
        let own = path.ends_with("agent/src/output.rs");
        // It draws a picture on the terminal; its lines go the same way as others.
        let draws = path.ends_with("demo/view.rs");
        for way in ["stdout()", "stderr()", "println!(", "print!(", ".exit()"] {
            let may = own || draws && way == "stderr()";
            assert!(may || !text.contains(way), "{} has {way}: use rafty_agent::output", path.display());
        }
        seen += usize::from(own);
    }
    assert_eq!(seen, 1, "the one place was looked at");
}

#[test]
fn every_line_of_the_security_page_is_shown_by_a_test_that_exists() {
    let page = std::fs::read_to_string(root().join("SECURITY.md")).expect("the page");
    let sources = sources(&["agent", "peer", "shared"]);
    let (_, table) = page.split_once("| who | | shown by |").expect("the table");
    let rows: Vec<_> = table.lines().skip(2).take_while(|line| line.starts_with('|')).collect();
    assert!(rows.len() > 20, "{} rows", rows.len());
    for row in rows {
        let [_, _, what, shown_by, _] = row.split('|').collect::<Vec<_>>()[..] else { panic!("{row}") };
        let tests = shown_by.split('`').skip(1).step_by(2).map(|test| format!("fn {test}()"));
        let checks = shown_by.split("simulator: ").skip(1).map(|check| format!("\"{}", check.trim()));
        let named: Vec<_> = tests.chain(checks).collect();
        assert_eq!(named.is_empty(), what.contains("*can*"), "what cannot be done is shown by a test: {row}");
        for name in named {
            assert!(sources.iter().any(|(_, text)| text.contains(&name)), "there is no {name}");
        }
    }
}

/// The Rust files in these folders and all below.
fn sources(folders: &[&str]) -> Vec<(PathBuf, String)> {
    let mut folders: Vec<_> = folders.iter().map(|folder| root().join(folder)).collect();
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("source text");
                found.push((path, text));
            }
        }
    }
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace")
}

/// Each workspace package with what it depends on, tests and builds aside.
fn packages() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    packages.iter().map(|package| (text(&package["name"]), dependencies(package))).collect()
}

fn dependencies(package: &serde_json::Value) -> BTreeSet<String> {
    let all = package["dependencies"].as_array().expect("dependencies");
    all.iter()
        .filter(|dependency| dependency["kind"].is_null())
        .map(|dependency| text(&dependency["name"]))
        .collect()
}

fn text(value: &serde_json::Value) -> String {
    value.as_str().expect("a name").to_string()
}
