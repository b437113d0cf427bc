//! The dense body: a blueprint made trainable.

use std::sync::OnceLock;

use gyrus_blueprint::Blueprint;
use gyrus_tensor::{Device, Operation, Tensor, TensorData, apply, dropout_mask, keep_awake};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::NetworkError;
use crate::plan::{Plan, Source, Start, Work};
use crate::state::{State, StateTensor};

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
    /// Whether weight decay applies: to weights of products, not to biases and normalisations.
    pub fn decays(&self) -> bool {
        self.shape.len() > 1
    }
}

/// A blueprint with numbers, on a device, ready to train or answer.
///
/// Activations are `[batch, elements]`; pictures go in channels-last (`[height, width, channels]` within a row).
pub struct Network {
    blueprint: Blueprint,
    plan: Plan,
    /// In the order of the blueprint.
    parameters: Vec<Parameter>,
    /// `[2, channels]` each: running mean and variance.
    statistics: Vec<Tensor<2>>,
    device: Device,
    /// Made at the first answer after the numbers changed.
    folded: OnceLock<Folded>,
}

/// The plan and parameters for inference, with normalisations folded into the products before them and weights
/// arranged as the kernels read them.
struct Folded {
    plan: Plan,
    values: Vec<Tensor<1>>,
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
    /// A network with fresh parameters: weights normal after He et al. 2015, biases 0. The same seed gives the same
    /// numbers.
    ///
    /// # Errors
    /// If the blueprint is not valid or has a node without a dense body.
    pub fn new(blueprint: &Blueprint, seed: u64, device: &Device) -> Result<Self, NetworkError> {
        let plan = Plan::new(blueprint)?;
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
        Ok(Self {
            blueprint: blueprint.clone(),
            plan,
            parameters,
            statistics,
            device: device.clone(),
            folded: OnceLock::new(),
        })
    }

    /// A network with stored parameters.
    ///
    /// # Errors
    /// If the blueprint is not valid, or the tensors are not exactly those that it needs.
    pub fn from_state(blueprint: &Blueprint, state: &State, device: &Device) -> Result<Self, NetworkError> {
        // A blueprint may announce more than the memory holds; what is stored cannot.
        Plan::new(blueprint)?.check(state)?;
        let mut network = Self::new(blueprint, 0, device)?;
        network.load_state(state)?;
        Ok(network)
    }

    /// Whether there can be a network for this blueprint on this machine.
    ///
    /// # Errors
    /// If the blueprint is not valid, has a node without a dense body, or needs more memory than the system gives.
    pub fn check(blueprint: &Blueprint) -> Result<(), NetworkError> {
        let plan = Plan::new(blueprint)?;
        let numbers = plan.parameters.iter().map(|parameter| parameter.shape.iter().product::<usize>());
        let parameters = numbers.fold(0usize, usize::saturating_add);
        // Value, gradient, two moments and the best value so far.
        let asked = Vec::<f32>::new().try_reserve_exact(parameters.saturating_mul(5));
        asked.map_err(|_| NetworkError::TooLarge { parameters })
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

    /// The answer to `x`, `[batch, elements]`, with the network's own parameters, outside autodiff.
    pub fn infer(&self, x: Tensor<2>) -> Tensor<2> {
        let folded = self.folded.get_or_init(|| self.fold());
        let rows = x.dims()[0];
        let run = || self.run(&folded.plan, x, &folded.values, Mode::Inference, &mut Vec::new());
        // A few rows take less time than waking the other threads.
        if rows < MANY_ROWS { run() } else { keep_awake(run) }
    }

    fn fold(&self) -> Folded {
        let mut values: Vec<Tensor<1>> = self.parameters.iter().map(|p| p.value.clone()).collect();
        let mut plan = self.plan.folded(|_, parameters, folding| {
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
        Folded { plan, values }
    }

    /// One training step's forward and backward pass.
    ///
    /// `loss` turns the network's answer into the loss operation; the result is the loss and the gradient of each
    /// parameter, in order. Running statistics are updated.
    pub fn gradients(&mut self, x: Tensor<2>, noise: u64, loss: Operation) -> (f32, Vec<Option<Tensor<1>>>) {
        let leaves: Vec<Tensor<1>> = self
            .parameters
            .iter()
            .map(|parameter| Tensor::from_inner(parameter.value.clone()).require_grad())
            .collect();
        let mut seen = Vec::new();
        let (loss, mut gradients) = keep_awake(|| {
            let x = Tensor::from_inner(x);
            let answer = self.run(&self.plan, x, &leaves, Mode::Training { noise }, &mut seen);
            let loss = apply(loss, answer, Vec::new(), None);
            let gradients = loss.backward();
            (loss, gradients)
        });
        let results = leaves.iter().map(|leaf| leaf.grad_remove(&mut gradients)).collect();
        for (index, statistics, momentum) in seen {
            let running = self.statistics[index].clone();
            self.statistics[index] = running.mul_scalar(1.0 - momentum) + statistics.mul_scalar(momentum);
        }
        self.folded = OnceLock::new();
        (loss.inner().into_scalar::<f32>(), results)
    }

    /// Runs the plan. `seen` receives each normalisation's batch statistics and momentum, variance corrected for the
    /// count.
    fn run(
        &self,
        plan: &Plan,
        x: Tensor<2>,
        values: &[Tensor<1>],
        mode: Mode,
        seen: &mut Vec<(usize, Tensor<2>, f32)>,
    ) -> Tensor<2> {
        let rows = x.dims()[0];
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
            let second = step.second.map(take);
            let result = match &step.work {
                Work::Run { operation, parameters } => {
                    let parameters = parameters.iter().map(|&p| values[p].clone()).collect();
                    apply(operation.clone(), x, parameters, second)
                }
                Work::Normalise { channels, affine, statistics, epsilon, momentum, relu } => {
                    let own = mode != Mode::Inference;
                    let used = if own {
                        let operation = Operation::Statistics { channels: *channels };
                        let elements = x.dims()[1];
                        let batch = apply(operation, x.clone().inner(), Vec::new(), None);
                        seen.push((*statistics, unbiased(&batch, rows * elements / channels), *momentum));
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
                        let [rows, elements] = x.dims();
                        let stream = noise.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(index as u64);
                        let mask = dropout_mask(rows, elements, *probability, stream, &self.device);
                        let mask = if x.is_autodiff() { Tensor::from_inner(mask) } else { mask };
                        apply(Operation::Multiply, x, Vec::new(), Some(mask))
                    }
                    _ => x,
                },
                Work::Pass => x,
            };
            // A folded plan has steps that nothing uses; their memory is free at once.
            results.push((uses[index] > 0).then_some(result));
        }
        results.pop().flatten().or(input.0).expect("a blueprint has an output")
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
    }

    /// All numbers by name: parameters, and the running statistics of normalisations.
    pub fn state(&self) -> State {
        let mut state = State::new();
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
        self.folded = OnceLock::new();
        Ok(())
    }
}

/// Variance over the count less one, which running statistics keep, from that over the count.
fn unbiased(statistics: &Tensor<2>, count: usize) -> Tensor<2> {
    let correction = count as f32 / (count.max(2) - 1) as f32;
    let mean = statistics.clone().narrow(0, 0, 1);
    Tensor::cat(vec![mean, statistics.clone().narrow(0, 1, 1).mul_scalar(correction)], 0)
}

fn vector(values: Vec<f32>, device: &Device) -> Tensor<1> {
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
