//! Our side of the works: the networks of `bench/torch_works.py`, built with Gyrus.
//!
//! Everything goes through the public library, as a user's program would: [`Network::gradients`] and
//! [`Optimizer::step`] for a training step, [`Network::infer`] for an answer.

use std::path::Path;

use anyhow::{Context, Result, bail};
use gyrus_blueprint::preset;
use gyrus_nn::Network;
use gyrus_tensor::{Operation, Tensor, cpu, filled_tensor};
use gyrus_train::Optimizer;

use crate::worker::{Timed, timed};

/// One work, set up on fixed random data.
pub(crate) struct Work {
    pub(crate) network: Network,
    /// What a step does beside the forward pass; nothing for inference.
    pub(crate) training: Option<Training>,
    pub(crate) input: Tensor<2>,
    pub(crate) threads: usize,
}

/// What a training step needs.
pub(crate) struct Training {
    pub(crate) loss: Operation,
    /// The optimiser and its learning rate; without it a step ends with the gradients.
    pub(crate) optimizer: Option<(Optimizer, f32)>,
}

/// Repeatable values in -1 ..= 1.
pub(crate) fn values(count: usize) -> impl Iterator<Item = f32> {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    (0..count).map(move |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    })
}

/// Sets up the work `name` for `threads` threads.
///
/// # Errors
/// When there is no such work on our side.
pub(crate) fn create(name: &str, threads: usize, file: Option<&Path>) -> Result<Box<dyn Timed>> {
    if name.starts_with("spiking-") {
        return Ok(Box::new(crate::spiking::create(name, threads, file)?));
    }
    if name.starts_with("decoder-") || name.starts_with("lora-") {
        return Ok(Box::new(crate::decoder::create(name, threads)?));
    }
    if name.starts_with("events-") {
        return Ok(Box::new(crate::events::Work::new(file, false, threads)?));
    }
    if name.starts_with("embed-") {
        return Ok(Box::new(crate::sentences::Work::new(file, threads)?));
    }
    if name.contains("-q") {
        return crate::language::create(name, threads, file);
    }
    let (network, work) = name.split_once('-').context("a work is NETWORK-WORK")?;
    let (blueprint, shape) = match network {
        "mlp" => ("mlp", vec![784]),
        "cnn" => ("cnn", vec![1, 28, 28]),
        "resnet20" => ("resnet20", vec![3, 32, 32]),
        _ => bail!("'{name}' has no implementation on our side"),
    };
    let (batch, train) = match (work, network) {
        ("train", "mlp") => (128, true),
        ("train", _) => (64, true),
        ("infer-64", _) => (64, false),
        ("infer-1", _) => (1, false),
        _ => bail!("'{name}' has no implementation on our side"),
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
    Ok(Box::new(Work { network, training, input, threads }))
}

impl Timed for Work {
    /// A whole training step (forward, backward, optimiser), the gradients alone, or one inference.
    fn steps(&mut self, count: usize) -> Result<Vec<f64>> {
        timed(self.threads, count, |index| self.step(index))
    }

    /// How many trainable numbers the network has; the runner compares it with PyTorch's count.
    fn parameters(&self) -> usize {
        self.network.parameter_count()
    }
}

impl Work {
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
