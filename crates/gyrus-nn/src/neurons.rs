//! A node's neurons as the plan runs them: their constants as a tensor, computed from the learned parameters if there are
//! any. ([`gyrus_blueprint::neuron`] has the equations; `gyrus_kernels::neuron` steps them.)

use std::sync::Arc;

use gyrus_blueprint::{Blueprint, Integration, NeuronModel, NodeKind, Reset};
use gyrus_files::State;
use gyrus_tensor::{
    Device, Neuron, NeuronKind, NeuronReset, Operation, Problem, SignedNeuron, Spiking, Tensor, apply,
    membranes, vector,
};

use crate::plan::NeuronPlan;
use crate::spiking::{SpikingSettings, surrogate};
use crate::{Error, Result};

/// The neurons of a node, ready to run.
pub(crate) enum Neurons {
    /// Neurons of the common equations.
    Point(Box<PointNeurons>),
    /// Neurons with signed spikes.
    Signed(SignedNeuron),
}

/// Neurons of the common equations.
pub(crate) struct PointNeurons {
    neuron: Neuron,
    /// Nine rows of one value, or of one value per neuron in the order of the activations.
    constants: Tensor<1>,
    /// The equations of the constants, if training changes some of them.
    learned: Option<Equations>,
}

/// Constants of the continuous equations, by name.
struct Equations {
    written: Vec<(&'static str, f64)>,
    /// Stored values that are not learned, channels-first.
    stored: Vec<(&'static str, Tensor<1>)>,
    integration: Integration,
    dt_ms: f64,
}

impl Neurons {
    pub(crate) fn new(
        blueprint: &Blueprint,
        plan: &NeuronPlan,
        stored: &State,
        settings: &SpikingSettings,
    ) -> Result<Self> {
        let node = &blueprint.nodes()[plan.node];
        if let NodeKind::SignedIF { levels, threshold } = node.kind {
            let name = format!("{}.start", node.name);
            let expected = vec![plan.neurons];
            let starts = stored.get(&name).filter(|start| start.values.len() == plan.neurons);
            let starts = starts.ok_or(Error::MissingTensor { name, expected })?;
            return Ok(Self::Signed(SignedNeuron {
                levels,
                threshold: threshold as f32,
                steps: settings.steps,
                once: plan.constant_input,
                starts: Arc::from(plan.image.channels_last(&starts.values)),
                problem: Problem::default(),
            }));
        }
        let device = gyrus_tensor::cpu();
        let Some(surrogate) = surrogate(&settings.surrogate) else { return Err(settings.wrong_surrogate()) };
        let model = match &node.kind {
            NodeKind::Threshold { threshold } => NeuronModel::threshold(*threshold),
            _ => match NeuronModel::new(node, plan.neurons, stored, settings.time)? {
                Some(model) => model,
                None => {
                    let (node, kind) = (node.name.clone(), node.kind.name());
                    return Err(Error::NoSpikingBody { node, kind, reason: "it is not a neuron" });
                }
            },
        };
        let constants: Vec<f32> =
            model.constants.iter().flat_map(|row| plan.image.channels_last(row)).collect();
        let same_start = model.v_start.windows(2).all(|pair| pair[0] == pair[1]);
        let learned = match (node.kind.neuron(), plan.learned.is_empty()) {
            (Some(neuron), false) => {
                let is_learned = |name: &str| plan.learned.iter().any(|(learned, _)| *learned == name);
                let own =
                    neuron.constants.iter().filter(|(name, _)| neuron.is_stored(name) && !is_learned(name));
                let values = |name: &str| stored.get(&format!("{}.{name}", node.name));
                let stored =
                    own.filter_map(|&(name, _)| Some((name, vector(values(name)?.values.clone(), &device))));
                let stored = stored.collect();
                let (integration, dt_ms) = (settings.time.integration, settings.time.dt_ms);
                Some(Equations { written: neuron.constants.clone(), stored, integration, dt_ms })
            }
            _ => None,
        };
        let neuron = Neuron {
            kind: NeuronKind {
                synapse: model.synapse,
                fires: model.fires,
                adaptive: model.adaptive,
                reset: match model.reset {
                    Reset::Hard => NeuronReset::Hard,
                    Reset::Subtract => NeuronReset::Subtract,
                    Reset::None => NeuronReset::None,
                },
                v_start: model.v_start.first().copied().unwrap_or(0.0),
            },
            steps: settings.steps,
            constant_input: plan.constant_input,
            starts: (!same_start).then(|| Arc::from(plan.image.channels_last(&model.v_start))),
            surrogate,
            detach_reset: settings.detach_reset,
            truncate: settings.truncate,
            counted: plan.counted,
            problem: Problem::default(),
        };
        Ok(Self::Point(Box::new(PointNeurons { neuron, constants: vector(constants, &device), learned })))
    }

    /// Whether its output is packed spikes.
    pub(crate) fn packs(&self) -> bool {
        matches!(self, Self::Point(point) if point.neuron.kind.fires)
    }

    /// The membranes after each step, `[steps · batch, neurons]`, for these input currents; empty for signed spikes.
    pub(crate) fn membranes(&self, x: Tensor<2>, plan: &NeuronPlan, values: &[Tensor<1>]) -> Vec<f32> {
        let Self::Point(point) = self else { return Vec::new() };
        let mut parameters = vec![point.constants.clone()];
        parameters.extend(plan.feedback.iter().map(|&index| values[index].clone()));
        membranes(&point.neuron, x, &parameters)
    }

    pub(crate) fn run(
        &self,
        x: Tensor<2>,
        plan: &NeuronPlan,
        values: &[Tensor<1>],
        problem: Problem,
    ) -> Tensor<2> {
        let point = match self {
            Self::Point(point) => point,
            Self::Signed(neuron) => {
                let neuron = SignedNeuron { problem, ..neuron.clone() };
                return apply(Operation::Spiking(Spiking::Signed(neuron)), x, Vec::new(), None);
            }
        };
        let training = x.is_autodiff() || values.iter().any(Tensor::is_autodiff);
        let constants = match &point.learned {
            Some(equations) if training => equations.constants(plan, values),
            _ => point.constants.clone(),
        };
        let neuron = Neuron { problem, ..point.neuron.clone() };
        let constants =
            if training && !constants.is_autodiff() { Tensor::from_inner(constants) } else { constants };
        let mut parameters = vec![constants];
        parameters.extend(plan.feedback.iter().map(|&index| values[index].clone()));
        let operation =
            if plan.feedback.is_empty() { Spiking::Neuron(neuron) } else { Spiking::Recurrent(neuron) };
        apply(Operation::Spiking(operation), x, parameters, None)
    }
}

impl Equations {
    /// The nine rows of [`NeuronModel`], computed with autodiff.
    fn constants(&self, plan: &NeuronPlan, values: &[Tensor<1>]) -> Tensor<1> {
        let learned = |name: &str| {
            plan.learned.iter().find(|(learned, _)| *learned == name).map(|&(_, index)| values[index].clone())
        };
        let constant = |name: &str| -> Option<Tensor<1>> {
            let &(_, written) = self.written.iter().find(|(constant, _)| *constant == name)?;
            let stored =
                self.stored.iter().find(|(stored, _)| *stored == name).map(|(_, values)| values.clone());
            let stored = stored.map(Tensor::from_inner);
            Some(learned(name).or(stored).unwrap_or_else(|| lone(written)))
        };
        let dt = self.dt_ms as f32;
        let decay = |tau: Option<Tensor<1>>| match (tau, self.integration) {
            (None, _) => lone(1.0),
            (Some(tau), Integration::Exact) => tau.recip().mul_scalar(-dt).exp(),
            (Some(tau), Integration::Euler) => tau.recip().mul_scalar(-dt).add_scalar(1.0),
        };
        let rest = |decay: &Tensor<1>| decay.clone().neg().add_scalar(1.0);
        let resistance = constant("resistance").unwrap_or_else(|| lone(1.0));
        let membrane = decay(constant("tau_membrane_ms"));
        let synapse = decay(constant("tau_synapse_ms"));
        let leak = constant("v_leak");
        let gain = if leak.is_some() { rest(&membrane) * resistance } else { resistance.mul_scalar(dt) };
        let drive = leak.map_or_else(|| lone(0.0), |leak| rest(&membrane) * leak);
        let w_in = constant("w_in").unwrap_or_else(|| lone(1.0));
        let zero = || lone(0.0);
        let rows = [
            membrane,
            gain,
            drive,
            constant("v_threshold").unwrap_or_else(zero),
            synapse.clone(),
            rest(&synapse) * w_in,
            constant("v_reset").unwrap_or_else(zero),
            constant("adaptation_strength").unwrap_or_else(zero),
            decay(constant("tau_adaptation_ms")),
        ];
        let widest = rows.iter().map(|row| row.dims()[0]).max().unwrap_or(1);
        let (pixels, channels) = (plan.image.pixels(), plan.image.channels);
        let rows = rows.map(|row| match (row.dims()[0], widest) {
            (_, 1) => row,
            (1, _) => row.repeat_dim(0, widest),
            _ => row.reshape([channels, pixels]).swap_dims(0, 1).reshape([widest]),
        });
        Tensor::cat(rows.to_vec(), 0)
    }
}

/// A single number as a tensor of autodiff.
fn lone(value: f64) -> Tensor<1> {
    let device: Device = gyrus_tensor::cpu();
    Tensor::from_inner(vector(vec![value as f32], &device))
}
