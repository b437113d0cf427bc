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
    /// The defaults for a network that goes on from one which was trained before; `features` is how many numbers its frozen part
    /// answers, if there is one.
    pub(super) fn for_transfer(dataset: &Dataset, features: Option<usize>) -> Self {
        let usual = Self::for_dataset(dataset);
        let examples = dataset.train.len();
        let own = Self {
            blueprint: "",
            batch_size: 32,
            optimizer: "adamw",
            schedule: "one-cycle",
            weight_decay: 0.01,
            label_smoothing: 0.0,
            ..usual
        };
        if let Some(features) = features {
            // Each step is cheap: the frozen layers have answered already. Many features move the scores as far with less.
            let learning_rate = if features > 256 { 3e-3 } else { 1e-2 };
            return Self { epochs: epochs_for(examples, 3000), learning_rate, augment: "none", ..own };
        }
        Self { epochs: epochs_for(examples, 1500).min(30), learning_rate: 1e-3, ..own }
    }

    /// The defaults for a data set: by its name where it is a known one, else by its kind and size.
    pub(super) fn for_dataset(dataset: &Dataset) -> Self {
        match (dataset.name.as_str(), &dataset.preprocessing) {
            ("digits", _) => DIGITS,
            ("mnist", _) => MNIST,
            ("fashion-mnist", _) => Self { blueprint: "picture-cnn", augment: "light", ..MNIST },
            ("cifar10", _) => CIFAR,
            (_, Preprocessing::Table { .. }) => {
                let rows = dataset.train.len();
                let regression = matches!(dataset.task, Task::Regression { .. });
                let learning_rate = if regression { 1e-3 } else { 2e-3 };
                // Numbers take longer than classes, at the lower rate.
                let most = if regression { 200 } else { 100 };
                let epochs = (2000 * 32 / rows.max(1)).clamp(10, most) as u32;
                let usual = Self { epochs, learning_rate, ..TABLE };
                // Dropout helps few rows, and costs accuracy where there are many.
                match rows {
                    ..2_000 => Self { blueprint: "table-mlp-small", ..usual },
                    2_000..10_000 => usual,
                    _ => Self {
                        blueprint: "table-mlp-wide",
                        epochs: 20,
                        batch_size: 128,
                        learning_rate: 2e-3,
                        ..usual
                    },
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
            (_, Preprocessing::Image { height, channels, .. }) => {
                let blueprint = match height {
                    ..16 => "digits-cnn",
                    16..=64 => "picture-cnn",
                    _ => "photo-cnn",
                };
                let photos = *channels == 3 && !mirroring_matters(&dataset.task);
                let (augment, steps) = if photos { ("photos", 3000) } else { ("light", 1500) };
                let epochs = epochs_for(dataset.train.len(), steps);
                Self { blueprint, epochs, batch_size: 32, augment, ..MNIST }
            }
        }
    }
}

/// Whether the names of the classes say that a mirrored image would be of another class: letters, digits, directions.
fn mirroring_matters(task: &Task) -> bool {
    let Task::Classification { classes } = task else { return false };
    let letters =
        classes.iter().filter(|name| name.chars().count() == 1 || name.parse::<u64>().is_ok()).count();
    let directed = |name: &String| {
        let lower = name.to_lowercase();
        lower.split(|letter: char| !letter.is_alphabetic()).any(|word| word == "left" || word == "right")
    };
    letters * 2 > classes.len() || classes.iter().any(directed)
}

/// Small data needs more passes to make about `steps` batches of 32.
fn epochs_for(examples: usize, steps: usize) -> u32 {
    (steps * 32 / examples.max(1)).clamp(10, 100) as u32
}
