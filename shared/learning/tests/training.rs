//! Training: that it learns, that it repeats itself, that it stops when told, and what it refuses.

use proptest::prelude::*;
use rafty_learning::{
    DataSet, Layer, Optimiser, Task, TrainControl, TrainError, evaluate, initial_weights, predict, train,
};
use std::cell::{Cell, RefCell};
use std::path::Path;

/// Points on a line; the class says on which side of 0 they are.
fn line() -> (Task, DataSet) {
    let task = Task::from_toml(
        r#"
        name = "line"
        input = [1]
        classes = 2
        batch_size = 8
        local_epochs = 2
        loss = "cross_entropy"
        optimiser = { sgd = { lr = 0.1, momentum = 0.9 } }
        data = { format = "csv", label_column = 1, divide_by = 10.0 }
        layers = [{ linear = { out = 8 } }, "relu", { dropout = { p = 0.2 } }, { linear = { out = 2 } }]
        "#,
    )
    .unwrap();
    let rows: String = (-100..100).map(|x| format!("{x},{}\n", u8::from(x >= 0))).collect();
    let data = DataSet::from_csv(rows.as_bytes(), &task).unwrap();
    (task, data)
}

/// Some of the digits of `examples/digits`, from position `start` on.
fn digits(task: &Task, start: usize, count: usize) -> DataSet {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/digits");
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let all =
        DataSet::from_idx(&read("digits-images.idx3.gz"), &read("digits-labels.idx1.gz"), task).unwrap();
    let share = tempfile::tempdir().unwrap();
    all.write_idx_folder(share.path(), &(start..start + count).collect::<Vec<_>>()).unwrap();
    DataSet::open(share.path(), task).unwrap()
}

#[test]
fn digits_are_learned_in_one_epoch() {
    for (task, least_percent) in [(Task::digits_cnn(), 70), (Task::digits_mlp(), 70)] {
        let (data, test) = (digits(&task, 0, 1_500), digits(&task, 9_000, 300));
        let base = initial_weights(&task, 1);
        let trained = train(&task, &base, &data, 1, &()).unwrap();
        let (before, after) =
            (evaluate(&task, &base, &test).unwrap(), evaluate(&task, &trained.weights, &test).unwrap());
        assert_eq!((before.examples, after.examples), (300, 300));
        assert!(100 * before.correct < 30 * before.examples, "{}: {before:?}", task.name);
        assert!(100 * after.correct > least_percent * after.examples, "{}: {after:?}", task.name);
        assert!(2 * after.loss_micros < before.loss_micros, "{}: {before:?} to {after:?}", task.name);
    }
}

#[test]
fn the_base_is_measured_on_the_holdout_before_training() {
    let (task, data) = line();
    let base = initial_weights(&task, 3);
    let trained = train(&task, &base, &data, 1, &()).unwrap();
    assert_eq!(trained.num_examples, data.training().len() as u64);
    assert_eq!(trained.holdout.examples, data.holdout().len() as u64);
    assert_eq!(trained.holdout.train_loss_micros, trained.train_loss_micros);
    let all = evaluate(&task, &base, &data).unwrap();
    assert_eq!(all.examples, 200);
    assert!(trained.holdout.correct <= all.correct);
    let again = train(&task, &trained.weights, &data, 2, &()).unwrap();
    assert!(again.holdout.loss_micros < trained.holdout.loss_micros);
    assert!(again.train_loss_micros < trained.train_loss_micros);
}

#[test]
fn the_same_seed_gives_the_same_weights() {
    let (task, data) = line();
    let base = initial_weights(&task, 3);
    let run = |seed| train(&task, &base, &data, seed, &()).unwrap();
    assert_eq!(run(7), run(7));
    assert_ne!(run(7).weights, run(8).weights);
}

/// The first two steps of each optimiser, computed by hand for one weight and a single example.
#[test]
fn the_optimisers_are_those_of_pytorch() {
    let mut task = line().0;
    task.layers = vec![Layer::Linear { out: 2 }];
    task.holdout_percent = 0;
    task.data.divide_by = 1.0;
    let data = DataSet::from_csv(b"1,0\n", &task).unwrap();
    // With both weights at 0 the gradient is ∓1/2; by symmetry both logits stay opposite.
    let base = vec![0.0; 4];
    let gradient = |z: f64| -1.0 / (1.0 + (2.0 * z).exp());
    task.optimiser = Optimiser::Sgd { lr: 0.1, momentum: 0.9 };
    let (mut weight, mut velocity) = (0.0f64, 0.0f64);
    for _ in 0..2 {
        velocity = 0.9 * velocity + gradient(2.0 * weight);
        weight -= 0.1 * velocity;
    }
    let trained = train(&task, &base, &data, 1, &()).unwrap().weights;
    assert!((f64::from(trained[0]) - weight).abs() < 1e-6, "{trained:?} but {weight}");

    task.optimiser = Optimiser::Adam { lr: 0.1 };
    let (mut weight, mut first, mut second) = (0.0f64, 0.0f64, 0.0f64);
    for step in 1..=2 {
        let g = gradient(2.0 * weight);
        first = 0.9 * first + 0.1 * g;
        second = 0.999 * second + 0.001 * g * g;
        let (m, v) = (first / (1.0 - 0.9f64.powi(step)), second / (1.0 - 0.999f64.powi(step)));
        weight -= 0.1 * m / (v.sqrt() + 1e-8);
    }
    let trained = train(&task, &base, &data, 1, &()).unwrap().weights;
    assert!((f64::from(trained[0]) - weight).abs() < 1e-4, "{trained:?} but {weight}");
}

/// One step on one example, by hand: the gradient of the mean over outputs is 2 (output - target) / outputs.
#[test]
fn the_loss_of_a_regression_is_that_of_pytorch() {
    let task = numbers(2);
    let task = Task { holdout_percent: 0, layers: vec![Layer::Linear { out: 2 }], ..task };
    let data = DataSet::from_csv(b"3,1,-2\n", &task).unwrap();
    let trained = train(&task, &[0.0; 4], &data, 1, &()).unwrap();
    // Both weights and both biases start at 0, so the errors are -1 and 2; the learning rate is 0.1.
    let expected = [0.3, -0.6, 0.1, -0.2];
    let furthest =
        trained.weights.iter().zip(expected).map(|(a, b): (&f32, f32)| (a - b).abs()).fold(0.0, f32::max);
    assert!(furthest < 1e-6, "{:?}", trained.weights);
    assert_eq!(trained.train_loss_micros, 2_500_000);
}

/// Rows of one feature and so many targets.
fn numbers(outputs: usize) -> Task {
    let columns: Vec<String> = (1..=outputs).map(|column| column.to_string()).collect();
    let text = format!(
        r#"
        name = "numbers"
        input = [1]
        outputs = {outputs}
        tolerance = 0.25
        batch_size = 8
        local_epochs = 1
        loss = "mean_squared_error"
        optimiser = {{ sgd = {{ lr = 0.1 }} }}
        data = {{ format = "csv", target_columns = [{}] }}
        layers = [{{ linear = {{ out = 16 }} }}, "relu", {{ linear = {{ out = {outputs} }} }}]
        "#,
        columns.join(", ")
    );
    Task::from_toml(&text).unwrap()
}

#[test]
fn numbers_are_learned_and_right_is_what_is_within_the_tolerance() {
    let task = Task { local_epochs: 60, ..numbers(1) };
    let rows: String = (-100..100).map(|x| x as f32 / 50.0).map(|x| format!("{x},{}\n", x.abs())).collect();
    let data = DataSet::from_csv(rows.as_bytes(), &task).unwrap();
    let base = initial_weights(&task, 3);
    let trained = train(&task, &base, &data, 1, &()).unwrap();
    let before = evaluate(&task, &base, &data).unwrap();
    let after = evaluate(&task, &trained.weights, &data).unwrap();
    assert!(2 * before.correct < before.examples, "{before:?}");
    assert!(after.correct > 190 && 10 * after.loss_micros < before.loss_micros, "{after:?}");
    let within = rows.lines().filter(|row| {
        let (x, y) = row.split_once(',').unwrap();
        let output = predict(&task, &trained.weights, &[x.parse().unwrap()]).unwrap();
        (output[0] - y.parse::<f32>().unwrap()).abs() <= 0.25
    });
    assert_eq!(after.correct, within.count() as u64);
    assert!(data.labels().is_empty());
}

#[test]
fn a_regression_is_measured_by_squares_and_by_its_tolerance() {
    let task = numbers(2);
    let data = DataSet::from_csv(b"1,0.25,-0.25\n2,0.25,0.5\n3,0,-1\n", &task).unwrap();
    let metrics = evaluate(&task, &vec![0.0; task.num_params()], &data).unwrap();
    // Everything is said to be 0: within 0.25 of both targets once. The mean of 0.0625, 0.15625 and 0.5.
    assert_eq!((metrics.examples, metrics.correct, metrics.loss_micros), (3, 1, 239_583));
}

/// Which of two pulses comes first: nothing that forgets the order of steps can tell.
fn order_of_pulses(layers: &str) -> (Task, DataSet) {
    let task = Task::from_toml(&format!(
        r#"
        name = "order"
        input = [2, 12]
        classes = 2
        batch_size = 8
        local_epochs = 12
        loss = "cross_entropy"
        optimiser = {{ adam = {{ lr = 0.02 }} }}
        data = {{ format = "csv", label_column = 24 }}
        layers = [{layers}, {{ linear = {{ out = 2 }} }}]
        "#
    ))
    .unwrap();
    let mut rows = String::new();
    for (first, second) in (0..12).flat_map(|a| (0..12).map(move |b| (a, b))).filter(|(a, b)| a != b) {
        let pulse = |at: usize| (0..12).map(move |step| if step == at { "1," } else { "0," });
        rows.extend(pulse(first).chain(pulse(second)));
        rows.push_str(if first < second { "0\n" } else { "1\n" });
    }
    let data = DataSet::from_csv(rows.as_bytes(), &task).unwrap();
    (task, data)
}

#[test]
fn sequences_are_learned() {
    for layers in [
        "{ gru = { hidden = 8 } }",
        r#"{ gru = { hidden = 6, sequence = true } }, "global_average""#,
        r#"{ conv1d = { out = 8, kernel = 9, padding = 8 } }, "relu", { max_pool1d = { size = 2 } }, "flatten""#,
    ] {
        let (task, data) = order_of_pulses(layers);
        let trained = train(&task, &initial_weights(&task, 2), &data, 1, &()).unwrap();
        let after = evaluate(&task, &trained.weights, &data).unwrap();
        assert!(100 * after.correct > 85 * after.examples, "{layers}: {after:?}");
    }
}

/// Training goes back through every step: the longest sequence must not be too deep for a thread's stack.
#[test]
fn the_longest_sequence_can_be_trained() {
    let (mut task, _) = order_of_pulses("{ gru = { hidden = 2 } }");
    task.input = vec![1, 1_024];
    task.data.label_column = Some(0);
    let row: String = (0..1_024).map(|at| format!(",{}", at % 7)).collect();
    let data = DataSet::from_csv(format!("0{row}\n1{row}\n").as_bytes(), &task).unwrap();
    let task = Task { local_epochs: 1, ..task };
    let trained = train(&task, &initial_weights(&task, 2), &data, 1, &()).unwrap();
    assert_eq!(trained.weights.len(), task.num_params());
}

#[derive(Default)]
struct Listener {
    seen: RefCell<Vec<(u64, u64)>>,
    stop_after: Cell<Option<usize>>,
}

impl TrainControl for Listener {
    fn progress(&self, done: u64, total: u64) {
        self.seen.borrow_mut().push((done, total));
    }
    fn cancelled(&self) -> bool {
        self.stop_after.get().is_some_and(|batches| self.seen.borrow().len() >= batches)
    }
}

#[test]
fn training_tells_how_far_it_is_and_stops_when_told() {
    let (task, data) = line();
    let base = initial_weights(&task, 3);
    let listener = Listener::default();
    train(&task, &base, &data, 1, &listener).unwrap();
    let total = 2 * data.training().len() as u64;
    let seen = listener.seen.take();
    assert_eq!(seen.last(), Some(&(total, total)));
    assert!(seen.is_sorted());
    listener.stop_after.set(Some(3));
    assert_eq!(train(&task, &base, &data, 1, &listener), Err(TrainError::Cancelled));
    assert_eq!(listener.seen.borrow().len(), 3);
    // A device with much to measure must not be deaf meanwhile.
    assert!(!data.holdout().is_empty());
    listener.seen.take();
    listener.stop_after.set(Some(1));
    assert_eq!(train(&task, &base, &data, 1, &listener), Err(TrainError::Cancelled));
    assert_eq!(listener.seen.take(), [(0, total)]);
}

#[test]
fn what_cannot_be_trained_is_refused_by_name() {
    let (task, data) = line();
    let base = initial_weights(&task, 3);
    let short = train(&task, &base[1..], &data, 1, &());
    assert_eq!(short, Err(TrainError::WrongLength { expected: 34, found: 33 }));
    let empty = DataSet::from_csv(b"", &task).unwrap();
    assert_eq!(train(&task, &base, &empty, 1, &()), Err(TrainError::NoExamples));
    assert_eq!(evaluate(&task, &base, &empty).unwrap().examples, 0);
    let other = digits(&Task::digits_mlp(), 0, 10);
    assert_eq!(train(&task, &base, &other, 1, &()), Err(TrainError::WrongData));
    let mut spoilt = base.clone();
    spoilt[5] = f32::NAN;
    assert!(matches!(train(&task, &spoilt, &data, 1, &()), Err(TrainError::NotFinite(_))));
    let example = predict(&task, &base, &[1.0, 2.0]);
    assert_eq!(example, Err(TrainError::WrongExample { expected: 1, found: 2 }));
}

#[test]
fn a_loss_that_explodes_ends_training() {
    let (mut task, _) = line();
    task.data.divide_by = 1e-30;
    let rows: String = (-100..100).map(|x| format!("{x},{}\n", u8::from(x % 2 == 0))).collect();
    let data = DataSet::from_csv(rows.as_bytes(), &task).unwrap();
    let outcome = train(&task, &initial_weights(&task, 3), &data, 1, &());
    assert!(matches!(outcome, Err(TrainError::NotFinite(_))), "{outcome:?}");
}

#[test]
fn probabilities_are_probabilities() {
    let (task, data) = line();
    let trained = train(&task, &initial_weights(&task, 3), &data, 1, &()).unwrap();
    for (sample, class) in [(-90.0, 0), (90.0, 1)] {
        let odds = predict(&task, &trained.weights, &[sample]).unwrap();
        assert!((odds.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        assert!(odds[class] > 0.9, "{odds:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]
    /// Whatever passes as a task can be computed: no shape makes burn panic.
    #[test]
    fn every_valid_task_predicts(
        channels in 1usize..3, side in 1usize..9,
        layers in prop::collection::vec(prop_oneof![
            (1usize..4, 1usize..5, 1usize..4, 0usize..3)
                .prop_map(|(out, kernel, stride, padding)| Layer::Conv2d { out, kernel, stride, padding }),
            (1usize..4).prop_map(|size| Layer::MaxPool { size }),
            (1usize..4, 1usize..5, 1usize..4, 0usize..3)
                .prop_map(|(out, kernel, stride, padding)| Layer::Conv1d { out, kernel, stride, padding }),
            (1usize..4).prop_map(|size| Layer::MaxPool1d { size }),
            (1usize..4, any::<bool>()).prop_map(|(hidden, sequence)| Layer::Gru { hidden, sequence }),
            Just(Layer::GlobalAverage),
            Just(Layer::Relu),
            Just(Layer::Dropout { p: 0.5 }),
        ], 0..4),
        series: bool,
    ) {
        let mut task = Task::digits_mlp();
        task.input = if series { vec![channels, side * side] } else { vec![channels, side, side] };
        task.layers = layers;
        task.layers.extend([Layer::Flatten, Layer::Linear { out: 10 }]);
        if task.validate().is_ok() {
            let weights = initial_weights(&task, 1);
            let odds = predict(&task, &weights, &vec![1.0; task.example_len()]).unwrap();
            prop_assert_eq!(odds.len(), 10);
            let pixels: Vec<u8> = (0..3 * task.example_len()).map(|at| at as u8).collect();
            let mut sizes = vec![3];
            sizes.extend(task.input.iter().map(|size| *size as u32));
            let mut images = vec![0, 0, 8, sizes.len() as u8];
            images.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
            images.extend(pixels);
            task.holdout_percent = 0;
            let data = DataSet::from_idx(&images, &[0, 0, 8, 1, 0, 0, 0, 3, 0, 1, 2], &task).unwrap();
            let trained = train(&task, &weights, &data, 1, &()).unwrap();
            prop_assert_eq!(trained.weights.len(), weights.len());
        }
    }
}
