//! What is to be learned of an example: its class, or the numbers of a regression.

use crate::{Loss, Task};

/// Of one example.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Target {
    Class(u32),
    Numbers(Vec<f32>),
}

/// Of many, in their order.
pub(crate) enum Targets {
    Classes(Vec<u32>),
    /// As many as the task has outputs for each example.
    Numbers(Vec<f32>),
}

impl Target {
    /// What is hashed with the example.
    pub(super) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Class(class) => class.to_le_bytes().to_vec(),
            Self::Numbers(numbers) => numbers.iter().flat_map(|number| number.to_le_bytes()).collect(),
        }
    }
}

impl Targets {
    pub(super) fn none_of(task: &Task) -> Self {
        match task.loss {
            Loss::CrossEntropy => Self::Classes(Vec::new()),
            Loss::MeanSquaredError => Self::Numbers(Vec::new()),
        }
    }

    /// Takes in one more, which is of the same kind since both follow from the task.
    pub(super) fn push(&mut self, target: Target) {
        match (self, target) {
            (Self::Classes(classes), Target::Class(class)) => classes.push(class),
            (Self::Numbers(all), Target::Numbers(numbers)) => all.extend(numbers),
            _ => unreachable!("the reader and the set have one task"),
        }
    }

    /// Those of some examples, of which each has `width` outputs.
    pub(crate) fn of(&self, positions: &[usize], width: usize) -> Self {
        match self {
            Self::Classes(classes) => Self::Classes(positions.iter().map(|at| classes[*at]).collect()),
            Self::Numbers(numbers) => Self::Numbers(
                positions.iter().flat_map(|at| &numbers[at * width..(at + 1) * width]).copied().collect(),
            ),
        }
    }
}
