//! What follows from a task's layers, for any stack of layers: against counting by hand, and against a network that runs.

use proptest::collection::vec;
use proptest::prelude::*;
use rafty_learning::{DataLayout, Format, Layer, Loss, Optimiser, Task, TaskError, initial_weights, predict};

fn layer() -> impl Strategy<Value = Layer> {
    prop_oneof![
        4 => (1usize..4, 1usize..5, 1usize..4, 0usize..3).prop_map(|(out, kernel, stride, padding)| {
            Layer::Conv2d { out, kernel, stride, padding: padding.min(kernel - 1) }
        }),
        2 => (1usize..4).prop_map(|size| Layer::MaxPool { size }),
        2 => Just(Layer::Relu),
        1 => Just(Layer::Dropout { p: 0.5 }),
        2 => Just(Layer::Flatten),
        2 => (1usize..6).prop_map(|out| Layer::Linear { out }),
        3 => (1usize..4, 1usize..5, 1usize..4, 0usize..3).prop_map(|(out, kernel, stride, padding)| {
            Layer::Conv1d { out, kernel, stride, padding: padding.min(kernel - 1) }
        }),
        2 => (1usize..4).prop_map(|size| Layer::MaxPool1d { size }),
        2 => (1usize..4, any::<bool>()).prop_map(|(hidden, sequence)| Layer::Gru { hidden, sequence }),
        1 => Just(Layer::GlobalAverage),
    ]
}

/// Nearly every stack fits: a flat end is put behind it.
fn task() -> impl Strategy<Value = Task> {
    let image = (1usize..4, 1usize..12, 1usize..12)
        .prop_map(|(channels, height, width)| vec![channels, height, width]);
    let series = (1usize..4, 1usize..24).prop_map(|(channels, length)| vec![channels, length]);
    let input = prop_oneof![4 => image, 4 => series, 1 => (1usize..9).prop_map(|features| vec![features])];
    let drawn = (input, vec(layer(), 0..6), 2usize..5, any::<bool>(), any::<bool>());
    drawn.prop_map(|(input, mut layers, wanted, ended, regression)| {
        if ended {
            layers.extend([Layer::Flatten, Layer::Linear { out: wanted }]);
        }
        let (loss, format) = match regression {
            true => (Loss::MeanSquaredError, Format::Npy),
            false => (Loss::CrossEntropy, Format::Idx),
        };
        Task {
            name: "drawn".into(),
            input,
            classes: if regression { 0 } else { wanted },
            outputs: if regression { wanted } else { 0 },
            tolerance: if regression { 0.5 } else { 0.0 },
            loss,
            batch_size: 2,
            local_epochs: 1,
            holdout_percent: 0,
            class_names: Vec::new(),
            layers,
            optimiser: Optimiser::Sgd { lr: 0.1, momentum: 0.0 },
            data: DataLayout::of(format),
        }
    })
}

/// In how many places a window can lie, one after another. `None` when it does not fit once.
fn places(size: usize, window: usize, step: usize) -> Option<usize> {
    let count = (0..size).step_by(step).filter(|start| start + window <= size).count();
    (count > 0).then_some(count)
}

/// The shape behind a layer and how many weights it has, counted by hand. `None` where it does not fit.
fn counted(layer: &Layer, shape: &[usize]) -> Option<(Vec<usize>, usize)> {
    match (layer, shape) {
        (Layer::Linear { out }, [features]) => Some((vec![*out], (features + 1) * out)),
        (Layer::Conv2d { out, kernel, stride, padding }, [channels, height, width]) => {
            let side = |size: &usize| places(size + 2 * padding, *kernel, *stride);
            let weights = out * (channels * kernel * kernel + 1);
            Some((vec![*out, side(height)?, side(width)?], weights))
        }
        (Layer::MaxPool { size }, [channels, height, width]) => {
            Some((vec![*channels, places(*height, *size, *size)?, places(*width, *size, *size)?], 0))
        }
        (Layer::Conv1d { out, kernel, stride, padding }, [channels, length]) => {
            let length = places(length + 2 * padding, *kernel, *stride)?;
            Some((vec![*out, length], out * (channels * kernel + 1)))
        }
        (Layer::MaxPool1d { size }, [channels, length]) => {
            Some((vec![*channels, places(*length, *size, *size)?], 0))
        }
        (Layer::Gru { hidden, sequence }, [channels, length]) => {
            let shape = if *sequence { vec![*hidden, *length] } else { vec![*hidden] };
            Some((shape, 3 * hidden * (channels + hidden + 2)))
        }
        (Layer::GlobalAverage, [channels, _] | [channels, _, _]) => Some((vec![*channels], 0)),
        (Layer::Flatten, _) => Some((vec![shape.iter().product()], 0)),
        (Layer::Relu | Layer::Dropout { .. }, _) => Some((shape.to_vec(), 0)),
        _ => None,
    }
}

/// Where the layers end and how many weights they have; or the layer that does not fit and what it gets.
fn followed(task: &Task) -> Result<(Vec<usize>, usize), (usize, Vec<usize>)> {
    let (mut shape, mut weights) = (task.input.clone(), 0);
    for (position, layer) in task.layers.iter().enumerate() {
        let (next, more) = counted(layer, &shape).ok_or((position, shape))?;
        (shape, weights) = (next, weights + more);
    }
    Ok((shape, weights))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_task_has_the_shapes_that_counting_gives_and_its_network_runs(task in task()) {
        match (task.validate(), followed(&task)) {
            (Ok(()), Ok((shape, weights))) => {
                prop_assert_eq!(&shape, &[task.num_outputs()]);
                prop_assert_eq!(task.num_params(), weights);
                let sample = vec![1.0; task.example_len()];
                let outputs = predict(&task, &initial_weights(&task, 7), &sample).unwrap();
                prop_assert_eq!(outputs.len(), task.num_outputs());
                let sum: f32 = outputs.iter().sum();
                let regression = task.loss == Loss::MeanSquaredError;
                prop_assert!(regression || (sum - 1.0).abs() < 1e-4, "probabilities are of {}", sum);
            }
            (Err(TaskError::Output { found, .. }), Ok((shape, _))) => {
                prop_assert_ne!(&shape, &[task.num_outputs()]);
                prop_assert_eq!(found, shape);
            }
            (Err(TaskError::Shape { position, input, .. }), Err(at)) => prop_assert_eq!((position, input), at),
            (Err(TaskError::Bounds { key, .. }), _) => prop_assert!(task.layers.is_empty(), "{}", key),
            (said, counted) => prop_assert!(false, "{said:?}, but counting gives {counted:?}"),
        }
    }
}
