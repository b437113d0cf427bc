//! Default settings of `learn` for each kind of data.

use gyrus_data::{Dataset, Preprocessing, Task};

/// Settings for a kind of data, unless the caller chooses.
#[derive(Clone, Debug)]
pub(super) struct Defaults {
    pub(super) blueprint: &'static str,
    pub(super) epochs: u32,
    pub(super) batch_size: usize,
    pub(super) learning_rate: f64,
    pub(super) optimizer: &'static str,
    pub(super) schedule: &'static str,
    pub(super) augment: &'static str,
    pub(super) weight_decay: f64,
    pub(super) label_smoothing: f64,
}

const DIGITS: Defaults = Defaults {
    blueprint: "digits-cnn",
    epochs: 40,
    batch_size: 32,
    learning_rate: 3e-3,
    optimizer: "adamw",
    schedule: "one-cycle",
    augment: "light",
    weight_decay: 0.01,
    label_smoothing: 0.05,
};

const MNIST: Defaults = Defaults {
    blueprint: "mnist-cnn",
    epochs: 10,
    batch_size: 64,
    learning_rate: 3e-3,
    optimizer: "adamw",
    schedule: "one-cycle",
    augment: "digits",
    weight_decay: 0.01,
    label_smoothing: 0.0,
};

const CIFAR: Defaults = Defaults {
    blueprint: "resnet20",
    epochs: 30,
    batch_size: 64,
    learning_rate: 0.05,
    optimizer: "sgd",
    schedule: "one-cycle",
    augment: "photos",
    weight_decay: 5e-4,
    label_smoothing: 0.0,
};

const TABLE: Defaults = Defaults {
    blueprint: "table-mlp",
    epochs: 60,
    batch_size: 32,
    learning_rate: 2e-3,
    optimizer: "adamw",
    schedule: "one-cycle",
    augment: "none",
    weight_decay: 0.01,
    label_smoothing: 0.0,
};

impl Defaults {
    /// The defaults for a data set: by its name where it is a known one, else by its kind and size.
    pub(super) fn for_dataset(dataset: &Dataset) -> Self {
        match (dataset.name.as_str(), &dataset.preprocessing) {
            ("digits", _) => DIGITS,
            ("mnist", _) => MNIST,
            ("fashion-mnist", _) => Self { blueprint: "picture-cnn", augment: "light", ..MNIST },
            ("cifar10", _) => CIFAR,
            (_, Preprocessing::Table { .. }) => {
                let regression = matches!(dataset.task, Task::Regression { .. });
                Self {
                    epochs: epochs_for(dataset.train.len(), 2000),
                    learning_rate: if regression { 1e-3 } else { 2e-3 },
                    ..TABLE
                }
            }
            (_, Preprocessing::Events { height, width, .. }) => {
                let blueprint = match height.min(width) {
                    ..8 => "mlp",
                    8..16 => "digits-cnn",
                    _ => "mnist-cnn",
                };
                let epochs = epochs_for(dataset.train.len(), 600);
                Self { blueprint, epochs, batch_size: 32, augment: "none", ..MNIST }
            }
            (_, Preprocessing::Image { height, .. }) => {
                let blueprint = if *height < 16 { "digits-cnn" } else { "picture-cnn" };
                Self {
                    blueprint,
                    epochs: epochs_for(dataset.train.len(), 1500),
                    batch_size: 32,
                    augment: "light",
                    ..MNIST
                }
            }
        }
    }
}

/// Small data needs more passes to make about `steps` batches of 32.
fn epochs_for(examples: usize, steps: usize) -> u32 {
    (steps * 32 / examples.max(1)).clamp(10, 100) as u32
}
