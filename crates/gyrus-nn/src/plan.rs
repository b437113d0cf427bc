//! A blueprint lowered to operations: which run in which order, on what, fused where one kernel does the work of two.
//!
//! Shapes in a blueprint are channels-first (`[channels, height, width]`); activations here are `[batch, elements]` with
//! channels last. The two meet at a Flatten, which turns pictures into features in the blueprint's order.

use std::collections::BTreeMap;

use gyrus_blueprint::{Blueprint, NodeKind, Padding, Shape, Shapes};
use gyrus_tensor::{Activation, Convolution, Operation, Pooling, Spiking};

use crate::NetworkError;
use crate::spiking::SpikingSettings;
use gyrus_files::{State, StateTensor};

/// Where an activation comes from: the step that made it, or the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Input,
    Step(usize),
}

/// What a step does.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// An operation with its parameters, indices into the plan's.
    Run { operation: Operation, parameters: Vec<usize> },
    /// Normalisation with the batch's statistics in training, running ones otherwise; `affine` is gamma and beta.
    Normalise {
        channels: usize,
        affine: [usize; 2],
        statistics: usize,
        epsilon: f32,
        momentum: f32,
        relu: bool,
    },
    /// One factor an element; the parameter is channels-first.
    Scale { parameter: usize, pixels: usize },
    /// Zeroes elements at random in training.
    Dropout { probability: f32 },
    /// The input as it is.
    Pass,
    /// Neurons over all steps; an index into the plan's.
    Neurons(usize),
    /// The same rows again at every step; or, where input comes once, zeros at all steps but the first.
    Repeat,
    /// From a row for each step to the network's answer.
    Readout,
}

/// How an activation lies in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Form {
    /// Rows for every step, `[steps · batch, ...]`, rather than one for all.
    pub(crate) timed: bool,
    /// Spikes, packed.
    pub(crate) spikes: bool,
}

/// A node of neurons as the plan knows it.
#[derive(Clone, Debug)]
pub(crate) struct NeuronPlan {
    /// Index in the blueprint.
    pub(crate) node: usize,
    pub(crate) neurons: usize,
    /// Height times width, and channels: per-neuron constants are stored channels-first.
    pub(crate) picture: [usize; 2],
    /// Whether the input is the same at every step.
    pub(crate) constant_input: bool,
    /// Constants that training changes: name, and index into the plan's parameters.
    pub(crate) learned: Vec<(&'static str, usize)>,
    /// The node that feeds the spikes back, if there is one.
    pub(crate) feedback_node: Option<usize>,
    /// Whether only the number of its spikes is of interest.
    pub(crate) counted: bool,
    /// Feedback: weight and perhaps bias, indices into the plan's parameters.
    pub(crate) feedback: Vec<usize>,
}

/// What a plan is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Purpose<'a> {
    /// Of a network in time.
    pub(crate) spiking: Option<&'a SpikingSettings>,
    pub(crate) training: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Index of the blueprint's node that it belongs to.
    pub(crate) node: usize,
    pub(crate) work: Work,
    pub(crate) source: Source,
    /// The other term of a sum, or the residual of a normalisation.
    pub(crate) second: Option<Source>,
}

/// A parameter as the plan knows it.
#[derive(Clone, Debug)]
pub(crate) struct ParameterPlan {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) start: Start,
}

/// How a parameter starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Start {
    /// Normal with this deviation: He et al. 2015, for inputs of a unit's fan-in.
    Normal(f32),
    Constant(f32),
}

/// Running statistics of a normalisation: `[2, channels]`, mean and variance.
#[derive(Clone, Debug)]
pub(crate) struct StatisticsPlan {
    pub(crate) node: String,
    pub(crate) channels: usize,
}

impl StatisticsPlan {
    /// The names under which mean and variance are stored, as PyTorch has them.
    pub(crate) fn names(&self) -> [String; 2] {
        ["running_mean", "running_var"].map(|name| format!("{}.{name}", self.node))
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    pub(crate) parameters: Vec<ParameterPlan>,
    pub(crate) statistics: Vec<StatisticsPlan>,
    pub(crate) neurons: Vec<NeuronPlan>,
    /// Stored numbers that are no parameters and no statistics: name, shape and first value.
    pub(crate) constants: Vec<(String, Vec<usize>, f32)>,
    /// How often each step's result is used; the last step's once.
    pub(crate) uses: Vec<usize>,
    /// How often the input is used.
    pub(crate) input_uses: usize,
}

/// Height, width and channels of a blueprint shape; features are one pixel.
pub(crate) fn picture(shape: &Shape) -> [usize; 3] {
    match shape[..] {
        [channels, height, width] => [height, width, channels],
        [channels, length] => [1, length, channels],
        _ => [1, 1, shape.iter().product()],
    }
}

pub(crate) struct Lowering<'a> {
    pub(crate) blueprint: &'a Blueprint,
    pub(crate) shapes: &'a Shapes,
    pub(crate) purpose: Purpose<'a>,
    /// The node that is being lowered.
    current: usize,
    /// Of each step's result.
    pub(crate) forms: Vec<Form>,
    /// For each node, the Linear or Affine node that feeds its spikes back to it.
    pub(crate) feedback: Vec<Option<usize>>,
    targets: Vec<Vec<usize>>,
    pub(crate) sources: Vec<Vec<usize>>,
    pub(crate) plan: Plan,
    /// The source of each lowered node's result.
    pub(crate) results: Vec<Option<Source>>,
}

impl Plan {
    pub(crate) fn new(blueprint: &Blueprint, purpose: Purpose<'_>) -> Result<Self, NetworkError> {
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
        plan.count_uses();
        Ok(plan)
    }

    /// Whether the stored tensors are exactly those that the blueprint needs.
    pub(crate) fn check(&self, state: &State) -> Result<(), NetworkError> {
        let own = self.parameters.iter().map(|parameter| (parameter.name.clone(), parameter.shape.clone()));
        let running =
            self.statistics.iter().flat_map(|plan| plan.names().map(|name| (name, vec![plan.channels])));
        let constants = self.constants.iter().map(|(name, shape, _)| (name.clone(), shape.clone()));
        let expected: BTreeMap<String, Vec<usize>> = own.chain(running).chain(constants).collect();
        for (name, expected) in &expected {
            let (name, expected) = (name.clone(), expected.clone());
            match state.get(&name) {
                None => return Err(NetworkError::MissingTensor { name, expected }),
                Some(StateTensor { shape, .. }) if *shape != expected => {
                    return Err(NetworkError::TensorShape { name, got: shape.clone(), expected });
                }
                Some(_) => {}
            }
        }
        match state.keys().find(|name| !expected.contains_key(*name)) {
            Some(name) => Err(NetworkError::UnknownTensor { name: name.clone() }),
            None => Ok(()),
        }
    }

    fn count_uses(&mut self) {
        self.uses = vec![0; self.steps.len()];
        self.input_uses = 0;
        for step in &self.steps {
            for source in [Some(step.source), step.second].into_iter().flatten() {
                match source {
                    Source::Input => self.input_uses += 1,
                    Source::Step(step) => self.uses[step] += 1,
                }
            }
        }
        if let Some(last) = self.uses.last_mut() {
            *last += 1;
        }
    }

    /// The same answers with fewer steps, for inference: normalisations become part of the product before them, where
    /// it feeds nothing else, and dropouts vanish. `fold` is told which product's
    /// parameters change by which normalisation, and returns the indices of the new ones.
    pub(crate) fn folded(&self, mut fold: impl FnMut(&Operation, &[usize], Folding) -> Vec<usize>) -> Self {
        let mut plan = Self { steps: Vec::new(), ..self.clone() };
        // Where each old step's result now comes from.
        let mut moved: Vec<Source> = Vec::with_capacity(self.steps.len());
        for (index, step) in self.steps.iter().enumerate() {
            let at = |source: Source| match source {
                Source::Input => Source::Input,
                Source::Step(old) => moved[old],
            };
            let (source, second) = (at(step.source), step.second.map(at));
            let last = index + 1 == self.steps.len();
            if let (Work::Pass | Work::Dropout { .. }, false) = (&step.work, last) {
                moved.push(source);
                continue;
            }
            let mut step = Step { source, second, ..step.clone() };
            if let (Work::Normalise { affine, statistics, epsilon, relu, .. }, Source::Step(before)) =
                (&step.work, source)
                && self.feeds_only(index)
                && let Work::Run { operation, parameters } = &plan.steps[before].work
            {
                let folding = Folding { affine: *affine, statistics: *statistics, epsilon: *epsilon };
                let operation = match operation {
                    Operation::Convolution { shape, relu: false, residual: false } => {
                        let (shape, residual) = (*shape, second.is_some());
                        Some(Operation::Convolution { shape, relu: *relu, residual })
                    }
                    Operation::Linear { inputs, outputs, relu: false } if second.is_none() => {
                        Some(Operation::Linear { inputs: *inputs, outputs: *outputs, relu: *relu })
                    }
                    Operation::Spiking(Spiking::Linear { .. } | Spiking::Convolution(_))
                        if second.is_none() && !relu =>
                    {
                        Some(operation.clone())
                    }
                    _ => None,
                };
                if let Some(operation) = operation {
                    let parameters = fold(&operation, parameters, folding);
                    step.source = plan.steps[before].source;
                    step.node = plan.steps[before].node;
                    step.work = Work::Run { operation, parameters };
                    // The product runs where the normalisation did, so that the residual is there already.
                    plan.steps[before].work = Work::Pass;
                }
            }
            plan.steps.push(step);
            moved.push(Source::Step(plan.steps.len() - 1));
        }
        plan.count_uses();
        plan
    }

    /// Whether the step right before step `index` is an operation, and its result goes to that step alone.
    fn feeds_only(&self, index: usize) -> bool {
        let Source::Step(before) = self.steps[index].source else { return false };
        self.uses[before] == 1 && matches!(self.steps[before].work, Work::Run { .. })
    }
}

/// A normalisation that becomes part of a product: indices as in [`Work::Normalise`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Folding {
    pub(crate) affine: [usize; 2],
    pub(crate) statistics: usize,
    pub(crate) epsilon: f32,
}

impl Lowering<'_> {
    pub(crate) fn push(&mut self, work: Work, source: Source, second: Option<Source>) -> Source {
        let timed = self.form(source).timed || second.is_some_and(|second| self.form(second).timed);
        // What passes stays as it is; all other work gives floats unless its caller says otherwise.
        let spikes = matches!(work, Work::Pass) && self.form(source).spikes;
        self.forms.push(Form { timed, spikes });
        self.plan.steps.push(Step { node: self.current, work, source, second });
        Source::Step(self.plan.steps.len() - 1)
    }

    pub(crate) fn run(&mut self, operation: Operation, parameters: Vec<usize>, source: Source) -> Source {
        self.push(Work::Run { operation, parameters }, source, None)
    }

    /// The sum of all activations that come into `node`, as floats.
    pub(crate) fn incoming(&mut self, node: usize) -> Source {
        let source = self.incoming_or_spikes(node);
        self.as_floats(source, node)
    }

    /// The sum of all activations that come into `node`; a single one of spikes stays packed.
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

    /// The step behind `node`'s only source, if that source feeds nothing else: fusing into it changes nothing else.
    fn fusible(&self, node: usize, source: usize) -> Option<usize> {
        match (self.targets[source] == [node], self.results[source]) {
            (true, Some(Source::Step(step))) => Some(step),
            _ => None,
        }
    }

    /// Lets the step before a ReLU do its work, if it can.
    fn fuse_relu(&mut self, node: usize) -> Option<Source> {
        let sources = self.sources[node].clone();
        match sources[..] {
            [source] => {
                let step = self.fusible(node, source)?;
                // Another node's step, such as a sum, may stand there: fuse only with the source's own.
                match &mut self.plan.steps[step].work {
                    Work::Run { operation: Operation::Linear { relu, .. }, .. }
                    | Work::Run { operation: Operation::Convolution { relu, .. }, .. }
                    | Work::Normalise { relu, .. } => {
                        if *relu {
                            return None;
                        }
                        *relu = true;
                        Some(Source::Step(step))
                    }
                    _ => None,
                }
            }
            [a, b] => {
                // A residual edge: the normalisation that comes later in the order adds the other branch.
                let steps = [(a, b), (b, a)].map(|(norm, skip)| {
                    let step = self.fusible(node, norm)?;
                    let is_norm = matches!(self.plan.steps[step].work, Work::Normalise { relu: false, .. });
                    let after = match self.results[skip]? {
                        Source::Input => true,
                        Source::Step(other) => other < step,
                    };
                    let free = self.plan.steps[step].second.is_none();
                    (is_norm && after && free).then_some((step, skip))
                });
                let (step, skip) = steps.into_iter().flatten().next()?;
                self.plan.steps[step].second = self.results[skip];
                if let Work::Normalise { relu, .. } = &mut self.plan.steps[step].work {
                    *relu = true;
                }
                Some(Source::Step(step))
            }
            _ => None,
        }
    }

    /// Registers a node's trainable parameters and returns their indices.
    pub(crate) fn parameters(&mut self, node: usize, fan_in: usize, rectified: bool) -> Vec<usize> {
        let name = &self.blueprint.nodes()[node].name;
        let norm = matches!(
            self.blueprint.nodes()[node].kind,
            NodeKind::BatchNorm { .. } | NodeKind::LayerNorm { .. }
        );
        let mut indices = Vec::new();
        for spec in self.shapes.parameters(node).iter().filter(|spec| spec.trainable) {
            let start = match spec.name {
                "weight" if !norm => {
                    let gain = if rectified { 2.0 } else { 1.0 };
                    Start::Normal((gain / fan_in.max(1) as f32).sqrt())
                }
                "weight" | "scale" => Start::Constant(1.0),
                // Batch norm brings most of a unit's input below this.
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

    /// Whether a ReLU or GELU follows, through normalisations: the weights then start wider.
    fn rectified(&self, node: usize) -> bool {
        self.targets[node].iter().any(|&target| match self.blueprint.nodes()[target].kind {
            NodeKind::ReLU | NodeKind::QuantizedReLU { .. } | NodeKind::GELU => true,
            NodeKind::BatchNorm { .. } | NodeKind::MaxPool2d { .. } => self.rectified(target),
            _ => false,
        })
    }

    fn node(&mut self, node: usize) -> Result<(), NetworkError> {
        let blueprint = self.blueprint;
        let (name, kind) = (&blueprint.nodes()[node].name, &blueprint.nodes()[node].kind);
        let input = self.shapes.input(node).clone();
        let [height, width, channels] = picture(&input);
        let refuse =
            |reason| Err(NetworkError::NoDenseBody { node: name.clone(), kind: kind.name(), reason });
        let pooling = |kernel: [usize; 2], stride: [usize; 2], [rows, columns]: [usize; 2]| Pooling {
            batch: 1,
            height,
            width,
            channels,
            kernel,
            stride,
            padding: [rows, rows, columns, columns],
        };
        let result = match kind {
            NodeKind::Input { .. } => Source::Input,
            NodeKind::Output if self.purpose.spiking.is_some() => self.readout(node)?,
            NodeKind::Output => {
                let source = self.incoming(node);
                match source {
                    // The output is the last step, whatever the order of the graph.
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
            NodeKind::Conv1d { out_channels, kernel, stride, padding, dilation, groups, .. } => {
                let ends = before_and_behind(padding, [*kernel], [*dilation]);
                let shape = Convolution {
                    batch: 1,
                    height,
                    width,
                    channels,
                    outputs: *out_channels,
                    kernel: [1, *kernel],
                    stride: [1, *stride],
                    padding: [0, 0, ends[0].0, ends[0].1],
                    dilation: [1, *dilation],
                    groups: *groups,
                };
                self.convolution(node, shape)
            }
            NodeKind::Conv2d { out_channels, kernel, stride, padding, dilation, groups, .. } => {
                let ends = before_and_behind(padding, *kernel, *dilation);
                let shape = Convolution {
                    batch: 1,
                    height,
                    width,
                    channels,
                    outputs: *out_channels,
                    kernel: *kernel,
                    stride: *stride,
                    padding: [ends[0].0, ends[0].1, ends[1].0, ends[1].1],
                    dilation: *dilation,
                    groups: *groups,
                };
                self.convolution(node, shape)
            }
            NodeKind::SumPool2d { kernel, stride, padding } => {
                let source = self.incoming(node);
                let shape = pooling(*kernel, *stride, *padding);
                self.run(Operation::SumPool { shape, scale: 1.0 }, Vec::new(), source)
            }
            NodeKind::AvgPool2d { kernel, stride, padding } => {
                let source = self.incoming(node);
                let shape = pooling(*kernel, *stride, *padding);
                let scale = 1.0 / (kernel[0] * kernel[1]) as f32;
                self.run(Operation::SumPool { shape, scale }, Vec::new(), source)
            }
            NodeKind::GlobalAvgPool => {
                let source = self.incoming(node);
                let shape = pooling([height, width], [1, 1], [0, 0]);
                let scale = 1.0 / (height * width) as f32;
                self.run(Operation::SumPool { shape, scale }, Vec::new(), source)
            }
            NodeKind::MaxPool2d { kernel, stride, padding } => {
                let shape = pooling(*kernel, *stride, *padding);
                let source = self.incoming_or_spikes(node);
                match self.form(source).spikes {
                    true => self.run_on_spikes(Operation::Spiking(Spiking::MaxPool(shape)), source),
                    false => self.run(Operation::MaxPool(shape), Vec::new(), source),
                }
            }
            NodeKind::CountMaxPool2d { kernel, stride, padding } => {
                let shape = pooling(*kernel, *stride, *padding);
                let Some(settings) = self.purpose.spiking else { return refuse("it works in time") };
                let steps = settings.steps;
                self.on_spikes(node, Operation::Spiking(Spiking::CountMaxPool { shape, steps }))
            }
            NodeKind::Flatten { start_axis, end_axis } => {
                let last = end_axis.unwrap_or(input.len() - 1);
                let pixels = height * width;
                let same = *start_axis == last || pixels == 1 || channels == 1 || input.len() == 1;
                if same || *start_axis > 0 {
                    let source = self.incoming_or_spikes(node);
                    self.push(Work::Pass, source, None)
                } else if *start_axis == 0 && last == input.len() - 1 {
                    self.on_spikes(node, Operation::ChannelsFirst { pixels, channels })
                } else {
                    return refuse("flatten all axes, or only those behind the channels");
                }
            }
            NodeKind::Scale => {
                let source = self.incoming(node);
                let parameter = self.parameters(node, 1, false)[0];
                self.push(Work::Scale { parameter, pixels: height * width }, source, None)
            }
            NodeKind::ReLU => match self.fuse_relu(node) {
                Some(source) => source,
                None => self.activation(node, Activation::Relu),
            },
            NodeKind::GELU => self.activation(node, Activation::Gelu),
            NodeKind::Sigmoid => self.activation(node, Activation::Sigmoid),
            NodeKind::Tanh => self.activation(node, Activation::Tanh),
            NodeKind::Softmax { axis: 0 } => {
                let source = self.incoming(node);
                self.run(Operation::Softmax { columns: channels }, Vec::new(), source)
            }
            NodeKind::Softmax { .. } => {
                return refuse("a softmax goes over axis 0, the features or channels");
            }
            NodeKind::BatchNorm { epsilon, momentum } => {
                let source = self.incoming(node);
                let affine = self.parameters(node, 1, false);
                self.plan.statistics.push(StatisticsPlan { node: name.clone(), channels });
                let work = Work::Normalise {
                    channels,
                    affine: [affine[0], affine[1]],
                    statistics: self.plan.statistics.len() - 1,
                    epsilon: *epsilon as f32,
                    momentum: *momentum as f32,
                    relu: false,
                };
                self.push(work, source, None)
            }
            NodeKind::LayerNorm { epsilon } => {
                if input.len() > 1 {
                    return refuse("layer normalisation goes over `[features]`; flatten or pool first");
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
            kind if kind.has_state() || matches!(kind, NodeKind::Threshold { .. }) => {
                if self.purpose.spiking.is_none() {
                    return refuse("it works in time");
                }
                self.in_time(node)?
            }
            // The blueprint may learn kinds before this body does.
            #[allow(unreachable_patterns)]
            _ => return refuse("this version does not know it"),
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
            false => Operation::Convolution { shape, relu: false, residual: false },
        };
        self.run(operation, parameters, source)
    }

    fn activation(&mut self, node: usize, f: Activation) -> Source {
        let source = self.incoming(node);
        self.run(Operation::Activation(f), Vec::new(), source)
    }
}

/// Padding of each axis; the blueprint has checked that it does not overflow.
pub(crate) fn before_and_behind<const AXES: usize>(
    padding: &Padding<AXES>,
    kernel: [usize; AXES],
    dilation: [usize; AXES],
) -> [(usize, usize); AXES] {
    padding.before_and_behind(kernel, dilation).unwrap_or([(0, 0); AXES])
}
