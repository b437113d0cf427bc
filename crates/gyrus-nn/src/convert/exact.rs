//! The spiking network that gives exactly the answer of its quantized network.
//!
//! Floating-point sums of the two networks could differ for two reasons: rounding, which depends on the order of additions,
//! and the time at which spikes arrive. This conversion removes both.
//!
//! - **No rounding.** Every quantized ReLU gets the unit 1 (its threshold is moved into the weights around it), so that its
//!   outputs are whole numbers from 0 to L. The weights of a node become multiples of 2^−m, whole numbers of at most 12 bits
//!   times one power of two, and so do biases and the input ([`Encoder::Once`](crate::Encoder)). m is chosen such that the
//!   largest possible sum, `max |input| · Σ |weight| + |bias|`, is below 2^23 of these multiples, with room for the
//!   intermediate sums of the fast 3×3 convolutions. `f32` represents every whole number up to 2^24: all products and sums
//!   are exact, and their order does not matter. Averages over windows whose size is not a power of two become sums, with
//!   the division moved into the weights behind.
//! - **Time.** The input and the biases arrive once, at the first step ([`NodeKind::SignedIF`] starts with the bias). At each
//!   step a signed neuron moves its count by one, up or down, towards the level of its sum so far. The sums of the first
//!   layer are constant from the first step on, so its counts are final after L steps; then the sums of the second layer are
//!   constant, whose counts are final L steps later, and so on: after L steps for each layer of the longest path every count
//!   equals the level of the quantized network, and nothing fires any more. The answer is the sum over all steps of the last
//!   node's output. (The neuron is that of You et al. 2024, arXiv:2406.03470; the bound and the arithmetic are ours.)

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

/// A quantized network and the spiking network with the same answers.
#[derive(Clone, Debug)]
pub struct ExactForm {
    /// The dense network; it gives the same answers for inputs [`rounded`](crate::rounded) like the encoder's.
    pub quantized: (Blueprint, State),
    /// The spiking network.
    pub spiking: (Blueprint, State),
    /// Settings of the spiking network: enough steps, rounded up to a power of two.
    pub settings: SpikingSettings,
    /// Number of steps after which nothing fires any more, for any input.
    pub enough_steps: usize,
    /// The grid of the input.
    pub fraction_bits: u32,
}

/// The exact spiking form of folded, quantized network whose inputs lie within ±`limit`; inputs beyond are clipped.
///
/// # Errors
/// If a node has no such form, or too many inputs for exact sums.
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

/// Turns averages over windows whose size is not a power of two into sums; with the value of one unit of each sum, by the
/// node's name.
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
                _ => {
                    return refuse(node, "an exact mean over a length needs a length that is a power of two");
                }
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

/// The largest total of levels on any path.
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
