//! Model files: that they come back as they were, that nothing broken is taken, and that others read them alike.

use proptest::prelude::*;
use rafty_learning::{
    Layer, ModelError, Task, encode_model, initial_weights, predict, read_model, read_weights,
};
use rafty_types::Digest;
use std::process::Command;

/// All kinds of layers, small.
fn task() -> Task {
    Task::from_toml(
        r#"
        name = "small"
        input = [2, 7, 6]
        classes = 3
        loss = "cross_entropy"
        optimiser = { adam = { lr = 0.01 } }
        data = { format = "idx", divide_by = 255.0, mean = [0.1, 0.2], std = [0.5, 0.25] }
        layers = [
            { conv2d = { out = 4, kernel = 3, stride = 2, padding = 2 } },
            "relu",
            { conv2d = { out = 5, kernel = 2 } },
            { max_pool = { size = 2 } },
            { dropout = { p = 0.5 } },
            "flatten",
            { linear = { out = 6 } },
            "relu",
            { linear = { out = 3 } },
        ]
        "#,
    )
    .unwrap()
}

/// Every layer that a sequence goes through, and the loss of a regression.
fn sequence() -> Task {
    Task::from_toml(
        r#"
        name = "sequence"
        input = [3, 24]
        outputs = 2
        tolerance = 0.5
        loss = "mean_squared_error"
        optimiser = { adam = { lr = 0.01 } }
        layers = [
            { conv1d = { out = 4, kernel = 5, stride = 2, padding = 2 } },
            "relu",
            { conv1d = { out = 6, kernel = 2 } },
            { max_pool1d = { size = 2 } },
            { gru = { hidden = 5, sequence = true } },
            { conv1d = { out = 4, kernel = 3, padding = 1 } },
            { gru = { hidden = 7 } },
            { linear = { out = 2 } },
        ]
        [data]
        format = "csv"
        divide_by = 100.0
        mean = [0.5, 0.6, 0.7]
        target_columns = [0, 4]
        window = { length = 24, overlap = 12, normalise = "per_channel" }
        "#,
    )
    .unwrap()
}

/// A mean over images, and over a sequence.
fn averaged(input: &[usize]) -> Task {
    let layers = vec![Layer::GlobalAverage, Layer::Linear { out: 10 }];
    Task { input: input.to_vec(), layers, ..Task::digits_mlp() }
}

fn written(task: &Task, weights: &[f32]) -> Vec<u8> {
    encode_model(&task.to_toml(), task.layout(), weights)
}

#[test]
fn a_task_stands_in_its_model_as_it_was_submitted() {
    let text = format!("# with a remark\n{}", task().to_toml());
    let file = encode_model(&text, task().layout(), &initial_weights(&task(), 5));
    assert!(String::from_utf8_lossy(&file).contains("# with a remark"));
    assert_eq!(read_model(&file).unwrap().0, task());
}

#[test]
fn a_model_comes_back_as_it_was() {
    let weights = initial_weights(&task(), 5);
    let file = written(&task(), &weights);
    assert_eq!(read_model(&file), Ok((task(), weights.clone())));
    assert_eq!(read_weights(&file, &task().layout()), Ok(weights));
}

#[test]
fn the_same_model_is_the_same_bytes() {
    let file = written(&task(), &initial_weights(&task(), 5));
    assert_eq!(
        Digest::of(&file).to_string(),
        "36403587282f39e88ebdc792387b2543dd04285c9a7c9112130ec616f1a517fe"
    );
    assert_eq!(u64::from_le_bytes(file[..8].try_into().unwrap()) % 8, 0);
}

#[test]
fn a_file_that_is_not_this_model_is_refused_by_name() {
    let weights = initial_weights(&task(), 5);
    let file = written(&task(), &weights);
    assert!(matches!(read_model(&file[..file.len() - 1]), Err(ModelError::Malformed(_))));
    assert!(matches!(read_model(b""), Err(ModelError::Malformed(_))));
    let other = Task::digits_mlp().layout();
    assert_eq!(read_weights(&file, &other), Err(ModelError::Count { expected: 4, found: 8 }));
    let mut layout = task().layout();
    layout.0[0].shape.swap(0, 1);
    let text = read_weights(&file, &layout).unwrap_err().to_string();
    assert_eq!(text, "the model file's tensor `0.weight` has shape [4, 2, 3, 3], not [2, 4, 3, 3]");
    layout.0[0].name = "first".into();
    assert!(read_weights(&file, &layout).unwrap_err().to_string().contains("`first` is missing"));
    let mut spoilt = weights;
    spoilt[80] = f32::INFINITY;
    let text = read_model(&written(&task(), &spoilt)).unwrap_err().to_string();
    assert_eq!(text, "the model file's tensor `2.weight` holds a number that is not finite");
}

proptest! {
    #[test]
    fn no_bytes_make_reading_panic(at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
        let mut file = written(&task(), &initial_weights(&task(), 5));
        let at = at.index(file.len().min(1_500));
        file[at] = byte;
        let _ = read_model(&file);
        file.truncate(cut.index(file.len()));
        prop_assert!(read_model(&file).is_err());
    }
}

/// Needs python 3.11 with numpy; says so and passes where there is none.
#[test]
fn numpy_computes_the_same_from_the_file() {
    let probe = Command::new("python3").args(["-c", "import numpy, tomllib"]).output();
    if !probe.is_ok_and(|probe| probe.status.success()) {
        println!("skipped: python3 with numpy and tomllib is not here");
        return;
    }
    for task in [task(), Task::digits_cnn(), sequence(), averaged(&[3, 4, 5]), averaged(&[3, 9])] {
        let weights = initial_weights(&task, 9);
        let examples: Vec<f32> = (0..5 * task.example_len()).map(|at| (at * at % 251) as f32).collect();
        let folder = tempfile::tempdir().unwrap();
        let (model, input) = (folder.path().join("model.safetensors"), folder.path().join("examples.f32"));
        std::fs::write(&model, written(&task, &weights)).unwrap();
        std::fs::write(&input, examples.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())
            .unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/forward.py");
        let output = Command::new("python3").arg(script).args([&model, &input]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let theirs: Vec<f32> = text.split_whitespace().map(|number| number.parse().unwrap()).collect();
        let ours: Vec<f32> = examples
            .chunks(task.example_len())
            .flat_map(|example| predict(&task, &weights, example).unwrap())
            .collect();
        assert_eq!(ours.len(), theirs.len());
        let furthest = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(furthest < 1e-5, "{}: {furthest}", task.name);
    }
}
