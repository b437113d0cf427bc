//! Looks inside a dense network: the results of its nodes, and the gradient of any node with respect to the input or to other
//! nodes, by one backward pass. This is what attribution, activation maximization and feature statistics are built of.
//!
//! All of it is inference: running statistics, no dropout. A backward pass costs about as much as the forward pass, because
//! no gradient of a parameter is computed, and it reaches no further down than the lowest signal asked for.

use gyrus_tensor::{Operation, Tensor, apply, keep_awake};

use super::Network;
use super::run::{Mode, Pass};
use crate::plan::{Plan, Purpose, Source};
use crate::{Error, Result};

/// A signal in a network: its input, or what a node gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The input, as the network receives it.
    Input,
    /// The result of the node of this index in the blueprint.
    Node(usize),
}

/// What [`Network::pull_back`] found. All tensors are `[batch, elements]`, images channels-last within a row.
pub struct PullBack {
    /// The result of the node that was differentiated.
    pub output: Tensor<2>,
    /// The value of each signal.
    pub values: Vec<Tensor<2>>,
    /// The gradient with respect to each signal; zeros where the node does not depend on it.
    pub gradients: Vec<Tensor<2>>,
}

/// The signals that a pass keeps or differentiates.
pub(super) struct Probe {
    sources: Vec<Source>,
    differentiates: bool,
    /// The step after which nothing more is needed.
    last: Option<usize>,
    values: Vec<Option<Tensor<2>>>,
    leaves: Vec<Option<Tensor<2>>>,
}

impl Probe {
    fn new(sources: Vec<Source>, differentiates: bool, last: Option<usize>) -> Self {
        let (values, leaves) = (vec![None; sources.len()], vec![None; sources.len()]);
        Self { sources, differentiates, last, values, leaves }
    }

    pub(super) fn ends_at(&self, step: usize) -> bool {
        self.last == Some(step)
    }

    /// Keeps the result if it is wanted. With gradients it becomes a leaf, or the sum of itself and a leaf of zeros, whose
    /// gradient is the same.
    pub(super) fn at(&mut self, source: Source, mut tensor: Tensor<2>) -> Tensor<2> {
        for (index, wanted) in self.sources.iter().enumerate() {
            if *wanted != source {
                continue;
            }
            if !self.differentiates {
                self.values[index] = Some(tensor.clone());
            } else if tensor.is_autodiff() {
                let value = tensor.clone().inner();
                let zeros = Tensor::zeros(value.dims(), &value.device());
                let leaf = Tensor::from_inner(zeros).require_grad();
                tensor = apply(Operation::Add, tensor, Vec::new(), Some(leaf.clone()));
                (self.values[index], self.leaves[index]) = (Some(value), Some(leaf));
            } else {
                self.values[index] = Some(tensor.clone());
                tensor = Tensor::from_inner(tensor).require_grad();
                self.leaves[index] = Some(tensor.clone());
            }
        }
        tensor
    }
}

impl Network {
    /// What `nodes` give for `x`, `[batch, elements]` each, in their order.
    ///
    /// # Errors
    /// For a spiking network.
    ///
    /// # Panics
    /// If a node is not one of the blueprint.
    pub fn activations(&self, x: Tensor<2>, nodes: &[usize]) -> Result<Vec<Tensor<2>>> {
        self.check_dense("what a node gives")?;
        let folded = self.folded.get_or_init(|| self.fold());
        let signals: Vec<Signal> = nodes.iter().map(|&node| Signal::Node(node)).collect();
        let (plan, sources) = self.plan_with(&folded.plan, &signals)?;
        let values = match &plan {
            None => folded.values.clone(),
            Some(_) => self.parameters.iter().map(|parameter| parameter.value.clone()).collect(),
        };
        let mut pass = Pass::new(Mode::Inference);
        pass.probe = Some(Probe::new(sources.clone(), false, last_of(&sources)));
        let plan = plan.as_ref().unwrap_or(&folded.plan);
        keep_awake(|| self.run((plan, &[]), x.clone(), &values, &mut pass));
        let seen = pass.probe.map(|probe| probe.values).unwrap_or_default();
        Ok(seen.into_iter().map(|value| value.unwrap_or_else(|| x.clone())).collect())
    }

    /// The gradient of a weighted sum of what node `from` gives, with respect to each signal of `to`: the product of its
    /// Jacobian, transposed, with the weights. `weights` receives the node's result, `[batch, elements]`, and returns one
    /// factor for each of its elements; with 1 for one output and 0 for the others it is that output's gradient.
    ///
    /// # Errors
    /// For a spiking network.
    ///
    /// # Panics
    /// If a node is not one of the blueprint, or there are not as many weights as elements.
    pub fn pull_back(
        &self,
        x: Tensor<2>,
        from: usize,
        weights: impl FnOnce(&Tensor<2>) -> Tensor<2>,
        to: &[Signal],
    ) -> Result<PullBack> {
        self.check_dense("a gradient with respect to a signal")?;
        let folded = self.probed.get_or_init(|| self.fold_norms(true));
        let signals: Vec<Signal> = to.iter().copied().chain([Signal::Node(from)]).collect();
        let (plan, mut sources) = self.plan_with(&folded.plan, &signals)?;
        let values = match &plan {
            None => folded.values.clone(),
            Some(_) => self.parameters.iter().map(|parameter| parameter.value.clone()).collect(),
        };
        let plan = plan.as_ref().unwrap_or(&folded.plan);
        let end = sources.pop().unwrap_or(Source::Input);
        let Source::Step(last) = end else {
            // The node passes the input on.
            let weights = weights(&x);
            let gradient = |source: &Source| match source {
                Source::Input => weights.clone(),
                Source::Step(_) => Tensor::zeros([x.dims()[0], 0], &self.device),
            };
            let gradients = sources.iter().map(gradient).collect();
            let values = vec![x.clone(); sources.len()];
            return Ok(PullBack { output: x, values, gradients });
        };
        let mut pass = Pass::new(Mode::Inference);
        pass.probe = Some(Probe::new(sources, true, Some(last)));
        keep_awake(|| {
            let mut result = self.run((plan, &[]), x, &values, &mut pass);
            if !result.is_autodiff() {
                // It depends on none of the signals.
                result = Tensor::from_inner(result).require_grad();
            }
            let output = result.clone().inner();
            let weights = Tensor::from_inner(weights(&output));
            let sum = apply(Operation::Multiply, result, Vec::new(), Some(weights)).sum();
            let mut gradients = sum.backward();
            let probe = pass.probe.unwrap_or_else(|| Probe::new(Vec::new(), true, None));
            let (mut seen, mut found) = (Vec::new(), Vec::new());
            for (value, leaf) in probe.values.into_iter().zip(probe.leaves) {
                // What comes after the node was not computed; it has no part in the node's result.
                let value = value.unwrap_or_else(|| Tensor::zeros([output.dims()[0], 0], &self.device));
                let gradient = leaf.and_then(|leaf| leaf.grad_remove(&mut gradients));
                found.push(gradient.unwrap_or_else(|| Tensor::zeros(value.dims(), &self.device)));
                seen.push(value);
            }
            Ok(PullBack { output, values: seen, gradients: found })
        })
    }

    /// What holds each signal in a plan, and the plan if it is not `usual`: one in which every node has a step of its own.
    fn plan_with(&self, usual: &Plan, signals: &[Signal]) -> Result<(Option<Plan>, Vec<Source>)> {
        let sources = |plan: &Plan| -> Option<Vec<Source>> {
            let source = |signal: &Signal| match *signal {
                Signal::Input => Some(Source::Input),
                Signal::Node(node) => plan.results[node],
            };
            signals.iter().map(source).collect()
        };
        if let Some(sources) = sources(usual) {
            return Ok((None, sources));
        }
        let plan = Plan::new(
            &self.blueprint,
            Purpose { spiking: None, training: true, fused: false, differentiable: true },
        )?;
        let found = sources(&plan).unwrap_or_default();
        Ok((Some(plan), found))
    }

    fn check_dense(&self, what: &'static str) -> Result<()> {
        if self.spiking.is_some() { Err(Error::OnlyDense { what }) } else { Ok(()) }
    }
}

/// The last step among these.
fn last_of(sources: &[Source]) -> Option<usize> {
    let step = |source: &Source| match source {
        Source::Input => None,
        Source::Step(step) => Some(*step),
    };
    sources.iter().filter_map(step).max()
}
