//! Shape inference: the input and output shape, the parameters and the number of multiplications of every node, all from
//! the Input's shape and before anything is allocated. Every product is checked for overflow; no activation and no
//! parameter may have more than [`MAX_ELEMENTS`] elements.
//!
//! Along one axis, a window of k taps, d apart, moved by s over n elements with p zeros around them gives
//! ⌊(n + p − d (k − 1) − 1) / s⌋ + 1 outputs.

mod sources;

use sources::sum_of_sources;

use crate::neuron::Neuron;
use crate::{
    Blueprint, Conv1d, Conv2d, Error, Node, NodeKind, NodeShapes, Padding, ParameterSpec, Pool2d, Result,
    Shape, Shapes,
};

/// The most elements of one activation or one parameter, and the largest whole number in a node: 2³¹.
pub const MAX_ELEMENTS: usize = 1 << 31;

/// Infers every node in topological order.
pub(crate) fn infer(blueprint: &Blueprint) -> Result<Shapes> {
    let nodes = blueprint.nodes();
    let sources = blueprint.sources();
    let order = blueprint.topological_order()?;
    let mut inferred: Vec<Option<NodeShapes>> = vec![None; nodes.len()];
    for &index in &order {
        let node = &nodes[index];
        let input = match &node.kind {
            NodeKind::Input { shape } => shape.clone(),
            _ => sum_of_sources(blueprint, node, &sources[index], &inferred)?,
        };
        inferred[index] = Some(Rule { node, input: &input }.infer()?);
    }
    // Signals on edges that close a cycle must fit as well.
    for index in blueprint.back_edges().into_iter().map(|(_, to)| to) {
        sum_of_sources(blueprint, &nodes[index], &sources[index], &inferred)?;
    }
    Ok(Shapes { nodes: inferred.into_iter().flatten().collect(), order })
}

/// A convolution or pool over the last `AXES` axes.
struct Window<const AXES: usize> {
    kernel: [usize; AXES],
    stride: [usize; AXES],
    padding: Padding<AXES>,
    dilation: [usize; AXES],
}

/// The hyper-parameters of a convolution that do not depend on the axis.
struct Filters {
    out_channels: usize,
    groups: usize,
    bias: bool,
}

const NO_HINT: &str = "";
const FLATTEN_HINT: &str = "; a Flatten or GlobalAvgPool before it may be missing";

/// One node and its input shape.
struct Rule<'a> {
    node: &'a Node,
    input: &'a Shape,
}

impl Rule<'_> {
    fn infer(&self) -> Result<NodeShapes> {
        let input = self.input;
        let same = || (input.clone(), Vec::new(), 0);
        let (output, parameters, multiply_accumulates) = match &self.node.kind {
            NodeKind::Input { shape } => {
                if shape.is_empty() {
                    return Err(self.wrong_rank("[features] or more axes", NO_HINT));
                }
                for &extent in shape.iter() {
                    self.whole("shape", extent, 1)?;
                }
                same()
            }
            NodeKind::Output
            | NodeKind::ReLU
            | NodeKind::GELU
            | NodeKind::SiLU
            | NodeKind::ReLU6
            | NodeKind::Hardswish
            | NodeKind::QuickGELU
            | NodeKind::TanhGELU
            | NodeKind::Add
            | NodeKind::Multiply
            | NodeKind::Sigmoid
            | NodeKind::Tanh => same(),
            NodeKind::Affine { out_features } => self.affine(*out_features, true)?,
            NodeKind::Linear { out_features } => self.affine(*out_features, false)?,
            NodeKind::Scale => {
                (input.clone(), vec![trainable("scale", input.clone())], self.elements("output", input)?)
            }
            NodeKind::Conv1d(Conv1d { out_channels, kernel, stride, padding, dilation, groups, bias }) => {
                let window =
                    Window { kernel: [*kernel], stride: [*stride], padding: *padding, dilation: [*dilation] };
                let filters = Filters { out_channels: *out_channels, groups: *groups, bias: *bias };
                self.convolution(&window, &filters)?
            }
            NodeKind::Conv2d(Conv2d { out_channels, kernel, stride, padding, dilation, groups, bias }) => {
                let window =
                    Window { kernel: *kernel, stride: *stride, padding: *padding, dilation: *dilation };
                let filters = Filters { out_channels: *out_channels, groups: *groups, bias: *bias };
                self.convolution(&window, &filters)?
            }
            NodeKind::SumPool2d(pool)
            | NodeKind::AvgPool2d(pool)
            | NodeKind::MaxPool2d(pool)
            | NodeKind::CountMaxPool2d(pool) => (self.pool(pool)?, Vec::new(), 0),
            NodeKind::Flatten { start_axis, end_axis } => {
                (self.flatten(*start_axis, *end_axis)?, Vec::new(), 0)
            }
            NodeKind::Softmax { axis } => {
                self.axis(*axis)?;
                same()
            }
            NodeKind::BatchNorm { epsilon, momentum } => {
                self.positive("epsilon", *epsilon)?;
                let range = 0.0..=1.0;
                self.number("momentum", *momentum, range.contains(momentum), "a number from 0 to 1")?;
                let channels = Shape::from([input[0]]);
                let parameters = vec![
                    trainable("weight", channels.clone()),
                    trainable("bias", channels.clone()),
                    ParameterSpec { name: "running_mean", shape: channels.clone(), trainable: false },
                    ParameterSpec { name: "running_var", shape: channels, trainable: false },
                ];
                (input.clone(), parameters, 0)
            }
            NodeKind::LayerNorm { epsilon } => {
                self.positive("epsilon", *epsilon)?;
                let last = Shape::from([input[input.len() - 1]]);
                (input.clone(), vec![trainable("weight", last.clone()), trainable("bias", last)], 0)
            }
            NodeKind::ChannelLayerNorm { epsilon } => {
                self.positive("epsilon", *epsilon)?;
                let channels = Shape::from([input[0]]);
                (input.clone(), vec![trainable("weight", channels.clone()), trainable("bias", channels)], 0)
            }
            NodeKind::LayerScale => {
                let scale = trainable("scale", Shape::from([input[0]]));
                (input.clone(), vec![scale], self.elements("output", input)?)
            }
            NodeKind::ClassToken => {
                let [width, tokens] = self.tokens()?;
                let token = trainable("token", Shape::from([width]));
                (Shape::from([width, tokens + 1]), vec![token], 0)
            }
            NodeKind::PositionEmbedding => {
                let [width, tokens] = self.tokens()?;
                (input.clone(), vec![trainable("positions", Shape::from([tokens, width]))], 0)
            }
            NodeKind::SelectToken { index } => {
                let [width, tokens] = self.tokens()?;
                if *index >= tokens {
                    let (node, kind) = (self.node.name.clone(), self.node.kind.name());
                    let (field, most) = ("index", tokens - 1);
                    return Err(Error::IntegerOutOfRange { node, kind, field, got: *index, least: 0, most });
                }
                (Shape::from([width]), Vec::new(), 0)
            }
            NodeKind::SelfAttention { heads } => {
                let [all, tokens] = self.tokens()?;
                self.whole("heads", *heads, 1)?;
                if !all.is_multiple_of(3) || !(all / 3).is_multiple_of(*heads) {
                    return Err(
                        self.wrong_rank("[3 width, tokens], where the heads divide the width", NO_HINT)
                    );
                }
                (Shape::from([all / 3, tokens]), Vec::new(), 0)
            }
            NodeKind::GlobalAvgPool => {
                if input.len() < 2 {
                    return Err(self.wrong_rank("[channels, height, width] or [channels, length]", NO_HINT));
                }
                (Shape::from([input[0]]), Vec::new(), 0)
            }
            NodeKind::Dropout { probability } => {
                let range = 0.0..1.0;
                self.number(
                    "probability",
                    *probability,
                    range.contains(probability),
                    "a number from 0 up to, but not including, 1",
                )?;
                same()
            }
            NodeKind::QuantizedReLU { levels } => {
                self.whole("levels", *levels, 1)?;
                (input.clone(), vec![trainable("threshold", Shape::from([1]))], 0)
            }
            NodeKind::SignedIF { levels, threshold } => {
                self.whole("levels", *levels, 1)?;
                self.positive("threshold", *threshold)?;
                let start = ParameterSpec { name: "start", shape: input.clone(), trainable: false };
                (input.clone(), vec![start], 0)
            }
            NodeKind::Delay { delay_ms } => {
                self.number("delay_ms", *delay_ms, *delay_ms >= 0.0, "a finite number, at least 0")?;
                same()
            }
            NodeKind::Threshold { threshold } => {
                self.finite("threshold", *threshold)?;
                same()
            }
            NodeKind::I { .. }
            | NodeKind::IF { .. }
            | NodeKind::LI { .. }
            | NodeKind::LIF { .. }
            | NodeKind::CubaLI { .. }
            | NodeKind::CubaLIF { .. }
            | NodeKind::AdaptiveLIF { .. } => {
                let neuron = self.node.kind.neuron();
                let constants = neuron.map(|neuron| self.constants(&neuron)).transpose()?;
                (input.clone(), constants.unwrap_or_default(), 0)
            }
        };
        self.elements("output", &output)?;
        for parameter in &parameters {
            self.elements(parameter.name, &parameter.shape)?;
        }
        Ok(NodeShapes { input: input.clone(), output, parameters, multiply_accumulates })
    }

    /// `[width, tokens]`.
    fn tokens(&self) -> Result<[usize; 2]> {
        match self.input[..] {
            [width, tokens] => Ok([width, tokens]),
            _ => Err(self.wrong_rank("[width, tokens]", "; a Flatten from axis 1 on may be missing")),
        }
    }

    fn affine(&self, out_features: usize, bias: bool) -> Result<(Shape, Vec<ParameterSpec>, u64)> {
        self.whole("out_features", out_features, 1)?;
        let &[in_features] = &self.input[..] else {
            return Err(self.wrong_rank("[features]", FLATTEN_HINT));
        };
        let weight = Shape::from([out_features, in_features]);
        let output = Shape::from([out_features]);
        let products = self.elements("weight", &weight)?;
        let mut parameters = vec![trainable("weight", weight)];
        if bias {
            parameters.push(trainable("bias", output.clone()));
        }
        Ok((output, parameters, products))
    }

    fn convolution<const AXES: usize>(
        &self,
        window: &Window<AXES>,
        filters: &Filters,
    ) -> Result<(Shape, Vec<ParameterSpec>, u64)> {
        self.whole("out_channels", filters.out_channels, 1)?;
        self.whole("groups", filters.groups, 1)?;
        let output = self.slide(window, filters.out_channels)?;
        let in_channels = self.input[0];
        for (channels, which) in [(in_channels, "input"), (filters.out_channels, "output")] {
            if channels % filters.groups != 0 {
                return Err(Error::GroupsDoNotDivide {
                    node: self.node.name.clone(),
                    kind: self.node.kind.name(),
                    groups: filters.groups,
                    channels,
                    which,
                });
            }
        }
        let mut extents = vec![filters.out_channels, in_channels / filters.groups];
        extents.extend(window.kernel);
        let weight = Shape::from(extents);
        // Both factors are at most 2³¹, so the product of outputs and products per output fits.
        let per_output = self.elements("weight", &weight)? / filters.out_channels as u64;
        let products = self.elements("output", &output)? * per_output;
        let mut parameters = vec![trainable("weight", weight)];
        if filters.bias {
            parameters.push(trainable("bias", Shape::from([filters.out_channels])));
        }
        Ok((output, parameters, products))
    }

    fn pool(&self, pool: &Pool2d) -> Result<Shape> {
        let Pool2d { kernel, stride, padding } = *pool;
        let window = Window { kernel, stride, padding: Padding::Explicit(padding), dilation: [1; 2] };
        let channels = self.input[0];
        let output = self.slide(&window, channels)?;
        for (&padding, &kernel) in padding.iter().zip(&kernel) {
            // A window that lies in the padding alone would have no maximum.
            if padding > kernel / 2 {
                return Err(Error::PoolPaddingTooLarge {
                    node: self.node.name.clone(),
                    kind: self.node.kind.name(),
                    padding,
                    kernel,
                });
            }
        }
        Ok(output)
    }

    /// `[channels, ...]` with the number of windows along each axis.
    fn slide<const AXES: usize>(&self, window: &Window<AXES>, channels: usize) -> Result<Shape> {
        for axis in 0..AXES {
            self.whole("kernel", window.kernel[axis], 1)?;
            self.whole("stride", window.stride[axis], 1)?;
            self.whole("dilation", window.dilation[axis], 1)?;
            match window.padding {
                Padding::Explicit(each) => self.whole("padding", each[axis], 0)?,
                Padding::Sides(sides) => {
                    sides[axis].into_iter().try_for_each(|side| self.whole("padding", side, 0))?;
                }
                Padding::Same if window.stride[axis] != 1 => {
                    return Err(Error::SamePaddingWithStride {
                        node: self.node.name.clone(),
                        kind: self.node.kind.name(),
                        stride: window.stride[axis],
                    });
                }
                Padding::Same | Padding::Valid => {}
            }
        }
        let (expected, axes) = match AXES {
            1 => ("[channels, length]", ["length", ""]),
            _ => ("[channels, height, width]", ["height", "width"]),
        };
        if self.input.len() != AXES + 1 {
            return Err(self.wrong_rank(expected, NO_HINT));
        }
        let too_large = |span, padded, axis: usize| Error::KernelTooLarge {
            node: self.node.name.clone(),
            kind: self.node.kind.name(),
            axis: axes[axis],
            span,
            padded,
            input: self.input.clone(),
        };
        let sides = window.padding.before_and_behind(window.kernel, window.dilation);
        let mut extents = vec![channels];
        for axis in 0..AXES {
            // Whole numbers are at most 2³¹, so only the kernel's span could overflow, and only on 32 bits.
            let span = (window.kernel[axis] - 1).checked_mul(window.dilation[axis]);
            let span = span.and_then(|taps| taps.checked_add(1)).unwrap_or(usize::MAX);
            let (before, behind) = sides.map_or((0, 0), |sides| sides[axis]);
            let padded = self.input[axis + 1].saturating_add(before).saturating_add(behind);
            if span > padded {
                return Err(too_large(span, padded, axis));
            }
            extents.push((padded - span) / window.stride[axis] + 1);
        }
        Ok(Shape::from(extents))
    }

    fn flatten(&self, start: usize, end: Option<usize>) -> Result<Shape> {
        let end = end.unwrap_or(self.input.len() - 1);
        self.axis(start)?;
        self.axis(end)?;
        if end < start {
            return Err(Error::AxesReversed {
                node: self.node.name.clone(),
                kind: self.node.kind.name(),
                start,
                end,
            });
        }
        // The joined axes are part of an activation of at most 2³¹ elements, so their product fits.
        let joined = self.input[start..=end].iter().product();
        let mut extents = self.input[..start].to_vec();
        extents.push(joined);
        extents.extend(&self.input[end + 1..]);
        Ok(Shape::from(extents))
    }

    /// The constants that are stored beside the blueprint, after checking all constants.
    fn constants(&self, neuron: &Neuron<'_>) -> Result<Vec<ParameterSpec>> {
        for &(name, value) in &neuron.constants {
            if name.starts_with("tau_") {
                self.positive(name, value)?;
            } else {
                self.finite(name, value)?;
            }
        }
        let value =
            |name: &str| neuron.constants.iter().find(|constant| constant.0 == name).map(|&(_, value)| value);
        if let (Some(threshold), Some(reset)) = (value("v_threshold"), value("v_reset")) {
            self.number("v_reset", reset, reset < threshold, "a finite number below v_threshold")?;
        }
        if let Some(unknown) = neuron.per_neuron.iter().chain(neuron.learned).find(|name| !neuron.has(name)) {
            return Err(Error::UnknownConstant {
                node: self.node.name.clone(),
                kind: self.node.kind.name(),
                constant: unknown.clone(),
                known: neuron.constants.iter().map(|constant| constant.0).collect(),
            });
        }
        let stored = neuron.constants.iter().filter(|(name, _)| neuron.is_stored(name));
        Ok(stored
            .map(|&(name, _)| ParameterSpec {
                name,
                shape: if neuron.per_neuron.iter().any(|own| own == name) {
                    self.input.clone()
                } else {
                    Shape::from([1])
                },
                trainable: neuron.learned.iter().any(|learned| learned == name),
            })
            .collect())
    }

    fn positive(&self, field: &'static str, got: f64) -> Result<()> {
        self.number(field, got, got > 0.0, "a finite number above 0")
    }

    fn finite(&self, field: &'static str, got: f64) -> Result<()> {
        self.number(field, got, true, "a finite number")
    }

    fn number(&self, field: &'static str, got: f64, in_range: bool, expected: &'static str) -> Result<()> {
        if got.is_finite() && in_range {
            return Ok(());
        }
        let (node, kind) = (self.node.name.clone(), self.node.kind.name());
        Err(Error::NumberOutOfRange { node, kind, field, got, expected })
    }

    fn whole(&self, field: &'static str, got: usize, least: usize) -> Result<()> {
        if (least..=MAX_ELEMENTS).contains(&got) {
            return Ok(());
        }
        let (node, kind) = (self.node.name.clone(), self.node.kind.name());
        Err(Error::IntegerOutOfRange { node, kind, field, got, least, most: MAX_ELEMENTS })
    }

    fn axis(&self, axis: usize) -> Result<()> {
        if axis < self.input.len() {
            return Ok(());
        }
        let (node, kind) = (self.node.name.clone(), self.node.kind.name());
        Err(Error::AxisOutOfRange { node, kind, axis, input: self.input.clone() })
    }

    /// The number of elements, at most [`MAX_ELEMENTS`].
    fn elements(&self, what: &'static str, shape: &Shape) -> Result<u64> {
        match shape.elements() {
            Some(elements) if elements <= MAX_ELEMENTS => Ok(elements as u64),
            _ => Err(Error::TooLarge {
                node: self.node.name.clone(),
                kind: self.node.kind.name(),
                what,
                shape: shape.clone(),
                limit: MAX_ELEMENTS,
            }),
        }
    }

    fn wrong_rank(&self, expected: &'static str, hint: &'static str) -> Error {
        Error::WrongRank {
            node: self.node.name.clone(),
            kind: self.node.kind.name(),
            expected,
            got: self.input.clone(),
            hint,
        }
    }
}

fn trainable(name: &'static str, shape: Shape) -> ParameterSpec {
    ParameterSpec { name, shape, trainable: true }
}
