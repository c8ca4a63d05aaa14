//! A task's layers and its optimiser as tensor operations. The only file that knows burn.
//!
//! Every weight tensor is kept flat, and numbers between layers are `[batch, features]`: a layer that wants another
//! shape reshapes, which copies nothing. So one kind of tensor is enough for any architecture.
//! What it does not do: check the task; its shapes hold since it was read.

use crate::random::Random;
use crate::{Layer, Optimiser, Task};
use burn::optim::momentum::MomentumConfig;
use burn::optim::{Adam, AdamConfig, AdamState, Optimizer, Sgd, SgdConfig, SgdState};
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{Device, Gradients, Int, Tensor, TensorData, activation, module};

/// Examples in a row, as the network sees them.
pub(crate) struct Batch {
    pub(crate) values: Vec<f32>,
    pub(crate) labels: Vec<u32>,
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

    /// One number for each example and class, before the softmax.
    pub(crate) fn logits(&self, batch: &Batch) -> Vec<f32> {
        numbers(self.forward(&self.tensors, batch, None, &Device::flex()).flatten::<1>(0, 1))
    }

    /// One step of the optimiser on one batch. Returns the mean loss before it.
    pub(crate) fn step(&mut self, batch: &Batch, descent: &mut Descent, random: &mut Random) -> f32 {
        let device = Device::flex().autodiff();
        let leaves: Vec<_> =
            self.tensors.iter().map(|tensor| tensor.clone().autodiff().require_grad()).collect();
        let logits = self.forward(&leaves, batch, Some(random), &device);
        let count = batch.labels.len();
        let labels: Vec<i32> = batch.labels.iter().map(|label| *label as i32).collect();
        let labels = Tensor::<2, Int>::from_data(TensorData::new(labels, [count, 1]), &device);
        let loss = activation::log_softmax(logits, 1).gather(1, labels).mean().neg();
        let gradients = loss.backward();
        descent.step(&mut self.tensors, &leaves, gradients);
        numbers(loss.inner())[0]
    }

    fn forward(
        &self,
        tensors: &[Tensor<1>],
        batch: &Batch,
        mut training: Option<&mut Random>,
        device: &Device,
    ) -> Tensor<2> {
        let count = batch.labels.len();
        let mut shape = self.task.input.clone();
        let mut x = Tensor::<2>::from_data(
            TensorData::new(batch.values.clone(), [count, self.task.example_len()]),
            device,
        );
        let mut tensors = tensors.iter().cloned();
        let mut next = || tensors.next().expect("the layout has two tensors for each layer with weights");
        for layer in &self.task.layers {
            match *layer {
                Layer::Relu => x = activation::relu(x),
                Layer::Flatten => shape = vec![shape.iter().product()],
                Layer::Dropout { p } => {
                    if let Some(random) = training.as_deref_mut() {
                        x = x.clone() * dropout_mask(random, p, x.dims(), device);
                    }
                }
                Layer::Linear { out } => {
                    let weight = next().reshape([out, shape[0]]);
                    x = x.matmul(weight.transpose()) + next().reshape([1, out]);
                    shape = vec![out];
                }
                Layer::Conv2d { out, kernel, stride, padding } => {
                    let weight = next().reshape([out, shape[0], kernel, kernel]);
                    let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1);
                    let y = module::conv2d(image(x, &shape), weight, Some(next()), options);
                    (x, shape) = flat(y);
                }
                Layer::MaxPool { size } => {
                    let options = MaxPoolOptions::new([size; 2]).with_stride([size; 2]);
                    (x, shape) = flat(module::max_pool2d(image(x, &shape), options));
                }
            }
        }
        x
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

fn flat(x: Tensor<4>) -> (Tensor<2>, Vec<usize>) {
    let [count, channels, height, width] = x.dims();
    (x.reshape([count, channels * height * width]), vec![channels, height, width])
}

fn numbers(tensor: Tensor<1>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("the tensors of this crate hold f32")
}
