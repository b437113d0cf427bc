//! Lowering: each node of a blueprint becomes steps of a plan.

use gyrus_blueprint::{Blueprint, ConvolutionGeometry, Flattening, Image, NodeKind, PoolGeometry, Shapes};
use gyrus_tensor::{
    Activation, Convolution, EncoderAttention, FeedForwardActivation, Operation, Pooling, Spiking,
    Transformer, Vision,
};

use super::{Form, ParameterPlan, Plan, Purpose, Source, Start, StatisticsPlan, Step, Work};
use crate::{Error, Result};

/// A plan under construction.
pub(crate) struct Lowering<'a> {
    pub(crate) blueprint: &'a Blueprint,
    pub(crate) shapes: &'a Shapes,
    pub(crate) purpose: Purpose<'a>,
    /// The node being lowered.
    current: usize,
    /// Form of each step's result.
    pub(crate) forms: Vec<Form>,
    /// For each node, the Linear or Affine node that feeds its spikes back to it.
    pub(crate) feedback: Vec<Option<usize>>,
    pub(super) targets: Vec<Vec<usize>>,
    pub(crate) sources: Vec<Vec<usize>>,
    pub(crate) plan: Plan,
    /// The source of each lowered node's result.
    pub(crate) results: Vec<Option<Source>>,
}

impl Plan {
    pub(crate) fn new(blueprint: &Blueprint, purpose: Purpose<'_>) -> Result<Self> {
        let shapes = blueprint.shapes()?;
        let mut lowering = Lowering {
            blueprint,
            shapes: &shapes,
            purpose,
            current: 0,
            forms: Vec::new(),
            feedback: vec![None; blueprint.nodes().len()],
            targets: blueprint.targets(),
            sources: blueprint.sources(),
            plan: Self::default(),
            results: vec![None; blueprint.nodes().len()],
        };
        lowering.find_feedback()?;
        for &node in shapes.order() {
            if !lowering.feedback.contains(&Some(node)) {
                lowering.current = node;
                lowering.node(node)?;
            }
        }
        let mut plan = lowering.plan;
        plan.results = lowering.results;
        plan.count_uses();
        Ok(plan)
    }
}

impl Lowering<'_> {
    pub(crate) fn push(&mut self, work: Work, source: Source, second: Option<Source>) -> Source {
        let timed = self.form(source).timed || second.is_some_and(|second| self.form(second).timed);
        // `Pass` keeps the form; all other work gives floats unless its caller changes that.
        let spikes = matches!(work, Work::Pass) && self.form(source).spikes;
        self.forms.push(Form { timed, spikes });
        self.plan.steps.push(Step { node: self.current, work, source, second });
        Source::Step(self.plan.steps.len() - 1)
    }

    pub(crate) fn run(&mut self, operation: Operation, parameters: Vec<usize>, source: Source) -> Source {
        self.push(Work::Run { operation, parameters }, source, None)
    }

    /// The sum of all inputs of `node`, as floats.
    pub(crate) fn incoming(&mut self, node: usize) -> Source {
        let source = self.incoming_or_spikes(node);
        self.as_floats(source, node)
    }

    /// The sum of all inputs of `node`; a single input of spikes stays packed.
    pub(crate) fn incoming_or_spikes(&mut self, node: usize) -> Source {
        let feedback = self.feedback[node];
        let sources = self.sources[node].iter().filter(|&&source| Some(source) != feedback);
        let mut sources: Vec<Source> = sources.filter_map(|&source| self.results[source]).collect();
        if sources.len() > 1 {
            sources = self.alike(node, &sources);
        }
        let mut sum = sources.first().copied().unwrap_or(Source::Input);
        for &source in &sources[1.min(sources.len())..] {
            let work = Work::Run { operation: Operation::Add, parameters: Vec::new() };
            sum = self.push(work, sum, Some(source));
        }
        sum
    }

    /// Registers a node's trainable parameters and returns their indices.
    pub(crate) fn parameters(&mut self, node: usize, fan_in: usize, rectified: bool) -> Vec<usize> {
        let name = &self.blueprint.nodes()[node].name;
        let norm = matches!(
            self.blueprint.nodes()[node].kind,
            NodeKind::BatchNorm { .. } | NodeKind::LayerNorm { .. } | NodeKind::ChannelLayerNorm { .. }
        );
        let mut indices = Vec::new();
        for spec in self.shapes.parameters(node).iter().filter(|spec| spec.trainable) {
            let start = match spec.name {
                "weight" if !norm => {
                    let gain = if rectified { 2.0 } else { 1.0 };
                    Start::Normal((gain / fan_in.max(1) as f32).sqrt())
                }
                "weight" | "scale" => Start::Constant(1.0),
                "positions" | "token" => Start::Normal(0.02),
                // After a batch norm, most of a unit's input lies below this.
                "threshold" => Start::Constant(3.0),
                _ => Start::Constant(0.0),
            };
            indices.push(self.plan.parameters.len());
            self.plan.parameters.push(ParameterPlan {
                name: format!("{name}.{}", spec.name),
                shape: spec.shape.to_vec(),
                start,
            });
        }
        indices
    }

    /// Whether a ReLU or GELU follows, perhaps after normalizations: the weights then start with a larger std.
    fn rectified(&self, node: usize) -> bool {
        self.targets[node].iter().any(|&target| match self.blueprint.nodes()[target].kind {
            NodeKind::ReLU
            | NodeKind::QuantizedReLU { .. }
            | NodeKind::GELU
            | NodeKind::SiLU
            | NodeKind::ReLU6
            | NodeKind::Hardswish
            | NodeKind::QuickGELU
            | NodeKind::TanhGELU => true,
            NodeKind::BatchNorm { .. } | NodeKind::MaxPool2d(_) => self.rectified(target),
            _ => false,
        })
    }

    fn node(&mut self, node: usize) -> Result<()> {
        let blueprint = self.blueprint;
        let (name, kind) = (&blueprint.nodes()[node].name, &blueprint.nodes()[node].kind);
        let input = self.shapes.input(node).clone();
        let image = Image::of(&input);
        let refuse = |reason| Err(Error::NoDenseBody { node: name.clone(), kind: kind.name(), reason });
        let result = match kind {
            NodeKind::Input { .. } => Source::Input,
            NodeKind::Output if self.purpose.spiking.is_some() => self.readout(node)?,
            NodeKind::Output => {
                let source = self.incoming(node);
                match source {
                    // The output must be the last step, whatever the order of the graph.
                    Source::Step(step) if step + 1 == self.plan.steps.len() => source,
                    _ => self.push(Work::Pass, source, None),
                }
            }
            NodeKind::Affine { out_features } | NodeKind::Linear { out_features } => {
                let source = self.incoming_or_spikes(node);
                let rectified = self.rectified(node);
                let parameters = self.parameters(node, input[0], rectified);
                let (inputs, outputs) = (input[0], *out_features);
                let operation = match self.form(source).spikes {
                    true => Operation::Spiking(Spiking::Linear { inputs, outputs }),
                    false => Operation::Linear { inputs, outputs, relu: false },
                };
                self.run(operation, parameters, source)
            }
            NodeKind::Conv1d(convolution) => self.convolution(node, kernel_of(convolution.geometry(&input))),
            NodeKind::Conv2d(convolution) => self.convolution(node, kernel_of(convolution.geometry(&input))),
            NodeKind::SumPool2d(pool) => self.sum_pool(node, windows_of(pool.geometry(&input)), 1.0),
            NodeKind::AvgPool2d(pool) => {
                let geometry = pool.geometry(&input);
                self.sum_pool(node, windows_of(geometry), geometry.mean_factor())
            }
            NodeKind::GlobalAvgPool => {
                let geometry = PoolGeometry::whole(&input);
                self.sum_pool(node, windows_of(geometry), geometry.mean_factor())
            }
            NodeKind::MaxPool2d(pool) => {
                let shape = windows_of(pool.geometry(&input));
                let source = self.incoming_or_spikes(node);
                match self.form(source).spikes {
                    true => self.run_on_spikes(Operation::Spiking(Spiking::MaxPool(shape)), source),
                    false => self.run(Operation::MaxPool(shape), Vec::new(), source),
                }
            }
            NodeKind::CountMaxPool2d(pool) => {
                let shape = windows_of(pool.geometry(&input));
                let Some(settings) = self.purpose.spiking else {
                    return refuse("it needs a spiking network");
                };
                let steps = settings.steps;
                self.on_spikes(node, Operation::Spiking(Spiking::CountMaxPool { shape, steps }))
            }
            NodeKind::Flatten { start_axis, end_axis } => {
                match Flattening::of(*start_axis, *end_axis, &input) {
                    Some(Flattening::None) => {
                        let source = self.incoming_or_spikes(node);
                        self.push(Work::Pass, source, None)
                    }
                    Some(Flattening::ChannelsFirst) => {
                        let (pixels, channels) = (image.pixels(), image.channels);
                        self.on_spikes(node, Operation::ChannelsFirst { pixels, channels })
                    }
                    None => return refuse(Flattening::REFUSAL),
                }
            }
            NodeKind::Scale => {
                let source = self.incoming(node);
                let parameter = self.parameters(node, 1, false)[0];
                self.push(Work::Scale { parameter, pixels: image.pixels() }, source, None)
            }
            NodeKind::ReLU => self.activation(node, Activation::Relu),
            NodeKind::GELU => self.activation(node, Activation::Gelu),
            NodeKind::SiLU => self.activation(node, Activation::Silu),
            NodeKind::ReLU6 => self.activation(node, Activation::Relu6),
            NodeKind::Hardswish => self.activation(node, Activation::Hardswish),
            NodeKind::QuickGELU => self.activation(node, Activation::QuickGelu),
            NodeKind::TanhGELU => {
                let source = self.incoming(node);
                let activation = Transformer::Activated(FeedForwardActivation::GeluTanh);
                self.run(Operation::Transformer(activation), Vec::new(), source)
            }
            NodeKind::Add => match self.fuse_sum(node, None) {
                Some(source) => source,
                None => {
                    let source = self.incoming(node);
                    self.push(Work::Pass, source, None)
                }
            },
            NodeKind::Multiply => self.product(node),
            NodeKind::LayerScale => self.vision(node, Vision::LayerScale),
            NodeKind::ClassToken => self.vision(node, Vision::ClassToken),
            NodeKind::PositionEmbedding => self.vision(node, Vision::PositionEmbedding),
            NodeKind::SelectToken { index } => {
                self.vision(node, Vision::TakeToken { width: image.channels, index: *index })
            }
            NodeKind::SelfAttention { heads } => {
                let head_width = image.channels / 3 / heads;
                let scale = 1.0 / (head_width as f32).sqrt();
                self.vision(
                    node,
                    Vision::SelfAttention(EncoderAttention { heads: *heads, head_width, scale }),
                )
            }
            NodeKind::ChannelLayerNorm { epsilon } => {
                let source = self.incoming(node);
                let parameters = self.parameters(node, 1, false);
                self.run(Operation::LayerNorm { epsilon: *epsilon as f32 }, parameters, source)
            }
            NodeKind::Sigmoid => self.activation(node, Activation::Sigmoid),
            NodeKind::Tanh => self.activation(node, Activation::Tanh),
            NodeKind::Softmax { axis: 0 } => {
                let source = self.incoming(node);
                self.run(Operation::Softmax { columns: image.channels }, Vec::new(), source)
            }
            NodeKind::Softmax { .. } => {
                return refuse("a softmax must go over axis 0, the features or channels");
            }
            NodeKind::BatchNorm { epsilon, momentum } => {
                let source = self.incoming(node);
                let affine = self.parameters(node, 1, false);
                self.plan.statistics.push(StatisticsPlan { node: name.clone(), channels: image.channels });
                let work = Work::Normalize {
                    channels: image.channels,
                    affine: [affine[0], affine[1]],
                    statistics: self.plan.statistics.len() - 1,
                    epsilon: *epsilon as f32,
                    momentum: *momentum as f32,
                    activation: None,
                };
                self.push(work, source, None)
            }
            NodeKind::LayerNorm { epsilon } => {
                if input.len() > 1 {
                    return refuse("layer normalization takes `[features]`; flatten or pool first");
                }
                let source = self.incoming(node);
                let parameters = self.parameters(node, 1, false);
                self.run(Operation::LayerNorm { epsilon: *epsilon as f32 }, parameters, source)
            }
            NodeKind::Dropout { .. } if !self.purpose.training => {
                let source = self.incoming_or_spikes(node);
                self.push(Work::Pass, source, None)
            }
            NodeKind::Dropout { probability } => {
                let source = self.incoming(node);
                self.push(Work::Dropout { probability: *probability as f32 }, source, None)
            }
            NodeKind::QuantizedReLU { levels } => {
                let source = self.incoming(node);
                let threshold = self.parameters(node, 1, false);
                self.run(Operation::QuantizedRelu { levels: *levels }, threshold, source)
            }
            NodeKind::Delay { .. }
            | NodeKind::Threshold { .. }
            | NodeKind::I { .. }
            | NodeKind::IF { .. }
            | NodeKind::LI { .. }
            | NodeKind::LIF { .. }
            | NodeKind::CubaLI { .. }
            | NodeKind::CubaLIF { .. }
            | NodeKind::AdaptiveLIF { .. }
            | NodeKind::SignedIF { .. } => {
                if self.purpose.spiking.is_none() {
                    return refuse("it needs a spiking network");
                }
                self.in_time(node)?
            }
        };
        self.results[node] = Some(result);
        Ok(())
    }

    fn convolution(&mut self, node: usize, shape: Convolution) -> Source {
        let source = self.incoming_or_spikes(node);
        let fan_in = shape.channels / shape.groups * shape.kernel[0] * shape.kernel[1];
        let rectified = self.rectified(node);
        let parameters = self.parameters(node, fan_in, rectified);
        let operation = match self.form(source).spikes {
            true => Operation::Spiking(Spiking::Convolution(shape)),
            false => Operation::Convolution { shape, activation: None, residual: false },
        };
        self.run(operation, parameters, source)
    }

    fn sum_pool(&mut self, node: usize, shape: Pooling, scale: f32) -> Source {
        let source = self.incoming(node);
        self.run(Operation::SumPool { shape, scale }, Vec::new(), source)
    }

    /// An operation on floats, with the node's parameters.
    fn vision(&mut self, node: usize, operation: Vision) -> Source {
        let source = self.incoming(node);
        let parameters = self.parameters(node, 1, false);
        self.run(Operation::Vision(operation), parameters, source)
    }

    /// The product of all inputs, from the largest on.
    fn product(&mut self, node: usize) -> Source {
        let whole = self.shapes.output(node).clone();
        let mut factors = self.sources[node].clone();
        factors.sort_by_key(|&factor| *self.shapes.output(factor) != whole);
        let factors: Vec<Source> = factors.iter().filter_map(|&factor| self.results[factor]).collect();
        let factors = if factors.len() > 1 { self.alike(node, &factors) } else { factors };
        let mut factors = factors.into_iter();
        let mut product = factors.next().unwrap_or(Source::Input);
        for factor in factors {
            let work = Work::Run { operation: Operation::Vision(Vision::Product), parameters: Vec::new() };
            product = self.push(work, product, Some(factor));
        }
        product
    }

    fn activation(&mut self, node: usize, f: Activation) -> Source {
        if let Some(fused) = self.fuse_activation(node, f) {
            return fused;
        }
        let source = self.incoming(node);
        self.run(Operation::Activation(f), Vec::new(), source)
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
