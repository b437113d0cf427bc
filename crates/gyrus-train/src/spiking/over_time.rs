//! Evaluates a spiking network after each of its steps, and counts its operations up to then.

use gyrus_blueprint::{Blueprint, NodeKind};
use gyrus_data::{Examples, Preprocessing, Targets, fill_batch};
use gyrus_nn::workload::{Connections, connections};
use gyrus_nn::{Encoder, Network, Observation, Observed, floats};
use gyrus_tensor::{filled_tensor, spike_words};

use crate::evaluate::best;
use crate::spiking::agreement::round_as;
use crate::{Error, Result, Tick};

/// About how many rows one pass has: steps times examples.
const ROWS: usize = 1024;

/// Accuracy and operations of a spiking network after each step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OverTime {
    /// Number of examples.
    pub examples: u64,
    /// For each step, the share classified correctly by the mean output of the steps so far.
    pub accuracy: Vec<f64>,
    /// One entry per node of spiking neurons, in the order in which they run.
    pub neurons: Vec<NeuronWork>,
    /// One entry per node with weights, in the order in which they run.
    pub weights: Vec<WeightWork>,
}

/// What the neurons of a node did, over all examples.
#[derive(Clone, Debug, PartialEq)]
pub struct NeuronWork {
    /// Index in the blueprint.
    pub node: usize,
    /// Number of neurons.
    pub neurons: u64,
    /// Spikes up to and including each step.
    pub spikes: Vec<u64>,
}

/// What the weights of a node did, over all examples.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightWork {
    /// Index in the blueprint.
    pub node: usize,
    /// Synaptic operations up to and including each step: connections whose weight and input are both nonzero. An input that
    /// is the same at every step is multiplied once.
    pub operations: Vec<u64>,
    /// Whether all inputs were −1, 0 or 1, so that the operations are accumulates rather than multiply-accumulates.
    pub accumulates: bool,
    /// Whether the input changes from step to step.
    pub timed: bool,
    /// Number of connections.
    pub dense: u64,
}

impl OverTime {
    /// Mean spikes per neuron and example up to step `index`.
    #[must_use]
    pub fn spikes_per_neuron(&self, index: usize) -> f64 {
        let spikes: u64 = self.neurons.iter().map(|work| work.spikes[index]).sum();
        let neurons: u64 = self.neurons.iter().map(|work| work.neurons).sum();
        spikes as f64 / (self.examples * neurons).max(1) as f64
    }

    /// The last step at which any neuron fired, counted from 1; 0 if none did.
    #[must_use]
    pub fn settled_after(&self) -> usize {
        let last = |work: &NeuronWork| {
            let all = work.spikes.last().copied().unwrap_or(0);
            work.spikes.iter().position(|spikes| *spikes == all && all > 0).map_or(0, |step| step + 1)
        };
        self.neurons.iter().map(last).max().unwrap_or(0)
    }

    /// Mean accumulates and multiply-accumulates per example up to step `index`.
    #[must_use]
    pub fn operations(&self, index: usize) -> (f64, f64) {
        let mean = |accumulates: bool| {
            let of_kind = self.weights.iter().filter(|work| work.accumulates == accumulates);
            of_kind.map(|work| work.operations[index]).sum::<u64>() as f64 / self.examples.max(1) as f64
        };
        (mean(true), mean(false))
    }
}

/// Runs all examples through the network and evaluates it after each step. A dense network that is compared with a spiking
/// one gets its inputs rounded as the `encoder` of the spiking one rounds them.
///
/// # Errors
/// If a membrane potential is not a finite number, the examples have no classes, or the tick after each batch says to stop.
pub fn evaluate_over_time(
    network: &Network,
    examples: &Examples,
    preprocessing: &Preprocessing,
    encoder: Option<&Encoder>,
    tick: &mut Tick<'_>,
) -> Result<OverTime> {
    let Targets::Classes(classes) = &examples.targets else { return Err(Error::NoClasses) };
    let steps = network.spiking().map_or(1, |settings| settings.steps);
    let connections = connections(network.blueprint(), &network.state())?;
    let mut over_time = OverTime { examples: examples.len() as u64, ..OverTime::default() };
    let mut right = vec![0u64; steps];
    let mut buffer = Vec::new();
    let mut done = 0;
    let indices: Vec<u32> = (0..examples.len() as u32).collect();
    for batch in indices.chunks((ROWS / steps).max(1)) {
        fill_batch(examples, preprocessing, batch, None, &mut buffer);
        round_as(encoder, &mut buffer);
        let x = filled_tensor(batch.len(), buffer.len() / batch.len(), |x| x.copy_from_slice(&buffer));
        let (answers, observations) = network.observe(x.to_device(network.device()))?;
        let columns = answers.dims()[1];
        let answers = floats(answers);
        for (sample, &index) in batch.iter().enumerate() {
            let mut sum = vec![0.0f32; columns];
            for (step, right) in right.iter_mut().enumerate() {
                let now = &answers[(step * batch.len() + sample) * columns..][..columns];
                sum.iter_mut().zip(now).for_each(|(sum, now)| *sum += now);
                *right += u64::from(best(&sum) == classes[index as usize] as usize);
            }
        }
        count(&mut over_time, observations, network.blueprint(), &connections, (steps, batch.len()));
        done += batch.len() as u64;
        if !tick(done, examples.len() as u64) {
            return Err(Error::Stopped);
        }
    }
    over_time.accuracy = right.iter().map(|&right| right as f64 / examples.len().max(1) as f64).collect();
    let shapes = network.blueprint().shapes()?;
    for work in &mut over_time.neurons {
        work.neurons = shapes.output(work.node).elements().unwrap_or(0) as u64;
    }
    for sums in over_time.neurons.iter_mut().map(|work| &mut work.spikes) {
        (1..steps).for_each(|step| sums[step] += sums[step - 1]);
    }
    for sums in over_time.weights.iter_mut().map(|work| &mut work.operations) {
        (1..steps).for_each(|step| sums[step] += sums[step - 1]);
    }
    Ok(over_time)
}

/// Adds the counts of one pass, per step and not yet accumulated over steps.
fn count(
    over_time: &mut OverTime,
    observations: Vec<Observation>,
    blueprint: &Blueprint,
    connections: &[Connections],
    (steps, batch): (usize, usize),
) {
    for observation in observations {
        let Observation { node, what, tensor, packed } = observation;
        let rows = tensor.dims()[0];
        let timed = rows == steps * batch && steps > 1;
        match what {
            Observed::Current => {}
            Observed::NeuronOutput if packed => {
                let words = spike_words(tensor);
                let width = words.len() / rows.max(1);
                let spikes = of_neurons(over_time, node, steps);
                for (row, words) in words.chunks_exact(width.max(1)).enumerate() {
                    spikes[row / batch] += words.iter().map(|word| u64::from(word.count_ones())).sum::<u64>();
                }
            }
            Observed::NeuronOutput if matches!(blueprint.nodes()[node].kind, NodeKind::SignedIF { .. }) => {
                let values = floats(tensor);
                let spikes = of_neurons(over_time, node, steps);
                for (row, values) in values.chunks_exact((values.len() / rows.max(1)).max(1)).enumerate() {
                    spikes[row / batch] += values.iter().filter(|spike| **spike != 0.0).count() as u64;
                }
            }
            Observed::NeuronOutput => {}
            Observed::WeightInput => {
                let Some(own) = connections.iter().find(|own| own.node == node) else { continue };
                let place = over_time.weights.iter().position(|work| work.node == node);
                let place = place.unwrap_or_else(|| {
                    over_time.weights.push(WeightWork {
                        node,
                        operations: vec![0; steps],
                        accumulates: true,
                        timed,
                        dense: own.dense,
                    });
                    over_time.weights.len() - 1
                });
                let work = &mut over_time.weights[place];
                if packed {
                    let words = spike_words(tensor);
                    let width = words.len() / rows.max(1);
                    for (row, words) in words.chunks_exact(width.max(1)).enumerate() {
                        work.operations[row / batch] += own.of_spikes(words);
                    }
                } else {
                    let values = floats(tensor);
                    for (row, values) in values.chunks_exact(own.effective.len().max(1)).enumerate() {
                        work.operations[row / batch] += own.of_values(values);
                        work.accumulates &= values.iter().all(|x| matches!(*x, -1.0 | 0.0 | 1.0));
                    }
                }
            }
        }
    }
}

/// The spike counts of a node, created if it has none yet.
fn of_neurons(over_time: &mut OverTime, node: usize, steps: usize) -> &mut [u64] {
    let place = over_time.neurons.iter().position(|work| work.node == node).unwrap_or_else(|| {
        over_time.neurons.push(NeuronWork { node, neurons: 0, spikes: vec![0; steps] });
        over_time.neurons.len() - 1
    });
    &mut over_time.neurons[place].spikes
}
