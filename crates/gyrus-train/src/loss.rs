//! The loss of a network's outputs, by the kind of target.

use gyrus_data::{Dataset, Targets, Task};
use gyrus_tensor::Operation;

/// The loss of outputs against the targets at `indices`: cross-entropy for classes, mean squared error for values.
#[must_use]
pub fn loss_operation(targets: &Targets, indices: &[u32], classes: usize, smoothing: f32) -> Operation {
    match targets {
        Targets::Classes(all) => {
            let targets = indices.iter().map(|&i| all[i as usize]).collect();
            Operation::CrossEntropy { targets, classes, smoothing }
        }
        Targets::Values(all) => {
            Operation::MeanSquaredError { targets: indices.iter().map(|&i| all[i as usize]).collect() }
        }
    }
}

/// How many outputs a network for this data set has.
#[must_use]
pub fn outputs(dataset: &Dataset) -> usize {
    match &dataset.task {
        Task::Classification { classes } => classes.len(),
        Task::Regression { .. } => 1,
    }
}
