//! The layers of a network as a person counts them, and how much of the input each of their units can see.
//!
//! A layer is a node with weights and what follows it unit by unit: normalization, then an activation or neurons. Its result is
//! that of the last of these nodes. Receptive fields follow from kernels, strides, dilations and paddings alone
//! (Araujo, Norris and Sim 2019, doi:10.23915/distill.00021).

use gyrus_blueprint::{Blueprint, Image, NodeKind, Shapes};

use crate::Result;

/// A node with weights and what follows it unit by unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// The name of the node with weights.
    pub name: String,
    /// That node, as an index into the blueprint.
    pub weights: usize,
    /// The node whose result is the layer's, as an index into the blueprint.
    pub output: usize,
    /// The node before the activation, whose gradient never dies; `output` where there is no activation, or where it adds a
    /// residual.
    pub before_activation: usize,
    /// Rows, columns and channels of the result; a channel is a unit. Layers of features have one row and one column.
    pub image: Image,
    /// What part of the input a unit sees at one place; none if all of it.
    pub field: Option<ReceptiveField>,
}

impl Layer {
    /// Number of units: channels or features.
    #[must_use]
    pub fn units(&self) -> usize {
        self.image.channels
    }

    /// Whether its units are channels, each at many places.
    #[must_use]
    pub fn is_map(&self) -> bool {
        self.image.pixels() > 1
    }
}

/// The part of the input that a unit sees; pairs are `[height, width]`, in pixels of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceptiveField {
    /// Extents, padding included.
    pub size: [usize; 2],
    /// How far the fields of neighbors lie apart.
    pub stride: [usize; 2],
    /// Where the field of the first row and column begins; negative in the padding.
    pub start: [isize; 2],
}

/// A rectangle of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patch {
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl ReceptiveField {
    const POINT: Self = Self { size: [1; 2], stride: [1; 2], start: [0; 2] };

    /// The field of the unit at `place`, `[row, column]`, as far as it lies within an input of `extents`, `[height, width]`.
    #[must_use]
    pub fn patch(&self, place: [usize; 2], extents: [usize; 2]) -> Patch {
        let axis = |axis: usize| {
            let from = self.start[axis] + (place[axis] * self.stride[axis]) as isize;
            let to = (from + self.size[axis] as isize).clamp(0, extents[axis] as isize);
            let from = from.clamp(0, to);
            (from as usize, (to - from) as usize)
        };
        let ((top, height), (left, width)) = (axis(0), axis(1));
        Patch { top, left, height, width }
    }

    /// The field after windows slide over it.
    fn through(
        self,
        kernel: [usize; 2],
        stride: [usize; 2],
        dilation: [usize; 2],
        before: [usize; 2],
    ) -> Self {
        let mut field = self;
        for axis in 0..2 {
            field.size[axis] += (kernel[axis] - 1) * dilation[axis] * self.stride[axis];
            field.start[axis] -= (before[axis] * self.stride[axis]) as isize;
            field.stride[axis] *= stride[axis];
        }
        field
    }

    /// The smallest field that holds both, of signals that are added up.
    fn union(self, other: Self) -> Self {
        let mut field = self;
        for axis in 0..2 {
            let start = self.start[axis].min(other.start[axis]);
            let end = |of: &Self| of.start[axis] + of.size[axis] as isize;
            field.size[axis] = (end(&self).max(end(&other)) - start) as usize;
            field.start[axis] = start;
            field.stride[axis] = self.stride[axis].max(other.stride[axis]);
        }
        field
    }
}

/// What a node sees.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sight {
    Nothing,
    Field(ReceptiveField),
    Everything,
}

impl Sight {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nothing, sight) | (sight, Self::Nothing) => sight,
            (Self::Field(a), Self::Field(b)) => Self::Field(a.union(b)),
            _ => Self::Everything,
        }
    }
}

/// The receptive field of each node of a blueprint; none for a node that sees all of the input, or whose places are not
/// pixels.
///
/// # Errors
/// If the shapes do not fit.
pub fn receptive_fields(blueprint: &Blueprint) -> Result<Vec<Option<ReceptiveField>>> {
    let shapes = blueprint.shapes()?;
    let sources = blueprint.sources();
    let mut sights = vec![Sight::Nothing; blueprint.nodes().len()];
    for &node in shapes.order() {
        let before = sources[node].iter().fold(Sight::Nothing, |sight, &source| sight.and(sights[source]));
        sights[node] = match (&blueprint.nodes()[node].kind, before) {
            (NodeKind::Input { .. }, _) => match shapes.output(node).len() {
                2 | 3 => Sight::Field(ReceptiveField::POINT),
                _ => Sight::Everything,
            },
            (kind, Sight::Field(field)) => after(kind, field, &shapes, node),
            (_, sight) => sight,
        };
    }
    let field = |sight: &Sight| match sight {
        Sight::Field(field) => Some(*field),
        Sight::Nothing | Sight::Everything => None,
    };
    Ok(sights.iter().map(field).collect())
}

fn after(kind: &NodeKind, field: ReceptiveField, shapes: &Shapes, node: usize) -> Sight {
    let input = shapes.input(node);
    let convolution = |of: gyrus_blueprint::ConvolutionGeometry| {
        let before = [of.padding[0], of.padding[2]];
        Sight::Field(field.through(of.kernel, of.stride, of.dilation, before))
    };
    let pool = |of: gyrus_blueprint::PoolGeometry| {
        Sight::Field(field.through(of.kernel, of.stride, [1; 2], [of.padding[0], of.padding[2]]))
    };
    match kind {
        NodeKind::Conv1d(of) => convolution(of.geometry(input)),
        NodeKind::Conv2d(of) => convolution(of.geometry(input)),
        NodeKind::SumPool2d(of)
        | NodeKind::AvgPool2d(of)
        | NodeKind::MaxPool2d(of)
        | NodeKind::CountMaxPool2d(of) => pool(of.geometry(input)),
        kind if is_unitwise(kind) || matches!(kind, NodeKind::Output) => Sight::Field(field),
        // All others mix places, or their places are no pixels any more.
        _ => Sight::Everything,
    }
}

/// Whether a kind keeps units and places apart.
fn is_unitwise(kind: &NodeKind) -> bool {
    is_activation(kind)
        || matches!(
            kind,
            NodeKind::BatchNorm { .. }
                | NodeKind::LayerNorm { .. }
                | NodeKind::ChannelLayerNorm { .. }
                | NodeKind::LayerScale
                | NodeKind::Add
                | NodeKind::Scale
                | NodeKind::Dropout { .. }
        )
}

/// Whether a kind is a nonlinear function of each element, or its neurons.
fn is_activation(kind: &NodeKind) -> bool {
    kind.neuron().is_some()
        || matches!(
            kind,
            NodeKind::ReLU
                | NodeKind::QuantizedReLU { .. }
                | NodeKind::GELU
                | NodeKind::SiLU
                | NodeKind::ReLU6
                | NodeKind::Hardswish
                | NodeKind::QuickGELU
                | NodeKind::TanhGELU
                | NodeKind::Sigmoid
                | NodeKind::Tanh
                | NodeKind::SignedIF { .. }
                | NodeKind::Threshold { .. }
        )
}

/// The layers of a network, in the order in which signals pass them.
///
/// # Errors
/// If the shapes do not fit.
pub fn layers(blueprint: &Blueprint) -> Result<Vec<Layer>> {
    let shapes = blueprint.shapes()?;
    let (targets, sources) = (blueprint.targets(), blueprint.sources());
    let fields = receptive_fields(blueprint)?;
    let nodes = blueprint.nodes();
    let mut claimed = vec![false; nodes.len()];
    let mut layers = Vec::new();
    for &weights in shapes.order() {
        if nodes[weights].kind.weights(shapes.input(weights)).is_none() {
            continue;
        }
        let (mut output, mut before_activation) = (weights, weights);
        // Along what feeds nothing else, up to an activation, which another layer may have claimed: that of a residual's sum.
        while let [next] = targets[output][..] {
            let kind = &nodes[next].kind;
            if !is_unitwise(kind) || claimed[next] || shapes.output(next) != shapes.output(weights) {
                break;
            }
            if matches!(kind, NodeKind::Dropout { .. }) {
                break;
            }
            claimed[next] = true;
            before_activation = output;
            output = next;
            if is_activation(kind) && sources[next].len() == 1 {
                break;
            }
            before_activation = output;
            // The sum of a residual is the result of the layer that comes last in it.
            if is_activation(kind) || matches!(kind, NodeKind::Add) {
                break;
            }
        }
        layers.push(Layer {
            name: nodes[weights].name.clone(),
            weights,
            output,
            before_activation,
            image: Image::of(shapes.output(output)),
            field: fields[output],
        });
    }
    Ok(layers)
}
