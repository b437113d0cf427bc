//! Passes over a plan: inference, and a training step's forward and backward pass.

use core::ops::Range;

use gyrus_tensor::{
    Operation, Problem, Spiking, Tensor, apply, coded_tensor, dropout_mask, keep_awake, kernels_run_on,
};
use rayon::prelude::*;

use super::fold::Folded;
use super::probe::Probe;
use super::signal::{Observation, Observed};
use super::{Network, check_trainable};
use crate::neurons::Neurons;
use crate::plan::{Plan, Source, Work};
use crate::spiking::{Encoder, Readout, SpikingSettings};
use crate::{Error, Result};

/// Smallest input, in numbers of all rows, whose kernels take long enough to keep all threads awake.
const LARGE_INPUT: usize = 16 * 784;
/// Groups of rows from which on each thread takes whole groups through the network.
const MANY_GROUPS: usize = 4;

/// A loss, and the gradient of each parameter in order.
pub type LossAndGradients = (f32, Vec<Option<Tensor<1>>>);

/// Options of one pass over the plan, and what it collects besides its result.
pub(super) struct Pass {
    mode: Mode,
    /// Whether the answer is one row per step, before the readout.
    every_step: bool,
    /// Signals at weights and neurons, if requested.
    pub(super) observations: Option<Vec<Observation>>,
    /// Batch statistics and momentum of each normalization; the variance is unbiased.
    seen: Vec<(usize, Tensor<2>, f32)>,
    /// For each node of neurons, whether its potentials stayed finite.
    problems: Vec<(usize, Problem)>,
    /// Which signals are kept or differentiated, if any.
    pub(super) probe: Option<Probe>,
}

impl Pass {
    pub(super) fn new(mode: Mode) -> Self {
        Self {
            mode,
            every_step: false,
            observations: None,
            seen: Vec::new(),
            problems: Vec::new(),
            probe: None,
        }
    }

    /// Inference that records signals at weights and neurons, and answers for every step.
    pub(super) fn observing() -> Self {
        Self { every_step: true, observations: Some(Vec::new()), ..Self::new(Mode::Inference) }
    }

    fn probed(&mut self, source: Source, tensor: Tensor<2>) -> Tensor<2> {
        match &mut self.probe {
            Some(probe) => probe.at(source, tensor),
            None => tensor,
        }
    }

    fn observe(&mut self, node: usize, what: Observed, tensor: &Tensor<2>, packed: bool) {
        if let Some(observations) = &mut self.observations {
            observations.push(Observation { node, what, tensor: tensor.clone(), packed });
        }
    }
}

/// Mode of a forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Batch statistics and dropout.
    Training {
        /// Seed of dropout masks and random spikes; different for each step.
        noise: u64,
    },
    /// Running statistics, no dropout.
    Inference,
}

impl Network {
    /// The answer to `x`, `[batch, elements]`, with the network's own parameters, outside autodiff.
    pub fn infer(&self, x: Tensor<2>) -> Tensor<2> {
        let folded = self.folded.get_or_init(|| self.fold());
        let [rows, elements] = x.dims();
        let in_groups = folded.groups.iter().any(|group| rows.div_ceil(group.rows) >= MANY_GROUPS);
        let run = || {
            if in_groups && kernels_run_on(&x) {
                return self.infer_in_groups(folded, x);
            }
            let mut pass = Pass::new(Mode::Inference);
            self.run((&folded.plan, &folded.neurons), x, &folded.values, &mut pass)
        };
        // A few rows take less time than waking up the other threads.
        if rows * elements < LARGE_INPUT { run() } else { keep_awake(run) }
    }

    /// The answer to `x`, part of the plan by part, each thread with a group of rows of its own.
    fn infer_in_groups(&self, folded: &Folded, x: Tensor<2>) -> Tensor<2> {
        let rows = x.dims()[0];
        folded.groups.iter().fold(x, |x, group| {
            let run = |x: Tensor<2>| {
                let mut pass = Pass::new(Mode::Inference);
                let plan = (&folded.plan, &*folded.neurons, group.steps.clone());
                self.run_steps(plan, x, &folded.values, &mut pass)
            };
            let count = rows.div_ceil(group.rows);
            if count < MANY_GROUPS {
                return run(x);
            }
            let part = |index: usize| {
                let first = index * group.rows;
                run(x.clone().narrow(0, first, group.rows.min(rows - first)))
            };
            let parts: Vec<Tensor<2>> = (0..count).into_par_iter().with_max_len(1).map(part).collect();
            Tensor::cat(parts, 0)
        })
    }

    /// One training step's forward and backward pass.
    ///
    /// `loss` turns the network's answer into the loss operation; the result is the loss and the gradient of each
    /// parameter, in order; none for those that [`Network::freeze`] picked. Running statistics are updated.
    ///
    /// # Errors
    /// If a membrane potential is not a finite number, or the network has a node without a gradient.
    pub fn gradients(&mut self, x: Tensor<2>, noise: u64, loss: Operation) -> Result<LossAndGradients> {
        check_trainable(&self.blueprint)?;
        let leaves: Vec<Tensor<1>> = self
            .parameters
            .iter()
            .enumerate()
            .map(|(index, parameter)| {
                let leaf = Tensor::from_inner(parameter.value.clone());
                if self.frozen.get(index) == Some(&true) { leaf } else { leaf.require_grad() }
            })
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
        self.forget();
        Ok((loss.inner().into_scalar::<f32>(), results))
    }

    pub(super) fn check_potentials(&self, pass: &Pass) -> Result<()> {
        for (node, problem) in &pass.problems {
            if let Some(&(step, neuron)) = problem.get() {
                let node = self.blueprint.nodes()[*node].name.clone();
                return Err(Error::NotFinite { node, step, neuron });
            }
        }
        Ok(())
    }

    /// The encoded input of the plan; part of autodiff in training.
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
    pub(super) fn run(
        &self,
        (plan, neurons): (&Plan, &[Neurons]),
        x: Tensor<2>,
        values: &[Tensor<1>],
        pass: &mut Pass,
    ) -> Tensor<2> {
        self.run_steps((plan, neurons, 0..plan.steps.len()), x, values, pass)
    }

    /// Runs some steps of the plan. If these are not the first ones, `x` is the result of the one before, the only earlier
    /// result that they may read.
    fn run_steps(
        &self,
        (plan, neurons, range): (&Plan, &[Neurons], Range<usize>),
        x: Tensor<2>,
        values: &[Tensor<1>],
        pass: &mut Pass,
    ) -> Tensor<2> {
        let mode = pass.mode;
        let steps = self.spiking.as_ref().map_or(1, |settings| settings.steps);
        let batch = x.dims()[0];
        let start = range.start;
        let (x, input_uses) = match start.checked_sub(1) {
            None => (pass.probed(Source::Input, self.encoded(x, mode)), plan.input_uses),
            Some(before) => (x, plan.uses[before]),
        };
        let mut results: Vec<Option<Tensor<2>>> = Vec::with_capacity(range.len());
        let mut uses = plan.uses.clone();
        let mut input = (Some(x), input_uses);
        for (index, step) in plan.steps.iter().enumerate().take(range.end).skip(start) {
            // The last use takes the tensor itself, which frees its memory as early as possible.
            let mut take = |source: Source| {
                let (slot, uses) = match source {
                    Source::Step(step) if step >= start => (&mut results[step - start], &mut uses[step]),
                    _ => (&mut input.0, &mut input.1),
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
                Work::Normalize { channels, affine, statistics, epsilon, momentum, activation } => {
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
                    let norm = Operation::BatchNorm { own, epsilon: *epsilon, activation: *activation };
                    apply(norm, x, parameters, second)
                }
                Work::Scale { parameter, pixels } => {
                    let scale = values[*parameter].clone();
                    let plain = x.is_autodiff() && !scale.is_autodiff();
                    let scale = if plain { Tensor::from_inner(scale) } else { scale };
                    let channels = scale.dims()[0] / pixels;
                    x * scale.reshape([channels, *pixels]).swap_dims(0, 1).reshape([1, channels * pixels])
                }
                Work::Dropout { probability } => match mode {
                    Mode::Training { noise } if *probability > 0.0 => {
                        let elements = x.dims()[1];
                        let stream = noise.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(index as u64);
                        let mask = dropout_mask(batch, elements, *probability, stream, &self.device);
                        // An element is dropped for all steps of a sample.
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
                        // The spikes enter the feedback's weights one step later.
                        let delay = Operation::Spiking(Spiking::Delay { steps, by: 1 });
                        let late = apply(delay, result.clone(), Vec::new(), None);
                        pass.observe(feedback, Observed::WeightInput, &late, true);
                    }
                    result
                }
                Work::Readout if pass.every_step => x,
                Work::Readout => self.read_out(x, steps),
            };
            let result = pass.probed(Source::Step(index), result);
            if pass.probe.as_ref().is_some_and(|probe| probe.ends_at(index)) {
                return result;
            }
            // A folded plan has unused steps; free their memory immediately.
            results.push((uses[index] > 0).then_some(result));
        }
        results.pop().flatten().or(input.0).expect("a blueprint has an output")
    }

    /// Whether the input comes at the first step only.
    fn comes_once(&self) -> bool {
        self.spiking.as_ref().is_some_and(|settings| matches!(settings.encoder, Encoder::Once { .. }))
    }

    /// The answer over all steps, from `[steps · batch, outputs]`.
    fn read_out(&self, x: Tensor<2>, steps: usize) -> Tensor<2> {
        let [rows, outputs] = x.dims();
        let flat = [rows / steps, outputs];
        match self.spiking.as_ref().map(|settings| settings.readout) {
            Some(Readout::Sum) => {
                // Add step after step, so that partial sums of exact numbers stay exact.
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
}

/// Statistics with the unbiased variance (divided by count − 1), which running statistics keep, from the biased one.
fn unbiased(statistics: &Tensor<2>, count: usize) -> Tensor<2> {
    let correction = count as f32 / (count.max(2) - 1) as f32;
    let mean = statistics.clone().narrow(0, 0, 1);
    Tensor::cat(vec![mean, statistics.clone().narrow(0, 1, 1).mul_scalar(correction)], 0)
}
