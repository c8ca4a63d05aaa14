//! Tasks: what is read, what is refused and how it is said, and what follows from a task.

use proptest::prelude::*;
use rafty_learning::{DataSet, Format, Layer, Loss, Normalise, Optimiser, Task, TaskError, Window};

const SMALL: &str = r#"
name = "small"
input = [1, 8, 8]
classes = 3
loss = "cross_entropy"
optimiser = { sgd = { lr = 0.1 } }
data = { format = "idx", divide_by = 255.0 }
layers = [
    { conv2d = { out = 4, kernel = 3, padding = 1 } },
    "relu",
    { max_pool = { size = 2 } },
    { dropout = { p = 0.25 } },
    "flatten",
    { linear = { out = 3 } },
]
"#;

fn refusal(text: &str) -> String {
    Task::from_toml(text).expect_err("it must be refused").to_string()
}

#[test]
fn a_task_is_read_with_its_defaults_and_written_back() {
    let task = Task::from_toml(SMALL).unwrap();
    assert_eq!((task.batch_size, task.local_epochs, task.holdout_percent), (32, 1, 10));
    assert_eq!(task.optimiser, Optimiser::Sgd { lr: 0.1, momentum: 0.0 });
    assert_eq!(task.layers[0], Layer::Conv2d { out: 4, kernel: 3, stride: 1, padding: 1 });
    assert_eq!(Task::from_toml(&task.to_toml()), Ok(task));
}

#[test]
fn the_layout_is_that_of_pytorch() {
    let layout = Task::from_toml(SMALL).unwrap().layout();
    let tensors: Vec<_> =
        layout.0.iter().map(|tensor| (tensor.name.as_str(), tensor.shape.as_slice())).collect();
    let expected: [(&str, &[usize]); 4] =
        [("0.weight", &[4, 1, 3, 3]), ("0.bias", &[4]), ("5.weight", &[3, 64]), ("5.bias", &[3])];
    assert_eq!(tensors, expected);
    assert_eq!(layout.checked_len(), Some(36 + 4 + 192 + 3));
}

#[test]
fn the_tasks_that_come_with_rafty_hold() {
    for (task, weights) in [(Task::digits_cnn(), 71_826), (Task::digits_mlp(), 50_890)] {
        assert_eq!(task.validate(), Ok(()));
        assert_eq!(task.num_params(), weights);
        assert_eq!(Task::from_toml(&task.to_toml()), Ok(task));
    }
}

#[test]
fn a_mistyped_word_is_named_with_what_was_meant() {
    let text = refusal(&SMALL.replace("classes", "clases"));
    assert!(text.contains("`clases`") && text.contains("Did you mean `classes`?"), "{text}");
    let text = refusal(&SMALL.replace("lr = 0.1", "lr = 0.1, momentun = 0.9"));
    assert!(text.contains("Did you mean `momentum`?"), "{text}");
    let text = refusal(&SMALL.replace("max_pool", "maxpool"));
    assert!(text.contains("Did you mean `max_pool`?"), "{text}");
    let text = refusal(&SMALL.replace("\"idx\"", "\"idy\""));
    assert!(text.contains("Did you mean `idx`?"), "{text}");
}

#[test]
fn a_layer_that_does_not_fit_is_named_with_its_shape() {
    let text = refusal(&SMALL.replace("\"flatten\",", ""));
    assert_eq!(
        text,
        "layer 4 (linear) of the task gets shape [4, 4, 4], but it needs a flat one, [features]; \
         put `flatten` before it"
    );
    let text = refusal(&SMALL.replace("kernel = 3, padding = 1", "kernel = 9"));
    assert!(text.starts_with("layer 0 (conv2d) of the task gets shape [1, 8, 8]"), "{text}");
    let text = refusal(&SMALL.replace("linear = { out = 3 }", "linear = { out = 4 }"));
    assert!(text.contains("[4], but 3 classes need [3]"), "{text}");
}

#[test]
fn every_number_has_a_bound() {
    let cases = [
        ("name = \"small\"", "name = \"\"", "name"),
        ("[1, 8, 8]", "[]", "input"),
        ("[1, 8, 8]", "[8, 8, 8, 8]", "input"),
        ("[1, 8, 8]", "[1, 8, 100000]", "input"),
        ("classes = 3", "classes = 1", "classes"),
        ("classes = 3", "classes = 10001", "classes"),
        ("classes = 3", "", "classes"),
        ("classes = 3", "classes = 3\noutputs = 3", "outputs"),
        ("classes = 3", "classes = 3\ntolerance = 0.5", "tolerance"),
        ("classes = 3", "classes = 3\nbatch_size = 0", "batch_size"),
        ("classes = 3", "classes = 3\nlocal_epochs = 1001", "local_epochs"),
        ("classes = 3", "classes = 3\nholdout_percent = 91", "holdout_percent"),
        ("classes = 3", "classes = 3\nclass_names = [\"a\"]", "class_names"),
        ("lr = 0.1", "lr = 0.0", "optimiser.sgd.lr"),
        ("lr = 0.1", "lr = nan", "optimiser.sgd.lr"),
        ("lr = 0.1", "lr = 0.1, momentum = 1.0", "optimiser.sgd.momentum"),
        ("out = 4", "out = 0", "layers[0].conv2d.out"),
        ("padding = 1", "stride = 0", "layers[0].conv2d.stride"),
        ("padding = 1", "padding = 3", "layers[0].conv2d.padding"),
        ("size = 2", "size = 0", "layers[2].max_pool.size"),
        ("p = 0.25", "p = 1.0", "layers[3].dropout.p"),
        ("255.0", "0.0", "data.divide_by"),
        ("255.0", "1.0, mean = [1.0, 2.0]", "data.mean"),
        ("255.0", "1.0, std = [0.0]", "data.std"),
        ("255.0", "1.0, label_column = 0", "data.label_column"),
        ("\"idx\"", "\"csv\"", "data.label_column"),
        ("255.0", "1.0, spool = true", "data.spool"),
        ("255.0", "1.0, ignore_columns = [0]", "data.ignore_columns"),
        ("255.0", "1.0, target_columns = [0]", "data.target_columns"),
        ("255.0", "1.0, window = { length = 8 }", "data.window"),
    ];
    every_case_is_refused(SMALL, &cases);
}

fn every_case_is_refused(task: &str, cases: &[(&str, &str, &str)]) {
    for (good, bad, expected) in cases {
        match Task::from_toml(&task.replace(good, bad)) {
            Err(TaskError::Bounds { key, .. }) => assert_eq!(key, *expected, "{bad}"),
            other => panic!("{bad} gave {other:?}"),
        }
    }
}

const FORECAST: &str = r#"
name = "forecast"
input = [2, 16]
outputs = 2
tolerance = 0.5
loss = "mean_squared_error"
optimiser = { adam = { lr = 0.01 } }
layers = [{ conv1d = { out = 4, kernel = 3 } }, { gru = { hidden = 8 } }, { linear = { out = 2 } }]

[data]
format = "csv"
target_columns = [4, 3]
ignore_columns = [0]
spool = true

[data.window]
length = 16
overlap = 8
normalise = "per_channel"
"#;

#[test]
fn a_regression_over_windows_is_read_and_written_back() {
    let task = Task::from_toml(FORECAST).unwrap();
    assert_eq!((task.loss, task.num_outputs(), task.classes), (Loss::MeanSquaredError, 2, 0));
    assert_eq!(task.layers[0], Layer::Conv1d { out: 4, kernel: 3, stride: 1, padding: 0 });
    assert_eq!(task.layers[1], Layer::Gru { hidden: 8, sequence: false });
    let window = Window { length: 16, overlap: 8, normalise: Normalise::PerChannel };
    assert_eq!((task.data.window, window.step()), (Some(window), 8));
    assert_eq!(Task::from_toml(&task.to_toml()), Ok(task));
}

#[test]
fn every_number_of_a_regression_and_of_windows_has_a_bound() {
    let cases = [
        ("outputs = 2", "outputs = 2\nclasses = 2", "classes"),
        ("outputs = 2", "", "outputs"),
        ("outputs = 2", "outputs = 10001", "outputs"),
        ("tolerance = 0.5", "", "tolerance"),
        ("tolerance = 0.5", "tolerance = -1.0", "tolerance"),
        ("tolerance = 0.5", "tolerance = inf", "tolerance"),
        ("\"csv\"", "\"idx\"", "data.spool"),
        ("\"csv\"", "\"images\"", "data.spool"),
        ("spool = true", "label_column = 1", "data.label_column"),
        ("[4, 3]", "[4]", "data.target_columns"),
        ("[4, 3]", "[4, 4]", "data.target_columns"),
        ("[4, 3]", "[4, 5]", "data.target_columns"),
        ("[0]", "[3]", "data.ignore_columns"),
        ("[0]", "[6]", "data.ignore_columns"),
        ("length = 16", "length = 15", "data.window.length"),
        ("overlap = 8", "overlap = 16", "data.window.overlap"),
        ("kernel = 3", "kernel = 64", "layers[0].conv1d.kernel"),
        ("hidden = 8", "hidden = 0", "layers[1].gru.hidden"),
        ("hidden = 8", "hidden = 4097", "layers[1].gru.hidden"),
    ];
    every_case_is_refused(FORECAST, &cases);
    let text = refusal(&FORECAST.replace("[2, 16]", "[2, 2000]").replace("length = 16", "length = 2000"));
    assert!(text.contains("at most 1024 steps"), "{text}");
    let heavy = FORECAST.replace("hidden = 8", "hidden = 4096").replace("[2, 16]", "[2, 1002]");
    let text = refusal(&heavy.replace("length = 16", "length = 1002"));
    assert!(text.contains("at most 67108864 numbers in a batch, not 32 times [12288, 1000]"), "{text}");
    let text = refusal(&FORECAST.replace("linear = { out = 2 }", "linear = { out = 3 }"));
    assert!(text.contains("[3], but 2 outputs need [2]"), "{text}");
    let text = refusal(&FORECAST.replace("gru", "gro"));
    assert!(text.contains("Did you mean `gru`?"), "{text}");
}

#[test]
fn a_unit_has_the_tensors_of_pytorch() {
    let layout = Task::from_toml(FORECAST).unwrap().layout();
    let tensors: Vec<_> =
        layout.0.iter().map(|tensor| (tensor.name.as_str(), tensor.shape.as_slice())).collect();
    let expected: [(&str, &[usize]); 8] = [
        ("0.weight", &[4, 2, 3]),
        ("0.bias", &[4]),
        ("1.weight_ih_l0", &[24, 4]),
        ("1.weight_hh_l0", &[24, 8]),
        ("1.bias_ih_l0", &[24]),
        ("1.bias_hh_l0", &[24]),
        ("2.weight", &[2, 8]),
        ("2.bias", &[2]),
    ];
    assert_eq!(tensors, expected);
}

#[test]
fn a_model_too_large_for_a_device_is_refused() {
    let wide = SMALL
        .replace("\"flatten\",", "\"flatten\", { linear = { out = 65536 } }, { linear = { out = 65536 } },");
    assert!(refusal(&wide).contains("at most 50000000 weights"));
    let many = SMALL.replace("\"relu\",", &"\"relu\",".repeat(70));
    assert!(refusal(&many).contains("1 to 64 layers"));
    let long = format!("{SMALL}#{}", "x".repeat(70_000));
    assert!(refusal(&long).contains("more than 65536"));
    let heavy = SMALL.replace("[1, 8, 8]", "[1, 4096, 4096]");
    assert!(refusal(&heavy).contains("numbers in a batch"));
}

#[test]
fn a_task_is_made_for_images_that_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut images = vec![0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3];
    images.extend([0, 255, 0, 255, 0, 255, 255, 0, 255, 0, 255, 0]);
    std::fs::write(folder.path().join("images.idx"), images).unwrap();
    std::fs::write(folder.path().join("labels.idx"), [0, 0, 8, 1, 0, 0, 0, 2, 4, 1]).unwrap();
    let task = Task::for_data(folder.path()).unwrap();
    assert_eq!((task.input.as_slice(), task.classes), (&[1, 2, 3][..], 5));
    assert_eq!((task.data.format, task.data.divide_by), (Format::Idx, 255.0));
    assert!(DataSet::open(folder.path(), &task).is_ok());
}

#[test]
fn a_task_is_made_for_a_table_that_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("flowers.csv");
    std::fs::write(&table, "width, species, height\n1.0, lily, 10\n3.0, rose, 10\n2.0, lily, 10\n").unwrap();
    let task = Task::for_data(&table).unwrap();
    assert_eq!(task.name, "flowers");
    assert_eq!(task.class_names, ["lily", "rose"]);
    assert_eq!(task.data.label_column, Some(1));
    assert_eq!((task.data.mean.as_slice(), task.data.std[1]), (&[2.0, 10.0][..], 1.0));
    let data = DataSet::open(&table, &task).unwrap();
    assert_eq!((data.labels(), data.sample(2)), (&[0, 1, 0][..], Some(vec![2.0, 10.0])));
    assert!(Task::for_data(&folder.path().join("missing.csv")).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_text_makes_reading_panic(text in "\\PC{0,200}", at in 0..SMALL.len(), insert in "[\\[\\]{}=\",.0-9a-z-]{0,6}") {
        let _ = Task::from_toml(&text);
        let mut spoilt = SMALL.to_string();
        spoilt.insert_str(at, &insert);
        if let Ok(task) = Task::from_toml(&spoilt) {
            prop_assert_eq!(Task::from_toml(&task.to_toml()), Ok(task));
        }
    }
}
