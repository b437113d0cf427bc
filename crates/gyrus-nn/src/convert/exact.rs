//! The spiking network that answers exactly as its quantised network does.
//!
//! Two things make floating-point sums of the two networks differ: rounding, which depends on the order of additions, and
//! the time at which spikes arrive. Both are removed.
//!
//! - **No rounding.** Every quantised ReLU gets the unit 1 (its threshold goes into the weights around it), so that what it
//!   says are whole numbers from 0 to L. The weights of a node become multiples of 2^−m, whole numbers of at most 12 bits
//!   times one power of two, and so do biases and the input ([`Encoder::Once`](crate::Encoder)). m is chosen such that the
//!   largest sum that can occur, `max |input| · Σ |weight| + |bias|`, is below 2^23 of such multiples, with room for the
//!   intermediate sums of the fast 3×3 convolutions. `f32` holds every whole number up to 2^24: all products and sums are
//!   exact, and their order does not matter. Windows of an average that are no power of two become sums, their division
//!   part of the weights behind.
//! - **Time.** The input and the biases come once, at the first step ([`NodeKind::SignedIF`] starts with the bias). A
//!   signed neuron moves its count by one a step towards the level that its sum so far asks for, upwards or downwards. The
//!   sums of the first layer stay from the first step on, so its counts are right after L steps; then the sums of the
//!   second layer stay, whose counts are right L steps later, and so on: after L steps for each layer of the longest path
//!   every count equals the level of the quantised network, and nothing fires any more. The answer is the sum over all steps
//!   of what the last node says. (You et al. 2024, arXiv:2406.03470, have the neuron; the bound and the arithmetic are ours.)

mod grid;
mod quantized;
mod reach;
mod spiking;

use std::collections::BTreeMap;

use gyrus_blueprint::{Blueprint, NodeKind, Pool2d, Shapes};
use gyrus_files::State;

use super::draft::{Draft, refuse};
use crate::Result;
use crate::spiking::{Encoder, Readout, SpikingSettings};

use grid::{INPUT_FRACTION_BITS, WEIGHT_BITS};
use quantized::Quantizer;
use reach::Reach;

/// A quantised network and the spiking one that answers as it does.
#[derive(Clone, Debug)]
pub struct ExactForm {
    /// A dense network; the same answers from inputs [`rounded`](crate::rounded) as the encoder says.
    pub quantized: (Blueprint, State),
    /// The spiking network.
    pub spiking: (Blueprint, State),
    /// How it lives in time: as many steps as are enough, brought to a power of two.
    pub settings: SpikingSettings,
    /// Steps after which nothing fires any more, for any input.
    pub enough_steps: usize,
    /// The grid of the input.
    pub fraction_bits: u32,
}

/// The exact spiking form of a folded, quantised network whose inputs lie within ±`limit`; what lies beyond is cut.
///
/// # Errors
/// If a node has no such form, or so many inputs that no sum of them is exact.
pub fn exact_form(blueprint: &Blueprint, state: &State, limit: f32) -> Result<ExactForm> {
    let (blueprint, shrink) = without_uneven_averages(blueprint)?;
    let shapes = blueprint.shapes()?;
    let reach = Reach::new(&blueprint, &shapes, state)?;
    let enough_steps = longest_path(&blueprint, &shapes);
    let steps = enough_steps.next_power_of_two();
    let mut widest = None;
    for bits in WEIGHT_BITS.rev() {
        let quantizer = Quantizer { bits, steps, limit, reach: &reach, shrink: &shrink };
        match quantizer.quantized(&blueprint, &shapes, state)? {
            Ok(quantized) => {
                let spiking = spiking::of_quantized(&quantized, steps)?;
                let settings = SpikingSettings {
                    steps,
                    encoder: Encoder::Once { fraction_bits: INPUT_FRACTION_BITS, limit },
                    readout: Readout::Sum,
                    ..SpikingSettings::default()
                };
                return Ok(ExactForm {
                    quantized,
                    spiking,
                    settings,
                    enough_steps,
                    fraction_bits: INPUT_FRACTION_BITS,
                });
            }
            Err(node) => widest = Some(node),
        }
    }
    let node = &blueprint.nodes()[widest.unwrap_or(0)];
    refuse(node, "its sums are too large to be exact in 32-bit numbers; try fewer levels")
}

/// Averages over windows that are no power of two become sums; by the node's name, what one unit of the sum stands for.
fn without_uneven_averages(blueprint: &Blueprint) -> Result<(Blueprint, BTreeMap<String, f32>)> {
    let shapes = blueprint.shapes()?;
    let mut draft = Draft::new(blueprint);
    let mut shrink = BTreeMap::new();
    for (index, node) in blueprint.nodes().iter().enumerate() {
        let pool = match node.kind {
            NodeKind::AvgPool2d(pool) => pool,
            NodeKind::GlobalAvgPool => match shapes.input(index)[..] {
                [_, height, width] => {
                    Pool2d { kernel: [height, width], stride: [height, width], padding: [0, 0] }
                }
                [_, length] if length.is_power_of_two() => continue,
                _ => return refuse(node, "an exact mean over a length needs a power of two"),
            },
            _ => continue,
        };
        let window = pool.kernel[0] * pool.kernel[1];
        if window.is_power_of_two() {
            continue;
        }
        shrink.insert(node.name.clone(), 1.0 / window as f32);
        if let Some(sum) = draft.nodes.get_mut(&index) {
            sum.kind = NodeKind::SumPool2d(pool);
        }
        if node.kind == NodeKind::GlobalAvgPool {
            for target in draft.targets(index) {
                let name = draft.between(index, target);
                draft.insert((index, target), name, NodeKind::flatten());
            }
        }
    }
    Ok((draft.finish()?, shrink))
}

/// The most levels on a path, summed up.
fn longest_path(blueprint: &Blueprint, shapes: &Shapes) -> usize {
    let sources = blueprint.sources();
    let mut longest = vec![0; blueprint.nodes().len()];
    for &index in shapes.order() {
        let before = sources[index].iter().map(|&source| longest[source]).max().unwrap_or(0);
        let own =
            if let NodeKind::QuantizedReLU { levels } = blueprint.nodes()[index].kind { levels } else { 0 };
        longest[index] = before + own;
    }
    longest.into_iter().max().unwrap_or(0)
}
