//! Plans: a blueprint lowered to operations in order, with their inputs, fused where one kernel does the work of two.
//!
//! Shapes in a blueprint are channels-first (`[channels, height, width]`); activations here are `[batch, elements]` with
//! channels last ([`gyrus_blueprint::Image`]).

mod fold;
mod fuse;
mod groups;
mod lower;
mod time;

use std::collections::BTreeMap;

use gyrus_blueprint::Image;
use gyrus_files::{State, StateTensor};
use gyrus_tensor::{Activation, Operation};

pub(crate) use groups::Group;

use crate::spiking::SpikingSettings;
use crate::{Error, Result};

/// Source of an activation: a step, or the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Input,
    Step(usize),
}

/// The work of a step.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// An operation with its parameters, indices into the plan's.
    Run { operation: Operation, parameters: Vec<usize> },
    /// Normalization with the batch's statistics in training, with running statistics otherwise; `affine` is gamma and beta.
    Normalize {
        channels: usize,
        affine: [usize; 2],
        statistics: usize,
        epsilon: f32,
        momentum: f32,
        activation: Option<Activation>,
    },
    /// One factor per element; the parameter is channels-first.
    Scale { parameter: usize, pixels: usize },
    /// Zeroes elements at random in training.
    Dropout { probability: f32 },
    /// Passes the input on unchanged.
    Pass,
    /// Neurons over all steps; an index into the plan's.
    Neurons(usize),
    /// Repeats the rows at every step or, if the input comes once, appends zeros for all later steps.
    Repeat,
    /// Turns one row per step into the network's answer.
    Readout,
}

/// Memory layout of an activation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Form {
    /// Whether there are rows for every step, `[steps · batch, ...]`, instead of one for all.
    pub(crate) timed: bool,
    /// Whether it holds packed spikes.
    pub(crate) spikes: bool,
}

/// A node of neurons as the plan knows it.
#[derive(Clone, Debug)]
pub(crate) struct NeuronPlan {
    /// Index in the blueprint.
    pub(crate) node: usize,
    pub(crate) neurons: usize,
    /// Its neurons as an image: per-neuron constants are stored channels-first.
    pub(crate) image: Image,
    /// Whether the input is the same at every step.
    pub(crate) constant_input: bool,
    /// Constants that training changes: name, and index into the plan's parameters.
    pub(crate) learned: Vec<(&'static str, usize)>,
    /// The node that feeds the spikes back, if any.
    pub(crate) feedback_node: Option<usize>,
    /// Whether only the number of its spikes is needed.
    pub(crate) counted: bool,
    /// Feedback: weight and perhaps bias, indices into the plan's parameters.
    pub(crate) feedback: Vec<usize>,
}

/// Purpose of a plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Purpose<'a> {
    /// Settings of a spiking network.
    pub(crate) spiking: Option<&'a SpikingSettings>,
    pub(crate) training: bool,
    /// Whether one operation may do the work of two nodes; the result of the first is then not there.
    pub(crate) fused: bool,
    /// Whether there must be gradients: activations whose gradient takes their input then remain steps of their own.
    pub(crate) differentiable: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Index of its node in the blueprint.
    pub(crate) node: usize,
    pub(crate) work: Work,
    pub(crate) source: Source,
    /// The other term of a sum, or the residual of a normalization.
    pub(crate) second: Option<Source>,
}

/// A parameter as the plan knows it.
#[derive(Clone, Debug)]
pub(crate) struct ParameterPlan {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) start: Start,
}

/// Initial value of a parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Start {
    /// Normal with this standard deviation (He et al. 2015, from a unit's fan-in).
    Normal(f32),
    Constant(f32),
}

/// Running statistics of a normalization: `[2, channels]`, mean and variance.
#[derive(Clone, Debug)]
pub(crate) struct StatisticsPlan {
    pub(crate) node: String,
    pub(crate) channels: usize,
}

impl StatisticsPlan {
    /// The names of the stored mean and variance, as in PyTorch.
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
    /// Stored numbers that are neither parameters nor statistics: name, shape and initial value.
    pub(crate) constants: Vec<(String, Vec<usize>, f32)>,
    /// How often each step's result is used; the last step's once.
    pub(crate) uses: Vec<usize>,
    /// How often the input is used.
    pub(crate) input_uses: usize,
    /// For each node of the blueprint, what holds its result; none where fusion leaves no such result.
    pub(crate) results: Vec<Option<Source>>,
}

impl Plan {
    /// Checks that the stored tensors are exactly those of the blueprint.
    pub(crate) fn check(&self, state: &State) -> Result<()> {
        let own = self.parameters.iter().map(|parameter| (parameter.name.clone(), parameter.shape.clone()));
        let running =
            self.statistics.iter().flat_map(|plan| plan.names().map(|name| (name, vec![plan.channels])));
        let constants = self.constants.iter().map(|(name, shape, _)| (name.clone(), shape.clone()));
        let expected: BTreeMap<String, Vec<usize>> = own.chain(running).chain(constants).collect();
        for (name, expected) in &expected {
            let (name, expected) = (name.clone(), expected.clone());
            match state.get(&name) {
                None => return Err(Error::MissingTensor { name, expected }),
                Some(StateTensor { shape, .. }) if *shape != expected => {
                    return Err(Error::TensorShape { name, got: shape.clone(), expected });
                }
                Some(_) => {}
            }
        }
        match state.keys().find(|name| !expected.contains_key(*name)) {
            Some(name) => Err(Error::UnknownTensor { name: name.clone() }),
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
}
