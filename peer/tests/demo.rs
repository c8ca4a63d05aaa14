//! The demo's work with real `rafty-agent` processes: small, but with everything in it.

mod support;

use serde_json::Value;
use support::{json, rafty, rafty_agent};

#[test]
fn a_small_demo_loses_nothing() {
    let base = tempfile::Builder::new().prefix("rafty-").tempdir().unwrap();
    let (keep, agent) = (base.path().join("keep"), rafty_agent());
    let words = [
        "demo",
        "--peers=2",
        "--agents=3",
        "--rounds=4",
        "--model=mlp",
        "--seed=1",
        "--keep",
        keep.to_str().unwrap(),
        "--agent-program",
        agent.to_str().unwrap(),
    ];
    let report = json(&rafty(), &words);
    assert_eq!(report["rounds"], 4);
    assert_eq!(report["lost_rounds"], 0);
    assert_eq!(report["lost_updates"], 0);
    let by_round = report["accuracy_by_round"].as_array().unwrap();
    assert_eq!(by_round.len(), 4);
    assert_eq!(report["accuracy"], by_round[3]);
    assert!(report["accuracy"].as_f64().unwrap() > 0.6, "{report}");
    the_kill_is_survived(&report);
    tenures_add_up(&report);
    let updates = &report["updates"];
    assert!(updates["sealed"].as_u64() >= updates["accepted"].as_u64(), "{updates}");
    assert_eq!(updates["refused"], 0);
    the_model_is_there(&report);
    let members = report["members"].as_array().unwrap();
    assert_eq!(members.len(), 5);
    assert_eq!(members.iter().filter(|member| member["role"] == "agent").count(), 3);
    assert!(members.iter().all(|member| member["rss_mb"].as_f64().is_some_and(|mb| mb > 1.0)), "{report}");
}

fn the_kill_is_survived(report: &Value) {
    let kill = &report["kill"];
    assert!(kill["round"].as_u64().is_some_and(|round| (2..=4).contains(&round)), "{kill}");
    assert!(kill["recovered_ms"].as_u64().is_some_and(|ms| ms < 20_000), "{kill}");
    assert_eq!(kill["round_published"], true);
    assert_eq!(kill["rejoined"], true);
}

fn tenures_add_up(report: &Value) {
    let tenures = report["tenures"].as_array().unwrap();
    let rounds: u64 = tenures.iter().map(|tenure| tenure["rounds"].as_u64().unwrap()).sum();
    assert_eq!(rounds, 4, "{tenures:?}");
    assert!(report["distinct_aggregators"].as_u64().unwrap() >= 2);
    let numbers: Vec<u64> = tenures.iter().map(|tenure| tenure["tenure"].as_u64().unwrap()).collect();
    assert!(numbers.is_sorted());
}

fn the_model_is_there(report: &Value) {
    let model = &report["model"];
    let bytes = std::fs::read(model["path"].as_str().unwrap()).unwrap();
    let (_, weights) = rafty_learning::read_model(&bytes).unwrap();
    assert_eq!(model["params"], weights.len());
    assert_eq!(model["digest"], rafty_types::Digest::of(&bytes).to_string());
}
