//! Compiles a blueprint to units: its nodes in order, each with the forms of its input and output signals.
//!
//! Shapes in a blueprint are channels-first; signals here are channels-last, as in the clocked body. Weights that feed a
//! single node of neurons become part of it, so that their sums are never copied into a row of currents.

use std::collections::HashSet;

use gyrus_blueprint::{
    Blueprint, ConvolutionGeometry, Discretization, Flattening, Image, NeuronModel, NodeKind, Parameters,
    PoolGeometry, Shape, Shapes, without_spiking_form,
};
use gyrus_kernels::convolution::Convolution;
use gyrus_kernels::convolution::pooling::Pooling;

use crate::layer::Layer;
use crate::membrane::Neurons;
use crate::signal::Form;
use crate::weights::{Synapses, Weights, bias_row};
use crate::{Error, Result};

/// Work of a unit.
pub(crate) enum Work {
    /// The sample.
    Input,
    /// The answer.
    Output,
    /// Weights that do not feed a single node of neurons.
    Synapses(Synapses),
    /// Neurons, perhaps together with the weights before them.
    Neurons(Neurons, Option<Synapses>),
    /// A node without weights and neurons.
    Layer(Layer),
}

/// A node, or neurons with their weights.
pub(crate) struct Unit {
    /// Index in the blueprint; that of the neurons, if there are weights too.
    pub(crate) node: usize,
    /// Units whose outputs add up to its input.
    pub(crate) sources: Vec<usize>,
    /// Units whose outputs of the previous step are added to that.
    pub(crate) delayed: Vec<usize>,
    pub(crate) input: Form,
    pub(crate) output: Form,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    /// Whether all listeners accept packed spikes, so that no list of them is needed.
    pub(crate) packed: bool,
    pub(crate) work: Work,
}

impl Unit {
    /// Whether its input is the output of a single source, rather than a sum.
    pub(crate) fn is_alone(&self) -> bool {
        self.sources.is_empty() || self.sources.len() == 1 && self.delayed.is_empty()
    }
}

struct Compiler<'a> {
    blueprint: &'a Blueprint,
    shapes: &'a Shapes,
    parameters: &'a Parameters,
    time: Discretization,
    back: HashSet<(usize, usize)>,
    sources: Vec<Vec<usize>>,
    targets: Vec<Vec<usize>>,
    /// For each node, its unit.
    unit_of: Vec<usize>,
    units: Vec<Unit>,
}

/// The units of a blueprint, in the order in which they run.
pub(crate) fn compile(
    blueprint: &Blueprint,
    parameters: &Parameters,
    time: Discretization,
    stimulus: Form,
) -> Result<Vec<Unit>> {
    let shapes = blueprint.shapes()?;
    let mut compiler = Compiler {
        blueprint,
        shapes: &shapes,
        parameters,
        time,
        back: blueprint.back_edges().into_iter().collect(),
        sources: blueprint.sources(),
        targets: blueprint.targets(),
        unit_of: vec![usize::MAX; blueprint.nodes().len()],
        units: Vec::new(),
    };
    for &node in shapes.order() {
        compiler.node(node, stimulus)?;
    }
    // Units that come later in the order exist only now.
    for at in 0..compiler.units.len() {
        let node = compiler.units[at].node;
        let back = compiler.sources[node].iter().filter(|&&source| compiler.back.contains(&(source, node)));
        compiler.units[at].delayed = back.map(|&source| compiler.unit_of[source]).collect();
    }
    let mut units = compiler.units;
    for at in 0..units.len() {
        let packs = units[at].output == Form::Binary && matches!(units[at].work, Work::Neurons(..));
        let mut listeners =
            units.iter().filter(|unit| unit.sources.contains(&at) || unit.delayed.contains(&at));
        units[at].packed = packs
            && listeners.all(|unit| {
                unit.is_alone() && matches!(&unit.work, Work::Layer(layer) if layer.takes_packed())
            });
    }
    Ok(units)
}

impl Compiler<'_> {
    fn refuse<T>(&self, node: usize, reason: &'static str) -> Result<T> {
        let node = &self.blueprint.nodes()[node];
        Err(Error::NoEventForm { node: node.name.clone(), kind: node.kind.name(), reason })
    }

    /// A stored parameter, which must have the blueprint's size; `None` if the node has no such parameter.
    fn parameter(&self, node: usize, name: &str) -> Result<Option<&[f32]>> {
        let Some(spec) = self.shapes.parameters(node).iter().find(|spec| spec.name == name) else {
            return Ok(None);
        };
        let full = format!("{}.{name}", self.blueprint.nodes()[node].name);
        let values = self.parameters.get(&full).map(|array| &array.values[..]).unwrap_or_default();
        let expected = spec.elements();
        if values.len() as u64 != expected {
            let (got, expected) = (values.len(), usize::try_from(expected).unwrap_or(usize::MAX));
            return Err(Error::Parameter { name: full, got, expected, shape: spec.shape.clone() });
        }
        Ok(Some(values))
    }

    fn node(&mut self, node: usize, stimulus: Form) -> Result<()> {
        let elements = |shape: &Shape| shape.iter().product::<usize>();
        let (inputs, outputs) = (elements(self.shapes.input(node)), elements(self.shapes.output(node)));
        let forward: Vec<usize> = self.sources[node]
            .iter()
            .filter(|&&source| !self.back.contains(&(source, node)))
            .map(|&source| self.unit_of[source])
            .collect();
        let cycles = forward.len() < self.sources[node].len();
        let input = match forward[..] {
            [] => stimulus,
            [source] if !cycles => self.units[source].output,
            _ if !cycles && forward.iter().all(|&source| self.units[source].output == Form::Constant) => {
                Form::Constant
            }
            _ => Form::Dense,
        };
        let (work, output) = self.work(node, input, outputs)?;
        let mut unit = Unit {
            node,
            sources: forward,
            delayed: Vec::new(),
            input,
            output,
            inputs,
            outputs,
            packed: false,
            work,
        };
        if let Work::Neurons(_, weights @ None) = &mut unit.work
            && !cycles
            && let [source] = unit.sources[..]
            && source + 1 == self.units.len()
            && self.targets[self.units[source].node] == [node]
            && let Some(before) = self.units.pop_if(
                |before| matches!(&before.work, Work::Synapses(synapses) if synapses.weights.scatters()),
            )
            && let Work::Synapses(synapses) = before.work
        {
            *weights = Some(synapses);
            (unit.sources, unit.input, unit.inputs) = (before.sources, before.input, before.inputs);
        }
        self.unit_of[node] = self.units.len();
        self.units.push(unit);
        Ok(())
    }

    fn work(&self, node: usize, input: Form, outputs: usize) -> Result<(Work, Form)> {
        let kind = &self.blueprint.nodes()[node].kind;
        let shape = self.shapes.input(node);
        let image = Image::of(shape);
        let graded = if input.events() { Form::Graded } else { input };
        let layer = |layer: Layer, output: Form| Ok((Work::Layer(layer), output));
        match kind {
            NodeKind::Input { .. } => Ok((Work::Input, input)),
            NodeKind::Output => Ok((Work::Output, input)),
            NodeKind::Affine { out_features } | NodeKind::Linear { out_features } => {
                let Some(weight) = self.parameter(node, "weight")? else {
                    return self.refuse(node, "it has no weight");
                };
                let weights = Weights::linear(weight, (image.channels, *out_features), input);
                self.synapses(node, weights, input, outputs)
            }
            NodeKind::Conv1d(convolution) => {
                self.convolution(node, kernel_of(convolution.geometry(shape)), input, outputs)
            }
            NodeKind::Conv2d(convolution) => {
                self.convolution(node, kernel_of(convolution.geometry(shape)), input, outputs)
            }
            NodeKind::SumPool2d(pool) => {
                layer(Layer::sum_pool(windows_of(pool.geometry(shape)), 1.0), graded)
            }
            NodeKind::AvgPool2d(pool) => {
                let geometry = pool.geometry(shape);
                layer(Layer::sum_pool(windows_of(geometry), geometry.mean_factor()), graded)
            }
            NodeKind::GlobalAvgPool => {
                let geometry = PoolGeometry::whole(shape);
                layer(Layer::sum_pool(windows_of(geometry), geometry.mean_factor()), graded)
            }
            NodeKind::MaxPool2d(pool) => {
                let output = if input == Form::Graded { Form::Dense } else { input };
                layer(Layer::max_pool(windows_of(pool.geometry(shape))), output)
            }
            NodeKind::CountMaxPool2d(pool) => {
                let output = if input == Form::Constant { Form::Dense } else { input };
                layer(Layer::count_max_pool(windows_of(pool.geometry(shape))), output)
            }
            NodeKind::Flatten { start_axis, end_axis } => {
                match Flattening::of(*start_axis, *end_axis, shape) {
                    Some(Flattening::None) => layer(Layer::Pass, input),
                    Some(Flattening::ChannelsFirst) => {
                        let (pixels, channels) = (image.pixels(), image.channels);
                        layer(Layer::ChannelsFirst { pixels, channels }, input)
                    }
                    None => self.refuse(node, Flattening::REFUSAL),
                }
            }
            NodeKind::Dropout { .. } => layer(Layer::Pass, input),
            NodeKind::Scale => {
                let scale = self.parameter(node, "scale")?.unwrap_or_default();
                layer(Layer::Scale(image.channels_last(scale)), graded)
            }
            NodeKind::Delay { delay_ms } => {
                let Some(steps) = self.time.delay_steps(*delay_ms) else {
                    return self.refuse(node, "its delay is not a whole number of steps");
                };
                let output = if input == Form::Constant { Form::Dense } else { input };
                layer(Layer::Delay { steps }, output)
            }
            NodeKind::Threshold { threshold } => {
                let model = NeuronModel::threshold(*threshold);
                let neurons = Neurons::new(&model, outputs, image);
                Ok((Work::Neurons(neurons, None), Form::Binary))
            }
            NodeKind::SignedIF { levels, threshold } => {
                let start = self.parameter(node, "start")?.unwrap_or_default();
                let neurons = Neurons::signed(*levels, *threshold, image.channels_last(start));
                Ok((Work::Neurons(neurons, None), Form::Graded))
            }
            NodeKind::BatchNorm { .. } => {
                self.refuse(node, "fold batch norms into the weights before them first")
            }
            NodeKind::ReLU | NodeKind::QuantizedReLU { .. } => {
                self.refuse(node, "convert the network first, so that neurons replace it")
            }
            NodeKind::I { .. }
            | NodeKind::IF { .. }
            | NodeKind::LI { .. }
            | NodeKind::LIF { .. }
            | NodeKind::CubaLI { .. }
            | NodeKind::CubaLIF { .. }
            | NodeKind::AdaptiveLIF { .. } => {
                let blueprint_node = &self.blueprint.nodes()[node];
                match NeuronModel::new(blueprint_node, outputs, self.parameters, self.time)? {
                    Some(model) => {
                        let neurons = Neurons::new(&model, outputs, image);
                        let output = if neurons.fires() { Form::Binary } else { Form::Dense };
                        Ok((Work::Neurons(neurons, None), output))
                    }
                    None => self.refuse(node, "it has no spiking form"),
                }
            }
            without_spiking_form!() => self.refuse(node, "it has no spiking form"),
        }
    }

    fn convolution(
        &self,
        node: usize,
        window: Convolution,
        input: Form,
        outputs: usize,
    ) -> Result<(Work, Form)> {
        let Some(weight) = self.parameter(node, "weight")? else {
            return self.refuse(node, "it has no weight");
        };
        self.synapses(node, Weights::convolution(weight, window, input), input, outputs)
    }

    fn synapses(&self, node: usize, weights: Weights, input: Form, outputs: usize) -> Result<(Work, Form)> {
        let bias = self.parameter(node, "bias")?.map(<[f32]>::to_vec);
        let bias_row = bias_row(bias.as_deref().unwrap_or_default(), outputs);
        let dense_products = self.shapes.node(node).multiply_accumulates;
        let output = if input == Form::Constant { Form::Constant } else { Form::Dense };
        Ok((Work::Synapses(Synapses { node, weights, bias, bias_row, dense_products }), output))
    }
}

/// A convolution as the kernels know it.
fn kernel_of(geometry: ConvolutionGeometry) -> Convolution {
    let ConvolutionGeometry { input, outputs, kernel, stride, padding, dilation, groups } = geometry;
    let Image { height, width, channels } = input;
    Convolution { batch: 1, height, width, channels, outputs, kernel, stride, padding, dilation, groups }
}

/// A pool as the kernels know it.
fn windows_of(geometry: PoolGeometry) -> Pooling {
    let PoolGeometry { input: Image { height, width, channels }, kernel, stride, padding } = geometry;
    Pooling { batch: 1, height, width, channels, kernel, stride, padding }
}
