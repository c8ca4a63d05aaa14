//! What a task says it takes, against what a process that trains it took.

#![cfg(target_os = "linux")]

use rafty_learning::{DataSet, Task, initial_weights, train};
use std::process::Command;

/// How far a peak may be from what was said.
const FACTOR: f64 = 1.5;
const TASK: &str = "RAFTY_TEST_MEMORY_TASK";

/// Small and large, each kind of layer.
const TASKS: [(&str, &str, &str); 7] = [
    ("tiny", "[2]", "{ linear = { out = 10 } }"),
    (
        "mlp-1m",
        "[784]",
        r#"{ linear = { out = 1000 } }, "relu", { linear = { out = 220 } }, "relu", { linear = { out = 10 } }"#,
    ),
    ("gru", "[6, 128]", "{ gru = { hidden = 64 } }, { linear = { out = 10 } }"),
    ("gru-long", "[6, 500]", "{ gru = { hidden = 32 } }, { linear = { out = 10 } }"),
    (
        "gru-two",
        "[16, 64]",
        "{ gru = { hidden = 128, sequence = true } }, { gru = { hidden = 128 } }, { linear = { out = 10 } }",
    ),
    (
        "conv1d",
        "[6, 512]",
        r#"{ conv1d = { out = 32, kernel = 9 } }, "relu", { max_pool1d = { size = 2 } },
           { conv1d = { out = 32, kernel = 5 } }, "relu", "global_average", { linear = { out = 10 } }"#,
    ),
    (
        "conv2d",
        "[3, 32, 32]",
        r#"{ conv2d = { out = 16, kernel = 3, padding = 1 } }, "relu", { max_pool = { size = 2 } },
           { conv2d = { out = 32, kernel = 3, padding = 1 } }, "relu", { max_pool = { size = 2 } },
           { conv2d = { out = 32, kernel = 3, padding = 1 } }, "relu", "flatten", { linear = { out = 10 } }"#,
    ),
];

/// One of [`TASKS`] with an optimiser, or that of the digits.
fn task(name: &str, optimiser: &str) -> Task {
    let Some((_, input, layers)) = TASKS.iter().find(|task| task.0 == name) else {
        return Task::digits_cnn();
    };
    let text = format!(
        r#"
        name = "{name}"
        input = {input}
        classes = 10
        loss = "cross_entropy"
        optimiser = {{ {optimiser} }}
        data = {{ format = "idx", divide_by = 255.0 }}
        layers = [{layers}]
        "#
    );
    Task::from_toml(&text).unwrap()
}

/// A line of /proc/self/status, in bytes.
fn status(key: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    1024 * line.trim_matches(|letter: char| !letter.is_ascii_digit()).parse::<u64>().unwrap()
}

/// Trains in a process of its own: what one training frees, the next would use again unseen.
#[test]
fn measured() {
    let Ok(words) = std::env::var(TASK) else { return };
    let (name, optimiser) = words.split_once(' ').unwrap();
    let task = task(name, optimiser);
    let count: u32 = 256;
    let sizes: Vec<u32> = std::iter::once(count).chain(task.input.iter().map(|size| *size as u32)).collect();
    let mut images = vec![0, 0, 8, sizes.len() as u8];
    images.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
    images.extend((0..count as usize * task.example_len()).map(|at| (at * at % 251) as u8));
    let mut labels = vec![0, 0, 8, 1];
    labels.extend(count.to_be_bytes());
    labels.extend((0..count).map(|at| (at % 10) as u8));
    let data = DataSet::from_idx(&images, &labels, &task).unwrap();
    drop((images, labels));
    let before = status("VmRSS:");
    let base = initial_weights(&task, 1);
    train(&task, &base, &data, 1, &()).unwrap();
    println!("took {}", status("VmHWM:").saturating_sub(before));
}

#[test]
fn a_task_says_what_it_takes() {
    let (sgd, adam) = ("sgd = { lr = 0.001, momentum = 0.9 }", "adam = { lr = 0.001 }");
    let names = TASKS.iter().map(|task| (task.0, adam)).chain([("digits-cnn", sgd), ("mlp-1m", sgd)]);
    for (name, optimiser) in names {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "measured", "--nocapture"])
            .env(TASK, format!("{name} {optimiser}"))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let took = text.lines().find_map(|line| line.split_once("took ")).unwrap().1;
        let (took, said) =
            (took.trim().parse::<f64>().unwrap(), task(name, optimiser).training_bytes() as f64);
        println!("{name}, {optimiser}: said {:.1} MB, took {:.1} MB", said / 1e6, took / 1e6);
        assert!(
            (1.0 / FACTOR..FACTOR).contains(&(took / said)),
            "{name}, {optimiser}: said {said}, took {took}"
        );
    }
}
