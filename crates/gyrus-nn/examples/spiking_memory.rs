//! Memory of one training step of a 784-1000-10 spiking network, 25 steps of 128 samples: `cargo run --release --example
//! spiking_memory`. Prints the process's peak memory before and after the step, in MB (Linux).

use gyrus_blueprint::{Blueprint, NodeKind};
use gyrus_nn::{Encoder, Intensity, Network, Readout, SpikingSettings};
use gyrus_tensor::{Operation, Tensor, cpu, filled_tensor};

/// Largest resident size so far, in MB.
fn peak() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1e3)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let blueprint = Blueprint::builder("mlp")
        .input([784])
        .node("first", NodeKind::affine(1000))
        .node("cells", NodeKind::lif(2.0))
        .node("second", NodeKind::affine(10))
        .node("answer", NodeKind::lif(2.0))
        .build()?;
    let settings = SpikingSettings {
        steps: 25,
        encoder: Encoder::Rate { intensity: Intensity::Pixels { mean: vec![0.0], std: vec![1.0] } },
        readout: Readout::Counts,
        ..SpikingSettings::default()
    };
    let mut network = Network::with(&blueprint, Some(&settings), 0, &cpu())?;
    // About as bright as MNIST.
    let x: Tensor<2> = filled_tensor(128, 784, |x| {
        x.iter_mut().enumerate().for_each(|(i, x)| *x = if i * 7 % 100 < 19 { 0.7 } else { 0.0 });
    });
    let before = peak();
    for noise in 0..3 {
        let loss = Operation::CrossEntropy { targets: vec![3; 128].into(), classes: 10, smoothing: 0.0 };
        network.gradients(x.clone(), noise, loss)?;
    }
    println!("peak before {before:?} MB, after {:?} MB", peak());
    Ok(())
}
