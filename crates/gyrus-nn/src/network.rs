//! A trainable network: a blueprint with its parameters on a device, dense or spiking.

mod fold;
mod observe;
mod probe;
mod run;
mod signal;

use std::sync::OnceLock;

use gyrus_blueprint::{Blueprint, NodeKind};
use gyrus_files::{State, StateTensor};
use gyrus_tensor::{Device, Tensor, TensorData, floats, kernels_run_on, vector};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::neurons::Neurons;
use crate::plan::{Plan, Purpose, Start};
use crate::spiking::SpikingSettings;
use crate::{Error, Result};

use fold::Folded;
pub use probe::{PullBack, Signal};
pub use run::{LossAndGradients, Mode};
pub use signal::{Observation, Observed};

/// One trainable parameter.
pub struct Parameter {
    /// `<node>.<parameter>`
    pub name: String,
    /// Shape as in PyTorch.
    pub shape: Vec<usize>,
    /// Flat, row-major.
    pub value: Tensor<1>,
}

impl Parameter {
    /// Whether weight decay applies: to weight matrices, filters and scales, but not to biases, normalizations and constants
    /// of neurons.
    pub fn decays(&self) -> bool {
        self.shape.len() > 1 && (self.name.ends_with(".weight") || self.name.ends_with(".scale"))
    }
}

/// A blueprint with its parameters on a device, ready to train or to answer: a dense network or, with [`SpikingSettings`], a
/// spiking one.
///
/// Activations are `[batch, elements]`; images are channels-last (`[height, width, channels]` within a row).
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
    /// One entry for each node of neurons in the plan.
    neurons: Vec<Neurons>,
    /// Which parameters training leaves as they are; empty for none.
    frozen: Vec<bool>,
    device: Device,
    /// Computed at the first answer after the parameters changed.
    folded: OnceLock<Folded>,
    /// The same with gradients, computed at the first gradient with respect to a signal.
    probed: OnceLock<Folded>,
}

impl Network {
    /// A dense network with fresh parameters: weights normal after He et al. 2015, biases 0. The same seed gives the same
    /// numbers.
    ///
    /// # Errors
    /// If the blueprint is not valid or has a node without a dense body.
    pub fn new(blueprint: &Blueprint, seed: u64, device: &Device) -> Result<Self> {
        Self::with(blueprint, None, seed, device)
    }

    /// A network with fresh parameters: spiking if there are settings, otherwise dense.
    ///
    /// # Errors
    /// If the blueprint is not valid, has a node without such a body, or a setting is wrong; for a spiking network also if the
    /// device is not the CPU.
    pub fn with(
        blueprint: &Blueprint,
        spiking: Option<&SpikingSettings>,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        if let Some(settings) = spiking {
            settings.check()?;
            if !kernels_run_on(&Tensor::<1>::empty([0], device)) {
                return Err(Error::OnlyOnCpu);
            }
        }
        let plan =
            Plan::new(blueprint, Purpose { spiking, training: true, fused: true, differentiable: true })?;
        let mut parameters = Vec::with_capacity(plan.parameters.len());
        for (index, parameter) in plan.parameters.iter().enumerate() {
            let count: usize = parameter.shape.iter().product();
            let values = match parameter.start {
                Start::Constant(value) => vec![value; count],
                Start::Normal(std) => {
                    let mut random = ChaCha8Rng::seed_from_u64(seed);
                    // One random stream per parameter: adding a node does not change the others' numbers.
                    random.set_stream(index as u64);
                    (0..count).map(|_| normal(&mut random) * std).collect()
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
            frozen: Vec::new(),
            device: device.clone(),
            folded: OnceLock::new(),
            probed: OnceLock::new(),
        };
        network.neurons = network.neurons_of(&network.plan)?;
        Ok(network)
    }

    /// A dense network with stored parameters.
    ///
    /// # Errors
    /// If the blueprint is not valid, or the tensors are not exactly those that it needs.
    pub fn from_state(blueprint: &Blueprint, state: &State, device: &Device) -> Result<Self> {
        Self::with_state(blueprint, None, state, device)
    }

    /// A network with stored parameters: spiking if there are settings, otherwise dense.
    ///
    /// # Errors
    /// As [`Network::with`], and if the tensors are not exactly those that the blueprint needs.
    pub fn with_state(
        blueprint: &Blueprint,
        spiking: Option<&SpikingSettings>,
        state: &State,
        device: &Device,
    ) -> Result<Self> {
        // A blueprint may announce more parameters than fit into memory; stored tensors cannot.
        Plan::new(blueprint, Purpose { spiking, training: true, fused: true, differentiable: true })?
            .check(state)?;
        let mut network = Self::with(blueprint, spiking, 0, device)?;
        network.load_state(state)?;
        Ok(network)
    }

    /// Checks that a network for this blueprint can be trained on this machine.
    ///
    /// # Errors
    /// If the blueprint is not valid, has a node without a body or without a gradient, or needs more memory than the system provides.
    pub fn check(blueprint: &Blueprint, spiking: Option<&SpikingSettings>) -> Result<()> {
        if let Some(settings) = spiking {
            settings.check()?;
        }
        check_trainable(blueprint)?;
        let plan =
            Plan::new(blueprint, Purpose { spiking, training: true, fused: true, differentiable: true })?;
        let numbers = plan.parameters.iter().map(|parameter| parameter.shape.iter().product::<usize>());
        let parameters = numbers.fold(0usize, usize::saturating_add);
        // Value, gradient, two moments and the best value so far.
        let asked = Vec::<f32>::new().try_reserve_exact(parameters.saturating_mul(5));
        asked.map_err(|_| Error::TooLarge { parameters })
    }

    /// Forgets what was prepared from the parameters.
    fn forget(&mut self) {
        (self.folded, self.probed) = (OnceLock::new(), OnceLock::new());
    }

    /// The neurons of a plan, with the current stored constants.
    fn neurons_of(&self, plan: &Plan) -> Result<Vec<Neurons>> {
        let Some(settings) = &self.spiking else { return Ok(Vec::new()) };
        let stored = self.state();
        plan.neurons.iter().map(|plan| Neurons::new(&self.blueprint, plan, &stored, settings)).collect()
    }

    /// Its blueprint.
    pub fn blueprint(&self) -> &Blueprint {
        &self.blueprint
    }

    /// The trainable parameters, in the order of the blueprint.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The device of its parameters.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Leaves the parameters as they are whose names `stays` picks: they get no gradient, and no work is done for one.
    pub fn freeze(&mut self, stays: impl Fn(&str) -> bool) {
        self.frozen = self.parameters.iter().map(|parameter| stays(&parameter.name)).collect();
    }

    /// Number of trainable parameters.
    pub fn parameter_count(&self) -> usize {
        self.parameters.iter().map(|p| p.shape.iter().product::<usize>()).sum()
    }

    /// Its settings, if it is a spiking network.
    pub fn spiking(&self) -> Option<&SpikingSettings> {
        self.spiking.as_ref()
    }

    /// Replaces each parameter's value by `update(index, parameter, value)`.
    ///
    /// `update` owns the value, so that an optimizer can work in its memory.
    pub fn update(&mut self, mut update: impl FnMut(usize, &Parameter, Tensor<1>) -> Tensor<1>) {
        self.forget();
        let nothing = Tensor::<1>::empty([0], &self.device);
        for (index, parameter) in self.parameters.iter_mut().enumerate() {
            let value = std::mem::replace(&mut parameter.value, nothing.clone());
            parameter.value = update(index, parameter, value);
        }
        if let Some(settings) = &self.spiking {
            let learned: Vec<_> = self.plan.neurons.iter().flat_map(|plan| &plan.learned).collect();
            for &&(name, index) in &learned {
                // A time constant below a step, or a threshold below the reset, is not a valid neuron.
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

    /// All numbers by name: parameters, and the running statistics of normalizations.
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

    /// Replaces all parameters and statistics.
    ///
    /// # Errors
    /// If the tensors are not exactly those that the blueprint needs; the network is then unchanged.
    pub fn load_state(&mut self, state: &State) -> Result<()> {
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
        self.forget();
        self.neurons = self.neurons_of(&self.plan)?;
        Ok(())
    }
}

/// Refuses nodes that only a conversion creates and that have no gradient.
fn check_trainable(blueprint: &Blueprint) -> Result<()> {
    let made = |kind: &NodeKind| matches!(kind, NodeKind::SignedIF { .. });
    match blueprint.nodes().iter().find(|node| made(&node.kind)) {
        Some(node) => Err(Error::NoSpikingBody {
            node: node.name.clone(),
            kind: node.kind.name(),
            reason: "it comes from a conversion and has no gradient; train the dense network instead",
        }),
        None => Ok(()),
    }
}

fn statistics(mean: Vec<f32>, variance: Vec<f32>, device: &Device) -> Tensor<2> {
    let channels = mean.len();
    Tensor::from_data(TensorData::new([mean, variance].concat(), [2, channels]), device)
}

/// One number of the standard normal distribution (Box and Muller 1958).
fn normal(random: &mut ChaCha8Rng) -> f32 {
    let u: f64 = 1.0 - random.random::<f64>();
    let v: f64 = random.random();
    ((-2.0 * u.ln()).sqrt() * (2.0 * std::f64::consts::PI * v).cos()) as f32
}
