//! Rounds a quantized network to the grid.

use std::collections::BTreeMap;

use gyrus_blueprint::{Blueprint, NodeKind, Pool2d, Shapes, Weights, without_spiking_form};
use gyrus_files::{State, StateTensor};

use super::super::draft::{Draft, refuse};
use super::grid::{EXACT_BITS, INPUT_FRACTION_BITS, Range, WEIGHT_BITS, on_grid};
use super::reach::{Reach, unit};
use crate::{Error, Result};

/// Additional bits of the intermediate sums of a fast 3×3 convolution, beyond those of its result. Transformed inputs are
/// sums of up to 4 inputs, transformed weights are in quarters; adding up the magnitudes of all nine products behind an
/// output, no weight counts more than 64 quarters.
const WINOGRAD_BITS: i32 = 6;
/// Fewest input channels of a 3×3 convolution that may be computed that way.
const WINOGRAD_CHANNELS: usize = 32;

/// Rounds a network to the grid.
pub(super) struct Quantizer<'a> {
    /// Bits of a weight.
    pub(super) bits: i32,
    /// Number of parts in which biases of the answer arrive.
    pub(super) steps: usize,
    pub(super) limit: f32,
    pub(super) reach: &'a Reach,
    pub(super) shrink: &'a BTreeMap<String, f32>,
}

impl Quantizer<'_> {
    /// The quantized network on the grid, or the index of a node whose sums are too large for it.
    pub(super) fn quantized(
        &self,
        blueprint: &Blueprint,
        shapes: &Shapes,
        state: &State,
    ) -> Result<Result<(Blueprint, State), usize>> {
        let mut draft = Draft::new(blueprint);
        let mut state = state.clone();
        let count = blueprint.nodes().len();
        // The value in the original network that one unit of a node's output represents.
        let mut worth = vec![1.0f64; count];
        let mut ranges = vec![Range { bound: 0.0, fraction: 0 }; count];
        for &index in shapes.order() {
            let node = &blueprint.nodes()[index];
            let sources = draft.sources(index);
            let weights = node.kind.weights(shapes.input(index));
            let common = match &node.kind {
                NodeKind::QuantizedReLU { levels } => f64::from(unit(&node.name, *levels, &state)?),
                NodeKind::Output => 1.0,
                _ if weights.is_some() => sources.first().map_or(1.0, |&source| worth[source]),
                // A sum with weighted terms has the unit of these terms.
                _ => {
                    let weighted = sources.iter().find(|&&source| self.reach.weighted[source]);
                    weighted.or(sources.first()).map_or(1.0, |&source| worth[source])
                }
            };
            let mut sum: Option<Range> = None;
            for source in sources {
                let mut range = ranges[source];
                let factor = worth[source] / common;
                if factor != 1.0 {
                    let fraction = self.bits - factor.log2().ceil() as i32;
                    let factor = on_grid(factor, fraction);
                    range =
                        Range { bound: range.bound * f64::from(factor), fraction: range.fraction + fraction };
                    let values = vec![factor; shapes.output(source).elements().unwrap_or(0)];
                    let shape = shapes.output(source).to_vec();
                    let name = draft.between(source, index);
                    state.insert(format!("{name}.scale"), StateTensor { shape, values });
                    draft.insert((source, index), name, NodeKind::Scale);
                }
                sum = Some(sum.map_or(range, |sum| sum.plus(range)));
            }
            let input = match node.kind {
                NodeKind::Input { .. } => {
                    Range { bound: f64::from(self.limit), fraction: INPUT_FRACTION_BITS as i32 }
                }
                _ => sum.unwrap_or(Range { bound: 0.0, fraction: 0 }),
            };
            if input.bits() > EXACT_BITS {
                return Ok(Err(index));
            }
            worth[index] = common * f64::from(self.shrink.get(&node.name).copied().unwrap_or(1.0));
            ranges[index] = match &node.kind {
                NodeKind::QuantizedReLU { levels } => {
                    let value = StateTensor { shape: vec![1], values: vec![*levels as f32] };
                    state.insert(format!("{}.threshold", node.name), value);
                    Range { bound: *levels as f64, fraction: 0 }
                }
                NodeKind::SumPool2d(Pool2d { kernel, .. }) => {
                    Range { bound: input.bound * (kernel[0] * kernel[1]) as f64, ..input }
                }
                NodeKind::AvgPool2d(Pool2d { kernel, .. }) => {
                    let bits = (kernel[0] * kernel[1]).trailing_zeros() as i32;
                    Range { fraction: input.fraction + bits, ..input }
                }
                NodeKind::GlobalAvgPool => {
                    let pixels: usize = shapes.input(index)[1..].iter().product();
                    Range { fraction: input.fraction + pixels.trailing_zeros() as i32, ..input }
                }
                NodeKind::Affine { .. }
                | NodeKind::Linear { .. }
                | NodeKind::Conv1d(_)
                | NodeKind::Conv2d(_) => {
                    let unit = f64::from(self.reach.unit[index].unwrap_or(1.0));
                    worth[index] = unit;
                    let mut room = EXACT_BITS;
                    if let Some(Weights::Convolution(convolution)) = weights
                        && convolution.kernel == [3, 3]
                        && convolution.input.channels >= WINOGRAD_CHANNELS
                    {
                        room -= WINOGRAD_BITS;
                    }
                    // A bias of the answer arrives in parts, each of which has fewer bits.
                    let parts =
                        if self.reach.answers[index] { self.steps.trailing_zeros() as i32 } else { 0 };
                    match self.weights(
                        &node.name,
                        &mut state,
                        (common / unit, 1.0 / unit),
                        input,
                        (room, parts),
                    )? {
                        Some(range) => range,
                        None => return Ok(Err(index)),
                    }
                }
                NodeKind::Input { .. }
                | NodeKind::Output
                | NodeKind::MaxPool2d(_)
                | NodeKind::Flatten { .. }
                | NodeKind::Dropout { .. } => input,
                NodeKind::BatchNorm { .. } => return refuse(node, "fold batch norms first"),
                NodeKind::Scale
                | NodeKind::CountMaxPool2d(_)
                | NodeKind::Delay { .. }
                | NodeKind::Threshold { .. }
                | NodeKind::I { .. }
                | NodeKind::IF { .. }
                | NodeKind::LI { .. }
                | NodeKind::LIF { .. }
                | NodeKind::CubaLI { .. }
                | NodeKind::CubaLIF { .. }
                | NodeKind::AdaptiveLIF { .. }
                | NodeKind::SignedIF { .. }
                | NodeKind::ReLU
                | without_spiking_form!() => return refuse(node, "it has no spiking form"),
            };
            // Sums within the node, such as those over a window.
            if ranges[index].bits() > EXACT_BITS {
                return Ok(Err(index));
            }
        }
        Ok(Ok((draft.finish()?, state)))
    }

    /// Rounds a node's weights and bias to the grid (the bias to one that is `parts` bits coarser); returns the range of its
    /// output if that fits into `room` bits.
    fn weights(
        &self,
        node: &str,
        state: &mut State,
        (factor, bias_factor): (f64, f64),
        input: Range,
        (room, parts): (i32, i32),
    ) -> Result<Option<Range>> {
        let name = format!("{node}.weight");
        let missing = Error::MissingTensor { name: name.clone(), expected: Vec::new() };
        let weight = state.get(&name).ok_or(missing)?.clone();
        let outputs = weight.shape.first().copied().unwrap_or(0).max(1);
        let bias_name = format!("{node}.bias");
        let bias = state.get(&bias_name).cloned();
        let rows = weight.values.chunks_exact((weight.values.len() / outputs).max(1));
        let sum = |row: &[f32]| -> f64 { row.iter().map(|w| (f64::from(*w) * factor).abs()).sum() };
        let most = rows.map(sum).fold(0.0, f64::max);
        let of_bias = |b: &f32| f64::from(*b) * bias_factor;
        let largest_bias =
            bias.iter().flat_map(|bias| &bias.values).map(|b| of_bias(b).abs()).fold(0.0, f64::max);
        let largest = weight.values.iter().map(|w| (f64::from(*w) * factor).abs()).fold(0.0, f64::max);
        if !(most.is_finite() && largest_bias.is_finite()) {
            return Ok(None);
        }
        let size = largest.max(f64::MIN_POSITIVE).log2().ceil() as i32;
        let rounded = |values: &[f32], factor: f64, fraction: i32| -> Vec<f32> {
            values.iter().map(|x| on_grid(f64::from(*x) * factor, fraction)).collect()
        };
        let row = (weight.values.len() / outputs).max(1);
        let bound = most * input.bound + largest_bias;
        let fits = (f64::from(room) - bound.max(f64::MIN_POSITIVE).log2()).floor() as i32;
        let mut fraction = (self.bits - size).min(fits - input.fraction);
        let (values, range) = loop {
            if fraction + size < *WEIGHT_BITS.start() - 1 {
                return Ok(None);
            }
            let values = rounded(&weight.values, factor, fraction);
            let rows = values.chunks_exact(row).map(|row| row.iter().map(|w| f64::from(w.abs())).sum());
            let bound = rows.fold(0.0, f64::max) * input.bound + largest_bias;
            let range = Range { bound, fraction: fraction + input.fraction };
            // Rounding may have increased a sum that just fitted.
            if range.bits() <= room {
                break (values, range);
            }
            fraction -= 1;
        };
        state.insert(name, StateTensor { values, ..weight });
        if let Some(bias) = bias {
            let values = rounded(&bias.values, bias_factor, range.fraction - parts);
            state.insert(bias_name, StateTensor { values, ..bias });
        }
        Ok(Some(range))
    }
}
