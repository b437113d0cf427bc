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

use std::collections::BTreeMap;

use gyrus_blueprint::{Blueprint, NodeKind, Shapes};
use gyrus_tensor::{Tensor, cpu};

use super::{Draft, channels, refuse};
use crate::NetworkError;
use crate::network::{Network, Observed, floats};
use crate::plan::picture;
use crate::spiking::{Encoder, Readout, SpikingSettings};
use gyrus_files::{State, StateTensor};

/// Whole numbers up to this many bits are exact in `f32`, with one bit to spare.
const EXACT_BITS: i32 = 23;
/// The input is rounded to multiples of 2^−8.
const INPUT_FRACTION_BITS: u32 = 8;
/// Bits of a weight, sign left out: at most these, fewer where sums would grow too large.
const WEIGHT_BITS: std::ops::RangeInclusive<i32> = 5..=12;
/// Bits that the intermediate sums of a fast 3×3 convolution take beyond those of its result. Transformed inputs are sums of
/// up to 4 inputs, transformed weights are in quarters; with the sizes of all nine products behind an output added up, no
/// weight counts more than 64 quarters.
const WINOGRAD_BITS: i32 = 6;
/// Input channels from which on a 3×3 convolution may be done that way.
const WINOGRAD_CHANNELS: usize = 32;

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
pub fn exact_form(blueprint: &Blueprint, state: &State, limit: f32) -> Result<ExactForm, NetworkError> {
    let (blueprint, shrink) = without_uneven_averages(blueprint)?;
    let shapes = blueprint.shapes()?;
    let reach = Reach::new(&blueprint, &shapes, state)?;
    let enough_steps = longest_path(&blueprint, &shapes);
    let steps = enough_steps.next_power_of_two();
    let mut widest = None;
    for bits in WEIGHT_BITS.rev() {
        let grid = Grid { bits, steps, limit, reach: &reach, shrink: &shrink };
        match grid.quantized(&blueprint, &shapes, state)? {
            Ok(quantized) => {
                let spiking = spiking(&quantized, steps)?;
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

fn has_weights(kind: &NodeKind) -> bool {
    channels(kind).is_some()
}

/// Averages over windows that are no power of two become sums; by the node's name, what one unit of the sum stands for.
fn without_uneven_averages(
    blueprint: &Blueprint,
) -> Result<(Blueprint, BTreeMap<String, f32>), NetworkError> {
    let shapes = blueprint.shapes()?;
    let mut draft = Draft::new(blueprint);
    let mut shrink = BTreeMap::new();
    for (index, node) in blueprint.nodes().iter().enumerate() {
        let (kernel, stride, padding) = match node.kind {
            NodeKind::AvgPool2d { kernel, stride, padding } => (kernel, stride, padding),
            NodeKind::GlobalAvgPool => match shapes.input(index)[..] {
                [_, height, width] => ([height, width], [height, width], [0, 0]),
                [_, length] if length.is_power_of_two() => continue,
                _ => return refuse(node, "an exact mean over a length needs a power of two"),
            },
            _ => continue,
        };
        let window = kernel[0] * kernel[1];
        if window.is_power_of_two() {
            continue;
        }
        shrink.insert(node.name.clone(), 1.0 / window as f32);
        if let Some(sum) = draft.nodes.get_mut(&index) {
            sum.kind = NodeKind::SumPool2d { kernel, stride, padding };
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

/// What a node's output reaches, and is reached by, without a ReLU between.
struct Reach {
    /// The unit of a ReLU that it reaches without weights between.
    unit: Vec<Option<f32>>,
    /// Whether it reaches the Output.
    answers: Vec<bool>,
    /// Whether weights lie between the last ReLU and its output.
    weighted: Vec<bool>,
}

impl Reach {
    fn new(blueprint: &Blueprint, shapes: &Shapes, state: &State) -> Result<Self, NetworkError> {
        let count = blueprint.nodes().len();
        let mut reach =
            Self { unit: vec![None; count], answers: vec![false; count], weighted: vec![false; count] };
        let (targets, sources) = (blueprint.targets(), blueprint.sources());
        for &index in shapes.order().iter().rev() {
            for &target in &targets[index] {
                let node = &blueprint.nodes()[target];
                let unit = match &node.kind {
                    NodeKind::QuantizedReLU { levels } => Some(unit(&node.name, *levels, state)?),
                    NodeKind::Output => {
                        reach.answers[index] = true;
                        None
                    }
                    // Weights take whatever comes in.
                    kind if has_weights(kind) => {
                        reach.answers[index] |= reach.answers[target];
                        None
                    }
                    _ => {
                        reach.answers[index] |= reach.answers[target];
                        reach.unit[target]
                    }
                };
                // ReLUs of other units get a factor on their edge.
                reach.unit[index] = reach.unit[index].or(unit);
            }
        }
        for &index in shapes.order() {
            let node = &blueprint.nodes()[index];
            let own = match &node.kind {
                NodeKind::QuantizedReLU { .. } => false,
                kind if has_weights(kind) => true,
                _ => sources[index].iter().any(|&source| reach.weighted[source]),
            };
            reach.weighted[index] = own;
            let weighted = |source: &usize| reach.weighted[*source];
            // The maximum of sums over time is that of the whole sums only if what biases add is the same in a window.
            let uniform = |source: &usize| {
                let kind = &blueprint.nodes()[*source].kind;
                !reach.weighted[*source] || (has_weights(kind) && !sources[*source].iter().any(weighted))
            };
            if matches!(node.kind, NodeKind::MaxPool2d { .. }) && !sources[index].iter().all(uniform) {
                return refuse(
                    node,
                    "a maximum of weighted sums is exact right behind one node with weights only",
                );
            }
        }
        Ok(reach)
    }
}

fn unit(name: &str, levels: usize, state: &State) -> Result<f32, NetworkError> {
    let name = format!("{name}.threshold");
    let threshold = state.get(&name).and_then(|tensor| tensor.values.first());
    let threshold = threshold.ok_or(NetworkError::MissingTensor { name, expected: vec![1] })?;
    Ok(threshold.max(gyrus_tensor::SMALLEST_THRESHOLD) / levels as f32)
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

/// Numbers that are exact: multiples of 2^−`fraction` of at most `bound`.
#[derive(Clone, Copy, Debug)]
struct Range {
    bound: f64,
    fraction: i32,
}

impl Range {
    /// Bits of the largest, as a whole number.
    fn bits(self) -> i32 {
        self.bound.max(f64::MIN_POSITIVE).log2().ceil() as i32 + self.fraction
    }

    fn plus(self, other: Self) -> Self {
        Self { bound: self.bound + other.bound, fraction: self.fraction.max(other.fraction) }
    }
}

fn on_grid(x: f64, fraction: i32) -> f32 {
    let scale = f64::from(fraction).exp2();
    ((x * scale).round() / scale) as f32
}

struct Grid<'a> {
    /// Of a weight.
    bits: i32,
    /// The answer's biases come in as many parts.
    steps: usize,
    limit: f32,
    reach: &'a Reach,
    shrink: &'a BTreeMap<String, f32>,
}

impl Grid<'_> {
    /// The quantised network on the grid, or the index of a node whose sums are too large for it.
    fn quantized(
        &self,
        blueprint: &Blueprint,
        shapes: &Shapes,
        state: &State,
    ) -> Result<Result<(Blueprint, State), usize>, NetworkError> {
        let mut draft = Draft::new(blueprint);
        let mut state = state.clone();
        let count = blueprint.nodes().len();
        // What one unit of a node's output stands for in the network that is converted.
        let mut worth = vec![1.0f64; count];
        let mut ranges = vec![Range { bound: 0.0, fraction: 0 }; count];
        for &index in shapes.order() {
            let node = &blueprint.nodes()[index];
            let sources = draft.sources(index);
            let weights = has_weights(&node.kind);
            let common = match &node.kind {
                NodeKind::QuantizedReLU { levels } => f64::from(unit(&node.name, *levels, &state)?),
                NodeKind::Output => 1.0,
                _ if weights => sources.first().map_or(1.0, |&source| worth[source]),
                // A sum with weighted terms is in the unit that these have already.
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
                NodeKind::SumPool2d { kernel, .. } => {
                    Range { bound: input.bound * (kernel[0] * kernel[1]) as f64, ..input }
                }
                NodeKind::AvgPool2d { kernel, .. } => {
                    let bits = (kernel[0] * kernel[1]).trailing_zeros() as i32;
                    Range { fraction: input.fraction + bits, ..input }
                }
                NodeKind::GlobalAvgPool => {
                    let pixels: usize = shapes.input(index)[1..].iter().product();
                    Range { fraction: input.fraction + pixels.trailing_zeros() as i32, ..input }
                }
                kind if weights => {
                    let unit = f64::from(self.reach.unit[index].unwrap_or(1.0));
                    worth[index] = unit;
                    let mut room = EXACT_BITS;
                    if let NodeKind::Conv2d { kernel: [3, 3], .. } = kind
                        && shapes.input(index)[0] >= WINOGRAD_CHANNELS
                    {
                        room -= WINOGRAD_BITS;
                    }
                    // A bias of the answer comes in so many parts that each has fewer bits.
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
                _ => input,
            };
            // What is summed up within the node, such as a window.
            if ranges[index].bits() > EXACT_BITS {
                return Ok(Err(index));
            }
        }
        Ok(Ok((draft.finish()?, state)))
    }

    /// Brings a node's weights and bias to the grid (the bias to one `parts` bits coarser); the range of its output, if
    /// that fits into `room` bits.
    fn weights(
        &self,
        node: &str,
        state: &mut State,
        (factor, bias_factor): (f64, f64),
        input: Range,
        (room, parts): (i32, i32),
    ) -> Result<Option<Range>, NetworkError> {
        let name = format!("{node}.weight");
        let missing = NetworkError::MissingTensor { name: name.clone(), expected: Vec::new() };
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
            // Rounding may have added to a sum that had just fitted.
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

/// The spiking network of a quantised one on the grid.
fn spiking(quantized: &(Blueprint, State), steps: usize) -> Result<(Blueprint, State), NetworkError> {
    let (blueprint, dense) = quantized;
    let shapes = blueprint.shapes()?;
    let reach = Reach::new(blueprint, &shapes, dense)?;
    let sources = blueprint.sources();
    let mut in_time = vec![false; blueprint.nodes().len()];
    let mut draft = Draft::new(blueprint);
    let mut state = dense.clone();
    for &index in shapes.order() {
        let node = &blueprint.nodes()[index];
        in_time[index] = matches!(node.kind, NodeKind::QuantizedReLU { .. })
            || sources[index].iter().any(|&source| in_time[source]);
        let Some(draft) = draft.nodes.get_mut(&index) else { continue };
        match &node.kind {
            NodeKind::QuantizedReLU { levels } => {
                draft.kind = NodeKind::SignedIF { levels: *levels, threshold: 1.0 };
                state.remove(&format!("{}.threshold", node.name));
            }
            NodeKind::MaxPool2d { kernel, stride, padding } => {
                let (kernel, stride, padding) = (*kernel, *stride, *padding);
                draft.kind = NodeKind::CountMaxPool2d { kernel, stride, padding };
            }
            kind if has_weights(kind) => {
                let name = format!("{}.bias", node.name);
                let Some(bias) = state.get_mut(&name) else { continue };
                // Of a unit that is not 1, or of neurons: a bias is part of where they start.
                match (reaches_neurons(blueprint, index), reach.answers[index]) {
                    (true, true) => {
                        return refuse(
                            node,
                            "it feeds neurons and the answer without neurons between, so its bias has no exact place",
                        );
                    }
                    (true, false) => {
                        state.remove(&name);
                        match &mut draft.kind {
                            NodeKind::Affine { out_features } => draft.kind = NodeKind::linear(*out_features),
                            NodeKind::Conv1d { bias, .. } | NodeKind::Conv2d { bias, .. } => *bias = false,
                            _ => {}
                        }
                    }
                    // One part a step.
                    (false, _) if in_time[index] => bias.values.iter_mut().for_each(|b| *b /= steps as f32),
                    (false, _) => {}
                }
            }
            _ => {}
        }
    }
    for (index, start) in starts(blueprint, &shapes, dense)? {
        let shape = shapes.input(index).to_vec();
        let name = format!("{}.start", blueprint.nodes()[index].name);
        state.insert(name, StateTensor { shape, values: start });
    }
    Ok((draft.finish()?, state))
}

/// Whether a ReLU is reached without another between.
fn reaches_neurons(blueprint: &Blueprint, from: usize) -> bool {
    let targets = blueprint.targets();
    let mut open = vec![from];
    let mut seen = vec![false; blueprint.nodes().len()];
    while let Some(index) = open.pop() {
        for &target in &targets[index] {
            if matches!(blueprint.nodes()[target].kind, NodeKind::QuantizedReLU { .. }) {
                return true;
            }
            if !std::mem::replace(&mut seen[target], true) {
                open.push(target);
            }
        }
    }
    false
}

/// What enters each ReLU while nothing comes in and no other ReLU says anything: what the biases alone add up to. Shaped
/// channels-first.
fn starts(
    blueprint: &Blueprint,
    shapes: &Shapes,
    dense: &State,
) -> Result<Vec<(usize, Vec<f32>)>, NetworkError> {
    let mut silent = dense.clone();
    let mut inputs = 0;
    for (index, node) in blueprint.nodes().iter().enumerate() {
        match &node.kind {
            NodeKind::QuantizedReLU { .. } => {
                // No sum reaches half of such a unit.
                let value = StateTensor { shape: vec![1], values: vec![1e30] };
                silent.insert(format!("{}.threshold", node.name), value);
            }
            NodeKind::Input { .. } => inputs = shapes.output(index).iter().product(),
            _ => {}
        }
    }
    let device = cpu();
    let network = Network::from_state(blueprint, &silent, &device)?;
    let (_, observations) = network.observe(Tensor::zeros([1, inputs], &device))?;
    let currents = observations.into_iter().filter(|observation| observation.what == Observed::Current);
    Ok(currents
        .map(|observation| {
            let values = floats(observation.tensor);
            let [height, width, channels] = picture(shapes.input(observation.node));
            let pixels = height * width;
            let first = (0..values.len()).map(|at| values[at % pixels * channels + at / pixels]);
            (observation.node, first.collect())
        })
        .collect())
}
