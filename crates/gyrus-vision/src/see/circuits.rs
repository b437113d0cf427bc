//! Circuits: what a unit listens to one layer below, and whom it excites one layer above.
//!
//! The expanded weights of a connection are the derivative of a unit, before its activation and at the middle of its map, with
//! respect to a unit of the layer below, place by place (Voss et al. 2021, doi:10.23915/distill.00024.007). Between neighbors
//! everything but pooling is linear there: a convolution's weights come out with the normalization's factor, a flattened layer's
//! as a map. A maximum routes by the input: derivatives are then means over some examples. Cost: one backward pass from layer
//! to layer for each unit and example.

use gyrus_blueprint::{Blueprint, Image, NodeKind};
use gyrus_nn::{Network, Signal, floats};
use gyrus_tensor::filled_tensor;

use super::Layer;
use crate::Result;

/// Rows of one batch.
const ROWS: usize = 128;

/// From a unit of one layer to a unit of the next.
#[derive(Clone, Debug, PartialEq)]
pub struct Connection {
    /// The unit below.
    pub from: usize,
    /// The unit above.
    pub to: usize,
    /// The sum of its weights: above 0 it excites, below 0 it inhibits.
    pub sum: f32,
    /// The root of the sum of the squares of its weights.
    pub norm: f32,
    /// `[rows, columns]`, the part of the map below where any connection to `to` has weights.
    pub weights: Vec<f32>,
}

/// The connections between two layers.
#[derive(Clone, Debug, PartialEq)]
pub struct Connections {
    /// The layer below, as an index into the layers.
    pub below: usize,
    /// The layer above.
    pub above: usize,
    /// Rows and columns of the weights of each connection.
    pub extents: [usize; 2],
    /// Units of the layer below.
    pub sources: usize,
    /// `[units above, units below]`, for the units that were asked for, in their order.
    pub all: Vec<Connection>,
}

impl Connections {
    /// The strongest connections into a unit above, the strongest first.
    #[must_use]
    pub fn into_unit(&self, unit: usize, count: usize) -> Vec<&Connection> {
        strongest(self.all.iter().filter(|connection| connection.to == unit), count)
    }

    /// The strongest connections out of a unit below, the strongest first.
    #[must_use]
    pub fn out_of_unit(&self, unit: usize, count: usize) -> Vec<&Connection> {
        strongest(self.all.iter().filter(|connection| connection.from == unit), count)
    }
}

fn strongest<'a>(connections: impl Iterator<Item = &'a Connection>, count: usize) -> Vec<&'a Connection> {
    let mut all: Vec<&Connection> = connections.filter(|connection| connection.norm > 0.0).collect();
    all.sort_by(|a, b| b.norm.total_cmp(&a.norm).then((a.to, a.from).cmp(&(b.to, b.from))));
    all.truncate(count);
    all
}

/// For each layer, the layers whose results reach its weights without passing other weights.
#[must_use]
pub fn layers_below(blueprint: &Blueprint, layers: &[Layer]) -> Vec<Vec<usize>> {
    let sources = blueprint.sources();
    let below = |layer: &Layer| {
        let mut open = sources[layer.weights].clone();
        let mut seen = vec![false; blueprint.nodes().len()];
        let mut found = Vec::new();
        while let Some(node) = open.pop() {
            if std::mem::replace(&mut seen[node], true) {
                continue;
            }
            match layers.iter().position(|other| other.output == node) {
                Some(index) => found.push(index),
                None => open.extend(&sources[node]),
            }
        }
        found.sort_unstable();
        found
    };
    layers.iter().map(below).collect()
}

/// Whether the connections between two layers are the same for all inputs: nothing between them routes by what it receives.
///
/// # Panics
/// If there is no such layer.
#[must_use]
pub fn is_linear(blueprint: &Blueprint, below: &Layer, above: &Layer) -> bool {
    let reached = |next: &[Vec<usize>], from: usize| {
        let mut seen = vec![false; blueprint.nodes().len()];
        let mut open = vec![from];
        while let Some(node) = open.pop() {
            if !std::mem::replace(&mut seen[node], true) {
                open.extend(&next[node]);
            }
        }
        seen
    };
    let after = reached(&blueprint.targets(), below.output);
    let before = reached(&blueprint.sources(), above.before_activation);
    let between = |node: &usize| after[*node] && before[*node] && *node != below.output;
    (0..blueprint.nodes().len()).filter(between).all(|node| {
        matches!(
            blueprint.nodes()[node].kind,
            NodeKind::Affine { .. }
                | NodeKind::Linear { .. }
                | NodeKind::Conv1d(_)
                | NodeKind::Conv2d(_)
                | NodeKind::BatchNorm { .. }
                | NodeKind::LayerScale
                | NodeKind::Scale
                | NodeKind::Add
                | NodeKind::AvgPool2d(_)
                | NodeKind::SumPool2d(_)
                | NodeKind::GlobalAvgPool
                | NodeKind::Flatten { .. }
                | NodeKind::Dropout { .. }
        )
    })
}

/// The connections from layer `below` to `units` of layer `above`, both indices into `layers`, as means over `examples`,
/// `[examples, elements]` as the network receives them.
///
/// # Errors
/// Those of the network.
///
/// # Panics
/// If there is no such layer or unit.
pub fn connections(
    network: &Network,
    layers: &[Layer],
    (below, above): (usize, usize),
    units: &[usize],
    examples: &[f32],
) -> Result<Connections> {
    let (lower, upper) = (&layers[below], &layers[above]);
    let shapes = network.blueprint().shapes()?;
    let input = shapes.order().first().map_or(lower.image, |&node| Image::of(shapes.output(node)));
    let elements = input.pixels() * input.channels;
    let count = (examples.len() / elements.max(1)).max(1);
    let middle = (upper.image.height / 2 * upper.image.width + upper.image.width / 2) * upper.units();
    let width = lower.image.pixels() * lower.units();
    // Mean derivatives, `[units, height, width, channels]`.
    let mut derivatives = vec![0.0f32; units.len() * width];
    let rows: Vec<(usize, usize)> =
        (0..units.len()).flat_map(|unit| (0..count).map(move |example| (unit, example))).collect();
    for rows in rows.chunks(super::rows_of_batch(&shapes, ROWS)) {
        let x = filled_tensor(rows.len(), elements, |x| {
            for (x, (_, example)) in x.chunks_exact_mut(elements).zip(rows) {
                x.copy_from_slice(&examples[example * elements..][..elements]);
            }
        });
        let weights = |output: &gyrus_tensor::Tensor<2>| {
            let outputs = output.dims()[1];
            filled_tensor(rows.len(), outputs, |weights| {
                weights.fill(0.0);
                for (row, (unit, _)) in weights.chunks_exact_mut(outputs).zip(rows) {
                    row[middle + units[*unit]] = 1.0;
                }
            })
        };
        let found = network.pull_back(x, upper.before_activation, weights, &[Signal::Node(lower.output)])?;
        let gradient = found.gradients.into_iter().next().map(floats).unwrap_or_default();
        for (gradient, (unit, _)) in gradient.chunks_exact(width).zip(rows) {
            let own = &mut derivatives[unit * width..][..width];
            own.iter_mut().zip(gradient).for_each(|(own, g)| *own += g / count as f32);
        }
    }
    let window = Window::around(&derivatives, lower.image);
    let channels = lower.units();
    let all = units.iter().zip(derivatives.chunks_exact(width)).flat_map(|(&to, own)| {
        (0..channels).map(move |from| {
            let weights = window.of(own, lower.image, from);
            let sum = weights.iter().sum();
            let norm = weights.iter().map(|weight| weight * weight).sum::<f32>().sqrt();
            Connection { from, to, sum, norm, weights }
        })
    });
    let extents = [window.bottom - window.top, window.right - window.left];
    Ok(Connections { below, above, extents, sources: channels, all: all.collect() })
}

/// The rows and columns in which anything is not 0.
#[derive(Clone, Copy)]
struct Window {
    top: usize,
    bottom: usize,
    left: usize,
    right: usize,
}

impl Window {
    fn around(derivatives: &[f32], image: Image) -> Self {
        let Image { height, width, channels } = image;
        let (mut rows, mut columns) = (vec![false; height], vec![false; width]);
        for map in derivatives.chunks_exact((height * width * channels).max(1)) {
            for (place, pixel) in map.chunks_exact(channels).enumerate() {
                if pixel.iter().any(|value| *value != 0.0) {
                    (rows[place / width], columns[place % width]) = (true, true);
                }
            }
        }
        let range = |used: &[bool]| {
            let first = used.iter().position(|used| *used).unwrap_or(0);
            (first, used.iter().rposition(|used| *used).map_or(first, |last| last + 1))
        };
        let ((top, bottom), (left, right)) = (range(&rows), range(&columns));
        Self { top, bottom, left, right }
    }

    fn of(self, map: &[f32], image: Image, channel: usize) -> Vec<f32> {
        let places = (self.top..self.bottom)
            .flat_map(move |row| (self.left..self.right).map(move |column| row * image.width + column));
        places.map(|place| map[place * image.channels + channel]).collect()
    }
}
