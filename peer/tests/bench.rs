//! A benchmark runs real processes and gives its numbers.

mod support;

use std::io::{BufRead, BufReader, Lines, Read};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use support::{json, rafty};

#[test]
fn a_small_benchmark_gives_every_number() {
    let measured = json(&rafty(), &["bench", "rounds", "--agents", "2", "--params", "1000", "--rounds", "3"]);
    assert_eq!(measured["rounds_s_all"].as_array().unwrap().len(), 3);
    assert!(measured["rounds_s"].as_f64().unwrap() > 0.0);
    for peak in ["aggregator_peak_mb", "agent_peak_mb"] {
        assert!(measured[peak].as_f64().unwrap() > 1.0, "{measured}");
    }
}

#[test]
fn agents_that_die_or_stand_still_keep_no_round_open() {
    let killed = ["--kill-one", "--restart-after", "1s"];
    for absence in [&killed[..], &["--kill-one=same", "--restart-after", "1s"], &["--stop-half"]] {
        let words = ["bench", "rounds", "--agents", "4", "--params", "1000", "--rounds", "8"];
        let measured = json(&rafty(), &[&words[..], absence].concat());
        assert_eq!(measured["rounds_s_all"].as_array().unwrap().len(), 8);
        assert!(measured["absent"].as_u64() >= Some(1), "{measured}");
        let per_round = measured["absent_per_round"].as_array().unwrap();
        assert_eq!(per_round.len(), 8);
        if absence == killed {
            let each = per_round.iter().all(|absent| *absent == 1);
            assert!(each, "one in every round: {measured}");
        }
        assert!(measured["rounds_with_quorum"].as_u64() >= Some(1), "{measured}");
        assert!(measured["after_quorum_s_max"].as_f64().unwrap() < 5.0, "{measured}");
    }
}

#[test]
fn a_small_load_is_answered_and_measured() {
    for way in [&[][..], &["--one-shot"], &["--reads"]] {
        let words =
            ["bench", "local", "--servers", "3", "--clients", "4", "--entries", "202", "--size", "50"];
        let measured = json(&rafty(), &[&words[..], way].concat());
        assert_eq!((&measured["servers"], &measured["entries"]), (&3.into(), &202.into()));
        for figure in
            ["mean_s", "requests_per_s", "mean_ms", "p50_ms", "p99_ms", "p999_ms", "fdatasync_per_s"]
        {
            assert!(measured[figure].as_f64().unwrap() > 0.0, "{figure} in {measured}");
        }
        let total_mb = measured["total_mb"].as_f64().unwrap();
        assert!((0.0101..0.0202).contains(&total_mb), "{measured}");
    }
}

#[test]
fn leaders_are_killed_and_hand_over() {
    let folder = tempfile::tempdir().unwrap();
    let plot = folder.path().join("election.svg");
    let kills =
        ["bench", "election", "--peers", "3", "--trials", "2", "--fast", "--plot", plot.to_str().unwrap()];
    let handovers = ["bench", "election", "--peers", "3", "--trials", "2", "--handover"];
    for words in [&kills[..], &handovers] {
        let measured = json(&rafty(), words);
        for times in ["times_ms", "tenure_times_ms"] {
            let times = measured[times].as_array().unwrap();
            assert_eq!(times.len(), 2);
            assert!(times.iter().all(|ms| (0.01..30_000.0).contains(&ms.as_f64().unwrap())), "{measured}");
        }
        assert!(measured["tenure_p50_ms"].as_f64() >= measured["p50_ms"].as_f64(), "{measured}");
    }
    assert!(std::fs::read_to_string(plot).unwrap().contains("2 killed leaders, 3 members, fast settings"));
}

#[test]
fn a_head_measures_with_whoever_is_given_its_address() {
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("saved.json");
    let mut head = Told::start(&[
        "bench",
        "head",
        "--json",
        "--servers",
        "2",
        "--clients",
        "2",
        "--entries",
        "101",
        "--workers",
        "3",
        "--save",
        saved.to_str().unwrap(),
    ]);
    let address = head.hear("rafty bench server ");
    let mut others = [
        Told::start(&["bench", "server", &address]),
        Told::start(&["bench", "client", &address]),
        Told::start(&["bench", "client", &address]),
    ];
    let measured: serde_json::Value = serde_json::from_str(&head.finish()).unwrap();
    let run = &measured["runs"][0];
    assert_eq!((&measured["servers"], &measured["clients"]), (&2.into(), &2.into()));
    // Each of two clients does its half, rounded up.
    assert_eq!((&run["entries"], &run["workers"]), (&102.into(), &3.into()));
    for figure in ["mean_s", "requests_per_s", "mean_ms", "p50_ms", "p99_ms", "total_mb"] {
        assert!(run[figure].as_f64().unwrap() > 0.0, "{figure} in {measured}");
    }
    let saved: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(saved).unwrap()).unwrap();
    assert_eq!(saved["runs"], measured["runs"]);
    others.iter_mut().for_each(|other| drop(other.finish()));
}

#[test]
fn a_head_gives_up_when_a_client_does() {
    let mut head = Told::start(&["bench", "head", "--servers", "2", "--entries", "100000000"]);
    let address = head.hear("rafty bench server ");
    let mut server = Told::start(&["bench", "server", &address]);
    let mut client = Told::start(&["bench", "client", &address]);
    client.hear("requests are answered");
    client.interrupt();
    for program in [&mut client, &mut head] {
        let (ended, _, told) = program.end();
        assert!(!ended.success() && told.contains("interrupted"), "{told}");
    }
    server.finish();
}

/// A running program that tells on stderr how it goes.
struct Told {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
}

impl Told {
    fn start(words: &[&str]) -> Self {
        let mut command = Command::new(rafty());
        command.args(words).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, lines }
    }

    /// What stands behind `words` in the next line that has them.
    fn hear(&mut self, words: &str) -> String {
        let mut lines = self.lines.by_ref().map_while(Result::ok);
        lines.find_map(|line| Some(line.split_once(words)?.1.to_string())).expect("it says so")
    }

    /// As Ctrl-C does.
    fn interrupt(&self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    }

    /// Waits for it to end well. What it said on stdout.
    fn finish(&mut self) -> String {
        let (ended, text, told) = self.end();
        assert!(ended.success(), "{text}{told}");
        text
    }

    /// Waits for it to end. What it said on stdout and stderr.
    fn end(&mut self) -> (ExitStatus, String, String) {
        let told: Vec<String> = self.lines.by_ref().map_while(Result::ok).collect();
        let mut text = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        (self.child.wait().unwrap(), text, told.join("\n"))
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
