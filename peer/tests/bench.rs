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
