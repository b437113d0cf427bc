//! What `run.json` keeps of a conversion: where a spiking run came from, and what it came to after each number of steps.

use gyrus_nn::workload::Footprint;
use serde::{Deserialize, Serialize};

use crate::energy::{Comparison, Sizes, compare};
use crate::{Agreement, OverTime};

/// How a spiking run came from a dense one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Conversion {
    /// The run folder of the dense network; characters that are not Unicode are replaced.
    pub from: String,
    /// Most levels of a quantised activation.
    pub levels: usize,
    /// Epochs of fine-tuning with quantised activations; 0 where the run had such activations already, or none was wanted.
    pub fine_tuning_epochs: u32,
    /// Seconds of fine-tuning.
    pub fine_tuning_seconds: f64,
    /// Test accuracy of the dense network, 0 to 1.
    pub dense_accuracy: f64,
    /// Test accuracy of the dense network with quantised activations, 0 to 1.
    pub quantized_accuracy: f64,
    /// After each number of steps that was asked for.
    pub after: Vec<AfterSteps>,
    /// For the exact form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exact: Option<ExactRecord>,
}

/// What a spiking network came to after some steps, for a test example on average.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AfterSteps {
    /// Steps so far.
    pub steps: usize,
    /// Share of the test examples that was classified rightly.
    pub accuracy: f64,
    /// Spikes of a neuron.
    pub spikes_per_neuron: f64,
    /// Synaptic operations that only add.
    pub accumulates: f64,
    /// Synaptic operations that multiply.
    pub multiply_accumulates: f64,
    /// Three accountings.
    pub energy: Comparison,
}

/// How the exact form compared to its quantised network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExactRecord {
    /// Over the test examples.
    pub agreement: Agreement,
    /// The last step at which anything fired for any test example.
    pub settled_after: usize,
    /// Steps that are enough for any input.
    pub enough_steps: usize,
}

/// Accounts of a spiking network after each of `steps`, beside the dense network that it comes from and the same with
/// quantised activations, all three as they worked on the same examples. `footprint` is that of the folded network.
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
        // The first node reads the input, whose zeros are not skipped.
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
    let judged = steps.iter().filter(|steps| (1..=spiking.accuracy.len()).contains(*steps));
    judged.map(after).collect()
}
