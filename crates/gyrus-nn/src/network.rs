//! The dense body: a blueprint made trainable.

use std::sync::OnceLock;

use gyrus_blueprint::{Blueprint, NodeKind};
use gyrus_tensor::{
    Device, Operation, Problem, Spiking, Tensor, TensorData, apply, coded_tensor, dropout_mask, keep_awake,
    kernels_run_on,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::NetworkError;
use crate::neurons::Neurons;
use crate::plan::{Plan, Purpose, Source, Start, Work};
use crate::spiking::{Encoder, Readout, SpikingSettings};
use gyrus_files::{State, StateTensor};

/// Rows of a batch from which on its kernels take long enough to keep all threads awake.
const MANY_ROWS: usize = 16;

/// One trainable parameter.
pub struct Parameter {
    /// `<node>.<parameter>`
    pub name: String,
    /// As PyTorch shapes it.
    pub shape: Vec<usize>,
    /// Flat, row-major.
    pub value: Tensor<1>,
}

impl Parameter {
    /// Whether weight decay applies: to weights of products, not to biases, normalisations and constants of neurons.
    pub fn decays(&self) -> bool {
        self.shape.len() > 1 && (self.name.ends_with(".weight") || self.name.ends_with(".scale"))
    }
}

/// A blueprint with numbers, on a device, ready to train or answer: as a dense network, or with [`SpikingSettings`] as one
/// that lives in time.
///
/// Activations are `[batch, elements]`; pictures go in channels-last (`[height, width, channels]` within a row).
pub struct Network {
    blueprint: Blueprint,
    plan: Plan,
    /// In the order of the blueprint.
    parameters: Vec<Parameter>,
    /// `[2, channels]` each: running mean and variance.
    statistics: Vec<Tensor<2>>,
    spiking: Option<SpikingSettings>,
    /// Stored constants of neurons that training does not change.
    constants: State,
    /// For each of the plan's neurons.
    neurons: Vec<Neurons>,
    device: Device,
    /// Made at the first answer after the numbers changed.
    folded: OnceLock<Folded>,
}

/// The plan and parameters for inference, with normalisations folded into the products before them and weights
/// arranged as the kernels read them.
struct Folded {
    plan: Plan,
    values: Vec<Tensor<1>>,
    neurons: Vec<Neurons>,
}

/// A loss, and the gradient of each parameter in order.
pub type LossAndGradients = (f32, Vec<Option<Tensor<1>>>);

/// What went through a node in one pass.
pub struct Observation {
    /// Index in the blueprint.
    pub node: usize,
    /// What it is.
    pub what: Observed,
    /// `[rows, elements]`, or packed spikes `[rows, words]`; rows are time-major, one for each step and sample, or one for
    /// each sample where nothing changes over time.
    pub tensor: Tensor<2>,
    /// Whether they are packed spikes.
    pub packed: bool,
}

/// Which of a node's signals was observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// What enters weights.
    WeightInput,
    /// The current that enters neurons, or what enters a quantised ReLU.
    Current,
    /// The spikes or potentials that leave neurons.
    NeuronOutput,
}

/// One pass over the plan, and what it leaves beside its result.
struct Pass {
    mode: Mode,
    /// Whether the answer is one row for each step, before the readout.
    every_step: bool,
    /// What went through weights and neurons, if asked for.
    observations: Option<Vec<Observation>>,
    /// Each normalisation's batch statistics and momentum, variance corrected for the count.
    seen: Vec<(usize, Tensor<2>, f32)>,
    /// For each node of neurons, whether its potentials stayed finite.
    problems: Vec<(usize, Problem)>,
}

impl Pass {
    fn new(mode: Mode) -> Self {
        Self { mode, every_step: false, observations: None, seen: Vec::new(), problems: Vec::new() }
    }

    fn observe(&mut self, node: usize, what: Observed, tensor: &Tensor<2>, packed: bool) {
        if let Some(observations) = &mut self.observations {
            observations.push(Observation { node, what, tensor: tensor.clone(), packed });
        }
    }
}

/// How a forward pass behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Batch statistics, and dropout drawn from this number: the same number gives the same masks.
    Training {
        /// Different for each step.
        noise: u64,
    },
    /// Running statistics, no dropout.
    Inference,
}

impl Network {
    /// A dense network with fresh parameters: weights normal after He et al. 2015, biases 0. The same seed gives the same
    /// numbers.
    ///
    /// # Errors
    /// If the blueprint is not valid or has a node without a dense body.
    pub fn new(blueprint: &Blueprint, seed: u64, device: &Device) -> Result<Self, NetworkError> {
        Self::with(blueprint, None, seed, device)
    }

    /// A network with fresh parameters that lives in time, if there are settings for that.
    ///
    /// # Errors
    /// If the blueprint is not valid, has a node without such a body, or a setting is wrong; and, in time, if the device is
    /// not the CPU.
    pub fn with(
        blueprint: &Blueprint,
        spiking: Option<&SpikingSettings>,
        seed: u64,
        device: &Device,
    ) -> Result<Self, NetworkError> {
        if let Some(settings) = spiking {
            settings.check()?;
            if !kernels_run_on(&Tensor::<1>::empty([0], device)) {
                return Err(NetworkError::OnlyOnCpu);
            }
        }
        let plan = Plan::new(blueprint, Purpose { spiking, training: true })?;
        let mut parameters = Vec::with_capacity(plan.parameters.len());
        for (index, parameter) in plan.parameters.iter().enumerate() {
            let count: usize = parameter.shape.iter().product();
            let values = match parameter.start {
                Start::Constant(value) => vec![value; count],
                Start::Normal(deviation) => {
                    let mut random = ChaCha8Rng::seed_from_u64(seed);
                    // One stream a parameter: adding a node leaves the others' numbers alone.
                    random.set_stream(index as u64);
                    (0..count).map(|_| normal(&mut random) * deviation).collect()
                }
            };
            parameters.push(Parameter {
                name: parameter.name.clone(),
                shape: parameter.shape.clone(),
                value: vector(values, device),
            });
        }
        let statistics =
            plan.statistics.iter().map(|s| statistics(vec![0.0; s.channels], vec![1.0; s.channels], device));
        let statistics = statistics.collect();
        let constants = plan.constants.iter().map(|(name, shape, value)| {
            let values = vec![*value; shape.iter().product()];
            (name.clone(), StateTensor { shape: shape.clone(), values })
        });
        let constants = constants.collect();
        let mut network = Self {
            blueprint: blueprint.clone(),
            plan,
            parameters,
            statistics,
            spiking: spiking.cloned(),
            constants,
            neurons: Vec::new(),
            device: device.clone(),
            folded: OnceLock::new(),
        };
        network.neurons = network.neurons_of(&network.plan)?;
        Ok(network)
    }

    /// A dense network with stored parameters.
    ///
    /// # Errors
    /// If the blueprint is not valid, or the tensors are not exactly those that it needs.
    pub fn from_state(blueprint: &Blueprint, state: &State, device: &Device) -> Result<Self, NetworkError> {
        Self::with_state(blueprint, None, state, device)
    }

    /// A network with stored parameters that lives in time, if there are settings for that.
    ///
    /// # Errors
    /// As [`Network::with`], and if the tensors are not exactly those that the blueprint needs.
    pub fn with_state(
        blueprint: &Blueprint,
        spiking: Option<&SpikingSettings>,
        state: &State,
        device: &Device,
    ) -> Result<Self, NetworkError> {
        // A blueprint may announce more than the memory holds; what is stored cannot.
        Plan::new(blueprint, Purpose { spiking, training: true })?.check(state)?;
        let mut network = Self::with(blueprint, spiking, 0, device)?;
        network.load_state(state)?;
        Ok(network)
    }

    /// Whether there can be a network for this blueprint to be trained on this machine.
    ///
    /// # Errors
    /// If the blueprint is not valid, has a node without a body or without a gradient, or needs more memory than the system gives.
    pub fn check(blueprint: &Blueprint, spiking: Option<&SpikingSettings>) -> Result<(), NetworkError> {
        if let Some(settings) = spiking {
            settings.check()?;
        }
        check_trainable(blueprint)?;
        let plan = Plan::new(blueprint, Purpose { spiking, training: true })?;
        let numbers = plan.parameters.iter().map(|parameter| parameter.shape.iter().product::<usize>());
        let parameters = numbers.fold(0usize, usize::saturating_add);
        // Value, gradient, two moments and the best value so far.
        let asked = Vec::<f32>::new().try_reserve_exact(parameters.saturating_mul(5));
        asked.map_err(|_| NetworkError::TooLarge { parameters })
    }

    /// The neurons of a plan, with the constants that are stored now.
    fn neurons_of(&self, plan: &Plan) -> Result<Vec<Neurons>, NetworkError> {
        let Some(settings) = &self.spiking else { return Ok(Vec::new()) };
        let stored = self.state();
        plan.neurons.iter().map(|plan| Neurons::new(&self.blueprint, plan, &stored, settings)).collect()
    }

    /// The blueprint that this is a body of.
    pub fn blueprint(&self) -> &Blueprint {
        &self.blueprint
    }

    /// The trainable parameters, in the order of the blueprint.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Where the numbers are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Number of trainable parameters.
    pub fn parameter_count(&self) -> usize {
        self.parameters.iter().map(|p| p.shape.iter().product::<usize>()).sum()
    }

    /// How it lives in time, if it does.
    pub fn spiking(&self) -> Option<&SpikingSettings> {
        self.spiking.as_ref()
    }

    /// The answer to `x`, `[batch, elements]`, with the network's own parameters, outside autodiff.
    pub fn infer(&self, x: Tensor<2>) -> Tensor<2> {
        let folded = self.folded.get_or_init(|| self.fold());
        let rows = x.dims()[0];
        let run = || {
            let mut pass = Pass::new(Mode::Inference);
            self.run((&folded.plan, &folded.neurons), x, &folded.values, &mut pass)
        };
        // A few rows take less time than waking the other threads.
        if rows < MANY_ROWS { run() } else { keep_awake(run) }
    }

    /// What a network in time says at every step, `[steps · batch, outputs]` and time-major (of a dense network, its
    /// answer), and what went through its weights and neurons on the way.
    ///
    /// # Errors
    /// If a membrane potential is not a finite number.
    pub fn observe(&self, x: Tensor<2>) -> Result<(Tensor<2>, Vec<Observation>), NetworkError> {
        let folded = self.folded.get_or_init(|| self.fold());
        let mut pass =
            Pass { every_step: true, observations: Some(Vec::new()), ..Pass::new(Mode::Inference) };
        let answer = keep_awake(|| self.run((&folded.plan, &folded.neurons), x, &folded.values, &mut pass));
        self.check_potentials(&pass)?;
        Ok((answer, pass.observations.unwrap_or_default()))
    }

    /// The membranes of a node's neurons after each step, computed again from the current that [`Network::observe`] saw:
    /// `[steps · batch, neurons]`, time-major and channels-last. Empty if the observation is no current.
    pub fn membranes(&self, current: &Observation) -> Vec<f32> {
        let folded = self.folded.get_or_init(|| self.fold());
        let index = folded.plan.neurons.iter().position(|plan| plan.node == current.node);
        match index {
            Some(index) if current.what == Observed::Current => folded.neurons[index].membranes(
                current.tensor.clone(),
                &folded.plan.neurons[index],
                &folded.values,
            ),
            _ => Vec::new(),
        }
    }

    fn check_potentials(&self, pass: &Pass) -> Result<(), NetworkError> {
        for (node, problem) in &pass.problems {
            if let Some(&(step, neuron)) = problem.get() {
                let node = self.blueprint.nodes()[*node].name.clone();
                return Err(NetworkError::NotFinite { node, step, neuron });
            }
        }
        Ok(())
    }

    fn fold(&self) -> Folded {
        let mut values: Vec<Tensor<1>> = self.parameters.iter().map(|p| p.value.clone()).collect();
        let purpose = Purpose { spiking: self.spiking.as_ref(), training: false };
        // What could be trained can be lowered for inference too, with the same parameters.
        let plan = Plan::new(&self.blueprint, purpose).unwrap_or_else(|_| self.plan.clone());
        let neurons = self.neurons_of(&plan).unwrap_or_default();
        let mut plan = plan.folded(|_, parameters, folding| {
            let statistics = floats(self.statistics[folding.statistics].clone());
            let (mean, variance) = statistics.split_at(statistics.len() / 2);
            let [gamma, beta] = folding.affine.map(|index| floats(self.parameters[index].value.clone()));
            let factor: Vec<f32> =
                gamma.iter().zip(variance).map(|(gamma, v)| gamma / (v + folding.epsilon).sqrt()).collect();
            let mut weight = floats(values[parameters[0]].clone());
            let row = weight.len() / factor.len();
            for (row, factor) in weight.chunks_exact_mut(row).zip(&factor) {
                row.iter_mut().for_each(|w| *w *= factor);
            }
            let bias = parameters.get(1).map(|&index| floats(values[index].clone()));
            let bias = (0..factor.len())
                .map(|c| beta[c] + factor[c] * (bias.as_ref().map_or(0.0, |bias| bias[c]) - mean[c]))
                .collect();
            values.push(vector(weight, &self.device));
            values.push(vector(bias, &self.device));
            vec![values.len() - 2, values.len() - 1]
        });
        for step in &mut plan.steps {
            if let Work::Run { operation, parameters } = &mut step.work
                && let Some(weight) = parameters.first_mut()
                && let Some((packed, value)) = operation.packed(&values[*weight])
            {
                *operation = packed;
                *weight = values.len();
                values.push(value);
            }
        }
        Folded { plan, values, neurons }
    }

    /// One training step's forward and backward pass.
    ///
    /// `loss` turns the network's answer into the loss operation; the result is the loss and the gradient of each
    /// parameter, in order. Running statistics are updated.
    ///
    /// # Errors
    /// If a membrane potential is not a finite number, or the network has a node without a gradient.
    pub fn gradients(
        &mut self,
        x: Tensor<2>,
        noise: u64,
        loss: Operation,
    ) -> Result<LossAndGradients, NetworkError> {
        check_trainable(&self.blueprint)?;
        let leaves: Vec<Tensor<1>> = self
            .parameters
            .iter()
            .map(|parameter| Tensor::from_inner(parameter.value.clone()).require_grad())
            .collect();
        let mut pass = Pass::new(Mode::Training { noise });
        let (loss, mut gradients) = keep_awake(|| {
            let answer = self.run((&self.plan, &self.neurons), x, &leaves, &mut pass);
            let loss = apply(loss, answer, Vec::new(), None);
            let gradients = loss.backward();
            (loss, gradients)
        });
        self.check_potentials(&pass)?;
        let results = leaves.iter().map(|leaf| leaf.grad_remove(&mut gradients)).collect();
        for (index, statistics, momentum) in pass.seen {
            let running = self.statistics[index].clone();
            self.statistics[index] = running.mul_scalar(1.0 - momentum) + statistics.mul_scalar(momentum);
        }
        self.folded = OnceLock::new();
        Ok((loss.inner().into_scalar::<f32>(), results))
    }

    /// The input of the plan, as the encoder codes it; part of autodiff in training.
    fn encoded(&self, x: Tensor<2>, mode: Mode) -> Tensor<2> {
        let x = match &self.spiking {
            None | Some(SpikingSettings { encoder: Encoder::Direct, .. }) => x,
            Some(SpikingSettings { encoder: encoder @ Encoder::Once { .. }, steps, .. }) => {
                let [batch, width] = x.dims();
                coded_tensor(x, (batch, width), false, |samples, row, to| {
                    encoder.row(&samples[row * width..][..width], *steps, 0, None, to);
                })
            }
            Some(SpikingSettings { encoder, steps, .. }) => {
                let [batch, width] = x.dims();
                let elements = encoder.elements(width, *steps);
                let noise = |sample: usize| match mode {
                    Mode::Training { noise } => {
                        Some(noise.wrapping_mul(0xA24B_AED4_963E_E407).wrapping_add(sample as u64))
                    }
                    Mode::Inference => None,
                };
                coded_tensor(x, (steps * batch, elements), encoder.spikes(), |samples, row, to| {
                    let (step, sample) = (row / batch, row % batch);
                    encoder.row(&samples[sample * width..][..width], *steps, step, noise(sample), to);
                })
            }
        };
        if mode == Mode::Inference { x } else { Tensor::from_inner(x) }
    }

    /// Runs the plan.
    fn run(
        &self,
        (plan, neurons): (&Plan, &[Neurons]),
        x: Tensor<2>,
        values: &[Tensor<1>],
        pass: &mut Pass,
    ) -> Tensor<2> {
        let mode = pass.mode;
        let steps = self.spiking.as_ref().map_or(1, |settings| settings.steps);
        let batch = x.dims()[0];
        let x = self.encoded(x, mode);
        let mut results: Vec<Option<Tensor<2>>> = Vec::with_capacity(plan.steps.len());
        let mut uses = plan.uses.clone();
        let mut input = (Some(x), plan.input_uses);
        for (index, step) in plan.steps.iter().enumerate() {
            // The last use takes the tensor itself, so that its memory is free as early as possible.
            let mut take = |source: Source| {
                let (slot, uses) = match source {
                    Source::Input => (&mut input.0, &mut input.1),
                    Source::Step(step) => (&mut results[step], &mut uses[step]),
                };
                *uses -= 1;
                let taken = if *uses == 0 { slot.take() } else { slot.clone() };
                taken.expect("a plan uses each result as often as it counted")
            };
            let x = take(step.source);
            let rows = x.dims()[0];
            let second = step.second.map(take);
            let result = match &step.work {
                Work::Run { operation, parameters } => {
                    match operation {
                        Operation::Linear { .. } | Operation::Convolution { .. } | Operation::Packed(_) => {
                            pass.observe(step.node, Observed::WeightInput, &x, false);
                        }
                        Operation::Spiking(Spiking::Linear { .. } | Spiking::Convolution(_)) => {
                            pass.observe(step.node, Observed::WeightInput, &x, true);
                        }
                        Operation::QuantizedRelu { .. } => {
                            pass.observe(step.node, Observed::Current, &x, false);
                        }
                        _ => {}
                    }
                    let parameters = parameters.iter().map(|&p| values[p].clone()).collect();
                    apply(operation.clone(), x, parameters, second)
                }
                Work::Normalise { channels, affine, statistics, epsilon, momentum, relu } => {
                    let own = mode != Mode::Inference;
                    let used = if own {
                        let operation = Operation::Statistics { channels: *channels };
                        let elements = x.dims()[1];
                        let batch = apply(operation, x.clone().inner(), Vec::new(), None);
                        pass.seen.push((
                            *statistics,
                            unbiased(&batch, rows * elements / channels),
                            *momentum,
                        ));
                        batch
                    } else {
                        self.statistics[*statistics].clone()
                    };
                    let used = used.reshape([2 * channels]);
                    let used = if x.is_autodiff() { Tensor::from_inner(used) } else { used };
                    let parameters = vec![values[affine[0]].clone(), values[affine[1]].clone(), used];
                    apply(Operation::BatchNorm { own, epsilon: *epsilon, relu: *relu }, x, parameters, second)
                }
                Work::Scale { parameter, pixels } => {
                    let scale = values[*parameter].clone();
                    let channels = scale.dims()[0] / pixels;
                    x * scale.reshape([channels, *pixels]).swap_dims(0, 1).reshape([1, channels * pixels])
                }
                Work::Dropout { probability } => match mode {
                    Mode::Training { noise } if *probability > 0.0 => {
                        let elements = x.dims()[1];
                        let stream = noise.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(index as u64);
                        let mask = dropout_mask(batch, elements, *probability, stream, &self.device);
                        // What is dropped stays so for all steps of a sample.
                        let mask = if rows > batch { mask.repeat_dim(0, rows / batch) } else { mask };
                        let mask = if x.is_autodiff() { Tensor::from_inner(mask) } else { mask };
                        apply(Operation::Multiply, x, Vec::new(), Some(mask))
                    }
                    _ => x,
                },
                Work::Pass => x,
                Work::Repeat if steps > 1 && self.comes_once() => {
                    let later = Tensor::zeros([rows * (steps - 1), x.dims()[1]], &self.device);
                    let later = if x.is_autodiff() { Tensor::from_inner(later) } else { later };
                    Tensor::cat(vec![x, later], 0)
                }
                Work::Repeat => x.repeat_dim(0, steps),
                Work::Neurons(index) => {
                    let plan = &plan.neurons[*index];
                    let problem = Problem::default();
                    pass.problems.push((plan.node, problem.clone()));
                    pass.observe(step.node, Observed::Current, &x, false);
                    let result = neurons[*index].run(x, plan, values, problem);
                    pass.observe(step.node, Observed::NeuronOutput, &result, neurons[*index].packs());
                    if let (Some(feedback), Some(_)) = (plan.feedback_node, &pass.observations) {
                        // It enters the weights of the feedback a step later.
                        let delay = Operation::Spiking(Spiking::Delay { steps, by: 1 });
                        let late = apply(delay, result.clone(), Vec::new(), None);
                        pass.observe(feedback, Observed::WeightInput, &late, true);
                    }
                    result
                }
                Work::Readout if pass.every_step => x,
                Work::Readout => self.read_out(x, steps),
            };
            // A folded plan has steps that nothing uses; their memory is free at once.
            results.push((uses[index] > 0).then_some(result));
        }
        results.pop().flatten().or(input.0).expect("a blueprint has an output")
    }

    /// Whether input comes at the first step only.
    fn comes_once(&self) -> bool {
        self.spiking.as_ref().is_some_and(|settings| matches!(settings.encoder, Encoder::Once { .. }))
    }

    /// The answer over all steps, from `[steps · batch, outputs]`.
    fn read_out(&self, x: Tensor<2>, steps: usize) -> Tensor<2> {
        let [rows, outputs] = x.dims();
        let flat = [rows / steps, outputs];
        match self.spiking.as_ref().map(|settings| settings.readout) {
            Some(Readout::Sum) => {
                // One step after the other: sums that are exact stay within the bounds of what was said so far.
                let steps = x.chunk(steps, 0).into_iter();
                steps.reduce(|sum, step| sum + step).unwrap_or_else(|| Tensor::zeros(flat, &self.device))
            }
            Some(Readout::Counts) => x.reshape([steps, flat[0] * outputs]).sum_dim(0).reshape(flat),
            Some(Readout::FirstSpike) => {
                apply(Operation::Spiking(Spiking::FirstSpike { steps }), x, Vec::new(), None)
            }
            _ => x.reshape([steps, flat[0] * outputs]).mean_dim(0).reshape(flat),
        }
    }

    /// Replaces each parameter's value by `update(index, parameter, value)`.
    ///
    /// The value is handed over whole, so that an optimiser can work in its memory.
    pub fn update(&mut self, mut update: impl FnMut(usize, &Parameter, Tensor<1>) -> Tensor<1>) {
        self.folded = OnceLock::new();
        let nothing = Tensor::<1>::empty([0], &self.device);
        for (index, parameter) in self.parameters.iter_mut().enumerate() {
            let value = std::mem::replace(&mut parameter.value, nothing.clone());
            parameter.value = update(index, parameter, value);
        }
        if let Some(settings) = &self.spiking {
            let learned: Vec<_> = self.plan.neurons.iter().flat_map(|plan| &plan.learned).collect();
            for &&(name, index) in &learned {
                // A time constant below a step, or a threshold below the reset, would be no neuron any more.
                let least = match name {
                    name if name.starts_with("tau_") => settings.time.dt_ms as f32,
                    "v_threshold" => 1e-2,
                    _ => continue,
                };
                let parameter = &mut self.parameters[index];
                parameter.value = parameter.value.clone().clamp_min(least);
            }
        }
    }

    /// All numbers by name: parameters, and the running statistics of normalisations.
    pub fn state(&self) -> State {
        let mut state = self.constants.clone();
        for parameter in &self.parameters {
            let tensor =
                StateTensor { shape: parameter.shape.clone(), values: floats(parameter.value.clone()) };
            state.insert(parameter.name.clone(), tensor);
        }
        for (plan, statistics) in self.plan.statistics.iter().zip(&self.statistics) {
            let values = floats(statistics.clone().reshape([2 * plan.channels]));
            let (mean, variance) = values.split_at(plan.channels);
            for (name, values) in plan.names().into_iter().zip([mean, variance]) {
                state.insert(name, StateTensor { shape: vec![plan.channels], values: values.to_vec() });
            }
        }
        state
    }

    /// Replaces all numbers.
    ///
    /// # Errors
    /// If the tensors are not exactly those that the blueprint needs; the network is then unchanged.
    pub fn load_state(&mut self, state: &State) -> Result<(), NetworkError> {
        self.plan.check(state)?;
        let values = |name: &str| state[name].values.clone();
        for parameter in &mut self.parameters {
            parameter.value = vector(values(&parameter.name), &self.device);
        }
        for (running, plan) in self.statistics.iter_mut().zip(&self.plan.statistics) {
            let [mean, variance] = plan.names().map(|name| values(&name));
            *running = statistics(mean, variance, &self.device);
        }
        for (name, tensor) in &mut self.constants {
            tensor.values = values(name);
        }
        self.folded = OnceLock::new();
        self.neurons = self.neurons_of(&self.plan)?;
        Ok(())
    }
}

/// Refuses what a conversion makes and training has no gradient for.
fn check_trainable(blueprint: &Blueprint) -> Result<(), NetworkError> {
    let made = |kind: &NodeKind| matches!(kind, NodeKind::SignedIF { .. });
    match blueprint.nodes().iter().find(|node| made(&node.kind)) {
        Some(node) => Err(NetworkError::NoSpikingBody {
            node: node.name.clone(),
            kind: node.kind.name(),
            reason: "it comes from a conversion and has no gradient; train the dense network instead",
        }),
        None => Ok(()),
    }
}

/// Variance over the count less one, which running statistics keep, from that over the count.
fn unbiased(statistics: &Tensor<2>, count: usize) -> Tensor<2> {
    let correction = count as f32 / (count.max(2) - 1) as f32;
    let mean = statistics.clone().narrow(0, 0, 1);
    Tensor::cat(vec![mean, statistics.clone().narrow(0, 1, 1).mul_scalar(correction)], 0)
}

pub(crate) fn vector(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), device)
}

fn statistics(mean: Vec<f32>, variance: Vec<f32>, device: &Device) -> Tensor<2> {
    let channels = mean.len();
    Tensor::from_data(TensorData::new([mean, variance].concat(), [2, channels]), device)
}

/// The numbers of a tensor.
///
/// # Panics
/// If the device fails.
pub fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().expect("converted to f32 above")
}

/// One number of the standard normal distribution (Box and Muller 1958).
fn normal(random: &mut ChaCha8Rng) -> f32 {
    let u: f64 = 1.0 - random.random::<f64>();
    let v: f64 = random.random();
    ((-2.0 * u.ln()).sqrt() * (2.0 * std::f64::consts::PI * v).cos()) as f32
}
