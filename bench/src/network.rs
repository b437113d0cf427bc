//! Our side of the dense workloads: the networks of `bench/peers/torch_works.py`, built with Gyrus.
//!
//! Only the public library is used, as in a user's program: [`Network::gradients`] and [`Optimizer::step`] for a training
//! step, [`Network::infer`] for inference.

use anyhow::{Context, Result, bail};
use gyrus_blueprint::preset;
use gyrus_nn::Network;
use gyrus_tensor::{Operation, Tensor, cpu, filled_tensor};
use gyrus_train::Optimizer;

use crate::timing::{Timed, timed, values};

/// One workload on fixed random data.
pub(crate) struct Workload {
    pub(crate) network: Network,
    /// What a training step needs; `None` for inference.
    pub(crate) training: Option<Training>,
    pub(crate) input: Tensor<2>,
    pub(crate) threads: usize,
}

/// What a training step needs.
pub(crate) struct Training {
    pub(crate) loss: Operation,
    /// The optimizer and its learning rate; without it a step ends with the gradients.
    pub(crate) optimizer: Option<(Optimizer, f32)>,
}

/// Sets up the workload `name` for `threads` threads.
///
/// # Errors
/// If Gyrus does not implement this workload.
pub(crate) fn create(name: &str, threads: usize) -> Result<Workload> {
    let (network, task) = name.split_once('-').context("expected a workload named NETWORK-TASK")?;
    let (blueprint, shape) = match network {
        "mlp" => ("mlp", vec![784]),
        "cnn" => ("cnn", vec![1, 28, 28]),
        "resnet20" => ("resnet20", vec![3, 32, 32]),
        _ => bail!("Gyrus does not implement '{name}'"),
    };
    let (batch, train) = match (task, network) {
        ("train", "mlp") => (128, true),
        ("train", _) => (64, true),
        ("infer-64", _) => (64, false),
        ("infer-1", _) => (1, false),
        _ => bail!("Gyrus does not implement '{name}'"),
    };
    let elements = shape.iter().product();
    let network = Network::new(&preset(blueprint, shape, 10)?, 0, &cpu())?;
    let optimizer = match (train, blueprint) {
        (false, _) => None,
        (true, "resnet20") => Some((Optimizer::new("sgd", 1e-4, &network)?, 0.01)),
        (true, _) => Some((Optimizer::new("adamw", 0.01, &network)?, 1e-3)),
    };
    let targets = (0..batch as u32).map(|i| i % 10).collect();
    let loss = Operation::CrossEntropy { targets, classes: 10, smoothing: 0.0 };
    let training = optimizer.map(|optimizer| Training { loss, optimizer: Some(optimizer) });
    let input = filled_tensor(batch, elements, |x| {
        x.iter_mut().zip(values(batch * elements)).for_each(|(x, v)| *x = v)
    });
    Ok(Workload { network, training, input, threads })
}

impl Timed for Workload {
    /// One training step (forward, backward, optimizer), one gradient computation, or one inference.
    fn steps(&mut self, count: usize) -> Result<Vec<f64>> {
        timed(self.threads, count, |index| self.step(index))
    }

    /// Number of trainable parameters; the runner compares it with PyTorch's.
    fn parameters(&self) -> usize {
        self.network.parameter_count()
    }
}

impl Workload {
    fn step(&mut self, noise: u64) -> Result<()> {
        let input = self.input.clone();
        match &mut self.training {
            Some(Training { loss, optimizer }) => {
                let (loss, gradients) = self.network.gradients(input, noise, loss.clone())?;
                assert!(loss.is_finite(), "the training diverged");
                if let Some((optimizer, learning_rate)) = optimizer {
                    optimizer.step(&mut self.network, gradients, *learning_rate);
                }
            }
            None => {
                std::hint::black_box(self.network.infer(input));
            }
        }
        Ok(())
    }
}
