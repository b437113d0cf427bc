//! Our side of the spiking workloads: the networks of `bench/peers/snn_works.py`, built with Gyrus.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use gyrus_blueprint::{Blueprint, Discretization, Integration, NodeKind, Padding, Reset};
use gyrus_nn::{Encoder, Intensity, Network, Readout, SpikingSettings};
use gyrus_tensor::{Operation, cpu, filled_tensor};
use gyrus_train::Optimizer;

use crate::images;
use crate::network::{Training, Workload};
use crate::timing::values;

/// Share of spikes in the sparse inputs.
const SHARE: f32 = 0.05;

/// Whether the workload needs images.
pub(crate) fn wants_images(name: &str) -> bool {
    name.ends_with("-train")
}

/// Neurons that lose half their potential per step, reset by subtraction, and fire at `threshold`.
fn neurons(threshold: f64) -> NodeKind {
    let mut kind = NodeKind::lif(2.0);
    if let NodeKind::LIF { v_threshold, reset, .. } = &mut kind {
        (*v_threshold, *reset) = (threshold, Reset::Subtract);
    }
    kind
}

fn settings(steps: usize, encoder: Encoder) -> SpikingSettings {
    SpikingSettings {
        steps,
        time: Discretization { dt_ms: 1.0, integration: Integration::Euler },
        encoder,
        readout: Readout::Counts,
        surrogate: "fast-sigmoid:10".to_owned(),
        ..SpikingSettings::default()
    }
}

/// Sets up the workload `name` for `threads` threads; `file` was written by [`images::write`].
///
/// # Errors
/// If Gyrus does not implement this workload, or its images cannot be read.
pub(crate) fn create(name: &str, threads: usize, file: Option<&Path>) -> Result<Workload> {
    match name {
        "spiking-layer-dense" => layer((100, 16, 512), false, 1.0, threads),
        "spiking-layer-sparse" => layer((100, 16, 512), true, 0.2, threads),
        "spiking-layer-wide" => layer((25, 128, 1000), true, 0.2, threads),
        "spiking-mnist-train" => {
            let blueprint = Blueprint::builder("spiking-mnist")
                .input([784])
                .node("hidden", NodeKind::affine(1000))
                .node("hidden_lif", neurons(0.5))
                .node("answer", NodeKind::affine(10))
                .node("answer_lif", neurons(0.5))
                .build()?;
            train(&blueprint, (25, 128), file, threads)
        }
        "spiking-cnn-train" => {
            let convolution = |channels| NodeKind::conv2d(channels, 3).padding(Padding::Same);
            let blueprint = Blueprint::builder("spiking-cnn")
                .input([1, 28, 28])
                .node("conv1", convolution(16))
                .node("lif1", neurons(0.5))
                .node("pool1", NodeKind::max_pool2d(2))
                .node("conv2", convolution(32))
                .node("lif2", neurons(0.5))
                .node("pool2", NodeKind::max_pool2d(2))
                .node("flatten", NodeKind::flatten())
                .node("answer", NodeKind::affine(10))
                .node("answer_lif", neurons(0.5))
                .build()?;
            train(&blueprint, (8, 64), file, threads)
        }
        _ => bail!("Gyrus does not implement '{name}'"),
    }
}

/// One layer of weights and neurons: gradients of the mean squared distance between its spike counts and a tenth of the
/// steps. The input is stored as numbers; a sparse one is packed into spikes within the step.
fn layer(
    (steps, batch, width): (usize, usize, usize),
    binary: bool,
    threshold: f64,
    threads: usize,
) -> Result<Workload> {
    let blueprint = Blueprint::builder("spiking-layer")
        .input([width])
        .node("weights", NodeKind::affine(width))
        .node("neurons", neurons(threshold))
        .build()?;
    let network = Network::with(&blueprint, Some(&settings(steps, Encoder::Frames { binary })), 0, &cpu())?;
    let count = batch * steps * width;
    let input = filled_tensor(batch, steps * width, |x| {
        let mut random = values(2 * count);
        let mut uniform = || random.next().map_or(0.5, |value| (value + 1.0) / 2.0);
        for x in x {
            *x = match binary {
                true => f32::from(uniform() < SHARE),
                // Box and Muller 1958.
                false => (-2.0 * (1.0 - uniform()).ln()).sqrt() * (std::f32::consts::TAU * uniform()).cos(),
            };
        }
    });
    let targets: Arc<[f32]> = vec![steps as f32 / 10.0; batch * width].into();
    let training = Training { loss: Operation::MeanSquaredError { targets }, optimizer: None };
    Ok(Workload { network, training: Some(training), input, threads })
}

/// Whole training steps on rate-coded images, with new spikes in each step.
fn train(
    blueprint: &Blueprint,
    (steps, batch): (usize, usize),
    file: Option<&Path>,
    threads: usize,
) -> Result<Workload> {
    let (pixels, targets) = images::read(file.context("this workload needs images")?, batch)?;
    let intensity = Intensity::Pixels { mean: vec![0.0], std: vec![1.0] };
    let settings = settings(steps, Encoder::Rate { intensity });
    let network = Network::with(blueprint, Some(&settings), 0, &cpu())?;
    let optimizer = Some((Optimizer::new("adamw", 0.01, &network)?, 1e-3));
    let input = filled_tensor(batch, images::PIXELS, |x| x.copy_from_slice(&pixels));
    let loss = Operation::CrossEntropy { targets: targets.into(), classes: 10, smoothing: 0.0 };
    Ok(Workload { network, training: Some(Training { loss, optimizer }), input, threads })
}
