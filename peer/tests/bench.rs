//! A benchmark runs real processes and gives its numbers.

mod support;

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
