//! The part of `run.json` that describes a conversion: the dense run it started from, and its results by number of steps.

use gyrus_nn::workload::Footprint;
use serde::{Deserialize, Serialize};

use crate::spiking::energy::{Comparison, Sizes, compare};
use crate::{Agreement, OverTime};

/// How a spiking run was converted from a dense one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Conversion {
    /// The run folder of the dense network; characters that are not Unicode are replaced.
    pub from: String,
    /// The most levels of a quantized activation.
    pub levels: usize,
    /// Epochs of fine-tuning with quantized activations; 0 if the run already had them, or if fine-tuning was turned off.
    pub fine_tuning_epochs: u32,
    /// Seconds of fine-tuning.
    pub fine_tuning_seconds: f64,
    /// Epochs of fine-tuning the spiking network through time.
    #[serde(default)]
    pub through_time_epochs: u32,
    /// Seconds of fine-tuning through time.
    #[serde(default)]
    pub through_time_seconds: f64,
    /// Test accuracy of the dense network, 0 to 1.
    pub dense_accuracy: f64,
    /// Test accuracy of the dense network with quantized activations, 0 to 1.
    pub quantized_accuracy: f64,
    /// Results after each requested number of steps.
    pub after: Vec<AfterSteps>,
    /// For the exact conversion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exact: Option<ExactRecord>,
}

/// A spiking network after some steps: means over the test examples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AfterSteps {
    /// Steps so far.
    pub steps: usize,
    /// Share of the test examples that was classified correctly.
    pub accuracy: f64,
    /// Spikes per neuron.
    pub spikes_per_neuron: f64,
    /// Synaptic operations that only add.
    pub accumulates: f64,
    /// Synaptic operations that multiply.
    pub multiply_accumulates: f64,
    /// Energy estimates.
    pub energy: Comparison,
}

/// How the exact conversion compares with its quantized network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExactRecord {
    /// Over the test examples.
    pub agreement: Agreement,
    /// The last step at which any neuron fired for any test example.
    pub settled_after: usize,
    /// Number of steps that suffices for any input.
    pub enough_steps: usize,
}

/// Operations and energy of a spiking network after each of `steps`, compared with the dense network it was converted from
/// and with the same network with quantized activations, all on the same examples. `footprint` is that of the folded network.
#[must_use]
pub fn accounts(
    spiking: &OverTime,
    dense: &OverTime,
    quantized: &OverTime,
    footprint: Footprint,
    steps: &[usize],
) -> Vec<AfterSteps> {
    let sizes = |rival: &OverTime| {
        let mean = |operations: &[u64]| {
            operations.last().copied().unwrap_or(0) as f64 / rival.examples.max(1) as f64
        };
        // The first node reads the input, where zeros are not skipped.
        let first = rival.weights.first().map_or(0.0, |work| work.dense as f64);
        let others: f64 = rival.weights.iter().skip(1).map(|work| mean(&work.operations)).sum();
        Sizes {
            weight_bytes: footprint.bytes,
            neurons: spiking.neurons.iter().map(|work| work.neurons).sum(),
            dense_operations: first + others,
            connections: rival.weights.iter().map(|work| work.dense).sum(),
        }
    };
    let (dense, quantized) = (sizes(dense), sizes(quantized));
    let after = |&steps: &usize| {
        let index = steps - 1;
        let (accumulates, multiply_accumulates) = spiking.operations(index);
        let energy = Comparison {
            quantized: compare(spiking, index, quantized).quantized,
            ..compare(spiking, index, dense)
        };
        AfterSteps {
            steps,
            accuracy: spiking.accuracy[index],
            spikes_per_neuron: spiking.spikes_per_neuron(index),
            accumulates,
            multiply_accumulates,
            energy,
        }
    };
    let evaluated = steps.iter().filter(|steps| (1..=spiking.accuracy.len()).contains(*steps));
    evaluated.map(after).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NeuronWork, WeightWork};

    fn work(node: usize, operations: Vec<u64>, timed: bool, dense: u64) -> WeightWork {
        WeightWork { node, operations, accumulates: timed, timed, dense }
    }

    #[test]
    fn results_are_means_per_example_and_each_network_has_its_own_operations() {
        let spiking = OverTime {
            examples: 2,
            accuracy: vec![0.5, 1.0],
            neurons: vec![NeuronWork { node: 2, neurons: 10, spikes: vec![8, 12] }],
            weights: vec![work(1, vec![60, 60], false, 40), work(3, vec![30, 50], true, 20)],
        };
        let rival = |operations: u64| OverTime {
            examples: 2,
            accuracy: vec![1.0],
            neurons: Vec::new(),
            weights: vec![work(1, vec![70], false, 40), work(3, vec![operations], false, 20)],
        };
        let footprint = Footprint { bytes: 240, parameters: 60, connection_sparsity: 0.0 };
        let after = accounts(&spiking, &rival(36), &rival(20), footprint, &[1, 2, 9]);
        // Steps that were not evaluated are left out.
        assert_eq!(after.iter().map(|row| row.steps).collect::<Vec<_>>(), [1, 2]);
        assert_eq!((after[1].accuracy, after[1].spikes_per_neuron), (1.0, 0.6));
        assert_eq!((after[1].accumulates, after[1].multiply_accumulates), (25.0, 30.0));
        // All 40 connections of the first node, where zeros are not skipped, and 18 or 10 of the second.
        assert!((after[1].energy.dense.operations_pj - 58.0 * 4.6).abs() < 1e-9);
        assert!((after[0].energy.quantized.operations_pj - 50.0 * 0.9).abs() < 1e-9);
        assert_eq!(spiking.settled_after(), 2);
        let silent = OverTime {
            neurons: vec![NeuronWork { spikes: vec![0, 0], ..spiking.neurons[0].clone() }],
            ..spiking
        };
        assert_eq!(silent.settled_after(), 0);
    }
}
