//! What a task's author, a participant or a file of examples says: TOML, updates, safetensors, IDX, CSV, NPY and images.

use crate::bounded;
use rafty_aggregation::{Distance, FedAvg, decode_update, encode_update, update_len};
use rafty_learning_files::{
    DataLayout, DataSet, Format, Layer, Loss, MAX_PARAMS, ModelError, Normalise, Optimiser, Task, TaskError,
    Window, encode_model, read_model, read_samples, read_weights,
};
use rafty_types::{MAX_EXAMPLES, MAX_TASK_LEN};
use std::path::{Path, PathBuf};

/// A byte of TOML or JSON becomes a node of a tree, and an error repeats the text.
const TEXT_FACTOR: usize = 300;
/// Each weight is four bytes here and there.
const MODEL_FACTOR: usize = 300;
/// A row of one digit is a record with two lists of its own, and an entry in a set of digests.
const TABLE_FACTOR: usize = 700;

/// The bytes as a task.
pub fn task(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    bounded(bytes.len(), TEXT_FACTOR, || match Task::from_toml(text) {
        Ok(task) => check_task(&task),
        Err(TaskError::TooLong(len)) => assert!(len > MAX_TASK_LEN),
        Err(error) => assert!(!error.to_string().is_empty()),
    });
}

fn check_task(task: &Task) {
    assert_eq!(task.validate(), Ok(()));
    let text = task.to_toml();
    // Written out, a task may be longer than it was: it is never shortened or sent like that.
    if text.len() <= MAX_TASK_LEN {
        let again = Task::from_toml(&text).expect("what was written can be read");
        assert_eq!(again, *task);
        assert_eq!(again.to_toml(), text);
    }
    assert!(task.num_params() <= MAX_PARAMS);
    let names: Vec<_> = task.layout().0.into_iter().map(|tensor| tensor.name).collect();
    let tensors = |layer: &Layer| match layer {
        Layer::Linear { .. } | Layer::Conv1d { .. } | Layer::Conv2d { .. } => 2,
        Layer::Gru { .. } => 4,
        _ => 0,
    };
    assert_eq!(
        names.len(),
        task.layers.iter().map(tensors).sum::<usize>(),
        "a weight and a bias each, or two"
    );
    assert!(task.training_bytes() >= 4 * task.num_params() as u64);
    assert_eq!(task.example_len(), task.input.iter().product::<usize>());
}

/// The bytes as a model file, and as one for a layout that is known.
pub fn model_file(bytes: &[u8]) {
    bounded(bytes.len(), MODEL_FACTOR, || {
        if let Ok((task, weights)) = read_model(bytes) {
            assert_eq!(weights.len(), task.num_params());
            assert!(weights.iter().all(|weight| weight.is_finite()));
            let text = task.to_toml();
            let again = encode_model(&text, task.layout(), &weights);
            let (same_task, same_weights) = read_model(&again).expect("what was written can be read");
            assert_eq!(same_task, task);
            let bits = |weights: &[f32]| weights.iter().map(|weight| weight.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&same_weights), bits(&weights));
        }
        let layout = small_task(Format::Csv).layout();
        match read_weights(bytes, &layout) {
            Ok(weights) => assert_eq!(Some(weights.len()), layout.checked_len()),
            Err(ModelError::Task(_) | ModelError::NoTask) => panic!("no task is looked for"),
            Err(_) => {}
        }
    });
}

/// The bytes as a table, a series and an array; cut in two, as images and their labels; as samples to be told the class
/// of; and as data that a task is made for.
pub fn table(bytes: &[u8]) {
    let [cut, bytes @ ..] = bytes else { return };
    // A packed file is as large as it says, up to a thousand times its bytes.
    if bytes.windows(2).any(|pair| pair == [0x1f, 0x8b]) {
        return;
    }
    bounded(bytes.len(), TABLE_FACTOR, || {
        let (csv, idx, series) = (small_task(Format::Csv), small_task(Format::Idx), small_series());
        for task in [&csv, &series] {
            if let Ok(data) = DataSet::from_csv(bytes, task) {
                check_data(&data, bytes.len());
            }
        }
        let (images, labels) = bytes.split_at(usize::from(*cut).min(bytes.len()));
        if let Ok(data) = DataSet::from_idx(images, labels, &idx) {
            check_data(&data, bytes.len());
        }
        let file = scratch_file();
        std::fs::write(&file, bytes).expect("a scratch file can be written");
        let npy = small_task(Format::Npy);
        for task in [csv, idx, series, npy] {
            if let Ok(samples) = read_samples(&file, &task) {
                assert!(samples.iter().all(|sample| sample.len() == task.example_len()));
            }
        }
        if let Ok(task) = Task::for_data(&file) {
            check_task(&task);
            let _ = DataSet::open(&file, &task);
        }
    });
}

/// The first byte chooses the size it is scaled to; the rest is an image, PNG or JPEG. Unpacked, it may take as much as
/// its bound says, so memory is not counted here.
pub fn picture(bytes: &[u8]) {
    let Some((&side, bytes)) = bytes.split_first() else { return };
    let side = usize::from(side % 8) + 1;
    let task = small_task(Format::Images);
    let channels = if side % 2 == 0 { 1 } else { 3 };
    let task = Task { input: vec![channels, side, side], ..task };
    let file = scratch_file();
    std::fs::write(&file, bytes).expect("a scratch file can be written");
    if let Ok(samples) = read_samples(&file, &task) {
        assert!(samples.iter().all(|sample| sample.len() == task.example_len()));
        assert_eq!(samples.len(), 1);
    }
}

fn check_data(data: &DataSet, bytes: usize) {
    let report = data.report();
    assert_eq!(data.len(), report.examples);
    assert_eq!(data.len(), data.labels().len());
    assert_eq!(data.len(), data.training().len() + data.holdout().len(), "each example is on one side");
    assert!(data.len() + report.duplicates + report.straddling + report.refused <= bytes);
    assert!(data.labels().iter().all(|label| *label < 2));
    assert!((0..data.len()).all(|at| data.sample(at).is_some_and(|sample| sample.len() == 2)));
}

/// In memory where the system has such files.
fn scratch_file() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { memory.into() } else { std::env::temp_dir() };
    folder.join(format!("rafty-fuzz-{}.csv", std::process::id()))
}

/// A task with room for few numbers, so that the fuzzer can meet it.
pub(crate) fn small_task(format: Format) -> Task {
    let input = if format == Format::Csv { vec![2] } else { vec![1, 1, 2] };
    let label_column = (format == Format::Csv).then_some(1);
    let layers = match format {
        Format::Csv => vec![Layer::Linear { out: 2 }],
        _ => vec![Layer::Flatten, Layer::Linear { out: 2 }],
    };
    Task {
        name: "small".into(),
        input,
        classes: 2,
        outputs: 0,
        tolerance: 0.0,
        loss: Loss::CrossEntropy,
        batch_size: 4,
        local_epochs: 1,
        holdout_percent: 10,
        class_names: Vec::new(),
        layers,
        optimiser: Optimiser::Sgd { lr: 0.1, momentum: 0.0 },
        data: DataLayout { label_column, ..DataLayout::of(format) },
    }
}

/// Windows of two rows over one channel.
fn small_series() -> Task {
    let task = small_task(Format::Csv);
    let window = Window { length: 2, overlap: 1, normalise: Normalise::None };
    let data = DataLayout { window: Some(window), spool: true, ..task.data };
    Task { input: vec![1, 2], layers: vec![Layer::Flatten, Layer::Linear { out: 2 }], data, ..task }
}

/// The first byte says how many weights are expected; the rest is an update.
pub fn update(bytes: &[u8]) {
    let Some((&params, bytes)) = bytes.split_first() else { return };
    let params = usize::from(params % 8);
    let Ok(update) = bounded(bytes.len(), 4, || decode_update(bytes, params)) else { return };
    let (meta, weights) = (update.meta, update.weights().collect::<Vec<_>>());
    assert_eq!((weights.len(), bytes.len()), (params, update_len(params)));
    assert_eq!(encode_update(&meta, &weights), bytes, "an update has one encoding");
    assert!((1..=MAX_EXAMPLES).contains(&meta.num_examples));

    let base = vec![0.5; params];
    let mut distance = Distance::default();
    base.iter().zip(&weights).for_each(|(base, weight)| distance.add(*base, *weight));
    let plausible = distance.verdict().is_ok();
    let finite = weights.iter().all(|weight| weight.is_finite());
    assert!(finite || !plausible);
    let mut mean = FedAvg::new(params);
    mean.fold(base.iter().copied(), 3).expect("a sound update");
    assert_eq!(mean.fold(update.weights(), meta.num_examples).is_ok(), finite);
    let within = |(mean, weight): (&f32, &f32)| (weight.min(0.5)..=weight.max(0.5)).contains(mean);
    let mean = mean.mean().expect("something was folded in");
    assert!(!finite || mean.iter().zip(&weights).all(within), "a mean lies between what it is of");
}
