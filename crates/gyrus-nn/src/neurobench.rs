//! The metrics of NeuroBench 2.3 (Yik et al. 2025, Nature Communications 16:1545), equal to those of its Python package for
//! the same network in snnTorch.
//!
//! For S samples that run for T steps each:
//!
//! - Footprint: 4 bytes per stored number, plus the buffers that snnTorch keeps: for each node of neurons a decay per time
//!   constant, a threshold and a spike factor of 4 bytes each and a reset code of 8; for each batch normalization a counter
//!   of 8 bytes.
//! - Connection sparsity: share of zeros among the weights, without biases, in 32 bits and rounded to four digits.
//! - Activation sparsity: share of neurons and steps without a spike; over several batches the mean, weighted by their size.
//! - Synaptic operations per sample: for every nonzero input of weights, its connections with nonzero weights. They are
//!   accumulates if all inputs of the batch at that step are −1, 0 or 1, otherwise multiply-accumulates. A constant input
//!   counts at every step. Feedback counts at the step at which it arrives. Dense operations count all connections of all
//!   inputs.
//! - Membrane updates per sample: all neurons at the first step, later those whose membrane after the reset differs from the
//!   previous step, as in snnTorch with `reset_delay=False`.
//!
//! Cost: a pass over the samples, plus a second pass over the neurons for their membranes.

use gyrus_blueprint::{Blueprint, NodeKind};
use gyrus_tensor::{Tensor, spike_words};
use serde::{Deserialize, Serialize};

use crate::workload::{Connections, connections, footprint};
use crate::{Encoder, Error, Network, Observation, Observed, Result, SpikingSettings, floats};

/// Costs of a spiking network; see the [module](self).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NeuroBenchMetrics {
    /// Bytes of all parameters and buffers.
    pub footprint_bytes: u64,
    /// Number of trained parameters.
    pub parameters: u64,
    /// Share of zeros among the weights, 0 to 1, rounded to four digits.
    pub connection_sparsity: f64,
    /// Share of silent neurons and steps, 0 to 1; 0 without neurons that fire.
    pub activation_sparsity: f64,
    /// Multiply-accumulates per sample.
    pub effective_macs: f64,
    /// Accumulates per sample.
    pub effective_acs: f64,
    /// Operations per sample if nothing were zero.
    pub dense_operations: f64,
    /// Membrane updates per sample.
    pub membrane_updates: f64,
}

/// Sums over batches.
#[derive(Default)]
struct Sums {
    samples: u64,
    macs: u64,
    acs: u64,
    dense: u64,
    updates: u64,
    /// Activation sparsity and size of each batch.
    sparsities: Vec<(f64, u64)>,
}

/// Runs a spiking network on batches of samples, `[batch, elements]` each, and counts.
///
/// # Errors
/// If the network is dense, a membrane potential is not a finite number, or there is a node whose activations cannot be
/// counted (ReLU, sigmoid, signed spikes).
pub fn neurobench_metrics(
    network: &Network,
    batches: impl IntoIterator<Item = Tensor<2>>,
) -> Result<NeuroBenchMetrics> {
    let blueprint = network.blueprint();
    let Some(settings) = network.spiking() else {
        let (got, expected) = ("dense".to_owned(), "a spiking network".to_owned());
        return Err(Error::Setting { setting: "the network", got, expected });
    };
    for node in blueprint.nodes() {
        let reason = match node.kind {
            NodeKind::ReLU | NodeKind::Sigmoid => {
                "NeuroBench counts its zeros too, but only those of neurons are observed here"
            }
            NodeKind::SignedIF { .. } => "NeuroBench does not define signed spikes",
            _ => continue,
        };
        return Err(Error::NotCounted { node: node.name.clone(), kind: node.kind.name(), reason });
    }
    let state = network.state();
    let still = footprint(blueprint, &state)?;
    let connections = connections(blueprint, &state)?;
    let mut sums = Sums::default();
    for x in batches {
        let batch = x.dims()[0];
        let (_, observations) = network.observe(x)?;
        sums.add(network, &observations, &connections, (settings, batch))?;
    }
    let samples = sums.samples.max(1);
    let per_sample = |sum: u64| sum as f64 / samples as f64;
    let weighted = sums.sparsities.iter().map(|(sparsity, batch)| sparsity * *batch as f64 / samples as f64);
    Ok(NeuroBenchMetrics {
        footprint_bytes: still.bytes + scalars(blueprint),
        parameters: still.parameters,
        connection_sparsity: rounded(still.connection_sparsity),
        // Add in the package's order, on which the last digit depends.
        activation_sparsity: weighted.fold(0.0, |sum, part| sum + part),
        effective_macs: per_sample(sums.macs),
        effective_acs: per_sample(sums.acs),
        dense_operations: per_sample(sums.dense),
        membrane_updates: per_sample(sums.updates),
    })
}

/// Rounded to 32 bits, as PyTorch divides, and to four digits.
fn rounded(share: f64) -> f64 {
    format!("{:.4}", share as f32).parse().unwrap_or(share)
}

/// Bytes of the buffers that snnTorch keeps beside the stored numbers.
fn scalars(blueprint: &Blueprint) -> u64 {
    let of = |kind: &NodeKind| {
        let Some(neuron) = kind.neuron() else {
            return if matches!(kind, NodeKind::BatchNorm { .. }) { 8 } else { 0 };
        };
        let is_tau = |name: &str| name.starts_with("tau_");
        let taus = neuron.constants.iter().filter(|(name, _)| is_tau(name)).count().max(1);
        let stored = neuron
            .constants
            .iter()
            .filter(|(name, _)| (is_tau(name) || *name == "v_threshold") && neuron.is_stored(name));
        4 * (taus as u64 + 2 - stored.count() as u64) + 8
    };
    blueprint.nodes().iter().map(|node| of(&node.kind)).sum()
}

impl Sums {
    fn add(
        &mut self,
        network: &Network,
        observations: &[Observation],
        connections: &[Connections],
        (settings, batch): (&SpikingSettings, usize),
    ) -> Result<()> {
        let steps = settings.steps;
        // How often constant input is presented.
        let shown = if matches!(settings.encoder, Encoder::Once { .. }) { 1 } else { steps as u64 };
        self.samples += batch as u64;
        let shapes = network.blueprint().shapes()?;
        let (mut spikes, mut places) = (0u64, 0u64);
        for observation in observations {
            match observation.what {
                Observed::WeightInput => {
                    let own = connections.iter().find(|own| own.node == observation.node);
                    own.into_iter().for_each(|own| self.weigh(observation, own, (steps, batch), shown));
                }
                Observed::NeuronOutput if observation.packed => {
                    let neurons: usize = shapes.output(observation.node).iter().product();
                    places += (steps * batch * neurons) as u64;
                    let words = spike_words(observation.tensor.clone());
                    spikes += words.iter().map(|word| u64::from(word.count_ones())).sum::<u64>();
                }
                Observed::NeuronOutput => {}
                Observed::Current => {
                    let membranes = network.membranes(observation);
                    let each = membranes.len() / steps.max(1);
                    let changed = |(now, before): (&f32, &f32)| u64::from(now != before);
                    let later = membranes.iter().skip(each).zip(&membranes).map(changed).sum::<u64>();
                    self.updates += each as u64 + later;
                }
            }
        }
        let sparsity = if places == 0 { 0.0 } else { (places - spikes) as f64 / places as f64 };
        self.sparsities.push((sparsity, batch as u64));
        Ok(())
    }

    /// Adds the synaptic operations of a node, whose input is presented `shown` times if it is constant.
    fn weigh(
        &mut self,
        observation: &Observation,
        own: &Connections,
        (steps, batch): (usize, usize),
        shown: u64,
    ) {
        self.dense += own.dense * (steps * batch) as u64;
        let rows = observation.tensor.dims()[0];
        let times = if rows == steps * batch { 1 } else { shown };
        if observation.packed {
            let words = spike_words(observation.tensor.clone());
            let width = words.len() / rows.max(1);
            self.acs += times * words.chunks_exact(width.max(1)).map(|row| own.of_spikes(row)).sum::<u64>();
            return;
        }
        let values = floats(observation.tensor.clone());
        let width = own.effective.len().max(1);
        for step in values.chunks(width * batch.max(1)) {
            let operations = times * step.chunks_exact(width).map(|row| own.of_values(row)).sum::<u64>();
            let binary = step.iter().all(|x| matches!(*x, -1.0 | 0.0 | 1.0));
            *if binary { &mut self.acs } else { &mut self.macs } += operations;
        }
    }
}
