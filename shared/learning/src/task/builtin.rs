//! Tasks that come with rafty.

use super::{DataLayout, Format, Layer, Loss, Optimiser, Task};

impl Task {
    /// Handwritten digits of 28 by 28 pixels with a small convolutional network of 71,826 weights.
    pub fn digits_cnn() -> Self {
        let layers = vec![
            Layer::Conv2d { out: 8, kernel: 5, stride: 1, padding: 0 },
            // Pooling first gives the same numbers and leaves a quarter of them to `relu`.
            Layer::MaxPool { size: 2 },
            Layer::Relu,
            Layer::Conv2d { out: 16, kernel: 3, stride: 1, padding: 1 },
            Layer::MaxPool { size: 2 },
            Layer::Relu,
            Layer::Flatten,
            Layer::Linear { out: 120 },
            Layer::Relu,
            Layer::Linear { out: 10 },
        ];
        Self::digits("digits-cnn", layers)
    }

    /// Handwritten digits of 28 by 28 pixels with one hidden layer: 50,890 weights, and fast on the smallest device.
    pub fn digits_mlp() -> Self {
        let layers = vec![Layer::Flatten, Layer::Linear { out: 64 }, Layer::Relu, Layer::Linear { out: 10 }];
        Self::digits("digits-mlp", layers)
    }

    fn digits(name: &str, layers: Vec<Layer>) -> Self {
        Self {
            name: name.into(),
            input: vec![1, 28, 28],
            classes: 10,
            outputs: 0,
            tolerance: 0.0,
            loss: Loss::CrossEntropy,
            batch_size: 32,
            local_epochs: 1,
            holdout_percent: 10,
            class_names: Vec::new(),
            layers,
            optimiser: Optimiser::Sgd { lr: 0.05, momentum: 0.9 },
            data: DataLayout {
                // Greys from 0 to 1 and no more: centred and stretched as usual, unlike shares diverge at this rate.
                divide_by: 255.0,
                mean: vec![0.0],
                std: vec![1.0],
                ..DataLayout::of(Format::Idx)
            },
        }
    }
}
