//! A task's layers, loss and optimiser as tensor operations. The only module that knows burn.
//!
//! Every weight tensor is kept flat, and numbers between layers are `[batch, features]`: a layer that wants another
//! shape reshapes, which copies nothing. So one kind of tensor is enough for any architecture.
//! What it does not do: check the task; its shapes hold since it was read.

mod gru;

use crate::data::Targets;
use crate::random::Random;
use crate::task::GATES;
use crate::{Layer, Optimiser, Task};
use burn::optim::momentum::MomentumConfig;
use burn::optim::{Adam, AdamConfig, AdamState, Optimizer, Sgd, SgdConfig, SgdState};
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{Device, Gradients, Int, Tensor, TensorData, activation, module};
use gru::Gru;

/// Examples in a row, as the network sees them.
pub(crate) struct Batch {
    pub(crate) values: Vec<f32>,
    pub(crate) targets: Targets,
}

/// A model: its task and its weights.
pub(crate) struct Network<'a> {
    task: &'a Task,
    tensors: Vec<Tensor<1>>,
}

impl<'a> Network<'a> {
    /// The model with these weights, which must be as many as the task's layout has.
    pub(crate) fn new(task: &'a Task, weights: &[f32]) -> Self {
        let device = Device::flex();
        let mut rest = weights;
        let layout = task.layout();
        let tensors = layout.0.iter().map(|tensor| {
            let (values, after) = rest.split_at(tensor.shape.iter().product());
            rest = after;
            Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), &device)
        });
        Self { task, tensors: tensors.collect() }
    }

    /// The weights, flat.
    pub(crate) fn weights(&self) -> Vec<f32> {
        self.tensors.iter().flat_map(|tensor| numbers(tensor.clone())).collect()
    }

    /// One number for each example and class, before the softmax; or for each example and output of a regression.
    pub(crate) fn outputs(&self, values: &[f32]) -> Vec<f32> {
        numbers(self.forward(&self.tensors, values, None, &Device::flex()).flatten::<1>(0, 1))
    }

    /// One step of the optimiser on one batch. Returns the mean loss before it.
    pub(crate) fn step(&mut self, batch: &Batch, descent: &mut Descent, random: &mut Random) -> f32 {
        let device = Device::flex().autodiff();
        let leaves: Vec<_> =
            self.tensors.iter().map(|tensor| tensor.clone().autodiff().require_grad()).collect();
        let outputs = self.forward(&leaves, &batch.values, Some(random), &device);
        let loss = loss(outputs, &batch.targets);
        let gradients = loss.backward();
        descent.step(&mut self.tensors, &leaves, gradients);
        numbers(loss.inner())[0]
    }

    fn forward(
        &self,
        tensors: &[Tensor<1>],
        values: &[f32],
        mut training: Option<&mut Random>,
        device: &Device,
    ) -> Tensor<2> {
        let width = self.task.example_len();
        let mut shape = self.task.input.clone();
        let values = TensorData::new(values.to_vec(), [values.len() / width, width]);
        let mut x = Tensor::<2>::from_data(values, device);
        let mut tensors = tensors.iter().cloned();
        let mut next = || tensors.next().expect("the layout has the tensors of every layer");
        for layer in &self.task.layers {
            (x, shape) = match (layer, training.as_deref_mut()) {
                (Layer::Dropout { p }, Some(random)) => {
                    (x.clone() * dropout_mask(random, *p, x.dims(), device), shape)
                }
                (layer, _) => through(layer, x, shape, &mut next),
            };
        }
        x
    }
}

/// What a layer makes of a batch, and the shape of one example then. `next` gives its tensors, one after another.
fn through(
    layer: &Layer,
    x: Tensor<2>,
    shape: Vec<usize>,
    next: &mut dyn FnMut() -> Tensor<1>,
) -> (Tensor<2>, Vec<usize>) {
    match *layer {
        Layer::Relu => (activation::relu(x), shape),
        Layer::Flatten => (x, vec![shape.iter().product()]),
        Layer::Dropout { .. } => (x, shape),
        Layer::Linear { out } => {
            let weight = next().reshape([out, shape[0]]);
            (x.matmul(weight.transpose()) + next().reshape([1, out]), vec![out])
        }
        Layer::Conv2d { out, kernel, stride, padding } => {
            let weight = next().reshape([out, shape[0], kernel, kernel]);
            let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1);
            flat(module::conv2d(image(x, &shape), weight, Some(next()), options))
        }
        Layer::MaxPool { size } => {
            let options = MaxPoolOptions::new([size; 2]).with_stride([size; 2]);
            flat(module::max_pool2d(image(x, &shape), options))
        }
        Layer::Conv1d { out, kernel, stride, padding } => {
            let weight = next().reshape([out, shape[0], kernel]);
            let options = ConvOptions::new([stride], [padding], [1], 1);
            flat(module::conv1d(series(x, &shape), weight, Some(next()), options))
        }
        Layer::MaxPool1d { size } => {
            let options = MaxPoolOptions::new([size]).with_stride([size]);
            flat(module::max_pool1d(series(x, &shape), options))
        }
        Layer::Gru { hidden, sequence } => {
            let unit = Gru {
                input_weight: next().reshape([GATES * hidden, shape[0]]),
                state_weight: next().reshape([GATES * hidden, hidden]),
                input_bias: next(),
                state_bias: next(),
            };
            let mut states = unit.states(series(x, &shape));
            match sequence {
                true => flat(Tensor::stack::<3>(states, 2)),
                false => (states.pop().expect("an input has at least one step"), vec![hidden]),
            }
        }
        Layer::GlobalAverage => {
            let ([count, features], channels) = (x.dims(), shape[0]);
            let means = x.reshape([count, channels, features / channels]).mean_dim(2);
            (means.reshape([count, channels]), vec![channels])
        }
    }
}

/// The mean loss over a batch.
fn loss(outputs: Tensor<2>, targets: &Targets) -> Tensor<1> {
    let ([count, width], device) = (outputs.dims(), outputs.device());
    match targets {
        Targets::Classes(labels) => {
            let labels: Vec<i32> = labels.iter().map(|label| *label as i32).collect();
            let labels = Tensor::<2, Int>::from_data(TensorData::new(labels, [count, 1]), &device);
            activation::log_softmax(outputs, 1).gather(1, labels).mean().neg()
        }
        Targets::Numbers(numbers) => {
            let targets = Tensor::from_data(TensorData::new(numbers.clone(), [count, width]), &device);
            (outputs - targets).square().mean()
        }
    }
}

/// How the task's optimiser changes weights, with what it remembers between steps.
pub(crate) enum Descent {
    Sgd { optimiser: Sgd, lr: f64, states: Vec<Option<SgdState<1>>> },
    Adam { optimiser: Adam, lr: f64, states: Vec<Option<AdamState<1>>> },
}

impl Descent {
    pub(crate) fn new(task: &Task) -> Self {
        match task.optimiser {
            Optimiser::Sgd { lr, momentum } => {
                // Without dampening, as PyTorch: burn's default is another.
                let momentum = MomentumConfig { momentum, dampening: 0.0, nesterov: false };
                let optimiser = SgdConfig::new().with_momentum(Some(momentum)).build();
                Self::Sgd { optimiser, lr, states: Vec::new() }
            }
            Optimiser::Adam { lr } => {
                let optimiser = AdamConfig::new().with_epsilon(1e-8).build();
                Self::Adam { optimiser, lr, states: Vec::new() }
            }
        }
    }

    fn step(&mut self, tensors: &mut [Tensor<1>], leaves: &[Tensor<1>], gradients: Gradients) {
        match self {
            Self::Sgd { optimiser, lr, states } => step(optimiser, *lr, states, tensors, leaves, gradients),
            Self::Adam { optimiser, lr, states } => step(optimiser, *lr, states, tensors, leaves, gradients),
        }
    }
}

fn step<O: Optimizer>(
    optimiser: &O,
    lr: f64,
    states: &mut Vec<Option<O::State<1>>>,
    tensors: &mut [Tensor<1>],
    leaves: &[Tensor<1>],
    mut gradients: Gradients,
) {
    states.resize_with(tensors.len(), || None);
    for ((tensor, leaf), state) in tensors.iter_mut().zip(leaves).zip(states) {
        if let Some(gradient) = leaf.grad_remove(&mut gradients) {
            (*tensor, *state) = optimiser.step(lr, tensor.clone(), gradient, state.take());
        }
    }
}

/// 0 with chance `p`, otherwise what keeps the mean as it is.
fn dropout_mask(random: &mut Random, p: f32, [rows, columns]: [usize; 2], device: &Device) -> Tensor<2> {
    let kept = 1.0 / (1.0 - p);
    let mask: Vec<f32> =
        (0..rows * columns).map(|_| if random.unit() < f64::from(p) { 0.0 } else { kept }).collect();
    Tensor::from_data(TensorData::new(mask, [rows, columns]), device)
}

fn image(x: Tensor<2>, shape: &[usize]) -> Tensor<4> {
    let count = x.dims()[0];
    x.reshape([count, shape[0], shape[1], shape[2]])
}

fn series(x: Tensor<2>, shape: &[usize]) -> Tensor<3> {
    let count = x.dims()[0];
    x.reshape([count, shape[0], shape[1]])
}

/// A batch of any shape as rows, and the shape of one example in it.
fn flat<const D: usize>(x: Tensor<D>) -> (Tensor<2>, Vec<usize>) {
    let dims = x.dims();
    let shape = dims[1..].to_vec();
    (x.reshape([dims[0], shape.iter().product()]), shape)
}

fn numbers(tensor: Tensor<1>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("the tensors of this crate hold f32")
}
